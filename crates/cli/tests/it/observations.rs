//! Recording observations and reading results, as a user does.

use std::fmt::Write as _;

use serde_json::Value;

use crate::project::Project;

fn json(project: &Project, args: &[&str]) -> Value {
    serde_json::from_str(&project.expect(0, &[args, &["--json"]].concat()).out).unwrap()
}

#[test]
fn from_observations_to_a_winner() {
    let project = Project::new(&[("llmops.yaml", "version: 1\nproject: shop\n"), ("experiment.yaml", EXPERIMENT)]);
    let created = json(&project, &["experiment", "create", "experiment.yaml"]);
    let id = created["id"].as_str().unwrap();
    let refused =
        project.expect(2, &["experiment", "record", id, "--metric", "solved", "--value", "1", "--variant", "control"]);
    assert!(refused.err.contains("start it first"), "{}", refused.err);
    project.expect(0, &["experiment", "start", id]);
    let mut csv = "unit,variant,metric,value\n".to_owned();
    for i in 0..2000 {
        let (variant, solved) = if i % 2 == 0 { ("control", i % 10 < 6) } else { ("new", i % 10 < 8) };
        writeln!(csv, "u{i},{variant},solved,{}", u8::from(solved)).unwrap();
        writeln!(csv, "u{i},{variant},rating,{}", 1 + i % 5).unwrap();
    }
    project.write("observations.csv", &csv);
    let recorded = json(&project, &["experiment", "import", id, "observations.csv"]);
    assert_eq!((&recorded["accepted"], &recorded["refused"]), (&4000.into(), &0.into()));
    let again = json(&project, &["experiment", "import", id, "observations.csv"]);
    assert_eq!((&again["accepted"], &again["duplicates"]), (&0.into(), &4000.into()));
    let result = json(&project, &["experiment", "results", id]);
    let from_file = json(&project, &["experiment", "analyze", "observations.csv", "--metric", "solved"]);
    for name in ["p_value", "difference", "interval", "lift", "bayes", "fixed", "always_valid"] {
        assert_eq!(result["comparisons"][0][name], from_file["comparisons"][0][name], "{name}");
    }
    assert_eq!((&result["total_samples"], &result["winner"]), (&2000.into(), &"new".into()), "{result}");
    assert!(result["confidence"].as_f64().unwrap() > 0.95);
    assert!(result["recommendation"].as_str().unwrap().starts_with("Choose new"));
    let asked = json(&project, &["experiment", "ask", id, "--metric", "rating", "--kind", "continuous"]);
    assert_eq!((&asked["status"], &asked["observations"]), (&"answered".into(), &2000.into()), "{asked}");
    assert_eq!(
        (&asked["result"]["comparisons"][0]["kind"], &asked["result"]["winner"]),
        (&"continuous".into(), &Value::Null)
    );
    assert!(project.expect(0, &["experiment", "ask", id, "--list"]).out.contains("answered"));
    let wrong = project.expect(2, &["experiment", "ask", id, "--metric", "ratin"]);
    assert!(wrong.err.contains("did you mean rating?"), "{}", wrong.err);
    project.write("bad.csv", "unit,variant,metric,value\nx,contrl,solved,1\ny,new,sovled,1\nz,new,solved,nan\n");
    let bad = project.expect(1, &["experiment", "import", id, "bad.csv"]);
    for text in ["line 2: variant: `contrl`", "did you mean control?", "line 3: metric: `sovled`", "line 4: value: NaN"]
    {
        assert!(bad.err.contains(text), "{text:?} is not in\n{}", bad.err);
    }
    // Mended and grown, the file counts its new lines alone.
    writeln!(csv, "late,new,solved,oops").unwrap();
    project.write("observations.csv", &csv);
    project.expect(1, &["experiment", "import", id, "observations.csv"]);
    project.write("observations.csv", &csv.replace("oops", "1").replace('\n', "\r\n"));
    let mended = json(&project, &["experiment", "import", id, "observations.csv"]);
    assert_eq!((&mended["accepted"], &mended["duplicates"]), (&1.into(), &4000.into()));
    project.expect(
        0,
        &["experiment", "record", id, "--metric", "solved", "--value", "1", "--unit", "late", "--variant", "new"],
    );
    assert_eq!(json(&project, &["experiment", "results", id])["total_samples"], 2001);
    project.expect(0, &["experiment", "report", id, "--html", "report.html"]);
    assert!(project.read("report.html").contains("Winner: new"));
}

/// Two people, observed sixty times each.
fn two_people(header: &str) -> String {
    (0..60).fold(format!("{header}\n"), |csv, i| {
        csv + &format!("alice,control,rating,{}\nbob,new,rating,{}\n", i % 3, i % 3 + 1)
    })
}

