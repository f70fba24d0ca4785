//! Whether channels are told of an alert.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Alert, AlertDraft, Severity, Silence};

/// What is known when an alert comes.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The open alert of the same cause.
    pub open: Option<&'a Alert>,
    /// When channels were last told of the same topic, and how severe it was then.
    pub told: Option<(Timestamp, Severity)>,
    /// All silences.
    pub silences: &'a [Silence],
    /// Least time between two notifications of one topic.
    pub cooldown: Duration,
}

/// Whether channels are told, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Telling {
    /// They are.
    Told,
    /// A silence covers it.
    Silenced,
    /// A person knows of it already.
    Acknowledged,
    /// They were told of the same thing a short time ago.
    Cooldown,
}

/// Decides whether channels are told. What becomes more severe breaks through acknowledgement and cooldown, not through
/// silence.
pub fn decide(draft: &AlertDraft, known: &Known<'_>, now: Timestamp) -> Telling {
    if known.silences.iter().any(|silence| silence.covers(draft, now)) {
        return Telling::Silenced;
    }
    if known.open.is_some_and(|open| open.acked_at.is_some() && draft.severity <= open.severity) {
        return Telling::Acknowledged;
    }
    let cooldown = SignedDuration::try_from(known.cooldown).unwrap_or(SignedDuration::MAX);
    match known.told {
        Some((at, severity)) if draft.severity <= severity && now.duration_since(at) < cooldown => Telling::Cooldown,
        _ => Telling::Told,
    }
}

/// Until when what is told of an alert is held back: to the end of the silences that cover it, or of the cooldown where channels
/// were told of another alert of its topic and never of this one.
pub fn held_until(alert: &Alert, draft: &AlertDraft, known: &Known<'_>, now: Timestamp) -> Option<Timestamp> {
    match decide(draft, known, now) {
        Telling::Silenced => {
            known.silences.iter().filter(|silence| silence.covers(draft, now)).map(|silence| silence.ends_at).max()
        }
        Telling::Cooldown if alert.notified_at.is_none() => {
            let cooldown = SignedDuration::try_from(known.cooldown).unwrap_or(SignedDuration::MAX);
            known.told.map(|(at, _)| at.checked_add(cooldown).unwrap_or(Timestamp::MAX))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{AlertType, Matcher};

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    #[test]
    fn what_is_silenced_is_held_back_to_the_end() {
        let draft = AlertDraft::new(AlertType::Threshold, Severity::Warning, "test", "low");
        let silence = |ends: i64| Silence {
            id: ends.to_string(),
            matcher: Matcher::default(),
            starts_at: at(0),
            ends_at: at(ends),
            comment: String::new(),
            created_at: at(0),
        };
        let check = |silences: &[i64], told: Option<i64>, was_told: bool, expected: Option<i64>| {
            let silences: Vec<Silence> = silences.iter().map(|ends| silence(*ends)).collect();
            let mut alert = draft.clone().into_alert("alert_1".into(), at(0));
            alert.notified_at = was_told.then(|| at(0));
            let told = told.map(|told| (at(told), Severity::Warning));
            let known = Known { open: Some(&alert), told, silences: &silences, cooldown: Duration::from_hours(1) };
            assert_eq!(held_until(&alert, &draft, &known, at(100)), expected.map(at), "{silences:?} {told:?}");
        };
        check(&[], None, false, None);
        check(&[99], None, false, None);
        check(&[110, 130, 120], None, false, Some(130));
        check(&[], Some(70), false, Some(130));
        check(&[], Some(70), true, None);
        check(&[], Some(30), false, None);
    }

    #[test]
    fn tells_once_in_a_cooldown_unless_it_gets_worse() {
        use Severity::{Critical, Info, Warning};
        // Severity now, then: minutes since channels were told and of what; whether it is acknowledged, silenced.
        let check =
            |now: Severity, told: Option<(i64, Severity)>, acked: Option<Severity>, silenced: bool, expected| {
                let draft = |severity| AlertDraft::new(AlertType::Regression, severity, "evaluation", "worse");
                let open = acked.map(|severity| Alert {
                    acked_at: Some(at(0)),
                    ..draft(severity).into_alert("alert_1".into(), at(0))
                });
                let silence = Silence {
                    id: "s".to_owned(),
                    matcher: Matcher::default(),
                    starts_at: at(-10),
                    ends_at: at(if silenced { 1000 } else { 0 }),
                    comment: String::new(),
                    created_at: at(-10),
                };
                let known = Known {
                    open: open.as_ref(),
                    told: told.map(|(ago, severity)| (at(100 - ago), severity)),
                    silences: &[silence],
                    cooldown: Duration::from_hours(1),
                };
                assert_eq!(decide(&draft(now), &known, at(100)), expected, "{now} {told:?} {acked:?} {silenced}");
            };
        check(Critical, None, None, false, Telling::Told);
        check(Critical, Some((59, Critical)), None, false, Telling::Cooldown);
        check(Critical, Some((60, Critical)), None, false, Telling::Told);
        check(Critical, Some((1, Warning)), None, false, Telling::Told);
        check(Info, Some((1, Warning)), None, false, Telling::Cooldown);
        check(Warning, Some((90, Warning)), Some(Warning), false, Telling::Acknowledged);
        check(Critical, Some((90, Warning)), Some(Warning), false, Telling::Told);
        check(Critical, None, None, true, Telling::Silenced);
    }
}
