//! `mingpai restore`: a data folder from a backup, and the decision how its log goes on.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use serde_json::json;

use super::files::backup_key;
use super::{Shown, failed};
use crate::cli::failure::{CliError, Verdict};
use crate::cli::screen::Screen;
use crate::cli::shell;
use crate::model::text::{Text, counted};
use crate::model::time::Timestamp;
use crate::sign::statement::LogReader;
use crate::store::backup::{Moment, RestoreDone, restore};
use crate::store::restored::{DecideError, Decision, HEAD_LIMIT_BYTES, Restored, decide, undecided};

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("decision").multiple(false),
    after_help = "例 Examples:
  mingpai restore /backup/mingpai --data /var/lib/mingpai-new --key-file backup-key
  mingpai restore /backup/mingpai --data /tmp/then --to 2026-11-01T00:00:00Z
  mingpai restore --data /var/lib/mingpai-new --log-ended-here
  mingpai restore --data /var/lib/mingpai-new --continue-from checkpoint
  mingpai restore --data /var/lib/mingpai-new --new-origin

恢复的节点只读, 直到操作者说明日志如何继续: 其后没有过内容 (--log-ended-here), 或给出该日志最新的检查点 (--continue-from);
否则以新的日志名继续 (--new-origin)。
A restored node serves reads only, until it is told how its log goes on: that nothing came after (--log-ended-here), or the newest checkpoint of the
log from a witness or mirror (--continue-from); else under a new name (--new-origin)."
)]
pub struct Restore {
    /// 备份目录；只作决定时省略 / Folder of the backup; left out where only the decision is made
    #[arg(value_name = "BACKUP")]
    backup: Option<PathBuf>,
    /// 数据目录：恢复时必须不存在或为空 / Data folder; for a restore it must be absent or empty
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// 恢复到某一时刻（RFC 3339）或前若干帧 / Restore to a moment: a time in RFC 3339, or so many frames
    #[arg(long, value_name = "TIME|SEQUENCE", value_parser = moment, requires = "backup")]
    to: Option<Moment>,
    /// 加密备份的密钥 / Key of an encrypted backup
    #[arg(long, value_name = "FILE", requires = "backup")]
    key_file: Option<PathBuf>,
    /// 操作者确认：日志到此为止，其后没有任何内容 / Your word that nothing came after what was restored
    #[arg(long, group = "decision")]
    log_ended_here: bool,
    /// 该日志最新的检查点文件 / File with the newest checkpoint of this log, from a witness or a mirror
    #[arg(long, value_name = "FILE", group = "decision")]
    continue_from: Option<PathBuf>,
    /// 以新的日志名继续 / Go on under a new name; without one it is made of the old name and the time
    #[arg(long, value_name = "NAME", num_args = 0..=1, group = "decision")]
    new_origin: Option<Option<String>>,
    /// JSON
    #[arg(long)]
    pub json: bool,
}

fn moment(text: &str) -> Result<Moment, Text> {
    if let Ok(sequence) = text.parse() {
        return Ok(Moment::Sequence(sequence));
    }
    let wrong = |_| {
        Text::new(
            "应为时间或序号，例如 2026-11-01T00:00:00Z、48211",
            "must be a time or a sequence, such as 2026-11-01T00:00:00Z or 48211",
        )
    };
    Timestamp::parse(text).map(Moment::Time).map_err(wrong)
}

