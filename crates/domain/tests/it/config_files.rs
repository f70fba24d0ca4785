//! llmops.yaml: what it means, and what its mistakes read like.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use llmops_domain::config::{Config, DEFAULT_YAML};
use llmops_domain::yaml::Problem;
use serde_json::Value;

/// The example of the format's documentation.
const FULL: &str = r#"
version: 1
project: support-bot
providers:
  openai:    {kind: openai, api_key: "${OPENAI_API_KEY}"}
  local:     {kind: openai, base_url: "http://127.0.0.1:9100/v1", max_concurrency: 16, timeout: 30s, retries: 3}
  sim:       {kind: simulator, script: sim/answers.jsonl, seed: 7, quality: 0.97}
  app:       {kind: http, url: "http://127.0.0.1:3000/chat", body: '{"q": {{ input | tojson }}}', answer: "$.reply"}
  bot:       {kind: command, run: [python3, bot.py]}
  done:      {kind: outputs, path: outputs.jsonl}
prices:
  openai/gpt-4o-mini: {input: 0.15, output: 0.60}
targets:
  support-bot:
    prompt: support-bot
    model: sim/support-small
    parameters: {temperature: 0, max_tokens: 512}
datasets:
  golden:
    path: datasets/golden.jsonl
    type: golden
    min_prompt_chars: 11
    max_prompt_tokens: 512
    categories:
      factual_accuracy:      {weight: 0.30, min_examples: 5}
      refusal_behavior:      {weight: 0.25, min_examples: 5}
      instruction_following: {weight: 0.25, min_examples: 5}
      tone_consistency:      {weight: 0.10, min_examples: 3}
      multi_turn_coherence:  {weight: 0.10, min_examples: 2}
scoring:
  metrics:
    bertscore: {weight: 0.30, model: models/minilm}
    rouge_l:   {weight: 0.20, stem: true}
    judge:     {weight: 0.50, model: sim/judge, temperature: 0,
                rubric: [factual_accuracy, instruction_following, safety]}
    latency:   {}
    polite:    {kind: contains, values: [please]}
  pass_threshold: 0.7
  max_error_rate: 0.02
  max_judge_cost: 5.00
suites:
  default: {target: support-bot, dataset: golden, repeat: 1, schedule: "@daily"}
gate:
  mode: strict
  overall_min: 0.80
  category_min: 0.72
  max_drop: 0.05
  require_judge_kappa: null
  fail_on_inconclusive: false
operations:
  enable_auto_evaluation: true
  evaluation_interval: 24h
  min_samples_for_significance: 100
  alert_thresholds: {pass_rate: 0.90}
  enable_debate_evaluation: true
  alert_cooldown: 1h
"#;

fn no_env(_: &str) -> Option<String> {
    None
}

