//! Sending the rows: a thread reads and unpacks, a small channel holds it back to the speed of the connection.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::job::JobSeen;
use super::parts;
use super::source::{Rows, Source};
use crate::cli::client::{Answer, Body, Client, ClientError, JSON};
use crate::cli::failure::CliError;
use crate::cli::progress::{Progress, Unit};
use crate::cli::screen::Screen;
use crate::model::text::Text;

const PIECE_BYTES: usize = 64 << 10;
/// Pieces between the reading thread and the connection.
const PIECES: usize = 4;
/// How long an upload may stand still before it is given up.
const STALL: Duration = Duration::from_secs(120);
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How often a file is sent anew after the connection broke.
const ATTEMPTS: u32 = 3;
pub const JOB_LIMIT_BYTES: usize = 1 << 20;

/// Asks for a job that cannot be: whoever may not import is told so before gigabytes are sent.
pub async fn may_import(client: &Client) -> Result<(), ClientError> {
    let asked = client.patiently(async || client.get("/v1/imports/0", JSON).await.map(drop)).await;
    match asked {
        Err(error) if matches!(error.status(), Some(404 | 410)) => Ok(()),
        other => other,
    }
}

/// Sends everything and gives the job that began. A file is sent anew when the connection breaks: one idempotency key goes
/// with all attempts, so an upload that did arrive is found again and not begun twice.
pub async fn send(client: &Client, path: &str, source: Source, screen: Screen) -> Result<JobSeen, CliError> {
    if source.length().is_some_and(|length| length >= parts::SMALL_BYTES) {
        return parts::send(client, path, &source, screen).await;
    }
    let key = idempotency_key()?;
    let mut attempt = 1;
    loop {
        match send_once(client, path, &source, &key, screen).await {
            Err(CliError::Client(error)) if error.passes() && source.repeats() && attempt < ATTEMPTS => {
                let text = error.text();
                screen.note(
                    format!("{}；重新上传（第 {} 次）", text.zh, attempt + 1),
                    format!("{}; sending it again (attempt {})", text.en, attempt + 1),
                );
                may_import(client).await?;
                attempt += 1;
            }
            other => return other,
        }
    }
}

async fn send_once(
    client: &Client,
    path: &str,
    source: &Source,
    key: &HeaderValue,
    screen: Screen,
) -> Result<JobSeen, CliError> {
    let rows = source.open()?;
    let dress = |headers: &mut HeaderMap| {
        headers.insert("idempotency-key", key.clone());
    };
    stream(client, Method::POST, path, source.format.media_type(), rows, dress, screen).await
}

/// Sends rows as a request's body, and gives the job that began.
pub async fn stream(
    client: &Client,
    method: Method,
    path: &str,
    media_type: &'static str,
    rows: Rows,
    dress: impl FnOnce(&mut HeaderMap),
    screen: Screen,
) -> Result<JobSeen, CliError> {
    let (taken, length) = (Arc::clone(&rows.taken), rows.length);
    let reading = Arc::new(Mutex::new(None));
    let body = streamed(rows, Arc::clone(&reading));
    let mut request = client.request(method, path, JSON, Some((media_type, body)))?;
    dress(request.headers_mut());

    let mut progress = Progress::begin(screen, Unit::Bytes, length, "上传", "uploading");
    let mut sending = std::pin::pin!(client.send(request));
    let mut last = (0, Instant::now());
    let answer = loop {
        match tokio::time::timeout(LOOK_INTERVAL, &mut sending).await {
            Ok(answer) => break answer,
            Err(_) => {
                let now = taken.load(Ordering::Relaxed);
                if now != last.0 {
                    last = (now, Instant::now());
                }
                if last.1.elapsed() > STALL {
                    break Err(ClientError::TimedOut { seconds: STALL.as_secs() });
                }
                progress.update(now, length.unwrap_or(0), "");
            }
        }
    };
    progress.end();
    // A body that failed looks like a broken connection; the reason is on our side.
    if let Some(error) = reading.lock().take() {
        return Err(unreadable(&error));
    }
    Ok(job(answer?).await?)
}

/// The job of an accepted upload.
pub async fn job(answer: Answer) -> Result<JobSeen, ClientError> {
    let location = answer.header(LOCATION);
    let mut job: JobSeen = answer.json(JOB_LIMIT_BYTES).await?;
    if job.id.is_empty() {
        let id = location.and_then(|location| location.rsplit('/').next().map(str::to_owned));
        job.id = id.unwrap_or_default();
    }
    Ok(job)
}

/// The rows as a request's body. What goes wrong while reading is left in `reading` and ends the body.
fn streamed(mut rows: Rows, reading: Arc<Mutex<Option<io::Error>>>) -> Body {
    let (pieces, receive) = mpsc::channel::<io::Result<Bytes>>(PIECES);
    let read = move || {
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let piece = match rows.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => Ok(Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    *reading.lock() = Some(error);
                    Err(io::Error::other("the source cannot be read"))
                }
            };
            let ended = piece.is_err();
            // A closed channel: the request is over, nobody wants the rest.
            if pieces.blocking_send(piece).is_err() || ended {
                return;
            }
        }
    };
    tokio::task::spawn_blocking(read);
    let pieces = futures_util::stream::unfold(receive, |mut receive| async {
        let piece = receive.recv().await?;
        Some((piece.map(Frame::data), receive))
    });
    StreamBody::new(pieces).boxed_unsync()
}

pub fn unreadable(error: &io::Error) -> CliError {
    CliError::Wrong(Text::new(
        format!("读取中断，未导入：{error}"),
        format!("reading ended early, nothing was imported: {error}"),
    ))
}

pub fn idempotency_key() -> Result<HeaderValue, CliError> {
    let mut random = [0; 16];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random)
        .map_err(|_| CliError::wrong("系统没有给出随机数", "the operating system gave no randomness"))?;
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&text).map_err(|_| CliError::wrong("幂等键不可用", "the idempotency key is no header value"))
}
