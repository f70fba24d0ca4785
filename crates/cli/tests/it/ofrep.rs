//! OpenFeature's remote evaluation protocol: every answer as bytes, and the clients that people use.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::project::{Project, workspace};

/// `llmops serve` in another process; killed when the test ends.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    fn start(project: &Project) -> Self {
        Self::spawn(project.command(&["serve", "--dev", "--listen", "127.0.0.1:0"]))
    }

    /// Starts a server by a command of the caller's.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let port = loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the server ended: {said}");
            said += &line;
            if let Some(rest) = line.split("http://127.0.0.1:").nth(1) {
                break rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap();
            }
        };
        // Whatever it says later must not stop it.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self { child, port }
    }

    /// Posts and answers with status, head and body.
    fn post(&self, path: &str, headers: &str, body: &str) -> (u16, String, Value) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n{headers}\r\n{body}"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn etag(head: &str) -> &str {
    head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap()
}

/// A project with one running experiment for each type of value, and others that are not.
fn flags() -> Project {
    let project = Project::new(&[]);
    let experiment = |name: &str, control: Value, treatment: Value| {
        let spec = json!({
            "name": name, "seed": name,
            "variants": [{"id": "control", "value": control}, {"id": "treatment", "value": treatment}],
        });
        project.write(&format!("{name}.json"), &spec.to_string());
        project.expect(0, &["experiment", "create", &format!("{name}.json"), "--start"]);
    };
    experiment("warm-greeting", json!(false), json!(true));
    experiment("temperature", json!(0.5), json!(1.0));
    experiment("max-tokens", json!(256), json!(512));
    experiment("model", json!("openai/gpt-4o"), json!("ünï/😀"));
    experiment("prompt", json!({"name": "bot", "top_p": 1.0}), json!({"name": "bot", "tags": ["new"]}));
    experiment("finished", json!("old"), json!("new"));
    project.expect(0, &["experiment", "complete", "finished", "--winner", "treatment"]);
    let spec = json!({"name": "by-session", "unit": "session", "variants": [{"value": "a"}, {"value": "b"}]});
    project.write("s.json", &spec.to_string());
    project.expect(0, &["experiment", "create", "s.json", "--start"]);
    project.write("d.json", &json!({"name": "draft", "variants": [{}, {}]}).to_string());
    project.expect(0, &["experiment", "create", "d.json"]);
    project
}

