//! What a mirror follows: where, by whose keys, with which grant. A mirror's folder says so, and that it is one: a node that
//! signs must never be started on it, nor a mirror on the folder of one.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::text::Text;
use crate::services::follow::Source;
use crate::store::doctor::is_store;
use crate::tlog::note::VerifierKey;
use crate::tlog::policy::{POLICY_LIMIT_BYTES, Policy};

/// Says in a data folder that it is a mirror's.
pub const MIRROR_FILE: &str = "mirror.json";

/// What is to be followed.
#[derive(Clone)]
pub struct Order {
    /// The address of the origin, without a slash at its end.
    pub url: String,
    /// The log's name.
    pub origin: String,
    pub policy: Policy,
    /// The log, below `URL/log`.
    pub log: Arc<dyn Source>,
    /// The node, below its address, with an administrator's key; `None`: nothing that the log hides is asked for.
    pub granted: Option<Arc<dyn Source>>,
    /// How long one question is repeated.
    pub patience: Duration,
    /// Whether it goes on while the node is open; if not, whoever opened the node follows it.
    pub is_followed: bool,
}

/// What a folder says of the log that it mirrors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stated {
    pub url: String,
    pub origin: String,
    pub policy: String,
    /// Whether it holds what the log hides. From then on it cannot do without: a change that stays hidden would leave the
    /// version before it standing.
    pub granted: bool,
}

/// Why a folder is not that of the mirror that is asked for.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{0} does not read")]
    Unreadable(PathBuf),
    #[error("{0} is the data folder of a node that registers")]
    NoMirror(PathBuf),
    #[error("{folder} mirrors {standing}, and {asked} is asked for")]
    OtherLog { folder: PathBuf, standing: String, asked: String },
    #[error("{0} holds what its origin's log hides")]
    NotGranted(PathBuf),
    #[error("the policy names no key of the log {0}")]
    NoKey(String),
}

impl OrderError {
    /// What happened and what to do.
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Io { path, source } => {
                let (path, reason) = (path.display(), Text::of_io(source));
                Text::new(
                    format!("{path} 读写失败：{}。请核对属主与权限", reason.zh),
                    format!("{path}: {}; check owner and permissions", reason.en),
                )
            }
            Self::Unreadable(path) => Text::new(
                format!("{} 不可读：请用空目录重新建立镜像", path.display()),
                format!("{self}: begin the mirror anew in an empty folder"),
            ),
            Self::NoMirror(path) => Text::new(
                format!("{} 是登记节点的数据目录，不是镜像：请用 --data 换一个空目录", path.display()),
                format!("{self}, not a mirror's: name an empty folder with --data"),
            ),
            Self::OtherLog { folder, standing, asked } => Text::new(
                format!("{} 是 {standing} 的镜像，而所求为 {asked}：请换一个目录", folder.display()),
                format!("{self}: name another folder"),
            ),
            Self::NoKey(origin) => Text::new(
                format!("策略中没有日志 {origin} 的公钥：请用 --policy 或 --vkey 给出它的公钥"),
                format!("{self}, which is the one that is mirrored: give its key with --policy or --vkey"),
            ),
            Self::NotGranted(path) => Text::new(
                format!(
                    "{} 含有源节点披露的内容，缺少密钥便无法更新：请用 --token-file 给出管理员密钥",
                    path.display()
                ),
                format!(
                    "{self}, and cannot follow its changes without a key: give an administrator's with --token-file"
                ),
            ),
        }
    }
}

impl Stated {
    #[must_use]
    pub fn of(order: &Order) -> Stated {
        Stated {
            url: order.url.clone(),
            origin: order.origin.clone(),
            policy: String::from_utf8_lossy(&order.policy.encode()).into_owned(),
            granted: order.granted.is_some(),
        }
    }

    /// What a folder says; `None` where it is not a mirror's.
    pub fn read(folder: &Path) -> Result<Option<Stated>, OrderError> {
        let path = folder.join(MIRROR_FILE);
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(POLICY_LIMIT_BYTES as u64 * 2).read_to_end(&mut bytes)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(OrderError::Io { path, source }),
            Ok(_) => {}
        }
        serde_json::from_slice(&bytes).map(Some).map_err(|_| OrderError::Unreadable(path))
    }

    /// The policy that it was begun with.
    #[must_use]
    pub fn policy(&self) -> Option<Policy> {
        Policy::parse(self.policy.as_bytes()).ok()
    }

    /// Makes a folder this mirror's, or says why it cannot be. Another address or policy of the same log replaces what was said:
    /// only for whoever holds the folder's lock, for what stands there is what the next start believes.
    pub fn settle(&self, folder: &Path) -> Result<(), OrderError> {
        let standing = Stated::read(folder)?;
        match &standing {
            Some(standing) if standing.origin != self.origin => {
                return Err(OrderError::OtherLog {
                    folder: folder.to_owned(),
                    standing: standing.origin.clone(),
                    asked: self.origin.clone(),
                });
            }
            Some(standing) if standing.granted && !self.granted => {
                return Err(OrderError::NotGranted(folder.to_owned()));
            }
            None if is_store(folder) => return Err(OrderError::NoMirror(folder.to_owned())),
            _ => {}
        }
        // By such a policy no head of this log is ever believed.
        let has_key = |policy: Policy| policy.logs().iter().any(|log| log.key.name() == self.origin);
        if !self.policy().is_some_and(has_key) {
            return Err(OrderError::NoKey(self.origin.clone()));
        }
        if standing.as_ref() == Some(self) {
            return Ok(());
        }
        let bytes = serde_json::to_vec_pretty(self).map_err(io::Error::other);
        let path = folder.join(MIRROR_FILE);
        bytes.and_then(|bytes| replace(folder, MIRROR_FILE, &bytes)).map_err(|source| OrderError::Io { path, source })
    }
}

impl Order {
    /// The keys of the log.
    #[must_use]
    pub fn keys(&self) -> Vec<VerifierKey> {
        let own = self.policy.logs().iter().filter(|log| log.key.name() == self.origin);
        own.map(|log| log.key.clone()).collect()
    }
}

/// Writes a file whole or not at all, durably.
pub(super) fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = folder.join(format!(".{name}.new"));
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, folder.join(name))?;
    File::open(folder)?.sync_all()
}
