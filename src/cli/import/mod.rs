//! `mingpai import`: sends a file to a node, watches the job, fetches the rows that failed.
//!
//! - `form`: what the file is. `source`: the file, unpacked while it is sent. `upload`: sending it. `parts`, `memory`: so that a break costs little. `job`, `listen`: watching. `rejects`: the rows that failed. `report`: how it ended.

mod form;
mod job;
mod listen;
mod memory;
mod parts;
mod rejects;
mod report;
mod source;
mod upload;

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use self::form::{FormArguments, Format};
use self::job::{JobSeen, State};
use self::rejects::Rejects;
use self::report::report;
use self::source::Source;
use super::client::{Client, ServerArguments, encode};
use super::failure::{CliError, Verdict};
use super::new_file::NewFile;
use super::screen::Screen;
use super::token_file::TokenArguments;
use crate::codec::table::{Tables, sample};
use crate::config::LimitsSpec;
use crate::model::column;
use crate::services::import::{Mapping, Operation, TableError, TableFound};

/// The prefix of the demonstration enterprise.
const DEMONSTRATION: &str = "88.999.1";
/// The largest file that is read as a mapping.
const MAPPING_LIMIT_BYTES: u64 = 1 << 20;

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai import parts.ndjson --token-file mingpai-dev/dev-token
  mingpai import 产品.csv --propose --prefix 88.118.8 > mapping.json
  mingpai import 产品.csv --mapping mapping.json --token-file key
  mingpai import exported.xlsx --on-conflict update --token-file key
  mingpai import products.ndjson.gz --mapping mapping.json --on-conflict update --token-file key
  zcat dump.gz | mingpai import - --dry-run --token-file key
  mingpai import 停用.csv --operation retire --mapping id.json --token-file key
  mingpai import --undo 5f0c… --token-file key

映射文件 Mapping:
  {\"identifier\":\"88.999.1/{code}\",\"values\":[{\"index\":2000,\"type\":\"名称\",\"from\":\"name\"}],
   \"aliases\":[{\"scheme\":\"gs1\",\"from\":\"code\"}]}

中断后再次运行同一命令即可：大文件从断处续传，内容相同的行会被跳过。
After an interruption run the same command again: a large file goes on where it broke off, and rows that are registered as
they are get skipped.")]
pub struct Import {
    /// NDJSON、CSV（可为 .gz）或 XLSX 文件，- 为标准输入 / NDJSON or CSV, plain or gzip, or XLSX; - reads standard input
    #[arg(value_name = "FILE|-", required_unless_present_any = ["undo", "watch"])]
    file: Option<PathBuf>,
    /// 撤销一个任务：之后没有再改动的记录恢复原样 / Take a job back, where nothing later touched the record
    #[arg(long, value_name = "JOB", conflicts_with_all = ["file", "watch", "propose", "mapping", "dry_run", "atomic"])]
    undo: Option<String>,
    /// 查看一个已上传的任务直到结束 / Watch a job that was uploaded, to its end
    #[arg(long, value_name = "JOB", conflicts_with_all = ["file", "propose", "mapping", "dry_run", "atomic"])]
    watch: Option<String>,
    #[command(flatten)]
    form: FormArguments,
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    token: TokenArguments,
    /// 只给出建议的映射（JSON，打印到标准输出，不连节点） / Propose a mapping: print JSON to edit and give to --mapping
    #[arg(long, conflicts_with_all = ["mapping", "dry_run", "atomic", "errors"])]
    propose: bool,
    /// 建议的映射所用前缀 / The prefix of the mapping that is proposed
    #[arg(long, value_name = "PREFIX", default_value = DEMONSTRATION)]
    prefix: String,
    /// 列到记录的映射 / How columns become records (JSON)
    #[arg(long, value_name = "FILE.json")]
    mapping: Option<PathBuf>,
    /// 标识已登记且内容不同时 / When an identifier is registered with other content
    #[arg(long, value_name = "WHAT", default_value = "error")]
    on_conflict: Conflict,
    /// 每行的操作（行内未写明时）：put、patch、activate、suspend、recall、retire、delete / What each row does that does not say so
    #[arg(long, value_name = "WHAT", default_value = "put", value_parser = operation)]
    operation: String,
    /// 只检查，不登记 / Check everything, register nothing
    #[arg(long)]
    dry_run: bool,
    /// 全部成功或全部不做 / All rows or none
    #[arg(long)]
    atomic: bool,
    /// 失败行写入此文件（默认 FILE.errors.csv 或 .ndjson），格式由扩展名决定 / Where failed rows go; its extension tells the form
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// 节点不可达时最多等待的秒数 / How long to wait for a node that is away
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    patience: u64,
    /// 解压后的最大字节数 / The most bytes after unpacking
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 30)]
    unpacked_limit: u64,
    /// JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Conflict {
    /// 该行失败 / the row fails
    Error,
    /// 跳过 / leave what is there
    Skip,
    /// 更新为新版本 / make it the next version
    Update,
}

