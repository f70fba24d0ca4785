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
