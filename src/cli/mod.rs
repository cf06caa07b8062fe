//! The subcommands of `mingpai`, and what they share.
//!
//! - `serve`, `mirror`, `check_config`, `doctor`, `keygen`, `backup`: on the node's own machine. `node_arguments`: their configuration.
//! - `witness`: a server of its own, for a partner who watches logs.
//! - `import`, `bulk`, `export`, `resolve`, `history`, `token`: clients of a running node. `client`: HTTP to it. `token_file`: what they show.
//! - `licence`: who may use a prefix; grants and owner's signatures, which need no node. `key_file`: the public keys it is given.
//! - `operate`: the log and the configuration of a running node.
//! - `audit`, `watch`: of a log that need not be trusted. `log_source`: which one, by which keys.
//! - `completions`: for shells and man(1).
//! - `plan`: how large a machine is wanted. `bench`: what this one can verify. `verify`: offline, for whoever holds an entry. `policy`: what a verifier pins.
//! - `screen`, `progress`, `new_file`, `vkeys`, `failure`, `mistake`: what is read, watched, written, and when it cannot be done.
//!
//! A command gives a [`Verdict`]: 0 yes, 1 no, 2 could not tell or was asked wrongly.

// On the node's machine.
mod backup;
mod check_config;
mod doctor;
mod keygen;
mod mirror;
mod node_arguments;
mod serve;
mod shell;
mod witness;

// Clients of a node.
mod bulk;
mod client;
mod export;
mod history;
mod import;
mod licence;
mod operate;
mod resolve;
mod token;
mod token_file;

// Of a log that need not be trusted.
mod audit;
mod log_source;
mod watch;

// With no node at hand.
mod bench;
mod completions;
mod key_file;
mod plan;
mod policy;
mod verify;

// What a person meets.
mod failure;
mod filter_arguments;
mod mistake;
mod new_file;
mod progress;
mod screen;
mod vkeys;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

pub use failure::{CliError, Verdict};
use screen::Screen;

use crate::model::text::Language;

/// 铭牌：能证明每一个答复的工业互联网标识解析二级节点。
///
/// A secondary node of the industrial-internet identifier resolution system that proves its answers.
#[derive(Debug, Parser)]
#[command(
    name = "mingpai",
    version,
    after_help = "例 Examples:
  mingpai serve --dev
  mingpai resolve 88.999.1/NEV-VEH-2026-000003
  mingpai import products.csv --propose > mapping.json
  mingpai import products.csv --mapping mapping.json --token-file mingpai-dev/dev-token

