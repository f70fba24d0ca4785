//! Rate limits and budgets: how many requests, tokens and dollars may be spent in a minute, a day and a month.
//!
//! Windows are those of the clock (UTC): a minute begins at its full second 0, a month on its first day. What is left of a
//! limit is a pure function of what was spent and when ([`Window::at`]), so that all replicas agree on it.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::ProjectId;

/// Most that may be spent. Absent means: no limit. Whoever spends is a key, or a deployment with all of its callers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub requests_per_minute: Option<u64>,
    /// Requests in a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub requests_per_day: Option<u64>,
    /// Tokens, read and written, in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens_per_minute: Option<u64>,
    /// Tokens in a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens_per_day: Option<u64>,
    /// USD in a minute, by the price table. Models without a price cost nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_per_minute: Option<f64>,
    /// USD in a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_per_day: Option<f64>,
    /// USD in a calendar month: the budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_per_month: Option<f64>,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Spending {
    /// Requests, counted when they come.
    Requests,
    /// Tokens, counted when the answer is there.
    Tokens,
    /// Millionths of a USD, counted when the answer is there.
    Cost,
}

/// How long it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Window {
    /// A minute of the clock.
    Minute,
    /// A day, UTC.
    Day,
    /// A calendar month, UTC.
    Month,
}

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What is counted.
    pub spending: Spending,
    /// How long.
    pub window: Window,
    /// The most, in requests, tokens or millionths of a USD.
    pub most: u64,
}

/// One window of one limit, as what is spent in it is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Account {
    /// Whose it is.
    pub project: ProjectId,
    /// Who spends: `key/ID` or `deployment/NAME@ENVIRONMENT`.
    pub spender: String,
    /// What is counted and how long, such as `tokens/day`.
    pub what: String,
    /// When the window began, in seconds since 1970.
    pub start: i64,
    /// When it ends.
    pub end: i64,
}

/// What a replica asks of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// What it wants to spend: it is granted up to this.
    pub want: u64,
    /// What it spent beyond what it was granted: it is added whatever is left.
    pub owed: u64,
    /// The most that may be spent in the window.
    pub most: u64,
    /// What was spent in the window before the account was made: it begins with that. Absent where nobody has looked.
    pub before: Option<u64>,
}

/// A limit that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct InvalidLimit {
    /// Which.
    pub field: &'static str,
    /// What is wrong and what was expected.
    pub message: String,
}

/// Largest cost: a billion USD.
const MOST_COST: f64 = 1e9;
const SECOND: i64 = 1;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;

impl Limits {
    /// Whether there is no limit at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All that are set.
    ///
    /// # Errors
    /// A limit of 0, or a cost that is no positive number of at most a billion.
    ///
    /// ```
    /// use llmops_domain::limits::{Limit, Limits, Spending, Window};
    ///
    /// let limits = Limits { cost_per_day: Some(0.5), ..Limits::default() };
    /// let day = Limit { spending: Spending::Cost, window: Window::Day, most: 500_000 };
    /// assert_eq!(limits.all(), Ok(vec![day]));
    /// ```
    pub fn all(&self) -> Result<Vec<Limit>, InvalidLimit> {
        let counts = [
            ("requests_per_minute", Spending::Requests, Window::Minute, self.requests_per_minute),
            ("requests_per_day", Spending::Requests, Window::Day, self.requests_per_day),
            ("tokens_per_minute", Spending::Tokens, Window::Minute, self.tokens_per_minute),
            ("tokens_per_day", Spending::Tokens, Window::Day, self.tokens_per_day),
        ];
        let costs = [
            ("cost_per_minute", Window::Minute, self.cost_per_minute),
            ("cost_per_day", Window::Day, self.cost_per_day),
            ("cost_per_month", Window::Month, self.cost_per_month),
        ];
        let mut all = Vec::new();
        for (field, spending, window, most) in counts {
            match most {
                Some(0) => return Err(InvalidLimit { field, message: "it is 0: expected 1 or more".to_owned() }),
                Some(most) => all.push(Limit { spending, window, most }),
                None => {}
            }
        }
        for (field, window, most) in costs {
            let Some(usd) = most else { continue };
            if !(usd > 0.0 && usd <= MOST_COST) {
                let message = format!("it is {usd}: expected USD, more than 0 and at most a billion");
                return Err(InvalidLimit { field, message });
            }
            all.push(Limit { spending: Spending::Cost, window, most: millionths(usd) });
        }
        Ok(all)
    }
}

