//! Schedules: when something runs by itself, and what of it is due. Pure: the present time is an argument, and time zones are
//! those that the program brings along.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::duration::HumanDuration;

/// A firing that is noticed within this time is late; one that is noticed later was missed.
pub const GRACE: Duration = Duration::from_mins(1);
/// Shortest interval of a schedule.
pub const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// Most firings that one look at a schedule makes due: those of a minute of seconds.
const MOST_FIRINGS: usize = 64;

/// What happens when a schedule is due while what it started before still runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The firing is left out.
    #[default]
    Skip,
    /// It waits for its turn.
    Queue,
}

/// What happens to firings that nobody was there for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// They are left out.
    #[default]
    Skip,
    /// The last of them is made up for.
    RunOnce,
}

/// When a schedule fires.
#[derive(Debug, Clone)]
pub struct Timetable {
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Cron { cron: Box<Cron>, zone: TimeZone },
    Every { interval: SignedDuration, anchor: Timestamp },
}

/// A schedule that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// No cron expression.
    #[error("`{expression}` is no schedule: {reason}")]
    Cron {
        /// What was written.
        expression: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No such time zone.
    #[error("`{0}` is no time zone: write a name of the IANA database, such as Europe/Berlin or UTC")]
    Zone(String),
    /// Not an interval that can be kept.
    #[error("an interval of {} is too short: at least one second", HumanDuration(*.0))]
    Interval(Duration),
}

impl ScheduleError {
    /// What to write instead.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Cron { .. } => {
                "write five fields (minute, hour, day of month, month, day of week) such as `0 3 * * 1-5`, or @hourly, \
                 @daily, @weekly, @monthly, @yearly"
            }
            Self::Zone(_) => "the default is UTC",
            Self::Interval(_) => "such as 24h",
        }
    }
}

/// The fields of a cron expression.
const FIELDS: [&str; 5] = ["minute", "hour", "day of month", "month", "day of week"];

impl Timetable {
    /// By a cron expression: five fields, or a nickname such as `@daily`; in a time zone of the IANA database.
    ///
    /// Clocks that are put forward: what is set for a time that does not exist fires at the first moment behind the gap, and
    /// what fires at intervals goes on after it. Clocks that are put back: what is set for a time that comes twice
    /// fires the first time, and what fires at intervals fires in both.
    ///
    /// # Errors
    /// [`ScheduleError`] for an expression or a zone that cannot be read.
    pub fn cron(expression: &str, zone: &str) -> Result<Self, ScheduleError> {
        let wrong = |reason: String| ScheduleError::Cron { expression: expression.to_owned(), reason };
        let trimmed = expression.trim();
        if let Some(name) = trimmed.strip_prefix('@') {
            let known = ["hourly", "daily", "midnight", "weekly", "monthly", "yearly", "annually"];
            if !known.contains(&name) {
                return Err(wrong(format!("`@{name}` is not known")));
            }
        }
        let expanded = if trimmed == "@midnight" { "@daily" } else { trimmed };
        let fields = trimmed.split_whitespace().count();
        if !trimmed.starts_with('@') && fields != FIELDS.len() {
            return Err(wrong(format!("it has {fields} fields, and there are five")));
        }
        // What is missing between two commas would be taken for nothing.
        let is_broken = |field: &&str| field.split(',').any(str::is_empty);
        if let Some(at) = trimmed.split_whitespace().position(|field| is_broken(&field)) {
            return Err(wrong(format!("a value is missing beside a comma of the {}", FIELDS[at])));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(expanded).map_err(|error| wrong(reason(parser, expanded, &error.to_string())))?;
        let zone = find_zone(zone)?;
        let table = Self { kind: Kind::Cron { cron: Box::new(cron), zone } };
        // An expression such as `0 0 30 2 *` reads well and never comes.
        match table.next_after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(table),
            None => Err(wrong("there is no such day".to_owned())),
        }
    }

