//! `mingpai watch`: an owner looks for entries under its own names that it did not make, and for a second blinded name.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value as Json, json};

use super::audit::{error_json, print_error};
use super::failure::{CliError, Verdict};
use super::log_source::{LogArguments, read_bounded, read_state, write_state};
use super::screen::Screen;
use crate::model::text::Text;
use crate::services::follow::{FollowError, Follower};
use crate::services::watch::{Bundle, Finding, FindingKind, Names, Watch, not_in_log};
use crate::sign::decode_sid;
use crate::sign::keys::decode_secret;
use crate::tlog::hash::Hash;

/// The largest list of names, of known entries, and state.
const LIST_LIMIT_BYTES: u64 = 1 << 30;
const BUNDLE_LIMIT_BYTES: u64 = 64 << 20;
/// What was just made is in a head within a second; a slow node is given more.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai watch https://id.example.cn --policy policy.txt --prefix 88.999.1 --secret-file 88.999.1.secret --names names.txt \\
      --known known.ndjson --state watch.json
  mingpai watch https://id.example.cn --policy policy.txt --prefix 88.999.1 --secret-file 88.999.1.secret --bundle answer.json

--known：每行一个叶哈希，或带 leaf 的 JSON（登记的答复、--json 的 found）；--confirm 把这次列出的条目加进去。
--known: a leaf hash a line, or JSON with `leaf` (answers of registrations, `found` of --json); --confirm adds what was listed.

退出码 Exit codes: 0 没有发现 nothing found · 1 有发现或日志不可信 something found, or the log is not honest · 2 无法判断 could not tell")]
pub struct WatchArguments {
    #[command(flatten)]
    log: LogArguments,
    /// 前缀 / The prefix
    #[arg(long, value_name = "PREFIX")]
    prefix: String,
    /// 前缀密文的文件（0600），由运营方给出 / The prefix's secret (0600), from the node's operator
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,
    /// 自己的标识：每行一个，或导出的 NDJSON / One's own identifiers: one a line, or an export as NDJSON
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
    /// 自己登记过的条目 / The entries that one made
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,
    /// 把列出的条目加入 --known：它们是自己登记的 / Add what is listed to --known: one made them
    #[arg(long, requires = "known", conflicts_with = "follow")]
    confirm: bool,
    /// 合作方收到的答复（带 entry 的 JSON），可重复 / What a partner was given: JSON with `entry`; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1..)]
    bundle: Vec<PathBuf>,
    /// 记住看到哪里的文件 / Where it is remembered how far was looked
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// 看一次（默认） / Look once (if nothing else is said)
    #[arg(long, conflicts_with = "follow")]
    once: bool,
    /// 一直看下去 / Go on looking
    #[arg(long)]
    follow: bool,
    /// 一直看时隔多少秒看一次 / With --follow: seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    every: u64,
    /// JSON；--follow 时每行一个发现 / JSON; with --follow a finding a line
    #[arg(long)]
    pub json: bool,
}

