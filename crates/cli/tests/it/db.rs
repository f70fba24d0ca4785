//! `llmops db` and `llmops apply`.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use serde_json::Value;

use crate::project::{PROMPT, Project, Said, SimulatorProcess, config, said, samples};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// A project that has everything, evaluated once.
fn evaluated(simulator: &SimulatorProcess) -> Project {
    let project = Project::new(&[("llmops.yaml", &config(simulator.port)), ("golden.jsonl", &samples(6).0)]);
    project.write("prompts/bot.yaml", PROMPT);
    project.expect(0, &["eval", "--quiet"]);
    project
}

#[test]
fn a_backup_is_whole_and_opens() {
    let simulator = SimulatorProcess::start(&[]);
    let project = evaluated(&simulator);
    let said = json(&project.expect(0, &["db", "backup", "copy.db", "--json"]).out);
    assert_eq!(said["integrity"], "ok", "{said}");
    let runs = |database: &[&str]| json(&project.expect(0, &[&["run", "list", "--json"], database].concat()).out);
    assert_eq!(runs(&["--database", "sqlite:copy.db"]), runs(&[]));
    let again = project.expect(2, &["db", "backup", "copy.db"]);
    assert!(again.err.contains("exists already"), "{}", again.err);
    let left: Vec<_> = std::fs::read_dir(project.path(".")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("partial")), "{left:?}");
    let remote = project.expect(2, &["db", "backup", "x.db", "--server", "http://127.0.0.1:9"]);
    assert!(remote.err.contains("not through a server"), "{}", remote.err);
}

#[test]
fn migrations_are_told_before_they_are_made() {
    let project = Project::new(&[]);
    let plan = json(&project.expect(0, &["db", "migrate", "--dry-run", "--json"]).out);
    assert_eq!((&plan["schema"], &plan["migrations"][0]["name"]), (&0.into(), &"0001_spine".into()));
    assert!(!project.path(".llmops/llmops.db").exists(), "a plan makes nothing");
    let newest = plan["migrations"].as_array().unwrap().last().unwrap()["version"].clone();
    let made = json(&project.expect(0, &["db", "migrate", "--json"]).out);
    assert_eq!(made["migrations"], plan["migrations"]);
    let said = project.expect(0, &["db", "migrate", "--dry-run"]).out;
    assert!(said.contains(&format!("up to date (schema {newest})")), "{said}");
}

#[test]
fn an_export_fills_another_store_and_nothing_less() {
    let simulator = SimulatorProcess::start(&[]);
    let project = evaluated(&simulator);
    project.expect(0, &["key", "create", "ci", "--role", "viewer", "--quiet"]);
    let exported = json(&project.expect(0, &["db", "export", "out", "--json"]).out);
    let rows =
        |name: &str| exported["tables"].as_array().unwrap().iter().find(|t| t["name"] == name).unwrap()["rows"].clone();
    assert_eq!((rows("results"), rows("prompt_versions"), rows("api_keys")), (6.into(), 1.into(), 1.into()));
    let other = ["--database", "sqlite:other.db"];
    project.expect(0, &[&["db", "import", "out"], &other[..]].concat());
    for what in [&["run", "list"][..], &["key", "list"], &["audit", "list"], &["dataset", "list"], &["prompt", "list"]]
    {
        let read = |more: &[&str]| json(&project.expect(0, &[what, more, &["--json"]].concat()).out);
        assert_eq!(read(&other), read(&[]), "{what:?}");
    }
    // New rows get numbers behind the old ones.
    project.expect(0, &[&["eval", "--quiet"], &other[..]].concat());
    let full = project.expect(2, &[&["db", "import", "out"], &other[..]].concat());
    assert!(full.err.contains("not empty"), "{}", full.err);

    let manifest = project.read("out/manifest.json");
    let mut lacking = json(&manifest);
    lacking["tables"].as_array_mut().unwrap().retain(|table| table["name"] != "results");
    project.write("out/manifest.json", &lacking.to_string());
    let lacking = project.expect(2, &["db", "import", "out", "--database", "sqlite:third.db"]);
    assert!(lacking.err.contains("does not name the table `results`"), "{}", lacking.err);
    project.write("out/manifest.json", &manifest);

    let results = project.read("out/results.ndjson");
    project.write("out/results.ndjson", results.split_once('\n').unwrap().1);
    let torn = project.expect(2, &["db", "import", "out", "--database", "sqlite:third.db"]);
    assert!(torn.err.contains("results.ndjson is not what was exported"), "{}", torn.err);
    let none = project.expect(0, &["run", "list", "--json", "--database", "sqlite:third.db"]).out;
    assert_eq!(json(&none)["items"].as_array().unwrap().len(), 0, "all or nothing");
}

