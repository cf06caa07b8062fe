//! `mingpai export`: all records, or those that a filter means, as NDJSON, CSV or XLSX that `import` takes.
//!
//! Read page by page: a page that breaks off is asked for again by its cursor, so no record is missing or there twice. Not a
//! snapshot: what changes meanwhile appears as it is when its page is read. A record that the node cannot read is left out,
//! named and counted.
//!
//! - `encoder`: records as bytes of a file. `sink`: where they go. `partial`: a file that a later run goes on with.

mod encoder;
mod partial;
mod sink;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use self::encoder::Encoder;
use self::partial::{Partial, State};
use self::sink::Sink;
use super::client::{Client, ClientError, ServerArguments, encode};
use super::failure::{CliError, Verdict};
use super::filter_arguments::FilterArguments;
use super::progress::{Progress, Unit};
use super::screen::Screen;
use super::token_file::TokenArguments;
use crate::model::filter::Filter;
use crate::model::text::counted;

/// Of the records that could not be read so many are named; all are counted.
const NAMED_DAMAGED: u64 = 100;
/// Records a page; halved where a page is larger than the limit below.
const PAGE_RECORDS: usize = 500;
const PAGE_LIMIT_BYTES: usize = 64 << 20;
/// How often it is made durable where a later run could go on.
const SAVE_INTERVAL: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai export -o records.ndjson.gz --token-file mingpai-dev/dev-token
  mingpai export --format xlsx -o 产品.xlsx --where status=active --where type=名称 --token-file key
  mingpai export -o records.csv --where prefix=88.999.1 --where updated_from=2026-11-01 --resume --token-file key
  mingpai export --prefix 88.999.1 --token-file key | jq -r .identifier")]
pub struct Export {
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    token: TokenArguments,
    /// 格式；缺省看文件名，否则 ndjson / The format; by the file's name without it, else ndjson
    #[arg(long)]
    format: Option<Format>,
    #[command(flatten)]
    filter: FilterArguments,
    /// 输出文件，以 .gz 结尾则压缩；缺省为标准输出 / Where to; .gz compresses; standard output without it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// 替换已有文件 / Replace a file that is there
    #[arg(long)]
    force: bool,
    /// 中断时保留已取得的部分，再次运行时续传（XLSX 重新写） / Keep what came if it breaks off, and go on with it (XLSX is written anew)
    #[arg(long, requires = "output")]
    resume: bool,
    /// CSV 开头不写 BOM（Excel 靠它认出 UTF-8） / A CSV without the byte order mark by which Excel knows UTF-8
    #[arg(long)]
    no_bom: bool,
    /// 节点不可达时最多等待的秒数 / How long to wait for a node that is away
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Ndjson,
    Csv,
    Xlsx,
}

#[derive(Deserialize)]
struct Page {
    records: Vec<Box<RawValue>>,
    #[serde(default)]
    next_cursor: Option<String>,
}

/// What stands in the place of a record that the node cannot read.
#[derive(Deserialize)]
struct Damaged {
    identifier: String,
    #[serde(rename = "problem")]
    _problem: IgnoredAny,
}

impl Export {
    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let (format, filter) = (self.format(), self.filter.filter()?);
        let token = self.token.required(screen)?;
        let client =
            Client::new(self.server.clone(), Some(&token), screen)?.with_patience(Duration::from_secs(self.patience));
        let query = query(&filter);
        let (mut sink, begun) = self.open(format, &query, &client, screen)?;
        let mut work = match begun {
            Some(state) => Work { encoder: Encoder::again(format, state.columns.clone())?, state, query },
            None => {
                let encoder = Encoder::begin(format, &client, &query).await?;
                let state = State::new(client.server().to_string(), query.clone(), format, encoder.columns());
                sink.write(&encoder.header(!self.no_bom))?;
                Work { encoder, state, query }
            }
        };
        work.write_all(&client, &mut sink, screen).await?;
        let Work { encoder, state, .. } = work;
        sink.write(&encoder.finish()?)?;
        sink.finish()?;
        Ok(report(&state, screen))
    }

    fn format(&self) -> Format {
        let name = self.output.as_ref().map(|path| path.to_string_lossy().to_lowercase()).unwrap_or_default();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let by_name = match Path::new(name).extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Format::Csv,
            Some("xlsx") => Format::Xlsx,
            _ => Format::Ndjson,
        };
        self.format.unwrap_or(by_name)
    }

    /// Where the bytes go, and how far an earlier run has come.
    fn open(
        &self,
        format: Format,
        query: &str,
        client: &Client,
        screen: Screen,
    ) -> Result<(Sink, Option<State>), CliError> {
        let Some(path) = self.output.as_deref().filter(|path| *path != Path::new("-")) else {
            if self.resume || format == Format::Xlsx {
                return Err(CliError::wrong(
                    "续传与 XLSX 都须用 -o 指明文件",
                    "going on later, and XLSX, need a file: name it with -o",
                ));
            }
            return Ok((Sink::out(), None));
        };
        if path.exists() && !self.force {
            let path = path.display();
            return Err(CliError::wrong(
                format!("{path} 已存在：换一个文件名，或用 --force 替换"),
                format!("{path} is there already: name another file, or replace it with --force"),
            ));
        }
        if !self.resume || format == Format::Xlsx {
            return Ok((Sink::file(path)?, None));
        }
        let (partial, begun) = Partial::open(path, |state| state.is_of(client.server(), query, format), self.force)?;
        if let Some(state) = &begun {
            let records = state.records;
            screen.note(format!("从第 {records} 条之后续传"), format!("going on after {}", counted(records, "record")));
        }
        Ok((Sink::partial(path, partial), begun))
    }
}

