//! Evaluation runs: the list, and one in full.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use llmops_domain::run::{EvaluationRun, RunResults, RunStatus};
use llmops_domain::scorecard::{category_label, format, metric_interval, metric_value, passed_text};

use super::gate::section;
use super::table::fitting;
use super::text::wrap;
use super::{Cell, Column, Look, Tone, pairs, table};

/// Most reasons listed.
const MAX_REASONS: usize = 20;

/// A table of runs, in the order given.
pub(crate) fn runs(look: Look, runs: &[EvaluationRun]) -> String {
    const COLUMNS: [Column; 9] = [
        Column::id("run"),
        Column::text("created (UTC)"),
        Column::text("status"),
        Column::text("prompt"),
        Column::text("model"),
        Column::text("dataset"),
        Column::number("overall"),
        Column::number("passed"),
        Column::text("tag"),
    ];
    let rows = runs
        .iter()
        .map(|run| {
            let results = run.results.as_ref();
            let rate = results.map(|r| r.pass_rate).filter(|r| r.n > 0);
            vec![
                Cell::toned(Tone::Strong, run.id.as_str()),
                run.created_at.strftime("%Y-%m-%d %H:%M").to_string().into(),
                status(run),
                run.spec.manifest.prompt_label().unwrap_or_else(|| format::NONE.to_owned()).into(),
                (&run.model_name).into(),
                (&run.dataset).into(),
                results
                    .and_then(|r| r.overall)
                    .map_or_else(|| format::NONE.to_owned(), |o| format::estimate(&o))
                    .into(),
                rate.map_or_else(|| format::NONE.to_owned(), |r| format::percent(r.value)).into(),
                if is_baseline(run) {
                    "production"
                } else if run.spec.is_partial() {
                    "part"
                } else {
                    ""
                }
                .into(),
            ]
        })
        .collect();
    // Ids are there to be copied: rather than wrap them, leave out what `run show` tells.
    fitting(look, &COLUMNS, rows, &[5, 4, 1, 3])
}

/// One run: where it stands, scores by category, metrics, what failed.
pub(crate) fn run(look: Look, run: &EvaluationRun) -> String {
    let mut out = pairs(look, facts(run));
    if let Some(error) = &run.error {
        out += &look.paint(Tone::Bad, "\nfailed\n");
        out += &wrap(error, look.prose(), "  ");
    }
    if let Some(results) = &run.results {
        section(&mut out, look, "Scores by category", true);
        out += &categories(results, look);
        section(&mut out, look, "Metrics", !results.metric_details.is_empty());
        if !results.metric_details.is_empty() {
            out += &metrics(run, results, look);
        }
        out += &reasons(look, "Why answers failed", &results.failure_reasons, MAX_REASONS);
        out += &reasons(look, "Not scored", &results.error_reasons, MAX_REASONS);
        let judged = llmops_domain::scorecard::judge_evidence(results);
        section(&mut out, look, "Judges", !judged.is_empty());
        for line in &judged {
            out += &wrap(line, look.prose(), "  ");
        }
        section(&mut out, look, "Notices", !results.notices.is_empty());
        for notice in results.notices.iter().take(MAX_REASONS) {
            out += &wrap(notice, look.prose(), "  ");
        }
    }
    out
}

fn facts(run: &EvaluationRun) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("run", run.id.to_string()),
        ("status", standing(run)),
        ("target", run.spec.target.clone()),
        ("model", run.model_name.clone()),
        ("dataset", format!("{}@{}", run.dataset, run.spec.dataset_version.short())),
        ("manifest", run.spec.manifest_id.short().to_owned()),
        ("created", run.created_at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()),
    ];
    if let Some(prompt) = run.spec.manifest.prompt_label() {
        facts.insert(3, ("prompt", prompt));
    }
    if let Some((start, end)) = run.start_time.zip(run.end_time) {
        facts.push(("took", format::millis(end.duration_since(start).as_secs_f64() * 1e3)));
    }
    match &run.results {
        Some(results) => {
            let overall = results.overall.map_or_else(|| format::NONE.to_owned(), |o| format::estimate(&o));
            facts.push(("overall", overall));
            if let Some(corrected) = &results.corrected {
                let labelled = format::count(corrected.labelled, "labelled sample");
                let text =
                    format!("{} by {} ({labelled})", format::estimate(&corrected.corrected), corrected.calibration);
                facts.push(("corrected", text));
            }
            facts.push(("samples", passed_text(results)));
            let spend = &results.spend;
            let (cost, judges) = format::spent_in_all(spend);
            facts.push(("cost", format!("{cost} (judges {judges})")));
            let cached = if spend.cached > 0 { format!(", {} cached", spend.cached) } else { String::new() };
            facts.push(("tokens", format!("{} in, {} out{cached}", spend.prompt_tokens, spend.completion_tokens)));
            if let Some(l) = &results.latency {
                facts.push((
                    "latency",
                    format!("median {}, p95 {}", format::millis(l.p50_ms), format::millis(l.p95_ms)),
                ));
            }
        }
        None => facts.push(("progress", format!("{} of {}", run.progress.done, run.progress.total))),
    }
    facts.extend(run.tags.iter().map(|(k, v)| ("tag", format!("{k}={v}"))));
    facts
}

