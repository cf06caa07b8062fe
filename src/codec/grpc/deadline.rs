//! When a call ends at the latest: its client's `grpc-timeout`, the node's own bound, or the node's end.
//!
//! What an answer is made of is dropped then, and with it whatever work it had under way.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;

use super::call::Caller;
use super::lasting::Taken;
use crate::codec::http::failure::Failure;
use crate::codec::problem::Code;

const GRPC_TIMEOUT: &str = "grpc-timeout";
const MAX_DIGITS: usize = 8;

/// When a call that begins now must have ended.
pub(super) fn of_call(headers: &HeaderMap, most_seconds: u64) -> Result<Instant, Failure> {
    let most = Duration::from_secs(most_seconds);
    let time = asked(headers)?.map_or(most, |asked| asked.min(most));
    Ok(Instant::now() + time)
}

/// `grpc-timeout`: at most eight digits and a unit (PROTOCOL-HTTP2 of gRPC, "Timeout").
fn asked(headers: &HeaderMap) -> Result<Option<Duration>, Failure> {
    let mut said = headers.get_all(GRPC_TIMEOUT).iter();
    let (first, second) = (said.next(), said.next());
    let Some(first) = first else {
        return Ok(None);
    };
    let time = first.to_str().ok().and_then(duration).filter(|_| second.is_none());
    time.map(Some).ok_or_else(|| {
        Failure::header(
            GRPC_TIMEOUT,
            "应为至多八位数字与一个单位（H、M、S、m、u、n）",
            "must be at most eight digits and a unit (H, M, S, m, u, n)",
        )
    })
}

fn duration(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// A streamed answer, which ends with a status of ours when its time is over or the node drains.
pub(super) struct Bounded {
    inner: Body,
    clock: Pin<Box<Sleep>>,
    stopping: Pin<Box<dyn Future<Output = ()> + Send>>,
    caller: Arc<Caller>,
    _place: Taken,
    is_over: bool,
}

impl Bounded {
    pub(super) fn new(
        inner: Body,
        deadline: Instant,
        stopping: Pin<Box<dyn Future<Output = ()> + Send>>,
        caller: Arc<Caller>,
        place: Taken,
    ) -> Self {
        let clock = Box::pin(tokio::time::sleep_until(deadline));
        Self { inner, clock, stopping, caller, _place: place, is_over: false }
    }

    /// The last frame. What made the answer ends here, not when the client has heard of it.
    fn end(&mut self, code: Code) -> Frame<Bytes> {
        self.inner = Body::empty();
        self.is_over = true;
        let mut trailers = HeaderMap::new();
        // Nothing in a status of ours is unfit for a header.
        if self.caller.status(code.into()).add_header(&mut trailers).is_err() {
            let _ = Status::new(code.grpc(), "").add_header(&mut trailers);
        }
        Frame::trailers(trailers)
    }
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        // Asked before the answer, which may always have more to say.
        if this.clock.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Ok(this.end(Code::DeadlineExceeded))));
        }
        if this.stopping.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Ok(this.end(Code::Draining))));
        }
        let frame = std::task::ready!(Pin::new(&mut this.inner).poll_frame(context));
        // A finished answer is not ended once more.
        this.is_over = frame.as_ref().is_none_or(|frame| frame.as_ref().map_or(true, Frame::is_trailers));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        for (text, time) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("250m", Some(Duration::from_millis(250))),
            ("5u", Some(Duration::from_micros(5))),
            ("0n", Some(Duration::ZERO)),
            ("", None),
            ("S", None),
            ("1", None),
            ("1s", None),
            ("-1S", None),
            ("1.5S", None),
            ("123456789S", None),
            ("1秒", None),
        ] {
            assert_eq!(duration(text), time, "{text}");
        }
    }

    #[test]
    fn the_shorter_of_both_bounds_counts_and_nonsense_is_refused() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_TIMEOUT, http::HeaderValue::from_static(text));
            of_call(&headers, 60)
        };
        let within = |deadline: Result<Instant, Failure>, seconds| {
            deadline.is_ok_and(|deadline| deadline <= Instant::now() + Duration::from_secs(seconds))
        };
        assert!(within(of("2S"), 2));
        assert!(within(of("9999H"), 60));
        assert!(within(of_call(&HeaderMap::new(), 60), 60));
        assert!(of("soon").is_err());
    }
}
