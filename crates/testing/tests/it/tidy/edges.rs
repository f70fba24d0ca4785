//! Which crate may name which.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use super::{read, report, root};

/// From high to low: a crate may name those after it, never those before it.
const ORDER: [&str; 10] = [
    "llmops-cli",
    "llmops-server",
    "llmops-gateway",
    "llmops",
    "llmops-api",
    "llmops-providers",
    "llmops-storage",
    "llmops-metrics",
    "llmops-stats",
    "llmops-domain",
];

/// Dev-only: it names whatever it helps to test, and others name it in their tests alone.
const TESTING: &str = "llmops-testing";

/// What crates must do without, however low it is: other crates of the workspace and libraries from outside.
const BANNED: [(&str, &[&str]); 7] = [
    ("llmops-domain", &["llmops-*", "tokio", "futures", "hyper", "reqwest", "axum", "sqlx"]),
    ("llmops-stats", &["llmops-*", "tokio", "futures", "hyper", "reqwest", "axum", "sqlx"]),
    ("llmops-metrics", &["llmops-*", "tokio", "futures", "hyper", "reqwest", "axum", "sqlx"]),
    ("llmops-storage", &["hyper", "reqwest", "axum"]),
    ("llmops-api", &["axum", "sqlx"]),
    ("llmops", &["axum", "sqlx"]),
    ("llmops-gateway", &["llmops", "llmops-storage", "sqlx"]),
];

/// A dependency as a manifest states it.
struct Edge {
    from: String,
    to: String,
    dev: bool,
}

#[test]
fn crates_name_lower_crates_only() {
    let (crates, edges) = metadata();
    let mut problems: Vec<String> = crates
        .keys()
        .filter(|name| rank(name).is_none() && *name != TESTING)
        .map(|name| format!("{name} has no place in the order of crates: put it into ORDER and docs/ARCHITECTURE.md"))
        .collect();
    problems.extend(edges.iter().filter_map(objection));
    report(&problems);
}

#[test]
fn every_crate_has_the_lints_of_the_workspace() {
    let (crates, _) = metadata();
    let lacking = |manifest: &&String| !read(manifest).contains("[lints]\nworkspace = true\n");
    let problems: Vec<String> = crates
        .values()
        .filter(lacking)
        .map(|manifest| format!("{manifest}: lacks `[lints] workspace = true`"))
        .collect();
    report(&problems);
}

fn rank(name: &str) -> Option<usize> {
    ORDER.iter().position(|other| *other == name)
}

/// Why a dependency must not be.
fn objection(edge: &Edge) -> Option<String> {
    let Edge { from, to, dev } = edge;
    let banned = BANNED.iter().find(|(name, _)| name == from).map_or(&[][..], |(_, banned)| banned);
    let is_ours = rank(to).is_some() || to == TESTING;
    if from == TESTING || (*dev && (to == TESTING || !is_ours)) {
        None
    } else if to == TESTING {
        Some(format!("{from} names {to}, which is for tests: make it a dev-dependency"))
    } else if banned.iter().any(|name| name == to || (*name == "llmops-*" && is_ours)) {
        Some(format!("{from} must do without {to}"))
    } else if is_ours && rank(to) <= rank(from) {
        Some(format!("{from} names {to}, which is above it"))
    } else {
        None
    }
}

/// The crates of the workspace with their manifests' paths, and their dependencies.
fn metadata() -> (BTreeMap<String, String>, Vec<Edge>) {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let prefix = text(&metadata["workspace_root"]) + "/";
    let (mut crates, mut edges) = (BTreeMap::new(), Vec::new());
    for package in metadata["packages"].as_array().unwrap() {
        let manifest = text(&package["manifest_path"]);
        crates.insert(text(&package["name"]), manifest.strip_prefix(&prefix).unwrap().to_owned());
        for dependency in package["dependencies"].as_array().unwrap() {
            let dev = dependency["kind"] == "dev";
            edges.push(Edge { from: text(&package["name"]), to: text(&dependency["name"]), dev });
        }
    }
    (crates, edges)
}

/// The names of the workspace's crates.
pub(super) fn crate_names() -> Vec<String> {
    metadata().0.into_keys().collect()
}

#[test]
fn knows_a_forbidden_edge() {
    let check = |from: &str, to: &str, dev: bool, expected: Option<&str>| {
        let edge = Edge { from: from.to_owned(), to: to.to_owned(), dev };
        assert_eq!(objection(&edge).as_deref(), expected);
    };
    check("llmops-cli", "llmops-domain", false, None);
    check("llmops-storage", "llmops-domain", false, None);
    check("llmops-storage", "llmops", false, Some("llmops-storage names llmops, which is above it"));
    check("llmops-storage", "llmops", true, Some("llmops-storage names llmops, which is above it"));
    check("llmops-metrics", "llmops-domain", false, Some("llmops-metrics must do without llmops-domain"));
    check("llmops-domain", "tokio", false, Some("llmops-domain must do without tokio"));
    check("llmops-domain", "tokio", true, None);
    check("llmops-gateway", "llmops-storage", false, Some("llmops-gateway must do without llmops-storage"));
    check("llmops-server", TESTING, true, None);
    let for_tests = "llmops-server names llmops-testing, which is for tests: make it a dev-dependency";
    check("llmops-server", TESTING, false, Some(for_tests));
    check(TESTING, "llmops-server", false, None);
}
