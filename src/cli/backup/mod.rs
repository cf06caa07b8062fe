//! `mingpai backup`: the log in another folder, from a running node or from a stopped one's data folder; and whether it is whole.
//!
//! - `online`: the log over HTTP. `files`: the files of keys. `restore`: the way back.

mod files;
mod online;
mod restore;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

pub use self::restore::Restore;

use self::files::{backup_key, key_files};
use self::online::OnlineSource;
use super::client::ServerArguments;
use super::failure::{CliError, Verdict};
use super::progress::{Progress, Unit};
use super::screen::Screen;
use super::token_file::TokenArguments;
use crate::model::text::counted;
use crate::sign::statement::LogReader;
use crate::store::OpenError;
use crate::store::backup::{
    BackupError, LastBackup, OfflineSource, Source, Take, TakeDone, Verified, save_last, take, verify,
};
use crate::store::doctor::is_store;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "例 Examples:
  mingpai keygen --use backup --out backup-key
  mingpai backup /backup/mingpai --token-file admin-key --key-file backup-key --keys /var/lib/mingpai/keys
  mingpai backup /backup/mingpai --data /var/lib/mingpai --key-file backup-key
  mingpai backup verify /backup/mingpai --key-file backup-key

同一目录再次运行只取新增的部分，并抹去其后被抹除的内容。不加密的备份不含私钥，除非加 --with-keys。
Run again on the same folder it takes what is new only, and blanks what was erased since. A backup that is not encrypted has no private keys
unless --with-keys is given. Exit codes: 0 done or whole, 1 damaged, 2 it could not be done or told."
)]
pub struct Backup {
    #[command(subcommand)]
    look: Option<Look>,
    /// 备份目录：空目录或已有的备份 / Folder of the backup: empty, or one that holds it already
    #[arg(value_name = "DEST", required = true)]
    dest: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    token: TokenArguments,
    /// 直接读取已停止的节点的数据目录 / Read the data folder of a node that is stopped, instead of asking one that runs
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// 用此密钥加密（mingpai keygen --use backup） / Encrypt with this key
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// 一并备份此目录中的私钥；加密且给出 --data 时自动包含 / Back up the private keys in this folder too; implied by --data with --key-file
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// 即使不加密也包含私钥 / Include the private keys though the backup is not encrypted
    #[arg(long)]
    with_keys: bool,
    /// 节点不可达时最多等待的秒数 / How long to wait for a node that is away
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
    /// JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Look {
    /// 逐字节检查备份 / Read all of a backup and say whether it is whole
    Verify(Verify),
}

#[derive(Debug, Args)]
#[command(after_help = "例 Example:
  mingpai backup verify /backup/mingpai --key-file backup-key --json")]
struct Verify {
    /// 备份目录 / Folder of the backup
    #[arg(value_name = "DEST")]
    dest: PathBuf,
    /// 加密备份的密钥 / Key of an encrypted backup
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// JSON
    #[arg(long)]
    json: bool,
}

impl Backup {
    pub fn is_json(&self) -> bool {
        match &self.look {
            Some(Look::Verify(verify)) => verify.json,
            None => self.json,
        }
    }

    pub fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        if let Some(Look::Verify(verify)) = &self.look {
            return verify.run(screen);
        }
        let dest = self.dest.as_deref().unwrap_or(Path::new("."));
        let key = backup_key(self.key_file.as_deref())?;
        let keys = self.keys_folder()?.map(|folder| key_files(&folder)).transpose()?;
        let what = Take { folder: dest, key: key.as_ref(), keys: keys.as_deref(), log: &LogReader };
        let mut shown = Shown::new(screen, "备份", "backing up");
        let mut run = |source: &mut dyn Source| take(&what, source, &mut |done, total| shown.update(done, total));
        let done = match &self.data {
            Some(data) => {
                let done = run(&mut offline(data)?).map_err(failed)?;
                let last = LastBackup { time: done.created, sequence: done.sequence, bytes: done.bytes };
                note(screen, save_last(data, &last).map_err(|error| error.to_string()));
                done
            }
            None => {
                let token = self.token.required(screen)?;
                let patience = Duration::from_secs(self.patience);
                let mut source = OnlineSource::new(self.server.clone(), &token, patience, screen)?;
                let done = run(&mut source).map_err(failed)?;
                note(screen, source.note(done.sequence, done.bytes).map_err(|error| error.text().en));
                done
            }
        };
        drop(shown);
        print(&done, screen)?;
        Ok(Verdict::Yes)
    }

    /// Where the keys are that go into the backup, if they do.
    fn keys_folder(&self) -> Result<Option<PathBuf>, CliError> {
        let is_safe = self.key_file.is_some() || self.with_keys;
        let own = self.data.as_ref().filter(|_| is_safe).map(|data| data.join("keys"));
        match self.keys.clone().or(own) {
            Some(_) if !is_safe => Err(CliError::wrong(
                "不加密的备份不应含私钥：请用 --key-file 加密，或明确加上 --with-keys",
                "private keys do not belong into a backup that is not encrypted: encrypt it with --key-file, or insist with --with-keys",
            )),
            None if self.with_keys => Err(CliError::wrong(
                "私钥不经网络传送：请在节点所在机器上用 --keys 指明其目录",
                "private keys are never sent over a network: name their folder with --keys, on the node's machine",
            )),
            found => Ok(found),
        }
    }
}

