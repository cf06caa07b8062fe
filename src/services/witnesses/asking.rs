//! One witness, one head: asked from the size that it is believed to have, and again from the size that it names.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};

use super::Prove;
use crate::observe::outgoing::{Outgoing, with_causes};
use crate::tlog::add_checkpoint::{AddCheckpoint, PROOF_LIMIT_HASHES, parse_answer, parse_size};
use crate::tlog::hash::Head;
use crate::tlog::note::{Note, SignatureLine, VerifierKey};

const ANSWER_LIMIT_BYTES: usize = 64 * 1024;
/// Questions for one head: a first one, one from the size that was named, and one more if another of ours came between.
const QUESTIONS: usize = 3;

/// Where a witness is, and the key that its answers are held against.
pub(super) struct Line {
    pub(super) url: Uri,
    pub(super) key: VerifierKey,
    pub(super) client: Outgoing,
    pub(super) timeout: Duration,
}

/// Why a head was not cosigned.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("no answer in time")]
    TimedOut,
    #[error("{0}")]
    Transport(String),
    #[error("it answered HTTP {0}{1}")]
    Status(u16, String),
    #[error("it answered with no cosignature of its key of this head")]
    NoCosignature,
    #[error(
        "it says that it cosigned a head of {0} leaves of this log, and ours has fewer: this log was set back, or the witness errs"
    )]
    Ahead(u64),
    #[error("it says that it cosigned another root at this size: this log has forked, or the witness errs")]
    Forked,
    #[error("it named no size that can be asked from")]
    NoSize,
    #[error("the consistency proof from size {0} could not be made")]
    NoProof(u64),
}

impl AskError {
    /// Worth a line in the log each time: what happened may be the end of the log's good name.
    pub(super) fn is_alarming(&self) -> bool {
        matches!(self, AskError::Ahead(_) | AskError::Forked)
    }
}

impl Line {
    /// Asks until the head is cosigned; gives the line and its time. `size` is the size asked from, and becomes what the witness names.
    pub(super) async fn ask(
        &self,
        note: &Note,
        head: Head,
        size: &mut u64,
        prove: &Prove,
    ) -> Result<(SignatureLine, u64), AskError> {
        for _ in 0..QUESTIONS {
            let proof = self.proof(*size, prove).await?;
            let body = AddCheckpoint::encode(*size, &proof, &note.to_string());
            let (status, answer) = self.post(body).await?;
            match status {
                StatusCode::OK => return self.cosignature(note, &answer),
                StatusCode::CONFLICT => {
                    let named = parse_size(&answer).ok_or(AskError::NoSize)?;
                    if named > head.size {
                        return Err(AskError::Ahead(named));
                    }
                    if named == *size {
                        // From this very size: so it is the root that differs.
                        return Err(if named == head.size { AskError::Forked } else { AskError::NoSize });
                    }
                    *size = named;
                }
                other => return Err(AskError::Status(other.as_u16(), first_words(&answer))),
            }
        }
        Err(AskError::NoSize)
    }

    async fn proof(&self, from: u64, prove: &Prove) -> Result<Vec<[u8; 32]>, AskError> {
        if from == 0 {
            return Ok(Vec::new());
        }
        let prove = Arc::clone(prove);
        let proof = tokio::task::spawn_blocking(move || prove(from)).await.ok().flatten();
        proof.filter(|proof| proof.len() <= PROOF_LIMIT_HASHES).ok_or(AskError::NoProof(from))
    }

    async fn post(&self, body: String) -> Result<(StatusCode, String), AskError> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("mingpai/", env!("CARGO_PKG_VERSION"))));
        let failed = |error: &dyn std::error::Error| AskError::Transport(with_causes(error));
        let response = self.client.request(request).await.map_err(|error| failed(&error))?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), ANSWER_LIMIT_BYTES).collect().await;
        let answer = answer.map_err(|error| AskError::Transport(error.to_string()))?.to_bytes();
        Ok((status, String::from_utf8_lossy(&answer).into_owned()))
    }

    /// The witness's own line that is right for this note; lines of other keys are ignored.
    fn cosignature(&self, note: &Note, answer: &str) -> Result<(SignatureLine, u64), AskError> {
        let lines = parse_answer(answer).map_err(|_| AskError::NoCosignature)?;
        let right = lines.into_iter().filter(|line| self.key.made(line)).find_map(|line| {
            let time = self.key.check(note.text(), &line.signature)??;
            Some((line, time))
        });
        right.ok_or(AskError::NoCosignature)
    }
}

/// The beginning of what a witness said, for a line of the log.
fn first_words(answer: &str) -> String {
    let words: String = answer.chars().take(120).map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if words.trim().is_empty() { String::new() } else { format!(": {}", words.trim()) }
}
