//! `mingpai audit`: replays a node's whole log and judges it, and trusts nothing of it but a pinned key. The registry tree needs no
//! right there, the audit tree (`conduct`) an auditor's key.

mod conduct;

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};

use super::failure::{CliError, Verdict};
use super::key_file::ed25519_keys;
use super::log_source::{LogArguments, read_bounded, read_state, write_state};
use super::progress::{Progress, Unit};
use super::screen::Screen;
use super::token_file::TokenArguments;
use crate::model::text::{Text, counted};
use crate::services::audit::{self, Audit};
use crate::services::conduct::state::is_of_conduct;
use crate::services::follow::memory::MEMORY_LIMIT_BYTES;
use crate::services::follow::{FollowError, Follower, Memory};
use crate::sign::keys::PublicJwk;

const JWKS_LIMIT_BYTES: u64 = 4 << 20;

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai audit https://id.example.cn --policy policy.txt --state audit.json
  mingpai audit http://127.0.0.1:8080 --vkey \"$(curl -s http://127.0.0.1:8080/log/vkey)\" --json

  mingpai audit https://id.example.cn --tree audit --token-file auditor-key --policy policy.txt --state conduct.json

每次都从第一条查起；--state 记住检查点，下次据以发现倒退与分叉。内存：每个标识约 85 至 170 字节。
It begins at the first entry each time; --state keeps the head, by which a rollback or a fork is seen the next time. Memory:
about 85 to 170 bytes an identifier.

--tree audit：密钥、登录、备案等“谁做了什么”须合乎节点自身的规则，需审计员密钥；每棵树各用一个 --state 文件。内存：每个密钥约 55 至 110
字节，每个会话 60 至 120，每件备案 250 至 500，合计最多 1 GiB。
--tree audit: who did what (keys, sign-ins, filings) must obey the node's own rules; needs an auditor's key. Each tree has a --state file
of its own. Memory: about 55 to 110 bytes a key, 60 to 120 a session, 250 to 500 a filing, 1 GiB at most.

退出码 Exit codes: 0 无异常 clean · 1 有异常或伪造 anomalies, or forged · 2 无法判断 could not tell")]
pub struct AuditArguments {
    #[command(flatten)]
    log: LogArguments,
    /// 哪棵树：公开的声明，还是“谁做了什么” / Which tree: the public statements, or who did what
    #[arg(long, value_enum, default_value = "registry")]
    tree: Audited,
    #[command(flatten)]
    token: TokenArguments,
    /// 日志的第一个条目密钥须在其中（/.well-known/jwks.json 的内容） / The log's first entry key must be one of these
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// 记住检查点的文件 / Where the head is remembered
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Audited {
    Registry,
    Audit,
}

impl AuditArguments {
    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let pinned = self.jwks.as_deref().map(keys_of).transpose()?.unwrap_or_default();
        match self.tree {
            Audited::Registry => self.audit_registry(&pinned, screen).await,
            Audited::Audit => self.audit_conduct(&pinned, screen).await,
        }
    }

    async fn audit_registry(&self, pinned: &[PublicJwk], screen: Screen) -> Result<Verdict, CliError> {
        let state = self.state_of(Audited::Registry, MEMORY_LIMIT_BYTES)?;
        let memory =
            state.map(|state| Memory::decode(&state)).transpose().map_err(|error| CliError::Wrong(error.text()))?;
        let memory = memory.unwrap_or_default().from_the_start();
        let before = memory.newest();
        let (mut follower, is_pinned) = self.log.follower(memory, screen).await?;
        let mut progress = Progress::begin(screen, Unit::Records, None, "审计", "audit");
        let done = audit::audit(&mut follower, pinned, |leaves| progress.update(leaves, 0, "")).await;
        progress.end();
        let audit = done.map_err(|error| no_threads(&error))?;
        let verdict = verdict(&audit);
        // A head is believed once it continues the one before: kept even where its entries did not come, for else who withheld
        // them could show another one the next time. What was not believed never gets into the memory.
        if audit.head.is_ok() || follower.memory().newest() != before {
            write_state(self.state.as_deref(), &follower.memory().encode())?;
        }
        if screen.json {
            screen.print_json(&report(&audit, &follower, verdict, is_pinned))?;
        } else {
            print(&audit, &follower, verdict, screen)?;
        }
        Ok(verdict)
    }

