//! `mingpai verify`: is an entry genuine? Offline; only `--server` fetches keys, and only keys.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value as Json, json};

use super::client::{Client, Server, ServerArguments};
use super::failure::{CliError, Verdict};
use super::key_file::{ed25519_keys, key_indexes, read_public_key};
use super::log_source::{policy_of, read_bounded};
use super::screen::Screen;
use crate::model::time::Timestamp;
use crate::sign::bundle::LogProof;
use crate::sign::keys::PublicJwk;
use crate::sign::verify::{Finding, KeyIndexes, Known, Report, WORD, verify_document};
use crate::tlog::log_proof::{self, LOG_PROOF_LIMIT_BYTES};

/// The largest file that is read as an entry, or as keys.
const DOCUMENT_LIMIT_BYTES: u64 = 64 << 20;
const JWKS_LIMIT_BYTES: usize = 4 << 20;

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai verify a1.json --jwks keys.json
  mingpai verify entry.sdjwt --jwks keys.json --identifier 88.999.1/A1 --issuer https://id.example.cn
  mingpai verify a1.bundle --policy node.policy --identifier 88.999.1/A1 --max-age 3600
  mingpai verify entry.sdjwt --proof a1.tlog-proof --policy node.policy --jwks keys.json
  curl -s https://id.example.cn/v1/latest/88.999.1/A2 | mingpai verify - --policy node.policy --identifier 88.999.1/A2
  mingpai resolve 88.999.1/A1 --entry --json | mingpai verify - --server http://127.0.0.1:8080

退出码 Exit codes: 0 真 genuine · 1 假 not genuine · 2 无法判断 could not tell")]
pub struct Verify {
    /// 条目、带 entry 的解析结果、离线包或 /v1/latest 的声明；- 为标准输入 / An entry, a resolution with one, a bundle, or the word of /v1/latest; - reads standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// 节点的公钥（/.well-known/jwks.json 的内容） / The node's public keys
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    jwks: Option<PathBuf>,
    /// 从节点取公钥：信任此连接 / Fetch the keys from the node, trusting this connection
    #[arg(long, value_name = "URL")]
    server: Option<Server>,
    /// https：信任此文件中的根证书（PEM） / https: trust the roots in this file (PEM)
    #[arg(long, value_name = "FILE", env = "MINGPAI_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// 所信任的日志与见证方（mingpai policy 的输出） / The logs and witnesses that count, from `mingpai policy`
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// 条目的日志证明文件（C2SP tlog-proof，取自 /v1/log/proof） / The entry's proof as a file of its own (C2SP tlog-proof)
    #[arg(long, value_name = "FILE", requires = "policy")]
    proof: Option<PathBuf>,
    /// 须在这些秒之内被声明为最新版本，否则答“无法判断” / It must have been the newest version within so many seconds
    #[arg(long, value_name = "SECONDS")]
    max_age: Option<u64>,
    /// 须证明由获许可的所有者签名，否则答“无法判断” / A licensed owner's signature must be proven
    #[arg(long)]
    require_owner: bool,
    /// 应为此标识（或其别名） / It must be about this identifier, or an alias of it
    #[arg(long, value_name = "ID")]
    identifier: Option<String>,
    /// 应由此节点签发 / It must be issued by this node
    #[arg(long, value_name = "URI")]
    issuer: Option<String>,
    /// 所信任的上级节点公钥，用以核对许可 / The upper node's public key, to judge licences by
    #[arg(long, value_name = "JWK|FILE")]
    upper_key: Option<String>,
    /// JSON
    #[arg(long)]
    pub json: bool,
}