/// The log of a stopped node.
fn offline(data: &Path) -> Result<OfflineSource, CliError> {
    if !is_store(data) {
        let data = data.display();
        return Err(CliError::wrong(
            format!("{data} 中没有日志：请用 --data 指明数据目录"),
            format!("there is no journal in {data}: name the data folder with --data"),
        ));
    }
    OfflineSource::open(data).map_err(|error| match error {
        OpenError::InUse(_) => {
            let data = data.display();
            CliError::wrong(
                format!("{data} 上有节点在运行：去掉 --data，用 --server 与 --token-file 向它备份"),
                format!("a node runs on {data}: leave --data out and ask it, with --server and --token-file"),
            )
        }
        error => CliError::Wrong(error.text()),
    })
}

/// That the node does not hear of it takes nothing from the backup.
fn note(screen: Screen, noted: Result<(), String>) {
    if let Err(cause) = noted {
        screen.note(
            format!("备份已完成，但未能告知节点（监控会认为没有备份）：{cause}"),
            format!("the backup is done, but the node was not told and will be watched as having none: {cause}"),
        );
    }
}

/// A damaged backup is an answer; all else is none.
fn failed(error: BackupError) -> CliError {
    match &error {
        BackupError::Damaged(_) => CliError::No(error.text()),
        _ => CliError::Wrong(error.text()),
    }
}

fn print(done: &TakeDone, screen: Screen) -> Result<(), CliError> {
    if screen.json {
        return screen.print_json(done);
    }
    let TakeDone { sequence, new_frames, new_bytes, newly_erased, bytes, .. } = done;
    screen.say(
        format!(
            "已备份至序号 {sequence}：新增 {new_frames} 帧、{new_bytes} 字节；抹除 {newly_erased} 帧；共 {bytes} 字节"
        ),
        format!(
            "backed up to sequence {sequence}: {}, {}; {} blanked; {} in all",
            counted(new_frames, "new frame"),
            counted(new_bytes, "byte"),
            counted(newly_erased, "frame"),
            counted(bytes, "byte")
        ),
    )?;
    let head = &done.head;
    screen.say(
        format!("日志 {}，{} 条，根 {}", head.origin, head.size, head.root),
        format!("log {}, {}, root {}", head.origin, counted(head.size, "statement"), head.root),
    )?;
    if !done.is_encrypted {
        screen.note(
            "注意：此备份未加密，隐藏的值在其中可读：请像数据目录一样保护它",
            "note: this backup is not encrypted and hidden values can be read in it: protect it as the data folder",
        );
    }
    if !done.has_keys {
        screen.note(
            "注意：此备份不含私钥与前缀秘密：没有它们恢复的节点无法启动，请另存 DATA/keys",
            "note: the private keys and the prefixes' secret are not in it, and no restored node starts without them: keep a copy of DATA/keys apart",
        );
    }
    Ok(())
}

impl Verify {
    fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let key = backup_key(self.key_file.as_deref())?;
        let mut shown = Shown::new(screen, "检查", "reading");
        let found = match verify(&self.dest, key.as_ref(), &mut |done, total| shown.update(done, total)) {
            Ok(found) => found,
            Err(BackupError::Damaged(damage)) if screen.json => {
                screen.print_json(&json!({"verdict": Verdict::No.word(), "damage": [damage]}))?;
                return Ok(Verdict::No);
            }
            Err(error) => return Err(failed(error)),
        };
        drop(shown);
        let verdict = match found.damage.is_empty() {
            false => Verdict::No,
            true if found.is_content_checked => Verdict::Yes,
            true => Verdict::Unknown,
        };
        if screen.json {
            let mut answer = serde_json::to_value(&found).unwrap_or_default();
            if let Some(members) = answer.as_object_mut() {
                members.insert("verdict".to_owned(), verdict.word().into());
            }
            screen.print_json(&answer)?;
        } else {
            tell(&found, verdict, screen)?;
        }
        Ok(verdict)
    }
}

fn tell(found: &Verified, verdict: Verdict, screen: Screen) -> Result<(), CliError> {
    let Verified { created, sequence, segments, bytes, .. } = found;
    for damage in &found.damage {
        screen.say(format!("已损坏：{damage}"), format!("damaged: {damage}"))?;
    }
    match verdict {
        Verdict::Yes => screen.say(
            format!("完好：{segments} 段，至序号 {sequence}，共 {bytes} 字节，备份于 {created}"),
            format!(
                "whole: {} up to sequence {sequence}, {}, made at {created}",
                counted(segments, "segment"),
                counted(bytes, "byte")
            ),
        ),
        Verdict::No => screen.say(
            "此备份不完好：请改用另一份，并另起空目录重新备份",
            "this backup is not whole: use another copy, and begin a new one in an empty folder",
        ),
        Verdict::Unknown => screen.say(
            "各文件的散列相符；没有 --key-file，内容与来源无法判断",
            "every file has its hash; what they hold and who wrote them cannot be told without --key-file",
        ),
    }
}

/// Progress that begins when the first figure is there.
struct Shown {
    progress: Option<Progress>,
    screen: Screen,
    zh: &'static str,
    en: &'static str,
}

impl Shown {
    fn new(screen: Screen, zh: &'static str, en: &'static str) -> Shown {
        Shown { progress: None, screen, zh, en }
    }

    fn update(&mut self, done: u64, total: u64) {
        let Shown { screen, zh, en, .. } = *self;
        let begin = || Progress::begin(screen, Unit::Bytes, (total > 0).then_some(total), zh, en);
        self.progress.get_or_insert_with(begin).update(done, total, "");
    }
}
