//! Alerts from the command line.

use crate::project::Project;

/// A prompt that gets worse in its second version, and a channel that is a program.
fn project() -> Project {
    let config = "version: 1
project: p
providers:
  sim: {kind: simulator, script: answers.jsonl}
targets:
  bot: {prompt: bot, model: sim/m}
datasets:
  golden: {path: golden.jsonl}
scoring:
  metrics: {exact_match: {weight: 1.0}}
suites:
  default: {target: bot, dataset: golden}
channels:
  file: {kind: command, run: [sh, -c, 'cat > told.json']}
  broken: {kind: command, run: [sh, -c, 'echo no such pager >&2; exit 3']}
  unset: {kind: slack, url: '${NOBODY_SETS_THIS}'}
";
    let samples = (0..20)
        .map(|i| format!("{{\"id\": \"s{i}\", \"input\": \"what is number {i}\", \"expected\": \"answer {i}\"}}\n"));
    let answers = (0..20).map(|i| {
        format!(
            "{{\"input\": \"what is number {i}\", \"answer\": \"answer {i}\", \"when_prompt_contains\": \"care\"}}\n\
             {{\"input\": \"what is number {i}\", \"answer\": \"whatever\"}}\n"
        )
    });
    Project::new(&[
        ("llmops.yaml", config),
        ("golden.jsonl", &samples.collect::<String>()),
        ("answers.jsonl", &answers.collect::<String>()),
        ("prompts/bot.yaml", "name: bot\nversion: 1.0.0\nsystem: Answer with care.\ncontent: \"{{ input }}\"\n"),
    ])
}

#[test]
fn a_test_message_goes_through_every_channel_and_each_is_told_apart() {
    let project = project();
    let said = project.expect(3, &["alert", "test"]);
    assert!(project.read("told.json").contains("\"type\":\"alert.test\""), "{}", said.out);
    for expected in ["file", "broken", "no such pager", "NOBODY_SETS_THIS is not set"] {
        assert!(said.out.contains(expected), "{expected} is missing in:\n{}", said.out);
    }
    project.expect(0, &["alert", "test", "file"]);
    assert!(project.expect(2, &["alert", "test", "fille"]).err.contains("there is no channel `fille`"));
    let channels = project.expect(0, &["alert", "channels"]).out;
    assert!(channels.contains("NOBODY_SETS_THIS is not set"), "{channels}");
}

#[test]
fn a_worse_prompt_raises_an_alert_that_is_acknowledged_silenced_and_resolved() {
    let project = project();
    project.expect(0, &["eval"]);
    assert_eq!(project.expect(0, &["alert", "list"]).out, "no alerts\n");
    let worse = project.read("prompts/bot.yaml").replace("1.0.0", "1.0.1").replace("with care", "at once");
    project.write("prompts/bot.yaml", &worse);
    project.expect(0, &["eval"]);
    let listed = project.expect(0, &["alert", "list", "--severity", "critical"]).out;
    assert!(listed.contains("the pass rate fell by 100.0 points"), "{listed}");
    let json = project.expect(0, &["alert", "list", "--severity", "critical", "--json"]).out;
    let page: serde_json::Value = serde_json::from_str(&json).unwrap();
    let id = page["items"][0]["id"].as_str().unwrap();
    let shown = project.expect(0, &["alert", "show", id]).out;
    assert!(shown.contains("reference") && shown.contains("critical"), "{shown}");
    project.expect(0, &["alert", "ack", id]);
    assert_eq!(project.expect(0, &["alert", "list", "--severity", "critical", "--unacked"]).out, "no alerts\n");
    project.expect(0, &["alert", "silence", "--for", "2h", "--alert", id, "--comment", "known"]);
    assert!(project.expect(0, &["alert", "silences"]).out.contains("known"));
    project.expect(0, &["alert", "resolve", id]);
    assert_eq!(project.expect(0, &["alert", "list", "--severity", "critical"]).out, "no alerts\n");
    assert!(project.expect(0, &["alert", "list", "--all"]).out.contains("resolved"));
    assert!(project.expect(2, &["alert", "show", "alert_nobody"]).err.contains("there is no alert `alert_nobody`"));
    project.expect(2, &["alert", "silence", "--for", "0s"]);
}

#[test]
fn provider_check_shows_health_score_and_price() {
    let project = project();
    project.expect(0, &["eval"]);
    let said = project.expect(0, &["provider", "check"]).out;
    assert!(said.contains("sim/m") && said.contains("yes") && said.contains("n 20"), "{said}");
    let set = project.expect(0, &["provider", "score", "sim/m", "0.4"]).out;
    assert!(set.contains("0.400 (set)"), "{set}");
    project.expect(0, &["provider", "score", "sim/m", "--clear"]);
    project.expect(2, &["provider", "score", "sim/m", "1.4"]);
    project.expect(2, &["provider", "check", "nobody/m"]);
}

#[test]
fn a_program_that_takes_too_long_ends_with_what_it_started() {
    let project = project();
    let slow = "channels:
  slow: {kind: command, timeout: 1s, run: [sh, -c, 'sleep 300 & echo $! > pid; wait']}
  loud: {kind: command, run: [sh, -c, 'yes x | head -c 3000000 >&2; echo the end >&2; exit 1']}
";
    project.write("llmops.yaml", &project.read("llmops.yaml").replace("channels:\n", slow));
    let said = project.expect(3, &["alert", "test", "slow"]).out;
    assert!(said.contains("took longer than 1s"), "{said}");
    let stat = format!("/proc/{}/stat", project.read("pid").trim());
    let runs = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
    let asked = std::time::Instant::now();
    while runs() {
        assert!(asked.elapsed() < std::time::Duration::from_secs(5), "what it started lives on");
        std::thread::yield_now();
    }
    let said = project.expect(3, &["alert", "test", "loud"]).out;
    assert!(said.contains("the end"), "{said}");
}