    /// At equal distances from a moment.
    ///
    /// # Errors
    /// [`ScheduleError::Interval`] for less than a second.
    pub fn every(interval: Duration, anchor: Timestamp) -> Result<Self, ScheduleError> {
        match SignedDuration::try_from(interval) {
            Ok(signed) if interval >= SHORTEST_INTERVAL => Ok(Self { kind: Kind::Every { interval: signed, anchor } }),
            _ => Err(ScheduleError::Interval(interval)),
        }
    }

    /// The first firing behind a moment.
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        match &self.kind {
            Kind::Cron { cron, zone } => {
                let from = moment.to_zoned(zone.clone());
                cron.find_next_occurrence(&from, false).ok().map(|next| next.timestamp())
            }
            Kind::Every { interval, anchor } => step(*anchor, *interval, moment, 1),
        }
    }

    /// The last firing at or before a moment.
    pub fn last_until(&self, moment: Timestamp) -> Option<Timestamp> {
        match &self.kind {
            Kind::Cron { cron, zone } => {
                let from = moment.to_zoned(zone.clone());
                cron.find_previous_occurrence(&from, true).ok().map(|last| last.timestamp())
            }
            Kind::Every { interval, anchor } => step(*anchor, *interval, moment, 0),
        }
    }

    /// The next firings, in order.
    pub fn preview(&self, moment: Timestamp, count: usize) -> Vec<Timestamp> {
        std::iter::successors(self.next_after(moment), |last| self.next_after(*last)).take(count).collect()
    }
}

/// What is wrong with an expression that cannot be read: the fields that cannot be read alone, where it is one of them.
fn reason(parser: CronParser, expression: &str, all: &str) -> String {
    let alone = |at: usize, field: &str| {
        let mut parts = ["*"; FIELDS.len()];
        parts[at] = field;
        parser.parse(&parts.join(" ")).is_err()
    };
    let fields = expression.split_whitespace().enumerate();
    let wrong =
        fields.filter(|(at, field)| alone(*at, field)).map(|(at, field)| format!("`{field}` is no {}", FIELDS[at]));
    let wrong: Vec<String> = wrong.collect();
    if wrong.is_empty() { all.to_owned() } else { wrong.join(", ") }
}

/// The firing `ahead` steps behind the last one at or before `moment`.
fn step(anchor: Timestamp, interval: SignedDuration, moment: Timestamp, ahead: i128) -> Option<Timestamp> {
    let passed = moment.duration_since(anchor).as_nanos();
    let steps = passed.div_euclid(interval.as_nanos()).checked_add(ahead)?;
    let nanos = anchor.as_nanosecond().checked_add(interval.as_nanos().checked_mul(steps)?)?;
    Timestamp::from_nanosecond(nanos).ok()
}

fn find_zone(name: &str) -> Result<TimeZone, ScheduleError> {
    if name.eq_ignore_ascii_case("utc") {
        return Ok(TimeZone::UTC);
    }
    TimeZoneDatabase::bundled().get(name).map_err(|_| ScheduleError::Zone(name.to_owned()))
}

/// What is to be done about a schedule at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Firings to make, oldest first.
    pub fire: Vec<Timestamp>,
    /// The last firing that is left out because nobody was there, where there is one.
    pub missed: Option<Timestamp>,
    /// When to look again.
    pub next: Option<Timestamp>,
}

/// Decides what of a schedule is due, where `next` is the firing that it waits for.
pub fn due(timetable: &Timetable, policy: Missed, next: Timestamp, now: Timestamp) -> Due {
    let mut found = Due { fire: Vec::new(), missed: None, next: Some(next) };
    if next > now {
        return found;
    }
    // Whatever lies further back was missed; it may be years of seconds, so only the last of it is looked up.
    let horizon = now.checked_sub(GRACE).unwrap_or(Timestamp::MIN);
    let mut at = Some(next);
    if next < horizon {
        let last = timetable.last_until(before(horizon)).filter(|last| *last >= next).unwrap_or(next);
        match policy {
            Missed::Skip => found.missed = Some(last),
            Missed::RunOnce => found.fire.push(last),
        }
        at = timetable.next_after(last);
    }
    while let Some(moment) = at.filter(|moment| *moment <= now && found.fire.len() < MOST_FIRINGS) {
        found.fire.push(moment);
        at = timetable.next_after(moment);
    }
    found.next = at;
    found
}

