//! TensorZero's configuration and datapoints: every variant of a function becomes a prompt and a target, with the
//! templates that it names; datapoints become samples.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use llmops_domain::scoring::agent::EXPECTED_TOOL_CALLS;
use serde_json::{Map, Value, json};

use super::{Imported, SampleSet, Seen, as_text, carried, read_lines};
use crate::failure::{Failure, Kind, Outcome};
use crate::project::read_text;

/// Providers by TensorZero's type: our kind, and the variable that holds the key.
const KINDS: [(&str, &str, &str); 13] = [
    ("openai", "openai", "OPENAI_API_KEY"),
    ("anthropic", "anthropic", "ANTHROPIC_API_KEY"),
    ("google_ai_studio_gemini", "gemini", "GOOGLE_AI_STUDIO_API_KEY"),
    ("azure", "azure", "AZURE_API_KEY"),
    ("mistral", "mistral", "MISTRAL_API_KEY"),
    ("groq", "groq", "GROQ_API_KEY"),
    ("openrouter", "openrouter", "OPENROUTER_API_KEY"),
    ("deepseek", "deepseek", "DEEPSEEK_API_KEY"),
    ("together", "together", "TOGETHER_API_KEY"),
    ("fireworks", "fireworks", "FIREWORKS_API_KEY"),
    ("xai", "xai", "XAI_API_KEY"),
    ("vllm", "vllm", "VLLM_API_KEY"),
    ("dummy", "simulator", ""),
];

/// Datasets by name: the settings of their files, and the function that they are about.
type Datasets = BTreeMap<String, (Value, String)>;

struct Reader {
    folder: PathBuf,
    config: Value,
    imported: Imported,
    accounts: Map<String, Value>,
    targets: Map<String, Value>,
    /// Target of the first variant, by function.
    first: Map<String, Value>,
    /// Variables of the datapoints, by function.
    seen: BTreeMap<String, Seen>,
    expected: Expected,
}

/// What the datapoints expect of answers.
#[derive(Default)]
struct Expected {
    datapoints: usize,
    /// Those that expect a text.
    texts: usize,
    /// Those that expect calls of tools.
    calls: usize,
}

/// Reads a configuration, and datapoints from files of lines.
pub(crate) fn read(path: &Path, datapoints: &[PathBuf]) -> Outcome<Imported> {
    let wrong = |e: toml::de::Error| Failure::because(Kind::Usage, format!("{} is no TOML", path.display()), &e);
    let config: Value = toml::from_str(&read_text(path)?).map_err(wrong)?;
    let mut reader = Reader {
        folder: path.parent().map(Path::to_owned).unwrap_or_default(),
        config,
        imported: Imported::default(),
        accounts: Map::new(),
        targets: Map::new(),
        first: Map::new(),
        seen: BTreeMap::new(),
        expected: Expected::default(),
    };
    reader.unknown();
    let functions = reader.config.get("functions").and_then(Value::as_object).cloned().unwrap_or_default();
    if functions.is_empty() {
        return Err(Failure::usage(format!("{} has no functions", path.display())));
    }
    // Datapoints first: they tell what the variables of the templates are.
    let (datasets, samples) = reader.datasets(datapoints)?;
    for (name, function) in &functions {
        reader.function(name, function)?;
    }
    let mut suites = Map::new();
    for (dataset, function) in &datasets {
        if let Some(target) = reader.first.get(&function.1) {
            suites.insert(dataset.clone(), json!({"target": target, "dataset": dataset}));
        }
    }
    if reader.accounts.is_empty() {
        reader.accounts.insert("sim".to_owned(), json!({"kind": "simulator"}));
    }
    let files: Map<String, Value> = datasets.iter().map(|(name, (file, _))| (name.clone(), file.clone())).collect();
    let mut config =
        json!({"version": 1, "project": "tensorzero", "providers": reader.accounts, "targets": reader.targets});
    config["datasets"] = Value::Object(files);
    config["scoring"] = json!({"metrics": reader.metrics(&path.display().to_string())});
    config["suites"] = Value::Object(suites);
    let mut imported = reader.imported;
    imported.config(&path.display().to_string(), &config);
    imported.carried = carried(&[
        (functions.len(), "function"),
        (config["targets"].as_object().map_or(0, Map::len), "variant"),
        (datasets.len(), "dataset"),
        (samples, "sample"),
    ]);
    Ok(imported)
}