#[test]
fn what_is_old_is_told_and_deleted() {
    let simulator = SimulatorProcess::start(&[]);
    let project = evaluated(&simulator);
    let config = config(simulator.port) + "operations: {retention: {run_samples: 0s, audit: 0s, events: null}}\n";
    project.write("llmops.yaml", &config);
    let rows = |said: &Value, table: &str| {
        said.as_array().unwrap().iter().find(|p| p["table"] == table).unwrap()["rows"].as_u64()
    };
    let told = json(&project.expect(0, &["db", "prune", "--dry-run", "--json"]).out);
    assert_eq!(rows(&told, "results"), Some(6));
    assert!(told.as_array().unwrap().iter().all(|p| p["kind"] != "events"), "null is for ever: {told}");
    let done = json(&project.expect(0, &["db", "prune", "--json"]).out);
    assert_eq!(rows(&done, "results"), Some(6));
    assert!(rows(&done, "audit").unwrap() > 0);
    let left = json(&project.expect(0, &["db", "prune", "--dry-run", "--json"]).out);
    assert_eq!((rows(&left, "results"), rows(&left, "audit")), (Some(0), Some(0)));
    project.expect(0, &["eval", "--quiet"]);
    project.expect(0, &["baseline", "promote", "latest"]);
    let kept = json(&project.expect(0, &["db", "prune", "--dry-run", "--json"]).out);
    assert_eq!(rows(&kept, "results"), Some(0), "a gate compares with the samples of the baseline");
}

#[test]
fn a_folder_is_applied_once_and_edits_elsewhere_are_not_overwritten() {
    let simulator = SimulatorProcess::start(&[]);
    let project = Project::new(&[
        (
            "llmops.yaml",
            &(config(simulator.port) + "suites:\n  nightly: {target: bot, dataset: golden, schedule: \"@daily\"}\n"),
        ),
        ("golden.jsonl", &samples(4).0),
        ("experiments/greeting.yaml", "name: greeting\nvariants:\n  - {id: a, value: 1}\n  - {id: b, value: 2}\n"),
    ]);
    project.write("prompts/bot.yaml", PROMPT);
    let steps = |args: &[&str], code: i32| {
        let said = project.expect(code, &[&["apply", "--json"], args].concat());
        let plan = json(&said.out);
        plan.as_array()
            .unwrap()
            .iter()
            .map(|p| format!("{} {}", p["kind"], p["step"]).replace('"', ""))
            .collect::<Vec<_>>()
    };
    let all = |step: &str| ["prompt", "dataset", "schedule", "experiment"].map(|kind| format!("{kind} {step}"));
    assert_eq!(steps(&["--dry-run"], 0), all("create"));
    assert_eq!(steps(&[], 0), all("create"), "a plan does nothing");
    assert_eq!(steps(&[], 0), all("unchanged"));

    project.write("prompts/bot.yaml", &PROMPT.replace("briefly", "at length"));
    assert_eq!(steps(&[], 0)[0], "prompt change");
    let shown = json(&project.expect(0, &["prompt", "show", "bot", "--json"]).out);
    assert!(shown["system"].as_str().unwrap().contains("at length"), "{shown}");

    project.write("elsewhere.yaml", &PROMPT.replace("briefly", "in verse").replace("1.0.0", "3.0.0"));
    project.expect(0, &["prompt", "push", "elsewhere.yaml"]);
    project.expect(0, &["prompt", "activate", "bot@3.0.0"]);
    project.write("prompts/bot.yaml", &PROMPT.replace("briefly", "kindly"));
    assert_eq!(steps(&[], 1)[0], "prompt edited_elsewhere");
    let refused = project.expect(1, &["apply"]);
    assert!(
        refused.err.contains("--force") && refused.out.contains("applied last on"),
        "{} {}",
        refused.out,
        refused.err
    );
    let shown = json(&project.expect(0, &["prompt", "show", "bot", "--json"]).out);
    assert!(shown["system"].as_str().unwrap().contains("in verse"), "nothing was done: {shown}");
    assert_eq!(steps(&["--force"], 0)[0], "prompt edited_elsewhere");
    assert_eq!(steps(&[], 0), all("unchanged"));

    let greeting = "name: greeting\nvariants:\n  - {id: a, value: 1}\n  - {id: b, value: 3}\n";
    project.write("experiments/greeting.yaml", &format!("{greeting}description: Which greeting?\n"));
    assert_eq!(steps(&[], 0)[3], "experiment change");
    let shown = || json(&project.expect(0, &["experiment", "show", "greeting", "--json"]).out);
    assert_eq!(shown()["description"], "Which greeting?");
    project.write("experiments/greeting.yaml", greeting);
    assert_eq!(steps(&[], 0)[3], "experiment change");
    assert_eq!(shown()["description"].as_str().unwrap_or_default(), "", "what the file leaves out goes");
    assert_eq!(steps(&[], 0)[3], "experiment unchanged");
    project.write("llmops.yaml", &(config(simulator.port) + "operations: {enable_auto_evaluation: false}\n"));
    assert!(steps(&[], 0).contains(&"schedule remove".to_owned()));
    let schedules = json(&project.expect(0, &["schedule", "list", "--json"]).out);
    assert_eq!(schedules.as_array().map(Vec::len), Some(0), "{schedules}");
}

