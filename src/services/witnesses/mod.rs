//! The log's side of c2sp.org/tlog-witness: every head is shown to each witness of the configuration, and what they cosign in time
//! is published with it.
//!
//! - `asking`: one exchange with one witness.
//!
//! A witness is not trusted for more than its signature, which is checked; one that is away, slow or wrong costs a bounded wait,
//! and then is left alone for a while, after which it is shown the head that is then the newest.

mod asking;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::Uri;
use parking_lot::Mutex;

use self::asking::{AskError, Line};
use crate::config::WitnessSpec;
use crate::metrics::WitnessMetrics;
use crate::observe::outgoing;
use crate::tlog::hash::{Hash, Head};
use crate::tlog::note::{Note, SignatureLine, VerifierKey};

/// How long one witness may take for one head, all its questions together: less than from one head to the next, for what comes later is
/// of a head that nobody is shown any more, and the others' lines would be late with it.
const ASK_TIMEOUT: Duration = Duration::from_millis(900);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A witness that failed is left alone so long; twice as long after each further failure, up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(300);

/// The consistency proof from a size to the head that is shown; `None` where it cannot be made. May read the disk: it is called
/// on a thread that may block.
pub type Prove = Arc<dyn Fn(u64) -> Option<Vec<Hash>> + Send + Sync>;

/// The witnesses of the configuration.
pub struct Witnesses {
    each: Vec<Witness>,
    metrics: WitnessMetrics,
}

struct Witness {
    line: Line,
    memory: Mutex<Memory>,
}

/// What is remembered of a witness between heads. Lost at a restart: the first question is then answered with its size.
#[derive(Clone, Copy, Default)]
struct Memory {
    /// The size that it cosigned last, as far as known.
    size: u64,
    failures: u32,
    /// Not asked before this.
    not_before: Option<Instant>,
}

impl Witnesses {
    /// Those of a configuration that was checked. An address or key that does not read is an error all the same.
    pub fn new(specs: &[WitnessSpec], metrics: WitnessMetrics) -> io::Result<Witnesses> {
        Witnesses::with_timeout(specs, metrics, ASK_TIMEOUT)
    }

    /// The same, with another limit for what one witness may take.
    pub fn with_timeout(specs: &[WitnessSpec], metrics: WitnessMetrics, timeout: Duration) -> io::Result<Witnesses> {
        let mut parsed = Vec::with_capacity(specs.len());
        for spec in specs {
            let url = format!("{}/add-checkpoint", spec.url.trim_end_matches('/'));
            let url: Uri = url.parse().map_err(io::Error::other)?;
            let key = VerifierKey::parse(&spec.key).map_err(io::Error::other)?;
            metrics.know(key.name());
            parsed.push((url, key));
        }
        let client = outgoing::client(parsed.iter().map(|(url, _)| url), CONNECT_TIMEOUT)?;
        let line = |(url, key)| Line { url, key, client: client.clone(), timeout };
        let each = parsed.into_iter().map(line).map(|line| Witness { line, memory: Mutex::default() }).collect();
        Ok(Witnesses { each, metrics })
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// Shows a head, with the log's own signature, to all witnesses at once, and gives the cosignatures that came in time, each
    /// checked, in the order of the configuration.
    pub async fn cosign(&self, note: &Note, head: Head, prove: Prove) -> Vec<SignatureLine> {
        let asked = self.each.iter().map(|witness| self.ask(witness, note, head, &prove));
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Shows the head to whoever failed to cosign it, once the first of their pauses has passed; the others are not asked. Where
    /// nobody failed it never ends.
    pub async fn cosign_late(&self, note: &Note, head: Head, prove: Prove) -> Vec<SignatureLine> {
        // A pause ends with the first success only, so whoever has one lacks the newest head.
        let pause = |witness: &Witness| witness.memory.lock().not_before;
        match self.each.iter().filter_map(pause).min() {
            Some(moment) => tokio::time::sleep_until(moment.into()).await,
            None => std::future::pending().await,
        }
        let now = Instant::now();
        let is_due = |witness: &&Witness| pause(witness).is_some_and(|moment| moment <= now);
        let asked = self.each.iter().filter(is_due).map(|witness| self.ask(witness, note, head, &prove));
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn ask(&self, witness: &Witness, note: &Note, head: Head, prove: &Prove) -> Option<SignatureLine> {
        let name = witness.line.key.name();
        let memory = *witness.memory.lock();
        if memory.not_before.is_some_and(|moment| Instant::now() < moment) {
            self.metrics.missed(name, head.size.saturating_sub(memory.size), false);
            return None;
        }
        let mut size = memory.size.min(head.size);
        let ended = tokio::time::timeout(witness.line.timeout, witness.line.ask(note, head, &mut size, prove)).await;
        let ended = ended.unwrap_or(Err(AskError::TimedOut));
        let mut memory = witness.memory.lock();
        match ended {
            Ok((line, time)) => {
                if memory.failures > 0 {
                    tracing::info!(witness = name, "the witness cosigns again");
                }
                *memory = Memory { size: head.size, ..Memory::default() };
                self.metrics.cosigned(name, time);
                Some(line)
            }
            Err(error) => {
                // Said once, and once that it is back: the numbers tell the rest.
                if memory.failures == 0 || error.is_alarming() {
                    tracing::warn!(witness = name, size = head.size, %error, "the witness did not cosign the head");
                }
                memory.size = size;
                memory.not_before = Some(Instant::now() + pause(memory.failures));
                memory.failures = memory.failures.saturating_add(1);
                self.metrics.missed(name, head.size.saturating_sub(size), true);
                None
            }
        }
    }
}

fn pause(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures)).min(LAST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_last() {
        let seconds: Vec<u64> = [0, 1, 2, 8, 9, 40, u32::MAX].into_iter().map(|it| pause(it).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 256, 300, 300, 300]);
    }
}
