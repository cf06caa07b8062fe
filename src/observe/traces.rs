//! Which requests are traced, and the queue of those that are done. Nothing here waits: what finds the queue full is dropped
//! and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use http::{HeaderMap, Method};
use tokio::sync::mpsc;

use super::laps::Lap;
use super::trace_context::{SpanId, TraceContext, TraceId, random};
use crate::config::TracesSpec;
use crate::metrics::{TraceMetrics, Transport};

/// A traced request's own ids, and its parent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanIds {
    pub trace: TraceId,
    pub span: SpanId,
    pub parent: Option<SpanId>,
}

/// A traced request that was answered: words of the code, numbers, and the request's id.
#[derive(Clone, Debug)]
pub struct Traced {
    pub ids: SpanIds,
    pub method: &'static str,
    /// As the router knows it (`/v1/resolve/{*identifier}`); `None`: no such address.
    pub route: Option<&'static str>,
    pub status: u16,
    pub transport: Transport,
    pub request_id: Arc<str>,
    pub began: SystemTime,
    pub took_nanoseconds: u64,
    pub laps: Vec<Lap>,
}

/// Decides and takes; off by default.
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    queue: mpsc::Sender<Traced>,
    per_million: AtomicU64,
    follows_parent: bool,
    metrics: TraceMetrics,
}

impl Traces {
    /// With the other end of the queue.
    #[must_use]
    pub fn new(spec: &TracesSpec, metrics: TraceMetrics) -> (Traces, mpsc::Receiver<Traced>) {
        // A counter that begins to exist with its first event hides that one from every rate.
        for outcome in TraceMetrics::OUTCOMES {
            metrics.ended(outcome, 0);
        }
        let (queue, waiting) = mpsc::channel(usize::try_from(spec.queue_requests).unwrap_or(usize::MAX));
        let inner = Inner {
            queue,
            per_million: AtomicU64::new(spec.sample_per_million),
            follows_parent: spec.follow_parent,
            metrics,
        };
        (Traces(Some(Arc::new(inner))), waiting)
    }

    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// From the next request on.
    pub fn set_share(&self, per_million: u64) {
        if let Some(inner) = &self.0 {
            inner.per_million.store(per_million, Ordering::Relaxed);
        }
    }

    /// The ids of a request that is to be traced: by its caller's decision, else by chance.
    #[must_use]
    pub fn decide(&self, headers: &HeaderMap) -> Option<SpanIds> {
        let inner = self.0.as_ref()?;
        let caller = TraceContext::of(headers);
        let is_traced = match caller {
            Some(caller) if inner.follows_parent => caller.is_sampled,
            _ => random() % 1_000_000 < inner.per_million.load(Ordering::Relaxed),
        };
        is_traced.then(|| SpanIds {
            trace: caller.map_or_else(TraceId::fresh, |caller| caller.trace),
            span: SpanId::fresh(),
            parent: caller.map(|caller| caller.parent),
        })
    }

    /// Hands a traced request to the sender, or drops it.
    pub fn take(&self, traced: Traced) {
        if let Some(inner) = &self.0
            && inner.queue.try_send(traced).is_err()
        {
            inner.metrics.ended("dropped", 1);
        }
    }
}

/// A method as a word of the code: what a client made up is none.
#[must_use]
pub fn method_word(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traced(ids: SpanIds) -> Traced {
        Traced {
            ids,
            method: "GET",
            route: None,
            status: 200,
            transport: Transport::Http1,
            request_id: "r".into(),
            began: SystemTime::UNIX_EPOCH,
            took_nanoseconds: 1,
            laps: Vec::new(),
        }
    }

    fn with(sample_per_million: u64, follow_parent: bool) -> (Traces, mpsc::Receiver<Traced>) {
        let spec = TracesSpec { sample_per_million, follow_parent, queue_requests: 2, ..TracesSpec::default() };
        Traces::new(&spec, TraceMetrics::default())
    }

    fn called(flags: &str) -> HeaderMap {
        let text = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
        HeaderMap::from_iter([("traceparent".parse().unwrap(), text.parse().unwrap())])
    }

    #[test]
    fn the_caller_decides_or_else_the_share() {
        let (never, _waiting) = with(0, true);
        let (always, _waiting) = with(1_000_000, true);
        let (deaf, _waiting) = with(0, false);
        let nobody = HeaderMap::new();
        assert!(never.decide(&nobody).is_none() && always.decide(&nobody).is_some());
        let ids = never.decide(&called("01")).unwrap();
        assert_eq!(ids.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert!(ids.parent.is_some() && ids.parent != Some(ids.span));
        assert!(always.decide(&called("00")).is_none());
        assert!(deaf.decide(&called("01")).is_none());
        assert!(Traces::default().decide(&called("01")).is_none(), "off");
        always.set_share(0);
        assert!(always.decide(&nobody).is_none());
        let (half, _waiting) = with(500_000, true);
        let drawn = (0..10_000).filter(|_| half.decide(&nobody).is_some()).count();
        assert!((4_000..6_000).contains(&drawn), "{drawn}");
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_never_waits() {
        let (traces, waiting) = with(1_000_000, true);
        let metrics = traces.0.as_ref().unwrap().metrics.clone();
        for _ in 0..5 {
            traces.take(traced(traces.decide(&HeaderMap::new()).unwrap()));
        }
        assert_eq!((waiting.len(), metrics.count("dropped")), (2, 3));
        drop(waiting);
        traces.take(traced(traces.decide(&HeaderMap::new()).unwrap()));
        assert_eq!(metrics.count("dropped"), 4);
    }
}
