//! A part of the traffic, of the users, or of answers.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A share: a fraction such as `0.05`, or a percentage such as `5%`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Share(pub f64);

/// A text that is no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no share: write a fraction from 0 to 1, such as 0.05, or a percentage, such as 5%")]
pub struct ShareError(String);

impl std::str::FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ShareError(format!("`{text}`"));
        let (number, divisor) = match text.trim().strip_suffix('%') {
            Some(percent) => (percent.trim(), 100.0),
            None => (text.trim(), 1.0),
        };
        let value = number.parse::<f64>().map_err(|_| error())? / divisor;
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(error()) }
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the noise of the last binary digits.
        write!(f, "{} %", (self.0 * 1e8).round() / 1e6)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_f64(self.0)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f64),
            Text(String),
        }
        match Written::deserialize(d)? {
            Written::Number(number) if (0.0..=1.0).contains(&number) => Ok(Self(number)),
            Written::Number(number) => Err(serde::de::Error::custom(ShareError(number.to_string()))),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl JsonSchema for Share {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["number", "string"],
            "minimum": 0,
            "maximum": 1,
            "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*%?\s*$",
            "description": "A fraction from 0 to 1, such as 0.05, or a percentage, such as 5%",
        })
    }
}
