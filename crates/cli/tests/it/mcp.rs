//! `llmops mcp` on standard input and output.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::project::Project;

#[test]
fn batches_are_answered_and_what_is_no_message_is_told_so() {
    let project = Project::new(&[]);
    let mut mcp = project.command(&["mcp"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let ping = |id: u32| json!({"jsonrpc": "2.0", "id": id, "method": "ping"});
    let told = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let mut input = b"\xff\n".to_vec();
    for batch in [json!([ping(1), told, ping(2), 3]), json!([told]), json!([]), ping(4)] {
        writeln!(input, "{batch}").unwrap();
    }
    mcp.stdin.take().unwrap().write_all(&input).unwrap();
    let said = mcp.wait_with_output().unwrap();
    assert!(said.status.success());
    let answers: Vec<Value> =
        String::from_utf8(said.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 4, "{answers:?}");
    assert_eq!(answers[0]["error"]["code"], -32700);
    let batch: Vec<(&Value, &Value)> =
        answers[1].as_array().unwrap().iter().map(|one| (&one["id"], &one["error"]["code"])).collect();
    let none = &Value::Null;
    assert_eq!(batch, [(&json!(1), none), (&json!(2), none), (none, &json!(-32600))]);
    assert_eq!(answers[2]["error"]["code"], -32600, "an empty batch is none");
    assert_eq!(answers[3]["id"], 4);
}
