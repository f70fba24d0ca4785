//! Observations: one value of one metric of one unit.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Largest size of a value.
const LARGEST: f64 = 1e75;
/// Longest id of a unit, name or key, in bytes.
pub const MAX_NAME: usize = 1024;

/// One value of one metric.
///
/// A unit's observations are one cluster: the unit counts once, however often it was observed. Without `unit`, the
/// observation is a unit of its own. Without `variant`, it is the one that the unit is assigned to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// The unit: the user, session or whatever the experiment assigns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Id or name of the variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The metric.
    pub metric: String,
    /// The value; a finite number, `true` is 1 and `false` 0.
    #[serde(deserialize_with = "number")]
    pub value: f64,
    /// When it was observed; when it arrives, if absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The same key, unit and metric again is the same observation. Without it, the same unit, metric, `at` and value is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// What is wrong with an observation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct ObservationProblem {
    /// The field.
    pub field: &'static str,
    /// What is wrong and what was expected.
    pub message: String,
}

impl ObservationProblem {
    /// A problem with a field.
    pub fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self { field, message: message.into() }
    }
}

impl Observation {
    /// Everything that is wrong with its own fields.
    pub fn problems(&self) -> Vec<ObservationProblem> {
        let texts = [
            ("unit", self.unit.as_deref()),
            ("variant", self.variant.as_deref()),
            ("metric", Some(self.metric.as_str())),
            ("idempotency_key", self.idempotency_key.as_deref()),
        ];
        let mut problems: Vec<_> = texts
            .into_iter()
            .filter_map(|(field, text)| Some(ObservationProblem::new(field, name_problem(text?)?)))
            .collect();
        problems.extend(value_problem(self.value).map(|message| ObservationProblem::new("value", message)));
        if self.unit.is_none() && self.variant.is_none() {
            problems.push(ObservationProblem::new(
                "variant",
                "missing: expected a variant, or the unit that is assigned to one",
            ));
        }
        problems
    }
}

fn name_problem(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("it is empty".to_owned());
    }
    if text.len() > MAX_NAME {
        return Some(format!("it has {} bytes: expected at most {MAX_NAME}", text.len()));
    }
    text.contains('\0').then(|| "it contains a NUL character: remove it".to_owned())
}

fn value_problem(value: f64) -> Option<String> {
    if !value.is_finite() {
        return Some(format!("{value} is no number to calculate with: expected a finite one"));
    }
    (value.abs() > LARGEST).then(|| format!("{value:e} is too large: expected at most {LARGEST:e} in size"))
}

/// Reads a value as a table writes it.
///
/// # Errors
/// With what was expected.
pub fn read_value(text: &str) -> Result<f64, String> {
    match text.trim() {
        "" => Err("it is empty: expected a number".to_owned()),
        "true" | "True" | "TRUE" => Ok(1.0),
        "false" | "False" | "FALSE" => Ok(0.0),
        text => {
            let value = text.parse::<f64>().map_err(|_| format!("`{text}` is no number"))?;
            value_problem(value).map_or(Ok(value), Err)
        }
    }
}

/// Reads a time: RFC 3339, or a date with or without a time of day in UTC.
///
/// # Errors
/// With what was expected.
pub fn read_time(text: &str) -> Result<Timestamp, String> {
    let text = text.trim();
    let civil = || {
        let time =
            text.parse::<DateTime>().or_else(|e| text.parse::<Date>().map(|date| date.at(0, 0, 0, 0)).map_err(|_| e));
        time.and_then(|time| TimeZone::UTC.to_timestamp(time))
    };
    text.parse::<Timestamp>().or_else(|_| civil()).map_err(|_| {
        format!("`{text}` is no time: expected RFC 3339 such as 2026-11-26T15:04:05Z, or a date such as 2026-11-26")
    })
}

fn number<'de, D: serde::Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    struct Number;

    impl serde::de::Visitor<'_> for Number {
        type Value = f64;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a number, true or false")
        }

        fn visit_f64<E>(self, value: f64) -> Result<f64, E> {
            Ok(value)
        }

        fn visit_i64<E>(self, value: i64) -> Result<f64, E> {
            Ok(value as f64)
        }

        fn visit_u64<E>(self, value: u64) -> Result<f64, E> {
            Ok(value as f64)
        }

        fn visit_bool<E>(self, value: bool) -> Result<f64, E> {
            Ok(f64::from(u8::from(value)))
        }
    }

    d.deserialize_any(Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let check = |text: &str, expected: Result<f64, &str>| {
            assert_eq!(read_value(text), expected.map_err(str::to_owned), "{text}");
        };
        check("0.5", Ok(0.5));
        check(" -3e2 ", Ok(-300.0));
        check("True", Ok(1.0));
        check("nan", Err("NaN is no number to calculate with: expected a finite one"));
        check("-inf", Err("-inf is no number to calculate with: expected a finite one"));
        check("1e80", Err("1e80 is too large: expected at most 1e75 in size"));
        check("0,5", Err("`0,5` is no number"));
        check("", Err("it is empty: expected a number"));
    }

    #[test]
    fn times() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(read_time(text).ok().map(|t| t.to_string()).as_deref(), expected, "{text}");
        };
        check("2026-11-26T15:04:05Z", Some("2026-11-26T15:04:05Z"));
        check("2026-11-26T15:04:05+02:00", Some("2026-11-26T13:04:05Z"));
        check("2026-11-26 15:04:05", Some("2026-11-26T15:04:05Z"));
        check("2026-11-26", Some("2026-11-26T00:00:00Z"));
        check("yesterday", None);
        check("2026-13-01", None);
    }

    #[test]
    fn json() {
        let read = |text: &str| serde_json::from_str::<Observation>(text).map_err(|e| e.to_string());
        assert_eq!(read(r#"{"unit": "u", "metric": "m", "value": true}"#).unwrap().value, 1.0);
        assert!(read(r#"{"unit": "u", "metric": "m", "value": "1"}"#).unwrap_err().contains("a number, true or false"));
        assert!(read(r#"{"unit": "u", "metric": "m", "value": 1, "vlaue": 2}"#).unwrap_err().contains("unknown field"));
        let problems = |text: &str| read(text).unwrap().problems().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            problems(r#"{"metric": "", "value": 1e80}"#),
            [
                "metric: it is empty",
                "value: 1e80 is too large: expected at most 1e75 in size",
                "variant: missing: expected a variant, or the unit that is assigned to one",
            ]
        );
    }
}
