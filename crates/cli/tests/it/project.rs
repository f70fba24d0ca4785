//! A project folder in a temporary place, and programs started in it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// The binary under test.
pub(crate) const LLMOPS: &str = env!("CARGO_BIN_EXE_llmops");

/// A folder that goes away with the test.
pub(crate) struct Project {
    folder: TempDir,
}

/// What a command said and how it ended.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Project {
    /// A folder with these files.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap() };
        for (name, content) in files {
            project.write(name, content);
        }
        project
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The command, ready to run in the folder and untouched by the caller's environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(LLMOPS);
        command.args(args).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var("PATH").unwrap_or_default());
        // Caches of the test's own, and no hub.
        command.env("XDG_CACHE_HOME", self.path("cache")).env("HF_HUB_OFFLINE", "1");
        command
    }

    /// Runs `llmops` with these arguments.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        said(self.command(args).output().unwrap())
    }

    /// Runs it and insists on its exit code.
    pub(crate) fn expect(&self, code: i32, args: &[&str]) -> Said {
        let said = self.run(args);
        assert_eq!(said.code, code, "llmops {args:?}\n--- out\n{}\n--- err\n{}", said.out, said.err);
        said
    }

    /// `scores.json`.
    pub(crate) fn scores(&self) -> serde_json::Value {
        serde_json::from_str(&self.read("scores.json")).unwrap()
    }
}

pub(crate) fn said(output: Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// `llmops simulate` in another process; killed when the test ends.
pub(crate) struct SimulatorProcess {
    child: Child,
    pub(crate) port: u16,
}

impl SimulatorProcess {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_on(0, args)
    }

    pub(crate) fn start_on(port: u16, args: &[&str]) -> Self {
        let mut child = Command::new(LLMOPS)
            .args(["simulate", "--port", &port.to_string()])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
        Self { child, port: port.unwrap_or_else(|| panic!("the simulator said: {line}")) }
    }
}

impl Drop for SimulatorProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A dataset of `count` samples in two categories, and the simulator's script that answers it.
pub(crate) fn samples(count: usize) -> (String, String) {
    let (mut dataset, mut script) = (String::new(), String::new());
    for i in 0..count {
        let category = if i % 2 == 0 { "billing" } else { "shipping" };
        let question = format!("What does rule number {i} say about {category}?");
        let answer = format!("Rule {i} says that {category} is settled within {} working days.", i % 9 + 2);
        dataset += &serde_json::json!({
            "id": format!("q{i:05}"), "category": category, "prompt": question,
            "reference_response": answer, "source": "test",
        })
        .to_string();
        script += &serde_json::json!({"input": question, "answer": answer}).to_string();
        dataset.push('\n');
        script.push('\n');
    }
    (dataset, script)
}

/// A configuration that asks the simulator at `port`.
pub(crate) fn config(port: u16) -> String {
    format!(
        r#"version: 1
project: unseen
providers:
  local: {{kind: openai, base_url: "http://127.0.0.1:{port}/v1", api_key: none, max_concurrency: 16, retries: 1}}
targets:
  bot: {{prompt: bot, model: local/bot}}
datasets:
  golden: {{path: golden.jsonl, type: golden}}
scoring:
  metrics:
    rouge_l: {{weight: 0.5}}
    token_f1: {{weight: 0.5}}
"#
    )
}

/// A prompt without variables of its own.
pub(crate) const PROMPT: &str = "name: bot\nversion: 1.0.0\nsystem: Answer briefly.\ncontent: \"{{ input }}\"\n";

/// The folder of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
