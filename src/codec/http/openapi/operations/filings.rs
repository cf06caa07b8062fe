//! Filings: what an applicant does, and what a reviewer does.

use serde_json::{Value as Json, json};

use super::JSON;
use crate::codec::filing_answers::{FilingBody, FilingsBody};
use crate::codec::http::filings::{MAX_REASON_BYTES, MOST_FILINGS, MOST_REASONS, USUAL_FILINGS};
use crate::codec::http::openapi::example::Example;
use crate::codec::http::openapi::operation::{Operation, Tag};
use crate::codec::http::openapi::parameter::{self, Parameter};
use crate::codec::http::openapi::problems::{JSON_BODY, READS, WRITES};
use crate::codec::http::openapi::schemas::Shape;
use crate::codec::problem::Code;
use crate::model::filing::attachment::{MAX_ATTACHMENT_BYTES, MediaType};
use crate::model::filing::{AttachmentKind, Form, State};
use crate::model::permitted::Action;

const ID: &str = "AAAAAAAAAAAAAAAA";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        create(),
        list(),
        read(),
        replace(),
        attach(),
        file(),
        submit(),
        claim(),
        release(),
        send_back(),
        reject(),
        approve(),
        withdraw(),
    ]
}

/// A form as an enterprise fills it in.
fn form() -> Json {
    json!({
        "prefix": "88.999.7",
        "unit": {
            "name": "厦门示范轴承有限公司",
            "kind": "enterprise",
            "certificate": {"type": "uscc", "number": "91350200MA2YJ1XR9G"},
            "industry": "C3451",
            "region": "350203",
            "address": "厦门市思明区示范路 1 号",
        },
        "legal_person": {
            "name": "张三",
            "document": {"type": "resident_identity_card", "number": "350203199001011234"},
        },
        "contact": {"name": "李四", "phone": "13900001234", "email": "li@example.cn"},
    })
}

