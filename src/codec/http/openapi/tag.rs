//! The chapters of the document.

use crate::model::text::Text;

/// The chapters, in the order in which a reader meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    Resolve,
    Records,
    Imports,
    Keys,
    Filings,
    Prefixes,
    Grants,
    Licences,
    Log,
    Node,
}

impl Tag {
    pub const ALL: [Self; 10] = [
        Self::Resolve,
        Self::Records,
        Self::Imports,
        Self::Keys,
        Self::Filings,
        Self::Prefixes,
        Self::Grants,
        Self::Licences,
        Self::Log,
        Self::Node,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Records => "records",
            Self::Imports => "imports",
            Self::Keys => "keys",
            Self::Filings => "filings",
            Self::Prefixes => "prefixes",
            Self::Grants => "grants",
            Self::Licences => "licences",
            Self::Log => "log",
            Self::Node => "node",
        }
    }

    pub fn about(self) -> Text {
        match self {
            Self::Resolve => Text::new("解析：由名称到记录", "From a name to a record"),
            Self::Records => Text::new("注册、修改、注销与查询", "Register, change, delete, list"),
            Self::Imports => Text::new("批量导入", "Many records at once, as a job"),
            Self::Keys => Text::new("API 密钥", "API keys"),
            Self::Filings => Text::new("备案：申请前缀与审核", "Filings: applying for a prefix, and the review"),
            Self::Prefixes => Text::new(
                "前缀的状态：暂停、恢复、续期、撤销",
                "How prefixes stand: suspended, restored, renewed, revoked",
            ),
            Self::Grants => Text::new("授权：与合作方共享不公开的值", "Grants: values shared with partners"),
            Self::Licences => Text::new("许可：前缀归谁、由哪把密钥签名", "Whose a prefix is, and by which key"),
            Self::Log => Text::new("可校验的日志", "The log that anyone can verify"),
            Self::Node => Text::new("节点自身", "The node itself"),
        }
    }
}
