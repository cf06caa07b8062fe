//! The log of a running node, over HTTP with an administrator's key.

use std::cell::RefCell;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::cli::client::{Client, ClientError, ServerArguments};
use crate::cli::failure::CliError;
use crate::cli::screen::Screen;
use crate::cli::token_file::Token;
use crate::store::backup::{Source, SourceError};
use crate::store::journal::Tail;

const ANSWER_LIMIT_BYTES: usize = 64 << 10;
/// More than the longest segment that a configuration allows.
const SEGMENT_LIMIT_BYTES: usize = 512 << 20;
const BYTES: &str = "application/octet-stream";

pub(super) struct OnlineSource {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

/// As `GET /v1/backup` answers.
#[derive(Deserialize)]
struct LogEnd {
    segment: u32,
    offset: u32,
    sequence: u64,
    registry_size: u64,
    audit_size: u64,
    hash: String,
}

impl OnlineSource {
    pub fn new(
        server: ServerArguments,
        token: &Token,
        patience: Duration,
        screen: Screen,
    ) -> Result<OnlineSource, CliError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
            CliError::wrong(format!("无法启动运行时：{error}"), format!("the runtime does not start: {error}"))
        })?;
        // Connections belong to the runtime that they were made in.
        let _inside = runtime.enter();
        let client = Client::new(server, Some(token), screen)?.with_patience(patience);
        drop(_inside);
        Ok(OnlineSource { runtime, client })
    }

    /// Tells the node that a backup was made.
    pub fn note(&self, sequence: u64, bytes: u64) -> Result<(), ClientError> {
        let document = json!({"sequence": sequence, "bytes": bytes});
        let asked = self.client.post_json::<Json>("/v1/backup", &document, ANSWER_LIMIT_BYTES);
        self.runtime.block_on(asked).map(drop)
    }

    /// Goes on where an answer broke off.
    async fn collect(&self, segment: u32, from: u64, until: Option<u64>) -> Result<Vec<u8>, ClientError> {
        let collected = RefCell::new(Vec::new());
        let until = until.map_or_else(String::new, |until| format!("&until={until}"));
        self.client
            .patiently(async || {
                let from = from + collected.borrow().len() as u64;
                let path = format!("/v1/backup/segments/{segment}?from={from}{until}");
                let mut answer = self.client.get(&path, BYTES).await?;
                while let Some(piece) = answer.piece().await? {
                    let mut collected = collected.borrow_mut();
                    if collected.len() + piece.len() > SEGMENT_LIMIT_BYTES {
                        return Err(ClientError::TooLarge { limit_bytes: SEGMENT_LIMIT_BYTES });
                    }
                    collected.extend_from_slice(&piece);
                }
                Ok(())
            })
            .await?;
        Ok(collected.into_inner())
    }
}

impl Source for OnlineSource {
    fn tail(&mut self) -> Result<Tail, SourceError> {
        let asked = self.client.ask_json::<LogEnd>("/v1/backup", ANSWER_LIMIT_BYTES);
        let end = self.runtime.block_on(asked).map_err(told)?;
        let hash = BASE64URL.decode(&end.hash).ok().and_then(|hash| hash.try_into().ok());
        let wrong = || told(ClientError::Unexpected { what: "a hash that is not 32 bytes".to_owned() });
        Ok(Tail {
            segment: end.segment,
            offset: end.offset,
            sequence: end.sequence,
            registry_size: end.registry_size,
            audit_size: end.audit_size,
            previous: hash.ok_or_else(wrong)?,
        })
    }

    fn bytes(&mut self, segment: u32, from: u64, until: Option<u64>) -> Result<Vec<u8>, SourceError> {
        self.runtime.block_on(self.collect(segment, from, until)).map_err(told)
    }
}

fn told(error: ClientError) -> SourceError {
    SourceError(error.text())
}
