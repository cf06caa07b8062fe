//! `mingpai policy`: a trust policy (c2sp.org/tlog-policy) for verifiers to pin: a log's key, witnesses, and how many of them must agree.
//!
//! Whether the keys are the right ones nobody can compute; the file says so to whoever opens it.

use std::path::PathBuf;

use clap::Args;

use super::client::{Client, Server, ServerArguments};
use super::failure::{CliError, Verdict};
use super::screen::Screen;
use super::vkeys::{self, Keys};
use crate::tlog::note::KeyKind;
use crate::tlog::policy::{Log, Policy};

/// The most bytes of keys that a node answers.
const KEYS_LIMIT_BYTES: usize = 64 * 1024;
const VKEY_PATH: &str = "/log/vkey";

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai policy --server https://id.example.cn > node.policy
  mingpai policy --vkey log.vkey --witness \"$(cat w1.vkey)\" --witness \"$(cat w2.vkey)\" --quorum 2 > node.policy

固定公钥只有在公钥正确时才有意义：请经另一渠道核对。
Pinning a key helps only if it is the right key: compare it over another channel.")]
pub struct PolicyArguments {
    /// 从节点取日志公钥：信任此连接 / Fetch the log's key from the node, trusting this connection
    #[arg(long, value_name = "URL", required_unless_present = "vkey", conflicts_with = "vkey")]
    server: Option<Server>,
    /// https：信任此文件中的根证书（PEM） / https: trust the roots in this file (PEM)
    #[arg(long, value_name = "FILE", env = "MINGPAI_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// 日志公钥的文件（节点 /log/vkey 的内容） / File with the log's keys (what a node shows at /log/vkey)
    #[arg(long, value_name = "FILE")]
    vkey: Option<PathBuf>,
    /// 见证方的公钥，可重复 / Key of a witness; may be repeated
    #[arg(long = "witness", value_name = "VKEY", value_parser = vkeys::of_witnesses)]
    witnesses: Vec<Keys>,
    /// 至少几个见证方须签名；缺省为过半数，0 为不要求 / How many witnesses must have cosigned: more than half by default; 0 demands none
    #[arg(long, value_name = "N")]
    quorum: Option<usize>,
}

impl PolicyArguments {
    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let (keys, url) = match (&self.vkey, &self.server) {
            (Some(path), _) => (vkeys::read(path, KeyKind::Note)?, None),
            (None, Some(server)) => {
                let node = ServerArguments { server: server.clone(), ca_file: self.ca_file.clone() };
                let answer = Client::new(node, None, screen)?.get(VKEY_PATH, "text/plain").await?;
                let bytes = answer.bytes(KEYS_LIMIT_BYTES).await?;
                let keys = vkeys::parse_from(&bytes, KeyKind::Note, &format!("{server}{VKEY_PATH}"))?;
                (keys, Some(format!("{server}/log").into_bytes()))
            }
            (None, None) => {
                return Err(CliError::wrong(
                    "请用 --server 或 --vkey 指明日志",
                    "name the log with --server or --vkey",
                ));
            }
        };
        let witnesses: Vec<_> =
            self.witnesses.iter().flat_map(|Keys(keys)| keys).map(|key| (key.clone(), None)).collect();
        let count = witnesses.len();
        let quorum = self.quorum.unwrap_or(if count == 0 { 0 } else { count / 2 + 1 });
        if quorum > count {
            return Err(CliError::wrong(
                format!("--quorum {quorum} 多于给出的 {count} 个见证方：请用 --witness 再给出公钥，或减小 --quorum"),
                format!(
                    "--quorum {quorum} is more than the witnesses given ({count}): add keys with --witness, or lower it"
                ),
            ));
        }
        let name = keys.first().map_or(String::new(), |key| key.name().to_owned());
        let logs = keys.into_iter().map(|key| Log { key, url: url.clone() }).collect();
        let policy = Policy::of(logs, witnesses, quorum).map_err(|error| CliError::Wrong(error.text()))?;
        let mut file = explanation(&name, count, quorum).into_bytes();
        file.extend(policy.encode());
        Screen::print_whole(&file)?;
        if quorum == 0 {
            screen.note(
                "此策略不要求见证方：日志若向不同的人出示不同的内容，单凭它发现不了",
                "this policy demands no witness: it does not find out a log that shows different people different things",
            );
        }
        Ok(Verdict::Yes)
    }
}

/// The head of the file, for whoever opens it. Plain octets: no control characters but newlines.
fn explanation(name: &str, witnesses: usize, quorum: usize) -> String {
    format!(
        "\
# 信任策略 / trust policy (c2sp.org/tlog-policy)
#
# 日志 {name}。凭此文件检查的人只相信：由下面的日志公钥签名、且至少 {quorum} 个（共 {witnesses} 个）见证方也签过名的检查点。
# 固定（pin）即事先存下公钥，以后不再问节点要：否则冒充节点的人连公钥也会一并给出。
# 公钥是否属于该节点，此文件无法证明：请经另一渠道（电话、合同、对方官网）核对后再使用，并防止他人改动此文件。
#
# The log {name}. Who checks by this file believes only checkpoints that the key below has signed and that at least {quorum} of
# {witnesses} witnesses have cosigned. Pinning is to keep the keys from now on instead of asking the node for them: whoever
# passed himself off as the node would hand out his own. This file cannot prove whose the keys are: compare them over another
# channel (a call, a contract, the other side's site) before use, and let nobody else change the file.
#
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_explanation_is_comment_only() {
        let text = explanation("urn:mingpai:dev", 3, 2);
        assert!(text.lines().all(|line| line.starts_with('#')), "{text}");
        let mut file = text.into_bytes();
        file.extend(b"quorum none\n");
        assert!(Policy::parse(&file).is_ok());
    }
}
