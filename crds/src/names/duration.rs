//! A span of time in Kubernetes' notation.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest span that a policy may write: a year. Longer is a slip of the unit more often than a wish.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(365 * 24 * 60 * 60);

/// The units from the largest to the smallest, with their milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A span of time in Kubernetes' notation: whole numbers with the units `h`, `m`, `s` and `ms`, the largest first (`1h30m`, `250ms`,
/// `0s`). At most a year, in steps of a millisecond.
///
/// The notation is the one of the Gateway API (GEP-2257) without repetition of a unit, a subset of Go's `time.ParseDuration`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Duration(std::time::Duration);

/// Why a text is no [`Duration`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing is written.
    #[error("a duration is empty: write a number and a unit, such as `30s`, `250ms` or `1h30m`")]
    Empty,
    /// A number stands alone.
    #[error("`{0}` has no unit: write `{0}s`, `{0}ms`, `{0}m` or `{0}h`")]
    NoUnit(String),
    /// Not a number, or a unit that there is not.
    #[error(
        "`{0}` is not a duration: write whole numbers with the units h, m, s and ms, such as `30s`, `250ms` or `1h30m`"
    )]
    Malformed(String),
    /// Units that repeat or grow.
    #[error(
        "`{0}` names its units out of order: write each unit once and the largest first, such as `1h30m`"
    )]
    Order(String),
    /// More than a year.
    #[error(
        "`{0}` is longer than a year (8760h): use `0s` where the field allows switching it off"
    )]
    TooLong(String),
}

impl Duration {
    /// What the schema says of the notation; the parser is stricter (a year at most).
    pub(crate) const PATTERN: &str = "^([0-9]{1,8}h)?([0-9]{1,8}m)?([0-9]{1,8}s)?([0-9]{1,8}ms)?$";

    /// The span itself.
    #[must_use]
    pub const fn get(self) -> std::time::Duration {
        self.0
    }

    /// Whether it is `0s`.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<std::time::Duration> for Duration {
    /// Cuts off what is smaller than a millisecond or longer than a year, so that the text form always parses again.
    fn from(span: std::time::Duration) -> Self {
        let whole = std::time::Duration::new(span.as_secs(), span.subsec_millis() * 1_000_000);
        Self(whole.min(LONGEST))
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        if text.is_empty() {
            return Err(DurationError::Empty);
        }
        let malformed = || DurationError::Malformed(shortened(text));
        let mut rest = text;
        let mut units = UNITS.iter();
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, after) = rest.split_at(digits);
            let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, after) = after.split_at(letters);
            if digits == 0 {
                return Err(malformed());
            }
            if unit.is_empty() {
                return Err(if after.is_empty() && number == text {
                    DurationError::NoUnit(shortened(text))
                } else {
                    malformed()
                });
            }
            if !UNITS.iter().any(|(name, _)| *name == unit) {
                return Err(malformed());
            }
            let Some((_, scale)) = units.find(|(name, _)| *name == unit) else {
                return Err(DurationError::Order(shortened(text)));
            };
            total = number
                .parse::<u64>()
                .ok()
                .and_then(|number| number.checked_mul(*scale))
                .and_then(|part| total.checked_add(part))
                .ok_or_else(|| DurationError::TooLong(shortened(text)))?;
            rest = after;
        }
        let span = std::time::Duration::from_millis(total);
        if span > LONGEST {
            return Err(DurationError::TooLong(shortened(text)));
        }
        Ok(Self(span))
    }
}

/// At most 40 characters of a rejected text: an error must not be as long as what it rejects.
fn shortened(text: &str) -> String {
    if text.chars().count() <= 40 {
        text.to_owned()
    } else {
        text.chars().take(39).chain(['…']).collect()
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() {
            return f.write_str("0s");
        }
        // Bounded by a year on every way in, so the milliseconds fit.
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        for (unit, scale) in UNITS {
            let count = rest / scale;
            rest %= scale;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 2, "maxLength": 36, "pattern": Self::PATTERN })
    }
}

/// Writes a [`std::time::Duration`] in Kubernetes' notation; for `#[serde(with = …)]`.
pub mod plain {
    use super::{Deserialize, Deserializer, Serialize, Serializer};

    /// As `30s`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(span: &std::time::Duration, to: S) -> Result<S::Ok, S::Error> {
        super::Duration::from(*span).serialize(to)
    }

    /// From `30s`.
    ///
    /// # Errors
    /// A text that is no duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<std::time::Duration, D::Error> {
        super::Duration::deserialize(from).map(super::Duration::get)
    }
}

/// Writes an optional [`std::time::Duration`] in Kubernetes' notation, none as `0s`; for `#[serde(with = …)]`.
pub mod optional {
    use super::{Deserialize, Deserializer, Serializer};

    /// As `30s`, or `0s` for none.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(
        span: &Option<std::time::Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        super::plain::serialize(&span.unwrap_or_default(), to)
    }

    /// From `30s`; `0s` is none.
    ///
    /// # Errors
    /// A text that is no duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<std::time::Duration>, D::Error> {
        let span = super::Duration::deserialize(from)?;
        Ok((!span.is_zero()).then(|| span.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kubernetes_notation_is_read() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("250ms", 250),
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("1m30s500ms", 90_500),
            ("90m", 5_400_000),
            ("8760h", 31_536_000_000),
        ] {
            let parsed: Duration = text.parse().expect(text);
            assert_eq!(parsed.get().as_millis(), milliseconds, "{text}");
        }
    }

    #[test]
    fn each_mistake_is_told_apart() {
        let mut told = String::new();
        for text in [
            "",
            "10",
            "ten",
            "10 s",
            "1.5s",
            "-1s",
            "1d",
            "30m1h",
            "1s1s",
            "8761h",
            "99999999999999999999h",
            "s",
        ] {
            let error = text.parse::<Duration>().expect_err(text);
            told.push_str(&format!("{text:>22}  {error}\n"));
        }
        insta::assert_snapshot!("duration_errors", told);
    }

    proptest! {
        #[test]
        fn text_and_value_round_trip(milliseconds in 0_u64..=31_536_000_000) {
            let span = Duration::from(std::time::Duration::from_millis(milliseconds));
            prop_assert_eq!(span.to_string().parse::<Duration>(), Ok(span));
        }

        #[test]
        fn no_text_panics(text in ".{0,60}") {
            if let Ok(span) = text.parse::<Duration>() {
                prop_assert_eq!(span.to_string().parse::<Duration>(), Ok(span));
            }
        }
    }
}
