//! The body of a request: what type it is said to be, and its bytes, whole or in pieces.

use std::error::Error;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use serde_json::Value as Json;

use super::failure::Failure;
use crate::codec::json;
use crate::codec::problem::{Code, Problem};

/// Why a body could not be read: what the stage that has the sockets says of it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum BodyFault {
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the body did not arrive in time")]
    Late,
    #[error("the body broke off")]
    Broken,
    /// Of a signed request.
    #[error("the body is not what its Content-Digest says")]
    Altered,
}

impl From<BodyFault> for Failure {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::TooLarge { limit } => Problem::new(Code::BodyTooLarge)
                .with_detail(format!("请求体上限为 {limit} 字节"), format!("a body may have {limit} bytes"))
                .into(),
            BodyFault::Late => Code::RequestTimeout.into(),
            BodyFault::Broken => Code::BodyBroken.into(),
            BodyFault::Altered => Code::DigestMismatch.into(),
        }
    }
}

/// A body in pieces.
pub(super) struct Pieces(BodyDataStream);

impl Pieces {
    pub(super) fn of(body: Body) -> Self {
        Self(body.into_data_stream())
    }

    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Failure>> {
        let piece = self.0.next().await?;
        Some(piece.map_err(|error| fault_in(&error).unwrap_or(BodyFault::Broken).into()))
    }
}

/// Bodies within bodies wrap the error of the innermost.
pub(in crate::codec) fn fault_in(error: &(dyn Error + 'static)) -> Option<BodyFault> {
    let mut error = error;
    loop {
        if let Some(fault) = error.downcast_ref::<BodyFault>() {
            return Some(*fault);
        }
        error = error.source()?;
    }
}

/// The whole body, which may have `limit` bytes.
pub(super) async fn whole(body: Body, headers: &HeaderMap, limit: u64) -> Result<Bytes, Failure> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|declared| declared > limit) {
        return Err(BodyFault::TooLarge { limit }.into());
    }
    let mut pieces = Pieces::of(body);
    let Some(first) = pieces.next().await.transpose()? else {
        return Ok(Bytes::new());
    };
    let mut rest: Option<BytesMut> = None;
    let mut length = first.len();
    while length as u64 <= limit {
        let Some(piece) = pieces.next().await.transpose()? else {
            // The usual body is one piece, which is not copied.
            return Ok(rest.map_or(first, BytesMut::freeze));
        };
        length += piece.len();
        rest.get_or_insert_with(|| BytesMut::from(first.as_ref())).extend_from_slice(&piece);
    }
    Err(BodyFault::TooLarge { limit }.into())
}

/// The whole body as strict JSON. `types` are the media types that it may be said to have.
pub(super) async fn document(
    body: Body,
    headers: &HeaderMap,
    types: &[&str],
    limits: &crate::config::LimitsSpec,
) -> Result<(Bytes, Json), Failure> {
    expect_type(headers, types)?;
    refuse_encoding(headers)?;
    let bytes = whole(body, headers, limits.body_bytes).await?;
    let json = parse(&bytes, limits.json_depth)?;
    Ok((bytes, json))
}

/// The same of a body that may be left out.
pub(super) async fn optional_document(
    body: Body,
    headers: &HeaderMap,
    limits: &crate::config::LimitsSpec,
) -> Result<Option<Json>, Failure> {
    let bytes = whole(body, headers, limits.body_bytes).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    expect_type(headers, &["application/json"])?;
    refuse_encoding(headers)?;
    parse(&bytes, limits.json_depth).map(Some)
}

pub(super) fn parse(bytes: &[u8], depth: u64) -> Result<Json, Failure> {
    let depth = usize::try_from(depth).unwrap_or(usize::MAX);
    json::parse(bytes, depth).map_err(|error| Problem::from(error).into())
}

/// The media type without its parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or(text).trim())
}

/// Refuses a body that is said to be something else, or nothing.
pub(super) fn expect_type(headers: &HeaderMap, types: &[&str]) -> Result<(), Failure> {
    let said = media_type(headers);
    if said.is_some_and(|said| types.iter().any(|known| known.eq_ignore_ascii_case(said))) {
        return Ok(());
    }
    let types = types.join(", ");
    Err(Problem::new(Code::UnsupportedMediaType)
        .with_detail(format!("Content-Type 应为 {types}"), format!("Content-Type must be {types}"))
        .into())
}

/// The media types of JSON lines.
pub(super) const LINES: [&str; 3] = ["application/x-ndjson", "application/ndjson", "application/jsonl"];

/// Whether the body is said to be JSON lines.
pub(super) fn is_lines(headers: &HeaderMap) -> bool {
    expect_type(headers, &LINES).is_ok()
}

/// For routes that take no compressed body.
pub(super) fn refuse_encoding(headers: &HeaderMap) -> Result<(), Failure> {
    match headers.get(CONTENT_ENCODING) {
        None => Ok(()),
        Some(encoding) if encoding.as_bytes().eq_ignore_ascii_case(b"identity") => Ok(()),
        Some(_) => Err(unknown_encoding("此地址不接受压缩的请求体", "this address takes no compressed body")),
    }
}

pub(super) fn unknown_encoding(zh: &str, en: &str) -> Failure {
    Problem::new(Code::UnsupportedMediaType)
        .with_detail(format!("Content-Encoding：{zh}"), format!("Content-Encoding: {en}"))
        .into()
}