fn before(moment: Timestamp) -> Timestamp {
    moment.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(moment)
}

/// How much later than planned a firing is: a share of `jitter` that depends on the schedule and the firing alone, so that
/// every replica says the same, and schedules of the same time spread.
pub fn delay(jitter: Duration, schedule: &str, firing: Timestamp) -> Duration {
    let hash = crate::hash::ContentHash::of_bytes(format!("{schedule}@{firing}").as_bytes());
    let share = u32::from_str_radix(hash.as_str().get(..8).unwrap_or("0"), 16).unwrap_or(0);
    jitter.mul_f64(f64::from(share) / (f64::from(u32::MAX) + 1.0))
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_str(text).unwrap()
    }

    #[track_caller]
    fn check_next(expression: &str, zone: &str, from: &str, expected: &[&str]) {
        let table = Timetable::cron(expression, zone).unwrap();
        let zone = find_zone(zone).unwrap();
        let shown: Vec<String> = table
            .preview(at(from), expected.len())
            .into_iter()
            .map(|t| t.to_zoned(zone.clone()).strftime("%a %F %T %:z").to_string())
            .collect();
        assert_eq!(shown, expected);
        for moment in table.preview(at(from), expected.len()) {
            assert_eq!(table.last_until(moment), Some(moment));
        }
    }

    #[test]
    fn standard_expressions() {
        let from = "2026-02-27T10:00:00Z";
        check_next("0 3 * * *", "UTC", from, &["Sat 2026-02-28 03:00:00 +00:00", "Sun 2026-03-01 03:00:00 +00:00"]);
        check_next("@daily", "UTC", from, &["Sat 2026-02-28 00:00:00 +00:00", "Sun 2026-03-01 00:00:00 +00:00"]);
        check_next("@midnight", "UTC", from, &["Sat 2026-02-28 00:00:00 +00:00"]);
        check_next("@hourly", "UTC", from, &["Fri 2026-02-27 11:00:00 +00:00"]);
        check_next("@weekly", "UTC", from, &["Sun 2026-03-01 00:00:00 +00:00"]);
        check_next("@monthly", "UTC", from, &["Sun 2026-03-01 00:00:00 +00:00"]);
        check_next("@yearly", "UTC", from, &["Fri 2027-01-01 00:00:00 +00:00"]);
        check_next(
            "*/15 9-10 * * mon-fri",
            "UTC",
            from,
            &[
                "Fri 2026-02-27 10:15:00 +00:00",
                "Fri 2026-02-27 10:30:00 +00:00",
                "Fri 2026-02-27 10:45:00 +00:00",
                "Mon 2026-03-02 09:00:00 +00:00",
            ],
        );
        // Sunday is 0 and 7; with both days given, either one will do.
        check_next("0 0 * * 7", "UTC", from, &["Sun 2026-03-01 00:00:00 +00:00"]);
        check_next("0 0 28 * 1", "UTC", from, &["Sat 2026-02-28 00:00:00 +00:00", "Mon 2026-03-02 00:00:00 +00:00"]);
        check_next("0 0 29 2 *", "UTC", from, &["Tue 2028-02-29 00:00:00 +00:00"]);
        check_next("30 4 * * *", "Asia/Kathmandu", from, &["Sat 2026-02-28 04:30:00 +05:45"]);
    }

    #[test]
    fn hours_that_do_not_exist() {
        // In Berlin, 2026-03-29 has no time between 2:00 and 3:00.
        let from = "2026-03-28T12:00:00Z";
        check_next(
            "30 2 * * *",
            "Europe/Berlin",
            from,
            &["Sun 2026-03-29 03:00:00 +02:00", "Mon 2026-03-30 02:30:00 +02:00"],
        );
        check_next(
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-03-29T00:00:00Z",
            &["Sun 2026-03-29 01:30:00 +01:00", "Sun 2026-03-29 03:00:00 +02:00", "Sun 2026-03-29 03:30:00 +02:00"],
        );
        // Lord Howe Island moves by half an hour.
        check_next(
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            &["Sun 2026-10-04 02:30:00 +11:00", "Mon 2026-10-05 02:15:00 +11:00"],
        );
    }

    #[test]
    fn hours_that_come_twice() {
        // In New York, 2026-11-01 has the hour from 1:00 twice.
        check_next(
            "30 1 * * *",
            "America/New_York",
            "2026-10-31T12:00:00Z",
            &["Sun 2026-11-01 01:30:00 -04:00", "Mon 2026-11-02 01:30:00 -05:00"],
        );
        check_next(
            "*/30 * * * *",
            "America/New_York",
            "2026-11-01T04:45:00Z",
            &[
                "Sun 2026-11-01 01:00:00 -04:00",
                "Sun 2026-11-01 01:30:00 -04:00",
                "Sun 2026-11-01 01:00:00 -05:00",
                "Sun 2026-11-01 01:30:00 -05:00",
                "Sun 2026-11-01 02:00:00 -05:00",
            ],
        );
    }

    #[test]
    fn what_is_no_schedule() {
        for wrong in [
            "",
            " ",
            "* * * *",
            "61 * * * *",
            "* 24 * * *",
            "0 0 32 * *",
            "@never",
            "@reboot",
            "daily",
            "0 0 30 2 *",
            "* * * * * *",
            "*/5 * * * * *",
            "* * * * * * *",
            "1,2,,3 * * * *",
            "0 3 * * ,",
            "a b c d e",
            "*/0 * * * *",
            "💥",
            "0 0 * * 8",
        ] {
            let error = Timetable::cron(wrong, "UTC").expect_err(wrong);
            assert!(matches!(error, ScheduleError::Cron { .. }), "{wrong}");
        }
        let check = |wrong: &str, reason: &str| {
            let error = Timetable::cron(wrong, "UTC").unwrap_err().to_string();
            assert_eq!(error, format!("`{wrong}` is no schedule: {reason}"));
        };
        check("", "it has 0 fields, and there are five");
        check("* * * * * *", "it has 6 fields, and there are five");
        check("61 * 32 * *", "`61` is no minute, `32` is no day of month");
        check("0 0 * * monn", "`monn` is no day of week");
        check("1,,3 * * * *", "a value is missing beside a comma of the minute");
        let short = Timetable::every(Duration::ZERO, Timestamp::UNIX_EPOCH).unwrap_err().to_string();
        assert_eq!(short, "an interval of 0ms is too short: at least one second");
        assert!(matches!(Timetable::cron("@daily", "Mars/Olympus"), Err(ScheduleError::Zone(_))));
        assert!(Timetable::every(Duration::from_millis(999), Timestamp::UNIX_EPOCH).is_err());
        assert!(Timetable::every(Duration::MAX, Timestamp::UNIX_EPOCH).is_err());
    }

    #[test]
    fn equal_distances() {
        let table = Timetable::every(Duration::from_hours(24), at("2026-01-01T10:30:00Z")).unwrap();
        assert_eq!(table.next_after(at("2026-03-01T10:29:59Z")), Some(at("2026-03-01T10:30:00Z")));
        assert_eq!(table.next_after(at("2026-03-01T10:30:00Z")), Some(at("2026-03-02T10:30:00Z")));
        assert_eq!(table.last_until(at("2026-03-01T10:30:00Z")), Some(at("2026-03-01T10:30:00Z")));
        assert_eq!(table.next_after(at("2025-12-25T00:00:00Z")), Some(at("2025-12-25T10:30:00Z")));
        assert_eq!(table.next_after(Timestamp::MAX), None);
    }

    #[track_caller]
    #[expect(clippy::too_many_arguments, reason = "one row of a table of expectations")]
    fn check_due(policy: Missed, next: &str, now: &str, fire: &[&str], missed: Option<&str>, then: &str) {
        let table = Timetable::cron("*/10 * * * *", "UTC").unwrap();
        let time = |t: &str| at(&format!("2026-01-01T{t}Z"));
        let expected =
            Due { fire: fire.iter().map(|t| time(t)).collect(), missed: missed.map(time), next: Some(time(then)) };
        assert_eq!(due(&table, policy, time(next), time(now)), expected);
    }

    #[test]
    fn what_is_due() {
        use Missed::{RunOnce, Skip};
        check_due(Skip, "10:00:00", "09:59:59", &[], None, "10:00:00");
        check_due(Skip, "10:00:00", "10:00:00", &["10:00:00"], None, "10:10:00");
        check_due(Skip, "10:00:00", "10:01:00", &["10:00:00"], None, "10:10:00");
        // Nobody was there.
        check_due(Skip, "10:00:00", "10:01:01", &[], Some("10:00:00"), "10:10:00");
        check_due(Skip, "10:00:00", "10:35:00", &[], Some("10:30:00"), "10:40:00");
        check_due(RunOnce, "10:00:00", "10:35:00", &["10:30:00"], None, "10:40:00");
        // The last one is late, those before were missed.
        check_due(Skip, "10:00:00", "10:30:30", &["10:30:00"], Some("10:20:00"), "10:40:00");
        check_due(RunOnce, "10:00:00", "10:30:30", &["10:20:00", "10:30:00"], None, "10:40:00");
    }

    #[test]
    fn years_of_seconds_are_no_work() {
        let table = Timetable::every(Duration::from_secs(1), Timestamp::UNIX_EPOCH).unwrap();
        let found = due(&table, Missed::RunOnce, at("2000-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"));
        assert_eq!(found.fire.len(), 62);
        assert_eq!(found.next, Some(at("2026-01-01T00:00:01Z")));
    }

    #[test]
    fn delays_spread_and_never_change() {
        let jitter = Duration::from_secs(100);
        let delays: Vec<Duration> =
            (0..50).map(|i| delay(jitter, &format!("s{i}"), at("2026-01-01T00:00:00Z"))).collect();
        assert_eq!(delays[0], delay(jitter, "s0", at("2026-01-01T00:00:00Z")));
        assert!(delays.iter().all(|d| *d < jitter));
        assert!(delays.iter().any(|d| *d < jitter / 4) && delays.iter().any(|d| *d > jitter / 4 * 3));
        assert_eq!(delay(Duration::ZERO, "s", Timestamp::UNIX_EPOCH), Duration::ZERO);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}", zone in "\\PC{0,20}") {
            let _ = Timetable::cron(&text, &zone);
        }

        #[test]
        fn firings_are_in_order_and_behind_the_moment(
            seconds in 0_i64..4_000_000_000,
            minute in 0_u8..60,
            hour in 0_u8..24,
            zone in proptest::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]),
        ) {
            let table = Timetable::cron(&format!("{minute} {hour} * * *"), zone).unwrap();
            let from = Timestamp::from_second(seconds).unwrap();
            let next = table.preview(from, 4);
            proptest::prop_assert!(next.windows(2).all(|pair| pair[0] < pair[1]));
            proptest::prop_assert!(next[0] > from);
            // Never two on one day, and never more than two days apart (Apia once skipped a day).
            proptest::prop_assert!(next.windows(2).all(|pair| pair[1].duration_since(pair[0]).as_hours() <= 49));
        }
    }
}
