//! What can go wrong between a client command and a node.

use std::error::Error;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Server;
use crate::model::text::Text;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing was sent.
    #[error("cannot reach {server}: {cause}")]
    Unreachable { server: String, cause: Text },
    /// The node's certificate is not one that this client trusts. Nothing was sent.
    #[error("{server} is not trusted: {cause}")]
    Untrusted { server: String, cause: String },
    /// What listens there does not speak TLS, or not as we do. Nothing was sent.
    #[error("no TLS with {server}: {cause}")]
    NoTls { server: String, cause: String },
    /// The connection ended before the answer was whole: the node may have done what was asked.
    #[error("the connection broke: {cause}")]
    Broken { cause: Text },
    #[error("no answer within {seconds} s")]
    TimedOut { seconds: u64 },
    #[error("an answer of more than {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
    #[error("the request is too long for a URL")]
    RequestTooLong,
    /// The other end is no node, or one that speaks otherwise.
    #[error("unexpected answer: {what}")]
    Unexpected { what: String },
    #[error("refused: {0:?}")]
    Refused(Box<Refused>),
}

/// A refusal: the problem document (RFC 9457) as far as there is one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Refused {
    pub status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<RefusedField>,
    #[serde(skip)]
    pub retry_after_seconds: Option<u64>,
    /// The node that refused a key, and where the key is from.
    #[serde(skip)]
    pub key: Option<ShownKey>,
}

/// Which key was shown to which node; never the key itself.
#[derive(Clone, Debug)]
pub struct ShownKey {
    pub server: String,
    pub source: String,
}

/// One field that was refused.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RefusedField {
    pub pointer: String,
    pub code: String,
    pub detail: String,
}

/// Statuses by which a node says no about what was named, as it stands: it is not there, gone, or in the way.
const NOES: [u16; 4] = [404, 409, 410, 412];
/// Codes with such a status that are no answer about it: another node, another address, or another moment has it.
const NO_ANSWERS: [&str; 8] = [
    "not_responsible",
    "route_unknown",
    "service_unknown",
    "conflict",
    "export_columns_changed",
    "import_running",
    "idempotency_running",
    "upload_offset",
];

/// No node may keep a client waiting for longer than this.
const LONGEST_RETRY_AFTER_SECONDS: u64 = 30;

impl ClientError {
    pub(super) fn of_transport(error: &hyper_util::client::legacy::Error, server: &Server) -> ClientError {
        if let Some(tls) = tls_error(error) {
            let (server, cause) = (server.to_string(), tls.to_string());
            return match tls {
                rustls::Error::InvalidCertificate(_) => ClientError::Untrusted { server, cause },
                _ => ClientError::NoTls { server, cause },
            };
        }
        let cause = innermost(error);
        if error.is_connect() {
            ClientError::Unreachable { server: server.to_string(), cause }
        } else {
            ClientError::Broken { cause }
        }
    }

