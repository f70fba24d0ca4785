//! The demo project's files fit together, so that its story goes as told.

use llmops_domain::config::Config;
use llmops_domain::prompt_file;
use llmops_domain::render::CompiledPrompt;
use serde_json::Value;

use super::{read, root};

const FOLDER: &str = "examples/support-bot";

fn lines(file: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{file}: {e}: {line}"));
    read(&format!("{FOLDER}/{file}")).lines().map(parse).collect()
}

#[test]
fn every_question_has_a_scripted_answer() {
    let script = lines("sim/answers.jsonl");
    for sample in lines("datasets/golden.jsonl") {
        let answers: Vec<&Value> = script.iter().filter(|line| line["input"] == sample["prompt"]).collect();
        let last = answers.last().unwrap_or_else(|| panic!("nobody answers {sample}"));
        assert!(last["when_prompt_contains"].is_null(), "{sample} has no answer when no condition holds");
    }
    let unused = script.len() - lines("datasets/golden.jsonl").len();
    let conditional = script.iter().filter(|line| !line["when_prompt_contains"].is_null()).count();
    assert_eq!(unused, conditional, "an answer nobody asks for");
}

#[test]
fn the_next_prompt_lacks_the_rules_that_answers_depend_on() {
    let (now, next) =
        (read(&format!("{FOLDER}/prompts/support-bot.yaml")), read(&format!("{FOLDER}/prompts-next/support-bot.yaml")));
    for line in lines("sim/answers.jsonl") {
        if let Some(rule) = line["when_prompt_contains"].as_str() {
            assert!(now.contains(rule), "version 1.0.0 lacks `{rule}`");
            assert!(!next.contains(rule), "version 1.1.0 still has `{rule}`");
        }
    }
}

#[test]
fn the_configuration_is_right() {
    let parsed = Config::parse(&read(&format!("{FOLDER}/llmops.yaml")), "llmops.yaml", |_| None);
    let (config, warnings) = parsed.unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert!(warnings.is_empty(), "{warnings:#?}");
    for section in config.datasets.values() {
        assert!(root().join(FOLDER).join(&section.path).is_file(), "{}", section.path);
    }
}

#[test]
fn the_prompts_compile() {
    for file in ["prompts/support-bot.yaml", "prompts-next/support-bot.yaml"] {
        let parsed = prompt_file::parse(&read(&format!("{FOLDER}/{file}")), file);
        let prompt = parsed.unwrap_or_else(|problems| panic!("{problems:#?}"));
        let compiled = CompiledPrompt::compile(&prompt.body).unwrap();
        assert!(compiled.push_warnings().is_empty(), "{:?}", compiled.push_warnings());
    }
}