#[test]
fn every_answer_of_the_protocol() {
    let project = flags();
    let slashed = json!({"name": "slashed", "key": "team/greeting ü", "variants": [{"value": 1}, {"value": 2}]});
    project.write("slashed.json", &slashed.to_string());
    project.expect(0, &["experiment", "create", "slashed.json", "--start"]);
    let server = Server::start(&project);
    let one = |key: &str, body: &str| server.post(&format!("/ofrep/v1/evaluate/flags/{key}"), "", body);
    let context = r#"{"context": {"targetingKey": "user-7", "country": "DE"}}"#;

    let (status, _, answer) = one("team/greeting%20%C3%BC", context);
    assert_eq!((status, &answer["key"]), (200, &json!("team/greeting ü")), "{answer}");
    let (status, _, answer) = one("team/nobody", context);
    assert_eq!((status, &answer["errorCode"]), (404, &json!("FLAG_NOT_FOUND")), "{answer}");

    let (status, head, answer) = one("temperature", context);
    assert_eq!(status, 200);
    assert!(answer["value"].is_f64(), "a float stays a float: {answer}");
    assert_eq!(answer["reason"], "SPLIT");
    assert!(answer["variant"] == "control" || answer["variant"] == "treatment");
    assert_eq!(answer["metadata"]["included"], true);
    assert!(head.contains("content-type: application/json"));
    let tag = etag(&head).to_owned();
    let path = "/ofrep/v1/evaluate/flags/temperature";
    let (status, _, body) = server.post(path, &format!("if-none-match: {tag}\r\n"), context);
    assert_eq!((status, body), (304, Value::Null));

    let wrong = |key: &str, body: &str, status: u16, code: &str| {
        let (got, _, answer) = one(key, body);
        assert_eq!((got, &answer["errorCode"]), (status, &json!(code)), "{body}: {answer}");
        assert_eq!(answer["key"], key);
        assert!(answer["errorDetails"].as_str().is_some_and(|text| !text.is_empty()));
    };
    wrong("temperature", "{", 400, "PARSE_ERROR");
    wrong("temperature", "[]", 400, "PARSE_ERROR");
    wrong("temperature", r#"{"context": []}"#, 400, "INVALID_CONTEXT");
    wrong("temperature", r#"{"context": {"targetingKey": 7}}"#, 400, "INVALID_CONTEXT");
    wrong("temperature", r#"{"context": {"targetingKey": "a\u0000b"}}"#, 400, "INVALID_CONTEXT");
    wrong("temperature", r#"{"context": {}}"#, 400, "TARGETING_KEY_MISSING");
    wrong("temperature", r#"{"context": {"targetingKey": ""}}"#, 400, "TARGETING_KEY_MISSING");
    wrong("temperature", "", 400, "TARGETING_KEY_MISSING");
    wrong("by-session", context, 400, "INVALID_CONTEXT");
    wrong("nothing", context, 404, "FLAG_NOT_FOUND");
    wrong("draft", context, 404, "FLAG_NOT_FOUND");

    let (status, _, answer) = one("finished", "{}");
    assert_eq!(
        (status, &answer["value"], &answer["reason"]),
        (200, &json!("new"), &json!("STATIC")),
        "over: for everybody"
    );
}

#[test]
fn all_flags_at_once() {
    let project = flags();
    let server = Server::start(&project);
    let all = |headers: &str, body: &str| server.post("/ofrep/v1/evaluate/flags", headers, body);
    let context = r#"{"context": {"targetingKey": "user-7"}}"#;
    let (status, head, answer) = all("", context);
    let keys: Vec<&str> = answer["flags"].as_array().unwrap().iter().filter_map(|f| f["key"].as_str()).collect();
    assert_eq!(status, 200);
    assert_eq!(keys, ["by-session", "finished", "max-tokens", "model", "prompt", "temperature", "warm-greeting"]);
    assert_eq!(answer["flags"][0]["errorCode"], "INVALID_CONTEXT");
    let tag = etag(&head).to_owned();
    assert_eq!(all(&format!("if-none-match: {tag}\r\n"), context).0, 304);
    assert_eq!(all(&format!("if-none-match: \"other\", W/{tag}\r\n"), context).0, 304);
    let other = all(&format!("if-none-match: {tag}\r\n"), r#"{"context": {"targetingKey": "user-8"}}"#);
    assert_eq!(other.0, 200, "another context has another tag");

    // A change by another process is seen within a second.
    project.expect(0, &["experiment", "pause", "model"]);
    let asked = std::time::Instant::now();
    while all(&format!("if-none-match: {tag}\r\n"), context).0 == 304 {
        assert!(asked.elapsed() < std::time::Duration::from_secs(2), "another configuration has another tag");
    }
    let model = |answer: &Value| answer["flags"][3].clone();
    let (_, _, now) = all("", context);
    assert_eq!(model(&now)["value"], model(&answer)["value"], "who is in keeps the variant");
    let (_, _, new) = all("", r#"{"context": {"targetingKey": "newcomer"}}"#);
    assert_eq!((&model(&new)["reason"], &model(&new)["variant"]), (&json!("DISABLED"), &json!("control")));
    assert_eq!(model(&new)["metadata"]["included"], false);

    assert_eq!(all("", r#"{"context": 3}"#).2["errorCode"], "INVALID_CONTEXT");
    assert_eq!(all("", "nonsense").2["errorCode"], "PARSE_ERROR");
    assert_eq!(all("", "{}").0, 200, "the winner needs nobody's name");
}

#[test]
fn the_clients_that_people_use() {
    if Command::new("node").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("skipped: node is not installed");
        return;
    }
    let project = flags();
    let mut values = Vec::new();
    for unit in ["user-1", "user-2", "user-3", "ünï 😀"] {
        for flag in ["warm-greeting", "temperature", "max-tokens", "model", "prompt"] {
            let said = project.expect(0, &["experiment", "assign", flag, "--unit", unit, "--json"]).out;
            let assigned: Value = serde_json::from_str(&said).unwrap();
            let variant = &assigned["variant"];
            values.push(json!({
                "flag": flag, "unit": unit, "value": variant["value"], "variant": variant["id"], "reason": "SPLIT",
            }));
        }
        values.push(json!({
            "flag": "finished", "unit": unit, "value": "new", "variant": "treatment", "reason": "STATIC",
        }));
    }
    project.write("expected.json", &json!({"flag": "warm-greeting", "values": values}).to_string());
    let server = Server::start(&project);
    let installed = Command::new("bash").arg("scripts/clients/install.sh").current_dir(workspace()).output().unwrap();
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    let home = String::from_utf8(installed.stdout).unwrap().trim().to_owned();
    let url = format!("http://127.0.0.1:{}", server.port);
    let clients = workspace().join("scripts/clients");
    for (program, script) in
        [("node".to_owned(), "ofrep_client.mjs"), (format!("{home}/venv/bin/python"), "ofrep_client.py")]
    {
        let said = Command::new(program)
            .arg(clients.join(script))
            .args([url.as_str(), project.path("expected.json").to_str().unwrap()])
            .env("CLIENTS_HOME", &home)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        assert!(said.status.success() && text.contains(", 0 failed"), "{script}: {text}");
    }
}
