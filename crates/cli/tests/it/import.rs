//! Projects made of other tools' files: what is made, what is noted, and that it evaluates.

use std::path::Path;

use serde_json::{Value, json};

use crate::project::Project;

fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name).display().to_string()
}

/// Imports into the folder `made`.
fn import(project: &Project, args: &[&str]) -> Value {
    let args: Vec<&str> =
        ["--json", "import"].into_iter().chain(args.iter().copied()).chain(["--output", "made"]).collect();
    serde_json::from_str(&project.expect(0, &args).out).unwrap()
}

fn lines(project: &Project, file: &str) -> Vec<Value> {
    project.read(file).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Insists on texts that a longer one holds.
fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

/// What was carried over.
fn carried(imported: &Value) -> String {
    let carried = imported["carried_over"].as_array().unwrap().iter();
    carried.map(|text| text.as_str().unwrap()).collect::<Vec<_>>().join(", ")
}

/// The notes, a line each.
fn notes(imported: &Value) -> String {
    let notes = imported["notes"].as_array().unwrap().iter();
    notes
        .map(|note| format!("{}: {}", note["place"].as_str().unwrap(), note["what"].as_str().unwrap()))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_promptfoo_configuration_becomes_a_project_that_evaluates() {
    let project = Project::new(&[]);
    let imported = import(&project, &["promptfoo", &fixture("promptfoo/promptfooconfig.yaml")]);
    assert_eq!(carried(&imported), "4 prompts, 3 models, 16 samples, 21 assertions");
    let notes = notes(&imported);
    assert_eq!(notes.lines().count(), 4, "{notes}");
    holds(
        &notes,
        &[
            "providers[3]: not carried over: `file://custom_provider.py` has no counterpart here",
            "tests[4].assert[0]: not carried over: `llm-rubric` asks a model about one sample",
            "tests[5].assert[0]: not carried over: `javascript` is a program",
            "prompts[2]: endpoints are sent its last user message as `prompt`",
        ],
    );
    holds(
        &project.read("made/llmops.yaml"),
        &[
            "echo: {kind: command, run: [cat]}",
            "openai: {kind: openai, api_key: \"${OPENAI_API_KEY}\"}",
            "authorization: \"Bearer ${TOKEN}\"",
            "answer: \"$.choices[0].message.content\"",
            "default: {target: prompt-echo, dataset: tests}",
            "parameters: {temperature: 0.2, max_tokens: 300}",
        ],
    );
    let chat =
        "  - {role: system, content: \"You are a {{tone}} help desk.\"}\n  - {role: user, content: \"{{question}}\"}\n";
    holds(&project.read("made/prompts/chat.yaml"), &["messages:\n", chat]);
    let config = project.path("made/llmops.yaml").display().to_string();
    project.expect(0, &["--config", &config, "eval", "--output", "scores.json"]);
    // What promptfoo itself says of the same configuration is compared in scripts/ecosystem/.
    assert_eq!(failed(&project, &config), ["a-row-that-fails", "wrong-on-purpose"]);
}

/// Samples of the newest run that did not pass.
fn failed(project: &Project, config: &str) -> Vec<String> {
    let shown =
        project.expect(0, &["--config", config, "--json", "run", "show", "latest", "--failed", "--limit", "100"]);
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    let items = shown["items"].as_array().unwrap();
    let mut failed: Vec<String> = items.iter().map(|item| item["sample_id"].as_str().unwrap().to_owned()).collect();
    failed.sort();
    failed
}

#[test]
fn langfuses_exports_become_prompts_and_a_dataset() {
    let project = Project::new(&[]);
    let files = [fixture("langfuse/prompts.json"), fixture("langfuse/items.json")];
    let imported = import(&project, &["langfuse", &files[0], &files[1]]);
    assert_eq!(carried(&imported), "2 prompts, 3 versions, 1 dataset, 3 samples");
    holds(
        &notes(&imported),
        &[
            "prompt Support chat: is called `support-chat` here",
            "prompts.json[2].prompt[1]: not carried over: placeholders for messages",
            "prompts.json[1].config.supported_languages: not carried over",
            "items.json[3]: not carried over: the item is archived",
            "items.json[4]: not carried over: neither a prompt nor an item",
            "keeps its 1 other version",
        ],
    );
    let live =
        ["version: \"2.0.0\"", "change: Shorter", "parameters: {temperature: 0.2}", "langfuse_labels: [production]"];
    holds(&project.read("made/prompts/movie-critic.yaml"), &live);
    assert!(project.read("made/prompts/archive/movie-critic-1.0.0.yaml").contains("version: \"1.0.0\""));
    let samples = lines(&project, "made/datasets/capitals.jsonl");
    assert_eq!(samples.len(), 3);
    assert_eq!(samples[0]["variables"]["country"], "France");
    assert_eq!(samples[0]["category"], "europe");
    assert_eq!(samples[1]["expected_output"][0], "{\"city\":\"Lima\"}");
    assert_eq!(samples[2]["messages"][0]["content"], "And of Chad?");
    let config = project.path("made/llmops.yaml").display().to_string();
    project.expect(0, &["--config", &config, "dataset", "build"]);
    let archived = project.path("made/prompts/archive/movie-critic-1.0.0.yaml").display().to_string();
    let live = project.path("made/prompts/movie-critic.yaml").display().to_string();
    project.expect(0, &["--config", &config, "prompt", "push", &archived, &live]);
}

#[test]
fn langfuses_pages_and_pairs_that_nobody_knows_are_told() {
    let prompts = r#"[{"name": "critic", "version": 1, "prompt": "Do you like {{movie}}?"},
        {"name": "greeter", "version": 1, "prompt": "Greet {{name}}."}]"#;
    let page = |page: u64, of: u64, total: u64| {
        json!({"data": [{"id": format!("i{page}"), "datasetName": "films", "input": {"movie": "Alien"}}],
            "meta": {"page": page, "limit": 1, "totalItems": total, "totalPages": of}})
        .to_string()
    };
    let (first, second) = (page(1, 2, 2), page(2, 2, 2));
    let project = Project::new(&[
        ("prompts.json", prompts),
        ("first.json", &first),
        ("second.json", &second),
        ("cut.json", &page(1, 20, 999)),
    ]);
    let run = |files: &[&str]| {
        let args: Vec<&str> = ["import", "langfuse", "prompts.json"].into_iter().chain(files.iter().copied()).collect();
        project.expect(0, &[&args[..], &["--force", "--output", "made"]].concat())
    };
    let whole = run(&["first.json", "second.json"]);
    assert!(!whole.err.contains("warning"), "{}", whole.err);
    // Two prompts and one dataset: nobody knows which belong together.
    holds(&whole.out, &["llmops eval --target critic --dataset films", "Targets: critic, greeter. Datasets: films."]);
    assert!(!whole.out.contains("\n  llmops eval  "), "{}", whole.out);
    for (file, expected) in [
        ("first.json", "warning: first.json is not everything: page 1 of 2, 1 of 2 items"),
        ("cut.json", "warning: cut.json is not everything: page 1 of 20, 1 of 999 items"),
    ] {
        let cut = run(&[file]);
        holds(&cut.err, &[expected, "name all files in one import"]);
        holds(&project.read("made/IMPORT.md"), &["is not everything"]);
    }
}

#[test]
fn promptfoos_variables_may_be_absent_and_hold_others() {
    let config = r#"
prompts: ["{{ greeting }}, {{ place | default('here') }}: {{ q }}"]
providers: [echo]
tests: [{vars: {lang: pt, q: "L {{lang}} of {{ n }}, {{ other }}", n: 2}, assert: [{type: contains, value: "here: L pt of 2"}]}]
"#;
    let project = Project::new(&[("p.yaml", config)]);
    let imported = import(&project, &["promptfoo", "p.yaml"]);
    let found = notes(&imported);
    holds(&found, &["no sample has a value for `greeting`: it is empty", "no sample has a value for `place`"]);
    let made = project.path("made/llmops.yaml").display().to_string();
    let samples = lines(&project, "made/datasets/tests.jsonl");
    assert_eq!(samples[0]["variables"]["q"], "L pt of 2, {{ other }}");
    project.expect(0, &["--config", &made, "eval", "--output", "scores.json"]);
    assert_eq!(serde_json::from_str::<Value>(&project.read("scores.json")).unwrap()["pass_rate"], 1.0);
}

#[test]
fn promptfoos_endpoints_are_sent_the_prompt_and_secrets_stay_where_they_are() {
    let config = r#"
prompts: ["Translate: {{input}}"]
providers:
  - id: https://example.com/a
    config:
      headers: {Authorization: "Bearer sk-live-1", x-api-key: sk-live-2, accept: text/plain, cookie: "{{env.COOKIE}}"}
      body: {q: "{{prompt}}"}
  - {id: "openai:gpt-4o", config: {headers: {X-Api-Key: sk-live-2, Proxy-Authorization: sk-live-3}}}
  - id: https://ana:sk-live-4@example.com/b?key=sk-live-5
    config: {body: {q: "{{prompt}}", access_token: sk-live-6}}
  - {id: "openai:gpt-4o-mini", config: {apiBaseUrl: "https://example.com/v1?subscription-key=sk-live-5"}}
  - "exec:API_TOKEN=sk-live-7 cat"
  - "webhook:https://example.com/?token=sk-live-8"
tests: [{vars: {input: hello}, assert: [{type: contains, value: a}]}]
"#;
    let project = Project::new(&[("p.yaml", config)]);
    let found = notes(&import(&project, &["promptfoo", "p.yaml"]));
    let made = project.read("made/llmops.yaml");
    assert!(!made.contains("sk-live") && !found.contains("sk-live"), "{made}\n{found}");
    holds(
        &made,
        &[
            r#""{\"q\":{{ prompt | tojson }}}""#,
            r#"Authorization: "Bearer ${AUTHORIZATION}""#,
            r#"x-api-key: "${X_API_KEY}""#,
            r#"X-Api-Key: "${X_API_KEY}""#,
            r#"Proxy-Authorization: "${PROXY_AUTHORIZATION}""#,
            r#"cookie: "${COOKIE}""#,
            "accept: text/plain",
            r#"url: "https://ana:${PASSWORD}@example.com/b?key=${KEY}""#,
            r#""{\"q\":{{ prompt | tojson }},\"access_token\":\"${ACCESS_TOKEN}\"}""#,
            r#"base_url: "https://example.com/v1?subscription-key=${KEY}""#,
            "API_TOKEN=${API_TOKEN} cat",
        ],
    );
    let withheld = ["0].config.headers.Authorization", "2].config.url", "2].config.body", "3].config.apiBaseUrl"];
    for place in withheld {
        let what = "its secret was not copied: set the environment variable";
        holds(&found, &[&format!("providers[{place}: {what}")]);
    }
}

#[test]
fn templates_that_are_none_here_are_named_once() {
    let config =
        "prompts: [\"{{ q | truncate(5) }}\"]\nproviders: [echo]\ntests: [{vars: {q: a}}]\noutputPath: out.html\n";
    let project = Project::new(&[("p.yaml", config)]);
    let found = notes(&import(&project, &["promptfoo", "p.yaml"]));
    holds(&found, &["prompts[0]: the prompt needs a hand: prompts/", "filter truncate is unknown"]);
    holds(&found, &["outputPath: not carried over: `llmops gate --report FILE` writes a report"]);
    assert_eq!(found.lines().count(), 2, "{found}");
}

#[test]
fn promptfoos_metrics_name_what_did_not_hold() {
    let config = r#"
prompts: ["{{q}}"]
providers: [echo]
env: {OPENAI_API_KEY: sk-hidden, REGION: eu}
defaultTest:
  assert: [{type: word-count, value: {max: 9}}, {type: llm-rubric, value: is polite}]
tests:
  - {vars: {q: Hello there, tone: Tone}, assert: [{type: contains, value: dear, metric: "{{tone}}"}]}
  - vars: {q: Good bye}
    assert: [{type: assert-set, metric: Wording, assert: [{type: contains, value: bye}, {type: equals, value: x, metric: Exact}]}]
"#;
    let project = Project::new(&[("p.yaml", config)]);
    let imported = import(&project, &["promptfoo", "p.yaml"]);
    // The two of the default test count once: one is carried over, one is listed.
    assert_eq!(carried(&imported), "1 prompt, 1 model, 2 samples, 4 assertions");
    let notes = notes(&imported);
    assert_eq!(notes.matches("defaultTest.assert[1]").count(), 1, "{notes}");
    holds(
        &notes,
        &[
            "env: not carried over: set OPENAI_API_KEY, REGION in the environment",
            "metrics of assertions (Exact, Tone, Wording): ",
        ],
    );
    assert!(!notes.contains("sk-hidden"), "{notes}");
    let made = lines(&project, "made/datasets/tests.jsonl");
    assert_eq!(made[1]["metadata"]["assertions"][1]["metric"], "Wording");
    let config = project.path("made/llmops.yaml").display().to_string();
    project.expect(0, &["--config", &config, "--quiet", "eval", "--output", "scores.json"]);
    let shown = project.expect(0, &["--config", &config, "--json", "run", "show", "latest", "--failed"]).out;
    holds(&shown, &[r#"Tone: contains \"dear\""#, r#"Exact: equals \"x\""#]);
}

#[test]
fn promptfoos_programs_and_missing_files_are_listed() {
    let config = r##"
prompts: ["{{q}}", "file://p.py:build", "file://gone.js"]
providers: [echo]
assertionTemplates: {short: {type: word-count, value: {max: 3}}}
tests:
  - {description: A, vars: {q: one}, assert: [{type: contains, value: one}, {type: python, value: "file://check.py:score"}]}
  - {description: B, vars: {q: two, x: "file://x.py:make"}, assert: [{$ref: "#/assertionTemplates/short"}, {$ref: "#/assertionTemplates/none"}]}
  - {description: C, vars: {q: three}, assert: [{type: contains-json, value: file://none.json}, {type: contains, value: three}]}
  - {description: D, vars: {q: four, y: file://none.txt}, assert: [{type: icontains-any, value: 'x, "a,b", four'}]}
  - {description: E, vars: {q: []}}
  - "file://gen.py:cases"
  - file://none.csv
"##;
    let project = Project::new(&[("p.yaml", config)]);
    let imported = import(&project, &["promptfoo", "p.yaml"]);
    assert_eq!(carried(&imported), "1 prompt, 1 model, 4 samples, 4 assertions");
    holds(
        &notes(&imported),
        &[
            "prompts[1]: not carried over: p.py:build is a program",
            "prompts[2]: not carried over: gone.js is a program",
            "tests[0].assert[1]: not carried over: file://check.py:score is a program",
            "tests[1].vars.x: not carried over: file://x.py:make is a program",
            "tests[1].assert[1]: not carried over: there is no assertion template `none`",
            "tests[2].assert[0]: not carried over: cannot read none.json",
            "tests[3].vars.y: not carried over: cannot read none.txt",
            "tests[4].vars.q: the list is empty",
            "tests[5]: not carried over: gen.py:cases is a program",
            "tests[6]: not carried over: there is no file none.csv",
        ],
    );
    let samples = lines(&project, "made/datasets/tests.jsonl");
    assert_eq!(samples[1]["metadata"]["assertions"][0]["type"], "words");
    assert_eq!(samples[3]["metadata"]["assertions"][0]["values"], json!(["x", "a,b", "four"]));
}

#[test]
fn promptfoos_tests_with_thresholds_stay_apart() {
    let config = r#"
prompts: ["{{q}}"]
providers: [echo]
tests:
  - {description: A, threshold: 0.5, vars: {q: one}, assert: [{type: contains, value: one}, {type: contains, value: x}]}
  - {description: B, threshold: 0.9, vars: {q: one}, assert: [{type: contains, value: one}, {type: contains, value: y}]}
  - {description: C, threshold: 0.5, vars: {q: one}, assert: [{type: contains, value: one}, {type: contains, value: x}]}
  - {description: D, vars: {q: two}, assert: [{type: contains, value: two}]}
  - {description: E, vars: {q: two}, assert: [{type: contains, value: t}]}
"#;
    let project = Project::new(&[("p.yaml", config)]);
    let found = notes(&import(&project, &["promptfoo", "p.yaml"]));
    holds(
        &found,
        &[
            "tests[1]: asks the same as the sample `a` with another threshold: a variable tells them apart",
            "tests[2]: asks the same as the sample `a`, which stands for both",
            "tests[4]: asks the same as the sample `d`: its assertions were added to that one",
        ],
    );
    let samples = lines(&project, "made/datasets/tests.jsonl");
    let threshold = |at: usize| samples[at]["metadata"]["assertions"]["threshold"].as_f64();
    assert_eq!((samples.len(), threshold(0), threshold(1)), (3, Some(0.5), Some(0.9)));
    let made = project.path("made/llmops.yaml").display().to_string();
    project.expect(0, &["--config", &made, "eval", "--output", "scores.json"]);
    assert_eq!(failed(&project, &made), ["b"]);
}

#[test]
fn langfuses_cells_and_braces_stay_what_they_are() {
    let items =
        "id,input,expectedOutput,datasetName\n1,4.90,1e5,d\n2,4.9,\"{\"\"k\"\":4.90}\",d\n2,other,null,d\n3,,x,d\n";
    let prompt = r#"[{"name": "p", "version": 1, "labels": ["production"], "config": {},
        "prompt": "Use {# a #} of {{movie}} {{{movie}}}. {%raw%}x{%endraw%} {{no name}} {{"}]"#;
    let item = r#"{"id": "m", "datasetName": "m", "input": {"movie": "Alien"}}"#;
    let project = Project::new(&[("items.csv", items), ("p.json", prompt), ("m.jsonl", item)]);
    let found = notes(&import(&project, &["langfuse", "items.csv", "p.json", "m.jsonl"]));
    holds(
        &found,
        &[
            "items.csv[2]: its id `2` is taken: it is called `2-2`",
            "items.csv[3]: not carried over: it asks nothing",
            "p.json[0]: `{{no name}}` is sent as text",
        ],
    );
    let samples = lines(&project, "made/datasets/d.jsonl");
    let inputs: Vec<&str> = samples.iter().map(|sample| sample["input"].as_str().unwrap()).collect();
    assert_eq!(inputs, ["4.90", "4.9", "other"]);
    assert_eq!(samples[0]["expected_output"][0], "1e5");
    assert_eq!(samples[1]["expected_output"][0], "{\"k\":4.90}");
    assert!(samples[2].get("expected_output").is_none(), "{}", samples[2]);
    let made = project.path("made/llmops.yaml").display().to_string();
    project.expect(0, &["--config", &made, "dataset", "build"]);
    project.expect(0, &["--config", &made, "prompt", "push"]);
    let said = project.expect(0, &["--config", &made, "prompt", "render", "p", "--var", "movie=Alien"]);
    assert!(said.out.contains("Use {# a #} of Alien {Alien}. {%raw%}x{%endraw%} {{no name}} {{"), "{}", said.out);
}

#[test]
fn tensorzeros_instructions_of_a_datapoint_are_kept() {
    let toml =
        "[functions.f]\ntype=\"chat\"\n[functions.f.variants.o]\ntype=\"chat_completion\"\nmodel=\"dummy::good\"\n";
    let sample = r#"{"function_name": "f", "input": {"system": "Answer in Welsh.", "messages": [{"role": "user", "content": "Hi"}]}}"#;
    let project = Project::new(&[("t.toml", toml), ("d.jsonl", sample)]);
    import(&project, &["tensorzero", "t.toml", "--dataset", "d.jsonl"]);
    let made = lines(&project, "made/datasets/d.jsonl");
    assert_eq!(made[0]["messages"][0]["content"], "Answer in Welsh.");
    assert_eq!((&made[0]["messages"][0]["role"], &made[0]["input"]), (&"system".into(), &"Hi".into()));
}

#[test]
fn tensorzeros_addresses_keep_their_secrets() {
    let toml = "[functions.f]\ntype=\"chat\"\n[functions.f.variants.o]\ntype=\"chat_completion\"\nmodel=\"m\"\n\
                [models.m]\nrouting=[\"own\"]\n[models.m.providers.own]\ntype=\"vllm\"\nmodel_name=\"m\"\n\
                api_base=\"https://ana:s3cret@example.com/v1?token=s4cret\"\n";
    let sample = r#"{"function_name": "f", "input": {"messages": [{"role": "user", "content": "Hi"}]}}"#;
    let project = Project::new(&[("t.toml", toml), ("d.jsonl", sample)]);
    let found = notes(&import(&project, &["tensorzero", "t.toml", "--dataset", "d.jsonl"]));
    holds(&project.read("made/llmops.yaml"), &["https://ana:${PASSWORD}@example.com/v1?token=${TOKEN}"]);
    holds(&found, &["models.m.providers.own: its secret was not copied: set the environment variable `PASSWORD`"]);
}

#[test]
fn tensorzeros_blocks_without_text_are_named() {
    let toml =
        "[functions.f]\ntype=\"chat\"\n[functions.f.variants.o]\ntype=\"chat_completion\"\nmodel=\"dummy::good\"\n";
    let sample = r#"{"function_name": "f", "input": {"messages": [
        {"role": "user", "content": "tempo?"},
        {"role": "assistant", "content": [{"type": "tool_call", "id": "1", "name": "clima", "arguments": "{}"}]}]},
        "output": [{"type": "text", "text": "Sol"}]}"#;
    let project = Project::new(&[("t.toml", toml), ("d.jsonl", &sample.replace('\n', ""))]);
    let imported = import(&project, &["tensorzero", "t.toml", "--dataset", "d.jsonl"]);
    holds(&notes(&imported), &["a block `tool_call` is left out"]);
}

#[test]
fn tensorzeros_calls_of_tools_are_expected() {
    let toml =
        "[functions.f]\ntype=\"chat\"\n[functions.f.variants.o]\ntype=\"chat_completion\"\nmodel=\"dummy::good\"\n";
    let line = |input: &str, output: Value| {
        json!({"function_name": "f", "input": {"messages": [{"role": "user", "content": input}]}, "output": output})
            .to_string()
    };
    let weather = line(
        "Rain in Paris?",
        json!([{"type": "tool_call", "id": "1", "name": "weather", "arguments": "{\"city\": \"Paris\"}"}]),
    );
    let both = line(
        "And the time?",
        json!([{"type": "tool_call", "id": "2", "name": null, "raw_name": "now", "arguments": null, "raw_arguments": "{no"},
            {"type": "tool_call", "id": "3", "name": "zone", "arguments": {"of": "Paris"}}]),
    );
    let project = Project::new(&[("t.toml", toml), ("d.jsonl", &format!("{weather}\n{both}\n"))]);
    let imported = import(&project, &["tensorzero", "t.toml", "--dataset", "d.jsonl"]);
    assert!(!notes(&imported).contains("tool_call"), "{imported}");
    let made = lines(&project, "made/datasets/d.jsonl");
    assert_eq!(made[0]["expected_tool_calls"], json!([{"name": "weather", "arguments": {"city": "Paris"}}]));
    assert_eq!(
        made[1]["expected_tool_calls"],
        json!([{"name": "now", "arguments": "{no"}, {"name": "zone", "arguments": {"of": "Paris"}}])
    );
    holds(&project.read("made/llmops.yaml"), &["tool_call: {weight: 1.0}"]);
    let config = project.path("made/llmops.yaml").display().to_string();
    project.expect(0, &["--config", &config, "--quiet", "eval", "--output", "scores.json"]);
    assert_eq!(project.scores()["total_examples"], 2);
    // Where others expect a text, one metric cannot be asked of all.
    let text = line("Hi", json!([{"type": "text", "text": "Hello"}]));
    let mixed = Project::new(&[("t.toml", toml), ("d.jsonl", &format!("{weather}\n{text}\n"))]);
    let imported = import(&mixed, &["tensorzero", "t.toml", "--dataset", "d.jsonl"]);
    holds(&notes(&imported), &["1 of 2 datapoints expect calls of tools"]);
    holds(&mixed.read("made/llmops.yaml"), &["token_f1: {weight: 1.0}"]);
}

#[test]
fn what_tensorzero_says_and_a_prompt_cannot_is_listed() {
    let toml = r#"
[functions.f]
type = "chat"
tools = ["find"]
tool_choice = "required"
parallel_tool_calls = false
experimentation = {type = "uniform", candidate_variants = ["a", "b"]}
[functions.f.variants.a]
type = "chat_completion"
model = "dummy::good"
templates.greeting.path = "greeting.minijinja"
json_mode = "implicit_tool"
[functions.f.variants.b]
type = "chat_completion"
model = "dummy::good"
[tools.find]
description = "Finds"
parameters = "find.json"
strict = true
"#;
    let project = Project::new(&[("t.toml", toml), ("find.json", "{\"type\": \"object\"}")]);
    let imported = import(&project, &["tensorzero", "t.toml"]);
    holds(
        &notes(&imported),
        &[
            "functions.f.variants.a.tool_choice: not carried over",
            "functions.f.variants.a.parallel_tool_calls: not carried over",
            "functions.f.variants.a.templates.greeting: not carried over",
            "functions.f.variants.a.json_mode: `implicit_tool` becomes",
            "see `llmops experiment create --help`: a, b",
        ],
    );
    holds(&project.read("made/prompts/f-a.yaml"), &["strict: true"]);
}

#[test]
fn tensorzeros_functions_become_prompts_and_targets() {
    let project = Project::new(&[]);
    let config = fixture("tensorzero/tensorzero.toml");
    let imported = import(&project, &["tensorzero", &config, "--dataset", &fixture("tensorzero/haiku.jsonl")]);
    assert_eq!(carried(&imported), "2 functions, 3 variants, 2 datasets, 3 samples");
    holds(
        &notes(&imported),
        &[
            "functions.write_haiku.variants.best: not carried over: its type is experimental_best_of_n_sampling",
            "models.haiku: falls back to backup",
            "functions.write_haiku: traffic is shared by an experiment here",
            "write-haiku-plain 0.7, write-haiku-strict 0.3",
        ],
    );
    let targets =
        ["write-haiku-plain: {prompt: write-haiku-plain, model: openai/gpt-4o-mini}", "model: openai/gpt-4o}"];
    holds(&project.read("made/llmops.yaml"), &targets);
    let strict = project.read("made/prompts/write-haiku-strict.yaml");
    holds(&strict, &["{name: formal, type: bool, required: true}", "{name: topic, type: string, required: true}"]);
    holds(&strict, &["- type: function", "name: get_season", "Write about {{ topic }} in {{ place }}."]);
    let samples = lines(&project, "made/datasets/haiku.jsonl");
    assert_eq!(samples[0]["input"], "Write one about rain.");
    assert_eq!(samples[1]["variables"]["place"], "Oslo");
    assert_eq!(samples[1]["messages"][1]["content"], "Hi");
    assert_eq!(lines(&project, "made/datasets/names.jsonl")[0]["expected_output"][0], "{\"name\": \"Ada\"}");
    let config = project.path("made/llmops.yaml").display().to_string();
    project.expect(0, &["--config", &config, "dataset", "build"]);
    project.expect(0, &["--config", &config, "eval", "names", "--output", "scores.json"]);
}

#[test]
fn what_is_there_is_kept_and_what_is_wrong_is_named() {
    let project = Project::new(&[
        ("good.yaml", "prompts: [\"{{q}}\"]\nproviders: [echo]\ntests: [{vars: {q: a}}]\n"),
        ("list.yaml", "- a\n"),
        ("missing.yaml", "prompts: [file://none.txt]\nproviders: [echo]\n"),
        ("broken.toml", "[functions\n"),
        ("none.json", "[{\"a\": 1}]"),
    ]);
    import(&project, &["promptfoo", "good.yaml"]);
    let check = |args: &[&str], expected: &str| {
        let said = project.expect(2, args);
        assert!(said.err.contains(expected), "{}", said.err);
    };
    check(&["import", "promptfoo", "good.yaml", "--output", "made"], "is there already");
    project.expect(0, &["import", "promptfoo", "good.yaml", "--output", "made", "--force"]);
    check(&["import", "promptfoo", "list.yaml", "--output", "x"], "no promptfoo configuration");
    check(&["import", "promptfoo", "missing.yaml", "--output", "x"], "none.txt");
    check(&["import", "promptfoo", "nowhere.yaml", "--output", "x"], "nowhere.yaml");
    check(&["import", "tensorzero", "broken.toml", "--output", "x"], "no TOML");
    check(&["import", "langfuse", "none.json", "--output", "x"], "neither a prompt nor an item");
}

#[test]
fn text_that_is_none_is_no_dataset_and_a_mark_at_its_begin_is_no_text() {
    let project = Project::new(&[
        ("marked.json", "\u{feff}[{\"id\": \"1\", \"input\": \"What is this thing?\"}]"),
        ("marked.jsonl", "\u{feff}{\"id\": \"1\", \"input\": \"What is this thing?\"}\n"),
    ]);
    for file in ["marked.json", "marked.jsonl"] {
        project.expect(0, &["dataset", "import", file]);
    }
    std::fs::write(
        project.path("latin.jsonl"),
        b"{\"id\": \"1\", \"input\": \"What?\"}\n{\"input\": \"Qual \xe9?\"}\n",
    )
    .unwrap();
    let said = project.expect(1, &["dataset", "import", "latin.jsonl"]);
    assert!(said.err.contains("line 2 is no UTF-8 text, from its byte 17 on"), "{}", said.err);
}

#[test]
fn datasets_say_what_is_wrong_and_take_what_is_said() {
    let crlf = "id,input\r\na,first question\r\nb,second question\r\na,third question\r\n";
    let project = Project::new(&[
        ("crlf.csv", crlf),
        ("semicolons.csv", "id;prompt;expected\n1;What is it?;That\n"),
        ("good.jsonl", "{\"id\": \"1\", \"input\": \"What is this thing?\", \"expected_output\": \"That\"}\n"),
    ]);
    let said = project.expect(1, &["dataset", "import", "crlf.csv"]);
    assert!(said.err.contains("crlf.csv:4: id: `a` is the id of line 2 too"), "{}", said.err);
    let said = project.expect(1, &["dataset", "import", "semicolons.csv"]);
    assert!(said.err.contains("`id;prompt;expected`: the cells are separated by `;`"), "{}", said.err);

    project.expect(0, &["dataset", "import", "good.jsonl", "--name", "g"]);
    let shown = |expected: &str| {
        let said = project.expect(0, &["--json", "dataset", "show", "g"]);
        let shown: Value = serde_json::from_str(&said.out).unwrap();
        let text = format!("{} {}", shown["dataset"]["type"], shown["dataset"]["description"]);
        assert_eq!(text, expected);
    };
    shown("\"user\" null");
    project
        .expect(0, &["dataset", "import", "good.jsonl", "--name", "g", "--type", "regression", "--description", "new"]);
    shown("\"regression\" \"new\"");
    project.expect(0, &["dataset", "import", "good.jsonl", "--name", "g"]);
    shown("\"regression\" \"new\"");

    let said = project.expect(2, &["dataset", "export", "g", "--output", "rt.csv"]);
    assert!(said.err.contains("rt.csv would hold lines of JSON") && said.err.contains("rt.jsonl"), "{}", said.err);
    let said = project.expect(0, &["--json", "dataset", "export", "g", "--output", "rt.jsonl"]);
    assert_eq!(serde_json::from_str::<Value>(&said.out).unwrap(), json!({"file": "rt.jsonl", "samples": 1}));
}

#[test]
fn programs_read_json_from_every_command() {
    let project = Project::new(&[]);
    let said = project.expect(0, &["--json", "init", "new"]);
    let made: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((made["wrote"].as_array().unwrap().len(), made["wrote"][0].as_str()), (5, Some("new/llmops.yaml")));
    let said = project.expect(2, &["run", "list", "--bogus", "--json"]);
    let failure: Value = serde_json::from_str(&said.err).unwrap();
    assert_eq!(failure["error"]["message"], "unexpected argument '--bogus' found");
    assert!(project.expect(0, &["--json", "--version"]).out.starts_with("llmops "));
}

#[test]
fn empty_variables_are_absent_and_addresses_are_looked_at() {
    let project = Project::new(&[]);
    let mut command = project.command(&["run", "list"]);
    for name in ["LLMOPS_SERVER", "LLMOPS_DATABASE_URL", "LLMOPS_API_KEY", "LLMOPS_QUEUE_LEASE"] {
        command.env(name, "");
    }
    assert!(command.output().unwrap().status.success());
    let said = project.expect(2, &["run", "list", "--server", "localhost:21400"]);
    assert!(said.err.contains("such as http://localhost:21400"), "{}", said.err);
}
