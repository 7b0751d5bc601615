//! Unix time with nanoseconds, as JSON. A floating-point number would lose the last digits, so it is
//! written and read as the decimal number it is: `1795311222.123456789`.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::{self, Deserializer};
use serde::ser::{self, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Time since 1970-01-01 00:00:00 UTC, without leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(Duration);

impl UnixTime {
    /// The system's clock, now.
    #[must_use]
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// From whole seconds and nanoseconds.
    #[must_use]
    pub const fn new(seconds: u64, nanoseconds: u32) -> Self {
        Self(Duration::new(seconds, nanoseconds))
    }

    /// How long ago this was at `now`; zero if it lies ahead.
    #[must_use]
    pub fn age(self, now: Self) -> Duration {
        now.0.saturating_sub(self.0)
    }

    /// The time that lies so far before this one; not before 1970.
    #[must_use]
    pub fn before(self, distance: Duration) -> Self {
        Self(self.0.saturating_sub(distance))
    }

    /// The time that lies so far after this one.
    #[must_use]
    pub fn after(self, distance: Duration) -> Self {
        Self(self.0.saturating_add(distance))
    }

    /// The time that has passed since 1970.
    #[must_use]
    pub const fn since_epoch(self) -> Duration {
        self.0
    }
}

impl From<SystemTime> for UnixTime {
    /// A clock before 1970 counts as 1970.
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0.as_secs(), self.0.subsec_nanos())
    }
}

/// Not a decimal number of seconds.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a Unix time: seconds, and up to nine digits after the point")]
pub struct UnixTimeError(String);

impl std::str::FromStr for UnixTime {
    type Err = UnixTimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || UnixTimeError(text.to_owned());
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(seconds) || !digits(fraction) || fraction.len() > 9 {
            return Err(error());
        }
        let seconds = seconds.parse().map_err(|_| error())?;
        let nanoseconds = format!("{fraction:0<9}").parse().map_err(|_| error())?;
        Ok(Self::new(seconds, nanoseconds))
    }
}

impl Serialize for UnixTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string())
            .map_err(ser::Error::custom)?
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for UnixTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        raw.get().parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nanosecond_survives_json() {
        for time in [
            UnixTime::new(1_795_311_222, 123_456_789),
            UnixTime::new(1_795_311_222, 1),
            UnixTime::new(0, 0),
        ] {
            let json = serde_json::to_string(&time).expect("serialize");
            assert_eq!(
                serde_json::from_str::<UnixTime>(&json).expect("parse"),
                time
            );
        }
    }

    #[test]
    fn it_is_a_plain_json_number() {
        let json = serde_json::to_string(&UnixTime::new(12, 5_000_000)).expect("serialize");
        assert_eq!(json, "12.005000000");
        let number: serde_json::Value = serde_json::from_str(&json).expect("parse");
        assert_eq!(number.as_f64(), Some(12.005));
    }

    #[test]
    fn anything_but_a_decimal_number_is_refused() {
        for json in ["\"12\"", "-1.0", "1e9", "12.0000000001", "null", "{}"] {
            assert!(serde_json::from_str::<UnixTime>(json).is_err(), "{json}");
        }
    }
}
