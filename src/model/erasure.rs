//! On what ground something is erased. How that is done is the services' and the store's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why something is erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ErasureGround")]
pub enum Ground {
    /// 权利人请求
    Request,
    /// 法律或主管部门要求
    Law,
    /// 保存期限等内部规定
    Policy,
}

impl Ground {
    pub const ALL: [Ground; 3] = [Ground::Request, Ground::Law, Ground::Policy];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Law => "law",
            Self::Policy => "policy",
        }
    }
}