/// A store in a folder that the commands may only read.
struct ReadOnly<'a> {
    project: &'a Project,
    /// Whether the tests run as one to whom no permission matters: the commands run as another user then.
    is_root: bool,
}

impl<'a> ReadOnly<'a> {
    fn of(project: &'a Project) -> Self {
        let mode = |path: &str, mode| {
            std::fs::set_permissions(project.path(path), Permissions::from_mode(mode)).unwrap();
        };
        mode("", 0o755);
        mode(".llmops/llmops.db", 0o444);
        mode(".llmops", 0o555);
        let is_root = std::fs::write(project.path(".llmops/probe"), "").is_ok();
        Self { project, is_root }
    }

    /// Runs a command; none where the other user may not run it.
    fn run(&self, args: &[&str]) -> Option<Said> {
        let mut command = self.project.command(args);
        if self.is_root {
            command.uid(65_534).gid(65_534);
        }
        match command.output() {
            Err(e) if self.is_root && e.kind() == std::io::ErrorKind::PermissionDenied => None,
            output => Some(said(output.unwrap())),
        }
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        // Else the folder could not be removed.
        let _ = std::fs::set_permissions(self.project.path(".llmops"), Permissions::from_mode(0o755));
    }
}

/// Reads and changes a store that may only be read; false: nothing could be run.
fn reads_and_refuses_changes(read_only: &ReadOnly<'_>) -> bool {
    for args in [&["run", "list"][..], &["run", "show", "latest"], &["run", "results", "latest"], &["records", "query"]]
    {
        let Some(said) = read_only.run(args) else { return false };
        assert_eq!(said.code, 0, "{args:?}: {}", said.err);
    }
    // The verdict is told, and that it is not kept, in a folder where nothing can be written.
    let said = read_only.run(&["gate"]).unwrap();
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains("PASS") && said.out.contains("not kept"), "{}", said.out);
    for args in [&["baseline", "promote", "latest"][..], &["eval"]] {
        let said = read_only.run(args).unwrap();
        assert_eq!(said.code, 3, "{args:?}: {}{}", said.out, said.err);
        assert!(said.err.contains("the store takes no changes: its file may only be read"), "{args:?}: {}", said.err);
    }
    true
}

#[test]
fn a_store_that_may_only_be_read_is_read() {
    let project = Project::new(&[]);
    project.expect(0, &["init", "."]);
    project.expect(0, &["--quiet", "eval"]);
    project.expect(0, &["db", "backup", "copy.db"]);
    // As commands leave it, with the log of the newest changes beside it.
    reads_and_refuses_changes(&ReadOnly::of(&project));
    // A file without log holds everything, and SQLite may not make the files that go with it.
    for beside in ["llmops.db-wal", "llmops.db-shm"] {
        let _ = std::fs::remove_file(project.path(&format!(".llmops/{beside}")));
    }
    std::fs::rename(project.path("copy.db"), project.path(".llmops/llmops.db")).unwrap();
    let read_only = ReadOnly::of(&project);
    if reads_and_refuses_changes(&read_only) {
        // A server changes what it keeps all the time.
        let refused = read_only.run(&["serve", "--dev", "--listen", "127.0.0.1:0"]).unwrap();
        assert!(refused.code == 3 && refused.err.contains("SQLite must be allowed to write"), "{}", refused.err);
    }
}