impl WatchArguments {
    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let secret = decode_secret(&self.secret_file).map_err(|error| CliError::Wrong(error.text()))?;
        let names = self.names.as_deref().map(names_of).transpose()?.unwrap_or_default();
        let names = Names::of(self.prefix.trim(), secret, &names).map_err(|fault| {
            CliError::wrong(
                format!("{}：{}", fault.name, fault.detail.zh),
                format!("{}: {}", fault.name, fault.detail.en),
            )
        })?;
        let known = self.known.as_deref().map(known_of).transpose()?.unwrap_or_default();
        let state = read_state(self.state.as_deref(), LIST_LIMIT_BYTES)?;
        let (mut watch, memory) =
            Watch::begin(names, state.as_deref()).map_err(|error| CliError::Wrong(error.text()))?;
        let (mut follower, _) = self.log.follower(memory, screen).await?;
        if self.follow {
            return self.go_on(&mut watch, &mut follower, &known, screen).await;
        }
        let looked = self.look(&mut watch, &mut follower, &known).await;
        write_state(self.state.as_deref(), &watch.encode(follower.memory()))?;
        match looked {
            Ok((findings, notes)) => self.tell(&findings, &notes, &follower, screen),
            Err(error) => tell_error(&error, screen),
        }
    }

    /// One look at everything.
    async fn look(
        &self,
        watch: &mut Watch,
        follower: &mut Follower,
        known: &HashSet<Hash>,
    ) -> Result<(Vec<Finding>, Vec<Text>), FollowError> {
        advance(watch, follower).await?;
        let mut findings = watch.unknown(known, 0);
        let (bundles, notes) = self.judge_bundles(watch, &mut findings);
        let sought = || known.iter().copied().chain(bundles.iter().map(|bundle| bundle.leaf));
        let mut missing = missing(watch, follower, sought()).await?;
        let started = std::time::Instant::now();
        // Made a moment ago, it is in the next head.
        while !missing.is_empty() && started.elapsed() < HEAD_PATIENCE {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let before = follower.memory().newest();
            if advance(watch, follower).await? != before.size {
                findings.extend(watch.unknown(known, before.size));
                missing = self::missing(watch, follower, sought()).await?;
            }
        }
        for leaf in missing {
            findings.push(not_in_log(&leaf, bundles.iter().find(|bundle| bundle.leaf == leaf)));
        }
        Ok((findings, notes))
    }

    fn judge_bundles(&self, watch: &Watch, findings: &mut Vec<Finding>) -> (Vec<Bundle>, Vec<Text>) {
        let (mut bundles, mut notes) = (Vec::new(), Vec::new());
        for path in &self.bundle {
            let file = path.display().to_string();
            let judged = read_bounded(path, BUNDLE_LIMIT_BYTES)
                .map_err(|error| error.text())
                .and_then(|document| watch.judge(&file, &document, findings));
            match judged {
                Ok(Some(bundle)) => bundles.push(bundle),
                Ok(None) if findings.last().and_then(|found| found.file.as_ref()) == Some(&file) => {}
                Ok(None) => notes.push(Text::new(
                    format!("{file}：不是前缀 {} 的标识", self.prefix),
                    format!("{file}: about no name under {}", self.prefix),
                )),
                Err(cause) => {
                    notes.push(Text::new(format!("{file}：{}", cause.zh), format!("{file}: {}", cause.en)));
                }
            }
        }
        (bundles, notes)
    }

    fn tell(
        &self,
        findings: &[Finding],
        notes: &[Text],
        follower: &Follower,
        screen: Screen,
    ) -> Result<Verdict, CliError> {
        // A bundle that could not be judged leaves it open.
        let is_open = |found: &Finding| !(self.confirm && found.kind == FindingKind::UnknownEntry);
        let verdict = match (!findings.iter().any(is_open), notes.is_empty()) {
            (false, _) => Verdict::No,
            (true, true) => Verdict::Yes,
            (true, false) => Verdict::Unknown,
        };
        let head = follower.memory().newest();
        if screen.json {
            let found = if findings.is_empty() { "nothing" } else { "something" };
            screen.print_json(&json!({"verdict": verdict.word(), "result": found, "size": head.size, "found": findings, "notes": notes}))?;
        } else {
            for finding in findings {
                print_finding(finding, screen)?;
            }
            let count = findings.len();
            screen.say(
                format_args!("看到第 {} 条：{count} 处发现", head.size),
                format_args!("looked as far as {} entries: {count} found", head.size),
            )?;
        }
        for note in notes {
            screen.note_text(note);
        }
        if self.confirm
            && let Some(path) = &self.known
        {
            confirm(path, findings)?;
        }
        Ok(verdict)
    }

    /// Looks again and again; ends only where the log turns out dishonest.
    async fn go_on(
        &self,
        watch: &mut Watch,
        follower: &mut Follower,
        known: &HashSet<Hash>,
        screen: Screen,
    ) -> Result<Verdict, CliError> {
        let mut told = 0;
        loop {
            let size = match advance(watch, follower).await {
                Err(error) if error.blames_the_log() => {
                    write_state(self.state.as_deref(), &watch.encode(follower.memory()))?;
                    return tell_error(&error, screen);
                }
                Err(error) => {
                    screen.note_text(&error.text());
                    follower.memory().done().size
                }
                Ok(size) => size,
            };
            for finding in watch.unknown(known, told) {
                if screen.json {
                    let line = serde_json::to_string(&finding).unwrap_or_default();
                    screen.print(line)?;
                } else {
                    print_finding(&finding, screen)?;
                }
            }
            if size != told {
                write_state(self.state.as_deref(), &watch.encode(follower.memory()))?;
                told = size;
            }
            tokio::time::sleep(Duration::from_secs(self.every.max(1))).await;
        }
    }
}

