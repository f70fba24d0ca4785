//! Schedules: the list, one with its firings, the times to come.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use llmops_api::schedules::{Firing, FiringStatus, Preview, Schedule, ScheduleSpec};
use llmops_domain::schedule::{Missed, Overlap};

use super::{Cell, Column, Look, Tone, pairs, table};

/// A table of schedules.
pub(crate) fn schedules(look: Look, schedules: &[Schedule]) -> String {
    const COLUMNS: [Column; 5] = [
        Column::id("schedule"),
        Column::text("when"),
        Column::text("next (UTC)"),
        Column::text("last"),
        Column::text("runs"),
    ];
    if schedules.is_empty() {
        return "There is no schedule yet. `llmops schedule add NAME --cron '0 3 * * *'` makes one.".to_owned();
    }
    let row = |schedule: &Schedule| {
        vec![
            Cell::toned(Tone::Strong, &schedule.spec.name),
            when(&schedule.spec).into(),
            schedule.next_at.map_or_else(|| Cell::toned(Tone::Faint, "paused"), |next| shown(next).into()),
            schedule.last.as_ref().map_or_else(|| Cell::toned(Tone::Faint, "never"), outcome),
            schedule.spec.work().into(),
        ]
    };
    table(look, &COLUMNS, schedules.iter().map(row).collect())
}

/// One schedule and what came of it.
pub(crate) fn schedule(look: Look, schedule: &Schedule, firings: &[Firing]) -> String {
    const COLUMNS: [Column; 4] =
        [Column::text("for (UTC)"), Column::text("what came of it"), Column::id("run"), Column::text("why")];
    let spec = &schedule.spec;
    let overlap = match spec.overlap {
        Overlap::Skip => "skip, when the run before is not over",
        Overlap::Queue => "queue, when the run before is not over",
    };
    let missed = match spec.missed {
        Missed::Skip => "skip, when nobody was there",
        Missed::RunOnce => "run once, when nobody was there",
    };
    let mut facts = vec![
        ("schedule", spec.name.clone()),
        ("when", when(spec)),
        ("next", schedule.next_at.map_or_else(|| "paused".to_owned(), |next| format!("{} UTC", shown(next)))),
        ("runs", spec.work()),
        ("overlap", overlap.to_owned()),
        ("missed", missed.to_owned()),
    ];
    if !spec.jitter.0.is_zero() {
        facts.push(("jitter", format!("up to {}", spec.jitter)));
    }
    let mut out = pairs(look, facts);
    if !firings.is_empty() {
        let row = |firing: &Firing| {
            vec![
                shown(firing.fire_at).into(),
                outcome(firing),
                firing.run.as_ref().map_or("", |run| run.as_str()).into(),
                firing.note.as_deref().unwrap_or_default().into(),
            ]
        };
        let _ = write!(out, "\n{}", table(look, &COLUMNS, firings.iter().map(row).collect()));
    }
    out
}

/// The times to come, a line each, in the schedule's zone and in UTC where they differ.
pub(crate) fn preview(preview: &Preview) -> String {
    let zone = TimeZoneDatabase::bundled().get(&preview.timezone).unwrap_or(TimeZone::UTC);
    let mut out = String::new();
    for firing in &preview.firings {
        let local = firing.to_zoned(zone.clone());
        let _ = write!(out, "{}", local.strftime("%a %Y-%m-%d %H:%M:%S %:z"));
        if !local.offset().is_zero() {
            let _ = write!(out, "  ({} UTC)", shown(*firing));
        }
        out.push('\n');
    }
    out
}

fn when(spec: &ScheduleSpec) -> String {
    match (&spec.cron, spec.every) {
        (Some(cron), _) => format!("{cron} {}", spec.timezone),
        (None, Some(every)) => format!("every {every}"),
        (None, None) => String::new(),
    }
}

fn outcome(firing: &Firing) -> Cell {
    let tone = match firing.status {
        FiringStatus::Started => Tone::Good,
        FiringStatus::Failed => Tone::Bad,
        FiringStatus::Due | FiringStatus::Skipped | FiringStatus::Missed => Tone::Plain,
    };
    Cell::toned(tone, firing.status.as_str())
}

fn shown(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
