//! Mistakes in files: exit code 2, the line, and what was probably meant.

use crate::project::{PROMPT, Project, config, samples};

fn check(change: (&str, &str), expected: &[&str]) {
    let (dataset, _) = samples(10);
    let text = config(1);
    assert!(text.contains(change.0), "`{}` is not in the configuration", change.0);
    let text = text.replace(change.0, change.1);
    let project = Project::new(&[("golden.jsonl", &dataset), ("prompts/bot.yaml", PROMPT), ("llmops.yaml", &text)]);
    let said = project.expect(2, &["eval"]);
    for expected in expected {
        assert!(said.err.contains(expected), "`{expected}` is missing in:\n{}", said.err);
    }
}

#[test]
fn name_the_line_and_the_likely_key() {
    check(("scoring:", "scorring:"), &["llmops.yaml:9", "scorring", "did you mean", "scoring"]);
    check(("weight: 0.5}\n    token", "wieght: 0.5}\n    token"), &["llmops.yaml:11", "wieght", "weight"]);
    check(("base_url", "base_ulr"), &["llmops.yaml:4", "base_ulr", "base_url"]);
    check(("token_f1: {weight: 0.5}", "token_f1: {weight: 0.4}"), &["0.9"]);
    check(("prompt: bot", "prompt: bto"), &["bto"]);
}

#[test]
fn what_was_typed_wrong_is_told_with_what_to_do() {
    let project = Project::new(&[("llmops.yaml", &config(1))]);
    let check = |code: i32, args: &[&str], expected: &[&str]| {
        let said = project.expect(code, args);
        for expected in expected {
            assert!(said.err.contains(expected), "`{expected}` is missing in:\n{}", said.err);
        }
        said.err
    };
    check(2, &["run", "list", "--limit", "-1"], &["-1 is not in 1..=500"]);
    check(2, &["records", "query", "--since", "yesterday"], &["how long ago, such as 1h or 7d", "2027-01-31"]);
    check(0, &["records", "query", "--since", "1h", "--until", "2020-01-01"], &[]);
    check(0, &["alert", "list", "--since", "7d"], &[]);
    let away = check(3, &["run", "list", "--server", "http://127.0.0.1:1"], &["cannot reach", "hint: look whether"]);
    assert_eq!(away.matches("caused by").count(), 1, "{away}");
}

#[test]
fn a_prompt_file_holds_the_prompt_of_its_name() {
    let (dataset, _) = samples(10);
    let prompt = PROMPT.replacen("name: bot", "name: triagem", 1);
    let project =
        Project::new(&[("golden.jsonl", &dataset), ("prompts/bot.yaml", &prompt), ("llmops.yaml", &config(1))]);
    for (code, command) in [(2, "eval"), (1, "doctor")] {
        let said = project.expect(code, &[command]);
        let text = said.out + &said.err;
        for expected in ["prompts/bot.yaml holds the prompt `triagem`, not `bot`", "write `name: bot` in it"] {
            assert!(text.contains(expected), "`{expected}` is missing in:\n{text}");
        }
    }
}

#[test]
fn a_file_in_another_encoding_is_told_by_its_line() {
    let project = Project::new(&[]);
    std::fs::write(project.path("llmops.yaml"), b"version: 1\nproject: caf\xe9\n").unwrap();
    let said = project.expect(2, &["eval"]);
    assert!(said.err.contains("llmops.yaml: line 2 is no UTF-8 text, from its byte 13 on"), "{}", said.err);
}

#[test]
fn a_prompt_file_is_told_all_its_mistakes() {
    let (dataset, _) = samples(10);
    let prompt = "name: bot\nversion: one\nsistem: Be brief.\ncontent: \"{{ input }}\"\n";
    let project =
        Project::new(&[("golden.jsonl", &dataset), ("prompts/bot.yaml", prompt), ("llmops.yaml", &config(1))]);
    let said = project.expect(2, &["eval"]);
    assert!(said.err.contains("bot.yaml:2") && said.err.contains("bot.yaml:3"), "{}", said.err);
}
