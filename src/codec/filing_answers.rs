//! The JSON of filings: the form with the numbers of persons masked, where it stands, and what happened to it.

use schemars::JsonSchema;
use serde::Serialize;

use super::answers::json;
use super::cursor;
use crate::model::codes::{Industry, Region};
use crate::model::filing::attachment::MediaType;
use crate::model::filing::{Attachment, AttachmentKind, Course, Form, State, Step};
use crate::model::text::Language;
use crate::model::time::Timestamp;
use crate::services::file::{FilingPage, FilingView, Reason};

/// A filing · 一份备案
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Filing")]
pub(super) struct FilingBody<'a> {
    #[serde(flatten)]
    head: HeadBody<'a>,
    form: &'a Form,
    /// What the codes of the form stand for · 代码的含义
    #[serde(skip_serializing_if = "Option::is_none")]
    industry_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region_name: Option<String>,
    /// For reviewers: what looks wrong · 需审核员核对之处
    #[serde(skip_serializing_if = "Option::is_none")]
    doubts: Option<Vec<DoubtBody<'a>>>,
    steps: Vec<StepBody<'a>>,
}

/// How a filing stands · 备案的状态
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FilingHead")]
pub(super) struct HeadBody<'a> {
    id: &'a str,
    state: State,
    /// How many steps were taken: the ETag · 步数，即 ETag
    version: usize,
    applicant: &'a str,
    began: Timestamp,
    updated: Timestamp,
    /// Since when it waits for a reviewer or is with one · 何时提交
    #[serde(skip_serializing_if = "Option::is_none")]
    submitted: Option<Timestamp>,
    /// Who has it in review · 审核员
    #[serde(skip_serializing_if = "Option::is_none")]
    reviewer: Option<&'a str>,
    /// Who agreed first, of two · 第一位同意的审核员
    #[serde(skip_serializing_if = "Option::is_none")]
    endorsed_by: Option<&'a str>,
    /// The prefix that was allocated · 已分配的前缀
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<&'a str>,
}

/// Something that looks wrong in a form · 存疑之处
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FilingDoubt")]
struct DoubtBody<'a> {
    pointer: &'a str,
    code: &'a str,
    detail: &'a str,
}

/// A step of a filing · 备案的一步
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FilingStep")]
struct StepBody<'a> {
    step: Step,
    by: &'a str,
    at: Timestamp,
    /// Of its statement in the audit tree · 审计树中的序号
    index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<&'a str>,
    /// The file that was added: GET /v1/filings/{id}/attachments/{seq} · 附件
    #[serde(skip_serializing_if = "Option::is_none")]
    attachment: Option<AttachmentBody>,
    #[serde(skip_serializing_if = "<[ReasonBody<'_>]>::is_empty")]
    reasons: Vec<ReasonBody<'a>>,
}

/// A file that was attached · 附件
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FilingAttachment")]
struct AttachmentBody {
    /// The number of its step · 步骤号
    seq: u32,
    kind: AttachmentKind,
    media_type: MediaType,
    bytes: u64,
}

/// Why, and about which place of the form · 理由
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FilingReason")]
pub(super) struct ReasonBody<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pointer: &'a str,
    text: &'a str,
}

/// A page of filings · 一页备案
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Filings")]
pub(super) struct FilingsBody<'a> {
    filings: Vec<HeadBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap_or(Timestamp::EPOCH)
}

fn head<'a>(id: &'a str, course: &'a Course) -> HeadBody<'a> {
    let at = |found: Option<&crate::model::filing::Taken>| found.map_or(Timestamp::EPOCH, |taken| time(taken.at));
    let is_waiting = matches!(course.state, State::Submitted | State::UnderReview);
    let submitted = course.steps.iter().rev().find(|taken| taken.step == Step::Submitted).filter(|_| is_waiting);
    HeadBody {
        id,
        state: course.state,
        version: course.steps.len(),
        applicant: course.applicant(),
        began: at(course.steps.first()),
        updated: at(course.last()),
        submitted: submitted.map(|taken| time(taken.at)),
        reviewer: course.reviewer.as_deref(),
        endorsed_by: course.endorsed.as_ref().map(|(by, _)| by.as_str()),
        prefix: course.allocated(),
    }
}

pub(super) fn reasons(told: Option<&Vec<Reason>>) -> Vec<ReasonBody<'_>> {
    told.into_iter().flatten().map(|reason| ReasonBody { pointer: &reason.pointer, text: &reason.text }).collect()
}

/// One filing.
#[must_use]
pub(super) fn filing(view: &FilingView, language: Language) -> Vec<u8> {
    let doubts = view.doubts.as_ref().map(|doubts| {
        doubts
            .iter()
            .map(|doubt| DoubtBody {
                pointer: doubt.pointer,
                code: doubt.code,
                detail: doubt.text.in_language(language),
            })
            .collect()
    });
    let steps = view.course.steps.iter().map(|taken| StepBody {
        step: taken.step,
        by: &taken.by,
        at: time(taken.at),
        index: taken.index,
        prefix: taken.prefix.as_deref(),
        attachment: taken.attachment.map(|Attachment { kind, media_type, bytes }| AttachmentBody {
            seq: taken.seq,
            kind,
            media_type,
            bytes,
        }),
        reasons: reasons(view.reasons.get(&taken.seq)),
    });
    json(&FilingBody {
        head: head(&view.id, &view.course),
        form: &view.form,
        industry_name: Industry::parse(&view.form.unit.industry).map(|industry| industry.name),
        region_name: Region::known(&view.form.unit.region).map(|region| region.name),
        doubts,
        steps: steps.collect(),
    })
}

/// A page of filings, without their forms.
#[must_use]
pub(super) fn filings(page: &FilingPage) -> Vec<u8> {
    json(&FilingsBody {
        filings: page.filings.iter().map(|(id, course)| head(id, course)).collect(),
        next_cursor: page.next.as_ref().map(cursor::of_filing),
    })
}
