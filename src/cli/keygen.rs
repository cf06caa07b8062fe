//! `mingpai keygen`: a new pair in the key folder, a key that encrypts backups, or a prefix's secret for its owner. Only its id and its file are shown.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::failure::{CliError, Verdict};
use super::screen::Screen;
use crate::model::identifier::Identifier;
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::sign::blinding::Blinding;
use crate::sign::keys::{KeyError, KeyUse, generate, read_secret, read_signing_key, write_secret_file};
use crate::sign::prefix_secret::PrefixSecret;
use crate::store::backup::BackupKey;

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai keygen --use entry --keys mingpai-data/keys
  mingpai keygen --use owner --keys my-keys
  mingpai keygen --use session --keys my-keys
  mingpai keygen --use backup --out backup-key
  mingpai keygen --use prefix-secret --keys mingpai-data/keys --prefix 88.999.1 --out 88.999.1.secret

正在运行的节点不受影响，下次启动时才启用新密钥。
A running node is not touched: the key is taken into use at its next start.")]
pub struct Keygen {
    /// 用途 / What the key signs
    #[arg(long = "use", value_name = "USE")]
    key_use: Use,
    /// 密钥目录（数据目录下的 keys） / Key folder (`keys` in the data folder)
    #[arg(long, value_name = "DIR", required_unless_present = "out")]
    keys: Option<PathBuf>,
    /// 备份密钥与前缀密文：写入的文件（0600，不覆盖） / For a backup key and a prefix's secret: where to; mode 0600, never over an existing file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// 前缀密文所属的前缀 / For a prefix's secret: the prefix
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Use {
    /// 签记录 / records
    Entry,
    /// 签日志检查点 / checkpoints of the log
    Checkpoint,
    /// 登录：以签名开启会话 / signs in: begins sessions
    Session,
    /// 企业或上级节点自己的密钥：签条目内容或授权 / an enterprise's or upper node's own: contents and grants
    Owner,
    /// 加密备份 / encrypts backups
    Backup,
    /// 交给前缀所有者，用以在日志中认出自己的标识 / for a prefix's owner, to know its own names in the log
    PrefixSecret,
}

impl Use {
    /// `None`: it signs nothing.
    fn key_use(self) -> Option<KeyUse> {
        match self {
            Use::Entry => Some(KeyUse::Entry),
            Use::Checkpoint => Some(KeyUse::Checkpoint),
            Use::Session => Some(KeyUse::Session),
            Use::Owner => Some(KeyUse::Owner),
            Use::Backup | Use::PrefixSecret => None,
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
            Use::PrefixSecret => (
                "持有它的人能在日志中认出此前缀下任何标识的条目：只交给该前缀的所有者，供 mingpai watch 使用",
                "whoever has it knows the entries of every name under this prefix in the log: give it to the prefix's owner alone, for mingpai watch",
            ),
            Use::Owner => (
                "把公钥（public）交给节点的管理员以取得许可；私钥文件请自行保管，另存一份",
                "give the public key to the node's administrator, who licenses it; keep the file, and a copy of it, to yourself",
            ),
            Use::Session => (
                "请管理员或前缀所有者以 mingpai token --public-key 登记公钥（public）；私钥文件请自行保管，登录用 mingpai token --key-file",
                "have the administrator, or the owner of the prefix, register the public key (mingpai token --public-key); keep the file to yourself, and sign in with mingpai token --key-file",
            ),
            Use::Checkpoint => (
                "下次启动时，节点会读取它；旧密钥文件请保留",
                "the node reads it at its next start; keep the old key files",
            ),
        }
    }
}

impl Keygen {
    pub fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let (name, kid, path) = self.make()?;
        // Whoever is to license it, or to verify by it, needs the public half.
        let public = match self.key_use {
            Use::Owner | Use::Session => Some(read_signing_key(&path).map_err(|error| failed(&error))?.public()),
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

    /// Word, id and file of what was made.
    fn make(&self) -> Result<(&'static str, String, PathBuf), CliError> {
        if self.prefix.is_some() && self.key_use != Use::PrefixSecret {
            return Err(CliError::wrong(
                "--prefix 只用于 --use prefix-secret",
                "--prefix goes with --use prefix-secret only",
            ));
        }
        match (self.key_use, self.key_use.key_use(), &self.keys, &self.out) {
            (_, Some(key_use), Some(keys), None) => {
                let path = generate(keys, key_use, Timestamp::now().as_seconds()).map_err(|error| failed(&error))?;
                // The file's name is USE-KID.jwk.
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                let kid = stem.strip_prefix(key_use.name()).and_then(|rest| rest.strip_prefix('-')).unwrap_or(&stem);
                Ok((key_use.name(), kid.to_owned(), path))
            }
            (Use::Backup, _, None, Some(out)) => {
                let key = BackupKey::generate().ok_or_else(|| failed(&KeyError::NoRandomness))?;
                write_secret_file(out, format!("{}\n", key.text()).as_bytes()).map_err(|error| failed(&error))?;
                Ok(("backup", key.id(), out.clone()))
            }
            (Use::PrefixSecret, _, Some(keys), Some(out)) => self.hand_out(keys, out),
            (Use::PrefixSecret, ..) => Err(CliError::wrong(
                "请用 --keys 指明密钥目录、--prefix 指明前缀、--out 指明写入的文件",
                "name the key folder with --keys, the prefix with --prefix and the file with --out",
            )),
            (Use::Backup, ..) => {
                Err(CliError::wrong("备份密钥只需用 --out 指明文件", "a backup key takes --out alone: the file"))
            }
            _ => Err(CliError::wrong("请只用 --keys 指明密钥目录", "name the key folder with --keys, and no --out")),
        }
    }

    /// The secret of one prefix, out of the node's own. None is made: another one would blind every name otherwise.
    fn hand_out(&self, keys: &Path, out: &Path) -> Result<(&'static str, String, PathBuf), CliError> {
        let prefix = self.prefix.as_deref().and_then(|text| {
            let text = text.trim();
            Identifier::parse(&format!("{text}/x")).ok().map(|named| named.prefix().to_owned())
        });
        let prefix = prefix.ok_or_else(|| {
            CliError::wrong("--prefix 应为前缀，例如 88.999.1", "--prefix must be a prefix, such as 88.999.1")
        })?;
        let secret = Blinding::new(read_secret(keys).map_err(|error| failed(&error))?).prefix_secret(&prefix);
        PrefixSecret::write(&prefix, &secret, out).map_err(|error| failed(&error))?;
        Ok(("prefix-secret", prefix, out.to_owned()))
    }
}

fn failed(error: &KeyError) -> CliError {
    let Text { zh, en } = error.text();
    CliError::wrong(format!("没有生成密钥：{zh}"), format!("no key was made: {en}"))
}
