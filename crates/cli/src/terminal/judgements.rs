//! What judges said of one answer: axes, claims, checklists, comparisons, panels, the transcript of a debate.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use llmops_domain::judge::debate::{DebateRecord, Dropped, Statement};
use llmops_domain::judge::{AxisScore, Comparison, JudgeDetail, Side};
use llmops_domain::run::MetricScore;
use llmops_domain::scorecard::format;

use super::text::wrap;
use super::{Look, Tone};

/// Characters of a reason that are shown.
const MAX_REASON: usize = 1_000;

/// Everything that the judges of these metrics said; empty where no judge did.
pub(super) fn judgements(look: Look, scores: &BTreeMap<String, MetricScore>) -> String {
    let mut out = String::new();
    for (name, score) in scores {
        let detail = score.detail.as_ref().filter(|detail| detail.get("prompt_hash").is_some());
        let Some(detail) = detail.and_then(|detail| serde_json::from_value::<JudgeDetail>(detail.clone()).ok()) else {
            continue;
        };
        out.push('\n');
        let _ = writeln!(out, "{}", look.paint(Tone::Strong, &format!("{name}: how it was judged")));
        line(&mut out, look, 1, &source(&detail));
        axes(&mut out, look, 1, &detail.axes);
        for claim in detail.claims.iter().flatten() {
            mark(&mut out, look, claim.holds, &claim.claim, claim.reason.as_deref());
        }
        for item in &detail.items {
            mark(&mut out, look, item.yes, &item.item, item.reason.as_deref());
        }
        if let Some(found) = &detail.comparison {
            comparison(&mut out, look, found);
        }
        statements(&mut out, look, 1, &detail.panel);
        if let Some(record) = &detail.debate {
            debate(&mut out, look, record);
        }
        for dropped in &detail.dropped {
            line(&mut out, look, 1, &dropped_line(dropped));
        }
    }
    out
}

fn source(detail: &JudgeDetail) -> String {
    let judges: Vec<&str> = detail.judge.iter().chain(&detail.judges).map(String::as_str).collect();
    let cost = if detail.cost > 0.0 { format!(", {}", format::money(detail.cost)) } else { String::new() };
    format!("by {} with {} ({}){cost}", judges.join(", "), detail.prompt, detail.prompt_hash.short())
}

fn axes(out: &mut String, look: Look, depth: usize, axes: &BTreeMap<String, AxisScore>) {
    for (name, axis) in axes {
        let reason = axis.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        line(out, look, depth, &format!("{name} {}{reason}", format::number(axis.score)));
    }
}

fn mark(out: &mut String, look: Look, yes: bool, text: &str, reason: Option<&str>) {
    let sign = if yes { "✓" } else { "✗" };
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    line(out, look, 1, &format!("{sign} {text}{reason}"));
}

fn comparison(out: &mut String, look: Look, found: &Comparison) {
    let word = |side: Side| match side {
        Side::Candidate => "the answer is better",
        Side::Opponent => "the other is better",
        Side::Tie => "neither is better",
    };
    let one = |side, reason: &Option<String>| {
        format!("{}{}", word(side), reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default())
    };
    line(out, look, 1, &format!("compared with the {}: {}", found.against, found.opponent));
    line(out, look, 1, &format!("shown first, {}", one(found.candidate_first, &found.candidate_first_reason)));
    line(out, look, 1, &format!("shown second, {}", one(found.candidate_second, &found.candidate_second_reason)));
    if found.flipped {
        line(out, look, 1, "the orders disagree: a tie");
    }
}

fn statements(out: &mut String, look: Look, depth: usize, statements: &[Statement]) {
    for statement in statements {
        let reason = statement.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        line(out, look, depth, &format!("{} {}{reason}", statement.judge, format::number(statement.score)));
        axes(out, look, depth + 1, &statement.axes);
    }
}

