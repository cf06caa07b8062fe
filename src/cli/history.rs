//! `mingpai history`: the versions of one identifier, newest first, with who and what changed. `mingpai diff`: what changed
//! between two of them.
//!
//! Who asked for a version, and values that are not public, are shown to those whose key may see them.

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::client::{Client, ClientError, ServerArguments, encode};
use super::failure::{CliError, Verdict};
use super::resolve::{data, members, plain, status_zh};
use super::screen::Screen;
use super::token_file::TokenArguments;

/// Versions of a page; a page may hold as many whole records, twice.
const PAGE_VERSIONS: usize = 50;
const PAGE_LIMIT_BYTES: usize = 256 << 20;

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai history 88.999.1/NEV-VEH-2026-000003
  mingpai history 88.999.1/NEV-VEH-2026-000003 --token-file key --limit 1000 --json | jq '.versions[].principal'")]
pub struct History {
    /// 标识，任何写法 / The identifier, in any form
    #[arg(value_name = "ID")]
    identifier: String,
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    token: TokenArguments,
    /// 至多多少个版本，由新到旧 / How many versions at most, the newest first
    #[arg(long, default_value_t = PAGE_VERSIONS)]
    limit: usize,
    /// JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai diff 88.999.1/NEV-VEH-2026-000003 1 2
  mingpai diff 88.999.1/NEV-VEH-2026-000003 2026-11-01T00:00:00+08:00 --json")]
pub struct Diff {
    /// 标识，任何写法 / The identifier, in any form
    #[arg(value_name = "ID")]
    identifier: String,
    /// 版本号或时刻 / A version, or a time in RFC 3339
    #[arg(value_name = "FROM")]
    from: String,
    /// 版本号或时刻；缺省为现在 / The same; without it, now
    #[arg(value_name = "TO")]
    to: Option<String>,
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    token: TokenArguments,
    /// JSON
    #[arg(long)]
    pub json: bool,
}

/// A history as far as it was asked for.
#[derive(Serialize, Deserialize)]
struct Versions {
    identifier: String,
    versions: Vec<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl History {
    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let token = self.token.token(screen)?;
        let client = Client::new(self.server.clone(), token.as_ref(), screen)?;
        answered(self.read(&client).await, screen, |history, screen| {
            screen.print(&history.identifier)?;
            for version in &history.versions {
                print_version(version, screen)?;
            }
            if history.next_cursor.is_some() {
                screen.note("还有更早的版本：用 --limit 增加", "there are older versions: ask for more with --limit");
            }
            Ok(())
        })
    }

    async fn read(&self, client: &Client) -> Result<Versions, ClientError> {
        let mut whole: Option<Versions> = None;
        loop {
            let there = whole.as_ref().map_or(0, |whole| whole.versions.len());
            let limit = self.limit.saturating_sub(there).clamp(1, PAGE_VERSIONS);
            let mut path = format!("/v1/history/{}?diff=1&limit={limit}", encode(&self.identifier));
            if let Some(cursor) = whole.as_ref().and_then(|whole| whole.next_cursor.as_ref()) {
                path.push_str(&format!("&cursor={}", encode(cursor)));
            }
            let page: Versions = client.ask_json(&path, PAGE_LIMIT_BYTES).await?;
            let is_last = page.next_cursor.is_none() || page.versions.is_empty();
            let whole = match &mut whole {
                None => whole.insert(page),
                Some(whole) => {
                    whole.versions.extend(page.versions);
                    whole.next_cursor = page.next_cursor;
                    whole
                }
            };
            if is_last || whole.versions.len() >= self.limit {
                let next_cursor = whole.next_cursor.take();
                let (identifier, versions) =
                    (std::mem::take(&mut whole.identifier), std::mem::take(&mut whole.versions));
                return Ok(Versions { identifier, versions, next_cursor });
            }
        }
    }
}

impl Diff {
    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let token = self.token.token(screen)?;
        let client = Client::new(self.server.clone(), token.as_ref(), screen)?;
        let mut path = format!("/v1/diff/{}?from={}", encode(&self.identifier), encode(&self.from));
        if let Some(to) = &self.to {
            path.push_str(&format!("&to={}", encode(to)));
        }
        answered(client.ask_json::<Json>(&path, PAGE_LIMIT_BYTES).await, screen, |diff, screen| {
            let text = |moment: &str, name: &str| {
                diff.get(moment).and_then(|moment| moment.get(name)).map(plain).unwrap_or_default()
            };
            screen.print(diff.get("identifier").map(plain).unwrap_or_default())?;
            let (from, to) = (text("from", "version"), text("to", "version"));
            let (since, until) = (text("from", "updated"), text("to", "updated"));
            screen.say(
                format!("版本 {from}（{since}）→ 版本 {to}（{until}）"),
                format!("version {from} ({since}) -> version {to} ({until})"),
            )?;
            print_changes(diff.get("changes"), screen)
        })
    }
}

