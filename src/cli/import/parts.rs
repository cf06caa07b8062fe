//! Sending a large file so that a break costs no more than what was on its way: the node keeps what has come, and the rest is
//! sent from there, in this run or in the next one of the same command on the same file.

use std::io::{self, Read};
use std::time::Duration;

use http::header::LOCATION;
use http::{HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt, Empty};

use super::job::JobSeen;
use super::memory::Memory;
use super::source::Source;
use super::upload::{self, may_import};
use crate::cli::client::{Answer, Client, ClientError, JSON};
use crate::cli::failure::CliError;
use crate::cli::screen::Screen;

/// Smaller files are sent in one piece: to send them again costs less than to ask how far they came.
pub const SMALL_BYTES: u64 = 4 << 20;
const PART: &str = "application/partial-upload";
const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
/// Breaks after which not one byte more had come: then the line is not merely poor.
const MOST_VAIN_ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// What the node said.
enum Opened {
    /// Where the upload is, and the byte that it wants next.
    Upload(String, u64),
    /// All of it came before.
    Job(JobSeen),
}

/// Sends a file and gives the job that began.
pub async fn send(client: &Client, path: &str, source: &Source, screen: Screen) -> Result<JobSeen, CliError> {
    let memory = Memory::of(client.server(), path, source)?;
    let (address, mut offset) = match open(client, path, source, &memory).await? {
        Opened::Job(job) if memory.is_remembered() => {
            memory.forget();
            return Ok(job);
        }
        Opened::Job(_) => {
            return Err(CliError::wrong(
                "节点没有分段接收上传：它的版本可能较旧，什么都没有导入",
                "the node did not take the upload in parts: it may be an older version. Nothing was imported",
            ));
        }
        Opened::Upload(address, offset) => (address, offset),
    };
    if offset > 0 {
        let mebibytes = offset >> 20;
        screen.note(
            format!("继续上次的上传，从 {mebibytes} MiB 处"),
            format!("going on with the upload of before, from {mebibytes} MiB"),
        );
    }
    let mut vain = 0;
    loop {
        let error = match add(client, &address, source, offset, screen).await {
            Ok(job) => {
                memory.forget();
                return Ok(job);
            }
            Err(CliError::Client(error)) if error.passes() || error.status() == Some(409) => error,
            other => return other,
        };
        let text = error.text();
        may_import(client).await?;
        match stands(client, &address).await? {
            None => {
                memory.forget();
                let id = address.trim_end_matches("/upload").rsplit('/').next().unwrap_or_default().to_owned();
                return Ok(client.ask_json(&format!("/v1/imports/{id}"), upload::JOB_LIMIT_BYTES).await?);
            }
            Some(now) => {
                vain = if now > offset { 0 } else { vain + 1 };
                offset = now;
            }
        }
        if vain >= MOST_VAIN_ATTEMPTS {
            return Err(error.into());
        }
        screen.note(
            format!("{}；从 {} MiB 处继续上传", text.zh, offset >> 20),
            format!("{}; going on with the upload from {} MiB", text.en, offset >> 20),
        );
        if vain > 0 {
            tokio::time::sleep(PAUSE * vain).await;
        }
    }
}

/// Opens the upload, or finds it by its key.
async fn open(client: &Client, path: &str, source: &Source, memory: &Memory) -> Result<Opened, ClientError> {
    let answer = client
        .patiently(async || {
            let nothing = Empty::new().map_err(|never| match never {}).boxed_unsync();
            let mut request = client.request(Method::POST, path, JSON, Some((source.format.media_type(), nothing)))?;
            request.headers_mut().insert("idempotency-key", memory.key().clone());
            request.headers_mut().insert(UPLOAD_COMPLETE, HeaderValue::from_static("?0"));
            client.send(request).await
        })
        .await?;
    let location = answer.header(LOCATION).unwrap_or_default();
    match offset_of(&answer) {
        Some(offset) if location.ends_with("/upload") => Ok(Opened::Upload(location, offset)),
        _ => Ok(Opened::Job(upload::job(answer).await?)),
    }
}

/// The byte that is wanted next; none once all has come.
async fn stands(client: &Client, address: &str) -> Result<Option<u64>, ClientError> {
    client
        .patiently(async || {
            let answer = client.send(client.request(Method::HEAD, address, JSON, None)?).await?;
            let is_complete = answer.header(UPLOAD_COMPLETE).is_some_and(|complete| complete == "?1");
            let offset =
                offset_of(&answer).ok_or_else(|| ClientError::Unexpected { what: "no Upload-Offset".to_owned() })?;
            Ok((!is_complete).then_some(offset))
        })
        .await
}

fn offset_of(answer: &Answer) -> Option<u64> {
    answer.header(UPLOAD_OFFSET)?.trim().parse().ok()
}

/// Sends the rest, from a byte of what is unpacked.
async fn add(
    client: &Client,
    address: &str,
    source: &Source,
    offset: u64,
    screen: Screen,
) -> Result<JobSeen, CliError> {
    let mut rows = source.open()?;
    let passed = io::copy(&mut rows.by_ref().take(offset), &mut io::sink());
    if passed.map_err(|error| upload::unreadable(&error))? < offset {
        return Err(CliError::wrong(
            "文件比已上传的部分短：它在上传期间被改动，请重新导入",
            "the file is shorter than what was sent of it: it was changed meanwhile. Import it anew",
        ));
    }
    let dress = |headers: &mut http::HeaderMap| {
        headers.insert(UPLOAD_OFFSET, HeaderValue::from(offset));
        headers.insert(UPLOAD_COMPLETE, HeaderValue::from_static("?1"));
    };
    upload::stream(client, Method::PATCH, address, PART, rows, dress, screen).await
}