    pub(super) fn broken(error: &(dyn Error + 'static)) -> ClientError {
        ClientError::Broken { cause: innermost(error) }
    }

    /// Whether the same question may be answered a little later.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } | Self::TimedOut { .. } => true,
            // What waits for a person waits longer than anybody's patience.
            Self::Refused(refused) if refused.code.as_deref() == Some("restored_undecided") => false,
            Self::Refused(refused) => matches!(refused.status, 429 | 502 | 503 | 504),
            Self::Untrusted { .. }
            | Self::NoTls { .. }
            | Self::TooLarge { .. }
            | Self::RequestTooLong
            | Self::Unexpected { .. } => false,
        }
    }

    /// Whether it is the answer no, which ends a command with 1: a node's own problem document says so about what was named. All else
    /// leaves it open: a 404 without a code is some other server's, and would make a registered name one that is not.
    #[must_use]
    pub fn is_no(&self) -> bool {
        match self {
            Self::Refused(refused) => {
                let is_answer = refused.code.as_deref().is_some_and(|code| !NO_ANSWERS.contains(&code));
                is_answer && NOES.contains(&refused.status)
            }
            _ => false,
        }
    }

    /// The status of a refusal.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(refused) => Some(refused.status),
            _ => None,
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refused) => {
                refused.retry_after_seconds.map(|seconds| Duration::from_secs(seconds.min(LONGEST_RETRY_AFTER_SECONDS)))
            }
            _ => None,
        }
    }

    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Unreachable { server, cause } => Text::new(
                format!("无法连接 {server}：{}。请确认节点在运行、地址和端口无误", cause.zh),
                format!("cannot reach {server}: {cause}; is the node running, are address and port right?"),
            ),
            Self::Untrusted { server, cause } => Text::new(
                format!(
                    "{server} 的证书不受信任：{cause}。若为自建根证书，请用 --ca-file FILE（或 MINGPAI_CA_FILE）指明；若名称不符，\
                     请按证书中的名称访问"
                ),
                format!(
                    "the certificate of {server} is not trusted: {cause}; name the root that signed it with --ca-file FILE \
                     (or MINGPAI_CA_FILE), or ask the node by a name that is in its certificate"
                ),
            ),
            Self::NoTls { server, cause } => Text::new(
                format!(
                    "无法与 {server} 建立 TLS：{cause}。请确认该端口是 https（tls.listen）；http 端口请用 http:// 地址"
                ),
                format!(
                    "no TLS with {server}: {cause}; is that an https port (tls.listen)? A cleartext port is asked with http://"
                ),
            ),
            Self::Broken { cause } => {
                Text::new(format!("连接中断：{}", cause.zh), format!("the connection broke: {cause}"))
            }
            Self::TimedOut { seconds } => {
                Text::new(format!("{seconds} 秒内没有答复"), format!("no answer within {seconds} s"))
            }
            Self::TooLarge { limit_bytes } => Text::new(
                format!("答复超过 {limit_bytes} 字节，未读取"),
                format!("the answer has more than {limit_bytes} bytes and was not read"),
            ),
            Self::RequestTooLong => Text::new(
                "请求过长：请缩短标识或映射",
                "the request is too long for a URL: shorten the identifier or the mapping",
            ),
            Self::Unexpected { what } => Text::new(
                format!("答复不是本系统的格式：{what}。请检查地址是否指向铭牌节点"),
                format!("not an answer of this system: {what}; does the address lead to a Mingpai node?"),
            ),
            // The node has answered in the language that was asked for, so both halves are the same.
            Self::Refused(refused) => {
                let mut text = Text::new(refused.to_string(), refused.to_string());
                if let Some(ShownKey { server, source }) = &refused.key {
                    text.zh.push_str(&format!(
                        "\n  {server} 不接受 {source} 中的密钥：请核对 --server 与 --token-file 是否属于同一节点"
                    ));
                    text.en.push_str(&format!(
                        "\n  {server} does not take the key in {source}: do --server and --token-file belong to the same node?"
                    ));
                }
                text
            }
        }
    }
}

/// Whose detail is the title again, with the name that was asked for.
const SAID_BY_DETAIL: [&str; 3] = ["identifier_unknown", "identifier_deleted", "version_unknown"];

/// "title: detail (code)", then what is wrong field by field, then what to do.
impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_said = self.code.as_deref().is_some_and(|code| SAID_BY_DETAIL.contains(&code));
        match (&self.title, &self.detail) {
            (Some(_), Some(detail)) if is_said => f.write_str(detail)?,
            (Some(title), Some(detail)) => write!(f, "{title}: {detail}")?,
            (Some(text), None) | (None, Some(text)) => f.write_str(text)?,
            (None, None) => write!(f, "HTTP {}", self.status)?,
        }
        if let Some(code) = &self.code {
            write!(f, " ({code})")?;
        }
        for field in &self.errors {
            let RefusedField { pointer, detail, code } = field;
            match pointer.is_empty() {
                // Of the whole: the sentence above may be the very same.
                true if self.detail.as_ref().is_some_and(|told| told.contains(detail.as_str())) => {}
                true => write!(f, "\n  {detail} ({code})")?,
                false => write!(f, "\n  {pointer}: {detail} ({code})")?,
            }
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "\n  {remedy}")?;
        }
        if let Some(id) = &self.request_id
            && self.status >= 500
        {
            write!(f, "\n  request_id: {id}")?;
        }
        Ok(())
    }
}

/// What rustls said, however deep it is wrapped.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // An io::Error that wraps another gives that one's source as its own, and skips the one.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

/// What lies under the layers of a transport error: the part that tells a person something.
fn innermost(error: &(dyn Error + 'static)) -> Text {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    let told = error.to_string();
    error.downcast_ref().map_or_else(|| Text::new(told.clone(), told.clone()), Text::of_io)
}
