//! `mingpai log`: how a running node keeps its log; `mingpai reload`: have it read its configuration again.

use clap::{Args, ValueEnum};
use http::Method;
use serde::Serialize;
use serde_json::Value as Json;

use super::client::{Client, ServerArguments};
use super::failure::{CliError, Verdict};
use super::screen::Screen;
use super::token_file::TokenArguments;

const ANSWER_LIMIT_BYTES: usize = 1 << 20;

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai log --token-file admin-key
  mingpai log --slow-microseconds 5000 --token-file admin-key
  mingpai log --filter mingpai=debug,info --requests info --token-file admin-key

改动在下次 reload 或重启后失效；长期设置写入配置文件。
A change holds until the next reload or restart; what is to last goes into the configuration file.")]
pub struct Log {
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    token: TokenArguments,
    /// 日志过滤式 / What is let through, for example mingpai=debug,info
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// 请求耗时达到多少微秒即记入慢日志，0 为不记 / A request that takes so long is told with its stages; 0 for none
    #[arg(long, value_name = "N")]
    slow_microseconds: Option<u64>,
    /// 每个请求记一行的级别 / The level at which every request has a line
    #[arg(long, value_name = "LEVEL")]
    requests: Option<Level>,
    /// JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Serialize)]
struct Change<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slow_microseconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<Level>,
}

impl Log {
    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let token = self.token.required(screen)?;
        let client = Client::new(self.server.clone(), Some(&token), screen)?;
        let Log { filter, slow_microseconds, requests, .. } = self;
        let log: Json = if filter.is_none() && slow_microseconds.is_none() && requests.is_none() {
            client.ask_json("/v1/admin/log", ANSWER_LIMIT_BYTES).await?
        } else {
            let change =
                Change { filter: filter.as_deref(), slow_microseconds: *slow_microseconds, requests: *requests };
            client.send_json(Method::PATCH, "/v1/admin/log", &change, ANSWER_LIMIT_BYTES).await?
        };
        if screen.json {
            screen.print_json(&log)?;
        } else {
            for (name, value) in log.as_object().into_iter().flatten() {
                screen.print(format_args!("{name:<18} {value}"))?;
            }
        }
        Ok(Verdict::Yes)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai reload --token-file admin-key
  mingpai reload --token-file admin-key --json | jq '.restart_needed[].key'
  systemctl reload mingpai

配置有误则一项也不采用。退出码 1：有改动要重启后才生效。
Where the configuration is wrong nothing of it is taken. Exit code 1: something waits for a restart.")]
pub struct Reload {
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    token: TokenArguments,
    /// JSON
    #[arg(long)]
    pub json: bool,
}

impl Reload {
    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let token = self.token.required(screen)?;
        let client = Client::new(self.server.clone(), Some(&token), screen)?;
        let nothing = serde_json::Map::new();
        let done: Json = client.send_json(Method::POST, "/v1/admin/reload", &nothing, ANSWER_LIMIT_BYTES).await?;
        let changes = |name: &str| done.get(name).and_then(Json::as_array).cloned().unwrap_or_default();
        let (applied, waiting) = (changes("applied"), changes("restart_needed"));
        let verdict = if waiting.is_empty() { Verdict::Yes } else { Verdict::No };
        if screen.json {
            screen.print_json(&done)?;
            return Ok(verdict);
        }
        for change in &applied {
            screen.say(format!("已采用  {}", told(change)), format!("applied  {}", told(change)))?;
        }
        for change in &waiting {
            screen.say(format!("待重启  {}", told(change)), format!("waits for a restart  {}", told(change)))?;
        }
        match done.get("certificate").and_then(Json::as_str) {
            Some("replaced") => screen.say("证书已更换", "the certificate was replaced")?,
            Some(_) => screen.say("证书未变", "the certificate is unchanged")?,
            None => {}
        }
        if applied.is_empty() && waiting.is_empty() {
            screen.say("配置没有变化", "nothing has changed in the configuration")?;
        }
        Ok(verdict)
    }
}

/// `log.filter: "info" -> "debug"`
fn told(change: &Json) -> String {
    let text = |name: &str| change.get(name).and_then(Json::as_str).unwrap_or("-");
    format!("{}: {} -> {}", text("key"), text("from"), text("to"))
}
