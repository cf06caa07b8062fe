//! Who stands behind a prefix.

use serde_json::json;

use super::JSON;
use crate::codec::http::openapi::example::Example;
use crate::codec::http::openapi::operation::{Operation, Tag};
use crate::codec::http::openapi::parameter::Parameter;
use crate::codec::http::openapi::problems::{NAMES, READS};
use crate::codec::http::openapi::schemas::Shape;
use crate::codec::identity_answers::{IdentityBody, RDAP};
use crate::codec::problem::Code;
use crate::model::identifier::MAX_IDENTIFIER_BYTES;

pub(super) fn operations() -> Vec<Operation> {
    vec![read()]
}

fn read() -> Operation {
    let name = json!({"type": "string", "maxLength": MAX_IDENTIFIER_BYTES});
    let body = || Shape::of::<IdentityBody<'_>>();
    Operation::get("/v1/identity/{name}", "readIdentity", Tag::Prefixes, "前缀的登记信息", "Who stands behind a prefix")
        .about(
            "公开，形如 RDAP（RFC 9083）。给出前缀，或一个标识（含别名），答其前缀的登记者、分配时间与许可持有者；不含任何个人信息。",
            "Public, shaped as RDAP is (RFC 9083). Of a prefix, or of the prefix of an identifier or alias: the registrant, since when, and who holds \
             licences. Nothing of a person.",
        )
        .parameter(Parameter::path("name", "前缀或标识", "a prefix or an identifier", name))
        .answer(200, "登记信息", "what is known", vec![(JSON, body()), (RDAP, body())])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(NAMES)
        .fails(READS)
        .fails(&[Code::IdentifierUnknown])
        .example(Example::new("prefix", "一个前缀", "a prefix").path("name", "88.999.1"))
}
