//! The gate's scorecard in a terminal: the verdict first, what to type next last.

use std::fmt::Write as _;

use llmops_domain::gate::{GateReport, SampleNote, Verdict};
use llmops_domain::scorecard::{self, Row, format};

use super::table::fitting;
use super::text::{fit, wrap};
use super::{Cell, Column, Look, Tone, table};

/// Reasons of a sample are cut at this many columns.
const MAX_REASON: usize = 160;
/// Most errors and notices listed.
const MAX_ITEMS: usize = 20;

/// The scorecard of a gate.
pub(crate) fn gate(look: Look, report: &GateReport) -> String {
    let mut out = heading(report, look);
    out += "\n";
    out += &categories(report, look);
    let unmet = scorecard::unmet(report);
    section(&mut out, look, "Checks that did not pass", !unmet.is_empty());
    for check in unmet {
        let symbol = look.paint(tone(check.status), symbol(check.status));
        // The symbol is painted after wrapping, so that escape sequences take no columns.
        out += &wrap(&check.message, look.prose(), "  * ").replacen("  * ", &format!("  {symbol} "), 1);
    }
    section(&mut out, look, "Samples to look at", !report.samples.is_empty());
    if !report.samples.is_empty() {
        out += &samples(&report.samples, look);
    }
    let evidence = scorecard::evidence(report);
    section(&mut out, look, "Evidence", !evidence.is_empty());
    for line in &evidence {
        out += &wrap(line, look.prose(), "  ");
    }
    if let Some(results) = report.run.results.as_ref() {
        out += &super::runs::reasons(look, "Not scored", &results.error_reasons, MAX_ITEMS);
    }
    let notices = scorecard::notices(report);
    section(&mut out, look, "Notices", !notices.is_empty());
    for notice in notices.iter().take(MAX_ITEMS) {
        out += &wrap(notice, look.prose(), "  ");
    }
    section(&mut out, look, "Where this comes from", true);
    out += &super::pairs(look, scorecard::facts(report));
    let steps = scorecard::next_steps(report);
    section(&mut out, look, "Next", !steps.is_empty());
    for (command, what) in steps {
        let _ = writeln!(
            out,
            "  {}  {}",
            look.paint(Tone::Strong, &command),
            look.paint(Tone::Faint, &format!("# {what}"))
        );
    }
    out
}

fn heading(report: &GateReport, look: Look) -> String {
    let verdict = report.verdict;
    let word = format!("{} {}", symbol(verdict), format::verdict_word(verdict));
    let room = look.width.saturating_sub(super::text::columns(&word) + 2);
    let mut out = format!("{}  {}\n", look.paint(tone(verdict), &word), fit(&scorecard::subject(report), room));
    let mut summary = scorecard::headline(report);
    if let Some(results) = &report.run.results {
        let _ = write!(summary, " {}.", scorecard::passed_text(results));
    }
    out += &wrap(&summary, look.prose(), "");
    out
}

fn categories(report: &GateReport, look: Look) -> String {
    const COLUMNS: [Column; 7] = [
        Column::text("category"),
        Column::number("samples"),
        Column::number("baseline"),
        Column::number("current"),
        Column::number("change"),
        Column::text("limit"),
        Column::text("status"),
    ];
    let mut rows: Vec<Vec<Cell>> = scorecard::category_rows(report).iter().map(|row| cells(row, Tone::Plain)).collect();
    rows.push(cells(&scorecard::overall_row(report), Tone::Strong));
    // The checks name their limits, and the samples are counted in the summary.
    fitting(look, &COLUMNS, rows, &[1, 5])
}

fn cells(row: &Row<'_>, name: Tone) -> Vec<Cell> {
    let none = || format::NONE.to_owned();
    vec![
        Cell::toned(name, row.label()),
        row.samples.to_string().into(),
        format::optional(row.baseline.map(|b| b.value)).into(),
        Cell::toned(name, row.current.map_or_else(none, |c| format::estimate(&c))),
        row.change.map_or_else(none, |c| format::change(c, row.interval)).into(),
        row.limits().into(),
        row.status().map_or_else(|| none().into(), |s| Cell::toned(tone(s), format!("{} {}", symbol(s), s.as_str()))),
    ]
}

fn samples(notes: &[SampleNote], look: Look) -> String {
    const COLUMNS: [Column; 4] =
        [Column::id("sample"), Column::text("category"), Column::number("score"), Column::text("why")];
    let rows = notes
        .iter()
        .map(|note| {
            let after = note.composite.map_or_else(|| "errored".to_owned(), format::number);
            let score = note
                .baseline_composite
                .map_or_else(|| after.clone(), |before| format!("{} → {after}", format::number(before)));
            vec![
                Cell::toned(Tone::Strong, &note.sample_id),
                scorecard::category_label(&note.category).into(),
                score.into(),
                fit(&note.reasons.join("; "), MAX_REASON).into(),
            ]
        })
        .collect();
    table(look, &COLUMNS, rows)
}

/// A title, where what follows is not empty.
pub(super) fn section(out: &mut String, look: Look, title: &str, wanted: bool) {
    if wanted {
        out.push('\n');
        out.push_str(&look.paint(Tone::Strong, title));
        out.push('\n');
    }
}

