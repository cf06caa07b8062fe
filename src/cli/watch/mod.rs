//! `mingpai watch`: an owner looks for entries under its own names that it did not make, and for a second blinded name.
//!
//! - `lists`: the owner's files of names and of known entries. `follow`: looking again and again.

mod follow;
mod lists;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use self::follow::Looks;
use self::lists::{KnownEntries, confirm, known_of, names_of};
use super::audit::{error_json, print_error};
use super::failure::{CliError, Verdict};
use super::log_source::{LogArguments, read_bounded, read_state, write_state};
use super::screen::Screen;
use crate::model::text::{Text, counted};
use crate::services::follow::{FollowError, Follower};
use crate::services::watch::{Bundle, Finding, Names, Watch, not_in_log};
use crate::sign::prefix_secret::PrefixSecret;
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
--follow 每次都重读 --known 与 --bundle，每处发现只说一次，且在持续 5 秒后才说。
--follow reads --known and --bundle again at each look, and tells each finding once, after it has stood for 5 s.

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
        let secret = self.secret(screen)?;
        let names = self.names.as_deref().map(names_of).transpose()?.unwrap_or_default();
        let known = self.known_entries()?;
        if names.is_empty() && known.leaves.is_empty() && self.bundle.is_empty() {
            return Err(CliError::wrong(
                "没有可看的：请用 --names 给出自己的标识，用 --known 给出已知的条目，或用 --bundle 给出合作方收到的答复",
                "nothing to watch: give your own identifiers with --names, entries that you know with --known, or what a partner was given with --bundle",
            ));
        }
        let names = Names::of(self.prefix.trim(), secret, &names).map_err(|fault| {
            CliError::wrong(
                format!("{}：{}", fault.name, fault.detail.zh),
                format!("{}: {}", fault.name, fault.detail.en),
            )
        })?;
        let state = read_state(self.state.as_deref(), LIST_LIMIT_BYTES)?;
        let (mut watch, memory) =
            Watch::begin(names, state.as_deref()).map_err(|error| CliError::Wrong(error.text()))?;
        let (mut follower, _) = self.log.follower(memory, screen).await?;
        if self.follow {
            return Looks::begin(self, known, screen).go_on(&mut watch, &mut follower).await;
        }
        let looked = self.look(&mut watch, &mut follower, &known).await;
        write_state(self.state.as_deref(), &watch.encode(follower.memory()))?;
        match looked {
            Ok((findings, notes)) => self.tell(&findings, &notes, &watch, &follower, screen),
            Err(error) => tell_error(&error, screen),
        }
    }

    /// The prefix's secret. One of another prefix would see nothing, and accuse the node of it.
    fn secret(&self, screen: Screen) -> Result<[u8; 32], CliError> {
        let read = PrefixSecret::read(&self.secret_file).map_err(|error| CliError::Wrong(error.text()))?;
        let (path, prefix) = (self.secret_file.display(), self.prefix.trim());
        match read.prefix.as_deref() {
            Some(own) if own != prefix => Err(CliError::wrong(
                format!("{path} 是前缀 {own} 的密文，不是 {prefix} 的：请向运营方索取 {prefix} 的密文"),
                format!("{path} is the secret of {own}, not of {prefix}: ask the operator for that of {prefix}"),
            )),
            Some(_) => Ok(read.secret),
            None => {
                screen.note(
                    format!("{path} 没有写明是哪个前缀的密文（由旧版本给出），按 {prefix} 的使用"),
                    format!(
                        "{path} does not say whose secret it is (an older version made it): taken for that of {prefix}"
                    ),
                );
                Ok(read.secret)
            }
        }
    }

    /// The entries that the owner made, as its file says now.
    fn known_entries(&self) -> Result<KnownEntries, CliError> {
        Ok(self.known.as_deref().map(known_of).transpose()?.unwrap_or_default())
    }

    /// One look at everything.
    async fn look(
        &self,
        watch: &mut Watch,
        follower: &mut Follower,
        known: &KnownEntries,
    ) -> Result<(Vec<Finding>, Vec<Text>), FollowError> {
        advance(watch, follower).await?;
        let mut findings = watch.unknown(&known.leaves, 0);
        let (bundles, mut notes) = self.judge_bundles(watch, &mut findings);
        let sought = || known.leaves.iter().copied().chain(bundles.iter().map(|bundle| bundle.leaf));
        let mut missing = missing(watch, follower, sought()).await?;
        let started = std::time::Instant::now();
        // Made a moment ago, it is in the next head.
        while !missing.is_empty() && started.elapsed() < HEAD_PATIENCE {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let before = follower.memory().newest();
            if advance(watch, follower).await? != before.size {
                findings.extend(watch.unknown(&known.leaves, before.size));
                missing = self::missing(watch, follower, sought()).await?;
            }
        }
        notes.extend(watch.doubt_secret(&bundles, &known.named, &missing, &mut findings));
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
        watch: &Watch,
        follower: &Follower,
        screen: Screen,
    ) -> Result<Verdict, CliError> {
        // A bundle that could not be judged leaves it open.
        let is_open = |found: &Finding| !(self.confirm && found.kind.can_be_known());
        let coverage = watch.coverage();
        let verdict = match (!findings.iter().any(is_open), notes.is_empty() && !coverage.is_blind()) {
            (false, _) => Verdict::No,
            (true, true) => Verdict::Yes,
            (true, false) => Verdict::Unknown,
        };
        let head = follower.memory().newest();
        if screen.json {
            let found = if findings.is_empty() { "nothing" } else { "something" };
            screen.print_json(&json!({"verdict": verdict.word(), "result": found, "size": head.size, "found": findings, "notes": notes, "names": coverage.names, "names_without_entry": coverage.without_entry}))?;
        } else {
            for finding in findings {
                print_finding(finding, screen)?;
            }
            let count = findings.len();
            screen.say(
                format_args!("看到第 {} 条：{count} 处发现", head.size),
                format_args!("looked at {}: {count} found", counted(head.size, "entry")),
            )?;
        }
        for note in notes.iter().chain(&coverage.text()) {
            screen.note_text(note);
        }
        if self.confirm
            && let Some(path) = &self.known
        {
            let (added, left, path) = (confirm(path, findings)?, findings.len(), path.display());
            let left = left - added;
            screen.note(
                format!("已把 {added} 条写入 {path}，今后视为自己登记的；另有 {left} 处发现不能这样确认"),
                format!("{added} entries were written to {path} and count as your own from now on; {left} findings cannot be confirmed so"),
            );
        }
        Ok(verdict)
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
