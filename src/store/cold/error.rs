//! What can be wrong with a cold folder, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::text::Text;

/// Why a journal with a cold folder does not open. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ColdError {
    #[error("{action} {path}: {source}; check owner, permissions, and that the file system is mounted for writing")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "the cold folder {0} is not there: mount its file system; for a new one, make the folder (it is not made by itself, so that a file \
         system that is not mounted is not taken for an empty one)"
    )]
    NoFolder(PathBuf),
    #[error("the cold folder {0} is in use by another process: stop that one first")]
    InUse(PathBuf),
    #[error(
        "{folder} is not the cold folder of this journal, which was {noted}: mount its file system, or set store.cold to where its files are \
         now. To begin a new one, copy its segments back into the journal's folder and start once without store.cold"
    )]
    Away { folder: PathBuf, noted: PathBuf },
    #[error(
        "{0} is the cold folder of another journal, or holds segments of one: set store.cold to a folder of this node alone. A restored node \
         begins with an empty one"
    )]
    Anothers(PathBuf),
    #[error(
        "{folder} was claimed by another journal and holds no segment: where that journal is gone, or had its segments copied back, remove \
         {}; else set store.cold to a folder of this node alone", .0.join("mingpai-cold").display(), folder = .0.display()
    )]
    Claimed(PathBuf),
    #[error(
        "{0} is a folder that the node uses for something else, perhaps by another path: set store.cold to a folder of its own, on another \
         file system"
    )]
    Taken(PathBuf),
    #[error(
        "{segment} is in the cold folder {folder}, and store.cold is not set: set it to that folder, or copy the segments from there back into \
         the journal's folder"
    )]
    NotSet { segment: String, folder: PathBuf },
    #[error(
        "{segment} is missing: it is neither in the journal's folder nor in the cold folder {folder}. Repair: put {segment} back from a backup, \
         into either of them{}", cut_en(end.as_deref())
    )]
    Missing {
        segment: String,
        folder: PathBuf,
        /// Where the journal ends before it, for a cut.
        end: Option<String>,
    },
}

/// What went wrong with a file in the cold folder of an open journal, inside an error of its kind.
#[derive(Debug, thiserror::Error)]
#[error("cold storage, {}: {source}; see that its file system is mounted", .path.display())]
pub struct ColdFault {
    path: PathBuf,
    source: io::Error,
}

impl ColdFault {
    pub(super) fn of(path: &Path, source: io::Error) -> io::Error {
        io::Error::new(source.kind(), ColdFault { path: path.to_owned(), source })
    }

    /// The text of any error, of which some are of cold files.
    pub(in crate::store) fn text(error: &io::Error) -> Text {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<ColdFault>()) {
            None => Text::of_io(error),
            Some(fault) => Text::new(
                format!(
                    "冷存储文件 {}：{}，请确认其文件系统已挂载",
                    fault.path.display(),
                    Text::of_io(&fault.source).zh
                ),
                fault.to_string(),
            ),
        }
    }
}

impl ColdError {
    /// What happened and what to do.
    #[must_use]
    pub fn text(&self) -> Text {
        let zh = match self {
            Self::Io { path, source, .. } => format!(
                "冷存储文件 {} 读写失败：{}。请核对属主、权限，以及文件系统是否以可写方式挂载",
                path.display(),
                Text::of_io(source).zh
            ),
            Self::NoFolder(folder) => format!(
                "冷存储目录 {} 不存在：请挂载其文件系统；首次使用请先建立该目录（程序不会自动建立，以免把未挂载当作空目录）",
                folder.display()
            ),
            Self::InUse(folder) => format!("冷存储目录 {} 正被另一个进程使用：请先停止它", folder.display()),
            Self::Away { folder, noted } => format!(
                "{} 不是本日志的冷存储目录，原目录为 {}：请挂载其文件系统，或把 store.cold 设为文件现在所在的目录。\
                 若要另起，请把其中的日志段复制回 journal 目录，并在不设 store.cold 的情况下启动一次",
                folder.display(),
                noted.display()
            ),
            Self::Anothers(folder) => format!(
                "{} 是另一个日志的冷存储目录，或存有其日志段：请把 store.cold 设为本节点专用的目录；由备份恢复的节点请用空目录",
                folder.display()
            ),
            Self::Claimed(folder) => format!(
                "{} 已被另一个日志认领，其中没有日志段：若该日志已不存在或已复制回原处，请删除 {}；否则请把 store.cold 设为本节点专用的目录",
                folder.display(),
                folder.join("mingpai-cold").display()
            ),
            Self::Taken(folder) => format!(
                "{} 是节点已作他用的目录（也可能经由另一路径）：请把 store.cold 设为另一文件系统上的专用目录",
                folder.display()
            ),
            Self::NotSet { segment, folder } => format!(
                "{segment} 在冷存储目录 {} 中，而 store.cold 未设置：请设为该目录，或把其中的日志段复制回 journal 目录",
                folder.display()
            ),
            Self::Missing { segment, folder, end } => format!(
                "缺少 {segment}：journal 目录与冷存储目录 {} 中都没有。修复：由备份放回 {segment}，放入其中任一目录{}",
                folder.display(),
                cut_zh(end.as_deref())
            ),
        };
        Text::new(zh, self.to_string())
    }
}

fn cut_en(end: Option<&str>) -> String {
    end.map_or_else(String::new, |end| {
        format!("; or, where there is none, `mingpai doctor --cut-journal {end}` keeps all before it and moves the rest aside")
    })
}

fn cut_zh(end: Option<&str>) -> String {
    end.map_or_else(String::new, |end| {
        format!("；若没有备份，mingpai doctor --cut-journal {end} 保留其前的内容，其余移到一旁")
    })
}