fn filing() -> Vec<(&'static str, Shape)> {
    vec![(JSON, Shape::of::<FilingBody<'_>>())]
}

fn wanted() -> Vec<(&'static str, Shape)> {
    vec![(JSON, Shape::of::<Form>())]
}

fn id() -> Parameter {
    Parameter::path("id", "备案编号", "the filing's id", json!({"type": "string"}))
}

fn create() -> Operation {
    Operation::post("/v1/filings", "createFiling", Tag::Filings, "新建备案（草稿）", "Begin a filing, as a draft")
        .about(
            "个人证件号、电话等加密保存，显示时遮盖，不进入任何公开日志。校验位不符等可疑之处交审核员核对，不拒绝。",
            "Numbers of persons are kept encrypted, shown masked, and in no public log. What only looks wrong, such as a check character, \
             is a reviewer's to judge and not refused.",
        )
        .keyed(Action::File)
        .body(wanted())
        .answer(201, "草稿", "the draft", filing())
        .with_headers(&["Location", "ETag", "Cache-Control", "Vary"])
        .fails(JSON_BODY)
        .fails(WRITES)
        .fails(&[Code::FilingTooMany, Code::VersionMismatch])
        .leads_to(201, "readFiling", "id", "$response.body#/id")
        .leads_to(201, "replaceFiling", "id", "$response.body#/id")
        .leads_to(201, "attachFile", "id", "$response.body#/id")
        .leads_to(201, "readFile", "id", "$response.body#/id")
        .leads_to(201, "submitFiling", "id", "$response.body#/id")
        .leads_to(201, "claimFiling", "id", "$response.body#/id")
        .leads_to(201, "releaseFiling", "id", "$response.body#/id")
        .leads_to(201, "returnFiling", "id", "$response.body#/id")
        .leads_to(201, "rejectFiling", "id", "$response.body#/id")
        .leads_to(201, "approveFiling", "id", "$response.body#/id")
        .leads_to(201, "withdrawFiling", "id", "$response.body#/id")
        .example(Example::new("draft", "一家企业的草稿", "an enterprise's draft").json(form()).ends(201))
}

fn list() -> Operation {
    Operation::get("/v1/filings", "listFilings", Tag::Filings, "备案列表", "List filings")
        .about(
            "按开始的先后；申请人只见自己的，审核员见所有提交过的。",
            "In the order in which they began: an applicant sees its own, a reviewer all that were ever submitted.",
        )
        .keyed(Action::SeeFilings)
        .parameter(Parameter::query(
            "state",
            "只列此状态的",
            "only those that stand so",
            json!({"enum": State::ALL.map(State::as_str)}),
        ))
        .parameter(parameter::limit(&USUAL_FILINGS.to_string(), MOST_FILINGS))
        .parameter(parameter::cursor())
        .answer(200, "一页备案", "a page of filings, without their forms", vec![(JSON, Shape::of::<FilingsBody<'_>>())])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(READS)
        .example(Example::new("drafts", "草稿", "drafts").query("state", "draft"))
}

fn read() -> Operation {
    Operation::get("/v1/filings/{id}", "readFiling", Tag::Filings, "读取备案", "Read a filing")
        .keyed(Action::SeeFilings)
        .parameter(id())
        .parameter(Parameter::query(
            "reveal",
            "显示完整的个人证件号与电话；仅限申请人与领取该备案的审核员，并记入审计",
            "with the numbers of persons whole: for its applicant and for who has it in review, and noted in the audit log",
            json!({"enum": ["1", "0", "true", "false"]}),
        ))
        .answer(200, "备案", "the filing", filing())
        .with_headers(&["ETag", "Cache-Control", "Vary"])
        .fails(READS)
        .fails(WRITES)
        .fails(&[Code::FilingUnknown, Code::FilingNotClaimed])
        .example(Example::new("read", "刚建的草稿", "the draft that was just made").path("id", ID))
}

fn replace() -> Operation {
    Operation::put("/v1/filings/{id}", "replaceFiling", Tag::Filings, "修改备案表", "Write the form anew")
        .about(
            "仅限草稿或被退回的备案；须以 If-Match 给出所改的版本。",
            "While it is a draft, or was returned; If-Match names the version that is changed.",
        )
        .keyed(Action::File)
        .parameter(id())
        .parameter(parameter::if_match())
        .body(wanted())
        .answer(200, "备案", "the filing", filing())
        .with_headers(&["ETag", "Cache-Control", "Vary"])
        .fails(JSON_BODY)
        .fails(WRITES)
        .fails(&[Code::FilingUnknown, Code::FilingStepRefused, Code::VersionMismatch, Code::PreconditionRequired])
        .example(Example::new("mend", "改地址", "another address").path("id", ID).header("If-Match", "\"1\"").json({
            let mut mended = form();
            mended["unit"]["address"] = json!("厦门市思明区示范路 2 号");
            mended
        }))
}

fn files() -> Vec<(&'static str, Shape)> {
    let file = || Shape::Json(json!({"type": "string", "format": "binary", "maxLength": MAX_ATTACHMENT_BYTES}));
    MediaType::ALL.into_iter().map(|media_type| (media_type.as_str(), file())).collect()
}

fn attach() -> Operation {
    let kinds = json!({"enum": AttachmentKind::ALL.map(AttachmentKind::as_str)});
    Operation::post("/v1/filings/{id}/attachments", "attachFile", Tag::Filings, "上传附件", "Attach a file")
        .about(
            "PNG、JPEG 或 PDF，至多 4 MiB，按内容识别：类型不符、不完整、末尾另有内容、含脚本的均拒绝。同类附件以最后一个为准，每份备案至多 10 个。加密保存。",
            "PNG, JPEG or PDF of 4 MiB at most, known by its bytes: another type than said, one that is not whole, has something behind its \
             end, or a PDF that acts, is refused. The last of a kind counts; 10 a filing. Kept encrypted.",
        )
        .keyed(Action::File)
        .parameter(id())
        .parameter(Parameter::query("kind", "certificate 为单位证件图像，提交前必需", "certificate: the image of the unit's certificate, without which nothing is submitted", kinds).required())
        .parameter(parameter::if_match())
        .body(files())
        .answer(201, "备案", "the filing", filing())
        .with_headers(&["ETag", "Cache-Control", "Vary"])
        .fails(WRITES)
        .fails(&[
            Code::FieldsInvalid,
            Code::FilingUnknown,
            Code::FilingStepRefused,
            Code::FilingTooMany,
            Code::VersionMismatch,
            Code::EntryTooLarge,
        ])
        .example(
            Example::new("certificate", "证件", "the certificate")
                .path("id", ID)
                .query("kind", "certificate")
                .body("application/pdf", "%PDF-1.4\n1 0 obj << /Type /Catalog >> endobj\nstartxref\n9\n%%EOF\n")
                .ends(201),
        )
}

fn file() -> Operation {
    let seq = Parameter::path(
        "seq",
        "附件所在的步骤号",
        "the number of the step that brought it",
        json!({"type": "integer", "minimum": 1}),
    );
    Operation::get("/v1/filings/{id}/attachments/{seq}", "readFile", Tag::Filings, "读取附件", "Read an attached file")
        .about(
            "供申请人与领取该备案的审核员；后者的每次读取都先记入审计（filing.revealed）。只作下载，不作网页显示。",
            "For its applicant and for who has the filing in review, whose every look is noted first (filing.revealed). To be downloaded, never shown as a page.",
        )
        .keyed(Action::SeeFilings)
        .parameter(id())
        .parameter(seq)
        .answer(200, "附件", "the file", files())
        .with_headers(&["Content-Disposition", "X-Content-Type-Options", "Content-Security-Policy", "Cache-Control", "Vary"])
        .fails(READS)
        .fails(WRITES)
        .fails(&[Code::FilingUnknown, Code::FilingNotClaimed])
        .example(
            Example::new("none", "没有附件的步骤", "a step without a file")
                .header("Accept-Language", "en")
                .header("X-Request-Id", "example-16")
                .path("id", ID)
                .path("seq", "1")
                .ends(404),
        )
}

/// A step without anything to say.
fn plain(path: &'static str, name: &'static str, zh: &str, en: &str, action: Action) -> Operation {
    Operation::post(path, name, Tag::Filings, zh, en)
        .keyed(action)
        .parameter(id())
        .parameter(parameter::if_match())
        .answer(200, "备案", "the filing", filing())
        .with_headers(&["ETag", "Cache-Control", "Vary"])
        .fails(WRITES)
        .fails(&[Code::FilingUnknown, Code::FilingStepRefused, Code::VersionMismatch])
}

/// A reviewer's step, with a document.
fn reviewed(path: &'static str, name: &'static str, zh: &str, en: &str, wanted: Json, is_required: bool) -> Operation {
    let operation = plain(path, name, zh, en, Action::Review).fails(JSON_BODY).fails(&[Code::FilingNotClaimed]);
    let body = vec![(JSON, Shape::Json(wanted))];
    if is_required { operation.body(body) } else { operation.optional_body(body) }
}

fn nothing() -> Json {
    json!({"type": "object", "additionalProperties": false})
}

pub(super) fn reasons() -> Json {
    json!({
        "type": "object",
        "properties": {"reasons": {
            "type": "array", "minItems": 1, "maxItems": MOST_REASONS,
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": ["string", "null"], "description": "a JSON Pointer into the form · 指向表中一处"},
                    "text": {"type": "string", "maxLength": MAX_REASON_BYTES},
                },
                "required": ["text"],
            },
        }},
        "required": ["reasons"],
        "additionalProperties": false,
    })
}

fn submit() -> Operation {
    plain("/v1/filings/{id}/submit", "submitFiling", "提交备案", "Submit a filing", Action::File)
        .about("须已上传证件图像。", "Once the certificate's image is attached.")
        .fails(&[Code::FilingIncomplete])
        .example(Example::new("submit", "提交", "submit it").path("id", ID))
}

fn withdraw() -> Operation {
    plain("/v1/filings/{id}/withdraw", "withdrawFiling", "撤回备案", "Withdraw a filing", Action::File)
        .about("办结之前均可，不能恢复。", "At any time before its end, and for ever.")
        .example(Example::new("withdraw", "撤回", "withdraw it").path("id", ID))
}

fn claim() -> Operation {
    reviewed("/v1/filings/{id}/claim", "claimFiling", "领取备案", "Claim a filing", nothing(), false)
        .about(
            "由此人审核，直到退回、驳回、通过或放回；不能领取自己提交的，也不能领取自己已同意的。",
            "It is this reviewer's until it is returned, rejected, approved or put back. Nobody claims what he has filed himself, or agreed to before.",
        )
        .fails(&[Code::FilingSamePerson])
        .example(Example::new("own", "自己提交的", "one's own").header("Accept-Language", "en").header("X-Request-Id", "example-11").path("id", ID).ends(403))
}

fn release() -> Operation {
    reviewed("/v1/filings/{id}/release", "releaseFiling", "放回备案", "Put a filing back", nothing(), false)
        .about("管理员可放回他人领取的。", "An administrator puts back what others have claimed, too.")
        .example(
            Example::new("unclaimed", "无人领取的", "one that nobody has claimed")
                .header("Accept-Language", "en")
                .header("X-Request-Id", "example-12")
                .path("id", ID)
                .ends(409),
        )
}

fn send_back() -> Operation {
    reviewed("/v1/filings/{id}/return", "returnFiling", "退回备案", "Return a filing", reasons(), true)
        .about("申请人修改后可再次提交。", "Its applicant mends it and submits it again.")
        .example(
            Example::new("unclaimed", "未领取的", "one that is not claimed")
                .header("Accept-Language", "en")
                .header("X-Request-Id", "example-13")
                .path("id", ID)
                .json(json!({"reasons": [{"pointer": "/unit/address", "text": "与证照不符"}]}))
                .ends(409),
        )
}

fn reject() -> Operation {
    reviewed("/v1/filings/{id}/reject", "rejectFiling", "驳回备案", "Reject a filing", reasons(), true)
        .about("备案就此结束。", "That is its end.")
        .example(
            Example::new("unsaid", "没有理由", "without a reason")
                .header("Accept-Language", "en")
                .header("X-Request-Id", "example-14")
                .path("id", ID)
                .json(json!({"reasons": []}))
                .ends(422),
        )
}

fn approve() -> Operation {
    let wanted = json!({
        "type": "object",
        "properties": {
            "prefix": {"type": ["string", "null"], "description": "the prefix that is allocated, if not the one that was asked for · 分配的前缀"},
            "valid_until": {"type": ["string", "null"], "format": "date-time", "description": "from when on the prefix is good no more; the last of two says it · 有效期至"},
            "note": {"type": ["string", "null"], "maxLength": MAX_REASON_BYTES, "description": "for other reviewers · 审核意见"},
        },
        "additionalProperties": false,
    });
    reviewed("/v1/filings/{id}/approve", "approveFiling", "通过备案", "Approve a filing", wanted, false)
        .about(
            "分配前缀，随即可在其下登记；filing.approvals = 2 时第一位的同意只是 endorsed，须另一位再同意。前缀须在本节点前缀之下，且与已分配的互不包含。",
            "Allocates the prefix, under which can be registered at once. With filing.approvals = 2 the first yes is an endorsement, and \
             another reviewer must agree. The prefix lies below one of this node's, and neither above nor below one that is allocated.",
        )
        .fails(&[Code::PrefixUnavailable])
        .example(Example::new("unclaimed", "未领取的", "one that is not claimed").header("Accept-Language", "en").header("X-Request-Id", "example-15").path("id", ID).ends(409))
}
