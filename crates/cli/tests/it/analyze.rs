//! `llmops experiment analyze`: observations from anywhere.

use std::fmt::Write as _;

use serde_json::Value;

use crate::project::Project;

const OBSERVATIONS: &str = include_str!("../fixtures/observations.csv");
const REFERENCE: &str = include_str!("../fixtures/observations.json");

fn analyse(csv: &str, args: &[&str]) -> Value {
    let project = Project::new(&[("observations.csv", csv)]);
    let said = project.expect(0, &[&["experiment", "analyze", "observations.csv", "--json"], args].concat());
    serde_json::from_str(&said.out).unwrap()
}

fn near(what: &str, got: &Value, expected: &Value) {
    let (got, expected) = (got.as_f64(), expected.as_f64());
    let (Some(got), Some(expected)) = (got, expected) else { panic!("{what}: {got:?}, {expected:?} expected") };
    assert!((got - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{what}: {got}, {expected} expected");
}

#[test]
fn agrees_with_the_reference_implementations() {
    let reference: Value = serde_json::from_str(REFERENCE).unwrap();
    let check = |name: &str, args: &str, method: &str| {
        let args: Vec<&str> = ["--control", "A"].into_iter().chain(args.split(' ')).collect();
        let result = analyse(OBSERVATIONS, &args);
        let (comparison, expected) = (&result["comparisons"][0], &reference[name]);
        assert_eq!(comparison["fixed"]["method"], method, "{name}");
        near(name, &comparison["fixed"]["p_value"], &expected["p"]);
        if let Some(effect) = expected.get("effect") {
            near(name, &comparison["fixed"]["effect"], effect);
            near(name, &comparison["fixed"]["interval"]["low"], &expected["interval"][0]);
            near(name, &comparison["fixed"]["interval"]["high"], &expected["interval"][1]);
        }
        result
    };
    let result = check("welch", "--metric quality", "welch_t");
    near("df", &result["comparisons"][0]["fixed"]["df"], &reference["welch"]["df"]);
    near("lift", &result["comparisons"][0]["lift"]["value"], &reference["relative"]["effect"]);
    assert_eq!(result["variant_results"]["A"]["sample_count"], reference["welch"]["n"][0]);
    check("student", "--metric quality --test student", "student_t");
    check("count", "--metric spend --kind count", "welch_t");
    let result = check("z", "--metric solved --kind binary", "two_proportion_z_pooled");
    near("rate", &result["variant_results"]["B"]["conversion_rate"], &reference["z"]["rates"][1]);
    check("chi_squared", "--metric solved --kind binary --test chi-squared", "chi_squared");
    check("chi_squared_yates", "--metric solved --kind binary --test chi_squared_yates", "chi_squared_yates");
    check("fisher", "--metric rare", "fisher_exact");
    let result = check("mann_whitney", "--metric rating --kind ordinal", "mann_whitney_asymptotic");
    near("U", &result["comparisons"][0]["fixed"]["statistic"], &reference["mann_whitney"]["u"]);
    check("ratio", "--metric spend --kind ratio --denominator calls", "ratio_delta");
    let result = check("cuped", "--metric quality --covariate before", "cuped");
    near("theta", &result["comparisons"][0]["cuped"]["theta"], &reference["cuped"]["theta"]);
    let result = analyse(OBSERVATIONS, &["--control", "A", "--metric", "latency", "--quantile", "0.9"]);
    assert_eq!(result["comparisons"][0]["fixed"]["method"], "quantile_difference_clustered");
    for (arm, value) in ["A", "B"].into_iter().zip(reference["quantile"]["values"].as_array().unwrap()) {
        near("quantile", &result["variant_results"][arm]["metrics"]["latency"]["quantile"]["value"], value);
    }
}

#[test]
fn options_belong_to_the_metrics_they_are_for() {
    let spec = |args: &[&str], metric: &str, what: &str| {
        let result = analyse(OBSERVATIONS, &[&["--control", "A"], args].concat());
        result["variant_results"]["A"]["metrics"][metric][what].clone()
    };
    // The denominator is that of the ratio, wherever it stands.
    let alone = spec(&["--metric", "spend", "--kind", "ratio", "--denominator", "calls"], "spend", "mean");
    let second = ["--metric", "quality,spend", "--kind", "spend=ratio", "--denominator", "calls"];
    assert_eq!(spec(&second, "spend", "mean"), alone);
    assert_eq!(spec(&second, "quality", "mean"), spec(&["--metric", "quality"], "quality", "mean"));
    let named = ["--metric", "quality,spend", "--kind", "spend=ratio", "--denominator", "spend=calls"];
    assert_eq!(spec(&named, "spend", "mean"), alone);
    // The quantile is that of the latency, limits are the first metric's or the named one's.
    let quantile = ["--metric", "quality,latency", "--quantile", "0.5"];
    assert_eq!(spec(&quantile, "latency", "quantile")["q"], 0.5);
    assert_eq!(spec(&quantile, "quality", "quantile"), Value::Null);
    let capped = ["--metric", "quality,latency", "--cap", "latency=1"];
    assert_ne!(spec(&capped, "latency", "sd"), spec(&quantile, "latency", "sd"));
    assert_eq!(spec(&capped, "quality", "sd"), spec(&quantile, "quality", "sd"));
}

#[test]
fn says_what_differences_and_intervals_are_of() {
    let rows = "unit,variant,metric,value\n".to_owned()
        + &(0..60)
            .fold(String::new(), |rows, i| rows + &format!("a{i},a,stars,{}\nb{i},b,stars,{}\n", i % 4, i % 5 + 1));
    let same: String = ["a", "b"].iter().flat_map(|v| (0..3).map(move |i| format!("{v}{i},{v},five,5\n"))).collect();
    let project = Project::new(&[("stars.csv", &rows), ("five.csv", &format!("unit,variant,metric,value\n{same}"))]);
    let say = |file: &str, args: &[&str]| {
        project.expect(0, &[&["experiment", "analyze", file, "--control", "a"], args].concat()).out.replace("\n  ", " ")
    };
    let ranks = say("stars.csv", &["--kind", "ordinal"]);
    assert!(
        ranks.contains("stars: the difference is of ranks, not of the means above (probability of superiority"),
        "{ranks}"
    );
    let means = say("stars.csv", &[]);
    assert!(!means.contains("of ranks"), "{means}");
    let misfit = say("stars.csv", &["--kind", "ordinal", "--test", "z-test"]);
    assert!(
        misfit.contains("z-test compares rates, and not every unit's value is 0 or 1; mann-whitney does"),
        "{misfit}"
    );
    let misfit = say("stars.csv", &["--test", "delta"]);
    assert!(misfit.contains("delta compares ratios"), "{misfit}");
    // Equal values do not tell how far they scatter.
    let constant = say("five.csv", &[]);
    assert!(!constant.contains("[5, 5]"), "{constant}");
}

#[test]
fn the_past_needs_no_variants() {
    let rows = "unit,metric,value\n".to_owned()
        + &(0..50).fold(String::new(), |rows, i| rows + &format!("u{i},buy,{}\n", i % 2));
    let bad = "unit,metric,value\n".to_owned() + &"u,buy,x\n".repeat(150);
    let project = Project::new(&[("past.csv", &rows), ("bad.csv", &bad)]);
    let simulate = |code, file: &str| {
        let args =
            ["experiment", "simulate", file, "--metric", "buy", "--experiments", "5", "--units", "100", "--looks", "2"];
        project.expect(code, &args)
    };
    assert!(simulate(0, "past.csv").out.contains("drawn from         50 units"), "{}", simulate(0, "past.csv").out);
    assert!(simulate(1, "bad.csv").err.contains("… and 50 more"), "{}", simulate(1, "bad.csv").err);
}

#[test]
fn refuses_what_would_change_nothing() {
    let project = Project::new(&[("observations.csv", OBSERVATIONS)]);
    let check = |args: &[&str], expected: &str| {
        let start = ["experiment", "analyze", "observations.csv", "--control", "A", "--metric", "quality"];
        let said = project.expect(2, &[&start, args].concat());
        assert!(said.err.contains(expected), "{}", said.err);
    };
    check(&["--denominator", "calls"], "no metric is a ratio");
    check(&["--denominator", "quality=calls"], "`quality` is no ratio");
    check(&["--cap", "latency=1"], "--cap: `latency` is none of the metrics");
    check(&["--quantile", "1.5"], "--quantile is 1.5");
    check(&["--cap", "NaN"], "--cap is NaN");
    check(&["--cap", "1", "--floor", "2"], "--floor of `quality` is 2");
}

/// So many units of each arm, the first few of which succeed.
fn rates(arms: &[(&str, u32, u32)]) -> String {
    let mut csv = "unit,variant,metric,value\n".to_owned();
    for (name, successes, n) in arms {
        (0..*n).for_each(|i| writeln!(csv, "{name}{i},{name},solved,{}", u8::from(i < *successes)).unwrap());
    }
    csv
}

#[test]
fn a_winner_needs_everything_to_hold() {
    let result = analyse(&rates(&[("control", 600, 1000), ("new", 700, 1000)]), &[]);
    assert_eq!((&result["winner"], &result["conclusion"]), (&"new".into(), &"winner".into()));
    assert!(result["confidence"].as_f64().unwrap() > 0.99);
    let told = |result: &Value| {
        let what = |missing: &Value| missing["what"].as_str().unwrap().to_owned();
        assert_eq!(result["winner"], Value::Null, "{result}");
        result["missing"].as_array().unwrap().iter().map(what).collect::<Vec<_>>()
    };
    // A difference that one look calls significant, and any number of looks does not.
    let result = analyse(&rates(&[("control", 600, 1000), ("new", 645, 1000)]), &[]);
    assert!(result["comparisons"][0]["fixed"]["p_value"].as_f64().unwrap() < 0.05);
    assert_eq!(told(&result), ["significance"]);
    assert!(result["forecast"]["more_units"].as_u64().unwrap() > 0);
    let result = analyse(&rates(&[("control", 10, 60), ("new", 50, 60)]), &[]);
    assert_eq!(told(&result), ["samples"]);
    let result = analyse(&rates(&[("control", 600, 1000), ("new", 910, 1300)]), &[]);
    assert_eq!((told(&result), &result["conclusion"]), (vec!["sample_ratio".to_owned()], &"blocked".into()));
    let fine = analyse(&rates(&[("control", 600, 1000), ("new", 910, 1300)]), &["--split", "control=0.435,new=0.565"]);
    assert_eq!(fine["winner"], "new");
    let result = analyse(
        &rates(&[("control", 600, 1000), ("new", 700, 1000)]),
        &["--basis", "fixed-horizon", "--planned-n", "2000"],
    );
    assert_eq!(told(&result), ["planned_n"]);
    let result = analyse(&rates(&[("control", 700, 1000), ("new", 600, 1000)]), &[]);
    assert_eq!(result["winner"], "control", "{}", result["recommendation"]);
}

#[test]
fn corrects_for_several_variants() {
    let result = analyse(
        &rates(&[("a", 500, 1000), ("b", 560, 1000), ("c", 540, 1000)]),
        &["--control", "a", "--basis", "fixed-horizon", "--planned-n", "1000"],
    );
    let p = |i: usize, name: &str| result["comparisons"][i][name].as_f64().unwrap();
    near("Holm", &(2.0 * p(0, "p_value")).into(), &p(0, "p_value_corrected").into());
    assert_eq!(p(1, "p_value_corrected"), p(1, "p_value"));
}

#[test]
fn a_small_arm_without_events_is_not_believed() {
    let check = |control: (u32, u32), new: (u32, u32)| {
        let result = analyse(
            &rates(&[("a", control.0, control.1), ("b", new.0, new.1)]),
            &["--control", "a", "--kind", "binary", "--split", "a=0.95,b=0.05"],
        );
        let p = result["comparisons"][0]["always_valid"]["p_value"].as_f64().unwrap();
        assert!(p > 0.2 && result["winner"].is_null(), "p = {p}: {}", result["recommendation"]);
    };
    check((40, 1900), (0, 100));
    check((1860, 1900), (100, 100));
}

#[test]
fn a_variant_without_share_has_no_units_and_is_not_waited_for() {
    let split = ["--control", "a", "--split", "a=0.5,b=0.5,c=0"];
    let astray = analyse(&rates(&[("a", 400, 1000), ("b", 400, 1000), ("c", 700, 1000)]), &split);
    assert_eq!((&astray["conclusion"], &astray["sample_ratio"]["p_value"]), (&"blocked".into(), &0.0.into()));
    let result = analyse(&rates(&[("a", 400, 1000), ("b", 600, 1000)]), &split);
    assert_eq!(result["winner"], "b", "{}", result["recommendation"]);
    let result = analyse(&rates(&[("a", 600, 1000), ("b", 400, 1000)]), &split);
    assert_eq!(result["winner"], "a", "{}", result["recommendation"]);
}

#[test]
fn whoever_looks_again_after_the_one_look_gets_no_winner() {
    let check = |n: u32, expected: Option<&str>| {
        let rows = rates(&[("control", n * 6 / 10, n), ("new", n * 7 / 10, n)]);
        let result = analyse(&rows, &["--basis", "fixed-horizon", "--planned-n", "1000"]);
        assert_eq!(result["winner"].as_str(), expected, "{n}: {}", result["recommendation"]);
    };
    check(1000, Some("new"));
    check(1100, Some("new"));
    check(1200, None);
}

/// Rows of one metric, whose value is a function of the unit's number, in two arms of 300 units.
fn arms(metric: &str, control: impl Fn(u32) -> f64, new: impl Fn(u32) -> f64) -> String {
    let row = |name: &str, i: u32, value: f64| format!("{name}{i},{name},{metric},{value}\n");
    (0..300).map(|i| row("control", i, control(i)) + &row("new", i, new(i))).collect()
}

const HEADER: &str = "unit,variant,metric,value\n";

#[test]
fn the_interval_of_the_lift_holds_where_that_of_the_difference_does() {
    let mut decided = [0; 2];
    for (before, after) in [(40, 56), (56, 40), (40, 75), (75, 40), (300, 348), (348, 300), (300, 420), (420, 300)] {
        let n = if before.max(after) > 100 { 600 } else { 100 };
        for basis in ["always-valid", "fixed-horizon"] {
            let data = rates(&[("control", before, n), ("new", after, n)]);
            let result = analyse(&data, &["--kind", "binary", "--basis", basis, "--planned-n", &n.to_string()]);
            let comparison = &result["comparisons"][0];
            let bounds = |of: &Value| (of["low"].as_f64().unwrap(), of["high"].as_f64().unwrap());
            let excludes = |(low, high): (f64, f64)| low > 0.0 || high < 0.0;
            let (difference, lift) = (bounds(&comparison["interval"]), bounds(&comparison["lift"]["interval"]));
            let value = comparison["lift"]["value"].as_f64().unwrap();
            assert!(lift.0 < value && value < lift.1, "{comparison}");
            if basis == "always-valid" {
                assert_eq!(excludes(difference), excludes(lift), "{before} {after} of {n}: {comparison}");
                decided[usize::from(excludes(lift))] += 1;
            }
        }
    }
    assert!(decided[0] > 0 && decided[1] > 0, "{decided:?}");
}

#[test]
fn lift_and_chance_are_those_of_what_decides() {
    let noise = |i: u32| f64::from(i * 37 % 101) / 100.0;
    // The new arm had less before, and gained.
    let adjusted = HEADER.to_owned()
        + &arms("before", |i| f64::from(i % 10) + 6.0, |i| f64::from(i % 10) + 5.0)
        + &arms("spend", |i| f64::from(i % 10) + 6.0 + noise(i), |i| f64::from(i % 10) + 5.5 + noise(i));
    let found = |result: &Value| {
        let c = &result["comparisons"][0];
        (c["lift"]["value"].as_f64(), c["bayes"]["chance_to_win"].as_f64().unwrap())
    };
    let result = analyse(&adjusted, &["--metric", "spend", "--covariate", "before"]);
    let (lift, chance) = found(&result);
    assert!(lift.unwrap() > 0.0 && chance > 0.99, "{result}");
    assert!(result["recommendation"].as_str().unwrap().contains("on spend by +"), "{}", result["recommendation"]);
    assert!(result["variant_results"]["new"]["improvement"].as_f64().unwrap() > 0.0);
    // Mostly faster, and slower where it is slow.
    let slow = |i: u32| if i.is_multiple_of(8) { 500.0 + noise(i) } else { 10.0 + noise(i) };
    let result = analyse(&(HEADER.to_owned() + &arms("latency", |i| 100.0 + 50.0 * noise(i), slow)), &[]);
    let (lift, chance) = found(&result);
    assert!(lift.unwrap() > 1.0 && chance < 0.01, "{result}");
    let ratings = HEADER.to_owned() + &arms("stars", |i| f64::from(i % 5 + 1), |i| f64::from((i % 5 + 2).min(5)));
    let result = analyse(&ratings, &["--kind", "ordinal"]);
    let (lift, chance) = found(&result);
    assert!(lift.is_none() && chance > 0.99, "{result}");
    let text = result["recommendation"].as_str().unwrap();
    assert!(text.starts_with("Choose new: it beats control on stars in 66 % of pairs (p = "), "{text}");
}

#[test]
fn ranks_are_no_amount_of_the_metric() {
    let better = |i: u32| f64::from(if i % 10 < 7 { (i % 5 + 2).min(5) } else { i % 5 + 1 });
    let few: String = (HEADER.to_owned() + &arms("stars", |i| f64::from(i % 5 + 1), better))
        .lines()
        .take(151)
        .fold(String::new(), |rows, row| rows + row + "\n");
    let result = analyse(&few, &["--kind", "ordinal", "--minimum-effect", "0.5"]);
    let text = result["recommendation"].as_str().unwrap();
    assert!(!text.contains("whichever is cheaper"), "{text}");
    let mut rows =
        HEADER.to_owned() + &arms("ok", |i| f64::from(u8::from(i % 10 < 4)), |i| f64::from(u8::from(i % 10 < 8)));
    for i in 0..60 {
        writeln!(rows, "control{i},control,latency,{}\nnew{i},new,latency,{}", 100 + i, 1000 + 7 * i).unwrap();
    }
    let result = analyse(&rows, &["--metric", "ok", "--guardrail", "latency=10"]);
    let guardrail =
        &result["comparisons"].as_array().unwrap().iter().find(|c| c["metric"] == "latency").unwrap()["guardrail"];
    assert_eq!((&result["winner"], &guardrail["state"]), (&Value::Null, &"open".into()), "{guardrail}");
}

#[test]
fn values_that_one_variant_loses_block_the_conclusion() {
    let mut rows = rates(&[("control", 600, 1000), ("new", 600, 750)]);
    (0..1000).for_each(|i| writeln!(rows, "control{i},control,cost,1\nnew{i},new,cost,1").unwrap());
    let result = analyse(&rows, &["--metric", "solved"]);
    assert_eq!(
        (&result["conclusion"], &result["sample_ratio"]["counted"]),
        (&"blocked".into(), &"units with solved".into())
    );
}

#[test]
fn units_in_two_variants_are_named_and_left_out() {
    let csv = rates(&[("control", 60, 100), ("new", 70, 100)]) + "control7,new,solved,1\n";
    let result = analyse(&csv, &[]);
    assert_eq!(result["excluded"]["units_in_several_variants"], 1);
    assert_eq!(result["excluded"]["examples"], serde_json::json!(["control7"]));
    assert_eq!(result["variant_results"]["control"]["sample_count"], 99);
    assert_eq!(result["variant_results"]["new"]["sample_count"], 100);
}

#[test]
fn degenerate_data_have_answers() {
    let one = analyse("unit,variant,metric,value\nu,A,m,0.5\nv,B,m,0.7\n", &["--control", "A"]);
    assert_eq!(one["variant_results"]["A"]["metric_values"]["m"], 0.5);
    assert!(
        one["comparisons"][0]["notice"].as_str().unwrap().contains("2 needed")
            || one["comparisons"][0]["notice"].as_str().unwrap().contains("needs 2"),
        "{one}"
    );
    assert_eq!((&one["winner"], &one["significance"]), (&Value::Null, &1.0.into()));
    let constant = |a: &str, b: &str| {
        let rows: String = (0..50).map(|i| format!("a{i},A,m,{a}\nb{i},B,m,{b}\n")).collect();
        analyse(&format!("unit,variant,metric,value\n{rows}"), &["--control", "A", "--kind", "continuous"])
    };
    assert_eq!(constant("0.3", "0.3")["comparisons"][0]["fixed"]["p_value"], 1.0);
    assert!(constant("0.3", "0.4")["comparisons"][0]["notice"].as_str().unwrap().contains("all equal"));
}

#[test]
fn wrong_rows_are_told_with_their_lines() {
    let check = |csv: &str, args: &[&str], code: i32, expected: &[&str]| {
        let project = Project::new(&[("o.csv", csv)]);
        let said = project.expect(code, &[&["experiment", "analyze", "o.csv"], args].concat());
        for text in expected {
            assert!(said.err.contains(text), "{text:?} is not in\n{}", said.err);
        }
    };
    let head = "unit,variant,metric,value\n";
    check(
        &format!("{head}u,A,m,nan\nv,B,m,inf\nw,B,m,x\n"),
        &["--control", "A"],
        1,
        &["line 2: value: NaN", "line 3: value: inf", "line 4: value: `x` is no number"],
    );
    check(&format!("{head}u,A,m,1\nv,B,m,2\n"), &["--control", "C"], 2, &["there is no variant `C`", "A, B"]);
    check(&format!("{head}u,A,m,1\nv,B,m,2\n"), &[], 2, &["which variant is the control?"]);
    check(&format!("{head}u,A,m,1\nv,B,m,2\n"), &["--control", "A", "--metric", "n"], 2, &["there is no metric `n`"]);
    check(
        &format!("{head}u,A,m,1\nv,X,m,2\n"),
        &["--control", "A", "--split", "A=0.5,B=0.5"],
        1,
        &["line 3: variant: `X` is none of the variants"],
    );
    check(&format!("{head}u,A,m,1\n"), &["--control", "A"], 1, &["one variant only"]);
    check(head, &["--control", "A"], 1, &["there are no observations"]);
    check("", &["--control", "A"], 1, &["it is empty"]);
    check("unit,variant,value\nu,A,1\n", &["--control", "A"], 1, &["the header lacks `metric`"]);
    check(
        &format!("{head}u,A,m,1\nv,B,m,2\n"),
        &["--control", "A", "--alpha", "2", "--quantile", "1.5"],
        2,
        &["--alpha is 2", "--quantile is 1.5"],
    );
}

#[test]
fn people_get_tables() {
    let project = Project::new(&[("o.csv", &rates(&[("control", 600, 1000), ("new", 700, 1000)]))]);
    insta::assert_snapshot!(project.expect(0, &["experiment", "analyze", "o.csv"]).out, @r"
    winner: new  (confidence 0.9996, significance 0.0004373)
    Choose new: it beats control on solved by +16.7 % (p = 0.000437).

    Variants
    metric  variant  units  observations  mean          interval
    ─────────────────────────────────────────────────────────────
    solved  control   1000          1000   0.6  [0.5693, 0.6299]
    solved  new       1000          1000   0.7  [0.6709, 0.7276]

    Beside control
    metric  variant  difference     lift       always valid          p  one look
    ────────────────────────────────────────────────────────────────────────────────────────────────────
    solved  new            +0.1  +16.7 %  [0.03373, 0.1663]  0.0004373  two-proportion z-test (pooled),
                                                                        p = 2.8e−6
      p is always valid: it may be looked at at any time, corrected, against alpha 0.05; split as it
      should be: p = 1 (observed units).
    ");
}

#[test]
fn values_that_are_none_of_a_kind_are_refused() {
    let refused = |value: &str, kind: &str| {
        let csv = format!("unit,variant,metric,value\na,A,n,{value}\nb,B,n,1\nc,A,n,2\nd,B,n,3\n");
        let project = Project::new(&[("observations.csv", &csv)]);
        let said = project.run(&[
            "experiment",
            "analyze",
            "observations.csv",
            "--control",
            "A",
            "--metric",
            "n",
            "--kind",
            kind,
        ]);
        (said.code != 0).then_some(said.err)
    };
    assert!(
        refused("-1", "count")
            .unwrap()
            .contains("metric `n`: there is the value -1, and a count is a whole number from 0")
    );
    assert!(refused("2", "binary").unwrap().contains("a binary metric has 0 or 1"));
    assert_eq!(refused("2", "count"), None);
    assert_eq!(refused("-1", "continuous"), None);
}
