//! `mingpai keygen`: a new pair in the key folder. Only its id and its file are shown.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::failure::{CliError, Verdict};
use super::screen::Screen;
use crate::model::time::Timestamp;
use crate::sign::keys::{KeyUse, generate};

#[derive(Debug, Args)]
#[command(after_help = "例 Example:
  mingpai keygen --use entry --keys mingpai-data/keys

正在运行的节点不受影响，下次启动时才启用新密钥。
A running node is not touched: the key is taken into use at its next start.")]
pub struct Keygen {
    /// 用途 / What the key signs
    #[arg(long = "use", value_name = "USE")]
    key_use: Use,
    /// 密钥目录（数据目录下的 keys） / Key folder (`keys` in the data folder)
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Use {
    /// 签记录 / records
    Entry,
    /// 签日志检查点 / checkpoints of the log
    Checkpoint,
    /// 签会话 / sessions
    Session,
}

impl Use {
    fn key_use(self) -> KeyUse {
        match self {
            Use::Entry => KeyUse::Entry,
            Use::Checkpoint => KeyUse::Checkpoint,
            Use::Session => KeyUse::Session,
        }
    }

    /// What the next start of the node does with the key.
    fn consequence(self) -> (&'static str, &'static str) {
        match self {
            Use::Entry => (
                "下次启动时，节点先用现有密钥把新密钥记入日志，此后的条目都由新密钥签名；以前的条目仍然有效。请勿删除旧密钥文件",
                "at its next start the node tells the log of this key, signed by the present one, and signs every later entry with it; earlier entries stay valid. Keep the old key files",
            ),
            Use::Checkpoint | Use::Session => (
                "下次启动时，节点会读取它；旧密钥文件请保留",
                "the node reads it at its next start; keep the old key files",
            ),
        }
    }
}

impl Keygen {
    pub fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let key_use = self.key_use.key_use();
        let path = generate(&self.keys, key_use, Timestamp::now().as_seconds())
            .map_err(|error| CliError::wrong(format!("没有生成密钥：{error}"), format!("no key was made: {error}")))?;
        // The file's name is USE-KID.jwk.
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let kid = stem.strip_prefix(key_use.name()).and_then(|rest| rest.strip_prefix('-')).unwrap_or(&stem);
        if screen.json {
            screen.print_json(&json!({"use": key_use.name(), "kid": kid, "path": path}))?;
        } else {
            screen.print(format_args!("kid   {kid}"))?;
            screen.print(format_args!("file  {}", path.display()))?;
            let (zh, en) = self.key_use.consequence();
            screen.note(zh, en);
        }
        Ok(Verdict::Yes)
    }
}
