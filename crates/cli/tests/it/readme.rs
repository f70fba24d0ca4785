//! The README's A/B test works as it is printed, from the command line and with curl.

use std::path::Path;
use std::process::Command;

use crate::ofrep::Server;
use crate::project::{Project, workspace};

/// The shell blocks of a section.
fn blocks(readme: &str, heading: &str) -> Vec<String> {
    let section = readme.split(&format!("\n## {heading}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned());
    blocks.collect()
}

/// Runs a script and answers with what it printed; every command in it must succeed.
fn bash(folder: &Path, script: &str) -> String {
    let tools = Path::new(env!("CARGO_BIN_EXE_llmops")).parent().unwrap();
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let run =
        Command::new("bash").args(["-euo", "pipefail", "-c", script]).current_dir(folder).env("PATH", path).output();
    let run = run.unwrap();
    let (out, err) = (String::from_utf8(run.stdout).unwrap(), String::from_utf8(run.stderr).unwrap());
    assert!(run.status.success(), "{script}\n{out}\n{err}");
    out
}

#[test]
fn the_ab_test_of_the_readme_works_as_printed() {
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    let blocks = blocks(&readme, "A/B tests");
    assert_eq!(blocks.len(), 2, "one for the command line, one for curl");

    let project = Project::new(&[("llmops.yaml", "version: 1\nproject: shop\n")]);
    let out = bash(&project.path("."), &blocks[0]);
    for words in ["30.0 %", "1000 observations recorded", "Choose treatment", "completed"] {
        assert!(out.contains(words), "{words:?} is not in\n{out}");
    }
    let done = project.expect(0, &["experiment", "show", "code-review-v2-test", "--json"]).out;
    assert!(done.contains("\"winner\": \"treatment\""), "{done}");

    let folder = Project::new(&[]);
    let mut command = folder.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("LLMOPS_ADMIN_KEY", "a-key-for-the-readme");
    let server = Server::spawn(command);
    let lines = |start: &str| {
        readme.lines().find_map(|line| line.strip_prefix("$ ").filter(|rest| rest.starts_with(start))).unwrap()
    };
    let setup = format!("export LLMOPS_API_KEY=a-key-for-the-readme\n{}\n{}\n", lines("api() {"), lines("json="));
    let script = format!("{setup}{}", blocks[1]).replace("127.0.0.1:8080", &format!("127.0.0.1:{}", server.port));
    // Where curl fails, the answer says why; `-f` would hide it.
    let out = bash(&folder.path("."), &script);
    assert!(!out.contains("\"error\""), "{out}");
    for words in [
        "\"included\":true",
        "\"accepted\":600",
        "\"winner\":\"treatment\"",
        "Choose treatment",
        "\"status\":\"completed\"",
    ] {
        assert!(out.contains(words), "{words:?} is not in\n{out}");
    }
}
