//! An upload in parts, in the manner of "Resumable Uploads for HTTP" (draft-ietf-httpbis-resumable-upload): `POST /v1/imports`
//! with `Upload-Complete: ?0` opens it, `HEAD /v1/imports/{id}/upload` says where it stands, `PATCH` there adds to it,
//! `DELETE` gives it up. The part with `Upload-Complete: ?1` begins the job.
//!
//! Not done of the draft: the interim answer 104, which tells of an upload's address while its first part is still on its way.

use std::sync::Arc;

use axum::body::Body;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::body::{Pieces, expect_type};
use super::call::Call;
use super::expansion::Expansion;
use super::failure::Failure;
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::{Desk, negotiation};
use crate::codec::answers;
use crate::guard::Pass;
use crate::model::permitted::Action;
use crate::observe::laps::Step;
use crate::services::ServiceError;
use crate::services::import::{AddPart, Adding, JobView, PartsBegun, ReadUpload, StartImport, UploadView};

const JOBS: &str = "/v1/imports/";
const PART: &str = "application/partial-upload";
const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_LIMIT: HeaderName = HeaderName::from_static("upload-limit");

/// Whether a request says that more will come. A request that says nothing brings all.
pub(super) fn is_partial(headers: &HeaderMap) -> Result<bool, Failure> {
    match headers.get(&UPLOAD_COMPLETE).map(HeaderValue::as_bytes) {
        None | Some(b"?1") => Ok(false),
        Some(b"?0") => Ok(true),
        Some(_) => Err(Failure::header("Upload-Complete", "应为 ?0 或 ?1", "must be ?0 or ?1")),
    }
}

/// Opens an upload, and takes what has come with the request.
pub(super) async fn open(desk: Arc<Desk>, call: Call, pass: Pass, start: StartImport) -> Reply {
    let length = number(&call.headers, &UPLOAD_LENGTH, "Upload-Length")?;
    if let Some(length) = length
        && length > desk.services.upload_limit(&start)
    {
        return Err(ServiceError::UploadTooLarge { limit: desk.services.upload_limit(&start) }.into());
    }
    let expansion = Expansion::of(&call.headers)?;
    let asked = call.permit(&pass, start)?;
    let view = match desk.aside(move |services| services.open_upload(asked)).await? {
        PartsBegun::Open(view) => view,
        PartsBegun::Job(view) => return Ok(begun(&call, &view)),
    };
    call.laps.end(Step::Service);
    let mut view = view;
    if view.offset == 0 {
        let part = AddPart { id: view.id.clone(), offset: 0 };
        let adding = desk.services.add_part(&call.permit(&pass, part)?)?;
        view.offset = add(Pieces::of(call.body), expansion, &adding).await?;
    }
    call.laps.skip();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    reply::add_location(&mut response, format!("{JOBS}{}/upload", view.id));
    dress(&mut response, &view);
    Ok(response)
}

/// Where it stands.
pub(super) async fn read(desk: Arc<Desk>, call: Call) -> Reply {
    let (pass, id) = asked_for(&desk, &call)?;
    let asked = call.permit(&pass, ReadUpload { id })?;
    let view = desk.services.upload(&asked)?;
    call.laps.end(Step::Service);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    dress(&mut response, &view);
    Ok(response)
}

/// Adds to it, and begins the job if that was all.
pub(super) async fn add_part(desk: Arc<Desk>, call: Call) -> Reply {
    let (pass, id) = asked_for(&desk, &call)?;
    negotiation::best(&call.headers, &[JSON])?;
    expect_type(&call.headers, &[PART])?;
    let is_partial = is_partial(&call.headers)?;
    let offset = number(&call.headers, &UPLOAD_OFFSET, "Upload-Offset")?.ok_or_else(|| {
        Failure::header("Upload-Offset", "缺少：从第几字节继续", "is missing: the byte where this part begins")
    })?;
    let expansion = Expansion::of(&call.headers)?;
    let asked = call.permit(&pass, AddPart { id: id.clone(), offset })?;
    let adding = desk.services.add_part(&asked)?;
    call.laps.end(Step::Service);
    let offset = add(Pieces::of(call.body), expansion, &adding).await?;
    if is_partial {
        call.laps.skip();
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let limit = desk.services.settings.import_bytes;
        dress(&mut response, &UploadView { id, offset, is_complete: false, limit });
        return Ok(response);
    }
    let view = desk.services.end_upload(adding).await?;
    let (laps, language) = (call.laps, call.language);
    laps.skip();
    let mut response = reply::json(StatusCode::ACCEPTED, Keep::Never, answers::job(&view, language));
    reply::add_location(&mut response, format!("{JOBS}{}", view.id));
    response.headers_mut().insert(UPLOAD_COMPLETE, HeaderValue::from_static("?1"));
    laps.end(Step::Encode);
    Ok(response)
}

/// Gives it up.
pub(super) async fn drop_upload(desk: Arc<Desk>, call: Call) -> Reply {
    let (pass, id) = asked_for(&desk, &call)?;
    let asked = call.permit(&pass, ReadUpload { id })?;
    desk.aside(move |services| services.drop_upload(&asked)).await?;
    call.laps.end(Step::Service);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

fn asked_for(desk: &Desk, call: &Call) -> Result<(Pass, String), Failure> {
    let pass = call.admit(desk, Action::Register)?;
    let text = call.text_after(JOBS)?;
    Query::of(&call.uri, &[])?;
    Ok((pass, text.strip_suffix("/upload").unwrap_or(&text).to_owned()))
}

fn begun(call: &Call, view: &JobView) -> Response<Body> {
    let mut response = reply::json(StatusCode::ACCEPTED, Keep::Never, answers::job(view, call.language));
    reply::add_location(&mut response, format!("{JOBS}{}", view.id));
    response
}

/// Takes a body. What has come of one that breaks off stays.
async fn add(mut pieces: Pieces, mut expansion: Expansion, adding: &Adding) -> Result<u64, Failure> {
    let taken = take(&mut pieces, &mut expansion, adding).await;
    let paused = adding.pause().await;
    taken?;
    Ok(paused?)
}

async fn take(pieces: &mut Pieces, expansion: &mut Expansion, adding: &Adding) -> Result<(), Failure> {
    while let Some(mut piece) = pieces.next().await.transpose()? {
        while !piece.is_empty() {
            let plain = expansion.take(&mut piece)?;
            if !plain.is_empty() {
                adding.write(plain).await?;
            }
        }
    }
    let last = expansion.end()?;
    if last.is_empty() { Ok(()) } else { Ok(adding.write(last).await?) }
}

fn number(headers: &HeaderMap, name: &HeaderName, shown: &str) -> Result<Option<u64>, Failure> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    number.map(Some).ok_or_else(|| Failure::header(shown, "应为字节数", "must be a number of bytes"))
}

fn dress(response: &mut Response<Body>, view: &UploadView) {
    let headers = response.headers_mut();
    headers.insert(UPLOAD_OFFSET, HeaderValue::from(view.offset));
    headers.insert(UPLOAD_COMPLETE, HeaderValue::from_static(if view.is_complete { "?1" } else { "?0" }));
    if let Ok(limit) = HeaderValue::try_from(format!("max-size={}, max-age=86400", view.limit)) {
        headers.insert(UPLOAD_LIMIT, limit);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}
