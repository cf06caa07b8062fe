//! `mingpai doctor`: numbered checks of a node's data folder, each with its repair command; and the two repairs.
//!
//! - `checks`: what needs no store open. `certificate`: of TLS. `store`: journal and record store, and their repair.

mod certificate;
mod checks;
mod store;

use std::os::unix::fs::MetadataExt;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::failure::{CliError, Verdict};
use super::node_arguments::NodeArguments;
use super::screen::Screen;
use crate::config::{Config, ConfigError, Layers};
use crate::model::text::Text;
use crate::node::open_files::OpenFiles;

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai doctor --data mingpai-data
  mingpai doctor --config mingpai.toml --json | jq '.checks[] | select(.finding != \"ok\")'
  mingpai doctor --data mingpai-data --rebuild
  mingpai doctor --data mingpai-data --cut-journal 0000000001.journal:1048576

没有配置文件时按默认配置检查 --data 所指的目录。退出码 1：有检查不通过；2：有检查无法进行。
Without a configuration the defaults are used for the folder that --data names. Exit code 1: a check failed; 2: one could not be made.")]
pub struct Doctor {
    #[command(flatten)]
    node: NodeArguments,
    /// 由日志重建记录库并比对 / Make the record store anew from the journal and prove it equal
    #[arg(long, conflicts_with = "cut_journal")]
    rebuild: bool,
    /// 从此处截断损坏的日志：其后的记录将丢失 / Cut a damaged journal here: what comes after is lost
    #[arg(long, value_name = "SEGMENT:OFFSET", value_parser = place)]
    cut_journal: Option<(String, u64)>,
    /// JSON
    #[arg(long)]
    pub json: bool,
}

fn place(text: &str) -> Result<(String, u64), String> {
    text.rsplit_once(':')
        .filter(|(segment, _)| !segment.is_empty())
        .and_then(|(segment, offset)| Some((segment.to_owned(), offset.parse().ok()?)))
        .ok_or_else(|| "SEGMENT:OFFSET".to_owned())
}

/// How a check ended, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Finding {
    Ok,
    /// It works, and should be seen to.
    Warning,
    /// The check could not be made.
    Unknown,
    Failed,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Check {
    pub name: &'static str,
    pub finding: Finding,
    pub detail: Text,
    /// A command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<String>,
}

impl Check {
    pub fn ok(name: &'static str, zh: impl Into<String>, en: impl Into<String>) -> Check {
        Check { name, finding: Finding::Ok, detail: Text::new(zh, en), repair: None }
    }

    /// There is no way to say that something is amiss without saying what to do.
    pub fn new(
        name: &'static str,
        finding: Finding,
        zh: impl Into<String>,
        en: impl Into<String>,
        repair: impl Into<String>,
    ) -> Check {
        let repair = (finding != Finding::Ok).then(|| repair.into());
        Check { name, finding, detail: Text::new(zh, en), repair }
    }
}

/// What is looked at, and how well it is known.
pub(super) struct Patient {
    pub config: Config,
    pub known: Known,
    /// The flags that name it.
    flags: String,
}

/// Where the configuration is from.
pub(super) enum Known {
    /// It was given and is right.
    Given,
    /// None was given: the defaults go for the folder that was named.
    Defaults,
    /// What was given is wrong: likewise.
    Wrong(ConfigError),
}

/// Who has the data folder open, which tells whose the ports are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Nobody,
    /// A node runs on it: it holds the lock.
    Node,
    /// This user may not look.
    Untold,
}

impl Patient {
    /// A command for the same node.
    fn command(&self, rest: &str) -> String {
        format!("{} {rest}", self.again("doctor"))
    }

    fn again(&self, command: &str) -> String {
        format!("mingpai {command}{}", self.flags)
    }

    /// The doctor once more, as the user whose folder it is.
    fn as_owner(&self) -> String {
        self.by_owner(&self.again("doctor"))
    }

    /// A command as the user whose folder it is: files of another's the node could not open.
    fn by_owner(&self, command: &str) -> String {
        match std::fs::metadata(&self.config.node.data) {
            Ok(about) if about.uid() == rustix::process::geteuid().as_raw() => command.to_owned(),
            Ok(about) => format!("sudo -u '#{}' {command}", about.uid()),
            Err(_) => format!("sudo {command}"),
        }
    }
}