fn categories(results: &RunResults, look: Look) -> String {
    const COLUMNS: [Column; 7] = [
        Column::text("category"),
        Column::number("weight"),
        Column::number("score"),
        Column::number("passed"),
        Column::number("samples"),
        Column::number("failed"),
        Column::number("errored"),
    ];
    let rows = results
        .categories
        .iter()
        .map(|(name, category)| {
            vec![
                category_label(name).into(),
                format::percent(category.weight).into(),
                category.score.map_or_else(|| format::NONE.to_owned(), |s| format::estimate(&s)).into(),
                category.pass_rate.map_or_else(|| format::NONE.to_owned(), |p| format::percent(p.value)).into(),
                category.samples.to_string().into(),
                number_of(category.failed, Tone::Bad),
                number_of(category.errored, Tone::Warn),
            ]
        })
        .collect();
    table(look, &COLUMNS, rows)
}

fn metrics(run: &EvaluationRun, results: &RunResults, look: Look) -> String {
    const COLUMNS: [Column; 4] =
        [Column::text("metric"), Column::number("weight"), Column::number("mean"), Column::number("samples")];
    let rows = results
        .metric_details
        .iter()
        .map(|(name, value)| {
            let spec = run.spec.scoring.metrics.get(name);
            let ends = metric_interval(spec, value).map(|ends| format!(" {ends}")).unwrap_or_default();
            vec![
                name.into(),
                spec.and_then(|m| m.weight).map_or_else(|| format::NONE.to_owned(), format::percent).into(),
                format!("{}{ends}", metric_value(spec, value.value)).into(),
                value.n.to_string().into(),
            ]
        })
        .collect();
    table(look, &COLUMNS, rows)
}

/// A titled list of reasons with their counts, most frequent first; nothing where there are none.
pub(super) fn reasons(look: Look, title: &str, reasons: &BTreeMap<String, u64>, max: usize) -> String {
    let mut sorted: Vec<(&String, u64)> = reasons.iter().map(|(reason, n)| (reason, *n)).collect();
    sorted.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let mut out = String::new();
    section(&mut out, look, title, !sorted.is_empty());
    for (reason, n) in sorted.iter().take(max) {
        out += &wrap(reason, look.prose(), &format!("{n:>5} × "));
    }
    if sorted.len() > max {
        let _ = writeln!(out, "  … and {} more", sorted.len() - max);
    }
    out
}

fn number_of(n: u64, tone: Tone) -> Cell {
    Cell::toned(if n > 0 { tone } else { Tone::Plain }, n.to_string())
}

fn is_baseline(run: &EvaluationRun) -> bool {
    run.tags.get("env").is_some_and(|env| env == "production")
}

/// Where a run stands, and how to go on with one that nobody works on.
fn standing(run: &EvaluationRun) -> String {
    if run.interrupted {
        return format!("interrupted: nobody works on it; `llmops eval --resume={}` goes on", run.id);
    }
    run.status.to_string()
}

