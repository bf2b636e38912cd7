//! A moment in RFC 3339's notation.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use k8s_openapi::jiff;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::kinds::bounds::matches;

/// The longest notation, with nine digits of a second and an offset.
const LONGEST: usize = 40;

/// A moment in RFC 3339's notation (`2026-11-27T12:00:00Z`), with a zone and whole seconds or parts of one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(jiff::Timestamp);

/// Why a text is no [`Timestamp`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a moment: write date, time and zone as RFC 3339 has them, such as `2026-11-27T12:00:00Z`"
)]
pub struct TimestampError(String);

impl Timestamp {
    /// What the schema says of the notation; the parser also knows how many days a month has.
    pub(crate) const PATTERN: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$";

    /// As a program's clock has it.
    #[must_use]
    pub fn get(self) -> SystemTime {
        self.0.into()
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn milliseconds(self) -> i64 {
        self.0.as_millisecond()
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(moment: jiff::Timestamp) -> Self {
        Self(moment)
    }
}

impl TryFrom<SystemTime> for Timestamp {
    type Error = TimestampError;

    /// A clock that is out of all bounds has no notation.
    fn try_from(moment: SystemTime) -> Result<Self, Self::Error> {
        let moment = jiff::Timestamp::try_from(moment);
        moment
            .map(Self)
            .map_err(|error| TimestampError(error.to_string()))
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shown: String = text.chars().take(LONGEST).collect();
        if text.len() > LONGEST || !matches(Self::PATTERN, text) {
            return Err(TimestampError(shown));
        }
        let parsed = text.parse().map_err(|_| TimestampError(shown))?;
        Ok(Self(parsed))
    }
}

impl fmt::Display for Timestamp {
    /// In UTC, with no more digits of a second than it has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "format": "date-time", "pattern": Self::PATTERN, "maxLength": LONGEST,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_rfc_3339_writes_it_and_told_in_utc() {
        for (text, told) in [
            ("2026-11-27T12:00:00Z", "2026-11-27T12:00:00Z"),
            ("2026-11-27T13:00:00+01:00", "2026-11-27T12:00:00Z"),
            ("2026-11-27T12:00:00.250Z", "2026-11-27T12:00:00.25Z"),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), told);
        }
        for text in [
            "",
            "2026-11-27",
            "2026-11-27T12:00:00",
            "2026-11-27 12:00:00Z",
            "2026-02-30T12:00:00Z",
            "2026-11-27T25:00:00Z",
            "2026-11-27T12:00:00Z[Europe/Berlin]",
            "1764244800",
        ] {
            let error = text.parse::<Timestamp>().unwrap_err().to_string();
            assert!(error.contains("RFC 3339"), "{text}: {error}");
        }
    }
}