async fn advance(watch: &mut Watch, follower: &mut Follower) -> Result<u64, FollowError> {
    let head = follower.advance(|batch| {
        watch.take(&batch);
        Ok(())
    });
    Ok(head.await?.size)
}

/// Those of some leaves that the log does not have.
async fn missing(
    watch: &Watch,
    follower: &Follower,
    sought: impl Iterator<Item = Hash>,
) -> Result<HashSet<Hash>, FollowError> {
    let mut missing = watch.unseen(sought);
    if !missing.is_empty() {
        follower
            .leaf_hashes(|_, leaves| {
                for leaf in leaves {
                    missing.remove(leaf);
                }
            })
            .await?;
    }
    Ok(missing)
}

fn tell_error(error: &FollowError, screen: Screen) -> Result<Verdict, CliError> {
    let verdict = if error.blames_the_log() { Verdict::No } else { Verdict::Unknown };
    if screen.json {
        screen.print_json(&json!({"verdict": verdict.word(), "error": error_json(error)}))?;
    } else {
        print_error(error, screen)?;
    }
    Ok(verdict)
}

fn print_finding(finding: &Finding, screen: Screen) -> Result<(), CliError> {
    let word = serde_json::to_value(finding.kind).ok().and_then(|word| word.as_str().map(str::to_owned));
    let place = [
        finding.identifier.clone(),
        finding.version.map(|version| format!("v{version}")),
        finding.index.map(|index| format!("#{index}")),
        finding.leaf.as_ref().map(|leaf| format!("leaf {leaf}")),
        finding.file.clone(),
    ];
    let place: Vec<String> = place.into_iter().flatten().collect();
    let (word, place) = (word.unwrap_or_default(), place.join("  "));
    screen.say(
        format_args!("{word}  {place}\n    {}", finding.detail.zh),
        format_args!("{word}  {place}\n    {}", finding.detail.en),
    )
}

/// Lines that are not empty.
fn lines_of(path: &Path) -> Result<Vec<String>, CliError> {
    let bytes = read_bounded(path, LIST_LIMIT_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| {
        let path = path.display();
        CliError::wrong(format!("{path} 不是 UTF-8 文本"), format!("{path} is not text in UTF-8"))
    })?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// A member of each line that is JSON; other lines as they are.
fn members(path: &Path, member: &str) -> Result<Vec<String>, CliError> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(lines_of(path)?) {
        if !line.starts_with('{') {
            found.push(line);
            continue;
        }
        let named = serde_json::from_str::<Json>(&line).ok();
        let named = named.as_ref().and_then(|json| json.get(member)).and_then(Json::as_str);
        found.push(named.map(str::to_owned).ok_or_else(|| {
            let path = path.display();
            CliError::wrong(
                format!("{path} 第 {number} 个非空行没有 {member}"),
                format!("{path}, line {number} of those that are not empty: no {member}"),
            )
        })?);
    }
    Ok(found)
}

fn names_of(path: &Path) -> Result<Vec<String>, CliError> {
    members(path, "identifier")
}

fn known_of(path: &Path) -> Result<HashSet<Hash>, CliError> {
    if !path.exists() {
        return Ok(HashSet::new());
    }
    let wrong = |leaf: String| {
        let path = path.display();
        CliError::wrong(
            format!("{path}：{leaf} 不是叶哈希（32 字节的 base64url）"),
            format!("{path}: {leaf} is no leaf hash (32 bytes in base64url)"),
        )
    };
    members(path, "leaf")?.into_iter().map(|leaf| decode_sid(&leaf).ok_or_else(|| wrong(leaf))).collect()
}

/// Adds entries to those that are known.
fn confirm(path: &Path, findings: &[Finding]) -> Result<(), CliError> {
    let failed = || CliError::file("写入", "write", path);
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).map_err(failed())?;
    let mut lines = String::new();
    for finding in findings.iter().filter(|finding| finding.kind == FindingKind::UnknownEntry) {
        let leaf = finding.leaf.clone().unwrap_or_default();
        let Finding { identifier, version, index, .. } = finding;
        lines
            .push_str(&json!({"leaf": leaf, "identifier": identifier, "version": version, "index": index}).to_string());
        lines.push('\n');
    }
    file.write_all(lines.as_bytes()).and_then(|()| file.sync_all()).map_err(failed())
}
