//! `mingpai mirror`: a read node made of another node's log, which need not be trusted.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::failure::{CliError, Verdict};
use super::log_source::LogArguments;
use super::node_arguments::NodeArguments;
use super::screen::Screen;
use super::token_file::TokenArguments;
use crate::accept::Ending;
use crate::config::{Config, ConfigError};
use crate::model::text::{Text, counted};
use crate::node::mirror_once::mirror_once;
use crate::node::operator::Process;
use crate::node::serve::{ServeError, serve};
use crate::observe::log;
use crate::services::follow::Source;
use crate::services::follow::http_source::Asked;
use crate::services::mirror::{Halt, Order, Reached, Stated};

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai mirror https://id.example.cn --policy policy.txt --token-file origin-key --config /etc/mingpai/mingpai.toml
  mingpai mirror https://id.example.cn --vkey \"$(cat origin.vkey)\" --data mirror --listen 127.0.0.1:8081
  mingpai mirror https://id.example.cn --data mirror --once --json

没有 --token-file：只镜像日志本身（哈希片、条目、证明），不含披露内容，解析答 421 mirror_holds_no_names。
Without --token-file the log alone is mirrored (tiles, entries, proofs), not what it hides: a name is answered with 421 mirror_holds_no_names.
策略与公钥记在数据目录中，再次启动时可省略。 Policy and keys are remembered in the data folder.

退出码 Exit codes: 0 正常 well · 1 日志不可信 the log is not honest (--once) · 2 无法判断 could not tell")]
pub struct MirrorArguments {
    #[command(flatten)]
    log: LogArguments,
    #[command(flatten)]
    node: NodeArguments,
    #[command(flatten)]
    token: TokenArguments,
    /// 追上当前检查点后退出，不提供服务 / Follow to the head of now and end, without serving
    #[arg(long)]
    once: bool,
    /// JSON（与 --once 同用） / With --once: JSON
    #[arg(long, requires = "once")]
    pub json: bool,
}

impl MirrorArguments {
    pub fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let config = Config::load_for_mirror(&self.node.layers()?).map_err(|error| CliError::Wrong(error.text()))?;
        let filter = log::start(&config.log);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            CliError::wrong(format!("线程无法启动：{error}"), format!("no thread can be started: {error}"))
        })?;
        let order = runtime.block_on(self.order(&config.node.data, screen))?;
        drop(runtime);
        let arguments = self.node.clone();
        let read_again = move || {
            let layers = arguments.layers().map_err(|error| ConfigError::unread(error.text()))?;
            Config::load_for_mirror(&layers)
        };
        let mirror = Some(Order { is_followed: !self.once, ..order });
        let process = Process { read_again: Some(Arc::new(read_again)), filter, mirror, ..Process::default() };
        if self.once {
            return once(&config, process, screen);
        }
        let ending = serve(&config, process, &mut std::io::stdout()).map_err(|error| not_served(&error))?;
        match ending {
            Ending::Drained => Ok(Verdict::Yes),
            Ending::CutOff { connections } => {
                tracing::warn!(connections, "the deadline passed, or a second signal came: connections were cut off");
                Ok(Verdict::No)
            }
        }
    }

    /// What is followed. The first time the origin is asked for its name; later the folder says it, so that a mirror serves
    /// while its origin is away.
    async fn order(&self, data: &Path, screen: Screen) -> Result<Order, CliError> {
        let standing = Stated::read(data).map_err(|error| CliError::Wrong(error.text()))?;
        let remembered = standing.as_ref().and_then(Stated::policy).filter(|_| !self.log.is_pinned());
        let log = self.log.source()?;
        let policy = match remembered {
            Some(policy) => policy,
            None => self.log.policy(&log, screen).await?.0,
        };
        let origin = match standing {
            Some(standing) => standing.origin,
            None => self.log.origin(&policy).await?,
        };
        let granted = match self.token.token(screen)? {
            Some(token) => {
                let node = self.log.node()?.with_authorization(token.header()?, token.source(), Asked::Disclosures);
                Some(Arc::new(node) as Arc<dyn Source>)
            }
            None => None,
        };
        let (url, patience) = (self.log.url(), self.log.patience());
        Ok(Order { url, origin, policy, log: Arc::new(log), granted, patience, is_followed: true })
    }
}

fn not_served(error: &ServeError) -> CliError {
    let Text { zh, en } = error.text();
    CliError::wrong(format!("镜像没有启动：{zh}"), format!("the mirror does not serve: {en}"))
}

fn once(config: &Config, process: Process, screen: Screen) -> Result<Verdict, CliError> {
    let started = Instant::now();
    let done = mirror_once(config, process).map_err(|error| not_served(&error))?;
    let seconds = started.elapsed().as_secs_f64();
    let verdict = match &done {
        Ok(_) => Verdict::Yes,
        Err(halt) if halt.is_final() && !halt.is_renaming() => Verdict::No,
        Err(_) => Verdict::Unknown,
    };
    tell(&done, seconds, verdict, screen)?;
    Ok(verdict)
}

fn tell(done: &Result<Reached, Halt>, seconds: f64, verdict: Verdict, screen: Screen) -> Result<(), CliError> {
    match done {
        Ok(Reached { head, statements }) => {
            let a_second = (*statements as f64 / seconds.max(0.001)) as u64;
            if screen.json {
                return screen.print_json(&json!({
                    "verdict": verdict.word(),
                    "size": head.size,
                    "statements": statements,
                    "seconds": seconds,
                    "statements_a_second": a_second,
                }));
            }
            screen.say(
                format!("已追上 {} 条的检查点：新增 {statements} 条，{seconds:.1} 秒，每秒 {a_second} 条", head.size),
                format!(
                    "the head of {} is reached: {statements} new, {seconds:.1} s, {a_second} a second",
                    counted(head.size, "statement")
                ),
            )
        }
        Err(halt) if screen.json => {
            let error = halt.text();
            screen.print_json(&json!({
                "verdict": verdict.word(),
                "code": halt.code(),
                "error": screen.pick(&error.zh, &error.en),
                "seconds": seconds,
            }))
        }
        Err(halt) => {
            screen.note_text(&halt.text());
            Ok(())
        }
    }
}
