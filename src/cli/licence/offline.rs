//! What is signed with one's own key: an upper node's grant, an owner's signature. No node is asked.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value as Json, json};

use crate::cli::failure::{CliError, Verdict};
use crate::cli::key_file::read_public_keys;
use crate::cli::screen::Screen;
use crate::model::draft::Draft;
use crate::model::identifier::Identifier;
use crate::model::prefix;
use crate::model::record::Record;
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::services::ServiceError;
use crate::sign::keys::{SigningKey, read_signing_key};
use crate::sign::licence::{Grant, MAX_GRANT_KEYS};
use crate::sign::owner::{Content, OwnerPayload};

/// The largest record that is read.
const RECORD_LIMIT_BYTES: u64 = 16 << 20;
/// Members of an answer or of an export that are no part of what is registered.
const TOLD_BY_THE_NODE: [&str; 6] = ["registered", "updated", "entry", "proof", "licences", "owner_jws"];

#[derive(Debug, Args)]
#[command(after_help = "例 Example:
  mingpai licence issue --key upper-keys/owner-KID.jwk --issuer https://top.example.cn --prefix 88.999 --holder https://id.example.cn --node-key jwks.json > grant")]
pub struct Issue {
    /// 上级节点的密钥文件（mingpai keygen --use owner） / The upper node's key file
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// 上级节点的名称 / The upper node's name
    #[arg(long, value_name = "URI")]
    issuer: String,
    #[arg(long)]
    prefix: String,
    /// 得到授权的节点的名称 / The name of the node that the prefix is granted to
    #[arg(long, value_name = "URI")]
    holder: String,
    /// 该节点的签名公钥，可重复 / Its signing keys; repeatable, a file may hold several
    #[arg(long = "node-key", value_name = "JWK|FILE", required = true)]
    node_keys: Vec<String>,
}

impl Issue {
    pub fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let key = signing_key(&self.key)?;
        let mut keys = Vec::new();
        for argument in &self.node_keys {
            keys.extend(read_public_keys(argument)?);
        }
        if keys.len() > MAX_GRANT_KEYS {
            return Err(CliError::wrong(
                format!("至多 {MAX_GRANT_KEYS} 把节点公钥"),
                format!("at most {MAX_GRANT_KEYS} keys of the node may be named"),
            ));
        }
        let prefix = self.prefix.to_ascii_lowercase();
        if !prefix::is_canonical(&prefix) {
            return Err(CliError::wrong(format!("{prefix} 不是前缀"), format!("{prefix} is no prefix")));
        }
        let grant = Grant {
            iat: Timestamp::now().as_seconds(),
            iss: self.issuer.clone(),
            by: key.public(),
            prefix,
            holder: self.holder.clone(),
            keys,
        };
        let signed = grant.sign(&key).map_err(|error| unsigned(&error))?;
        // As the node will read it.
        Grant::read(&signed).map_err(|cause| {
            CliError::wrong(format!("授权不合要求：{cause}"), format!("such a grant would be refused: {cause}"))
        })?;
        screen.print(signed)?;
        Ok(Verdict::Yes)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai licence sign record.json --identifier 88.999.1/A1 --key owner-KID.jwk
  mingpai resolve 88.999.1/A1 --json | mingpai licence sign - --key owner-KID.jwk --attach > next.json

文件是登记的内容，或解析、导出得到的记录（此时签下一版本）。
The file is what will be registered, or a record as resolved or exported: then the version after it is signed.")]
pub struct Sign {
    /// 记录的 JSON；- 为标准输入 / The record's JSON; - reads standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// 企业的密钥文件（mingpai keygen --use owner） / The enterprise's key file
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// 标识（文件里没有时） / The identifier, where the file has none
    #[arg(long, value_name = "ID")]
    identifier: Option<String>,
    /// 将登记的版本；缺省为文件中版本的下一个，没有则为 1 / The version that it will be; else the one after the file's, else 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    version: Option<u64>,
    /// 输出可直接登记的 JSON（含 owner_jws） / Print the JSON to be registered, with owner_jws in it
    #[arg(long)]
    attach: bool,
    /// JSON
    #[arg(long, conflicts_with = "attach")]
    pub json: bool,
}

impl Sign {
    pub fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let key = signing_key(&self.key)?;
        let mut members = read_record(&self.file)?;
        let in_file = members.remove("identifier");
        let stood = members.remove("version").and_then(|version| version.as_u64());
        for name in TOLD_BY_THE_NODE {
            members.remove(name);
        }
        let text = self.identifier.as_deref().or(in_file.as_ref().and_then(Json::as_str)).ok_or_else(|| {
            CliError::wrong(
                "文件里没有 identifier：请用 --identifier 给出",
                "the file has no identifier: give it with --identifier",
            )
        })?;
        let identifier = Identifier::parse(text).map_err(|error| CliError::Wrong(error.text()))?;
        let json = Json::Object(members);
        let draft = Draft::from_json(&json, Timestamp::now()).map_err(|errors| {
            let Text { zh, en } = ServiceError::Fields(errors).text();
            CliError::wrong(zh, en)
        })?;
        let mut record = Record::first(identifier, draft, Timestamp::now());
        record.version = self.version.or(stood.map(|version| version.saturating_add(1))).unwrap_or(1);
        let payload = OwnerPayload::of(&record).map_err(|error| unsigned(&error))?;
        let signed = payload.sign(&key).map_err(|error| unsigned(&error))?;
        if screen.json {
            let canonical = Content::of(&record).canonical().map_err(|error| unsigned(&error))?;
            screen.print_json(&json!({
                "owner_jws": signed, "kid": key.kid(), "sub": payload.sub, "ver": payload.ver, "digest": payload.digest,
                "canonical": String::from_utf8_lossy(&canonical),
            }))?;
        } else if self.attach {
            let mut members = json;
            if let Some(members) = members.as_object_mut() {
                members.insert("owner_jws".to_owned(), signed.into());
            }
            screen.print_json(&members)?;
        } else {
            screen.print(signed)?;
        }
        Ok(Verdict::Yes)
    }
}

fn signing_key(path: &Path) -> Result<SigningKey, CliError> {
    read_signing_key(path).map_err(|error| {
        let Text { zh, en } = error.text();
        CliError::wrong(zh, en)
    })
}

fn unsigned(error: &dyn std::fmt::Display) -> CliError {
    CliError::wrong(format!("没有签名：{error}"), format!("nothing was signed: {error}"))
}

fn read_record(path: &Path) -> Result<Map<String, Json>, CliError> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().take(RECORD_LIMIT_BYTES).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(RECORD_LIMIT_BYTES).read_to_end(&mut bytes))
    };
    read.map_err(CliError::file("读取", "read", path))?;
    let shown = path.display();
    match serde_json::from_slice(&bytes) {
        Ok(Json::Object(members)) => Ok(members),
        Ok(_) => Err(CliError::wrong(format!("{shown} 不是一个 JSON 对象"), format!("{shown} is no JSON object"))),
        Err(error) => {
            Err(CliError::wrong(format!("{shown} 不是 JSON：{error}"), format!("{shown} is not JSON: {error}")))
        }
    }
}