fn shown(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The problems of a file, or its warnings.
fn check(text: &str) -> String {
    match Config::parse(text, "llmops.yaml", no_env) {
        Ok((_, warnings)) if warnings.is_empty() => "fine".to_owned(),
        Ok((_, warnings)) => format!("warnings:\n{}", shown(&warnings)),
        Err(problems) => shown(&problems),
    }
}

/// The full example with one text replaced.
fn check_with(from: &str, to: &str) -> String {
    assert!(FULL.contains(from), "{from}");
    check(&FULL.replacen(from, to, 1))
}

fn parse(text: &str) -> Config {
    Config::parse(text, "llmops.yaml", no_env).unwrap().0
}

#[test]
fn the_documented_example() {
    insta::assert_snapshot!(check(FULL), @"fine");
    let config = parse(FULL);
    assert_eq!(config.datasets["golden"].category_weights()["refusal_behavior"], 0.25);
    assert_eq!(
        config.scoring.metrics.keys().collect::<Vec<_>>(),
        ["bertscore", "rouge_l", "judge", "latency", "polite"]
    );
    assert_eq!(config.unset_variables["openai"], ["OPENAI_API_KEY"]);
}

#[test]
fn a_secret_of_a_channel_that_is_empty_is_not_set() {
    let text = "version: 1\nproject: x\nchannels: {slack: {kind: slack, url: \"${SLACK_URL}\"}}\n";
    let named = |value: Option<&str>| {
        let value = value.map(str::to_owned);
        let (config, _) = Config::parse(text, "llmops.yaml", |_| value.clone()).unwrap();
        config.unset_channels.get("slack").cloned()
    };
    assert_eq!(named(None), Some(vec!["SLACK_URL".to_owned()]));
    assert_eq!(named(Some("")), Some(vec!["SLACK_URL".to_owned()]));
    assert_eq!(named(Some("https://hooks.example.com/x")), None);
}

#[test]
fn the_default_file() {
    insta::assert_snapshot!(check(DEFAULT_YAML), @"fine");
    // What is commented out is valid too, and every comment that shows a default shows the default.
    let uncommented: String = DEFAULT_YAML
        .lines()
        .skip(5)
        .filter(|line| !line.trim_start().starts_with("# Others") && !line.contains("# rouge_lsum,"))
        // The example of an own prompt is no default.
        .map(|line| if line.contains("# prompt: my-judge") { line.to_owned() } else { uncomment(line) } + "\n")
        .collect();
    insta::assert_snapshot!(check(&uncommented), @"
    warnings:
    llmops.yaml:54:5: targets.support-bot.model: has no effect; the model is chosen among `candidates`
    llmops.yaml:135:3: scoring.judge_model: has no effect; it counts when `metrics` is absent; judges under `metrics` name their own
    ");
    let (short, long) = (parse(DEFAULT_YAML), parse(&uncommented));
    assert_eq!(short.gate, long.gate);
    assert_eq!(short.datasets["golden"].min_prompt_chars, long.datasets["golden"].min_prompt_chars);
    assert_eq!(short.scoring.metrics["judge"], long.scoring.metrics["judge"]);
    assert_eq!(short.scoring.pass_threshold, long.scoring.pass_threshold);
    assert_eq!(short.suites["default"].repeat, long.suites["default"].repeat);
    assert_eq!(short.operations.evaluation_interval, long.operations.evaluation_interval);
}

/// Every key of the schema stands in the default file.
#[test]
fn the_default_file_shows_every_key() {
    let mut keys = std::collections::BTreeSet::new();
    visit(Config::json_schema(), &mut |_, properties| keys.extend(properties.keys().cloned()));
    let missing: Vec<_> = keys.iter().filter(|key| !DEFAULT_YAML.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Turns `  # key: value` into `  key: value` and leaves prose alone.
fn uncomment(line: &str) -> String {
    let trimmed = line.trim_start();
    let indent = &line[..line.len() - trimmed.len()];
    let Some(rest) = trimmed.strip_prefix("# ") else { return line.to_owned() };
    let word = rest.trim_start().split(' ').next().unwrap_or_default();
    let is_key = word.ends_with(':') && !matches!(word, "Others:");
    let continues = rest.trim_start().starts_with("frequency_penalty");
    if is_key || continues { format!("{indent}{rest}") } else { line.to_owned() }
}

fn visit(schema: &Value, see: &mut dyn FnMut(&Value, &serde_json::Map<String, Value>)) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get("properties") {
                see(schema, properties);
            }
            map.values().for_each(|value| visit(value, see));
        }
        Value::Array(items) => items.iter().for_each(|item| visit(item, see)),
        _ => {}
    }
}

#[test]
fn every_property_has_a_description() {
    let schema = Config::json_schema();
    let mut missing = Vec::new();
    visit(schema, &mut |_, properties| {
        for (name, property) in properties {
            let target = property.get("$ref").and_then(Value::as_str).and_then(|r| schema.pointer(&r[1..]));
            let described = |node: &Value| node.get("description").is_some();
            if !described(property) && !target.is_some_and(described) {
                missing.push(name.clone());
            }
        }
    });
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(schema["title"], "llmops.yaml");
    assert_eq!(schema["properties"]["gate"]["default"]["max_drop"], 0.05);
}

#[test]
fn unknown_keys() {
    insta::assert_snapshot!(check_with("overall_min", "overal_min"), @"llmops.yaml:45:3: gate.overal_min: unknown key; did you mean overall_min?");
    insta::assert_snapshot!(check_with("gate:", "gates:"), @"llmops.yaml:43:1: gates: unknown key; did you mean gate?");
    insta::assert_snapshot!(check_with("seed: 7", "sed: 7"), @"llmops.yaml:7:59: providers.sim.sed: unknown key; did you mean seed?");
    insta::assert_snapshot!(check_with("stem: true", "stemming_algorithm: true"), @"llmops.yaml:33:31: scoring.metrics.rouge_l.stemming_algorithm: unknown key; expected one of kind, stem, weight, threshold");
    insta::assert_snapshot!(check_with("max_tokens", "max_token"), @"llmops.yaml:17:34: targets.support-bot.parameters.max_token: unknown key; did you mean max_tokens?");
    insta::assert_snapshot!(check_with("min_examples: 5", "minexamples: 5"), @"llmops.yaml:25:45: datasets.golden.categories.factual_accuracy.minexamples: unknown key; did you mean min_examples?");
    insta::assert_snapshot!(check_with("output: 0.60", "out: 0.60"), @"
    llmops.yaml:12:3: prices.openai/gpt-4o-mini: the key `output` is missing; output: for tokens written
    llmops.yaml:12:37: prices.openai/gpt-4o-mini.out: unknown key; expected one of input, output, cached_input, cache_write
    ");
}

#[test]
fn wrong_values() {
    insta::assert_snapshot!(check_with("type: golden", "type: gold"), @"llmops.yaml:21:11: datasets.golden.type: unknown value `gold`; expected one of golden, regression, benchmark, user");
    insta::assert_snapshot!(check_with("mode: strict", "mode: noise-aware"), @"llmops.yaml:44:9: gate.mode: unknown value `noise-aware`; did you mean noise_aware?");
    insta::assert_snapshot!(check_with("mode: strict", "mode: 3"), @"llmops.yaml:44:9: gate.mode: expected text, not `3`; expected one of strict, noise_aware");
    insta::assert_snapshot!(check_with("quality: 0.97", "quality: 97"), @"llmops.yaml:7:77: providers.sim.quality: must be from 0 to 1, not `97`");
    insta::assert_snapshot!(check_with("max_drop: 0.05", "max_drop: \"0.05\""), @"llmops.yaml:47:13: gate.max_drop: expected a number, not `0.05`; write it without quotes");
    insta::assert_snapshot!(check_with("max_drop: 0.05", "max_drop: 5%"), @"llmops.yaml:47:13: gate.max_drop: expected a number, not `5%`");
    insta::assert_snapshot!(check_with("max_drop: 0.05", "max_drop: .nan"), @"llmops.yaml:47:13: gate.max_drop: infinity and NaN are no numbers here");
    insta::assert_snapshot!(check_with("fail_on_inconclusive: false", "fail_on_inconclusive: no"), @"llmops.yaml:49:25: gate.fail_on_inconclusive: expected true or false, not `no`; write false");
    insta::assert_snapshot!(check_with("min_prompt_chars: 11", "min_prompt_chars: -1"), @"llmops.yaml:22:23: datasets.golden.min_prompt_chars: must be from 0 to 1000000, not `-1`");
    insta::assert_snapshot!(check_with("min_prompt_chars: 11", "min_prompt_chars: 1.5"), @"llmops.yaml:22:23: datasets.golden.min_prompt_chars: expected a whole number, not `1.5`");
    insta::assert_snapshot!(check_with("min_prompt_chars: 11", "min_prompt_chars: 11.0"), @"llmops.yaml:22:23: datasets.golden.min_prompt_chars: expected a whole number, not `11.0`; write 11");
    insta::assert_snapshot!(check_with("max_prompt_tokens: 512", "max_prompt_tokens: 5000000000"), @"llmops.yaml:23:24: datasets.golden.max_prompt_tokens: must be from 1 to 4294967295, not `5000000000`");
    insta::assert_snapshot!(check_with("timeout: 30s", "timeout: 30"), @"llmops.yaml:6:97: providers.local.timeout: expected text, not `30`; put it in quotes");
    insta::assert_snapshot!(check_with("timeout: 30s", "timeout: half a minute"), @"llmops.yaml:6:97: providers.local.timeout: `half a minute` does not fit; a number and a unit: 500ms, 30s, 5m, 24h, 14d");
    insta::assert_snapshot!(check_with("timeout: 30s", "timeout: 999999999d"), @"llmops.yaml:6:14: providers.local: `999999999d` is no duration: write a number and a unit, such as 500ms, 30s, 5m, 24h or 14d");
    insta::assert_snapshot!(check_with("timeout: 30s", "timeout: 0s"), @"llmops.yaml:6:97: providers.local.timeout: must be longer than nothing; such as 60s");
    insta::assert_snapshot!(check_with("run: [python3, bot.py]", "run: python3 bot.py"), @"llmops.yaml:9:35: providers.bot.run: expected a list, not `python3 bot.py`");
    insta::assert_snapshot!(check_with("run: [python3, bot.py]", "run: []"), @"llmops.yaml:9:35: providers.bot.run: must not be empty");
    insta::assert_snapshot!(check_with("version: 1", "version: 2"), @"llmops.yaml:2:10: version: must be 1, not `2`");
    insta::assert_snapshot!(check_with("project: support-bot", "project: my project"), @"llmops.yaml:3:10: project: `my project` does not fit; the project's name: letters, digits, `_`, `-` and `.`");
    insta::assert_snapshot!(check_with("{pass_rate: 0.90}", "{pass_rate: 90}"), @"llmops.yaml:54:33: operations.alert_thresholds.pass_rate: must be from 0 to 1, not `90`");
    insta::assert_snapshot!(check("providers:\n"), @"llmops.yaml:1:10: providers: expected a map, not nothing");
    insta::assert_snapshot!(check("- version: 1"), @"llmops.yaml:1:1: expected a map, not a list");
    insta::assert_snapshot!(check("just text"), @"llmops.yaml:1:1: expected a map, not `just text`");
}

#[test]
fn missing_keys() {
    insta::assert_snapshot!(check_with("    path: datasets/golden.jsonl\n", ""), @"llmops.yaml:19:3: datasets.golden: the key `path` is missing; path: the file with the samples (`.jsonl`, `.json`, `.csv` or `.parquet`), relative to the project folder");
    insta::assert_snapshot!(check_with("{target: support-bot, dataset: golden, repeat: 1", "{repeat: 1"), @"
    llmops.yaml:42:3: suites.default: the key `target` is missing; target: the target's name
    llmops.yaml:42:3: suites.default: the key `dataset` is missing; dataset: the dataset's name
    ");
    insta::assert_snapshot!(check_with("model: sim/judge, ", ""), @"llmops.yaml:34:5: scoring.metrics.judge: the key `model` is missing; model: the judging model, as `provider/model`");
    insta::assert_snapshot!(check_with("{kind: outputs, path: outputs.jsonl}", "{kind: outputs}"), @r#"llmops.yaml:10:3: providers.done: the key `path` is missing; path: JSONL with lines `{"id": …, "output": …}`, relative to the project folder"#);
}

#[test]
fn tags() {
    insta::assert_snapshot!(check_with("kind: simulator", "kind: simulater"), @"llmops.yaml:7:21: providers.sim.kind: unknown value `simulater`; did you mean simulator?");
    insta::assert_snapshot!(check_with("kind: simulator", "kind: gpt"), @"llmops.yaml:7:21: providers.sim.kind: unknown value `gpt`; expected one of openai, azure, mistral, groq, openrouter, deepseek, together, fireworks, xai, cohere, vllm, ollama, anthropic, gemini, http, command, outputs, simulator");
    insta::assert_snapshot!(check_with("kind: simulator, ", ""), @"llmops.yaml:7:3: providers.sim: the key `kind` is missing; expected one of openai, azure, mistral, groq, openrouter, deepseek, together, fireworks, xai, cohere, vllm, ollama, anthropic, gemini, http, command, outputs, simulator");
    insta::assert_snapshot!(check_with("kind: outputs, path", "kind: outputs, file"), @r#"
    llmops.yaml:10:3: providers.done: the key `path` is missing; path: JSONL with lines `{"id": …, "output": …}`, relative to the project folder
    llmops.yaml:10:30: providers.done.file: unknown key; expected one of kind, path
    "#);
    insta::assert_snapshot!(check_with("rouge_l: ", "rouge_k: "), @"llmops.yaml:33:5: scoring.metrics.rouge_k: the key `kind` is missing; did you mean rouge_1? A name of your own needs it");
    insta::assert_snapshot!(check_with("kind: contains", "kind: includes"), @"llmops.yaml:37:23: scoring.metrics.polite.kind: unknown value `includes`; expected one of exact_match, contains, regex, json_valid, json_schema, levenshtein, token_f1, rouge_1, rouge_2, rouge_l, rouge_lsum, bleu, chrf, numeric_match, json_fields, list_match, language, length, tool_call, trajectory, conversation, assertions, command, http, bertscore, embedding_similarity, latency, cost, refusal, judge and 9 more");
    insta::assert_snapshot!(check_with("latency:   {}", "latency: {kind: cost}"), @"llmops.yaml:36:21: scoring.metrics.latency.kind: unknown value `cost`; expected latency");
    insta::assert_snapshot!(check_with("latency:   {}", "latency:"), @"llmops.yaml:36:12: scoring.metrics.latency: expected a map, not nothing");
}

#[test]
fn several_at_once() {
    let text = "
gate: {overal_min: 0.8, max_drop: 2}
gat: {}
providers:
  sim: {kind: simulator, quality: high, colour: red}
datasets:
  d: {type: golden}
suites:
  s: {target: 1}
gate: {}
";
    insta::assert_snapshot!(check(text), @"
    llmops.yaml:3:1: gat: unknown key; did you mean gate?
    llmops.yaml:5:35: providers.sim.quality: expected a number, not `high`
    llmops.yaml:5:41: providers.sim.colour: unknown key; expected one of kind, script, seed, quality, latency, latency_sigma, faults, retry_after, judge, judges, max_concurrency, timeout, retries
    llmops.yaml:7:3: datasets.d: the key `path` is missing; path: the file with the samples (`.jsonl`, `.json`, `.csv` or `.parquet`), relative to the project folder
    llmops.yaml:9:3: suites.s: the key `dataset` is missing; dataset: the dataset's name
    llmops.yaml:9:15: suites.s.target: expected text, not `1`; put it in quotes
    llmops.yaml:10:1: gate: the key is given twice, first on line 2
    ");
}

#[test]
fn mistakes_of_all_kinds_come_at_once() {
    insta::assert_snapshot!(check("
targets: {t: {model: sim/a}}
datasets: {d: {path: d.jsonl}}
providers: {sim: {kind: simulator}}
scoring: {metrics: {rouge_l: {weight: 0.6}, token_f1: {weight: 0.5}}}
suites: {default: {target: tt, dataset: d}}
gate: {max_drop: 2, moed: strict}
"), @"
    llmops.yaml:5:11: scoring.metrics: the weights sum to 1.1, not 1
    llmops.yaml:6:28: suites.default.target: no target is named `tt`; did you mean t?
    llmops.yaml:7:18: gate.max_drop: must be from 0 to 1, not `2`
    llmops.yaml:7:21: gate.moed: unknown key; did you mean mode?
    ");
    // Also those of a section with mistakes of form: only what may follow from one is left out, such as what names an entry that
    // cannot be read, and the sum of weights one of which cannot.
    insta::assert_snapshot!(check("
providers: {sim: {kind: simulator, seed: x}, web: {kind: http, url: example.org}}
targets: {t: {model: nowhere/a, prompt: '@'}, u: {modle: sim/a}, v: {model: sim/a, parameters: {temperature: hot}}}
datasets: {d: {path: d.jsonl, min_prompt_chars: x, categories: {a: {weight: 0.9}}}}
scoring: {metrics: {rouge_l: {weight: 0.9, stem: 3}, token_f1: {weight: 0.9}}}
suites: {a: {target: zz, dataset: yy}, b: {target: v, dataset: d, schedule: '@dayly', repeat: no}}
"), @"
    llmops.yaml:2:42: providers.sim.seed: expected a whole number, not `x`
    llmops.yaml:2:69: providers.web.url: `example.org` is no web address; it begins with http:// or https://
    llmops.yaml:3:22: targets.t.model: `nowhere/a` names no provider of the file; the providers are sim, web
    llmops.yaml:3:41: targets.t.prompt: `@` names no prompt version; write NAME, NAME@1.2.0 or NAME@HASH with at least 12 hex digits
    llmops.yaml:3:51: targets.u.modle: unknown key; did you mean model?
    llmops.yaml:3:110: targets.v.parameters.temperature: expected a number, not `hot`
    llmops.yaml:4:49: datasets.d.min_prompt_chars: expected a whole number, not `x`
    llmops.yaml:4:52: datasets.d.categories: the weights sum to 0.9, not 1
    llmops.yaml:5:11: scoring.metrics: the weights sum to 1.8, not 1
    llmops.yaml:5:50: scoring.metrics.rouge_l.stem: expected true or false, not `3`
    llmops.yaml:6:22: suites.a.target: no target is named `zz`; expected one of t, u, v
    llmops.yaml:6:35: suites.a.dataset: no dataset is named `yy`; expected d
    llmops.yaml:6:77: suites.b.schedule: `@dayly` is no schedule; write five fields (minute, hour, day of month, month, day of week) such as `0 3 * * 1-5`, or @hourly, @daily, @weekly, @monthly, @yearly
    llmops.yaml:6:95: suites.b.repeat: expected a whole number, not `no`
    ");
    insta::assert_snapshot!(check("
providers: {sim: simulator}
targets: {t: {model: nowhere/a, prompt: '@'}}
datasets: {d: {path: d.jsonl, categories: {a: {weight: 0.9}, b: {weight: x}}}}
scoring: {metrics: {rouge_l: {weight: x}, token_f1: {weight: 0.9}}}
"), @"
    llmops.yaml:2:18: providers.sim: expected a map, not `simulator`
    llmops.yaml:4:74: datasets.d.categories.b.weight: expected a number, not `x`
    llmops.yaml:5:39: scoring.metrics.rouge_l.weight: expected a number, not `x`
    ");
    // Nothing is judged by a section of a wrong name.
    insta::assert_snapshot!(check("
targets: {t: {modle: sim/a}}
suites: {default: {target: tt, dataset: d}}
"), @"
    llmops.yaml:2:15: targets.t.modle: unknown key; did you mean model?
    llmops.yaml:3:28: suites.default.target: no target is named `tt`; did you mean t?
    llmops.yaml:3:41: suites.default.dataset: no dataset is named `d`; there are no datasets in the file
    ");
    insta::assert_snapshot!(check("
targts: {t: {model: sim/a}}
suites: {default: {target: t, dataset: d}}
"), @"llmops.yaml:2:1: targts: unknown key; did you mean targets?");
}

#[test]
fn weights() {
    insta::assert_snapshot!(check_with("weight: 0.50", "weight: 0.40"), @"llmops.yaml:31:3: scoring.metrics: the weights sum to 0.9, not 1");
    insta::assert_snapshot!(check_with("weight: 0.50", "weight: 0.5000001"), @"llmops.yaml:31:3: scoring.metrics: the weights sum to 1.0000001, not 1");
    insta::assert_snapshot!(check_with("weight: 0.50", "weight: -0.5"), @"llmops.yaml:34:25: scoring.metrics.judge.weight: must be from 0 to 1, not `-0.5`");
    insta::assert_snapshot!(check_with("latency:   {}", "latency: {weight: 0.1, threshold: 0.5}"), @"
    llmops.yaml:31:3: scoring.metrics: the weights sum to 1.1, not 1
    llmops.yaml:36:23: scoring.metrics.latency.weight: latency cannot have a weight; latency is reported; `max_ms` makes it a limit
    llmops.yaml:36:39: scoring.metrics.latency.threshold: latency cannot have a threshold; latency is reported; `max_ms` makes it a limit
    ");
    insta::assert_snapshot!(check_with("latency:   {}", "refusal: {threshold: 0.5}"), @"llmops.yaml:36:26: scoring.metrics.refusal.threshold: refusal cannot have a threshold; the raw rate is reported; `expect` makes it a score");
    insta::assert_snapshot!(check_with("latency:   {}", "refusal: {threshold: 0.5, expect: reference}"), @"fine");
    insta::assert_snapshot!(check_with("{weight: 0.30, min_examples: 5}", "{weight: 0.20}"), @"llmops.yaml:24:5: datasets.golden.categories: the weights sum to 0.9, not 1");
    insta::assert_snapshot!(check_with("{weight: 0.30, min_examples: 5}", "{min_examples: 5}"), @"llmops.yaml:25:30: datasets.golden.categories.factual_accuracy: the key `weight` is missing; give every category a weight, or none");
    insta::assert_snapshot!(check_with("{weight: 0.30, min_examples: 5}", "{weight: 0}"), @"llmops.yaml:25:39: datasets.golden.categories.factual_accuracy.weight: must be above 0 and at most 1, not `0`");
    insta::assert_snapshot!(check("scoring: {metrics: {exact_match: {}}}"), @"llmops.yaml:1:11: scoring.metrics: no metric has a weight; metrics without weight are reported only; give weights that sum to 1");
}

#[test]
fn names_that_must_exist() {
    insta::assert_snapshot!(check_with("target: support-bot", "target: suport-bot"), @"llmops.yaml:42:21: suites.default.target: no target is named `suport-bot`; did you mean support-bot?");
    insta::assert_snapshot!(check_with("dataset: golden", "dataset: silver"), @"llmops.yaml:42:43: suites.default.dataset: no dataset is named `silver`; expected golden");
    insta::assert_snapshot!(check_with("model: sim/support-small", "model: support-small"), @"llmops.yaml:16:12: targets.support-bot.model: `support-small` names no provider; write provider/model; the providers are openai, local, sim, app, bot, done");
    insta::assert_snapshot!(check_with("model: sim/judge", "model: simm/judge"), @"llmops.yaml:34:38: scoring.metrics.judge.model: `simm/judge` names no provider of the file; did you mean sim/judge?");
    insta::assert_snapshot!(check_with("model: sim/judge", "model: bedrock/claude"), @"llmops.yaml:34:38: scoring.metrics.judge.model: `bedrock/claude` names no provider of the file; the providers are openai, local, sim, app, bot, done");
    insta::assert_snapshot!(check_with("model: sim/judge", "model: sim/support-small"), @"
    warnings:
    llmops.yaml:34:31: scoring.metrics.judge.model: the judge is the model of the target `support-bot`; models favour their own answers: let another one judge
    ");
    insta::assert_snapshot!(check_with("prompt: support-bot", "prompt: support-bot@latest"), @"llmops.yaml:15:13: targets.support-bot.prompt: `support-bot@latest` names no prompt version; write NAME, NAME@1.2.0 or NAME@HASH with at least 12 hex digits");
    insta::assert_snapshot!(check_with("openai/gpt-4o-mini:", "gpt-4o-mini:"), @"llmops.yaml:12:3: prices.gpt-4o-mini: no model name; write provider/model");
    insta::assert_snapshot!(check_with("openai/gpt-4o-mini:", "opnai/gpt-4o-mini:"), @"
    warnings:
    llmops.yaml:12:3: prices.opnai/gpt-4o-mini: no provider is named `opnai`; did you mean openai?
    ");
    insta::assert_snapshot!(check("suites: {a: {target: t, dataset: d}}"), @"
    llmops.yaml:1:22: suites.a.target: no target is named `t`; there are no targets in the file
    llmops.yaml:1:34: suites.a.dataset: no dataset is named `d`; there are no datasets in the file
    ");
}

#[test]
fn options_that_do_not_fit() {
    insta::assert_snapshot!(check_with("latency:   {}", "regex: {pattern: '(a'}"), @"llmops.yaml:36:22: scoring.metrics.regex.pattern: no valid regular expression: unclosed group");
    insta::assert_snapshot!(check_with("latency:   {}", "json_schema: {schema: {type: objekt}}"), @r#"llmops.yaml:36:27: scoring.metrics.json_schema.schema: no valid JSON Schema: "objekt" is not valid under any of the schemas listed in the 'anyOf' keyword"#);
    insta::assert_snapshot!(check_with("latency:   {}", "json_schema: {schema: 7}"), @"llmops.yaml:36:27: scoring.metrics.json_schema.schema: no valid JSON Schema: a JSON Schema is a map");
    insta::assert_snapshot!(check_with("latency:   {}", "contains: {values: ['']}"), @"llmops.yaml:36:25: scoring.metrics.contains.values[0]: the text is empty; every answer contains the empty text");
    insta::assert_snapshot!(check_with("@daily", "dayly"), @"llmops.yaml:42:72: suites.default.schedule: `dayly` is no schedule; write five fields (minute, hour, day of month, month, day of week) such as `0 3 * * 1-5`, or @hourly, @daily, @weekly, @monthly, @yearly");
    insta::assert_snapshot!(check_with("http://127.0.0.1:9100/v1", "127.0.0.1:9100"), @"llmops.yaml:6:39: providers.local.base_url: `127.0.0.1:9100` is no web address; it begins with http:// or https://");
    insta::assert_snapshot!(check_with("kind: openai, base_url", "kind: azure, organization"), @"llmops.yaml:6:14: providers.local: the key `base_url` is missing; it names the resource: https://NAME.openai.azure.com/openai/v1");
    insta::assert_snapshot!(check_with("seed: 7", "faults: {hang: 0.6, cut: 0.6}"), @"llmops.yaml:7:67: providers.sim.faults: the shares sum to 1.2, more than 1");
    insta::assert_snapshot!(check_with("[factual_accuracy, instruction_following, safety]", "[safety, safety, '']"), @"
    llmops.yaml:35:34: scoring.metrics.judge.rubric[1]: `safety` is in the rubric twice
    llmops.yaml:35:42: scoring.metrics.judge.rubric[2]: the axis needs a name
    ");
    insta::assert_snapshot!(check_with("[factual_accuracy, instruction_following, safety]", "[]"), @"llmops.yaml:35:25: scoring.metrics.judge.rubric: must not be empty");
}

#[test]
fn variables_of_the_environment() {
    insta::assert_snapshot!(check("project: ${PROJECT}\nproviders: {o: {kind: openai, api_key: \"${KEY}\"}}"), @"llmops.yaml:1:10: project: the environment variable PROJECT is not set; set it, or give a default: ${PROJECT:-…}");
    insta::assert_snapshot!(check("providers: {o: {kind: openai, max_concurrency: \"${N}\"}}"), @"llmops.yaml:1:48: providers.o.max_concurrency: the environment variable N is not set; set it, or give a default: ${N:-…}");
    insta::assert_snapshot!(check("project: ${PROJECT:-fallback}"), @"fine");
    let empty = |_: &str| Some(String::new());
    let text = "providers: {o: {kind: openai, api_key: \"${KEY}\"}}";
    let (config, _) = Config::parse(text, "llmops.yaml", empty).unwrap();
    assert_eq!(config.unset_variables["o"], ["KEY"]);
    let alias = "providers: {o: &o {kind: openai, api_key: \"${KEY}\"}, p: *o}";
    assert_eq!(parse(alias).unset_variables["p"], ["KEY"]);
}

#[test]
fn debug_and_json_show_no_secrets() {
    let text = r#"
providers:
  o: {kind: openai, api_key: hunter2, headers: {x-key: hunter2}}
  h: {kind: http, url: "http://localhost", headers: {x-key: hunter2}}
  c: {kind: command, run: [bot], env: {KEY: hunter2}}
"#;
    let config = parse(text);
    let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
    assert!(shown.contains("localhost") && !shown.contains("hunter2"), "{shown}");
}

/// Every scalar of the example in turn comes from the environment; no message may show it.
#[test]
fn secrets_are_never_shown() {
    let mut reports = 0;
    for (at, _) in FULL.match_indices(": ").chain(FULL.match_indices('[')) {
        let (head, tail) = FULL.split_at(at + if FULL[at..].starts_with('[') { 1 } else { 2 });
        let end = match tail.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            Some(quote) => tail[1..].find(quote).unwrap() + 2,
            None => tail.find([',', '}', '\n', ']']).unwrap(),
        };
        if head.ends_with('"')
            || head.ends_with("{{ ")
            || tail.trim_start().starts_with(['{', '[', '#'])
            || tail[..end].trim().is_empty()
        {
            continue;
        }
        for secret in ["hunter2-hunter2", "hunter2/hunter2", "8675309867", "(hunter2"] {
            let text = format!("{head}\"${{SECRET}}\"{}", &tail[end..]);
            if let Err(problems) = Config::parse(&text, "llmops.yaml", |_| Some(secret.to_owned())) {
                reports += 1;
                let text = shown(&problems);
                assert!(!text.contains("hunter2") && !text.contains("8675309"), "{text}");
                assert!(text.contains("SECRET") || text.contains("does not fit"), "{text}");
            }
        }
    }
    assert!(reports > 50, "{reports}");
}

#[test]
fn which_suite() {
    let suite = |text: &str, name| match parse(text).suite(name) {
        Ok((name, suite)) => format!("{name}: {} on {}", suite.target, suite.dataset),
        Err(error) => error.to_string(),
    };
    let base = "providers: {s: {kind: simulator}}\ntargets: {t: {model: s/m}}\ndatasets: {d: {path: d.jsonl}}\n";
    let with = |suites: &str| format!("{base}suites: {suites}");
    insta::assert_snapshot!(suite(base, None), @"default: t on d");
    insta::assert_snapshot!(suite(&with("{a: {target: t, dataset: d}}"), None), @"a: t on d");
    insta::assert_snapshot!(suite(&with("{a: {target: t, dataset: d}, b: {target: t, dataset: d}}"), None), @"several suites and none named `default`: name one of a, b");
    insta::assert_snapshot!(suite(&with("{a: {target: t, dataset: d}, default: {target: t, dataset: d}}"), None), @"default: t on d");
    insta::assert_snapshot!(suite(&with("{nightly: {target: t, dataset: d}}"), Some("nigthly")), @"no suite `nigthly`; did you mean nightly?");
    insta::assert_snapshot!(suite("version: 1", None), @"no suite: add `suites: {default: {target: …, dataset: …}}` to the configuration");
}

#[test]
fn which_scorers() {
    let scoring = |text: &str| match parse(text).scoring_spec() {
        Ok(resolved) => {
            let metrics = resolved.spec.metrics.iter().map(|(name, metric)| {
                format!("{name} {:?} {}\n", metric.weight, metric.scorer.judge_models().join(" "))
            });
            metrics.collect::<String>() + &resolved.notices.join("\n")
        }
        Err(error) => error.to_string(),
    };
    insta::assert_snapshot!(scoring("version: 1"), @"
    bertscore Some(0.6) 
    rouge_l Some(0.4) 
    no metrics are configured: the defaults are bertscore 0.30, rouge_l 0.20, judge 0.50
    `judge` is left out: name its model in `scoring.judge_model`
    the weights left were scaled to sum to 1: bertscore 0.600, rouge_l 0.400
    ");
    let own = "providers: {s: {kind: simulator}, o: {kind: ollama}}\nscoring: {judge_model: o/llama}";
    insta::assert_snapshot!(scoring(own), @"
    bertscore Some(0.3) 
    rouge_l Some(0.2) 
    judge Some(0.5) o/llama
    no metrics are configured: the defaults are bertscore 0.30, rouge_l 0.20, judge 0.50
    ");
}

#[test]
fn files_of_metrics() {
    let mut config =
        parse("scoring: {metrics: {json_schema: {schema: a.json, weight: 1}, bertscore: {baseline: b.tsv}}}");
    let paths = |config: &Config| config.metric_files().into_iter().map(|file| file.path).collect::<Vec<_>>();
    assert_eq!(paths(&config), ["a.json", "b.tsv"]);
    insta::assert_snapshot!(config.set_schema("json_schema", serde_json::json!([])).unwrap_err(), @"a JSON Schema is a map");
    config.set_schema("json_schema", serde_json::json!({"type": "object"})).unwrap();
    config.set_baseline("bertscore", vec![[0.1, 0.2, 0.3]]);
    assert!(paths(&config).is_empty());
    let sent = serde_json::to_value(&config.scoring.metrics["bertscore"]).unwrap();
    assert_eq!(sent["baseline"], serde_json::json!([[0.1, 0.2, 0.3]]));
}

/// A scorer's `kind()` is the name that files use.
#[test]
fn kinds_are_named_as_in_files() {
    let metrics = Config::json_schema().pointer("/$defs/ScoringConfig/properties/metrics/properties").unwrap();
    let kinds: Vec<&String> = metrics.as_object().unwrap().keys().collect();
    assert!(kinds.len() >= 16, "{kinds:?}");
    for kind in kinds {
        let options = match kind.as_str() {
            "regex" => "pattern: a",
            "json_schema" => "schema: {}",
            "judge" | "faithfulness" | "answer_relevance" | "hallucination" | "helpfulness" | "accuracy"
            | "pairwise" => "model: s/judge",
            "checklist" => "model: s/judge, items: [a]",
            "panel" | "debate" => "models: [s/a, s/b]",
            "length" => "max: 1",
            "trajectory" => "max_calls: 1",
            "conversation" => "answered: true",
            "command" => "run: [x]",
            "http" => "url: 'http://x/'",
            _ => "",
        };
        let text = format!(
            "providers: {{s: {{kind: simulator}}}}\nscoring: {{metrics: {{exact_match: {{weight: 1}}, own: {{kind: {kind}, {options}}}}}}}"
        );
        assert_eq!(parse(&text).scoring.metrics["own"].scorer.kind(), kind);
    }
}
