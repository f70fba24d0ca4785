//! `llmops experiment power`: how large an experiment must be.

use crate::project::Project;

fn plan(args: &[&str]) -> serde_json::Value {
    let said = Project::new(&[]).expect(0, &[&["experiment", "power", "--json"], args].concat());
    serde_json::from_str(&said.out).unwrap()
}

#[test]
fn sizes_are_those_of_the_textbooks() {
    let check = |args: &str, n: u64, method: &str| {
        let plan = plan(&args.split(' ').collect::<Vec<_>>());
        assert_eq!((plan["n_per_variant"].as_u64(), plan["method"].as_str()), (Some(n), Some(method)), "{args}");
        assert_eq!(plan["n_total"].as_u64(), Some(2 * n), "{args}");
    };
    check("--baseline 0.6 --mde 0.05", 1471, "arcsine");
    check("--baseline 0.6 --mde 0.05 --method pooled", 1471, "pooled");
    check("--baseline 0.6 --mde 0.05 --method unpooled", 1468, "unpooled");
    check("--baseline 0.6 --mde 0.05 --method continuity", 1511, "continuity");
    check("--baseline 0.6 --mde -0.05", 1534, "arcsine");
    check("--baseline 0.6 --mde 0.05 --alpha 0.01 --power 0.9", 2787, "arcsine");
    check("--baseline 0.9 --mde 0.1", 38, "arcsine");
    check("--mde 0.5 --mean-sd 1", 64, "t_test");
    check("--mde -0.5 --mean-sd 1 --baseline -3", 64, "t_test");
}

#[test]
fn the_plan_says_what_it_follows_from() {
    insta::assert_json_snapshot!(plan(&["--baseline", "0.6", "--mde", "0.05", "--traffic", "100"]), @r#"
    {
      "n_per_variant": 1471,
      "n_total": 2942,
      "variants": 2,
      "method": "arcsine",
      "alpha": 0.05,
      "power": 0.8,
      "baseline": 0.6,
      "mde": 0.05,
      "days": 30
    }
    "#);
    assert_eq!(plan(&["--baseline", "0.6", "--mde", "0.05"])["days"], serde_json::Value::Null);
}

#[test]
fn people_get_a_list() {
    let args = ["experiment", "power", "--baseline", "0.6", "--mde", "0.05", "--traffic", "1000"];
    insta::assert_snapshot!(Project::new(&[]).expect(0, &args).out, @"
    per variant    1471
    both variants  2942
    duration       3 days at 1000 a day
    effect         from 0.6 to 0.65
    method         two rates, arcsine (Cohen's h)
    alpha, power   0.05 two-sided, 0.8
    basis          one look (fixed-horizon); any number of looks takes about twice as many
    ");
}

#[test]
fn several_variants_share_what_may_go_wrong() {
    let several = ["--baseline", "0.6", "--mde", "0.05", "--variants", "3", "--traffic", "100"];
    let planned = plan(&several);
    // Two comparisons at 0.025 each.
    let alone = plan(&["--baseline", "0.6", "--mde", "0.05", "--alpha", "0.025"]);
    assert_eq!(planned["n_per_variant"], alone["n_per_variant"]);
    let n = alone["n_per_variant"].as_u64().unwrap();
    assert_eq!((planned["n_total"].as_u64(), planned["days"].as_u64()), (Some(3 * n), Some((3 * n).div_ceil(100))));
    let said = Project::new(&[]).expect(0, &[&["experiment", "power"], &several[..]].concat());
    assert!(said.out.contains("0.05 two-sided shared by 2 comparisons, 0.8"), "{}", said.out);
}

#[test]
fn what_has_no_answer_is_refused_with_a_hint() {
    let check = |args: &str, expected: &[&str]| {
        let project = Project::new(&[]);
        let said = project.expect(2, &[&["experiment", "power"], &args.split(' ').collect::<Vec<_>>()[..]].concat());
        for expected in expected {
            assert!(said.err.contains(expected), "`{expected}` is missing in:\n{}", said.err);
        }
    };
    check("--baseline 60 --mde 0.05", &["--baseline is 60", "hint: 60 % is 0.6"]);
    check("--baseline 0 --mde 0.05", &["--baseline is 0"]);
    check("--baseline nan --mde nan", &["--baseline is NaN", "--mde is NaN", "hint:"]);
    check("--baseline 0.6 --mde 0", &["--mde is 0", "hint:"]);
    check("--baseline 0.6 --mde 0.5", &["make 1.1", "hint: --mde is a difference"]);
    check("--baseline 0.6 --mde -0.7", &["hint: --mde is a difference"]);
    check(
        "--baseline 2 --mde 0 --alpha 1 --power -1",
        &["--baseline is 2", "--mde is 0", "--alpha is 1", "--power is -1"],
    );
    check("--baseline 0.6 --mde 0.05 --power 0.04", &["expected more than --alpha"]);
    check("--mean-sd 0 --mde 1", &["--mean-sd is 0", "hint:"]);
    check("--baseline 0.6 --mde 1e-12", &["the sample size did not converge", "hint: a larger --mde"]);
    check("--mde 0.05", &["--baseline"]);
    check("--mean-sd 1 --mde 1 --method pooled", &["--method"]);
    check("--baseline 0.6 --mde 0.05 --traffic 0", &["--traffic"]);
    check("--baseline 0.6 --mde 0.05 --variants 1", &["--variants"]);
}
