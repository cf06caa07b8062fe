//! `mingpai keygen`: a new pair in the key folder, or a key that encrypts backups. Only its id and its file are shown.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::failure::{CliError, Verdict};
use super::screen::Screen;
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::sign::keys::{KeyError, KeyUse, generate, read_signing_key, write_secret_file};
use crate::store::backup::BackupKey;

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai keygen --use entry --keys mingpai-data/keys
  mingpai keygen --use owner --keys my-keys
  mingpai keygen --use backup --out backup-key

正在运行的节点不受影响，下次启动时才启用新密钥。
A running node is not touched: the key is taken into use at its next start.")]
pub struct Keygen {
    /// 用途 / What the key signs
    #[arg(long = "use", value_name = "USE")]
    key_use: Use,
    /// 密钥目录（数据目录下的 keys） / Key folder (`keys` in the data folder)
    #[arg(long, value_name = "DIR", required_unless_present = "out")]
    keys: Option<PathBuf>,
    /// 仅备份密钥：写入的文件（0600，不覆盖） / For a backup key: where to; mode 0600, never over an existing file
    #[arg(long, value_name = "FILE", conflicts_with = "keys")]
    out: Option<PathBuf>,
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
    /// 企业或上级节点自己的密钥：签条目内容或授权 / an enterprise's or upper node's own: contents and grants
    Owner,
    /// 加密备份 / encrypts backups
    Backup,
}

impl Use {
    /// `None`: it signs nothing.
    fn key_use(self) -> Option<KeyUse> {
        match self {
            Use::Entry => Some(KeyUse::Entry),
            Use::Checkpoint => Some(KeyUse::Checkpoint),
            Use::Session => Some(KeyUse::Session),
            Use::Owner => Some(KeyUse::Owner),
            Use::Backup => None,
        }
    }

    /// What the next start of the node does with the key.
    fn consequence(self) -> (&'static str, &'static str) {
        match self {
            Use::Entry => (
                "下次启动时，节点先用现有密钥把新密钥记入日志，此后的条目都由新密钥签名；以前的条目仍然有效。请勿删除旧密钥文件",
                "at its next start the node tells the log of this key, signed by the present one, and signs every later entry with it; earlier entries stay valid. Keep the old key files",
            ),
            Use::Backup => (
                "没有它，用它加密的备份谁也打不开：请另存一份，且不要与备份放在一处",
                "nobody opens a backup that it has encrypted without it: keep another copy, and not beside the backup",
            ),
            Use::Owner => (
                "把公钥（public）交给节点的管理员以取得许可；私钥文件请自行保管，另存一份",
                "give the public key to the node's administrator, who licenses it; keep the file, and a copy of it, to yourself",
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
        let (name, kid, path) = match (self.key_use.key_use(), &self.keys, &self.out) {
            (Some(key_use), Some(keys), _) => {
                let path = generate(keys, key_use, Timestamp::now().as_seconds()).map_err(|error| failed(&error))?;
                // The file's name is USE-KID.jwk.
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                let kid = stem.strip_prefix(key_use.name()).and_then(|rest| rest.strip_prefix('-')).unwrap_or(&stem);
                (key_use.name(), kid.to_owned(), path)
            }
            (None, _, Some(out)) => {
                let key = BackupKey::generate().ok_or_else(|| failed(&KeyError::NoRandomness))?;
                write_secret_file(out, format!("{}\n", key.text()).as_bytes()).map_err(|error| failed(&error))?;
                ("backup", key.id(), out.clone())
            }
            (Some(_), None, _) => {
                return Err(CliError::wrong("请用 --keys 指明密钥目录", "name the key folder with --keys"));
            }
            (None, ..) => {
                return Err(CliError::wrong("请用 --out 指明备份密钥的文件", "name the backup key's file with --out"));
            }
        };
        // Whoever is to license it, or to verify by it, needs the public half.
        let public = match self.key_use {
            Use::Owner => Some(read_signing_key(&path).map_err(|error| failed(&error))?.public()),
            _ => None,
        };
        if screen.json {
            let mut told = json!({"use": name, "kid": kid, "path": path});
            if let (Some(public), Some(members)) = (&public, told.as_object_mut()) {
                members.insert("public".to_owned(), json!(public));
            }
            screen.print_json(&told)?;
        } else {
            screen.print(format_args!("kid   {kid}"))?;
            screen.print(format_args!("file  {}", path.display()))?;
            if let Some(public) = &public {
                screen.print(format_args!("public  {}", json!(public)))?;
            }
            let (zh, en) = self.key_use.consequence();
            screen.note(zh, en);
        }
        Ok(Verdict::Yes)
    }
}

fn failed(error: &KeyError) -> CliError {
    let Text { zh, en } = error.text();
    CliError::wrong(format!("没有生成密钥：{zh}"), format!("no key was made: {en}"))
}
