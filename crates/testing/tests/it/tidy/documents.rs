//! Documents that tell the truth, and texts that name no private machine.

use super::edges::crate_names;
use super::{has_extension, project_files, read, report, root};

const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";

/// What a path in a document ends with.
const FILE_ENDINGS: [&str; 11] = ["/", ".rs", ".md", ".toml", ".json", ".yaml", ".yml", ".jsonl", ".sh", ".py", ".sql"];

#[test]
fn the_architecture_names_what_exists() {
    let (text, crates) = (read(ARCHITECTURE), crate_names());
    let mut problems = Vec::new();
    for (line, name) in quoted(&text) {
        let is_crate = name.starts_with("llmops-") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        if is_crate && !crates.iter().any(|other| other == name) {
            problems.push(format!("{ARCHITECTURE}:{line}: there is no crate `{name}`"));
        }
        let exists = || root().join(name).exists() || root().join("crates").join(name).exists();
        if is_path(name) && !exists() {
            problems.push(format!("{ARCHITECTURE}:{line}: there is no `{name}`"));
        }
    }
    let folder = |name: &String| format!("`crates/{}/`", crate_folder(name));
    let unnamed = crates.iter().filter(|name| !text.contains(&folder(name)));
    problems.extend(unnamed.map(|name| format!("{ARCHITECTURE}: does not say what {} is for", folder(name))));
    report(&problems);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut problems = Vec::new();
    for path in project_files().iter().filter(|path| has_extension(path, "md")) {
        let folder = root().join(path).parent().unwrap().to_owned();
        for (line, target) in links(&read(path)) {
            if !folder.join(&target).exists() {
                problems.push(format!("{path}:{line}: there is no {target}"));
            }
        }
    }
    report(&problems);
}

#[test]
fn texts_name_no_private_machine_and_leave_nothing_unfinished() {
    // In pieces, so that this file does not contain them.
    let anywhere = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let in_code = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    let mut problems = Vec::new();
    for path in project_files() {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        let is_code = has_extension(&path, "rs");
        for (number, line) in text.lines().enumerate() {
            let found = anywhere.iter().chain(in_code.iter().filter(|_| is_code)).find(|word| has_word(line, word));
            problems.extend(found.map(|word| format!("{path}:{}: contains {word}", number + 1)));
        }
    }
    report(&problems);
}

#[test]
fn dependencies_come_from_crates_io() {
    let wanted = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let lock = read("Cargo.lock");
    let other = lock.lines().filter(|line| line.starts_with("source = ") && *line != wanted);
    report(&other.map(|line| format!("Cargo.lock: {line}")).collect::<Vec<_>>());
}

/// The folder of a crate: its name without the prefix; the library that people embed has none.
fn crate_folder(name: &str) -> &str {
    name.strip_prefix("llmops-").unwrap_or("engine")
}

fn is_path(name: &str) -> bool {
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
    is_plain && name.contains('/') && !name.starts_with('/') && FILE_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// What stands between single backticks, with its line, code blocks left out.
fn quoted(text: &str) -> Vec<(usize, &str)> {
    prose(text).flat_map(|(number, line)| line.split('`').skip(1).step_by(2).map(move |name| (number, name))).collect()
}

/// Relative targets of Markdown links, without their anchors.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (number, line) in prose(text) {
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', '#', ' ']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                links.push((number, target.to_owned()));
            }
        }
    }
    links
}

/// Lines outside fenced code blocks, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        (!fenced && !is_fence).then_some((index + 1, line))
    })
}

/// Whether a word of letters stands alone in a line; a path may stand anywhere that no other path runs into it.
fn has_word(line: &str, word: &str) -> bool {
    let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let is_path = word.starts_with('/');
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (line[..at].chars().next_back(), line[at + word.len()..].chars().next());
        if is_path {
            !joins(before) && before != Some('.') && before != Some('/')
        } else {
            !joins(before) && !joins(after)
        }
    })
}

#[test]
fn reads_markdown() {
    let text =
        "See `a/b.rs` and [c](../d.md#e), [f](https://g.h).\n```\n`x/y.rs` [z](z.md)\n```\n`a b/c.rs` `provider/model`";
    assert_eq!(quoted(text), [(1, "a/b.rs"), (5, "a b/c.rs"), (5, "provider/model")]);
    assert_eq!(links(text), [(1, "../d.md".to_owned())]);
    assert_eq!(
        ["a/b.rs", "a b/c.rs", "provider/model", "crates/cli/", "/a.rs"].map(is_path),
        [true, false, false, true, false]
    );
}

#[test]
fn finds_words_and_paths() {
    let check = |line: &str, word: &str, expected: bool| assert_eq!(has_word(line, word), expected, "{line}");
    check("// MARK: later", "MARK", true);
    check("let MARKED = 1; REMARK", "MARK", false);
    check("cd /place/x", "/place/", true);
    check("\"/place/x\"", "/place/", true);
    check("../place/x and api/place/x", "/place/", false);
}