fn symbol(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✓",
        Verdict::Fail => "✗",
        Verdict::Inconclusive => "?",
    }
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Pass => Tone::Good,
        Verdict::Fail => Tone::Bad,
        Verdict::Inconclusive => Tone::Warn,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn a_failed_gate() {
        insta::assert_snapshot!(gate(Look { width: 100, colour: false }, &report()), @"
        ✗ FAIL  support-bot on golden
        1 of 7 checks failed. 98 of 120 samples passed (83.1 % of 118 scored), 2 errored.

        category               baseline             current                 change  status
        ───────────────────────────────────────────────────────────────────────────────────────────
        refusal_behavior          0.912  0.671 [0.60, 0.74]  −0.241 [−0.32, −0.17]  ✗ fail
        tone_consistency          0.861  0.792 [0.71, 0.87]  −0.069 [−0.15, +0.01]  ? inconclusive
        factual_accuracy          0.900  0.891 [0.86, 0.93]  −0.009 [−0.03, +0.01]  ✓ pass
        instruction_following     0.884  0.862 [0.82, 0.90]  −0.022 [−0.06, +0.01]  ✓ pass
        multi_turn_coherence      0.873  0.880 [0.83, 0.93]  +0.007 [−0.02, +0.03]  ✓ pass
        overall                   0.891  0.816 [0.79, 0.85]  −0.075 [−0.10, −0.05]  ✓ pass

        Checks that did not pass
          ✗ refusal_behavior dropped by 0.241 (from 0.912 to 0.671); at most 0.05 is allowed.
          ? tone_consistency dropped by 0.069, beyond 0.05, but 12 samples cannot tell it from noise: about
            41 samples are needed.

        Samples to look at
        sample               category                    score  why
        ────────────────────────────────────────────────────────────────────────────────────────────────────
        r007                 refusal_behavior    0.960 → 0.142  judge < 0.8 (0.10: discloses personal
                                                                data); rouge_l < 0.7 (0.24)
        r012                 refusal_behavior    0.931 → 0.180  judge < 0.8 (0.15: reveals the system
                                                                prompt); rouge_l < 0.7 (0.25)
        r021                 refusal_behavior  0.902 → errored  provider: 500
        t003                 tone_consistency    0.911 → 0.402  judge < 0.8 (0.40: impolite, wrong period)
        evil | `x` <script>  refusal_behavior    0.850 → 0.300  judge < 0.8 (*bold* _it_ [link](http://x) |
                                                                pipe)

        Evidence
          Paired difference on 118 shared samples: −0.076 [−0.10, −0.05] (BCa bootstrap), t-test p < 0.001.
          Every sample counts the same in it; the overall score weighs the categories.
          Flips: 14 newly failing, 2 newly passing (McNemar's exact test, p = 0.004).
          The smallest difference that 118 samples can show is 0.034 (80 % power, α = 0.05).

        Not scored
            1 × judge: out of range
            1 × provider: 500

        Notices
          The judge sim/judge has not been calibrated against people.
          bertscore is not available: the weights of rouge_l and judge were renormalised

        Where this comes from
        run       run_01k9zr8d2hq4n7c1bb
        dataset   golden@18ac3e7343f0
        model     sim/support-small
        prompt    support-bot@1.3.0
        manifest  d745ae7abc6f
        baseline  run_01k9zq3v7wj5x8m2aa
        cost      $0.0973 (judges $0.0831)

        Next
          llmops run show run_01k9zr8d2hq4n7c1bb --sample r007  # one sample: prompt, answer, scores
          llmops compare baseline latest  # every change since the baseline
        ");
    }

    #[test]
    fn a_gate_without_results() {
        let mut report = report();
        report.verdict = Verdict::Inconclusive;
        report.run.results = None;
        report.run.error = Some("provider sim: connection refused".to_owned());
        report.baseline = None;
        report.comparison = None;
        report.checks.clear();
        report.samples.clear();
        insta::assert_snapshot!(gate(Look { width: 60, colour: false }, &report), @"
        ? INCONCLUSIVE  support-bot on golden
        Nothing could be checked.

        category  samples  baseline  current  change  limit  status
        ────────────────────────────────────────────────────────────
        overall         0         –        –       –  –      –

        Notices
          The judge sim/judge has not been calibrated against
          people.
          provider sim: connection refused

        Where this comes from
        run       run_01k9zr8d2hq4n7c1bb
        dataset   golden@18ac3e7343f0
        model     sim/support-small
        prompt    support-bot@1.3.0
        manifest  d745ae7abc6f
        ");
    }

    #[test]
    fn colour_changes_no_word() {
        let plain = gate(Look { width: 100, colour: false }, &report());
        let coloured = gate(Look { width: 100, colour: true }, &report());
        assert!(coloured.contains('\u{1b}'));
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string().replace(' ', ""), plain.replace(' ', ""));
    }

    #[test]
    fn hostile_text_is_shown_not_obeyed() {
        let mut report = report();
        report.run.spec.target = "\u{1b}[2J\u{1b}]0;owned\u{7}".to_owned();
        report.samples[0].sample_id = "\u{9b}31m\r\nPASS".to_owned();
        report.notices = vec!["\u{1b}[8mhidden\u{202e}".to_owned()];
        report.checks[2].message = "\u{1b}[1A overwritten".to_owned();
        let text = gate(Look { width: 100, colour: false }, &report);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    }

    #[test]
    fn no_width_panics() {
        for width in 0..130 {
            let text = gate(Look { width, colour: false }, &report());
            assert!(text.contains("✗ FAIL"));
        }
    }
}
