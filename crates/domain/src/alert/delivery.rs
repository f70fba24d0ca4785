//! Messages on their way to channels, and when they are tried again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Notice;

/// A message that could not be delivered for so long is given up.
pub const GIVE_UP_AFTER: Duration = Duration::from_hours(24);
/// Pause after the first failed attempt; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    /// To be sent, or sent again.
    Pending,
    /// The channel took it.
    Delivered,
    /// Given up. It can be replayed.
    Dead,
}

names!(DeliveryStatus, "status of a delivery", Pending = "pending", Delivered = "delivered", Dead = "dead");

/// A message to a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Delivery {
    /// The id, which a webhook receives as `webhook-id`: the same with every attempt.
    pub id: String,
    /// The channel's name.
    pub channel: String,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// Attempts so far.
    pub attempt: u32,
    /// When it is tried next.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_attempt_at: Option<Timestamp>,
    /// When it was put together.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its status or attempt changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// When it is given up.
    #[schema(value_type = String, format = DateTime)]
    pub give_up_at: Timestamp,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// The message.
    pub notice: Notice,
}

/// When a message whose `attempt`-th attempt failed is tried again; none when it is given up. The pause doubles with each
/// attempt and is drawn between half and all of it by `random`, so that messages that failed together do not return
/// together. A receiver that asks for a longer pause gets it, up to an hour.
pub fn next_attempt(
    attempt: u32,
    asked: Option<Duration>,
    random: u64,
    now: Timestamp,
    give_up_at: Timestamp,
) -> Option<Timestamp> {
    let pause = FIRST_PAUSE.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(LONGEST_PAUSE);
    let share = 0.5 + 0.5 * ((random >> 11) as f64 / (1_u64 << 53) as f64);
    let pause = pause.mul_f64(share).max(asked.unwrap_or_default().min(LONGEST_PAUSE));
    let next = now.checked_add(SignedDuration::try_from(pause).ok()?).ok()?;
    (next < give_up_at).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_until_an_hour_and_end_after_a_day() {
        let now = Timestamp::UNIX_EPOCH;
        let give_up = Timestamp::from_second(24 * 3600).unwrap();
        let check = |attempt, asked, random, expected: Option<f64>| {
            let next = next_attempt(attempt, asked, random, now, give_up);
            assert_eq!(next.map(|at| at.duration_since(now).as_secs_f64()), expected, "{attempt}");
        };
        check(1, None, 0, Some(2.5));
        check(2, None, 0, Some(5.0));
        check(3, None, 0, Some(10.0));
        check(1000, None, 0, Some(1800.0));
        check(1, Some(Duration::from_mins(1)), 0, Some(60.0));
        check(1, Some(Duration::from_secs(1_000_000)), 0, Some(3600.0));
        assert!(next_attempt(5, None, u64::MAX, now, give_up).unwrap() <= Timestamp::from_second(80).unwrap());
        assert_eq!(next_attempt(1, None, 0, give_up, give_up), None);
    }

    #[test]
    fn a_day_has_some_thirty_attempts() {
        let give_up = Timestamp::from_second(24 * 3600).unwrap();
        let (mut at, mut attempt) = (Timestamp::UNIX_EPOCH, 1);
        while let Some(next) = next_attempt(attempt, None, u64::MAX / 2, at, give_up) {
            (at, attempt) = (next, attempt + 1);
        }
        assert!((25..50).contains(&attempt), "{attempt}");
    }
}