fn status(run: &EvaluationRun) -> Cell {
    let progress = &run.progress;
    match run.status {
        RunStatus::Completed => Cell::toned(Tone::Good, run.status.as_str()),
        RunStatus::Failed => Cell::toned(Tone::Bad, run.status.as_str()),
        RunStatus::Cancelled => Cell::toned(Tone::Warn, run.status.as_str()),
        RunStatus::Running if run.interrupted => Cell::toned(Tone::Warn, "interrupted"),
        RunStatus::Running if progress.total > 0 => {
            format!("running {}", format::percent(progress.done as f64 / progress.total as f64)).into()
        }
        RunStatus::Pending | RunStatus::Running => run.status.as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn runs_in_a_list() {
        let report = report();
        let mut running = report.run.clone();
        running.status = RunStatus::Running;
        running.results = None;
        running.progress.done = 30;
        let killed = EvaluationRun { interrupted: true, ..running.clone() };
        let mut part = report.run.clone();
        part.spec.limit = Some(20);
        let all = [running, killed, part, report.run, report.baseline.expect("baseline")];
        insta::assert_snapshot!(runs(Look { width: 100, colour: false }, &all), @"
        run                     status          prompt                        overall  passed  tag
        ──────────────────────────────────────────────────────────────────────────────────────────────────
        run_01k9zr8d2hq4n7c1bb  running 25.0 %  support-bot@1.3.0                   –       –
        run_01k9zr8d2hq4n7c1bb  interrupted     support-bot@1.3.0                   –       –
        run_01k9zr8d2hq4n7c1bb  completed       support-bot@1.3.0  0.816 [0.79, 0.85]  83.1 %  part
        run_01k9zr8d2hq4n7c1bb  completed       support-bot@1.3.0  0.816 [0.79, 0.85]  83.1 %
        run_01k9zq3v7wj5x8m2aa  completed       support-bot@1.2.0  0.891 [0.86, 0.92]  93.3 %  production
        ");
    }

    #[test]
    fn one_run() {
        insta::assert_snapshot!(run(Look { width: 100, colour: false }, &report().run), @"
        run       run_01k9zr8d2hq4n7c1bb
        status    completed
        target    support-bot
        prompt    support-bot@1.3.0
        model     sim/support-small
        dataset   golden@18ac3e7343f0
        manifest  d745ae7abc6f
        created   2026-11-03 15:40:09 UTC
        took      42.0 s
        overall   0.816 [0.79, 0.85]
        samples   98 of 120 samples passed (83.1 % of 118 scored), 2 errored
        cost      $0.0973 (judges $0.0831)
        tokens    18211 in, 9220 out
        latency   median 380 ms, p95 910 ms
        tag       commit=4f1c2aa

        Scores by category
        category               weight               score  passed  samples  failed  errored
        ────────────────────────────────────────────────────────────────────────────────────
        factual_accuracy       30.0 %  0.891 [0.86, 0.93]  94.0 %       36       2        0
        instruction_following  25.0 %  0.862 [0.82, 0.90]  90.0 %       30       3        0
        multi_turn_coherence   10.0 %  0.880 [0.83, 0.93]  92.0 %       12       1        0
        refusal_behavior       25.0 %  0.671 [0.60, 0.74]  60.0 %       30      11        2
        tone_consistency       10.0 %  0.792 [0.71, 0.87]  75.0 %       12       3        0

        Metrics
        metric   weight                     mean  samples
        ──────────────────────────────────────────────────
        judge    70.0 %       0.871 [0.84, 0.90]      118
        latency       –  420 ms [370 ms, 470 ms]      118
        rouge_l  30.0 %       0.602 [0.57, 0.63]      118

        Why answers failed
           17 × judge < 0.8
            9 × rouge_l < 0.7

        Not scored
            1 × judge: out of range
            1 × provider: 500

        Notices
          bertscore is not available: the weights of rouge_l and judge were renormalised
        ");
    }

    #[test]
    fn one_run_that_failed() {
        let mut failed = report().run;
        failed.status = RunStatus::Failed;
        failed.error = Some("120 of 120 answers errored: provider sim refused\u{1b}[31m".to_owned());
        failed.results = None;
        insta::assert_snapshot!(run(Look { width: 60, colour: false }, &failed), @"
        run       run_01k9zr8d2hq4n7c1bb
        status    failed
        target    support-bot
        prompt    support-bot@1.3.0
        model     sim/support-small
        dataset   golden@18ac3e7343f0
        manifest  d745ae7abc6f
        created   2026-11-03 15:40:09 UTC
        took      42.0 s
        progress  120 of 120
        tag       commit=4f1c2aa

        failed
          120 of 120 answers errored: provider sim refused␛[31m
        ");
    }

    #[test]
    fn no_width_panics() {
        let report = report();
        for width in 0..130 {
            assert!(!runs(Look { width, colour: true }, std::slice::from_ref(&report.run)).is_empty());
            assert!(!run(Look { width, colour: true }, &report.run).is_empty());
        }
    }
}
