//! The events of a job, as the node sends them: what is heard between two breaks of the connection.

use bytes::BytesMut;
use http::Method;

use super::job::{JobSeen, State};
use crate::cli::client::{Client, ClientError};

const EVENTS: &str = "text/event-stream";
/// One event is one job.
const EVENT_LIMIT_BYTES: usize = 1 << 20;

/// Hands on every account of the job until its end, or until the events end. Gives the last one.
pub async fn listen(
    client: &Client,
    id: &str,
    mut heard: impl FnMut(&JobSeen),
) -> Result<Option<JobSeen>, ClientError> {
    let request = client.request(Method::GET, &format!("/v1/imports/{id}/events"), EVENTS, None)?;
    let mut answer = client.send(request).await?;
    let (mut waiting, mut last) = (BytesMut::new(), None);
    while let Some(piece) = answer.piece().await? {
        waiting.extend_from_slice(&piece);
        while let Some(end) = waiting.windows(2).position(|pair| pair == b"\n\n") {
            let event = waiting.split_to(end + 2);
            let data = event[..].split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"data: "));
            let Some(job) = data.and_then(|data| serde_json::from_slice::<JobSeen>(data).ok()) else { continue };
            heard(&job);
            let is_over = job.state != State::Running;
            last = Some(job);
            if is_over {
                return Ok(last);
            }
        }
        if waiting.len() > EVENT_LIMIT_BYTES {
            return Err(ClientError::TooLarge { limit_bytes: EVENT_LIMIT_BYTES });
        }
    }
    Ok(last)
}