impl Conflict {
    fn word(self) -> &'static str {
        match self {
            Conflict::Error => "error",
            Conflict::Skip => "skip",
            Conflict::Update => "update",
        }
    }
}

impl Import {
    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        if let Some(job) = self.undo.as_ref().or(self.watch.as_ref()) {
            return self.follow(job, screen).await;
        }
        let format = self.form.format(self.file())?;
        if self.propose {
            return self.propose(format, screen);
        }
        let path = self.path(format)?;
        self.is_there()?;
        let error_file = self.error_file(format, screen)?;
        let token = self.token.required(screen)?;
        let client =
            Client::new(self.server.clone(), Some(&token), screen)?.with_patience(Duration::from_secs(self.patience));
        upload::may_import(&client).await?;
        let source = Source::new(self.file(), format, self.unpacked_limit);
        let begun = upload::send(&client, &path, source, screen).await?;
        screen.note(
            format!("任务 {}：已上传，节点正在处理；中断本命令不影响任务", begun.id),
            format!("job {}: uploaded, the node is at work; stopping this command does not stop it", begun.id),
        );
        let mut ended = job::watch(&client, begun, screen).await?;
        ended.dry_run |= self.dry_run;
        ended.atomic |= self.atomic;
        // What a dry run or a job that failed left unregistered may be in no other file than an earlier run's.
        let clears = ended.state == State::Done && !self.dry_run;
        let rejects = Rejects::fetch(&client, &ended, error_file, clears, screen).await?;
        report(&ended, &rejects, screen)?;
        Ok(verdict(&ended))
    }

    /// What is imported; clap sees to it that a file is named where one is needed.
    fn file(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new("-"))
    }

    /// Tried before a node is: a file that is not there is told at once, whether or not the node is away.
    fn is_there(&self) -> Result<(), CliError> {
        if self.file() == Path::new("-") {
            return Ok(());
        }
        // Not opened: that of a pipe would end what its writer writes.
        std::fs::metadata(self.file()).map(drop).map_err(CliError::file("读取", "read", self.file()))
    }

    /// A job that is there: takes it back, or watches it.
    async fn follow(&self, id: &str, screen: Screen) -> Result<Verdict, CliError> {
        let token = self.token.required(screen)?;
        let client =
            Client::new(self.server.clone(), Some(&token), screen)?.with_patience(Duration::from_secs(self.patience));
        let path = format!("/v1/imports/{}", encode(id));
        let job: JobSeen = if self.undo.is_some() {
            let begin = async || client.post_json(&format!("{path}/undo"), &(), upload::JOB_LIMIT_BYTES).await;
            // Asked twice it is the same job.
            client.patiently(begin).await?
        } else {
            client.ask_json(&path, upload::JOB_LIMIT_BYTES).await?
        };
        Ok(follow(&client, job, self.errors.clone(), screen).await?.0)
    }

    /// What a table's beginning tells: a mapping to begin with, and what the table is.
    fn beginning(&self, format: Format) -> Result<(Mapping, TableFound), CliError> {
        let form = self.form.form(format)?;
        let rows = Source::new(self.file(), format, self.unpacked_limit).open()?;
        let mut beginning = Vec::new();
        let limits = LimitsSpec::default();
        // The directory of a workbook stands at its end.
        let most = if format == Format::Xlsx { limits.xlsx_bytes } else { sample::BEGINNING_BYTES as u64 };
        rows.take(most).read_to_end(&mut beginning).map_err(CliError::file("读取", "read", self.file()))?;
        let tables = Tables::of(&limits);
        sample::propose(&beginning, &form, &tables, &self.prefix).map_err(|error| match error {
            TableError::Wrong(_, text) => CliError::Wrong(text),
            TableError::Io(error) => CliError::file("读取", "read", self.file())(error),
        })
    }

    /// Whether the file is a table that says itself what its columns mean.
    fn is_export(&self, format: Format) -> Result<bool, CliError> {
        // What is read from standard input is gone.
        let is_file = self.file().metadata().is_ok_and(|there| there.is_file());
        Ok(is_file && column::are_of_export(self.beginning(format)?.1.own_columns()))
    }

    /// Prints a mapping to begin with. Asks no node: the file's beginning tells it all.
    fn propose(&self, format: Format, screen: Screen) -> Result<Verdict, CliError> {
        let (mapping, found) = self.beginning(format)?;
        if let Some(encoding) = found.encoding.as_ref().or(found.sheet.as_ref()) {
            let count = found.columns.len();
            screen.note(
                format!("读作 {encoding}，{count} 列。请核对后保存，再用 --mapping 导入"),
                format!("read as {encoding}, {count} columns. Look it through, save it, and import with --mapping"),
            );
        }
        screen.print_json(&mapping)?;
        Ok(Verdict::Yes)
    }

    /// Path and query of the upload.
    fn path(&self, format: Format) -> Result<String, CliError> {
        let mut path = format!("/v1/imports?on_conflict={}", self.on_conflict.word());
        if self.operation != Operation::Put.word() {
            path.push_str(&format!("&operation={}", self.operation));
        }
        if self.dry_run {
            path.push_str("&dry_run=true");
        }
        if self.atomic {
            path.push_str("&atomic=true");
        }
        path.push_str(&self.form.query());
        if self.mapping.is_none() && format.is_table() {
            if !self.is_export(format)? {
                return Err(CliError::wrong(
                    "导入表格需要 --mapping：它说明各列的去向；--propose 给出建议",
                    "a table needs --mapping, which says what its columns become; --propose makes one to begin with",
                ));
            }
            path.push_str("&mapping=export");
        }
        if let Some(file) = &self.mapping {
            path.push_str("&mapping=");
            path.push_str(&encode(&read_mapping(file)?));
        }
        Ok(path)
    }

    /// Where failed rows go; `None`: nowhere but the screen. Never into the file that is imported: rows that were not
    /// registered may be nowhere else.
    fn error_file(&self, format: Format, screen: Screen) -> Result<Option<PathBuf>, CliError> {
        let is_stream = self.file() == Path::new("-");
        let imported = if is_stream { Path::new("/dev/stdin") } else { self.file() };
        match &self.errors {
            None if is_stream => Ok(None),
            None => Ok(beside(self.file(), format)),
            Some(errors) if is_same_file(errors, imported) => {
                let Some(other) = beside(errors, format) else { return Ok(None) };
                let (shown, instead) = (errors.display(), other.display());
                screen.note(
                    format!("{shown} 正是要导入的文件，保持不变：失败的行将写入 {instead}"),
                    format!("{shown} is the file that is imported and stays as it is: rows that fail go to {instead}"),
                );
                Ok(Some(other))
            }
            Some(errors) => {
                // Begun and given up: a file that cannot be written is found before anything is sent.
                drop(NewFile::create(errors)?);
                Ok(Some(errors.clone()))
            }
        }
    }
}