#[test]
fn rows_that_name_no_unit_are_refused() {
    let project = Project::new(&[("llmops.yaml", "version: 1\nproject: shop\n"), ("experiment.yaml", EXPERIMENT)]);
    let id = json(&project, &["experiment", "create", "experiment.yaml", "--start"])["id"].as_str().unwrap().to_owned();
    project.write("h.csv", &two_people("user_id,variant,metric,value"));
    let refused = project.expect(2, &["experiment", "import", &id, "h.csv"]);
    let expected = "the header lacks `unit` (is `user_id` meant?): expected the columns unit,variant,metric,value[,at], there are \
                    user_id,variant,metric,value";
    assert!(refused.err.contains(expected), "{}", refused.err);
    assert_eq!(json(&project, &["experiment", "results", &id])["total_samples"], 0);
    project.write("h.jsonl", "{\"user\": \"alice\", \"variant\": \"control\", \"metric\": \"rating\", \"value\": 1}\n");
    let refused = project.expect(1, &["experiment", "import", &id, "h.jsonl"]);
    assert!(refused.err.contains("line 1: unit: missing; is `user` meant?"), "{}", refused.err);
    project.write("h.csv", &two_people("unit,variant,metric,value"));
    project.expect(0, &["experiment", "import", &id, "h.csv"]);
    let results = json(&project, &["experiment", "results", &id]);
    let units = |variant: &str| results["variant_results"][variant]["metrics"]["rating"]["units"].as_u64();
    assert_eq!([units("control"), units("new")], [Some(1), Some(1)], "{results}");
    // Who means it says so.
    project.write("rows.csv", &two_people("who,variant,metric,value"));
    let taken = json(&project, &["experiment", "import", &id, "rows.csv", "--no-units"]);
    assert_eq!(taken["accepted"], 120);
}

#[test]
fn a_mended_value_takes_the_place_of_the_one_before() {
    let project = Project::new(&[("llmops.yaml", "version: 1\nproject: shop\n"), ("experiment.yaml", EXPERIMENT)]);
    let id = json(&project, &["experiment", "create", "experiment.yaml", "--start"])["id"].as_str().unwrap().to_owned();
    project.write("m.csv", "unit,variant,metric,value\nu1,control,rating,10\nu2,new,rating,5\n");
    project.expect(0, &["experiment", "import", &id, "m.csv"]);
    project.write("m.csv", "unit,variant,metric,value\nu1,control,rating,1\nu2,new,rating,5\nu3,new,rating,4\n");
    let said = project.expect(0, &["experiment", "import", &id, "m.csv"]);
    assert!(
        said.out.contains("1 observation recorded, 2 were recorded before, 1 of them with another value"),
        "{}",
        said.out
    );
    let results = json(&project, &["experiment", "results", &id]);
    let of = &results["variant_results"]["control"]["metrics"]["rating"];
    assert_eq!((of["mean"].as_f64(), of["observations"].as_u64()), (Some(1.0), Some(1)), "{of}");
}

#[test]
fn what_was_observed_before_the_start_is_left_out_and_told() {
    let project = Project::new(&[("llmops.yaml", "version: 1\nproject: shop\n"), ("experiment.yaml", EXPERIMENT)]);
    let id = json(&project, &["experiment", "create", "experiment.yaml", "--start"])["id"].as_str().unwrap().to_owned();
    project.write("old.csv", "unit,variant,metric,value,at\nx,new,rating,4,2020-01-01T08:00:00Z\ny,new,rating,4,\n");
    let said = project.expect(0, &["experiment", "import", &id, "old.csv"]);
    assert!(said.out.contains("2 observations recorded, 1 of them before the unit was exposed"), "{}", said.out);
    let results = json(&project, &["experiment", "results", &id]);
    let units = |results: &Value| results["variant_results"]["new"]["metrics"]["rating"]["units"].clone();
    assert_eq!((units(&results), &results["excluded"]["early_observations"]), (1.into(), &1.into()));
    assert!(results["notices"].to_string().contains("1 observation lies before the unit was exposed"), "{results}");
    let told = ["experiment", "record", &id, "--metric", "rating", "--value", "7", "--unit", "z", "--variant", "new"];
    let said = project.expect(0, &[&told[..], &["--at", "2020-01-01"]].concat());
    assert!(said.out.contains("it does not count"), "{}", said.out);
    // What began elsewhere says since when.
    project.write(
        "experiment.yaml",
        &EXPERIMENT.replace("0s}", "0s, counts_from: 2020-01-01T00:00:00Z}").replace("solver", "older"),
    );
    project.expect(0, &["experiment", "create", "experiment.yaml", "--start"]);
    project.expect(0, &["experiment", "import", "older", "old.csv"]);
    assert_eq!(units(&json(&project, &["experiment", "results", "older"])), 2);
}

const EXPERIMENT: &str = "\
name: solver
variants:
  - {id: control, model_name: sim/small, is_control: true}
  - {id: new, model_name: sim/large}
metrics:
  - {name: solved, kind: binary}
  - {name: rating, kind: ordinal}
target_metric: solved
analysis: {min_duration: 0s}
";