/// An export on its way.
struct Work {
    encoder: Encoder,
    state: State,
    query: String,
}

impl Work {
    async fn write_all(&mut self, client: &Client, sink: &mut Sink, screen: Screen) -> Result<(), CliError> {
        let mut progress = Progress::begin(screen, Unit::Records, None, "导出", "exporting");
        let (mut limit, mut saved) = (PAGE_RECORDS, Instant::now());
        loop {
            let path = page_path(limit, &self.query, self.state.cursor.as_deref());
            let page: Page = match client.ask_json(&path, PAGE_LIMIT_BYTES).await {
                Err(ClientError::TooLarge { .. }) if limit > 1 => {
                    limit /= 2;
                    continue;
                }
                other => other?,
            };
            let mut bytes = Vec::new();
            for record in &page.records {
                match damaged(record) {
                    None => {
                        self.encoder.write(record, &mut bytes)?;
                        self.state.records += 1;
                    }
                    Some(name) => {
                        self.state.damaged += 1;
                        if self.state.damaged <= NAMED_DAMAGED {
                            screen.note(format!("已损坏：{name}"), format!("damaged: {name}"));
                        }
                    }
                }
            }
            sink.write(&bytes)?;
            progress.update(self.state.records, 0, "");
            match page.next_cursor {
                None => break,
                // A cursor that does not move would be read for ever.
                same if same == self.state.cursor => {
                    let what = "a cursor that leads to itself".to_owned();
                    return Err(ClientError::Unexpected { what }.into());
                }
                next => self.state.cursor = next,
            }
            if saved.elapsed() >= SAVE_INTERVAL || sink.is_fresh() {
                sink.save(&mut self.state)?;
                saved = Instant::now();
            }
        }
        progress.end();
        Ok(())
    }
}

fn report(state: &State, screen: Screen) -> Verdict {
    let State { records, damaged, .. } = state;
    screen.note(format!("已导出 {records} 条记录"), format!("{} exported", counted(records, "record")));
    if *damaged == 0 {
        return Verdict::Yes;
    }
    screen.note(
        format!("节点磁盘上已损坏而未导出：{damaged} 条；请由备份放回日志段（见节点日志），再次导出"),
        format!(
            "damaged on the node's disk and left out: {damaged}; put the journal segments that its log names back from a backup and export again"
        ),
    );
    Verdict::No
}

/// The filter as a query, each parameter with the `&` before it.
fn query(filter: &Filter) -> String {
    // A comma would part a type in two.
    filter.parameters().iter().map(|(name, value)| format!("&{name}={}", encode(value))).collect()
}

fn page_path(limit: usize, query: &str, cursor: Option<&str>) -> String {
    let cursor = cursor.map(|cursor| format!("&cursor={}", encode(cursor))).unwrap_or_default();
    format!("/v1/records?limit={limit}{query}{cursor}")
}

/// The name in the place of a record that the node cannot read.
fn damaged(record: &RawValue) -> Option<String> {
    // Nearly all records are told by this alone.
    let text = record.get();
    let found = text.contains("\"problem\"").then(|| serde_json::from_str::<Damaged>(text).ok()).flatten();
    found.map(|damaged| damaged.identifier)
}
