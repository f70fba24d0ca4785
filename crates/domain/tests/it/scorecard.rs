//! Scorecards of one report: as they should look, at their limits, and under attack.

use llmops_domain::gate::{GateReport, SampleNote, Verdict};
use llmops_domain::id::RunId;
use llmops_domain::scorecard::{self, html, junit, markdown};
use proptest::prelude::*;

fn report() -> GateReport {
    serde_json::from_str(include_str!("../data/gate_report.json")).unwrap_or_else(|e| panic!("gate_report.json: {e}"))
}

/// A report in which every text that people or models write is `text`.
fn filled_with(text: &str) -> GateReport {
    let mut report = report();
    report.run.id = RunId(text.to_owned());
    text.clone_into(&mut report.run.dataset);
    text.clone_into(&mut report.run.model_name);
    report.run.error = Some(text.to_owned());
    text.clone_into(&mut report.run.spec.target);
    report.run.spec.manifest.prompt = Some(text.to_owned());
    report.notices = vec![text.to_owned()];
    for check in &mut report.checks {
        text.clone_into(&mut check.message);
        if let Some((kind, _)) = check.name.clone().split_once('/') {
            check.name = format!("{kind}/{text}");
        }
    }
    for sample in &mut report.samples {
        *sample = SampleNote {
            sample_id: text.to_owned(),
            category: text.to_owned(),
            input: text.to_owned(),
            expected: Some(text.to_owned()),
            output: text.to_owned(),
            baseline_output: Some(format!("before {text}")),
            reasons: vec![text.to_owned()],
            ..sample.clone()
        };
    }
    if let Some(results) = &mut report.run.results {
        results.notices = vec![text.to_owned()];
        results.failure_reasons = [(text.to_owned(), 3)].into();
        results.error_reasons = [(text.to_owned(), 2)].into();
        let category = results.categories.values().next().cloned();
        results.categories = category.map(|c| (text.to_owned(), c)).into_iter().collect();
        let metric = results.metric_details.values().next().copied();
        results.metric_details = metric.map(|m| (text.to_owned(), m)).into_iter().collect();
    }
    if let Some(comparison) = &mut report.comparison {
        for flip in &mut comparison.flips {
            text.clone_into(&mut flip.sample_id);
            text.clone_into(&mut flip.category);
        }
    }
    report
}

/// A report on a run that never came to results.
fn empty() -> GateReport {
    let mut report = report();
    report.verdict = Verdict::Inconclusive;
    report.run.results = None;
    report.run.end_time = None;
    report.baseline = None;
    report.comparison = None;
    report.checks.clear();
    report.samples.clear();
    report
}

fn well_formed(xml: &str) -> Result<(), String> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = xml;
    while let Some(at) = rest.find(['<', '>']) {
        if rest[at..].starts_with('>') {
            return Err(format!("stray > after {:?}", &rest[..at]));
        }
        let end = rest[at..].find('>').ok_or("unclosed tag")? + at;
        let tag = &rest[at + 1..end];
        if !tag.matches('"').count().is_multiple_of(2) || tag.contains('<') {
            return Err(format!("broken tag {tag:?}"));
        }
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Err(format!("unexpected </{name}>"));
            }
        } else if !tag.starts_with('?') && !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().unwrap_or_default());
        }
        rest = &rest[end + 1..];
    }
    if open.is_empty() { Ok(()) } else { Err(format!("left open: {open:?}")) }
}

#[test]
fn markdown_of_a_failed_gate() {
    insta::assert_snapshot!("markdown", markdown::render(&report()));
}

#[test]
fn junit_of_a_failed_gate() {
    let xml = junit::render(&report());
    well_formed(&xml).expect("well-formed");
    insta::assert_snapshot!("junit", xml);
}

/// The means rose although the samples that both runs have fell: the mark and the numbers say what the verdict says.
#[test]
fn marks_and_numbers_are_those_that_decided() {
    let mut report = report();
    let check = report.checks.iter_mut().find(|c| c.name == "max_drop/refusal_behavior").unwrap();
    (check.baseline, check.current, check.change) = (Some(0.6), Some(0.671), Some(-0.241));
    let rows = scorecard::category_rows(&report);
    let row = rows.iter().find(|row| row.name == "refusal_behavior").unwrap();
    assert!((row.floor().unwrap() - 0.862).abs() < 1e-12, "{row:?}");
    assert!(junit::render(&report).contains("change: −0.241\nlimit: drop ≤ 0.05"));
    assert!(html::render(&report).contains("limit 0.862"));
}

