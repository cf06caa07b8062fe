//! `mingpai licence`: whose a prefix is. An upper node issues a grant, a node adds it to its log and licenses enterprises, an
//! enterprise signs its own entries.
//!
//! - `offline`: what is signed with one's own key, with no node at hand. `change`: what an administrator tells a node.
//! - `list`: the statements in a node's log.

mod change;
mod list;
mod offline;

use clap::{Args, Subcommand};

use super::failure::{CliError, Verdict};
use super::screen::Screen;

const ANSWER_LIMIT_BYTES: usize = 64 << 20;

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai keygen --use owner --keys upper-keys
  mingpai licence issue --key upper-keys/owner-KID.jwk --issuer https://top.example.cn --prefix 88.999 --holder https://id.example.cn --node-key jwks.json > grant
  mingpai licence add grant --token-file admin-key
  mingpai licence grant --prefix 88.999.1 --holder 示范企业 --key enterprise.jwk --token-file admin-key
  mingpai licence sign record.json --key owner-KID.jwk --attach > signed.json
  mingpai licence list --identifier 88.999.1/A1")]
pub struct Licence {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// 上级节点：签发授权 / Upper node: sign a grant of a prefix for a node
    Issue(offline::Issue),
    /// 企业：为一条记录签名 / Enterprise: sign the content of a record
    Sign(offline::Sign),
    /// 把上级节点的授权记入日志 / Put an upper node's grant into the log
    Add(change::Add),
    /// 把前缀许可给企业的公钥 / License a prefix to an enterprise's key
    Grant(change::Grant),
    /// 结束一个许可 / End a licence
    End(change::End),
    /// 登记签名密钥的泄露 / Report a signing key of the node as compromised
    EndKey(change::EndKey),
    /// 列出许可声明 / List the statements about licences
    List(list::List),
}

impl Licence {
    pub fn is_json(&self) -> bool {
        match &self.action {
            Action::Issue(_) => false,
            Action::Sign(sign) => sign.json,
            Action::Add(add) => add.node.json,
            Action::Grant(grant) => grant.node.json,
            Action::End(end) => end.node.json,
            Action::EndKey(end) => end.node.json,
            Action::List(list) => list.json,
        }
    }

    pub async fn run(self, screen: Screen) -> Result<Verdict, CliError> {
        match self.action {
            Action::Issue(issue) => issue.run(screen),
            Action::Sign(sign) => sign.run(screen),
            Action::Add(add) => add.run(screen).await,
            Action::Grant(grant) => grant.run(screen).await,
            Action::End(end) => end.run(screen).await,
            Action::EndKey(end) => end.run(screen).await,
            Action::List(list) => list.run(screen).await,
        }
    }
}
