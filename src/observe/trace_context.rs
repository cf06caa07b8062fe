//! The caller's place in a trace: the header `traceparent` (W3C Trace Context, level 1, section 3.2), and fresh ids.
//!
//! `tracestate` is not read: this node hands no request on, and what strangers wrote there is nobody's business here.

use std::cell::Cell;
use std::fmt;

use http::HeaderMap;

const SAMPLED: u8 = 1;

/// 16 bytes, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(pub [u8; 16]);

/// 8 bytes, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId(pub [u8; 8]);

/// Where the caller stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub trace: TraceId,
    pub parent: SpanId,
    /// Whether the caller's own span is kept.
    pub is_sampled: bool,
}

impl TraceContext {
    /// `None` where the header is absent, doubled or malformed: then the trace begins here (section 4.3).
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<TraceContext> {
        let mut shown = headers.get_all("traceparent").iter();
        let (first, second) = (shown.next()?, shown.next());
        if second.is_some() { None } else { Self::parse(first.as_bytes()) }
    }

    /// `00-<32 hex>-<16 hex>-<2 hex>`, lower case. A later version may have more after another dash.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<TraceContext> {
        let (head, rest) = text.split_at_checked(55)?;
        let [version] = hex(head.get(..2)?)?;
        let is_known = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest.first() == Some(&b'-'),
        };
        let has_dashes = [2, 35, 52].iter().all(|place| head.get(*place) == Some(&b'-'));
        if !is_known || !has_dashes {
            return None;
        }
        let trace: [u8; 16] = hex(head.get(3..35)?)?;
        let parent: [u8; 8] = hex(head.get(36..52)?)?;
        let [flags] = hex(head.get(53..55)?)?;
        let is_named = trace != [0; 16] && parent != [0; 8];
        is_named.then_some(TraceContext {
            trace: TraceId(trace),
            parent: SpanId(parent),
            is_sampled: flags & SAMPLED != 0,
        })
    }
}

/// Lower-case digits only, as the header has them.
fn hex<const BYTES: usize>(digits: &[u8]) -> Option<[u8; BYTES]> {
    let digit = |letter: u8| match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl TraceId {
    #[must_use]
    pub fn fresh() -> TraceId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&random().to_be_bytes());
        bytes[8..].copy_from_slice(&random().to_be_bytes());
        TraceId(bytes)
    }
}

impl SpanId {
    #[must_use]
    pub fn fresh() -> SpanId {
        SpanId(random().to_be_bytes())
    }
}

/// Unlike every other with near certainty, never zero, and no secret: a generator a thread (splitmix64, Steele et al. 2014)
/// that begins at a random place, because the operating system's randomness would cost each draw a call.
pub(super) fn random() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(seed());
    }
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)).max(1)
}

fn seed() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness two processes may draw the same ids; only a collector would be confused.
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_specifications_own_example_is_read() {
        let context = TraceContext::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(context.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.parent.0, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
        assert!(context.is_sampled);
        assert!(!TraceContext::parse(GOOD.replace("-01", "-00").as_bytes()).unwrap().is_sampled);
        assert!(
            TraceContext::parse(GOOD.replace("-01", "-03").as_bytes()).unwrap().is_sampled,
            "other flags do not count"
        );
        let later = format!("cc{}-what-comes", &GOOD[2..]);
        assert!(TraceContext::parse(later.as_bytes()).is_some(), "a later version is read as far as it is known");
    }

    #[test]
    fn what_is_malformed_begins_a_trace_of_its_own() {
        for bad in [
            String::new(),
            GOOD[1..].to_owned(),
            GOOD.to_uppercase(),
            format!("{GOOD}-x"),
            format!("ff{}", &GOOD[2..]),
            format!("cc{}x", &GOOD[2..]),
            GOOD.replace('-', "_"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01".to_owned(),
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01".to_owned(),
            "铭".repeat(40),
        ] {
            assert_eq!(TraceContext::parse(bad.as_bytes()), None, "{bad}");
        }
        let mut headers = HeaderMap::new();
        headers.append("traceparent", GOOD.parse().unwrap());
        assert!(TraceContext::of(&headers).is_some());
        headers.append("traceparent", GOOD.parse().unwrap());
        assert!(TraceContext::of(&headers).is_none(), "two of them");
    }

    #[test]
    fn fresh_ids_differ() {
        let ids: std::collections::HashSet<[u8; 8]> = (0..10_000).map(|_| SpanId::fresh().0).collect();
        assert_eq!(ids.len(), 10_000);
        assert_ne!(TraceId::fresh(), TraceId::fresh());
    }
}