#[test]
fn scores_json_holds_what_the_formats_promise() {
    let scores = scorecard::scores_with_gate(&report());
    let mut json = serde_json::to_value(&scores).expect("JSON");
    json["checks"].as_array_mut().expect("checks").truncate(2);
    insta::assert_snapshot!("scores", serde_json::to_string_pretty(&json).expect("JSON"));

    let before_gate = serde_json::to_value(scorecard::scores(&report().run)).expect("JSON");
    assert!(before_gate.get("verdict").is_none() && before_gate.get("checks").is_none());
    assert_eq!(scorecard::scores(&empty().run), None);
    assert_eq!(scorecard::scores_with_gate(&empty()), None);
}

#[test]
fn a_passing_gate_reddens_no_build() {
    let mut report = report();
    report.verdict = Verdict::Pass;
    report.checks.retain(|c| c.status == Verdict::Pass);
    let xml = junit::render(&report);
    well_formed(&xml).expect("well-formed");
    assert!(xml.contains("failures=\"0\"") && !xml.contains("<failure"), "{xml}");
    assert!(xml.contains("<skipped message=\"did not pass, within the gate&apos;s limits: judge"), "{xml}");
    assert!(markdown::render(&report).contains("## ✅ PASS"));
}

#[test]
fn a_run_without_results_still_has_scorecards() {
    let report = empty();
    let text = markdown::render(&report);
    assert!(text.contains("## ⚠️ INCONCLUSIVE") && text.contains("Overall **–**, no baseline"), "{text}");
    well_formed(&junit::render(&report)).expect("well-formed");
    assert!(html::render(&report).contains("INCONCLUSIVE"));
}