impl Reader {
    fn unknown(&mut self) {
        let sections = self.config.as_object().cloned().unwrap_or_default();
        for (section, value) in &sections {
            let what = match section.as_str() {
                "functions" | "models" => continue,
                "metrics" => "metrics are feedback's here: a thumb, rating, label or correction needs no declaration",
                "evaluations" => "not carried over: `scoring` in llmops.yaml says how answers are scored",
                "tools" => "carried over with the functions that name them",
                "embedding_models" => "not carried over: embeddings are asked of the provider's own model",
                "gateway" | "clickhouse" | "postgres" | "object_storage" | "rate_limiting" => {
                    "not carried over: settings of the server stand in `server`, keys are made by `llmops key create`"
                }
                _ => "not carried over",
            };
            let names = value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>().join(", "));
            self.imported.note(format!("[{section}] {}", names.unwrap_or_default()).trim_end(), what);
        }
    }

    fn function(&mut self, name: &str, function: &Value) -> Outcome {
        let variants = function.get("variants").and_then(Value::as_object).cloned().unwrap_or_default();
        let chat: Vec<(&String, &Value)> = variants
            .iter()
            .filter(|(_, variant)| {
                matches!(variant.get("type").and_then(Value::as_str), None | Some("chat_completion"))
            })
            .collect();
        for (variant, value) in variants.iter().filter(|(variant, _)| !chat.iter().any(|(known, _)| known == variant)) {
            let kind = value.get("type").map(as_text).unwrap_or_default();
            self.imported
                .note(format!("functions.{name}.variants.{variant}"), format!("not carried over: its type is {kind}"));
        }
        let none = Seen::default();
        let mut shares = Vec::new();
        for (variant, value) in &chat {
            let place = format!("functions.{name}.variants.{variant}");
            let label = if variants.len() == 1 { name.to_owned() } else { format!("{name}-{variant}") };
            let ours = self.imported.name("prompt", &label);
            let file = self.variant(&place, &ours, function, value)?;
            let seen = self.seen.get(name).unwrap_or(&none);
            self.imported.prompt(&place, &format!("prompts/{ours}.yaml"), file, seen);
            self.first.entry(name.to_owned()).or_insert_with(|| ours.clone().into());
            if let Some(weight) = value.get("weight").and_then(Value::as_f64).filter(|weight| *weight > 0.0) {
                shares.push(format!("{ours} {weight}"));
            }
        }
        if shares.len() > 1 || function.get("experimentation").is_some() {
            // Candidates without weights share alike.
            let names: Vec<String> = chat.iter().map(|(variant, _)| (*variant).clone()).collect();
            let shares = if shares.is_empty() { names.join(", ") } else { shares.join(", ") };
            let what =
                format!("traffic is shared by an experiment here, see `llmops experiment create --help`: {shares}");
            self.imported.note(format!("functions.{name}"), what);
        }
        Ok(())
    }

    /// The file of a variant's prompt. Its target is made.
    fn variant(&mut self, place: &str, name: &str, function: &Value, variant: &Value) -> Outcome<Map<String, Value>> {
        let mut file = Map::new();
        file.insert("name".to_owned(), name.into());
        file.insert("version".to_owned(), "1.0.0".into());
        if let Some(description) = function.get("description").and_then(Value::as_str) {
            file.insert("description".to_owned(), description.into());
        }
        let mut messages = Vec::new();
        for role in ["system", "user", "assistant"] {
            match (role, self.template(variant, role)?) {
                (_, None) => {}
                ("system", Some(text)) => drop(file.insert("system".to_owned(), text.trim_end().into())),
                ("user", Some(text)) => messages.push(json!({"role": role, "content": text.trim_end()})),
                _ => {
                    self.imported
                        .note(format!("{place}.{role}_template"), "not carried over: answers are not rendered");
                }
            }
        }
        if !messages.is_empty() {
            file.insert("messages".to_owned(), messages.into());
        }
        self.note_lost(place, function, variant);
        if let Some(format) = self.response_format(name, function, variant)? {
            file.insert("response_format".to_owned(), format);
        }
        let tools = self.tools(place, function)?;
        if !tools.is_empty() {
            file.insert("tools".to_owned(), tools.into());
        }
        let mut parameters = Map::new();
        for (key, value) in variant.as_object().into_iter().flatten() {
            match key.as_str() {
                "temperature" | "max_tokens" | "top_p" | "seed" | "presence_penalty" | "frequency_penalty" => {
                    parameters.insert(key.clone(), value.clone());
                }
                "stop_sequences" => drop(parameters.insert("stop".to_owned(), value.clone())),
                "type" | "weight" | "model" | "json_mode" | "templates" => {}
                _ if key.ends_with("_template") => {}
                _ => self.imported.note(format!("{place}.{key}"), "not carried over"),
            }
        }
        if !parameters.is_empty() {
            file.insert("parameters".to_owned(), Value::Object(parameters));
        }
        let model = self.model(place, &variant.get("model").map(as_text).unwrap_or_default());
        self.targets.insert(name.to_owned(), json!({"prompt": name, "model": model}));
        Ok(file)
    }

    /// Lists what a function and its variant say that a prompt cannot.
    fn note_lost(&mut self, place: &str, function: &Value, variant: &Value) {
        for key in ["tool_choice", "parallel_tool_calls"].into_iter().filter(|key| function.get(key).is_some()) {
            let what = "not carried over: the model decides about its tools";
            self.imported.note(format!("{place}.{key}"), what);
        }
        let templates = variant.get("templates").and_then(Value::as_object).into_iter().flatten();
        for (name, _) in templates.filter(|(name, _)| !["system", "user", "assistant"].contains(&name.as_str())) {
            let what = "not carried over: a prompt has one template for each of its messages";
            self.imported.note(format!("{place}.templates.{name}"), what);
        }
        if variant.get("json_mode").and_then(Value::as_str) == Some("implicit_tool") {
            let what = "`implicit_tool` becomes `json_object`: the schema is not told the model";
            self.imported.note(format!("{place}.json_mode"), what);
        }
    }

    /// The template of a role: `system_template = "file"`, or `templates.system.path`.
    fn template(&self, variant: &Value, role: &str) -> Outcome<Option<String>> {
        let old = variant.get(format!("{role}_template"));
        let new = variant.get("templates").and_then(|templates| templates.get(role));
        let path = old.or(new).and_then(|value| value.as_str().or_else(|| value.get("path")?.as_str()));
        path.map(|path| read_text(&self.folder.join(path))).transpose()
    }

    fn response_format(&self, name: &str, function: &Value, variant: &Value) -> Outcome<Option<Value>> {
        if function.get("type").and_then(Value::as_str) != Some("json") {
            return Ok(None);
        }
        let mode = variant.get("json_mode").and_then(Value::as_str).unwrap_or("strict");
        let Some(path) = function.get("output_schema").and_then(Value::as_str).filter(|_| mode == "strict") else {
            return Ok((mode != "off").then(|| json!({"type": "json_object"})));
        };
        let schema = super::read_document(&self.folder.join(path))?;
        let name = name.replace('-', "_");
        Ok(Some(json!({"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": true}})))
    }

    fn tools(&mut self, place: &str, function: &Value) -> Outcome<Vec<Value>> {
        let mut tools = Vec::new();
        for name in function.get("tools").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            let Some(tool) = self.config.get("tools").and_then(|tools| tools.get(name)).cloned() else {
                self.imported.note(place, format!("the tool `{name}` is not defined"));
                continue;
            };
            let parameters = match tool.get("parameters").and_then(Value::as_str) {
                Some(path) => super::read_document(&self.folder.join(path))?,
                None => json!({"type": "object"}),
            };
            let description = tool.get("description").map(as_text).unwrap_or_default();
            let mut function = json!({"name": name, "description": description, "parameters": parameters});
            if let Some(strict) = tool.get("strict").filter(|strict| strict.is_boolean()) {
                function["strict"] = strict.clone();
            }
            tools.push(json!({"type": "function", "function": function}));
        }
        Ok(tools)
    }

    /// The model as `provider/model`, its account made: `openai::gpt-4o`, or a name of the section `models`.
    fn model(&mut self, place: &str, name: &str) -> String {
        if let Some((kind, model)) = name.split_once("::") {
            let account = self.account(place, kind, &Value::Null);
            return format!("{account}/{model}");
        }
        let model = self.config.get("models").and_then(|models| models.get(name)).cloned().unwrap_or_default();
        let routing: Vec<String> =
            model.get("routing").and_then(Value::as_array).into_iter().flatten().map(as_text).collect();
        let Some(provider) = routing.first().and_then(|first| model.get("providers")?.get(first)) else {
            self.imported.note(place, format!("the model `{name}` is not defined: the simulator stands in"));
            self.accounts.insert("sim".to_owned(), json!({"kind": "simulator"}));
            return format!("sim/{name}");
        };
        if routing.len() > 1 {
            let what = format!(
                "falls back to {}: `fallbacks` in the settings of a deployment (`llmops deploy … --settings FILE`) names them",
                routing[1..].join(", ")
            );
            self.imported.note(format!("models.{name}"), what);
        }
        let kind = provider.get("type").map(as_text).unwrap_or_default();
        let account = self.account(&format!("models.{name}.providers.{}", routing[0]), &kind, provider);
        let model = ["model_name", "deployment_id", "model_id"].iter().find_map(|key| provider.get(*key)?.as_str());
        format!("{account}/{}", model.unwrap_or(name))
    }

    fn account(&mut self, place: &str, kind: &str, provider: &Value) -> String {
        let Some((_, ours, key)) = KINDS.iter().find(|(theirs, ..)| *theirs == kind) else {
            self.imported
                .note(place, format!("the provider `{kind}` has no counterpart here: the simulator stands in"));
            self.accounts.insert("sim".to_owned(), json!({"kind": "simulator"}));
            return "sim".to_owned();
        };
        let mut account = json!({"kind": ours});
        if !key.is_empty() {
            let location = provider.get("api_key_location").and_then(Value::as_str);
            let named = location.and_then(|location| location.strip_prefix("env::"));
            if *ours != "vllm" || named.is_some() {
                account["api_key"] = format!("${{{}}}", named.unwrap_or(key)).into();
            }
        }
        if let Some(url) = ["api_base", "endpoint"].iter().find_map(|key| provider.get(*key)) {
            account["base_url"] = self.imported.without_secrets(place, &as_text(url)).into();
        }
        if let Some((known, _)) = self.accounts.iter().find(|(_, known)| **known == account) {
            return known.clone();
        }
        let name = self.imported.name("provider", ours);
        self.accounts.insert(name.clone(), account);
        name
    }

    /// The datasets, and how many samples they have.
    fn datasets(&mut self, files: &[PathBuf]) -> Outcome<(Datasets, usize)> {
        let mut sets: BTreeMap<(String, String), SampleSet> = BTreeMap::new();
        for file in files {
            let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            for (at, line) in read_lines(file)?.into_iter().enumerate() {
                let place = format!("{stem}:{}", at + 1);
                let text = |key: &str| line.get(key).and_then(Value::as_str).map(str::to_owned);
                let function = text("function_name").unwrap_or_default();
                let dataset = text("dataset_name").unwrap_or_else(|| stem.clone());
                let sample = self.sample(&place, &line);
                if let Some(Value::Object(variables)) = sample.get("variables") {
                    self.seen.entry(function.clone()).or_default().look(variables);
                }
                sets.entry((dataset, function)).or_default().push(&mut self.imported, &place, sample);
            }
        }
        let mut datasets = Datasets::new();
        let mut samples = 0;
        for ((dataset, function), set) in sets {
            if set.is_empty() {
                self.imported.note(dataset, "no dataset is made of it: none of its datapoints could be carried over");
                continue;
            }
            samples += set.len();
            let name = self.imported.name("dataset", &dataset);
            let path = format!("datasets/{name}.jsonl");
            self.imported.files.push((path.clone(), set.lines()));
            let settings = json!({"path": path, "type": "benchmark", "min_prompt_chars": 1});
            datasets.insert(name, (settings, function));
        }
        Ok((datasets, samples))
    }

    /// The metrics: those that every datapoint has something to compare with, because what cannot be compared is no score.
    fn metrics(&mut self, place: &str) -> Value {
        let Expected { datapoints, texts, calls } = self.expected;
        if calls == 0 {
            return json!({"token_f1": {"weight": 1.0}});
        }
        match (texts == datapoints, calls == datapoints) {
            (true, true) => json!({"token_f1": {"weight": 0.5}, "tool_call": {"weight": 0.5}}),
            (false, true) => json!({"tool_call": {"weight": 1.0}}),
            (_, false) => {
                let what = format!(
                    "{calls} of {datapoints} datapoints expect calls of tools: a dataset of those alone can have the metric \
                     `tool_call`, which compares the calls"
                );
                self.imported.note(place, what);
                json!({"token_f1": {"weight": 1.0}})
            }
        }
    }

    fn sample(&mut self, place: &str, line: &Value) -> Map<String, Value> {
        let mut sample = Map::new();
        let id = line.get("id").map_or_else(|| self.imported.name("sample", place), as_text);
        sample.insert("id".to_owned(), id.into());
        let mut variables = Map::new();
        let input = line.get("input").cloned().unwrap_or_default();
        let mut messages: Vec<Value> = Vec::new();
        match input.get("system") {
            Some(Value::Object(arguments)) => variables.extend(arguments.clone()),
            None | Some(Value::Null) => {}
            // A function without a template takes the instructions themselves.
            Some(text) => messages.push(json!({"role": "system", "content": as_text(text)})),
        }
        let given = input.get("messages").and_then(Value::as_array).cloned().unwrap_or_default();
        for message in &given {
            let role = message.get("role").map_or_else(|| "user".to_owned(), as_text);
            let blocks = message.get("content").unwrap_or(&Value::Null);
            self.note_left_out(place, blocks, &[]);
            let (text, arguments) = content(blocks);
            variables.extend(arguments);
            if !text.is_empty() {
                messages.push(json!({"role": role, "content": text}));
            }
        }
        match messages.pop() {
            Some(last) if last["role"] == "user" => drop(sample.insert("input".to_owned(), last["content"].clone())),
            Some(last) => messages.push(last),
            None => {}
        }
        if !messages.is_empty() {
            sample.insert("messages".to_owned(), messages.into());
        }
        if !variables.is_empty() {
            sample.insert("variables".to_owned(), Value::Object(variables));
        }
        self.note_left_out(place, line.get("output").unwrap_or(&Value::Null), &["tool_call"]);
        self.expected.datapoints += 1;
        if let Some(expected) = line.get("output").map(output).filter(|text| !text.is_empty()) {
            sample.insert("expected_output".to_owned(), json!([expected]));
            self.expected.texts += 1;
        }
        let calls = self.expected_calls(place, line.get("output").unwrap_or(&Value::Null));
        if !calls.is_empty() {
            sample.insert(EXPECTED_TOOL_CALLS.to_owned(), calls.into());
            self.expected.calls += 1;
        }
        if let Some(tags) = line.get("tags").filter(|tags| tags.as_object().is_some_and(|tags| !tags.is_empty())) {
            sample.insert("metadata".to_owned(), json!({"tags": tags}));
        }
        sample.insert("source".to_owned(), "tensorzero".into());
        sample
    }

    /// The calls of tools that an answer shall have. What the model wrote stands in for what TensorZero could not read of it.
    fn expected_calls(&mut self, place: &str, blocks: &Value) -> Vec<Value> {
        let mut calls = Vec::new();
        let of_type = |block: &&Value| block.get("type").and_then(Value::as_str) == Some("tool_call");
        for block in blocks.as_array().into_iter().flatten().filter(of_type) {
            let given = |key: &str| block.get(key).filter(|value| !value.is_null());
            let Some(name) = given("name").or_else(|| given("raw_name")).and_then(Value::as_str) else {
                self.imported.note(place, "a block `tool_call` is left out: it names no tool");
                continue;
            };
            let arguments = match given("arguments").or_else(|| given("raw_arguments")) {
                Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_else(|_| text.clone().into()),
                Some(arguments) => arguments.clone(),
                None => json!({}),
            };
            calls.push(json!({"name": name, "arguments": arguments}));
        }
        calls
    }

    /// Blocks that hold no text and are `carried` in no other way, such as calls of tools in a conversation: the sample asks
    /// without them.
    fn note_left_out(&mut self, place: &str, blocks: &Value, carried: &[&str]) {
        for block in blocks.as_array().into_iter().flatten() {
            let kind = block.get("type").and_then(Value::as_str).unwrap_or("text");
            if !matches!(kind, "text" | "raw_text" | "template") && !carried.contains(&kind) {
                self.imported.note(place, format!("a block `{kind}` is left out: the sample is asked without it"));
            }
        }
    }
}

