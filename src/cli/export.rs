//! `mingpai export`: all records, or those of a prefix, as NDJSON that `import` takes.
//!
//! Read page by page: a page that breaks off is asked for again by its cursor, so no record is missing or there twice. Not a
//! snapshot: what changes meanwhile appears as it is when its page is read. A record that the node cannot read is left out,
//! named and counted.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::client::{Client, ClientError, ServerArguments, encode};
use super::failure::{CliError, Verdict};
use super::new_file::NewFile;
use super::progress::{Progress, Unit};
use super::screen::Screen;
use super::token_file::TokenArguments;

/// Of the records that could not be read so many are named; all are counted.
const NAMED_DAMAGED: u64 = 100;
/// Records a page; halved where a page is larger than the limit below.
const PAGE_RECORDS: usize = 500;
const PAGE_LIMIT_BYTES: usize = 64 << 20;

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai export -o records.ndjson.gz --token-file mingpai-dev/dev-token
  mingpai export --prefix 88.999.1 --token-file key | jq -r .identifier")]
pub struct Export {
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    token: TokenArguments,
    /// 只导出此前缀 / Only records of this prefix
    #[arg(long)]
    prefix: Option<String>,
    /// 输出文件，以 .gz 结尾则压缩；缺省为标准输出 / Where to; .gz compresses; standard output without it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// 节点不可达时最多等待的秒数 / How long to wait for a node that is away
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
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

/// How many records a node gave, and how many it could not read.
#[derive(Default)]
struct Counted {
    written: u64,
    damaged: u64,
}

impl Export {
    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let token = self.token.required(screen)?;
        let client =
            Client::new(self.server.clone(), Some(&token), screen)?.with_patience(Duration::from_secs(self.patience));
        let mut sink = Sink::open(self.output.as_deref())?;
        let Counted { written, damaged } = self.write_all(&client, &mut sink, screen).await?;
        sink.finish()?;
        screen.note(format!("已导出 {written} 条记录"), format!("{written} records exported"));
        if damaged == 0 {
            return Ok(Verdict::Yes);
        }
        screen.note(
            format!("节点磁盘上已损坏而未导出：{damaged} 条；请由备份放回日志段（见节点日志），再次导出"),
            format!(
                "damaged on the node's disk and left out: {damaged}; put the journal segments that its log names back from a backup and export again"
            ),
        );
        Ok(Verdict::No)
    }

    async fn write_all(&self, client: &Client, sink: &mut Sink, screen: Screen) -> Result<Counted, CliError> {
        let mut progress = Progress::begin(screen, Unit::Records, None, "导出", "exporting");
        let mut counted = Counted::default();
        let mut limit = PAGE_RECORDS;
        let mut cursor: Option<String> = None;
        loop {
            let path = self.page_path(limit, cursor.as_deref());
            let page: Page = match client.ask_json(&path, PAGE_LIMIT_BYTES).await {
                Err(ClientError::TooLarge { .. }) if limit > 1 => {
                    limit /= 2;
                    continue;
                }
                other => other?,
            };
            for record in &page.records {
                match damaged(record) {
                    None => {
                        sink.write_record(record)?;
                        counted.written += 1;
                    }
                    Some(name) => {
                        counted.damaged += 1;
                        if counted.damaged <= NAMED_DAMAGED {
                            screen.note(format!("已损坏：{name}"), format!("damaged: {name}"));
                        }
                    }
                }
            }
            progress.update(counted.written, 0, "");
            match page.next_cursor {
                None => break,
                // A cursor that does not move would be read for ever.
                same if same == cursor => {
                    let what = "a cursor that leads to itself".to_owned();
                    return Err(ClientError::Unexpected { what }.into());
                }
                next => cursor = next,
            }
        }
        progress.end();
        Ok(counted)
    }

    fn page_path(&self, limit: usize, cursor: Option<&str>) -> String {
        let mut path = format!("/v1/records?limit={limit}");
        for (name, value) in [("prefix", self.prefix.as_deref()), ("cursor", cursor)] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", encode(value)));
            }
        }
        path
    }
}

/// The name in the place of a record that the node cannot read.
fn damaged(record: &RawValue) -> Option<String> {
    // Nearly all records are told by this alone.
    let text = record.get();
    let found = text.contains("\"problem\"").then(|| serde_json::from_str::<Damaged>(text).ok()).flatten();
    found.map(|damaged| damaged.identifier)
}

/// Where records go.
enum Sink {
    Out(io::BufWriter<io::Stdout>),
    Plain(io::BufWriter<NewFile>, PathBuf),
    Packed(Box<GzEncoder<NewFile>>, PathBuf),
}

impl Sink {
    fn open(path: Option<&Path>) -> Result<Sink, CliError> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Sink::Out(io::BufWriter::new(io::stdout())));
        };
        let file = NewFile::create(path)?;
        Ok(if path.extension().is_some_and(|extension| extension == "gz") {
            Sink::Packed(Box::new(GzEncoder::new(file, Compression::default())), path.to_owned())
        } else {
            Sink::Plain(io::BufWriter::with_capacity(256 << 10, file), path.to_owned())
        })
    }

    /// One line, whatever white space the node has put into the record.
    fn write_record(&mut self, record: &RawValue) -> Result<(), CliError> {
        let text = record.get();
        let compacted;
        let line = if text.contains(['\n', '\r']) {
            // Line ends stand between tokens only: inside a JSON string they are escaped.
            compacted = text.replace(['\n', '\r'], " ");
            &compacted
        } else {
            text
        };
        let written = match self {
            Sink::Out(out) => writeln!(out, "{line}"),
            Sink::Plain(out, _) => writeln!(out, "{line}"),
            Sink::Packed(out, _) => writeln!(out, "{line}"),
        };
        written.map_err(|error| self.failed(error))
    }

    fn finish(self) -> Result<(), CliError> {
        match self {
            Sink::Out(mut out) => out.flush().map_err(|error| Sink::Out(out).failed(error)),
            Sink::Plain(out, path) => out
                .into_inner()
                .map_err(io::IntoInnerError::into_error)
                .map_err(CliError::file("写入", "write", &path))?
                .finish(),
            Sink::Packed(out, path) => out.finish().map_err(CliError::file("写入", "write", &path))?.finish(),
        }
    }

    fn failed(&self, error: io::Error) -> CliError {
        match self {
            Sink::Out(_) if error.kind() == io::ErrorKind::BrokenPipe => CliError::OutputClosed,
            Sink::Out(_) => CliError::file("写入", "write", Path::new("-"))(error),
            Sink::Plain(_, path) | Sink::Packed(_, path) => CliError::file("写入", "write", path)(error),
        }
    }
}
