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
fn a_prompt_file_is_told_all_its_mistakes() {
    let (dataset, _) = samples(10);
    let prompt = "name: bot\nversion: one\nsistem: Be brief.\ncontent: \"{{ input }}\"\n";
    let project =
        Project::new(&[("golden.jsonl", &dataset), ("prompts/bot.yaml", prompt), ("llmops.yaml", &config(1))]);
    let said = project.expect(2, &["eval"]);
    assert!(said.err.contains("bot.yaml:2") && said.err.contains("bot.yaml:3"), "{}", said.err);
}
