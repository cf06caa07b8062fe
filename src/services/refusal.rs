//! What it means to a caller that the store takes nothing, and what helps.

use crate::model::text::Text;
use crate::store::Refusal;

pub(super) fn text(refusal: &Refusal) -> Text {
    match refusal {
        Refusal::Busy => Text::new("写入队列已满，请稍后重试", "the write queue is full: try again in a moment"),
        Refusal::Full { needed_bytes } => Text::new(
            format!("磁盘空间不足（还需约 {needed_bytes} 字节）：清理后重试；读取不受影响"),
            format!("the disk is full (about {needed_bytes} bytes are missing): free some and try again; reads go on"),
        ),
        Refusal::TooLarge { bytes, limit } => Text::new(
            format!("共 {bytes} 字节，一次提交最多 {limit} 字节：请拆分"),
            format!("{bytes} bytes, one commit takes {limit}: split it"),
        ),
        Refusal::ReadFailed(_) => Text::new(
            "读写存储时出错，未作任何改动，可以重试；若一直如此，请管理员检查磁盘与冷存储",
            "the storage did not answer and nothing was changed: try again; if it stays so, the operator should look at the disk and at cold storage",
        ),
        Refusal::Poisoned(_) => Text::new(
            "存储失效，须重启节点；重启后凭 Idempotency-Key 查询结果",
            "the storage failed and the node must be restarted; ask by the Idempotency-Key after that",
        ),
        Refusal::Undecided => Text::new(
            "本节点由备份恢复，日志如何继续尚未决定：读取可用，写入不可用",
            "this node was restored from a backup and nobody has decided how its log goes on: reads are served, writes are not",
        ),
        Refusal::Stopping => Text::new("节点正在停止", "the node is stopping"),
    }
}
