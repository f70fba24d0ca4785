//! Committed files that are made from the code say what the code says.

use llmops_domain::config::Config;
use llmops_domain::{prompt_file, scorecard};
use serde::Serialize;

use super::{report, root};

#[test]
fn generated_files_are_up_to_date() {
    let problems = [
        stale("docs/schema/llmops.schema.json", Config::json_schema()),
        stale("docs/schema/prompt.schema.json", prompt_file::json_schema()),
        stale("docs/schema/scores.schema.json", &scorecard::scores_json_schema()),
    ];
    report(&problems.concat());
}

/// Compares a committed file with what the code makes; with `TIDY_UPDATE` set, writes it.
fn stale(path: &str, wanted: &impl Serialize) -> Vec<String> {
    let wanted = serde_json::to_string_pretty(wanted).unwrap() + "\n";
    let file = root().join(path);
    if std::env::var_os("TIDY_UPDATE").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &wanted).unwrap();
    }
    match std::fs::read_to_string(&file) {
        Ok(text) if text == wanted => Vec::new(),
        _ => vec![format!("{path} is not what the code says: run the tidy tests with TIDY_UPDATE=1 and commit it")],
    }
}