    /// What was remembered, which must be of this tree.
    fn state_of(&self, tree: Audited, limit_bytes: usize) -> Result<Option<Vec<u8>>, CliError> {
        let read = read_state(self.state.as_deref(), limit_bytes as u64)?;
        let is_of_conduct = read.as_deref().is_some_and(is_of_conduct);
        let path = self.state.as_deref().unwrap_or(Path::new("")).display();
        match (tree, &read) {
            (Audited::Registry, Some(_)) if is_of_conduct => Err(CliError::wrong(
                format!("{path} 是审计树（--tree audit）的状态，不是登记树的：每棵树请各用一个文件"),
                format!(
                    "{path} is a state of the audit tree (--tree audit), not of the registry: give each tree a file of its own"
                ),
            )),
            (Audited::Audit, Some(_)) if !is_of_conduct => Err(CliError::wrong(
                format!("{path} 不是审计树的状态（或属于登记树，或不可读）：每棵树请各用一个文件"),
                format!(
                    "{path} is no state of the audit tree (it is the registry's, or does not read): give each tree a file of its own"
                ),
            )),
            _ => Ok(read),
        }
    }
}

fn no_threads(error: &std::io::Error) -> CliError {
    CliError::wrong(format!("无法启动校验线程：{error}"), format!("the threads that examine do not start: {error}"))
}

fn verdict(audit: &Audit) -> Verdict {
    match &audit.head {
        _ if audit.ledger.anomaly_count > 0 => Verdict::No,
        Ok(_) => Verdict::Yes,
        Err(error) if error.blames_the_log() => Verdict::No,
        Err(_) => Verdict::Unknown,
    }
}

fn keys_of(path: &Path) -> Result<Vec<PublicJwk>, CliError> {
    let shown = path.display();
    let document: Json = serde_json::from_slice(&read_bounded(path, JWKS_LIMIT_BYTES)?).map_err(|error| {
        CliError::wrong(
            format!("公钥文件 {shown} 不是 JSON：{error}"),
            format!("the key file {shown} is not JSON: {error}"),
        )
    })?;
    let keys = ed25519_keys(&document);
    if keys.is_empty() {
        return Err(CliError::wrong(
            format!("{shown} 里没有可用的 Ed25519 公钥"),
            format!("there is no usable Ed25519 key in {shown}"),
        ));
    }
    Ok(keys)
}

/// Leaves a second.
fn speed(audit: &Audit) -> u64 {
    (audit.judged as f64 / audit.took.as_secs_f64().max(0.001)) as u64
}

/// What is no fault, and may be worth a look.
fn notes(audit: &Audit) -> Vec<Text> {
    let mut notes = Vec::new();
    if let (count, Some(first)) = audit.ledger.earlier {
        notes.push(Text::new(
            format!("{count} 条的时间早于其前一条，首见于第 {first} 条：同时签署，或时钟曾被拨回"),
            format!(
                "{} dated before the one in front, entry {first} first: signed at the same time, or a clock was set back",
                counted(count, "statement")
            ),
        ));
    }
    for (kid, not_after, last) in audit.ledger.ended().filter(|(_, not_after, last)| not_after < last) {
        let first = not_after + 1;
        notes.push(Text::new(
            format!("密钥 {kid} 的签名自第 {first} 条起不算数：至第 {last} 条由它签署的都不可信"),
            format!("the signatures of the key {kid} count no more from entry {first} on: what it signed up to entry {last} is void"),
        ));
    }
    for (typ, count) in &audit.ledger.counts.other {
        notes.push(Text::new(
            format!("{count} 条 {typ} 只查了签名与签发者"),
            format!("of {} of the type {typ} only signature and issuer were judged", counted(count, "statement")),
        ));
    }
    notes
}

fn report(audit: &Audit, follower: &Follower, verdict: Verdict, is_pinned: bool) -> Json {
    let memory = follower.memory();
    let newest = memory.newest();
    let keys: Vec<Json> =
        audit.keys.keys().iter().map(|known| json!({"kid": known.key.kid, "from": known.from})).collect();
    let mut report = json!({
        "tree": "registry",
        "clean": match verdict { Verdict::Yes => Json::Bool(true), Verdict::No => Json::Bool(false), Verdict::Unknown => Json::Null },
        "log": memory.origin().map(|origin| json!({"origin": origin, "size": newest.size, "root": BASE64.encode(newest.root)})),
        "pinned": is_pinned,
        "judged": audit.judged,
        "counts": audit.ledger.counts,
        "identifiers": audit.ledger.identifiers(),
        "keys": keys,
        "anomalies": audit.ledger.anomalies,
        "anomaly_count": audit.ledger.anomaly_count,
        "notes": notes(audit),
        "seconds": audit.took.as_secs_f64(),
        "entries_per_second": speed(audit),
        "identifier_bytes": audit.ledger.table_bytes(),
    });
    if let Err(error) = &audit.head {
        report["error"] = error_json(error);
    }
    report
}

