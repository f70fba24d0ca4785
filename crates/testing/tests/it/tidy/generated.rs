//! Committed files that are made from the code say what the code says.

use llmops_domain::config::Config;

use super::{report, root};

#[test]
fn generated_files_are_up_to_date() {
    let schema = serde_json::to_string_pretty(Config::json_schema()).unwrap() + "\n";
    report(&[stale("docs/schema/llmops.schema.json", &schema)].concat());
}

/// Compares a committed file with what the code makes; with `TIDY_UPDATE` set, writes it.
fn stale(path: &str, wanted: &str) -> Vec<String> {
    let file = root().join(path);
    if std::env::var_os("TIDY_UPDATE").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, wanted).unwrap();
    }
    match std::fs::read_to_string(&file) {
        Ok(text) if text == wanted => Vec::new(),
        _ => vec![format!("{path} is not what the code says: run the tidy tests with TIDY_UPDATE=1 and commit it")],
    }
}
