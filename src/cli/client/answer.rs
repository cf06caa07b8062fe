//! A node's answer: its head, and a body that is read in bounded pieces.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::ClientError;
use super::error::Refused;

/// Between two pieces of a body.
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);
/// The most of a refusal's body that is read.
const REFUSAL_LIMIT_BYTES: usize = 1 << 20;
/// The most of a foreign body that is repeated to a person.
const SHOWN_LETTERS: usize = 200;

/// An answer that is no refusal, with its body unread.
pub struct Answer {
    headers: HeaderMap,
    body: Incoming,
}

impl Answer {
    /// A status of 400 or more is an error, and so is a redirection: nothing here follows one.
    pub(super) async fn of(response: Response<Incoming>) -> Result<Answer, ClientError> {
        let (head, body) = response.into_parts();
        let answer = Answer { headers: head.headers, body };
        if head.status.is_success() {
            return Ok(answer);
        }
        Err(ClientError::Refused(Box::new(answer.refusal(head.status).await)))
    }

    async fn refusal(self, status: StatusCode) -> Refused {
        let retry_after_seconds = self.header(RETRY_AFTER).and_then(|text| text.parse().ok());
        let is_problem =
            self.header(CONTENT_TYPE).is_some_and(|media_type| media_type.starts_with("application/problem+json"));
        let location = self.header(LOCATION);
        let body = self.bytes(REFUSAL_LIMIT_BYTES).await.unwrap_or_default();
        let told = is_problem.then(|| serde_json::from_slice::<Refused>(&body).ok());
        let mut refused = told.flatten().unwrap_or_else(|| Refused {
            title: Some(format!("HTTP {status}")),
            detail: location.or_else(|| beginning(&body)),
            ..Refused::default()
        });
        refused.status = status.as_u16();
        refused.retry_after_seconds = retry_after_seconds;
        refused
    }

    pub fn header(&self, name: http::HeaderName) -> Option<String> {
        let value = self.headers.get(name)?.to_str().ok()?;
        Some(value.to_owned())
    }

    /// The next piece of the body; `None` at its end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let frame = tokio::time::timeout(PIECE_TIMEOUT, self.body.frame())
                .await
                .map_err(|_| ClientError::TimedOut { seconds: PIECE_TIMEOUT.as_secs() })?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(ClientError::broken(&error)),
                // What is no data is trailers, which say nothing here.
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// The whole body.
    pub async fn bytes(mut self, limit_bytes: usize) -> Result<Bytes, ClientError> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            if whole.len() + piece.len() > limit_bytes {
                return Err(ClientError::TooLarge { limit_bytes });
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// The whole body as a JSON document.
    pub async fn json<T: DeserializeOwned>(self, limit_bytes: usize) -> Result<T, ClientError> {
        let bytes = self.bytes(limit_bytes).await?;
        // What serde says may quote the body, and a body may hold a new key: say only where it does not fit.
        serde_json::from_slice(&bytes)
            .map_err(|error| ClientError::Unexpected { what: format!("JSON {}:{}", error.line(), error.column()) })
    }
}

/// The first letters of a text, on one line.
fn beginning(body: &[u8]) -> Option<String> {
    let text: String = String::from_utf8_lossy(body)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(SHOWN_LETTERS)
        .collect();
    (!text.is_empty()).then_some(text)
}
