//! How long requests take: one histogram for each stage, transport and outcome, sharded by worker.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

use super::histogram::{Buckets, Sum};
use super::shard::{SHARDS, shard};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$inner])* $variant),* }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$variant),*];

            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
        }
    };
}

words! {
    /// Where the time went. `Total` is from the parsed head to the answer's head; decode, guard, service and encode are parts of
    /// it; cache, store, sign and form are parts of the service; queue and journal are parts of the store.
    Stage {
        Total "total",
        Decode "decode",
        Guard "guard",
        Service "service",
        Encode "encode",
        Cache "cache",
        Store "store",
        Queue "queue",
        Journal "journal",
        Sign "sign",
        Form "form",
    }
}

words! {
    /// How the request came.
    Transport {
        Http1 "http1",
        Http2 "http2",
        Grpc "grpc",
    }
}

words! {
    /// How it ended, by status; `Hit` is a record that memory had at once.
    Outcome {
        Hit "hit",
        Ok "ok",
        /// 3xx, not-modified included.
        Elsewhere "elsewhere",
        /// 404.
        Unknown "unknown",
        /// 410.
        Gone "gone",
        /// Other 4xx.
        Refused "refused",
        /// 5xx.
        Failed "failed",
    }
}

impl Outcome {
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            404 => Self::Unknown,
            410 => Self::Gone,
            0..300 => Self::Ok,
            300..400 => Self::Elsewhere,
            400..500 => Self::Refused,
            _ => Self::Failed,
        }
    }

    /// Of an answer that memory had at once. A flood of names that are not there must not hide how long records take.
    #[must_use]
    pub fn of_hot(status: u16) -> Self {
        match Self::of_status(status) {
            nothing @ (Self::Unknown | Self::Gone) => nothing,
            _ => Self::Hit,
        }
    }
}

const TRANSPORTS: usize = Transport::ALL.len();
const OUTCOMES: usize = Outcome::ALL.len();
const SERIES: usize = Stage::ALL.len() * TRANSPORTS * OUTCOMES;

/// All series; 44 KiB a shard.
#[derive(Debug)]
pub struct RequestTimes {
    shards: Vec<Shard>,
}

/// Aligned so that no two workers write one cache line.
#[derive(Debug)]
#[repr(align(128))]
struct Shard([Buckets; SERIES]);

impl Default for RequestTimes {
    fn default() -> Self {
        let shard = || Shard(std::array::from_fn(|_| Buckets::default()));
        Self { shards: std::iter::repeat_with(shard).take(SHARDS).collect() }
    }
}

impl RequestTimes {
    /// Costs a few nanoseconds on a worker that has claimed its shard.
    pub fn record(&self, stage: Stage, transport: Transport, outcome: Outcome, duration: Duration) {
        let series = self.shards.get(shard()).and_then(|shard| shard.0.get(position(stage, transport, outcome)));
        if let Some(series) = series {
            series.record(duration);
        }
    }

    fn sum(&self, stage: Stage, transport: Transport, outcome: Outcome) -> Sum {
        let mut sum = Sum::default();
        for shard in &self.shards {
            if let Some(series) = shard.0.get(position(stage, transport, outcome)) {
                series.add_to(&mut sum);
            }
        }
        sum
    }

    /// Requests of this outcome so far.
    #[must_use]
    pub fn count(&self, stage: Stage, transport: Transport, outcome: Outcome) -> u64 {
        self.sum(stage, transport, outcome).count()
    }
}

fn position(stage: Stage, transport: Transport, outcome: Outcome) -> usize {
    (stage as usize * TRANSPORTS + transport as usize) * OUTCOMES + outcome as usize
}

impl Collector for RequestTimes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Time to answer a request, by stage, transport and outcome";
        let mut family = encoder.encode_descriptor("request_seconds", help, None, MetricType::Histogram)?;
        for stage in Stage::ALL.iter().copied() {
            for transport in Transport::ALL.iter().copied() {
                for outcome in Outcome::ALL.iter().copied() {
                    let sum = self.sum(stage, transport, outcome);
                    if sum.count() == 0 {
                        continue;
                    }
                    let labels =
                        [("stage", stage.word()), ("transport", transport.word()), ("outcome", outcome.word())];
                    family.encode_family(&labels)?.encode_histogram(
                        sum.seconds(),
                        sum.count(),
                        &sum.buckets(),
                        None::<&std::collections::HashMap<usize, Exemplar<Vec<(String, String)>, f64>>>,
                    )?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_has_its_own_place() {
        let times = RequestTimes::default();
        let mut expected = 0;
        for stage in Stage::ALL.iter().copied() {
            for transport in Transport::ALL.iter().copied() {
                for outcome in Outcome::ALL.iter().copied() {
                    assert_eq!(position(stage, transport, outcome), expected);
                    assert_eq!(times.count(stage, transport, outcome), 0);
                    times.record(stage, transport, outcome, Duration::from_nanos(1));
                    assert_eq!(times.count(stage, transport, outcome), 1);
                    expected += 1;
                }
            }
        }
        assert_eq!(expected, SERIES);
    }

    #[test]
    fn a_status_has_one_outcome() {
        for (status, outcome) in [
            (200, Outcome::Ok),
            (304, Outcome::Elsewhere),
            (404, Outcome::Unknown),
            (410, Outcome::Gone),
            (412, Outcome::Refused),
            (503, Outcome::Failed),
        ] {
            assert_eq!(Outcome::of_status(status), outcome);
        }
    }
}
