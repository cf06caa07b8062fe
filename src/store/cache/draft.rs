//! What is to be shelved, before it is an entry: the parts of an answer, how its head is written, and until when it may be served.

/// What is to be shelved; the parts are copied once, into the entry.
#[derive(Clone, Copy, Debug, Default)]
pub struct Draft<'a> {
    pub status: u16,
    /// With its quotes; empty where there is none.
    pub etag: &'a [u8],
    pub cache_control: &'a [u8],
    pub content_type: &'a [u8],
    /// More header lines, each with its "\r\n".
    pub lines: &'a [u8],
    pub body: &'a [u8],
    /// For how long it may be served; 0: as long as it is true.
    pub fresh_ms: u64,
    /// For how long after that it may be served while one caller asks anew.
    pub stale_ms: u64,
    /// Says that there is nothing: kept on the shelf that known names do not share.
    pub negative: bool,
}

/// Names of the lines of a head, in their order.
pub const LINES: [&[u8]; 4] = [b"content-type: ", b"cache-control: ", b"etag: ", b"content-length: "];
pub const END: &[u8] = b"\r\n";

impl<'a> Draft<'a> {
    pub fn values(&self) -> [&'a [u8]; 3] {
        [self.content_type, self.cache_control, self.etag]
    }

    pub fn head_bytes(&self) -> usize {
        let of_line = |(name, value): (&&[u8], &[u8])| {
            if value.is_empty() { 0 } else { name.len() + value.len() + END.len() }
        };
        let lines: usize = LINES.iter().zip(self.values()).map(of_line).sum();
        lines + LINES[3].len() + digits(self.body.len()) + END.len() + self.lines.len() + END.len()
    }

    /// Writes head and body.
    pub fn write(&self, mut put: impl FnMut(&[u8])) {
        for (name, value) in LINES.iter().zip(self.values()) {
            if !value.is_empty() {
                put(name);
                put(value);
                put(END);
            }
        }
        put(LINES[3]);
        let mut text = [b'0'; 20];
        let length = digits(self.body.len());
        let mut rest = self.body.len();
        for digit in text[..length].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        put(&text[..length]);
        put(END);
        put(self.lines);
        put(END);
        put(self.body);
    }
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Until when an answer may be served: as fresh, and as stale while one caller asks anew. Milliseconds on the caller's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    pub fresh_until: u64,
    pub stale_until: u64,
}

impl Times {
    /// As long as it is true.
    pub const ALWAYS: Times = Times { fresh_until: u64::MAX, stale_until: u64::MAX };

    /// The times of a draft made now. Up to an eighth of its freshness is taken off, by `chance`, so that answers that were
    /// made together do not all end together.
    pub fn of(draft: &Draft<'_>, now: u64, chance: u64) -> Times {
        if draft.fresh_ms == 0 {
            return Times::ALWAYS;
        }
        let jitter = ((u128::from(draft.fresh_ms / 8) * u128::from(chance)) >> 64) as u64;
        let fresh_until = now.saturating_add(draft.fresh_ms - jitter);
        Times { fresh_until, stale_until: fresh_until.saturating_add(draft.stale_ms) }
    }
}