fn debate(out: &mut String, look: Look, record: &DebateRecord) {
    for (round, said) in (1..).zip(&record.rounds) {
        line(out, look, 1, &format!("round {round}"));
        statements(out, look, 2, said);
    }
    line(
        out,
        look,
        1,
        &format!(
            "{}: {} apart after the first round, {} after the last",
            if record.agreed { "agreed" } else { "not agreed" },
            format::number(record.first_spread),
            format::number(record.spread)
        ),
    );
}

fn dropped_line(dropped: &Dropped) -> String {
    format!("dropped in round {}: {}: {}", dropped.round, dropped.judge, dropped.message)
}

fn line(out: &mut String, look: Look, depth: usize, text: &str) {
    *out += &wrap(&format::short_line(text, MAX_REASON), look.prose(), &"  ".repeat(depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(detail: &serde_json::Value) -> String {
        let score = MetricScore { score: 0.8, reason: None, detail: Some(detail.clone()) };
        judgements(Look { width: 100, colour: false }, &BTreeMap::from([("m".to_owned(), score)]))
    }

    fn detail(more: &serde_json::Value) -> serde_json::Value {
        let mut detail = serde_json::json!({"prompt": "llmops/judge-x@1.0.0", "prompt_hash": "ab".repeat(32)});
        for (key, value) in more.as_object().unwrap() {
            detail[key] = value.clone();
        }
        detail
    }

    #[test]
    fn a_debate_is_a_transcript() {
        let say = |judge: &str, score: f64| {
            serde_json::json!({"judge": judge, "score": score, "reason": format!("I say {score}"),
                "axes": {"safety": {"score": 1.0}}})
        };
        let rounds = [[say("sim/a", 0.9), say("sim/liar", 0.1)], [say("sim/a", 0.9), say("sim/liar", 0.1)]];
        insta::assert_snapshot!(shown(&detail(&serde_json::json!({
            "judges": ["sim/a", "sim/liar", "sim/broken"], "cost": 0.0123,
            "debate": {"rounds": rounds, "agreed": false, "first_spread": 0.8, "spread": 0.8,
                "debate_prompt": "llmops/judge-debate@1.0.0", "debate_prompt_hash": "cd".repeat(32)},
            "dropped": [{"judge": "sim/broken", "round": 1, "reason": "judge: no JSON",
                "message": "sim/broken gave no usable answer in 3 tries\u{1b}[8m"}],
        }))), @"
        m: how it was judged
          by sim/a, sim/liar, sim/broken with llmops/judge-x@1.0.0 (abababababab), $0.0123
          round 1
            sim/a 0.900: I say 0.9
              safety 1.000
            sim/liar 0.100: I say 0.1
              safety 1.000
          round 2
            sim/a 0.900: I say 0.9
              safety 1.000
            sim/liar 0.100: I say 0.1
              safety 1.000
          not agreed: 0.800 apart after the first round, 0.800 after the last
          dropped in round 1: sim/broken: sim/broken gave no usable answer in 3 tries␛[8m
        ");
    }

    #[test]
    fn other_judgements() {
        let all = serde_json::json!({
            "judge": "sim/judge",
            "axes": {"tone": {"score": 0.5, "reason": "flat"}},
            "claims": [{"claim": "It is Paris.", "holds": true, "reason": "so it says"}],
            "items": [{"item": "Is it short?", "yes": false}],
            "comparison": {"against": "reference", "opponent": "Paris", "candidate_first": "candidate",
                "candidate_second": "opponent", "candidate_second_reason": "the first reads well", "flipped": true},
        });
        insta::assert_snapshot!(shown(&detail(&all)), @"
        m: how it was judged
          by sim/judge with llmops/judge-x@1.0.0 (abababababab)
          tone 0.500: flat
          ✓ It is Paris. (so it says)
          ✗ Is it short?
          compared with the reference: Paris
          shown first, the answer is better
          shown second, the other is better: the first reads well
          the orders disagree: a tie
        ");
        assert_eq!(shown(&serde_json::json!({"precision": 1.0})), "");
    }
}
