//! Moments as people type them.

use jiff::{SignedDuration, Timestamp};
use llmops_domain::config::duration::HumanDuration;
use llmops_domain::experiment::observation::read_time;

/// A moment of the past, for options such as `--since`: how long ago (`1h`, `7d`), a date or a time of UTC (`2026-01-31`,
/// `2026-01-31T09:30`), or a time with its zone (RFC 3339).
///
/// # Errors
/// With what is expected.
pub(crate) fn past(text: &str) -> Result<Timestamp, String> {
    read(text, "how long ago, such as 1h or 7d", |length| llmops_domain::clock::now().checked_sub(length))
}

/// A moment to come, for options such as `--expires`: as [`past`], and a length counts from now on.
///
/// # Errors
/// With what is expected.
pub(crate) fn to_come(text: &str) -> Result<Timestamp, String> {
    read(text, "in how long, such as 12h or 90d", |length| llmops_domain::clock::now().checked_add(length))
}

fn read(
    text: &str,
    lengths: &str,
    from_now: impl FnOnce(SignedDuration) -> Result<Timestamp, jiff::Error>,
) -> Result<Timestamp, String> {
    let length = text.parse::<HumanDuration>().ok().and_then(|length| SignedDuration::try_from(length.0).ok());
    let found = length.map_or_else(|| read_time(text).ok(), |length| from_now(length).ok());
    found
        .ok_or_else(|| format!("expected {lengths}, a date such as 2027-01-31, or a time such as 2027-01-31T15:04:05Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_lengths_dates_and_times() {
        let now: Timestamp = "2026-02-01T12:00:00Z".parse().unwrap();
        let check = |text: &str, expected: Option<&str>| {
            let found = read(text, "a length", |length| now.checked_sub(length)).ok().map(|time| time.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("1h", Some("2026-02-01T11:00:00Z"));
        check(" 1.5d ", Some("2026-01-31T00:00:00Z"));
        check("2026-01-31", Some("2026-01-31T00:00:00Z"));
        check("2026-01-31T09:30", Some("2026-01-31T09:30:00Z"));
        check("2026-01-31 09:30:15", Some("2026-01-31T09:30:15Z"));
        check("2026-01-31T09:30:00+01:00", Some("2026-01-31T08:30:00Z"));
        for wrong in ["", "yesterday", "1", "-1h", "2026-02-30", "1 fortnight"] {
            check(wrong, None);
        }
    }
}