impl Verify {
    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let (keys, ranges) = self.keys(screen).await?;
        let upper = self.upper_key.as_deref().map(read_public_key).transpose()?;
        let policy = self.policy.as_deref().map(policy_of).transpose()?;
        let proof = self.proof.as_deref().map(read_proof).transpose()?;
        let document = read_document(&self.file)?;
        let report = verify_document(
            &document,
            Known {
                keys: &keys,
                identifier: self.identifier.as_deref(),
                issuer: self.issuer.as_deref(),
                upper: upper.as_ref(),
                are_licences_proven: false,
                policy: policy.as_ref(),
                proof: proof.as_ref(),
                max_age_seconds: self.max_age.map(|age| i64::try_from(age).unwrap_or(i64::MAX)),
                ranges: &ranges,
                requires_owner: self.require_owner,
                now_seconds: Some(Timestamp::now().as_seconds()),
            },
        );
        let verdict = match report.verdict() {
            Finding::Pass => Verdict::Yes,
            Finding::Fail => Verdict::No,
            Finding::Unknown => Verdict::Unknown,
        };
        print(&report, verdict, screen)?;
        Ok(verdict)
    }

    async fn keys(&self, screen: Screen) -> Result<(Vec<PublicJwk>, Vec<KeyIndexes>), CliError> {
        let document: Json = match (&self.jwks, &self.server) {
            (Some(path), _) => serde_json::from_slice(&read_document(path)?).map_err(|error| {
                let path = path.display();
                CliError::wrong(
                    format!("公钥文件 {path} 不是 JSON：{error}"),
                    format!("the key file {path} is not JSON: {error}"),
                )
            })?,
            (None, Some(server)) => {
                let client = Client::new(
                    ServerArguments { server: server.clone(), ca_file: self.ca_file.clone() },
                    None,
                    screen,
                )?;
                client.ask_json("/.well-known/jwks.json", JWKS_LIMIT_BYTES).await?
            }
            (None, None) => return Ok((Vec::new(), Vec::new())),
        };
        let keys = ed25519_keys(&document);
        if keys.is_empty() {
            screen.note("给出的公钥里没有可用的 Ed25519 公钥", "there is no usable Ed25519 key among the given keys");
        }
        Ok((keys, key_indexes(&document)))
    }
}

fn print(report: &Report, verdict: Verdict, screen: Screen) -> Result<(), CliError> {
    if screen.json {
        return screen.print_json(&json!({
            "genuine": match verdict {
                Verdict::Yes => Json::Bool(true),
                Verdict::No => Json::Bool(false),
                Verdict::Unknown => Json::Null,
            },
            "steps": report.steps,
            "freshness": report.freshness,
            "not_checked": left_out(report),
        }));
    }
    for step in &report.steps {
        let mark = match step.finding {
            Finding::Pass => screen.pick("通过", "pass   "),
            Finding::Unknown => screen.pick("未知", "unknown"),
            Finding::Fail => screen.pick("失败", "FAIL   "),
        };
        let detail = step.detail.in_language(screen.language);
        screen.print(format_args!("{mark}  {:<12} {detail}", step.name))?;
    }
    match verdict {
        Verdict::Yes => screen.say("结论：真", "verdict: genuine")?,
        Verdict::No => screen.say("结论：假，不可信", "verdict: NOT genuine")?,
        Verdict::Unknown => screen.say("结论：无法判断", "verdict: cannot tell")?,
    }
    let left = left_out(report);
    if left.contains(&"log_inclusion") {
        screen.note(
            "未检查：条目是否在日志中（需要证明与 --policy）",
            "not checked: that the log has the entry (that takes a proof and --policy)",
        );
    }
    if left.contains(&"newest_version") {
        screen.note(
            "未检查：是否为最新版本（需要离线包，或联网解析）",
            "not checked: that it is the newest version (that takes a bundle, or resolving)",
        );
    }
    Ok(())
}

/// What only a proof, a node or more statements could tell of an entry; a word is about none.
fn left_out(report: &Report) -> Vec<&'static str> {
    let is_checked = |name: &str| report.steps.iter().any(|step| step.name == name);
    if is_checked(WORD) {
        return Vec::new();
    }
    [("inclusion", "log_inclusion"), ("freshness", "newest_version"), ("owner_licence", "licences")]
        .into_iter()
        .filter(|(step, _)| !is_checked(step))
        .map(|(_, left)| left)
        .collect()
}

fn read_proof(path: &Path) -> Result<LogProof, CliError> {
    let bytes = read_bounded(path, LOG_PROOF_LIMIT_BYTES as u64)?;
    let proof = log_proof::LogProof::parse(&bytes).map_err(|error| {
        let (path, text) = (path.display(), error.text());
        CliError::wrong(format!("{path}：{}", text.zh), format!("{path}: {}", text.en))
    })?;
    Ok(LogProof::from(&proof))
}

fn read_document(path: &Path) -> Result<Vec<u8>, CliError> {
    if path != Path::new("-") {
        return read_bounded(path, DOCUMENT_LIMIT_BYTES);
    }
    let mut bytes = Vec::new();
    let read = io::stdin().take(DOCUMENT_LIMIT_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(CliError::file("读取", "read", path))?;
    if bytes.len() as u64 > DOCUMENT_LIMIT_BYTES {
        let path = path.display();
        return Err(CliError::wrong(
            format!("{path} 超过 64 MiB，不会是条目"),
            format!("{path} is over 64 MiB: that is no entry"),
        ));
    }
    Ok(bytes)
}
