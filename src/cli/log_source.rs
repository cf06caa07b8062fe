//! Which log a command follows, and which keys it believes: what `audit` and `watch` have in common.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::client::Server;
use super::failure::CliError;
use super::new_file::NewFile;
use super::screen::Screen;
use super::token_file::Token;
use super::vkeys::{self, Keys};
use crate::model::text::Text;
use crate::services::follow::http_source::{Asked, HttpSource};
use crate::services::follow::{Follower, Memory, Options, Source, SourceError};
use crate::services::log::audit_key;
use crate::tlog::note::{KeyKind, VerifierKey};
use crate::tlog::policy::{Log, POLICY_LIMIT_BYTES, Policy};

/// The largest answer that is read as keys.
const KEYS_LIMIT_BYTES: usize = 64 * 1024;
/// Where a node's log is below its address.
const FOLDER: &str = "/log";
/// Where the tree of its audit events is.
const AUDIT_FOLDER: &str = "/log/audit";

#[derive(Debug, Args)]
pub struct LogArguments {
    /// 节点地址 / The node whose log it is, for example https://id.example.cn
    #[arg(value_name = "URL")]
    url: Server,
    /// 信任策略文件（C2SP tlog-policy） / Trust policy: logs, witnesses, quorum
    #[arg(long, value_name = "FILE", conflicts_with = "vkey")]
    policy: Option<PathBuf>,
    /// 日志的校验公钥（/log/vkey 的一行），可重复 / The log's key, a line of /log/vkey; may be repeated
    #[arg(long, value_name = "VKEY", value_parser = vkeys::of_logs)]
    vkey: Vec<Keys>,
    /// https：信任此文件中的根证书（PEM） / https: trust the roots in this file (PEM)
    #[arg(long, value_name = "FILE", env = "MINGPAI_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// 网络不通时重试多久（秒） / How long to try again where the network fails, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
}

impl LogArguments {
    /// Who follows the log from what is remembered of it, and whether its key was pinned beforehand.
    pub async fn follower(&self, memory: Memory, screen: Screen) -> Result<(Follower, bool), CliError> {
        let source = self.source()?;
        let (policy, is_pinned) = self.policy(&source, screen).await?;
        let options = Options { patience: self.patience(), ..Options::default() };
        Ok((Follower::new(Arc::new(source), policy, memory, options), is_pinned))
    }

    /// Who follows both trees of a node, the registry first, each from what is remembered of it; and whether the log's key was
    /// pinned. The heads of both are signed by it. Witnesses see the registry only, so none are asked for in the other.
    pub async fn followers(
        &self,
        (registry, audit): (Memory, Memory),
        token: &Token,
        screen: Screen,
    ) -> Result<((Follower, Follower), bool), CliError> {
        let source = self.source()?;
        let (policy, is_pinned) = self.policy(&source, screen).await?;
        let keys: Result<Vec<VerifierKey>, _> = policy.logs().iter().map(|log| audit_key(&log.key)).collect();
        let of_audit = believing(keys.map_err(|error| CliError::Wrong(error.text()))?)?;
        let hidden = HttpSource::new(&format!("{}{AUDIT_FOLDER}", self.url), self.ca_file.as_deref())
            .map_err(CliError::Wrong)?
            .with_authorization(token.header()?, token.source(), Asked::AuditTree);
        let options = Options { patience: self.patience(), ..Options::default() };
        let registry = Follower::new(Arc::new(source), policy, registry, options);
        Ok(((registry, Follower::new(Arc::new(hidden), of_audit, audit, options)), is_pinned))
    }

    /// Whose log is believed, and whether that was said beforehand.
    pub async fn policy(&self, source: &HttpSource, screen: Screen) -> Result<(Policy, bool), CliError> {
        let (policy, is_pinned) = match &self.policy {
            Some(path) => (policy_of(path)?, true),
            None if !self.vkey.is_empty() => {
                (believing(self.vkey.iter().flat_map(|keys| keys.0.clone()).collect())?, true)
            }
            None => (believing(self.shown_keys(source).await?)?, false),
        };
        if !is_pinned {
            screen.note(
                "没有 --policy 或 --vkey：日志的公钥取自它自己，只能查其前后是否一致，不能证明它就是您要的那个日志",
                "without --policy or --vkey the log's key is the one that it shows: this can tell whether the log agrees with itself, not whether it is the one you mean",
            );
        }
        Ok((policy, is_pinned))
    }