impl Restore {
    pub fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        // Read first: a decision that cannot be read must not cost a restore.
        let decision = self.decision()?;
        if self.backup.is_none() {
            // That there is nothing to decide is said of a folder, and there must be one.
            std::fs::metadata(&self.data).map_err(CliError::file(
                "查看数据目录",
                "look at the data folder",
                &self.data,
            ))?;
        }
        let done = self.backup.as_deref().map(|backup| self.restore(backup, screen)).transpose()?;
        let decided = decision.map(|decision| decide(&self.data, decision)).transpose().map_err(refused)?;
        let standing = match decided {
            Some(restored) => Some(restored),
            None => undecided(&self.data).map_err(|error| CliError::Wrong(error.text()))?,
        };
        if screen.json {
            screen.print_json(&json!({"restored": done, "log": standing}))?;
        } else {
            done.as_ref().map_or(Ok(()), |done| tell(done, screen))?;
            self.tell_standing(standing.as_ref(), screen)?;
        }
        let is_open = standing.as_ref().is_some_and(Restored::is_undecided);
        Ok(if done.is_none() && is_open { Verdict::Unknown } else { Verdict::Yes })
    }

    fn decision(&self) -> Result<Option<Decision>, CliError> {
        if self.log_ended_here {
            return Ok(Some(Decision::LogEndedHere));
        }
        if let Some(origin) = &self.new_origin {
            return Ok(Some(Decision::NewOrigin { origin: origin.clone() }));
        }
        let Some(path) = &self.continue_from else {
            return Ok(None);
        };
        let mut head = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(HEAD_LIMIT_BYTES).read_to_string(&mut head))
            .map_err(CliError::file("读取检查点", "read the checkpoint", path))?;
        Ok(Some(Decision::ContinueFrom { head }))
    }

    fn restore(&self, backup: &Path, screen: Screen) -> Result<RestoreDone, CliError> {
        let key = backup_key(self.key_file.as_deref())?;
        let what = crate::store::backup::Restore {
            folder: backup,
            key: key.as_ref(),
            data: &self.data,
            moment: self.to,
            again: Some(self.again(backup)),
            log: &LogReader,
        };
        let mut shown = Shown::new(screen, "恢复", "restoring");
        restore(&what, &mut |done, total| shown.update(done, total)).map_err(failed)
    }

    /// The same command, with paths that hold from every folder.
    fn again(&self, backup: &Path) -> String {
        let absolute = |path: &Path| shell::path(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
        let mut again = format!("mingpai restore {} --data {}", absolute(backup), absolute(&self.data));
        match self.to {
            Some(Moment::Sequence(sequence)) => again.push_str(&format!(" --to {sequence}")),
            Some(Moment::Time(time)) => again.push_str(&format!(" --to {time}")),
            None => {}
        }
        if let Some(key) = &self.key_file {
            again.push_str(&format!(" --key-file {}", absolute(key)));
        }
        again
    }

    fn tell_standing(&self, standing: Option<&Restored>, screen: Screen) -> Result<(), CliError> {
        let data = self.data.display();
        let Some(restored) = standing else {
            return screen.say(format!("{data}：没有需要决定的事"), format!("{data}: there is nothing to decide"));
        };
        let (zh, en) = match &restored.decision {
            None if restored.is_cut => (
                "恢复到了某一时刻：只读。要写入只能以新的日志名继续（--new-origin）",
                "restored to a moment: reads only. To write, the log must go on under a new name (--new-origin)",
            ),
            None => (
                "只读，直到决定日志如何继续：--log-ended-here、--continue-from FILE 或 --new-origin",
                "reads only, until you say how the log goes on: --log-ended-here, --continue-from FILE or --new-origin",
            ),
            Some(Decision::NewOrigin { .. }) => (
                "下次启动起，日志以新名继续；在此之前可改变决定",
                "from the next start the log goes on under a new name; until then you can decide otherwise",
            ),
            Some(_) => (
                "下次启动起，日志由此继续；在此之前可改变决定",
                "from the next start the log goes on from here; until then you can decide otherwise",
            ),
        };
        screen.say(format!("{data}：{zh}"), format!("{data}: {en}"))
    }
}

/// What was judged by the log is an answer; what was asked wrongly is none.
fn refused(error: DecideError) -> CliError {
    match error {
        DecideError::Open(_) | DecideError::NothingToDecide(_) | DecideError::NoHead | DecideError::BadOrigin(_) => {
            CliError::Wrong(error.text())
        }
        _ => CliError::No(error.text()),
    }
}

fn tell(done: &RestoreDone, screen: Screen) -> Result<(), CliError> {
    let RestoreDone { backup, sequence, carried, .. } = done;
    let last = done.last.map_or_else(String::new, |last| last.to_string());
    screen.say(
        format!("已恢复 {sequence} 帧（备份于 {backup}，最后一帧写于 {last}）"),
        format!("{} restored from the backup of {backup}; the last was written at {last}", counted(sequence, "frame")),
    )?;
    if *carried > 0 {
        screen.say(
            format!("其中 {carried} 帧来自该时刻之后：抹除与撤销的密钥不会因恢复而失效"),
            format!("{} from after that moment: what was erased or revoked since stays so", counted(carried, "frame")),
        )?;
    }
    if done.keys == 0 {
        screen.note(
            "备份不含私钥：请把另存的密钥放入 DATA/keys，节点才能启动",
            "the backup has no private keys: put your copy into DATA/keys, no node starts without them",
        );
    }
    Ok(())
}