#[test]
fn numbers_that_are_none_are_not_written_as_numbers() {
    let mut report = report();
    for check in &mut report.checks {
        check.current = Some(f64::NAN);
        check.interval = Some([f64::NEG_INFINITY, f64::INFINITY]);
        check.limit = Some(f64::NAN);
    }
    for text in [markdown::render(&report), html::render(&report), junit::render(&report)] {
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}

#[test]
fn a_comment_stays_under_the_limit_whatever_the_report() {
    let huge = "| `@team` <b>#1</b> 👩‍👩‍👧 ".repeat(1_000);
    let mut report = filled_with(&huge);
    let sample = report.samples[0].clone();
    report.samples = std::iter::repeat_n(sample, 200).collect();
    let category = report.run.results.as_ref().expect("results").categories.values().next().cloned().expect("one");
    let results = report.run.results.as_mut().expect("results");
    results.categories = (0..300).map(|i| (format!("{i}{huge}"), category.clone())).collect();
    results.error_reasons = (0..300).map(|i| (format!("{i}{huge}"), i)).collect();
    report.notices = (0..300).map(|i| format!("{i}{huge}")).collect();
    let text = markdown::render(&report);
    let length = text.encode_utf16().count();
    assert!(length <= markdown::MAX_LENGTH, "{length}");
    assert!(text.starts_with("<!-- llmops:scorecard ") && text.contains("## ❌ FAIL"));
    assert!(text.contains("more samples") && text.trim_end().ends_with("</sub>"));
}

#[test]
fn detail_is_given_up_only_as_needed() {
    let mut report = report();
    for sample in &mut report.samples {
        sample.output = "word ".repeat(5_000);
    }
    let few = markdown::render(&report);
    assert!(few.contains(&"word ".repeat(200)), "long excerpts while they fit");
    let sample = report.samples[0].clone();
    report.samples = (0..20).map(|i| SampleNote { sample_id: format!("s{i}"), ..sample.clone() }).collect();
    for sample in &mut report.samples {
        sample.input.clone_from(&sample.output);
        sample.expected = Some(sample.output.clone());
        sample.baseline_output = Some(sample.output.clone());
    }
    let many = markdown::render(&report);
    assert!(many.contains("<code>s19</code>") && many.contains("<details>"), "all samples, shorter excerpts");
    assert!(!many.contains(&"word ".repeat(200)));
}

#[test]
fn foreign_text_acts_nowhere() {
    let attack = "</pre></details><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\n/approve\n\
                  @octocat #123 owner/repo#5 GH-7 https://evil.example www.evil.example\n```\n| a | b |\n\
                  <!-- llmops:scorecard other --> \u{1b}[31m\u{0}\u{202e}]]>&lt;";
    let report = filled_with(attack);
    let page = html::render(&report);
    assert!(!page.contains("<script") && !page.contains("<img"), "no element of the attack");
    assert!(!page.contains("url(") && !page.contains("<a ") && !page.contains("<iframe"), "nothing is loaded");
    let xml = junit::render(&report);
    well_formed(&xml).expect("well-formed");
    let text = markdown::render(&report);
    // The shell commands stand in a code block, where nothing is read.
    let outside = text.split("\n```").step_by(2).collect::<String>();
    assert_eq!(outside.matches("<!--").count(), 1, "one marker");
    let (_, outside) = outside.split_once('\n').expect("the marker is a line of its own");
    for active in ["<script", "<img", "@octocat", "#123", "repo#5", "GH-7", "https://", "www.", "\n/approve", "\n| a"] {
        assert!(!outside.contains(active), "{active:?} in {outside}");
    }
    assert_eq!(text.matches("\n```").count(), 2, "the only code block is ours");
    for page in [page, xml, text] {
        assert!(page.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'), "no control characters");
    }
}

#[test]
fn the_marker_is_one_harmless_comment() {
    let check = |key: &str, expected: &str| assert_eq!(markdown::marker(key), expected, "{key:?}");
    check("support-bot/default", "<!-- llmops:scorecard support-bot/default -->");
    check("a --> <b>", "<!-- llmops:scorecard a-b -->");
    check("日本 語", "<!-- llmops:scorecard  -->");
    check("---", "<!-- llmops:scorecard  -->");
}

#[test]
fn ids_are_quoted_in_commands() {
    let report = filled_with("it's $(rm -rf ~)");
    let steps: Vec<String> = scorecard::next_steps(&report).into_iter().map(|(command, _)| command).collect();
    insta::assert_snapshot!(steps.join("\n"), @r#"
    llmops run show 'it'\''s $(rm -rf ~)' --sample 'it'\''s $(rm -rf ~)'
    llmops compare baseline latest
    "#);
}

#[test]
fn html_is_one_self_contained_accessible_page() {
    let page = html::render(&report());
    assert!(page.contains("default-src 'none'") && page.contains("prefers-color-scheme: dark"));
    assert!(!page.contains("<script") && !page.contains("<a ") && !page.contains("url("));
    assert!(page.contains(
        "aria-label=\"refusal_behavior: 0.671, 95 % interval 0.601 to 0.741, baseline 0.912, limit 0.862, fail\""
    ));
    assert!(page.contains("<del>I can&#39;t share another customer&#39;s card details</del>"), "word by word");
    assert!(page.contains("<ins>as well,</ins>"));
    assert!(page.contains("<summary>5 checks passed</summary>"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_text_gives_a_sound_scorecard(text in any::<String>()) {
        let report = filled_with(&text);
        prop_assert!(well_formed(&junit::render(&report)).is_ok());
        prop_assert!(html::render(&report).ends_with("</html>\n"));
        let comment = markdown::render(&report);
        prop_assert!(comment.encode_utf16().count() <= markdown::MAX_LENGTH);
        prop_assert_eq!(comment.matches("<!--").count(), 1);
    }
}

#[test]
fn slack_blocks_are_within_slacks_limits_and_open_nothing() {
    let check = |report: &GateReport| {
        let message = scorecard::slack(report);
        let blocks = message["blocks"].as_array().unwrap();
        assert!((2..=50).contains(&blocks.len()));
        for block in blocks {
            let texts = [&block["text"]["text"], &block["elements"][0]["text"]];
            let most = if block["type"] == "header" { 150 } else { 3000 };
            assert!(texts.iter().filter_map(|text| text.as_str()).all(|text| text.chars().count() <= most), "{block}");
            let fields = block["fields"].as_array().cloned().unwrap_or_default();
            assert!(fields.len() <= 10);
            assert!(fields.iter().all(|field| field["text"].as_str().unwrap().chars().count() <= 2000), "{block}");
        }
        let sections = blocks.iter().filter(|block| block["type"] != "header");
        assert!(sections.clone().all(|block| !block.to_string().contains("<!channel>")), "{message}");
    };
    check(&report());
    check(&empty());
    check(&filled_with("<!channel> & more"));
    check(&filled_with(&"long <text> ".repeat(2000)));
    let message = scorecard::slack(&report());
    assert!(message["text"].as_str().unwrap().starts_with(":x:"), "{message}");
}

#[test]
fn counts_of_samples_stand_beside_their_own_share() {
    let check = |passed: u64, rate: f64, expected: &str| {
        let mut results = report().run.results.unwrap();
        (results.total_samples, results.passed_samples, results.errored_samples) = (6, passed, 0);
        results.pass_rate = llmops_domain::run::Estimate { value: rate, n: 6, lower: 0.0, upper: 1.0 };
        assert_eq!(llmops_domain::scorecard::passed_text(&results), expected);
    };
    check(3, 0.5, "3 of 6 samples passed (50.0 %)");
    check(0, 2.0 / 30.0, "0 of 6 samples passed every time, 6.7 % of trials");
    check(0, 0.0, "0 of 6 samples passed (0.0 %)");
}

#[test]
fn projects_of_one_repository_have_comments_of_their_own() {
    let first = |project: &str| {
        llmops_domain::scorecard::markdown_of_project(project, &report()).lines().next().map(str::to_owned)
    };
    assert_eq!(first("shop").as_deref(), Some("<!-- llmops:scorecard shop/support-bot/golden -->"));
    assert_ne!(first("shop"), first("help"));
}
