//! Style as a test. What each one wants, and why, is in `docs/STYLE.md`.

mod dashboard;
mod demo;
mod documents;
mod edges;
mod examples;
mod schema_names;
mod sizes;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The project's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The text of a file of the project.
fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Files that git tracks or would add, as paths from the project's folder.
fn project_files() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("the tidy tests ask git which files belong to the project");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).unwrap();
    // A file that was deleted and not committed yet is still listed.
    listed.lines().map(str::to_owned).filter(|path| root().join(path).is_file()).collect()
}

fn has_extension(path: &str, wanted: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == wanted)
}

/// Fails with all problems at once, and says where the rules are.
fn report(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n(see docs/STYLE.md)\n", problems.join("\n"));
}
