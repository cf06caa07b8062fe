//! A moment, in whole seconds since 1970-01-01T00:00:00Z; written as RFC 3339 in UTC.
//!
//! Not a local time and not a duration. Seconds are what Handle values carry, so nothing finer is kept.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// 0000-01-01T00:00:00Z, the first year that RFC 3339 can write.
const FIRST: i64 = -62_167_219_200;
/// 9999-12-30T22:00:00Z less a second: the last moment that jiff writes whatever the zone.
const LAST: i64 = 253_402_207_199;

/// Always within the years 0000 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an RFC 3339 time such as 2026-11-23T15:24:37Z, within the years 0000 to 9999")]
pub struct TimestampError;

impl Timestamp {
    pub const EPOCH: Self = Self(0);

    /// The system's clock. A clock set before 1970 reads as 1970: nothing was registered then.
    #[must_use]
    pub fn now() -> Self {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self(i64::try_from(seconds).unwrap_or(LAST).min(LAST))
    }

    /// # Errors
    /// Outside the years 0000 to 9999.
    pub fn from_seconds(seconds: i64) -> Result<Self, TimestampError> {
        if (FIRST..=LAST).contains(&seconds) { Ok(Self(seconds)) } else { Err(TimestampError) }
    }

    #[must_use]
    pub fn as_seconds(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339 with any offset; a fraction of a second is cut off.
    ///
    /// # Errors
    /// Anything else, or a moment outside the years 0000 to 9999.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        // jiff also reads looser ISO 8601; RFC 3339 begins `dddd-dd-ddT`, and 64 bytes leave room for any fraction worth reading.
        let bytes = text.as_bytes();
        let shaped = (20..=64).contains(&bytes.len())
            && bytes.iter().take(10).enumerate().all(|(at, byte)| match at {
                4 | 7 => *byte == b'-',
                _ => byte.is_ascii_digit(),
            })
            && matches!(bytes.get(10), Some(b'T' | b't' | b' '))
            && !bytes.contains(&b'[');
        if !shaped {
            return Err(TimestampError);
        }
        let moment: jiff::Timestamp = text.parse().map_err(|_| TimestampError)?;
        Self::from_seconds(moment.as_second() - i64::from(moment.subsec_nanosecond() < 0))
    }

    /// The UTC date and time of day: year, month, day, hour, minute, second.
    #[must_use]
    pub fn civil(self) -> (i16, i8, i8, i8, i8, i8) {
        let civil = jiff::tz::TimeZone::UTC.to_datetime(self.to_jiff());
        (civil.year(), civil.month(), civil.day(), civil.hour(), civil.minute(), civil.second())
    }

    fn to_jiff(self) -> jiff::Timestamp {
        // Within jiff's range by the invariant of this type, so the fallback is never seen.
        jiff::Timestamp::from_second(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_jiff().fmt(f)
    }
}

impl schemars::JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "date-time"})
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_time_of_a_captured_handle_value_reads_and_writes_back() {
        let time = Timestamp::parse("2026-11-23T15:24:37Z").unwrap();
        assert_eq!(time.as_seconds(), 1_795_447_477);
        assert_eq!(time.to_string(), "2026-11-23T15:24:37Z");
        assert_eq!(serde_json::to_string(&time).unwrap(), "\"2026-11-23T15:24:37Z\"");
    }

    #[test]
    fn an_offset_and_a_fraction_are_normalised_away() {
        let utc = Timestamp::parse("2026-11-23T15:24:37Z").unwrap();
        assert_eq!(Timestamp::parse("2026-11-23T23:24:37.999+08:00").unwrap(), utc);
    }

    #[test]
    fn a_fraction_before_1970_is_cut_toward_the_earlier_second() {
        assert_eq!(Timestamp::parse("1969-12-31T23:59:59.5Z").unwrap().as_seconds(), -1);
    }

    #[test]
    fn texts_that_are_not_rfc_3339_are_refused() {
        for text in ["", "2026-11-23", "20261123T152437Z", "2026-11-23T15:24:37", "2026-13-01T00:00:00Z", "now"] {
            assert_eq!(Timestamp::parse(text), Err(TimestampError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_moment_in_range_survives_its_own_text(seconds in FIRST..=LAST) {
            let time = Timestamp::from_seconds(seconds).unwrap();
            prop_assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,80}") {
            let _ = Timestamp::parse(&text);
        }
    }
}
