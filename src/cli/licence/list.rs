//! The statements about licences in a node's log.

use clap::Args;
use serde_json::{Value as Json, json};

use super::ANSWER_LIMIT_BYTES;
use crate::cli::client::{Client, ServerArguments, encode};
use crate::cli::failure::{CliError, Verdict};
use crate::cli::screen::Screen;

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai licence list
  mingpai licence list --prefix 88.999.1
  mingpai licence list --identifier 88.999.1/A1 --json")]
pub struct List {
    #[command(flatten)]
    server: ServerArguments,
    /// 恰为此前缀 / Exactly this prefix
    #[arg(long)]
    prefix: Option<String>,
    /// 与此标识有关的全部，含节点的签名密钥 / All that bears on this identifier, the node's signing keys included
    #[arg(long, value_name = "ID", conflicts_with = "prefix")]
    identifier: Option<String>,
    /// JSON
    #[arg(long)]
    pub json: bool,
}

impl List {
    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let client = Client::new(self.server.clone(), None, screen)?;
        let narrowed = match (&self.prefix, &self.identifier) {
            (Some(prefix), _) => format!("?prefix={}", encode(prefix)),
            (None, Some(identifier)) => format!("?identifier={}", encode(identifier)),
            (None, None) => String::new(),
        };
        let mut found = Vec::new();
        let mut target = format!("/v1/licences{narrowed}");
        loop {
            let page: Json = client.ask_json(&target, ANSWER_LIMIT_BYTES).await?;
            found.extend(page.get("statements").and_then(Json::as_array).cloned().unwrap_or_default());
            match page.get("next_cursor").and_then(Json::as_str) {
                Some(cursor) => target = format!("/v1/licences?cursor={}", encode(cursor)),
                None => break,
            }
        }
        if screen.json {
            screen.print_json(&json!({"statements": found}))?;
            return Ok(Verdict::Yes);
        }
        for statement in &found {
            screen.print(told(statement, screen))?;
        }
        if found.is_empty() {
            screen.note("没有许可声明", "there are no statements about licences");
        }
        Ok(Verdict::Yes)
    }
}

/// `12  88.999.1  enterprise  示范企业  in force  key KID  id ID`
fn told(statement: &Json, screen: Screen) -> String {
    let text = |name: &str| statement.get(name).and_then(Json::as_str).unwrap_or_default();
    let number = |name: &str| statement.get(name).and_then(Json::as_u64);
    let index = number("index").unwrap_or_default();
    let until = number("not_after").map_or_else(String::new, |last| format!(" {} {last}", screen.pick("至", "up to")));
    match text("kind") {
        "licence" => {
            let standing = match statement.get("in_force").and_then(Json::as_bool) {
                Some(true) => screen.pick("有效", "in force").to_owned(),
                _ => format!("{}{until}", text("reason")),
            };
            let key = if text("kid").is_empty() { String::new() } else { format!("  key {}", text("kid")) };
            let asked = match text("owner_signature") {
                "required" => screen.pick("  须有所有者签名", "  owner's signature required"),
                _ => "",
            };
            let (prefix, role, holder, id) = (text("prefix"), text("role"), text("holder"), text("id"));
            format!("{index}  {prefix}  {role}  {holder}  {standing}{asked}{key}  id {id}")
        }
        "end" => format!("{index}  {}  {}{until}  id {}", text("prefix"), text("reason"), text("licence")),
        kind => format!("{index}  {kind}  {}{until}", text("kid")),
    }
}
