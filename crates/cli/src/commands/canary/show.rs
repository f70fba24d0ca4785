//! Canaries on the terminal.

use std::fmt::Write as _;

use llmops_api::canaries::{CanaryReport, StartedCanary};
use llmops_domain::canary::{
    Canary, CanaryState, CheckStatus, Conclusion, Decision, Evidence, LoggedDecision, PairVerdict, ShadowPair,
};

use crate::commands::Context;
use crate::terminal::{self, Cell, Column, Tone};

/// What was started.
pub(super) fn started(started: &StartedCanary) -> String {
    let canary = &started.canary;
    let dry = if canary.dry_run { " (dry run)" } else { "" };
    let mut text = format!(
        "{}{dry}: {} ({}) answers {} of the requests of {} again, unseen, beside {} ({})",
        canary.id,
        canary.candidate.short(),
        canary.candidate_model,
        canary.policy.share,
        canary.place(),
        canary.production.short(),
        canary.production_model
    );
    if canary.state == CanaryState::Draft {
        let _ = write!(text, ", once `llmops canary begin {}` starts it", canary.deployment);
    }
    for notice in &started.notices {
        let _ = write!(text, "\nnote: {notice}");
    }
    let _ = write!(text, "\n`llmops canary status {}` shows how it stands", canary.deployment);
    text
}

/// Where a canary stands after a step.
pub(super) fn changed(canary: &Canary) -> String {
    let why = canary.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
    let mut text = format!("the canary of {} is {}{why}", canary.place(), state(canary));
    if let Some(losses) = losses(canary) {
        let _ = write!(text, "\n{losses}");
    }
    text
}

/// Where the questions are that a candidate answered worse, once its canary is over.
fn losses(canary: &Canary) -> Option<String> {
    let dataset = canary.policy.losses_into(&canary.deployment).filter(|_| canary.state.is_final())?;
    Some(format!("what it lost, if anything, is in a dataset: llmops eval --dataset {dataset} asks it again"))
}

fn state(canary: &Canary) -> String {
    match &canary.state {
        CanaryState::Exposing { stage } => {
            let share = canary.policy.exposures().get(*stage).map(ToString::to_string).unwrap_or_default();
            format!("exposed to {share} of the users (stage {})", stage + 1)
        }
        CanaryState::Paused { stage: Some(stage) } => format!("paused at stage {}", stage + 1),
        CanaryState::AwaitingApproval => "waiting for an approval".to_owned(),
        CanaryState::Aborted { cause } => format!("aborted: {}", cause.describe()),
        CanaryState::Concluded => "over: it would have been promoted (dry run)".to_owned(),
        other => other.as_str().to_owned(),
    }
}

/// How a canary stands.
pub(super) fn report(context: &Context, report: &CanaryReport) -> String {
    let (canary, look) = (&report.canary, context.ui.out);
    let evidence = &report.evidence;
    let budget = &canary.policy.budget;
    let mut facts = vec![
        ("canary", format!("{}{}", canary.id, if canary.dry_run { " (dry run)" } else { "" })),
        ("deployment", canary.place()),
        ("candidate", format!("{} {}", canary.candidate.short(), canary.candidate_model)),
        ("production", format!("{} {}", canary.production.short(), canary.production_model)),
        ("state", state(canary)),
        ("under way", span(report.situation.elapsed_seconds)),
        ("pairs", counts(evidence, report.waiting)),
        (
            "spent",
            format!(
                "{:.4} of {} USD, {:.4} of {} USD this hour",
                evidence.spent,
                usd(budget.total),
                report.spent_this_hour,
                usd(budget.per_hour)
            ),
        ),
    ];
    if !report.skipped.is_empty() {
        let skipped: Vec<String> = report.skipped.iter().map(|(reason, n)| format!("{reason} {n}")).collect();
        facts.push(("left out", skipped.join(", ")));
    }
    if let Some(length) = evidence.length.ratio() {
        facts.push(("length", format!("{length:.2} × production's, in characters")));
    }
    if canary.state.is_final() {
        facts.push(("because", canary.note.clone().unwrap_or_default()));
        let losses = losses(canary).filter(|_| evidence.losses > 0).map(|losses| format!("\n{losses}"));
        return terminal::pairs(look, facts) + &losses.unwrap_or_default();
    }
    if let Some(note) = canary.note.as_ref().filter(|_| matches!(canary.state, CanaryState::Paused { .. })) {
        facts.push(("because", note.clone()));
    }
    let mut text = terminal::pairs(look, facts);
    text.push('\n');
    text.push_str(&checks(context, &report.decision));
    let _ = write!(text, "\n{}: {}", report.decision.action.describe(), report.decision.message);
    if let Some(held) = &report.held {
        let _ = write!(text, "\nit waits: {held}");
    }
    if report.decision.action.is_hold() && canary.state.is_under_way() {
        let estimate = report.decision.estimate.map_or_else(|| CANNOT_TELL.to_owned(), conclusion);
        let _ = write!(text, "\n{estimate}");
        if report.spent_this_hour >= budget.per_hour {
            let _ = write!(text, "\nthis hour's budget is spent: requests make no pairs until the next one begins");
        }
    }
    text
}

/// What is said where there is no estimate.
const CANNOT_TELL: &str = "when it concludes cannot be told yet";

/// A budget: cents, or what is less than one.
fn usd(amount: f64) -> String {
    if amount >= 0.01 { format!("{amount:.2}") } else { format!("{amount}") }
}

fn counts(evidence: &Evidence, waiting: u64) -> String {
    let mut text = format!(
        "{} judged: {} won, {} lost, {} tied ({} of these changed with the order)",
        evidence.pairs(),
        evidence.wins,
        evidence.losses,
        evidence.ties,
        evidence.flipped
    );
    for (n, what) in [(evidence.errors, "without an answer"), (evidence.unjudged, "not judged"), (waiting, "waiting")] {
        if n > 0 {
            let _ = write!(text, "; {n} {what}");
        }
    }
    text
}