    /// Whether it was said beforehand whose log is believed.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.policy.is_some() || !self.vkey.is_empty()
    }

    /// The address of the node, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.to_string().trim_end_matches('/').to_owned()
    }

    #[must_use]
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }

    /// The log.
    pub fn source(&self) -> Result<HttpSource, CliError> {
        HttpSource::new(&format!("{}{FOLDER}", self.url), self.ca_file.as_deref()).map_err(CliError::Wrong)
    }

    /// The node whose log it is.
    pub fn node(&self) -> Result<HttpSource, CliError> {
        HttpSource::new(&self.url(), self.ca_file.as_deref()).map_err(CliError::Wrong)
    }

    /// The name that the log gives itself, under a head that the policy believes.
    pub async fn origin(&self, policy: &Policy) -> Result<String, CliError> {
        let options = Options { patience: self.patience(), ..Options::default() };
        let follower = Follower::new(Arc::new(self.source()?), policy.clone(), Memory::default(), options);
        follower.origin().await.map_err(|error| match error.blames_the_log() {
            true => CliError::No(error.text()),
            false => CliError::Wrong(error.text()),
        })
    }

    async fn shown_keys(&self, source: &HttpSource) -> Result<Vec<VerifierKey>, CliError> {
        let bytes = source.fetch("vkey", KEYS_LIMIT_BYTES).await.map_err(|error| {
            let cause = match error {
                SourceError::Absent => Text::new("没有日志的公钥", "no key of a log is there"),
                SourceError::Oversize => Text::new("答复过长", "the answer is too long"),
                SourceError::Passing { cause, .. } | SourceError::Lasting(cause) | SourceError::KeyRefused(cause) => {
                    cause
                }
            };
            let url = &self.url;
            CliError::wrong(format!("{url}{FOLDER}/vkey：{}", cause.zh), format!("{url}{FOLDER}/vkey: {}", cause.en))
        })?;
        vkeys::parse_from(&bytes, KeyKind::Note, &format!("{}{FOLDER}/vkey", self.url))
    }
}

fn believing(keys: Vec<VerifierKey>) -> Result<Policy, CliError> {
    let logs = keys.into_iter().map(|key| Log { key, url: None }).collect();
    Policy::of(logs, Vec::new(), 0).map_err(|error| CliError::Wrong(error.text()))
}

/// The policy in a file.
pub fn policy_of(path: &Path) -> Result<Policy, CliError> {
    let bytes = read_bounded(path, POLICY_LIMIT_BYTES as u64)?;
    Policy::parse(&bytes).map_err(|error| {
        let (path, told) = (path.display(), error.text());
        CliError::wrong(format!("策略文件 {path}：{}", told.zh), format!("the policy file {path}: {}", told.en))
    })
}

/// A file of at most so many bytes.
pub fn read_bounded(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit_bytes + 1).read_to_end(&mut bytes))
        .map_err(CliError::file("读取", "read", path))?;
    if bytes.len() as u64 > limit_bytes {
        let path = path.display();
        return Err(CliError::wrong(
            format!("{path} 超过 {limit_bytes} 字节：请核对是否指错了文件"),
            format!("{path} has over {limit_bytes} bytes: is it the right file?"),
        ));
    }
    Ok(bytes)
}

/// What was remembered; nothing where there is no such file yet.
pub fn read_state(path: Option<&Path>, limit_bytes: u64) -> Result<Option<Vec<u8>>, CliError> {
    match path.filter(|path| path.exists()) {
        None => Ok(None),
        Some(path) => read_bounded(path, limit_bytes).map(Some),
    }
}

/// Keeps what is remembered, whole or not at all.
pub fn write_state(path: Option<&Path>, state: &[u8]) -> Result<(), CliError> {
    let Some(path) = path else { return Ok(()) };
    let mut file = NewFile::create(path)?;
    file.write_all(state).map_err(CliError::file("写入", "write", path))?;
    file.finish()
}
