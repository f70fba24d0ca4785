//! From what a user says to what the gate asks: the commands of the README, as they stand there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::project::{LLMOPS, Project, workspace};

/// `llmops serve --dev` in another process; killed when the test ends.
pub(crate) struct DevServer {
    child: Child,
    pub(crate) address: String,
}

impl DevServer {
    pub(crate) fn start(project: &Project) -> Self {
        let mut command = project.command(&["serve", "--dev", "--listen", "127.0.0.1:0"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("http://") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the server ended");
        }
        let address = line.split("http://").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        Self { child, address }
    }

    /// Posts JSON and answers with status and body.
    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let (length, host) = (body.len(), &self.address);
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: \
             {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}")))
    }

    /// Asks a deployment, and waits until the call's record is there.
    pub(crate) fn ask(&self, project: &Project, question: &str) -> Value {
        let body = json!({"model": "support-bot", "messages": [{"role": "user", "content": question}],
            "llmops": {"user": "ana", "tags": {"country": "DE"}}});
        let (status, answer) = self.post("/v1/chat/completions", &body);
        assert_eq!(status, 200, "{answer}");
        loop {
            let records = project.expect(0, &["records", "query", "--limit", "1", "--json"]);
            let records: Value = serde_json::from_str(&records.out).unwrap();
            let kept = records["items"][0]["request_body"].as_str().unwrap_or_default();
            if kept.contains(question) {
                return records["items"][0].clone();
            }
        }
    }
}

impl Drop for DevServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A new project with a deployment.
pub(crate) fn deployed() -> Project {
    let project = Project::new(&[]);
    project.expect(0, &["init"]);
    project.expect(0, &["prompt", "push", "prompts/support-bot.yaml"]);
    project.expect(0, &["deploy", "support-bot", "--prompt", "support-bot", "--model", "sim/support-small"]);
    project
}

/// The shell commands of the README's section with this title.
fn commands(title: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    let section = readme.split(&format!("## {title}\n")).nth(1).unwrap_or_else(|| panic!("no section {title}"));
    let block = section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    block.lines().filter(|line| line.starts_with("llmops")).map(str::to_owned).collect()
}

#[test]
fn a_correction_is_asked_by_the_next_gate() {
    let project = deployed();
    project.expect(0, &["eval"]);
    project.expect(0, &["baseline", "promote", "latest"]);
    let before = project.scores()["total_examples"].as_u64().unwrap();
    let server = DevServer::start(&project);
    server.ask(&project, "Do you deliver on Saturdays, too?");

    let commands = commands("From feedback to the gate");
    assert_eq!(commands.len(), 4, "{commands:?}");
    let folder = std::path::Path::new(LLMOPS).parent().unwrap().display().to_string();
    for (i, command) in commands.iter().enumerate() {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(project.path(".")).env_clear();
        shell.env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap_or_default()));
        let output = shell.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        // The gate may well say no: the bot has not learnt the answer.
        let expected = if i == 3 { vec![0, 1] } else { vec![0] };
        assert!(expected.contains(&output.status.code().unwrap()), "{command}: {said}");
    }
    let line = project.read("datasets/golden.jsonl").lines().last().unwrap().to_owned();
    let sample: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(sample["input"], "Do you deliver on Saturdays, too?");
    assert!(sample["metadata"]["request_id"].as_str().unwrap().starts_with("req_"));
    assert!(sample["metadata"]["manifest"].as_str().unwrap().len() == 64);
    let scores = project.scores();
    assert_eq!(scores["total_examples"], before + 1, "the gate's run has the sample");
    assert!(scores["verdict"].is_string(), "{scores}");
    let shown = project.expect(0, &["run", "show", "latest", "--sample", sample["id"].as_str().unwrap()]);
    assert!(shown.out.contains(sample["expected_output"][0].as_str().unwrap()), "{}", shown.out);
    let audit = project.expect(0, &["audit", "list", "--action", "review", "--json"]);
    assert!(audit.out.contains("review.decided"), "{}", audit.out);
}

