//! From a refusal to what it asks for: the command that it names brings it about.

use crate::project::Project;

const GATED: &str = "require_gate: true\n";

/// Runs the commands of a hint: `… llmops eval --manifest abc && llmops gate …`.
fn follow(project: &Project, said: &str) {
    let commands = said.split("llmops eval ").nth(1).unwrap_or_else(|| panic!("no command in: {said}"));
    let manifest = commands.strip_prefix("--manifest ").unwrap().split([' ', '\n']).next().unwrap();
    assert!(commands.contains(&format!("{manifest} && llmops gate")), "{said}");
    project.expect(0, &["eval", "--manifest", manifest]);
    project.expect(0, &["gate"]);
}

#[test]
fn the_command_of_a_refusal_lets_exactly_that_manifest_through() {
    let project = Project::new(&[("gated.yaml", GATED)]);
    project.expect(0, &["init", "."]);
    let limited = project.read("llmops.yaml").replace("    dataset: golden", "    dataset: golden\n    limit: 3");
    assert!(limited.contains("limit: 3"), "{limited}");
    project.write("llmops.yaml", &limited);
    project.expect(0, &["prompt", "push"]);
    let name = project.read("llmops.yaml").lines().find_map(|line| line.strip_prefix("project: ")).unwrap().to_owned();
    let deploy = |code: i32, what: &[&str]| {
        project.expect(code, &[&["deploy", &name, "--settings", "gated.yaml"], what].concat())
    };
    let prompt = project.expect(0, &["prompt", "list", "--json"]).out;
    let prompts: serde_json::Value = serde_json::from_str(&prompt).unwrap();
    let prompts = prompts["items"].as_array().unwrap();
    let own = prompts.iter().filter_map(|prompt| prompt["name"].as_str()).find(|name| !name.starts_with("llmops/"));
    let large = ["--prompt", own.unwrap(), "--model", "sim/support-large"];
    let refused = deploy(2, &large);
    // A part of the samples is not enough, nor is another manifest.
    project.expect(0, &["eval"]);
    project.expect(0, &["gate"]);
    deploy(2, &large);
    follow(&project, &refused.err);
    deploy(0, &large);
    // One that only a file holds.
    let whole = "{\"model\": \"sim/support-large\", \"stop\": [\"###\"], \"parameters\": {\"max_tokens\": 99}}";
    project.write("m.json", whole);
    let refused = deploy(2, &["--manifest", "m.json"]);
    assert!(refused.err.contains("has no completed run"), "{}", refused.err);
    let evaluated = project.expect(0, &["eval", "--manifest", "m.json"]);
    assert!(evaluated.err.contains("all samples are evaluated, not the first 3"), "{}", evaluated.err);
    project.expect(0, &["gate"]);
    deploy(0, &["--manifest", "m.json"]);
    let missing = deploy(2, &["--manifest", "missing.json"]);
    assert!(missing.err.contains("cannot read missing.json"), "{}", missing.err);
    // Another part of the target, by itself.
    project.expect(0, &["eval", "--model", "sim/support-medium"]);
    assert_eq!(project.scores()["model_version"], "sim/support-medium");
    project.expect(2, &["eval", "--model", "sim/x", "--manifest", "m.json"]);
}

#[test]
fn a_release_waits_with_the_command_that_lets_it_on() {
    let project = Project::new(&[]);
    project.expect(0, &["init", "."]);
    let waits = project.expect(4, &["release", "bot", "--model", "sim/support-large"]);
    follow(&project, &waits.out);
    let on = project.expect(4, &["release", "bot"]);
    assert!(on.err.contains("the step staging"), "{}", on.err);
}