/// The text of a message, and the arguments of its templates.
fn content(content: &Value) -> (String, Map<String, Value>) {
    let (mut texts, mut arguments) = (Vec::new(), Map::new());
    let blocks = match content {
        Value::Array(blocks) => blocks.clone(),
        Value::Null => Vec::new(),
        other => vec![other.clone()],
    };
    for block in &blocks {
        let of_template = block.get("arguments").or_else(|| block.get("value").filter(|value| value.is_object()));
        match (block, of_template) {
            (_, Some(Value::Object(map))) => arguments.extend(map.clone()),
            (Value::String(text), _) => texts.push(text.clone()),
            (Value::Object(map), _) if !map.contains_key("type") => arguments.extend(map.clone()),
            _ => texts.extend(["text", "value"].iter().find_map(|key| block.get(*key)?.as_str()).map(str::to_owned)),
        }
    }
    (texts.join("\n"), arguments)
}

/// The expected answer as text: blocks of a chat function, or the JSON of a function of that kind.
fn output(output: &Value) -> String {
    match output {
        Value::Null => String::new(),
        Value::Array(_) => content(output).0,
        Value::Object(map) => match (map.get("raw").and_then(Value::as_str), map.get("parsed")) {
            (Some(raw), _) => raw.to_owned(),
            (None, Some(parsed)) => parsed.to_string(),
            (None, None) => output.to_string(),
        },
        other => as_text(other),
    }
}