#[test]
fn what_is_accepted_elsewhere_is_named_until_the_file_has_it() {
    let project = deployed();
    let server = DevServer::start(&project);
    let record = server.ask(&project, "Do you deliver on Saturdays, too?");
    let said = json!({"request_id": record["id"], "thumb": "down", "correction": "Yes, until noon."});
    assert_eq!(server.post("/api/v1/feedback", &said).0, 201);
    let item = loop {
        let listed = project.expect(0, &["review", "list", "--json"]);
        let listed: Value = serde_json::from_str(&listed.out).unwrap();
        if let Some(id) = listed["items"][0]["id"].as_str() {
            break id.to_owned();
        }
    };
    let category =
        serde_json::from_str::<Value>(project.read("datasets/golden.jsonl").lines().next().unwrap()).unwrap();
    let decision = json!({"action": "accept", "dataset": "golden", "category": category["category"]});
    let (status, decided) = server.post(&format!("/api/v1/reviews/{item}/decision"), &decision);
    assert_eq!(status, 200, "{decided}");
    let note =
        "1 sample of the review queue is not in the file of golden, and is not asked: llmops dataset pull golden";
    // However often it is evaluated: the server's newest version is the file's by then.
    for _ in 0..2 {
        assert!(project.expect(0, &["eval"]).err.contains(note));
    }
    assert!(project.expect(0, &["apply", "--dry-run"]).out.contains("llmops dataset pull golden"));
    let before = project.scores()["total_examples"].as_u64().unwrap();
    assert!(project.expect(0, &["dataset", "pull", "golden"]).out.contains("1 sample into"));
    assert!(!project.expect(0, &["eval"]).err.contains("review queue"));
    assert_eq!(project.scores()["total_examples"], before + 1);
    assert!(project.expect(0, &["dataset", "pull", "golden"]).out.contains("has everything"));
}

#[test]
fn what_is_collected_from_calls_is_named_pulled_and_evaluated() {
    let project = deployed();
    let server = DevServer::start(&project);
    let record = server.ask(&project, "Do you deliver on Saturdays, too?");
    let said = json!({"request_id": record["id"], "thumb": "down", "correction": "Yes, until noon."});
    assert_eq!(server.post("/api/v1/feedback", &said).0, 201);
    // Joined with its answer by then.
    while !project.expect(0, &["review", "list", "--json"]).out.contains("Saturdays") {}
    for dataset in ["golden", "hard"] {
        project.expect(0, &["feedback", "hard-examples", dataset]);
    }
    let note =
        "1 sample collected from calls is not in the file of golden, and is not asked: llmops dataset pull golden";
    for _ in 0..2 {
        assert!(project.expect(0, &["eval"]).err.contains(note));
    }
    let pulled = project.expect(0, &["dataset", "pull", "golden"]).out;
    assert!(pulled.contains("1 sample into") && pulled.contains("1 collected from calls"), "{pulled}");
    assert!(project.read("datasets/golden.jsonl").contains("Saturdays"));
    assert!(project.expect(0, &["dataset", "pull", "golden"]).out.contains("has everything"));

    project.expect(0, &["eval", "--dataset", "hard"]);
    assert_eq!(project.scores()["total_examples"], 1);
    let pulled = project.expect(0, &["dataset", "pull", "hard"]).out;
    assert!(pulled.contains("1 sample into") && pulled.contains("hard: {"), "{pulled}");
    assert!(project.read("datasets/hard.jsonl").contains("Yes, until noon."));
    assert!(project.expect(0, &["dataset", "pull", "hard"]).out.contains("has all samples of hard"));
    for command in [["eval", "--dataset", "nope"], ["dataset", "pull", "nope"]] {
        let unknown = project.expect(2, &command).err;
        assert!(unknown.contains("in the configuration, and the server keeps none"), "{unknown}");
    }
}

