//! What keeps a store from opening, as whoever starts the node reads it. Not for clients of a running node: they are told less.

use super::apply::ApplyError;
use super::cold::ColdFault;
use super::engine::EngineError;
use super::journal::JournalError;
use super::open::OpenError;
use crate::model::text::Text;

impl OpenError {
    /// What happened and what to do.
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Io { path, source, .. } => {
                let (path, reason) = (path.display(), Text::of_io(source));
                Text::new(
                    format!("数据文件 {path} 读写失败：{}。请核对属主、权限与磁盘空间", reason.zh),
                    format!("{self}; check owner, permissions and free space"),
                )
            }
            Self::InUse(folder) => {
                let folder = folder.display();
                Text::new(format!("{folder} 正被另一个进程使用：请先停止它，或换一个数据目录"), self.to_string())
            }
            Self::Journal(error) => error.text(),
            Self::Cold(error) => error.text(),
            Self::Engine(error) => error.text(),
            Self::Apply(error) => error.text(),
            Self::RestoreCutShort => {
                Text::new("上一次恢复没有完成：请重新运行同一条 mingpai restore 命令，它会从头开始", self.to_string())
            }
            Self::NothingRemains => Text::new(
                "此处之前不会留下任何内容，连签名者的声明也没有：请由备份恢复，或在空目录中重新开始",
                self.to_string(),
            ),
            Self::NothingDamaged => {
                Text::new("日志完好：所有校验和均正确，截断只会丢掉现有内容。未作截断", self.to_string())
            }
            Self::DamagedBefore { segment, offset } => Text::new(
                format!("日志的损坏处是 {segment}:{offset}，在所指位置之前：请在该处截断。未作截断"),
                self.to_string(),
            ),
            Self::SelfCheck(difference) => Text::new(
                format!("由日志重建的记录库与其总数不符：{difference}。这是程序缺陷，请报告；日志未被改动"),
                format!("{self}; please report it"),
            ),
        }
    }
}

impl JournalError {
    /// What happened and what to do.
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Io { segment, source, .. } => Text::new(
                format!("日志 {segment} 读写失败：{}。请检查磁盘、属主与权限", ColdFault::text(source).zh),
                format!("{self}; check the disk, owner and permissions"),
            ),
            Self::Full { needed } => Text::new(
                format!("磁盘空间不足，放不下新的日志段（{needed} 字节）：请腾出空间后再试"),
                self.to_string(),
            ),
            Self::Damaged { segment, offset, sequence, durable, what } => Text::new(
                format!(
                    "日志在 {segment} 的第 {offset} 字节（序号 {sequence}）处损坏：{what}。序号 {durable} 及之前的写入已被确认，因此不作截断。\
                     修复：由备份或镜像放回 {segment}；若没有，mingpai doctor --cut-journal {segment}:{offset} 保留此处之前的内容，\
                     移走其余部分，并说明丢失了什么"
                ),
                self.to_string(),
            ),
            Self::Unreadable { segment, offset, what } => Text::new(
                format!(
                    "日志 {segment} 第 {offset} 字节处的一帧无法读取：{what}。只涉及这一帧：不要截断日志，否则其后的内容都会丢失。\
                     修复：停止节点，由备份或镜像放回 {segment}，再用 mingpai doctor 检查"
                ),
                self.to_string(),
            ),
            Self::GroupTooLarge { bytes, segment_bytes } => Text::new(
                format!("一组 {bytes} 字节的写入放不进 {segment_bytes} 字节的日志段：请调大 store.segment_bytes"),
                format!("{self}: raise store.segment_bytes"),
            ),
        }
    }
}

impl EngineError {
    /// What happened and what to do.
    #[must_use]
    pub fn text(&self) -> Text {
        let (zh, en) = if self.is_full {
            ("请腾出磁盘空间后再试", "free disk space and try again")
        } else {
            ("请停止节点并运行 mingpai doctor --rebuild 由日志重建", "stop the node and run `mingpai doctor --rebuild`")
        };
        Text::new(format!("记录库出错：{}。{zh}", self.cause), format!("{self}; {en}"))
    }
}

impl ApplyError {
    /// What happened and what to do.
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Journal(error) => error.text(),
            Self::Engine(error) => error.text(),
            Self::Statement { sequence, cause } => Text::new(
                format!("日志中序号 {sequence} 的内容无法理解：{cause}。它可能由较新版本写成：请用写它的版本启动"),
                format!("{self}; a later version may have written it: start that one"),
            ),
            Self::Row(key) => Text::new(
                format!("记录库中 {key} 的一行无法读取：请停止节点并运行 mingpai doctor --rebuild"),
                self.to_string(),
            ),
        }
    }
}