impl Doctor {
    pub fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let patient = self.patient(&self.node.layers()?)?;
        // Before anything else: the doctor opens every segment as the node does.
        let open_files = OpenFiles::raise(&patient.config);
        if let Some((segment, offset)) = &self.cut_journal {
            return store::cut(&patient, segment, *offset, screen);
        }
        if self.rebuild {
            return store::rebuild(&patient, screen);
        }
        let config = &patient.config;
        let mut checks = vec![checks::configuration(&patient)];
        checks.extend(checks::folder(&patient));
        checks.push(checks::disk(config));
        checks.push(checks::clock(config));
        checks.push(checks::open_files(&open_files));
        checks.extend(certificate::check(config));
        let (holder, stored) = store::examine(&patient);
        checks.extend(stored);
        checks.extend(checks::ports(&patient, holder));
        print(&checks, screen)?;
        Ok(verdict(&checks))
    }

    /// The node's configuration; where it is wrong, or where none is given, the defaults for the folder that is named.
    fn patient(&self, layers: &Layers) -> Result<Patient, CliError> {
        let flags = self.node.as_flags();
        let wrong = match Config::load(layers) {
            Ok(config) => return Ok(Patient { config, known: Known::Given, flags }),
            Err(wrong) => wrong,
        };
        let Some(data) = &self.node.data else {
            // Which folder is meant cannot be told; a repair must not guess.
            let told = wrong.text();
            return Err(CliError::wrong(
                format!("配置有误，不知道数据目录在哪里：请改正，或用 --data 指明\n{}", told.zh),
                format!(
                    "the configuration is wrong, so the data folder is not known: mend it, or name the folder with --data\n{}",
                    told.en
                ),
            ));
        };
        let bare = Layers {
            flags: vec![
                ("node.iss".to_owned(), "urn:mingpai:doctor".to_owned()),
                ("node.data".to_owned(), data.to_string_lossy().into_owned()),
            ],
            ..Layers::default()
        };
        let config = Config::load(&bare).map_err(|error| CliError::Wrong(error.text()))?;
        let given = layers.file.is_some() || self.node.dev || !self.node.settings.is_empty();
        let known = if given { Known::Wrong(wrong) } else { Known::Defaults };
        Ok(Patient { config, known, flags })
    }
}

fn verdict(checks: &[Check]) -> Verdict {
    match checks.iter().map(|check| check.finding).max() {
        Some(Finding::Ok | Finding::Warning) => Verdict::Yes,
        Some(Finding::Failed) => Verdict::No,
        Some(Finding::Unknown) | None => Verdict::Unknown,
    }
}

fn print(checks: &[Check], screen: Screen) -> Result<(), CliError> {
    if screen.json {
        let numbered: Vec<_> = checks
            .iter()
            .zip(1_u32..)
            .map(|(check, number)| {
                json!({"number": number, "name": check.name, "finding": check.finding,
                       "detail": check.detail, "repair": check.repair})
            })
            .collect();
        return screen.print_json(&json!({"verdict": verdict(checks).word(), "checks": numbered}));
    }
    for (check, number) in checks.iter().zip(1_u32..) {
        let mark = match check.finding {
            Finding::Ok => screen.pick("正常", "ok     "),
            Finding::Warning => screen.pick("注意", "warning"),
            Finding::Unknown => screen.pick("未知", "unknown"),
            Finding::Failed => screen.pick("失败", "FAILED "),
        };
        let detail = check.detail.in_language(screen.language);
        screen.print(format_args!("{number:>2}  {mark}  {:<14} {detail}", check.name))?;
        if let Some(repair) = &check.repair {
            screen.say(format!("    修复：{repair}"), format!("    repair: {repair}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_outweighs_everything_and_a_warning_is_no_failure() {
        let of = |findings: &[Finding]| {
            let checks: Vec<Check> =
                findings.iter().map(|finding| Check::new("test", *finding, "", "", "true")).collect();
            verdict(&checks)
        };
        assert_eq!(of(&[Finding::Ok, Finding::Warning]), Verdict::Yes);
        assert_eq!(of(&[Finding::Ok, Finding::Unknown]), Verdict::Unknown);
        assert_eq!(of(&[Finding::Failed, Finding::Unknown]), Verdict::No);
        assert_eq!(of(&[]), Verdict::Unknown);
    }

    #[test]
    fn the_place_of_a_cut_is_a_segment_and_an_offset() {
        assert_eq!(place("000001.seg:42"), Ok(("000001.seg".to_owned(), 42)));
        for text in ["", "42", ":42", "000001.seg:", "000001.seg:x", "000001.seg:-1"] {
            assert!(place(text).is_err(), "{text}");
        }
    }
}