#[test]
fn feedback_from_the_command_line() {
    let project = deployed();
    let server = DevServer::start(&project);
    let record = server.ask(&project, "How long does standard shipping take?");
    let id = record["id"].as_str().unwrap();
    project.expect(0, &["feedback", "add", id, "--thumb", "up", "--rating", "4/5", "--signal", "copied=true"]);
    let (status, body) = server.post("/api/v1/feedback", &json!({"request_id": id, "thmb": "up"}));
    assert_eq!((status, body["error"]["problems"].as_array().unwrap().len()), (422, 2), "{body}");
    let lines = [json!({"request_id": id, "label": "fast"}).to_string(), "{".to_owned(), "{\"thumb\": 1}".to_owned()];
    project.write("feedback.jsonl", &lines.join("\n"));
    let said = project.expect(1, &["feedback", "add", "--file", "feedback.jsonl"]);
    assert!(said.out.contains("1 taken, 1 refused"), "{}", said.out);
    for expected in ["feedback.jsonl:2: not JSON", "feedback.jsonl:3: thumb: expected", "feedback.jsonl:3: request_id"]
    {
        assert!(said.err.contains(expected), "{expected}: {}", said.err);
    }
    let listed = project.expect(0, &["feedback", "list", "--deployment", "support-bot", "--json"]);
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert_eq!(listed["items"][1]["context"]["prompt"], "support-bot@1.0.0");
    let summary = project.expect(0, &["feedback", "summary", "--by", "tag"]);
    assert!(summary.out.contains("country=DE") && summary.out.contains("n=1"), "{}", summary.out);
    for (by, expected) in [("prompt", "support-bot@1.0.0"), ("day", "20"), ("deployment", "support-bot")] {
        let summary = project.expect(0, &["feedback", "summary", "--by", by]);
        assert!(summary.out.contains(expected), "{by}: {}", summary.out);
    }
    project.expect(2, &["feedback", "add", id, "--rating", "9/5"]);
    project.expect(2, &["feedback", "add", id]);
    assert!(project.expect(0, &["review", "list"]).out.contains("Nothing waits"));
    project.expect(2, &["review", "accept", "latest"]);
}

#[test]
fn the_red_team_pack_runs_as_it_is() {
    let project = deployed();
    let said = project.expect(0, &["dataset", "import", "--pack", "red-team"]);
    assert!(said.out.contains("78 samples"), "{}", said.out);
    project.expect(0, &["eval", "--config", "red-team.yaml"]);
    let scores = project.scores();
    assert_eq!((scores["total_examples"].as_u64(), scores["errored"].as_u64()), (Some(78), Some(0)));
    // The simulator knows none of the questions and declines nothing: the checks see it.
    assert!(scores["categories"]["refusal"].as_f64().unwrap() < scores["categories"]["over_refusal"].as_f64().unwrap());
    // Nor does it hold on to facts.
    assert!(scores["categories"]["contradiction"].as_f64().unwrap() < 0.8, "{scores}");
    project.expect(1, &["gate", "--config", "red-team.yaml"]);
    // What is there is kept.
    project.write("red-team.yaml", "mine");
    project.expect(0, &["dataset", "import", "--pack", "red-team"]);
    assert_eq!(project.read("red-team.yaml"), "mine");
    project.expect(2, &["dataset", "import"]);
    // Without a project there is nothing to write it into, and that is told.
    let elsewhere = Project::new(&[]);
    let said = elsewhere.expect(0, &["dataset", "import", "--pack", "red-team"]);
    assert!(said.err.contains("neither the file of the samples nor a configuration"), "{}", said.err);
}

#[test]
fn scripts_tell_what_waits_from_what_is_done() {
    let project = deployed();
    let begin = ["release", "support-bot", "--prompt", "support-bot", "--model", "sim/support-large"];
    let begun = project.expect(4, &begin);
    assert!(begun.err.contains("waits at the step gate"), "{}", begun.err);
    project.expect(4, &["release", "support-bot", "--status"]);
    project.expect(0, &["release", "support-bot", "--cancel"]);
    let id = begun.out.split(' ').next().unwrap();
    project.expect(1, &["release", id, "--status"]);
    project.expect(2, &["release", "support-bot"]);
    project.write("asking.yaml", "require_approval: true\n");
    project.expect(0, &["deploy", "support-bot", "--settings", "asking.yaml"]);
    let waits = project.expect(4, &["deploy", "support-bot", "--model", "sim/support-large"]);
    assert!(waits.err.contains("waits for a second key"), "{}", waits.err);
}
