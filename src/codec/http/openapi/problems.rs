//! Refusals in the document: for each status the codes that may stand there, from the table of problems; and the headers.

use serde_json::{Map, Value as Json, json};

use crate::codec::problem::Code;
pub(super) use crate::codec::problem::MEDIA_TYPE;
use crate::model::text::{Language, Text};

/// What may be said before an address is looked at, and what nobody should ever see.
pub(super) const EVERYWHERE: [Code; 8] = [
    Code::HeaderInvalid,
    Code::DigestMismatch,
    Code::TlsRequired,
    Code::RequestTimeout,
    Code::UriTooLong,
    Code::HeadersTooLarge,
    Code::Internal,
    Code::Overloaded,
];

/// Where a record is read.
pub const READS: &[Code] = &[Code::RecordDamaged, Code::StorageReadFailed];

/// Where an identifier is read.
pub const NAMES: &[Code] = &[Code::IdentifierInvalid, Code::NotResponsible];

/// Where what stands under a prefix is told to anybody.
pub const CLOSED: &[Code] = &[Code::PrefixSuspended, Code::PrefixRevoked];

/// Where something is appended to the journal.
pub const WRITES: &[Code] = &[
    Code::RecordDamaged,
    Code::StorageReadFailed,
    Code::StoragePoisoned,
    Code::StorageFull,
    Code::Draining,
    Code::RestoredUndecided,
];

/// Where a body is a JSON document.
pub const JSON_BODY: &[Code] =
    &[Code::JsonSyntax, Code::JsonTooDeep, Code::JsonDuplicateKey, Code::JsonNumberInexact, Code::FieldsInvalid];

/// What a change of one record may meet.
pub const CHANGES: &[Code] = &[
    Code::AliasTaken,
    Code::Conflict,
    Code::EntryTooLarge,
    Code::PrefixSuspended,
    Code::PrefixExpired,
    Code::PrefixRevoked,
];

/// What an owner's signature on a record may meet.
pub const OWNERS: &[Code] = &[
    Code::OwnerNotLicensed,
    Code::OwnerVersionMoved,
    Code::OwnerSignatureRequired,
    Code::OwnerSignatureInvalid,
    Code::OwnerDigestMismatch,
];

/// Where a request may be repeated under a key.
pub const REPEATS: &[Code] = &[Code::IdempotencyRunning, Code::IdempotencyMismatch];

/// Headers of answers: name, type, and what they say.
const HEADERS: [(&str, &str, &str, &str); 19] = [
    ("X-Request-Id", "string", "请求编号，与日志中的相同", "the request's id, as in the node's log"),
    ("ETag", "string", "记录的版本，如 \"2\"", "the record's version, such as \"2\""),
    ("Location", "string", "所建之物的地址", "where what was made is found"),
    ("Cache-Control", "string", "可以缓存多久", "how long it may be kept"),
    ("Vary", "string", "回答取决于哪些请求头", "which headers of the request the answer depends on"),
    ("Content-Language", "string", "zh-CN 或 en", "zh-CN or en"),
    ("Retry-After", "integer", "多少秒后重试", "after how many seconds to try again"),
    ("WWW-Authenticate", "string", "需要怎样的凭据", "which credential is needed"),
    ("Accept-Signature", "string", "怎样为请求签名（RFC 9421）", "how a request may be signed (RFC 9421)"),
    ("Access-Control-Allow-Origin", "string", "* 表示任何来源的脚本可读", "*: scripts of any origin may read it"),
    ("Content-Encoding", "string", "gzip，若请求接受", "gzip, where the request takes it"),
    ("Content-Security-Policy", "string", "网页只用本节点的文件", "the page uses files of this node only"),
    ("Content-Disposition", "string", "文件名", "the file's name"),
    ("Mingpai-Columns", "string", "CSV 各列的标记，续写时给回", "stands for the columns of a CSV, to be given back"),
    ("Mingpai-Next", "integer", "全部收到后由此序号续读", "the index to go on from once all has come"),
    ("Upload-Offset", "integer", "上传到第几字节", "the byte where an upload stands"),
    ("Upload-Complete", "string", "?1 表示已全", "?1 where all has come"),
    ("Upload-Limit", "string", "上限", "its bounds"),
    ("X-Content-Type-Options", "string", "nosniff", "nosniff"),
];

/// The header components.
pub(super) fn header_components() -> Json {
    let of = |&(name, kind, zh, en): &(&str, &str, &str, &str)| {
        let about = super::both(&Text::new(zh, en));
        (name.to_owned(), json!({"description": about, "schema": {"type": kind}}))
    };
    HEADERS.iter().map(of).collect::<Map<_, _>>().into()
}

/// References to header components, with what every answer has; an open address is read by scripts of any origin.
pub(super) fn headers(names: &[&str], is_open: bool) -> Json {
    let open = is_open.then_some("Access-Control-Allow-Origin");
    let own = names.iter().copied().chain(["X-Request-Id"]).chain(open);
    let reference = |name: &str| (name.to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
    own.map(reference).collect::<Map<_, _>>().into()
}

/// The responses of one status with these codes, which operations share: under a name that says both.
pub(super) fn component_name(status: u16, codes: &[Code], is_open: bool) -> String {
    let words = codes.iter().map(|code| format!(".{}", code.row().code));
    words.fold(if is_open { format!("{status}.open") } else { status.to_string() }, |name, word| name + &word)
}

/// The response of one status, with the codes that it may have here.
pub(super) fn response(status: u16, codes: &[Code], is_open: bool, examples: Map<String, Json>) -> Json {
    let words: Vec<&str> = codes.iter().map(|code| code.row().code).collect();
    let lines: Vec<String> = codes
        .iter()
        .map(|code| {
            let row = code.row();
            format!("`{}` {} · {}", row.code, row.title(Language::En), row.title(Language::Zh))
        })
        .collect();
    let mut names = vec!["Content-Language", "Cache-Control", "Vary"];
    if status == 401 {
        names.extend(["WWW-Authenticate", "Accept-Signature"]);
    }
    if codes.iter().any(|code| code.row().retry_after_seconds.is_some()) {
        names.push("Retry-After");
    }
    let schema = json!({"allOf": [
        {"$ref": "#/components/schemas/Problem"},
        {"properties": {"status": {"const": status}, "code": {"enum": words}}},
    ]});
    let mut content = json!({"schema": schema});
    if let (false, Some(members)) = (examples.is_empty(), content.as_object_mut()) {
        members.insert("examples".to_owned(), examples.into());
    }
    json!({"description": lines.join("; "), "headers": headers(&names, is_open), "content": {MEDIA_TYPE: content}})
}