/// Prints an answer, or why there is none.
fn answered<T: Serialize>(
    answer: Result<T, ClientError>,
    screen: Screen,
    print: impl FnOnce(&T, Screen) -> Result<(), CliError>,
) -> Result<Verdict, CliError> {
    match answer {
        Ok(answer) if screen.json => screen.print_json(&answer).map(|()| Verdict::Yes),
        Ok(answer) => print(&answer, screen).map(|()| Verdict::Yes),
        Err(error) if error.is_no() => {
            let ClientError::Refused(refused) = error else { return Err(error.into()) };
            if screen.json {
                screen.print_json(&refused)?;
            } else {
                screen.note(&refused, &refused);
            }
            Ok(Verdict::No)
        }
        Err(error) => Err(error.into()),
    }
}

fn print_version(version: &Json, screen: Screen) -> Result<(), CliError> {
    let text = |name: &str| version.get(name).map(plain).unwrap_or_default();
    let (number, time, status) = (text("version"), text("updated"), text("status"));
    let (zh, en) = match text("effect").as_str() {
        "created" => ("登记", "registered"),
        "updated" => ("更新", "changed"),
        "deleted" => ("删除", "deleted"),
        _ => ("", ""),
    };
    let (shown, status) =
        if status.is_empty() { ("已清除", "erased") } else { (status_zh(&status), status.as_str()) };
    let who = text("principal");
    let said = |word: &str, text: &str| if text.is_empty() { String::new() } else { format!("  {word} {text}") };
    let job = text("job");
    let by_zh = said("操作者", &who) + &said("任务", &job);
    let by_en = said("by", &who) + &said("in job", &job);
    screen.say(
        format!("版本 {number}  {time}  {zh}  {shown}{by_zh}"),
        format!("version {number}  {time}  {en}  {status}{by_en}"),
    )?;
    print_changes(version.get("changes"), screen)
}

fn print_changes(changes: Option<&Json>, screen: Screen) -> Result<(), CliError> {
    let Some(changes) = changes.and_then(Json::as_array) else {
        return screen.say("    （已清除，无从得知改了什么）", "    (erased: what changed cannot be told)");
    };
    if changes.is_empty() {
        return screen.say("    （可见部分没有变化）", "    (nothing that is visible changed)");
    }
    for change in changes {
        let text = |name: &str| change.get(name).map(plain).unwrap_or_default();
        let part = text("part");
        let side = |name: &str| change.get(name).map(|side| said(&part, side, screen));
        let name = named(&part, change, screen);
        let line = match (side("before"), side("after")) {
            (None, Some(after)) => format!("    + {name}{after}"),
            (Some(before), None) => format!("    - {name}{before}"),
            (Some(before), Some(after)) => format!("    ~ {name}{before} -> {after}"),
            (None, None) => continue,
        };
        screen.print(line)?;
    }
    Ok(())
}

/// What a changed part is called, with what tells it apart.
fn named(part: &str, change: &Json, screen: Screen) -> String {
    let (zh, en) = match part {
        "status" => ("状态", "status"),
        "template" => ("模板", "template"),
        "registrant" => ("登记者", "registrant"),
        "alias" => ("别名", "alias"),
        "link" => ("链接", "link"),
        _ => ("", ""),
    };
    let index = change.get("index").map(|index| format!("{} ", plain(index))).unwrap_or_default();
    let name = screen.pick(zh, en);
    if name.is_empty() { index } else { format!("{name}  {index}") }
}

/// One side of a change, on one line.
fn said(part: &str, side: &Json, screen: Screen) -> String {
    let text = |name: &str| side.get(name).map(plain).unwrap_or_default();
    match part {
        "value" => {
            let usual = ["index", "type", "data", "ttl"];
            let others = side.as_object().into_iter().flat_map(Map::iter);
            let told = others
                .filter(|(name, value)| {
                    !usual.contains(&name.as_str()) || (*name == "ttl" && value.as_u64() != Some(86_400))
                })
                .map(|(name, value)| format!(" {name}={}", plain(value)));
            let data = side.get("data").map(data).unwrap_or_default();
            format!("{}: {}{}", text("type"), data.replace(['\r', '\n'], " "), told.collect::<String>())
        }
        "alias" => format!("{} {}", text("scheme"), text("identifier")),
        "link" => {
            let languages: Vec<String> = members(side, "hreflang").map(plain).collect();
            let words = [text("title"), text("type"), languages.join(" ")];
            let words = words.into_iter().filter(|word| !word.is_empty()).map(|word| format!("  {word}"));
            format!("{} -> {}{}{}", text("rel"), text("href"), text("identifier"), words.collect::<String>())
        }
        "status" => {
            let status = plain(side);
            screen.pick(&format!("{} ({status})", status_zh(&status)), &status).to_owned()
        }
        _ => plain(side),
    }
}