/// Watches a job to its end, fetches its rejects and says how it went.
pub async fn follow(
    client: &Client,
    begun: JobSeen,
    errors: Option<PathBuf>,
    screen: Screen,
) -> Result<(Verdict, JobSeen), CliError> {
    let ended = job::watch(client, begun, screen).await?;
    let rejects = Rejects::fetch(client, &ended, errors, false, screen).await?;
    report(&ended, &rejects, screen)?;
    Ok((verdict(&ended), ended))
}

fn verdict(ended: &JobSeen) -> Verdict {
    match (ended.state, ended.rows.failed) {
        (State::Done, 0) => Verdict::Yes,
        _ => Verdict::No,
    }
}

fn operation(text: &str) -> Result<String, String> {
    Operation::from_word(text)
        .map(|operation| operation.word().to_owned())
        .ok_or_else(|| format!("可用的有 / there are {}", Operation::words()))
}

/// The file for rejected rows that stands next to this one.
fn beside(file: &Path, format: Format) -> Option<PathBuf> {
    let name = file.file_name()?.to_string_lossy().into_owned();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    let extension = if format.is_table() { "csv" } else { "ndjson" };
    let stem = match stem.rsplit_once('.') {
        Some((stem, "ndjson" | "csv" | "tsv" | "txt" | "xlsx")) if !stem.is_empty() => stem,
        _ => stem,
    };
    Some(file.with_file_name(format!("{stem}.errors.{extension}")))
}

/// By device and inode: links and other ways of writing a path are the same file too.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let place = |path| std::fs::metadata(path).ok().map(|about| (about.dev(), about.ino()));
    place(one).is_some_and(|found| place(other) == Some(found))
}

/// The mapping as compact JSON, checked here so that a typing error does not travel.
fn read_mapping(path: &Path) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAPPING_LIMIT_BYTES).read_to_end(&mut bytes))
        .map_err(CliError::file("读取映射文件", "read the mapping", path))?;
    let shown = path.display();
    let wrong = |error: serde_json::Error| {
        CliError::wrong(
            format!("映射文件 {shown} 不可用：{error}"),
            format!("the mapping {shown} cannot be used: {error}"),
        )
    };
    let mapping: Mapping = serde_json::from_slice(&bytes).map_err(wrong)?;
    serde_json::to_string(&mapping).map_err(wrong)
}