/// Why a log could not be followed, for a script.
pub fn error_json(error: &FollowError) -> Json {
    let mut told = json!({"code": error.code(), "detail": error.text(), "blames_the_log": error.blames_the_log()});
    if let Some(evidence) = error.evidence() {
        told["remembered"] = json!(evidence.remembered);
        told["shown"] = json!(evidence.shown);
    }
    told
}

/// The same for a person: what happened, and the signed heads that prove it.
pub fn print_error(error: &FollowError, screen: Screen) -> Result<(), CliError> {
    let text = error.text();
    screen.say(format!("{}：{}", error.code(), text.zh), format!("{}: {}", error.code(), text.en))?;
    if let Some(evidence) = error.evidence() {
        for (zh, en, note) in [
            ("先前的检查点", "the checkpoint seen before", evidence.remembered.as_deref()),
            ("现在的检查点", "the checkpoint shown now", Some(evidence.shown.as_str())),
        ] {
            if let Some(note) = note {
                screen.say(format!("{zh}：\n{note}"), format!("{en}:\n{note}"))?;
            }
        }
    }
    Ok(())
}

fn print(audit: &Audit, follower: &Follower, verdict: Verdict, screen: Screen) -> Result<(), CliError> {
    let (ledger, memory) = (&audit.ledger, follower.memory());
    let counts = &ledger.counts;
    if let Some(origin) = memory.origin() {
        let newest = memory.newest();
        screen.say(format_args!("日志    {origin}"), format_args!("log          {origin}"))?;
        let root = BASE64.encode(newest.root);
        screen.say(
            format_args!("检查点  {} 条，根 {root}", newest.size),
            format_args!("head         {}, root {root}", counted(newest.size, "entry")),
        )?;
    }
    let others: u64 = counts.other.values().sum();
    screen.say(
        format_args!(
            "查过    {} 条：记录 {}，密钥 {}，许可 {}，改名 {}，抹除 {}，其他 {others}",
            audit.judged, counts.entries, counts.keys, counts.licences, counts.origins, counts.erasures
        ),
        format_args!(
            "judged       {}: {} of records, {} about keys, {} about licences, {} about the log's name, {}, {}",
            audit.judged,
            counts.entries,
            counts.keys,
            counts.licences,
            counts.origins,
            counted(counts.erasures, "erasure"),
            counted(others, "other")
        ),
    )?;
    let (identifiers, mebibytes) = (ledger.identifiers(), ledger.table_bytes() >> 20);
    screen.say(
        format_args!("标识    {identifiers} 个（内存 {mebibytes} MiB）"),
        format_args!("identifiers  {identifiers} ({mebibytes} MiB of memory)"),
    )?;
    let (seconds, speed) = (audit.took.as_secs_f64(), speed(audit));
    screen.say(
        format_args!("用时    {seconds:.1} 秒，每秒 {speed} 条"),
        format_args!("took         {seconds:.1} s, {speed} entries/s"),
    )?;
    for anomaly in &ledger.anomalies {
        let (index, word) = (anomaly.index, anomaly.kind.word());
        screen.say(
            format_args!("异常    第 {index} 条 {word}：{}", anomaly.detail.zh),
            format_args!("ANOMALY      entry {index} {word}: {}", anomaly.detail.en),
        )?;
    }
    let untold = ledger.anomaly_count - ledger.anomalies.len() as u64;
    if untold > 0 {
        screen.say(format_args!("异常    另有 {untold} 处"), format_args!("ANOMALY      and {untold} more"))?;
    }
    for note in notes(audit) {
        screen.note_text(&note);
    }
    if let Err(error) = &audit.head {
        print_error(error, screen)?;
    }
    match verdict {
        Verdict::Yes => screen.say("结论：无异常", "verdict: clean"),
        Verdict::No => screen.say("结论：有异常或伪造，不可信", "verdict: NOT clean"),
        Verdict::Unknown => screen.say("结论：无法判断", "verdict: cannot tell"),
    }
}