fn checks(context: &Context, decision: &Decision) -> String {
    const COLUMNS: [Column; 3] = [Column::text("condition"), Column::text("holds"), Column::text("numbers")];
    let rows = decision.checks.iter().map(|check| {
        let holds = match check.status {
            CheckStatus::Met => Cell::toned(Tone::Good, "yes"),
            CheckStatus::Open => Cell::toned(Tone::Warn, "not yet"),
            CheckStatus::Broken => Cell::toned(Tone::Bad, "broken"),
            CheckStatus::Unmeasured => Cell::toned(Tone::Plain, "unknown"),
        };
        vec![check.name.as_str().into(), holds, check.message.as_str().into()]
    });
    terminal::table(context.ui.out, &COLUMNS, rows.collect())
}

fn conclusion(estimate: Conclusion) -> String {
    let pairs = if estimate.pairs > 0 { format!("after {} more pairs", estimate.pairs) } else { String::new() };
    let time = estimate.seconds.map(|seconds| format!("in {}", span(seconds))).unwrap_or_default();
    let when: Vec<String> = [pairs, time].into_iter().filter(|part| !part.is_empty()).collect();
    if when.is_empty() {
        return "it would conclude at the next look".to_owned();
    }
    format!("if everything stays as it is, it concludes {}", when.join(", "))
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Canaries as a table.
pub(super) fn list(context: &Context, canaries: &[Canary]) -> String {
    const COLUMNS: [Column; 5] = [
        Column::id("canary"),
        Column::text("deployment"),
        Column::text("candidate"),
        Column::text("state"),
        Column::text("since (UTC)").optional(),
    ];
    if canaries.is_empty() {
        return "There is no canary yet. `llmops canary start NAME --candidate MANIFEST --policy FILE` begins one."
            .to_owned();
    }
    let rows = canaries.iter().map(|canary| {
        let tone = match canary.state {
            CanaryState::Promoted | CanaryState::Concluded => Tone::Good,
            CanaryState::Aborted { .. } => Tone::Bad,
            CanaryState::AwaitingApproval | CanaryState::Paused { .. } => Tone::Warn,
            _ => Tone::Plain,
        };
        vec![
            canary.id.as_str().into(),
            canary.place().into(),
            format!("{} {}", canary.candidate.short(), canary.candidate_model).into(),
            Cell::toned(tone, state(canary)),
            canary.since.strftime("%Y-%m-%d %H:%M").to_string().into(),
        ]
    });
    terminal::table(context.ui.out, &COLUMNS, rows.collect())
}

/// Pairs as a table.
pub(super) fn pairs(context: &Context, pairs: &[ShadowPair]) -> String {
    const COLUMNS: [Column; 6] = [
        Column::id("request"),
        Column::text("when (UTC)"),
        Column::text("verdict"),
        Column::number("scores"),
        Column::number("ms").optional(),
        Column::text("note"),
    ];
    if pairs.is_empty() {
        return "There are no such pairs yet: the share of the requests that come now makes them.".to_owned();
    }
    let rows = pairs.iter().map(|pair| {
        let verdict = match pair.verdict {
            Some(PairVerdict::Win) => Cell::toned(Tone::Good, "win"),
            Some(PairVerdict::Loss) => Cell::toned(Tone::Bad, "loss"),
            Some(PairVerdict::Tie) => "tie".into(),
            None => Cell::toned(Tone::Warn, pair.status.as_str()),
        };
        let scores = pair.production_score.zip(pair.candidate_score).map(|(p, c)| format!("{p:.2} → {c:.2}"));
        let production = pair.production.latency_ms;
        let ms = pair.candidate.as_ref().map(|answer| format!("{production:.0} → {:.0}", answer.latency_ms));
        let note = pair.error.as_deref().or_else(|| pair.reasons.first().map(String::as_str)).unwrap_or_default();
        vec![
            pair.id.as_str().into(),
            pair.at.strftime("%Y-%m-%d %H:%M:%S").to_string().into(),
            verdict,
            scores.unwrap_or_default().into(),
            ms.unwrap_or_default().into(),
            llmops_domain::scorecard::format::short_line(note, 60).into(),
        ]
    });
    terminal::table(context.ui.out, &COLUMNS, rows.collect())
}

/// The log as a table.
pub(super) fn decisions(context: &Context, log: &[LoggedDecision]) -> String {
    const COLUMNS: [Column; 6] = [
        Column::number("#"),
        Column::text("when (UTC)"),
        Column::number("pairs"),
        Column::text("net win"),
        Column::text("decision"),
        Column::text("because"),
    ];
    if log.is_empty() {
        return "Nothing was decided yet: the log begins with the first 25 pairs.".to_owned();
    }
    let rows = log.iter().map(|entry| {
        let percent = |share: f64| share.clamp(-1.0, 1.0) * 100.0;
        let net =
            entry.situation.measures.net_win.map(|net| {
                format!("{:.1} % ({:.1} to {:.1})", percent(net.value), percent(net.low), percent(net.high))
            });
        let dry = if entry.acted { "" } else { " (dry run)" };
        vec![
            entry.number.to_string().into(),
            entry.at.strftime("%Y-%m-%d %H:%M:%S").to_string().into(),
            entry.situation.pairs.to_string().into(),
            net.unwrap_or_default().into(),
            format!("{}{dry}", entry.decision.action.describe()).into(),
            entry.decision.message.as_str().into(),
        ]
    });
    terminal::table(context.ui.out, &COLUMNS, rows.collect())
}