退出码 Exit codes: 0 是 yes · 1 否 no · 2 无法判断或用法错误 could not tell, or bad usage"
)]
pub struct Arguments {
    /// 提示语言 / Language of messages (otherwise: MINGPAI_LANG, then the locale; 中文 by default)
    #[arg(long, global = true, env = "MINGPAI_LANG", value_name = "zh|en")]
    lang: Option<Spoken>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Spoken {
    #[value(alias = "zh-CN", alias = "zh_CN")]
    Zh,
    En,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// 运行节点 / Run a node
    Serve(serve::Serve),
    /// 运行另一节点的只读镜像，逐条校验 / Run a read mirror of another node, which checks every entry
    Mirror(mirror::MirrorArguments),
    /// 批量导入产品记录（NDJSON、CSV、XLSX） / Import records from NDJSON, CSV (plain or .gz) or XLSX
    Import(import::Import),
    /// 按条件批量变更记录 / Change every record that a filter matches
    Bulk(bulk::Bulk),
    /// 导出记录（NDJSON、CSV、XLSX） / Export records as NDJSON, CSV or XLSX that `import` takes
    Export(export::Export),
    /// 解析一个标识 / Resolve an identifier
    Resolve(resolve::Resolve),
    /// 一个标识的各版本：何时、何人、改了什么 / The versions of an identifier: when, who, what changed
    History(history::History),
    /// 两个版本之间的差异 / What changed between two versions
    Diff(history::Diff),
    /// 离线验证签名条目 / Verify a signed entry, offline
    Verify(verify::Verify),
    /// 审计整个日志：每条、每个签名、每个标识的版本链 / Audit a whole log: every leaf, signature and chain of versions
    Audit(audit::AuditArguments),
    /// 前缀所有者：看日志中有没有并非自己登记的条目 / An owner's watch for entries under its names that it did not make
    Watch(watch::WatchArguments),
    /// 生成信任策略：固定日志与见证方的公钥 / Make a trust policy: keys of a log and of witnesses to pin
    Policy(policy::PolicyArguments),
    /// 生成签名密钥 / Make a key that signs
    Keygen(keygen::Keygen),
    /// 前缀的许可与所有者签名 / Licences of prefixes, and owners' signatures
    Licence(licence::Licence),
    /// 换取或新建 API 密钥 / Get an API key
    Token(token::NewToken),
    /// 查看或临时改变运行中节点的日志 / See or change, for the time being, how a running node keeps its log
    Log(operate::Log),
    /// 让运行中的节点重新读取配置 / Have a running node read its configuration again
    Reload(operate::Reload),
    /// 查看每项生效的配置及其来源 / Show every effective setting and where it came from
    CheckConfig(check_config::CheckConfig),
    /// 见证他人的日志：只为前后一致的检查点签名 / Witness logs of others: cosign what continues what was cosigned
    Witness(witness::WitnessArguments),
    /// 备份日志，或检查备份 / Back the log up, or examine a backup
    Backup(backup::Backup),
    /// 由备份恢复数据目录 / Make a data folder from a backup
    Restore(backup::Restore),
    /// 检查并修复数据目录 / Examine a node's data folder, and repair it
    Doctor(doctor::Doctor),
    /// 本机每秒可校验多少 / What this machine can verify in a second
    Bench(bench::Bench),
    /// 按记录数估算磁盘、内存和启动时间 / Disk, memory and start times for a number of records
    Plan(plan::Plan),
    /// 生成 shell 补全脚本 / Make a script that completes commands in a shell
    Completions(completions::Completions),
    /// 生成手册页 / Make pages for man(1)
    Man(completions::ManPages),
}

/// Reads the arguments, does what they ask, and says how it went.
#[must_use]
pub fn run() -> ExitCode {
    // A mistake in the arguments ends the process here, with 2.
    let arguments = Arguments::try_parse().unwrap_or_else(|error| end_by(&error));
    let language = language(arguments.lang);
    match arguments.command.run(language) {
        Ok(verdict) => verdict.into(),
        Err(CliError::OutputClosed) => Verdict::Unknown.into(),
        Err(error) => {
            let screen = Screen { language, json: false };
            screen.note_text(&error.text());
            error.verdict().into()
        }
    }
}

/// Help and version go to standard output with 0, mistakes to standard error with 2, in the language of who made them.
fn end_by(error: &clap::Error) -> ! {
    let language = language(asked_in(std::env::args_os()));
    match mistake::in_chinese(error).filter(|_| language == Language::Zh) {
        Some(told) => {
            Screen { language, json: false }.note(&told, &told);
            std::process::exit(error.exit_code());
        }
        None => error.exit(),
    }
}

/// What `--lang` says, as far as that can be told of arguments that are wrong; else the variable.
fn asked_in(arguments: impl Iterator<Item = std::ffi::OsString>) -> Option<Spoken> {
    let arguments: Vec<String> = arguments.map(|one| one.to_string_lossy().into_owned()).collect();
    let flag = arguments.iter().enumerate().find_map(|(at, one)| match one.strip_prefix("--lang") {
        Some("") => arguments.get(at + 1).cloned(),
        Some(rest) => rest.strip_prefix('=').map(str::to_owned),
        None => None,
    });
    let named = flag.or_else(|| std::env::var("MINGPAI_LANG").ok())?;
    Spoken::from_str(&named, true).ok()
}

impl Command {
    fn run(self, language: Language) -> Result<Verdict, CliError> {
        let screen = |json| Screen { language, json };
        match self {
            Command::Serve(serve) => serve.run(),
            Command::Mirror(mirror) => mirror.run(screen(mirror.json)),
            Command::Bench(bench) => client::wait_for(bench.run(screen(bench.is_json()))),
            Command::CheckConfig(check) => check.run(screen(check.json)),
            Command::Witness(witness) => witness.run(screen(witness.json)),
            Command::Doctor(doctor) => doctor.run(screen(doctor.json)),
            Command::Plan(plan) => plan.run(screen(plan.json)),
            Command::Backup(backup) => backup.run(screen(backup.is_json())),
            Command::Restore(restore) => restore.run(screen(restore.json)),
            Command::Keygen(keygen) => keygen.run(screen(keygen.json)),
            Command::Policy(policy) => client::wait_for(policy.run(screen(false))),
            Command::Import(import) => client::wait_for(import.run(screen(import.json))),
            Command::Bulk(bulk) => client::wait_for(bulk.run(screen(bulk.json))),
            Command::Export(export) => client::wait_for(export.run(screen(false))),
            Command::Resolve(resolve) => client::wait_for(resolve.run(screen(resolve.json))),
            Command::History(history) => client::wait_for(history.run(screen(history.json))),
            Command::Diff(diff) => client::wait_for(diff.run(screen(diff.json))),
            Command::Licence(licence) => {
                let screen = screen(licence.is_json());
                client::wait_for(licence.run(screen))
            }
            Command::Log(log) => client::wait_for(log.run(screen(log.json))),
            Command::Reload(reload) => client::wait_for(reload.run(screen(reload.json))),
            Command::Completions(completions) => completions.run(),
            Command::Man(pages) => pages.run(screen(false)),
            Command::Token(token) => client::wait_for(token.run(screen(token.json))),
            Command::Audit(audit) => client::wait_for(audit.run(screen(audit.json))),
            Command::Watch(watch) => client::wait_for(watch.run(screen(watch.json))),
            Command::Verify(verify) => client::wait_for(verify.run(screen(verify.json))),
        }
    }
}

/// The flag or MINGPAI_LANG, else the locale. Chinese unless English is named, as the node itself answers.
fn language(asked: Option<Spoken>) -> Language {
    let english = match asked {
        Some(spoken) => spoken == Spoken::En,
        None => ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
            .is_some_and(|locale| locale.to_ascii_lowercase().starts_with("en")),
    };
    if english { Language::En } else { Language::Zh }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn no_two_arguments_are_in_each_others_way() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in Arguments::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string);
            assert!(
                help.is_some_and(|help| help.contains("mingpai ")),
                "{} has no example in its help",
                command.get_name()
            );
        }
    }
}
