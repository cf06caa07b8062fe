//! Where a log is read: what following needs of whoever fetches, and asking again where that may help.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::error::FollowError;
use crate::model::text::Text;

/// The first pause before asking again; each later one is twice as long, up to the last.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);
pub(super) const LAST_PAUSE: Duration = Duration::from_secs(5);

/// An answer on its way.
pub type Fetched<'a> = Pin<Box<dyn Future<Output = Result<Bytes, SourceError>> + Send + 'a>>;

/// Where the parts of a log are: a server, a folder, a test. It need not be trusted.
pub trait Source: Send + Sync {
    /// Reads what is at a path below the log's address (`checkpoint`, `tile/0/000`; C2SP tlog-tiles), `limit_bytes` at most. Takes
    /// bounded time and does not try again by itself.
    fn fetch<'a>(&'a self, path: &'a str, limit_bytes: usize) -> Fetched<'a>;

    /// Where a part is really asked for, as a person is told; a part may be made of what stands elsewhere.
    fn place_of(&self, path: &str) -> String {
        path.to_owned()
    }

    /// What is read from now on comes over connections that do not stand yet: behind one address there may be several servers.
    fn renew(&self) {}
}

/// Why nothing was read.
#[derive(Clone, Debug)]
pub enum SourceError {
    /// There is nothing at the path.
    Absent,
    /// It has more bytes than were asked for.
    Oversize,
    /// The same question may be answered later; perhaps only after a time that was named.
    Passing { cause: Text, retry_after: Option<Duration> },
    /// It will not.
    Lasting(Text),
    /// Nor with the key that is shown.
    KeyRefused(Text),
}

/// A source that is asked with patience.
pub(super) struct Asking {
    pub source: Arc<dyn Source>,
    /// How long a question is repeated.
    pub patience: Duration,
}

impl Asking {
    /// `None`: there is nothing at the path.
    pub async fn read(&self, path: &str, limit_bytes: usize) -> Result<Option<Bytes>, FollowError> {
        let (started, mut pause) = (Instant::now(), FIRST_PAUSE);
        let place = || self.source.place_of(path);
        loop {
            let (cause, wait) = match self.source.fetch(path, limit_bytes).await {
                // A source may be careless; nothing here is.
                Ok(bytes) if bytes.len() <= limit_bytes => return Ok(Some(bytes)),
                Ok(_) | Err(SourceError::Oversize) => {
                    return Err(FollowError::Oversize { path: place(), limit_bytes });
                }
                Err(SourceError::Absent) => return Ok(None),
                Err(SourceError::Lasting(cause)) => return Err(FollowError::Source { path: place(), cause }),
                Err(SourceError::KeyRefused(cause)) => return Err(FollowError::KeyRefused { path: place(), cause }),
                Err(SourceError::Passing { cause, retry_after }) => (cause, retry_after.unwrap_or(pause).max(pause)),
            };
            if started.elapsed() + wait > self.patience {
                return Err(FollowError::Source { path: place(), cause });
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}
