//! `mingpai resolve`: one identifier, as a person reads it or as JSON.

use clap::Args;
use serde_json::Value as Json;

use super::client::{Client, ClientError, JSON, ServerArguments, encode};
use super::failure::{CliError, Verdict};
use super::screen::Screen;
use super::token_file::TokenArguments;

/// A record with its entry is at most a few megabytes.
const RECORD_LIMIT_BYTES: usize = 64 << 20;
/// The short form of a bundle.
const PACKED: &str = "application/vnd.mingpai.bundle";
/// Letters of the alphanumeric mode in the largest QR code, 40-L (ISO/IEC 18004, table 7).
const QR_LETTERS: usize = 4_296;

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai resolve 88.999.1/NEV-VEH-2026-000003
  mingpai resolve https://id.gs1.org/01/09521000040014/21/000123 --json
  mingpai resolve 88.999.1/NEV-VEH-2026-000003 --entry --json > entry.json && mingpai verify entry.json --jwks keys.json
  mingpai resolve 88.999.1/NEV-VEH-2026-000003 --bundle > a.bundle && mingpai verify a.bundle --policy node.policy
  mingpai resolve 88.999.1/NEV-VEH-2026-000003 --at 1 --type 名称")]
pub struct Resolve {
    /// 标识，任何写法 / The identifier, in any form
    #[arg(value_name = "ID")]
    identifier: String,
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    token: TokenArguments,
    /// 同时取签名条目 / With the signed entry
    #[arg(long)]
    entry: bool,
    /// 只看这些类型，可重复；以 . 结尾匹配前缀 / Only values of this type, may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// 只看这些索引，可重复 / Only the value at this index, may be repeated
    #[arg(long = "index", value_name = "N")]
    indexes: Vec<u32>,
    /// 版本号或时刻 / A version, or a time in RFC 3339
    #[arg(long, value_name = "VERSION|TIME")]
    at: Option<String>,
    /// 离线包：含全部证明，供 mingpai verify 核验 / A bundle with all proofs, for `mingpai verify`
    #[arg(long, conflicts_with_all = ["entry", "types", "indexes", "at", "json"])]
    bundle: bool,
    /// 与 --bundle 同用：可印成二维码的短式（记录不太大时），不含密钥与许可声明 / With --bundle: the short form, for a QR code where the record is not large
    #[arg(long, requires = "bundle")]
    packed: bool,
    /// JSON
    #[arg(long)]
    pub json: bool,
}

impl Resolve {
    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let token = self.token.token(screen)?;
        let client = Client::new(self.server.clone(), token.as_ref(), screen)?;
        if self.bundle {
            return self.bundle(&client, screen).await;
        }
        match client.ask_json::<Json>(&self.path(), RECORD_LIMIT_BYTES).await {
            Ok(record) => {
                if screen.json {
                    screen.print_json(&record)?;
                } else {
                    print_record(&record, screen)?;
                }
                Ok(Verdict::Yes)
            }
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

    async fn bundle(&self, client: &Client, screen: Screen) -> Result<Verdict, CliError> {
        let path = format!("/v1/bundle/{}", encode(&self.identifier));
        let form = if self.packed { PACKED } else { JSON };
        let asked = client.patiently(async || client.get(&path, form).await?.bytes(RECORD_LIMIT_BYTES).await).await;
        match asked {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                let length = text.chars().count();
                if self.packed && length > QR_LETTERS {
                    screen.note(
                        format!("共 {length} 个字符，一个二维码至多容纳 {QR_LETTERS} 个：请用 --bundle 的完整文件"),
                        format!(
                            "{length} letters, and one QR code holds {QR_LETTERS}: give the whole file of --bundle"
                        ),
                    );
                }
                screen.print(text)?;
                Ok(Verdict::Yes)
            }
            Err(error) if error.is_no() => {
                let ClientError::Refused(refused) = error else { return Err(error.into()) };
                screen.note(&refused, &refused);
                Ok(Verdict::No)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn path(&self) -> String {
        let mut path = format!("/v1/resolve/{}", encode(&self.identifier));
        let mut mark = '?';
        let mut add = |name: &str, value: &str| {
            path.push(mark);
            mark = '&';
            path.push_str(&format!("{name}={}", encode(value)));
        };
        for kind in &self.types {
            add("type", kind);
        }
        for index in &self.indexes {
            add("index", &index.to_string());
        }
        if let Some(at) = &self.at {
            add("at", at);
        }
        if self.entry {
            add("entry", "1");
        }
        path
    }
}

fn print_record(record: &Json, screen: Screen) -> Result<(), CliError> {
    let text = |name: &str| record.get(name).map(plain).unwrap_or_default();
    let status = text("status");
    screen.print(text("identifier"))?;
    screen.say(
        format!("  状态    {} ({status})    版本 {}", status_zh(&status), text("version")),
        format!("  status      {status}    version {}", text("version")),
    )?;
    for (name, zh, en) in [
        ("template", "模板  ", "template  "),
        ("registrant", "登记者", "registrant"),
        ("registered", "登记于", "registered"),
        ("updated", "更新于", "updated   "),
    ] {
        let text = text(name);
        if !text.is_empty() {
            screen.say(format!("  {zh}  {text}"), format!("  {en}  {text}"))?;
        }
    }
    for value in members(record, "values") {
        let index = value.get("index").map(plain).unwrap_or_default();
        let kind = value.get("type").map(plain).unwrap_or_default();
        let data = value.get("data").map(data).unwrap_or_default();
        screen.print(format_args!("{index:>6}  {kind}  {data}"))?;
    }
    for alias in members(record, "aliases") {
        let (scheme, name) = (alias.get("scheme"), alias.get("identifier"));
        let (scheme, name) = (scheme.map(plain).unwrap_or_default(), name.map(plain).unwrap_or_default());
        screen.say(format!("  别名  {scheme} {name}"), format!("  alias  {scheme} {name}"))?;
    }
    for link in members(record, "links") {
        let rel = link.get("rel").map(plain).unwrap_or_default();
        let target = link.get("href").or_else(|| link.get("identifier"));
        let target = target.map(plain).unwrap_or_default();
        let title = link.get("title").map(|title| format!("  {}", plain(title))).unwrap_or_default();
        screen.print(format_args!("  {rel} -> {target}{title}"))?;
    }
    if let Some(entry) = record.get("entry") {
        screen.print("entry:")?;
        screen.print(plain(entry))?;
    }
    Ok(())
}

pub(super) fn members<'r>(record: &'r Json, name: &str) -> impl Iterator<Item = &'r Json> {
    record.get(name).and_then(Json::as_array).into_iter().flatten()
}

pub(super) fn status_zh(status: &str) -> &str {
    match status {
        "active" => "有效",
        "suspended" => "暂停",
        "recalled" => "召回",
        "retired" => "停用",
        "deleted" => "已删除",
        other => other,
    }
}

/// `{"format","value","unit"}` as a person writes it.
pub(super) fn data(data: &Json) -> String {
    match data {
        Json::Object(members) if members.contains_key("value") => {
            let value = members.get("value").map(self::data).unwrap_or_default();
            match members.get("unit") {
                Some(unit) => format!("{value} {}", plain(unit)),
                None => value,
            }
        }
        Json::Array(items) => items.iter().map(self::data).collect::<Vec<_>>().join(", "),
        other => plain(other),
    }
}

pub(super) fn plain(json: &Json) -> String {
    match json {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    }
}
