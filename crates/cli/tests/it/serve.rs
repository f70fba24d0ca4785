//! `llmops serve`: the first key, keys for others, and commands that work on the server.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use crate::project::{Project, Said};

/// A server in another process; killed when the test ends.
struct Server {
    child: Child,
    /// What it said until it was ready.
    said: String,
    url: String,
}

impl Server {
    fn start(project: &Project, args: &[&str], admin_key: Option<&str>) -> Self {
        let mut command = project.command(&[&["serve", "--listen", "127.0.0.1:0"], args].concat());
        if let Some(key) = admin_key {
            command.env("LLMOPS_ADMIN_KEY", key);
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut reader = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("serves http://") {
            assert!(reader.read_line(&mut said).unwrap() > 0, "the server said: {said}");
        }
        let url = said.split("serves ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        Self { child, said, url }
    }

    /// A command on this server.
    fn run(&self, project: &Project, key: &str, args: &[&str]) -> Said {
        project.run(&[args, &["--server", &self.url, "--api-key", key]].concat())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_first_start_shows_an_admin_key_that_makes_others() {
    let project = Project::new(&[]);
    let server = Server::start(&project, &[], None);
    let admin = server.said.split("Admin key, shown this once: ").nth(1).unwrap().lines().next().unwrap().to_owned();
    assert_eq!(server.run(&project, &admin, &["project", "create", "shop"]).code, 0);
    let create = ["key", "create", "ci", "--project", "shop", "--role", "editor", "--expires", "90d"];
    let created = server.run(&project, &admin, &create);
    assert_eq!(created.code, 0, "{}", created.err);
    let secret = created.out.trim();
    assert!(secret.starts_with("llmops_") && created.err.contains("shown this once"), "{}", created.err);
    let listed = server.run(&project, &admin, &["key", "list", "--project", "shop", "--json"]);
    assert!(!listed.out.contains(secret));
    let listed: serde_json::Value = serde_json::from_str(&listed.out).unwrap();
    let id = listed["items"][0]["id"].as_str().unwrap();

    assert_eq!(server.run(&project, secret, &["prompt", "list"]).code, 0);
    let refused = server.run(&project, secret, &["key", "list"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("this needs the role admin; the key `ci` has editor"), "{}", refused.err);
    assert_eq!(server.run(&project, &admin, &["key", "revoke", id, "--project", "shop"]).code, 0);
    let refused = server.run(&project, secret, &["prompt", "list"]);
    assert!(refused.code == 2 && refused.err.contains("unknown, expired or revoked"), "{}", refused.err);
    let records = server.run(&project, &admin, &["audit", "list", "--json"]);
    assert!(records.out.contains("key.created"), "{}", records.out);
    drop(server);

    let again = Server::start(&project, &[], None);
    assert!(!again.said.contains("Admin key"), "{}", again.said);
    assert_eq!(again.run(&project, &admin, &["prompt", "list"]).code, 0);
}

#[test]
fn the_admin_key_can_be_given() {
    let project = Project::new(&[]);
    let key = "a-key-that-somebody-made-up";
    let server = Server::start(&project, &[], Some(key));
    assert!(!server.said.contains(key) && !server.said.contains("shown this once"), "{}", server.said);
    assert_eq!(server.run(&project, key, &["key", "list"]).code, 0);
    drop(server);
    let other = Server::start(&project, &[], Some("another-key-of-somebody"));
    assert!(other.said.contains("LLMOPS_ADMIN_KEY is not used"), "{}", other.said);
}

#[test]
fn what_is_unsafe_is_refused() {
    let project = Project::new(&[]);
    let open = project.expect(2, &["serve", "--dev", "--listen", "0.0.0.0:0"]);
    assert!(open.err.contains("not a loopback address"), "{}", open.err);
    let short = project.expect(2, &["serve", "--listen", "127.0.0.1:0", "--admin-key", "short"]);
    assert!(short.err.contains("at least 16"), "{}", short.err);
    let role = project.expect(2, &["key", "create", "x", "--role", "root"]);
    assert!(role.err.contains("expected caller, viewer, editor, operator or admin"), "{}", role.err);
}

#[test]
fn dev_says_loudly_that_it_needs_no_key() {
    let project = Project::new(&[]);
    let server = Server::start(&project, &["--dev"], None);
    assert!(server.said.contains("WARNING: --dev"), "{}", server.said);
    assert_eq!(project.run(&["prompt", "list", "--server", &server.url]).code, 0);
}

#[test]
fn the_own_store_needs_no_key_and_keeps_a_record() {
    let project = Project::new(&[]);
    project.expect(0, &["project", "create", "shop", "--name", "The shop"]);
    let made = project.expect(0, &["key", "create", "ci", "--project", "shop", "--quiet"]);
    assert!(made.err.is_empty(), "{}", made.err);
    let listed = project.expect(0, &["project", "list"]).out;
    assert!(listed.contains("The shop") && listed.contains("default"), "{listed}");
    project.write("prompts/p.yaml", "name: p\nversion: 1.0.0\ncontent: \"{{ input }}\"\n");
    project.expect(0, &["prompt", "push", "prompts/p.yaml"]);
    let records = project.expect(0, &["audit", "list", "--action", "prompt"]).out;
    assert!(records.contains("prompt.created") && records.contains("local"), "{records}");
}