/// USD in millionths, at least one where there is anything.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
fn millionths(usd: f64) -> u64 {
    (usd.clamp(0.0, MOST_COST) * 1e6).ceil() as u64
}

/// What a call cost, from USD to billionths: calls of small models cost less than a millionth. At least one where anything
/// was spent.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
pub fn billionths(usd: f64) -> u64 {
    let billionths = (usd.clamp(0.0, MOST_COST) * 1e9).round() as u64;
    billionths.max(u64::from(usd > 0.0))
}

impl Spending {
    /// Its name, as in the names of the limits.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Cost => "cost",
        }
    }
}

impl Window {
    /// Its name, as in the names of the limits.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The window that a time lies in: when it began and when it ends, in seconds since 1970.
    pub fn at(self, now: Timestamp) -> (i64, i64) {
        let second = now.as_second();
        let fixed = |length: i64| {
            let start = second.div_euclid(length) * length;
            (start, start + length)
        };
        match self {
            Self::Minute => fixed(MINUTE),
            Self::Day => fixed(DAY),
            Self::Month => {
                let first = now.to_zoned(TimeZone::UTC).date().first_of_month();
                let next = first.last_of_month().tomorrow().unwrap_or(first);
                (midnight(first), midnight(next))
            }
        }
    }
}

/// The first second of a day, UTC.
fn midnight(date: Date) -> i64 {
    date.to_zoned(TimeZone::UTC).map_or(i64::MAX, |zoned| zoned.timestamp().as_second())
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.spending {
            Spending::Cost => write!(f, "{} USD in a {}", self.most as f64 / 1e6, self.window.as_str()),
            other => write!(f, "{} {} in a {}", self.most, other.as_str(), self.window.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(window: Window, now: &str, start: &str, end: &str) {
        let second = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
        assert_eq!(window.at(now.parse().unwrap()), (second(start), second(end)), "{window:?} {now}");
    }

    #[test]
    fn windows_are_those_of_the_clock() {
        check(Window::Minute, "2026-11-26T10:20:59.999Z", "2026-11-26T10:20:00Z", "2026-11-26T10:21:00Z");
        check(Window::Minute, "1969-12-31T23:59:30Z", "1969-12-31T23:59:00Z", "1970-01-01T00:00:00Z");
        check(Window::Day, "2026-11-26T00:00:00Z", "2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z");
        check(Window::Month, "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
        check(Window::Month, "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z");
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (limits, field) in [
            (Limits { requests_per_minute: Some(0), ..Limits::default() }, "requests_per_minute"),
            (Limits { cost_per_day: Some(0.0), ..Limits::default() }, "cost_per_day"),
            (Limits { cost_per_month: Some(f64::NAN), ..Limits::default() }, "cost_per_month"),
            (Limits { cost_per_minute: Some(f64::INFINITY), ..Limits::default() }, "cost_per_minute"),
        ] {
            assert_eq!(limits.all().unwrap_err().field, field);
        }
        assert_eq!(Limits::default().all(), Ok(Vec::new()));
    }

    #[test]
    fn limits_read_as_people_say_them() {
        let limits = Limits { tokens_per_day: Some(1000), cost_per_month: Some(12.5), ..Limits::default() };
        let texts: Vec<String> = limits.all().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["1000 tokens in a day", "12.5 USD in a month"]);
        assert_eq!((millionths(0.000_000_1), millionths(0.0)), (1, 0));
        assert_eq!([1.5e-7, 0.012, 1e-12, 0.0, -1.0, f64::NAN].map(billionths), [150, 12_000_000, 1, 0, 0, 0]);
    }
}
