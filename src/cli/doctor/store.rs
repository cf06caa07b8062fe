//! Journal and record store: looked at, made anew, cut. None of it works while a node has the folder open.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::{Check, Finding, Holder, Known, Patient};
use crate::cli::failure::{CliError, Verdict};
use crate::cli::screen::Screen;
use crate::cli::shell;
use crate::model::prefix::Prefixes;
use crate::model::text::Text;
use crate::node::store_options;
use crate::sign::StatementReader;
use crate::store::cold;
use crate::store::cut::cut_journal;
use crate::store::doctor::{self, Examination};
use crate::store::journal::JournalError;
use crate::store::restored::{self, Restored};
use crate::store::{ColdError, ColdOptions, OpenError, StoreOptions};

/// Who has the folder open, and what was found.
pub fn examine(patient: &Patient) -> (Holder, Vec<Check>) {
    let config = &patient.config;
    let data = config.node.data.display();
    if !doctor::is_store(&config.node.data) {
        return no_journal(patient);
    }
    match doctor::examine(&options(patient)) {
        Err(OpenError::InUse(_)) => {
            let check = Check::new(
                "lock",
                Finding::Unknown,
                format!("{data} 上有节点在运行：日志和记录库要停止节点后才能检查"),
                format!("a node runs on {data}: journal and record store can be checked once it is stopped"),
                stopped(patient, &patient.again("doctor")),
            );
            // What a restore left to be decided is seen beside a node that runs, too.
            (Holder::Node, std::iter::once(check).chain(undecided(patient, Holder::Node)).collect())
        }
        // Before anything else that is amiss: what a restore that was cut short has left is no log.
        _ if let Some(half) = restored::cut_short(&config.node.data) => {
            (Holder::Nobody, vec![free_lock(), cut_short(patient, half)])
        }
        Ok(found) => {
            let mut checks =
                vec![free_lock(), journal(patient, &found), records(patient, &found), snapshot(patient, &found)];
            checks.extend(undecided(patient, Holder::Nobody));
            (Holder::Nobody, checks)
        }
        Err(OpenError::Io { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => {
            (Holder::Untold, vec![closed(patient)])
        }
        Err(error) => (Holder::Nobody, vec![free_lock(), damage(patient, &error)]),
    }
}

fn no_journal(patient: &Patient) -> (Holder, Vec<Check>) {
    let journal = patient.config.node.data.join("journal");
    if journal.metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied) {
        return (Holder::Untold, vec![closed(patient)]);
    }
    let data = patient.config.node.data.display();
    let check = Check::new(
        "journal",
        Finding::Unknown,
        format!("{data} 中还没有日志"),
        format!("there is no journal in {data} yet"),
        patient.again("serve"),
    );
    (Holder::Nobody, vec![check])
}

/// Another user's folder: neither what is in it nor whether a node runs on it can be seen.
fn closed(patient: &Patient) -> Check {
    let data = patient.config.node.data.display();
    Check::new(
        "lock",
        Finding::Unknown,
        format!("当前用户无权查看 {data}：其中的日志，以及是否有节点在运行，都无法判断"),
        format!("this user may not look into {data}: neither its journal nor whether a node runs there can be told"),
        patient.as_owner(),
    )
}

/// A command for once the node is stopped: the service, or, of a demonstration, the process that has the lock.
fn stopped(patient: &Patient, then: &str) -> String {
    if patient.config.node.dev || patient.config.node.data.join("dev-token").exists() {
        let lock = shell::path(&patient.config.node.data.join("lock"));
        return format!(
            "for pid in $(lsof -t {lock}); do kill $pid; while kill -0 $pid 2>/dev/null; do sleep 1; done; done; {then}"
        );
    }
    format!("sudo systemctl stop mingpai; {}", patient.by_owner(then))
}

/// The store's options. Without a configuration the journal's own word says where its cold segments are.
fn options(patient: &Patient) -> StoreOptions {
    let mut options = store_options(&patient.config);
    if !matches!(patient.known, Known::Given) {
        options.cold = cold::noted(&options.folder).map(|folder| ColdOptions { folder, after_segments: u64::MAX });
    }
    options
}

fn free_lock() -> Check {
    Check::ok("lock", "没有节点在使用", "no node uses it")
}

fn journal(patient: &Patient, found: &Examination) -> Check {
    let journal = &found.journal;
    let (cold_zh, cold_en) = match journal.cold_segments {
        0 => (String::new(), String::new()),
        cold => (format!("（其中 {cold} 段在冷存储）"), format!(" ({cold} of them cold)")),
    };
    if journal.disclosing > 0 {
        return Check::new(
            "journal",
            Finding::Failed,
            format!(
                "{} 帧已被删除（擦除），内容却仍在日志中（放回了旧的日志段？）：请重建，重建会再次擦除",
                journal.disclosing
            ),
            format!(
                "{} erased frames still say what was erased (an older copy of a segment?): make all anew, which blanks them",
                journal.disclosing
            ),
            patient.command("--rebuild"),
        );
    }
    Check::ok(
        "journal",
        format!("{} 段{cold_zh}，{} 帧，校验全部通过", journal.segments, journal.frames),
        format!("{} segments{cold_en}, {} frames, every checksum holds", journal.segments, journal.frames),
    )
}

fn records(patient: &Patient, found: &Examination) -> Check {
    let (records, behind) = (found.records, found.behind);
    match &found.difference {
        Some(difference) => Check::new(
            "records",
            Finding::Failed,
            format!("记录库与其总数不符：{difference}"),
            format!("the record store does not add up: {difference}"),
            patient.command("--rebuild"),
        ),
        None => Check::ok(
            "records",
            format!("{records} 条记录，落后日志 {behind} 帧（启动时补上）"),
            format!("{records} records, {behind} frames behind the journal (applied at the next start)"),
        ),
    }
}

/// Never more than a remark: nothing but the time of a start depends on it.
fn snapshot(patient: &Patient, found: &Examination) -> Check {
    let Some(check) = &found.snapshot else {
        return Check::ok(
            "snapshot",
            "没有快照：断电后的启动由日志重建全部记录（store.snapshot_changes）",
            "there is none: a start after a power cut makes all rows anew from the journal (store.snapshot_changes)",
        );
    };
    let (rows, behind) = (check.state.rows, found.journal.frames.saturating_sub(check.state.sequence));
    match &check.damage {
        None => Check::ok(
            "snapshot",
            format!("快照有 {rows} 行，校验全部通过，之后有 {behind} 帧"),
            format!("{rows} rows, every checksum holds, {behind} frames since"),
        ),
        Some(damage) => Check::new(
            "snapshot",
            Finding::Warning,
            format!("快照损坏（{damage}），断电后的启动不会使用它：请由日志重建"),
            format!("damaged ({damage}), so that a start after a power cut will not use it: make all anew"),
            patient.command("--rebuild"),
        ),
    }
}

/// A restore that is not whole: the same command does it anew.
fn cut_short(patient: &Patient, half: Restored) -> Check {
    let Text { zh, en } = OpenError::RestoreCutShort.text();
    // A note of an earlier version does not say it.
    let again = half.again.unwrap_or_else(|| {
        let data = shell::path(&patient.config.node.data);
        format!("BACKUP=/backup/mingpai; mingpai restore \"$BACKUP\" --data {data}  # where your backup is")
    });
    Check::new("restored", Finding::Failed, zh, en, again)
}

/// A restored log that nobody has decided about: only then is there something to say.
fn undecided(patient: &Patient, holder: Holder) -> Option<Check> {
    let data = &patient.config.node.data;
    let restored = restored::undecided(data).ok().flatten().filter(Restored::is_undecided)?;
    let sequence = restored.sequence;
    // The one decision that is right whatever came after: the others are the operator's word, and a wrong word forks the log.
    let anew = format!("mingpai restore --data {} --new-origin", shell::path(data));
    let repair = match restored.is_cut {
        true => anew,
        false => format!(
            "{anew}  # or, in its place, --log-ended-here where nothing was written after the backup, or --continue-from with the newest checkpoint"
        ),
    };
    Some(Check::new(
        "restored",
        Finding::Warning,
        format!(
            "由备份恢复（或截断）至序号 {sequence}，日志如何继续尚未决定：写入以 503 restored_undecided 拒绝。停止节点后决定"
        ),
        format!(
            "restored from a backup, or cut, up to sequence {sequence}, and nobody has decided how the log goes on: writes answer 503 restored_undecided. Decide with the node stopped"
        ),
        if holder == Holder::Node { stopped(patient, &repair) } else { repair },
    ))
}

fn damage(patient: &Patient, error: &OpenError) -> Check {
    let Text { zh, en } = error.text();
    let (finding, repair) = match error {
        OpenError::Journal(JournalError::Damaged { segment, offset, .. }) => (
            Finding::Failed,
            patient.command(&format!("--cut-journal {}", shell::word(&format!("{segment}:{offset}")))),
        ),
        OpenError::Cold(error) => (Finding::Failed, cold_repair(patient, error)),
        // Room is what it needs: nothing is wrong with the files.
        OpenError::Engine(error) if error.is_full => {
            (Finding::Unknown, format!("df -h {}", shell::path(&patient.config.node.data)))
        }
        OpenError::Engine(_) => (Finding::Failed, patient.command("--rebuild")),
        // Permissions, a disk that does not answer: nothing of ours mends that.
        _ => (Finding::Failed, format!("ls -lR {}; dmesg | tail", shell::path(&patient.config.node.data))),
    };
    Check::new("store", finding, format!("打开失败：{zh}"), format!("it does not open: {en}"), repair)
}

/// What to look at, or what to do, where cold segments cannot be had.
fn cold_repair(patient: &Patient, error: &ColdError) -> String {
    let mounted = |folder: &Path| format!("findmnt -T {0}; ls -l {0}", shell::path(folder));
    match error {
        ColdError::Io { path, .. } => format!("ls -l {}; dmesg | tail", shell::path(path)),
        ColdError::NoFolder(folder)
        | ColdError::Anothers(folder)
        | ColdError::Claimed(folder)
        | ColdError::Taken(folder) => mounted(folder),
        ColdError::InUse(folder) => format!("lsof {}", shell::path(&folder.join("lock"))),
        ColdError::Away { noted, .. } => mounted(noted),
        ColdError::NotSet { folder, .. } => {
            let set = shell::word(&format!("store.cold={}", folder.display()));
            patient.command(&format!("--set {set}  # and set it in the configuration"))
        }
        ColdError::Missing { segment, .. } => {
            // Without a slash at its end, which would lead into it.
            let data: std::path::PathBuf = patient.config.node.data.components().collect();
            let (beside, segment) = (shell::word(&format!("{}.restored", data.display())), shell::word(segment));
            let journal = shell::path(&data.join("journal"));
            format!(
                "BACKUP=/backup/mingpai; mingpai restore \"$BACKUP\" --data {beside} && cp {beside}/journal/{segment} {journal}  # where your backup is"
            )
        }
    }
}

/// Makes the record store anew. Yes: it is equal to the old one, or there was none to compare with.
///
/// Not with the defaults: whether a prefix tells capitals apart decides the keys of its records.
pub fn rebuild(patient: &Patient, screen: Screen) -> Result<Verdict, CliError> {
    let config = &patient.config;
    if !matches!(patient.known, Known::Given) {
        return Err(CliError::wrong(
            "重建记录库需要节点的配置（前缀的大小写规则在其中）：请加 --config FILE 或 --dev",
            "the record store is made anew by the node's configuration, which says how its prefixes compare: give --config FILE or --dev",
        ));
    }
    stored(patient)?;
    let prefixes = Prefixes::new(config.prefixes.clone())
        .map_err(|error| CliError::wrong(error.to_string(), error.to_string()))?;
    let statements = Arc::new(StatementReader { prefixes: Arc::new(prefixes) });
    let rebuilt = doctor::rebuild(&options(patient), statements).map_err(|e| failed(&e))?;
    let differing = rebuilt.differing_rows;
    if screen.json {
        screen.print_json(&json!({"rebuilt": rebuilt, "equal": differing.map(|rows| rows == 0)}))?;
    } else {
        let (frames, records) = (rebuilt.frames, rebuilt.records);
        screen.say(
            format!("已由 {frames} 帧重建 {records} 条记录，自检通过"),
            format!("{records} records made anew from {frames} frames; they add up"),
        )?;
        match differing {
            Some(0) => screen.say("与原记录库逐行相同", "row by row equal to the old record store")?,
            Some(rows) => screen.say(
                format!("与原记录库有 {rows} 行不同：以重建的为准"),
                format!("{rows} rows differ from the old record store: the new ones are right"),
            )?,
            None => screen.say(
                "原记录库无法比较（打不开或落后）",
                "the old record store could not be compared: it did not open, or was behind",
            )?,
        }
        let aside = rebuilt.aside.display();
        screen.note(
            format!("原文件在 {aside}，确认后可删除"),
            format!("the old files are in {aside}; remove them when all is well"),
        );
    }
    Ok(match differing {
        Some(rows) if rows > 0 => Verdict::No,
        _ => Verdict::Yes,
    })
}

/// Cuts a damaged journal. What is cut stays aside as files, where it was.
pub fn cut(patient: &Patient, segment: &str, offset: u64, screen: Screen) -> Result<Verdict, CliError> {
    stored(patient)?;
    cut_journal(&options(patient), segment, offset).map_err(|e| failed(&e))?;
    if screen.json {
        screen.print_json(&json!({"cut": {"segment": segment, "offset": offset}}))?;
    } else {
        let cold = &patient.config.store.cold;
        let (cold_zh, cold_en) = match cold.as_os_str().is_empty() {
            true => (String::new(), String::new()),
            false => {
                (format!("与冷存储目录 {}", cold.display()), format!(" and in the cold folder {}", cold.display()))
            }
        };
        screen.say(
            format!("日志已在 {segment} 的第 {offset} 字节处截断；截下的部分以 .cut 文件保留在 journal 目录{cold_zh}，下次启动会重建记录库"),
            format!("the journal is cut at {segment}, byte {offset}; what was cut stays in the journal folder{cold_en} as .cut files, and the next start makes the record store anew"),
        )?;
        let data = shell::path(&patient.config.node.data);
        screen.say(
            format!("截下的内容可能已被他人看到：在运行 mingpai restore --data {data} --new-origin 使日志以新名继续之前，节点只提供读取"),
            format!("others may have been shown what was cut: the node answers and takes nothing until the log goes on under a new name: mingpai restore --data {data} --new-origin"),
        )?;
    }
    Ok(Verdict::Yes)
}

fn stored(patient: &Patient) -> Result<(), CliError> {
    let config = &patient.config;
    if doctor::is_store(&config.node.data) {
        return Ok(());
    }
    let data = config.node.data.display();
    Err(CliError::wrong(
        format!("{data} 中没有日志：请用 --data 指明数据目录"),
        format!("there is no journal in {data}: name the data folder with --data"),
    ))
}

fn failed(error: &OpenError) -> CliError {
    CliError::Wrong(error.text())
}
