//! `llmops doctor`: what is in order and what is not.

use crate::project::{PROMPT, Project, workspace};

fn findings(project: &Project, code: i32) -> Vec<(String, String, String)> {
    let said = project.expect(code, &["doctor", "--json"]);
    let findings: Vec<serde_json::Value> = serde_json::from_str(&said.out).unwrap();
    let text = |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    findings.iter().map(|f| (text(f, "check"), text(f, "status"), text(f, "message"))).collect()
}

fn config(model: &str) -> String {
    format!(
        "providers: {{sim: {{kind: simulator}}, o: {{kind: openai, api_key: '${{NO_SUCH_KEY}}'}}}}\n\
         targets: {{bot: {{prompt: bot, model: sim/bot}}}}\n\
         datasets: {{golden: {{path: golden.jsonl}}}}\n\
         scoring: {{metrics: {{bertscore: {{weight: 1, model: '{model}'}}}}}}\n"
    )
}

#[test]
fn an_installation_that_works() {
    let encoders = workspace().join("crates/metrics/tests/fixtures/encoders");
    let project = Project::new(&[
        ("llmops.yaml", &config(&encoders.join("distilbert").display().to_string())),
        ("golden.jsonl", ""),
        ("prompts/bot.yaml", PROMPT),
    ]);
    let found = findings(&project, 0);
    let of = |check: &str| found.iter().filter(|(c, _, _)| c == check).collect::<Vec<_>>();
    assert_eq!(of("configuration")[0].1, "ok");
    assert_eq!(of("files")[0].2, "1 dataset file and 1 prompt file are there");
    assert!(of("store")[0].2.contains("does not exist yet"));
    assert!(!project.path(".llmops/llmops.db").exists(), "a check makes nothing");
    assert!(
        of("providers").iter().any(|(_, status, text)| status == "warn" && text.contains("NO_SUCH_KEY is not set"))
    );
    let model = &of("models")[0].2;
    assert!(model.contains("loads: layer 2 of 2, 24 dimensions, at most 32 tokens"), "{model}");
    assert!(project.expect(0, &["doctor"]).out.contains("models"));
}

#[test]
fn what_is_wrong_is_told_together() {
    let project =
        Project::new(&[("llmops.yaml", &config("models/none/here")), ("prompts/bot.yaml", "name: 5\nversion: x\n")]);
    let found = findings(&project, 1);
    let fails: Vec<&str> =
        found.iter().filter(|(_, status, _)| status == "fail").map(|(_, _, text)| text.as_str()).collect();
    assert!(fails.iter().any(|text| text.contains("golden.jsonl")), "{fails:?}");
    assert!(fails.iter().any(|text| text.contains("bot.yaml")), "{fails:?}");
    assert!(fails.iter().any(|text| text.contains("no folder `models/none/here`")), "{fails:?}");
    let answers = "{\"id\": \"0\", \"output\": \"x\"}\nnot JSON\n";
    let local = "providers: {o: {kind: outputs, path: none.jsonl}, p: {kind: outputs, path: o.jsonl}, \
                 c: {kind: command, run: [no-such-program]}, ok: {kind: command, run: [sh]}}\n";
    let local = Project::new(&[("llmops.yaml", local), ("o.jsonl", answers)]);
    let found = findings(&local, 1);
    let of = |status: &str| -> Vec<&str> {
        let of = found.iter().filter(|(check, is, _)| check == "providers" && is == status);
        of.map(|(_, _, text)| text.as_str()).collect()
    };
    let fails = of("fail");
    assert!(fails[0].contains("providers.o: cannot read the outputs none.jsonl"), "{fails:?}");
    assert!(fails[1].contains("o.jsonl:2: not a JSON object"), "{fails:?}");
    assert!(fails[2].contains("no such program on the PATH"), "{fails:?}");
    assert_eq!(of("ok"), ["`ok` has what it needs"]);
    let broken = Project::new(&[("llmops.yaml", "providers: 5\nunknown: 1\n")]);
    let found = findings(&broken, 1);
    assert!(found.len() >= 3 && found.iter().all(|(check, _, _)| check == "configuration"), "{found:?}");
    assert_eq!(findings(&Project::new(&[]), 0)[0].1, "warn");
}
