//! `/v1/filings/{id}/attachments`: files that are added to a filing. They are known by their bytes, and never shown as a page.

use std::sync::Arc;

use axum::body::Body;
use http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};

use super::call::Call;
use super::failure::Failure;
use super::filings::{ROUTE, shown};
use super::preconditions::of_change;
use super::query::Query;
use super::reply::{self, Keep, Reply};
use super::{Desk, body, negotiation};
use crate::codec::problem::{Code, Problem};
use crate::model::field::FieldError;
use crate::model::filing::AttachmentKind;
use crate::model::filing::attachment::{AttachmentFault, MAX_ATTACHMENT_BYTES, MediaType, sniff};
use crate::model::permitted::Action;
use crate::observe::laps::Step as Lap;
use crate::services::ServiceError;
use crate::services::file::{AttachFile, ReadFile};

/// What follows a filing's id.
pub(super) const WORD: &str = "/attachments";

pub(super) async fn attach(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit_writer(&desk, Action::File)?;
    let path = call.text_after(ROUTE)?;
    let id = path.strip_suffix(WORD).unwrap_or(&path).to_owned();
    let query = Query::of(&call.uri, &["kind"])?;
    let kind = query.one("kind")?.as_deref().and_then(AttachmentKind::of_word).ok_or_else(|| {
        let words = AttachmentKind::ALL.map(AttachmentKind::as_str).join(", ");
        Failure::query("kind", &format!("应为 {words} 之一"), &format!("must be one of {words}"))
    })?;
    let precondition = of_change(&call.headers)?;
    body::expect_type(&call.headers, &MediaType::ALL.map(MediaType::as_str))?;
    body::refuse_encoding(&call.headers)?;
    let said = body::media_type(&call.headers).unwrap_or_default().to_ascii_lowercase();
    // Asked before the bytes are read: many, or nobody's, would fill the memory.
    let _place = desk.services.filing_place(pass.principal())?;
    let (principal, asked, known) = (pass.principal().clone(), id.clone(), precondition.clone());
    desk.aside(move |services| services.may_attach(&asked, &known, &principal)).await?;
    let (language, laps) = (call.language, Arc::clone(&call.laps));
    let headers = call.headers;
    let file = body::whole(call.body, &headers, MAX_ATTACHMENT_BYTES as u64).await;
    laps.skip();
    let file = file?;
    // Up to 4 MiB are looked through.
    let looked = file.clone();
    let media_type = desk.aside(move |_| Ok(sniff(&looked))).await?.map_err(|fault| refused(&fault))?;
    if media_type.as_str() != said {
        return Err(Problem::new(Code::UnsupportedMediaType)
            .with_detail(
                format!("Content-Type 为 {said}，而文件是 {}", media_type.as_str()),
                format!("Content-Type says {said}, and the file is {}", media_type.as_str()),
            )
            .into());
    }
    laps.end(Lap::Decode);
    let asked = pass.permit(AttachFile { id, precondition, kind, media_type, file })?;
    let attached = desk.services.attach_file(asked).await;
    laps.end(Lap::Service);
    Ok(shown(&attached?, StatusCode::CREATED, language))
}

fn refused(fault: &AttachmentFault) -> Failure {
    let error = FieldError { pointer: String::new(), code: "bad_file", detail: fault.text() };
    ServiceError::Fields(vec![error]).into()
}

pub(super) async fn read(desk: Arc<Desk>, call: Call) -> Reply {
    desk.services.writes()?;
    let pass = call.admit(&desk, Action::SeeFilings)?;
    let path = call.text_after(ROUTE)?.into_owned();
    Query::of(&call.uri, &[])?;
    negotiation::best(&call.headers, &MediaType::ALL.map(MediaType::as_str))?;
    // A look is noted.
    desk.services.may_sign()?;
    let (id, seq) = path.split_once(&format!("{WORD}/")).unwrap_or((&path, ""));
    // Written in one way only.
    let seq = seq.parse().ok().filter(|number: &u32| number.to_string() == seq).unwrap_or_default();
    let asked = call.permit(&pass, ReadFile { id: id.to_owned(), seq })?;
    let _place = desk.services.filing_place(pass.principal())?;
    let found = desk.services.filed_file(asked).await?;
    let media_type = found.attachment.media_type;
    let file = desk.aside(move |services| services.file_content(&found)).await;
    call.laps.end(Lap::Service);
    let file = file?;
    let mut response = reply::of_type(media_type.as_str(), StatusCode::OK, Keep::Never, Body::from(file));
    let headers = response.headers_mut();
    let name = format!("attachment; filename=\"filing-{id}-{seq}.{}\"", media_type.extension());
    if let Ok(name) = HeaderValue::try_from(name) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    Ok(response)
}
