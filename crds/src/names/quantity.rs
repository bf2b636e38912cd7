//! An amount of bytes in Kubernetes' notation.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest amount that a policy may write: 1Ti.
const LARGEST: u64 = 1 << 40;

/// Suffixes and their factors, in the order in which the text form tries them.
const SUFFIXES: [(&str, u64); 8] = [
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1_000),
];

/// An amount of bytes in Kubernetes' notation: a whole number, plain or with one of the suffixes k, M, G, T (thousands) or Ki, Mi, Gi,
/// Ti (1024s), such as `1Mi` or `256Ki`. At most `1Ti`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Quantity(u64);

/// Why a text is no [`Quantity`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number with a known suffix.
    #[error(
        "`{0}` is not an amount of bytes: write a whole number with one of the suffixes Ki, Mi, Gi, k, M, G or none, such as `1Mi` or `256Ki`"
    )]
    Malformed(String),
    /// More than 1Ti.
    #[error("`{0}` is more than 1Ti")]
    TooLarge(String),
}

impl Quantity {
    /// What the schema says of the notation; the parser is stricter (1Ti at most).
    pub(crate) const PATTERN: &str = "^[0-9]{1,13}(k|M|G|T|Ki|Mi|Gi|Ti)?$";

    /// The bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl From<u64> for Quantity {
    /// Bytes, at most 1Ti.
    fn from(bytes: u64) -> Self {
        Self(bytes.min(LARGEST))
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, suffix) = text.split_at(digits);
        let factor = match suffix {
            "" => Some(1),
            suffix => SUFFIXES
                .iter()
                .find(|(name, _)| *name == suffix)
                .map(|(_, factor)| *factor),
        };
        let quoted: String = text.chars().take(40).collect();
        let Some(factor) = factor.filter(|_| digits > 0) else {
            return Err(QuantityError::Malformed(quoted));
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(factor))
            .filter(|bytes| *bytes <= LARGEST)
            .map(Self)
            .ok_or(QuantityError::TooLarge(quoted))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SUFFIXES
            .iter()
            .find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor))
        {
            Some((suffix, factor)) => write!(f, "{}{suffix}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrNumber)
    }
}

/// Kubernetes writes an amount as text or as a bare number.
struct TextOrNumber;

impl Visitor<'_> for TextOrNumber {
    type Value = Quantity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount of bytes such as `1Mi`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Quantity, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Quantity, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Quantity, E> {
        u64::try_from(number)
            .map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
            .and_then(|number| self.visit_u64(number))
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true, "pattern": Self::PATTERN, "maxLength": 16 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kubernetes_notation_is_read_and_written() {
        for (text, bytes, written) in [
            ("0", 0, "0"),
            ("1Mi", 1 << 20, "1Mi"),
            ("256Ki", 256 << 10, "256Ki"),
            ("1M", 1_000_000, "1M"),
            ("1500", 1500, "1500"),
            ("1024", 1024, "1Ki"),
            ("1Ti", 1 << 40, "1Ti"),
        ] {
            let parsed: Quantity = text.parse().expect(text);
            assert_eq!(
                (parsed.get(), parsed.to_string().as_str()),
                (bytes, written)
            );
        }
    }

    #[test]
    fn numbers_are_read_as_bytes() {
        assert_eq!(
            serde_yaml::from_str::<Quantity>("4096").unwrap().get(),
            4096
        );
        assert!(serde_yaml::from_str::<Quantity>("-1").is_err());
        assert!(serde_yaml::from_str::<Quantity>("1.5").is_err());
    }

    #[test]
    fn each_mistake_is_told_apart() {
        let mut told = String::new();
        for text in [
            "",
            "Mi",
            "1mi",
            "1.5Mi",
            "-1",
            "2Ti",
            "99999999999999999999",
            "1 Mi",
        ] {
            let error = text.parse::<Quantity>().expect_err(text);
            told.push_str(&format!("{text:>22}  {error}\n"));
        }
        insta::assert_snapshot!("quantity_errors", told);
    }

    proptest! {
        #[test]
        fn text_and_value_round_trip(bytes in 0_u64..=LARGEST) {
            let amount = Quantity::from(bytes);
            prop_assert_eq!(amount.to_string().parse::<Quantity>(), Ok(amount));
        }
    }
}
