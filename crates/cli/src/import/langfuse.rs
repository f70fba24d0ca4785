//! Langfuse's exports: prompts as its API lists them, and items of datasets as JSON, lines of JSON or a table.
//!
//! What a record is follows from its fields. Of a prompt's versions the one in production (else the newest) becomes the
//! prompt's file, and the others stand in `prompts/archive/`.

use std::collections::BTreeMap;
use std::path::Path;

use llmops_domain::scorecard::format::count;
use llmops_domain::template::RESERVED_NAMES;
use serde_json::{Map, Value, json};

use super::{
    Imported, SampleSet, Seen, as_text, carried, extension, prompt_name, read_document, read_lines, read_table,
};
use crate::failure::{Failure, Outcome};

/// The model where none is named.
const SIMULATED: &str = "simulated";
/// Words that templates read otherwise than as a variable.
const WORDS: [&str; 13] =
    ["and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False", "None"];
/// What stands in a prompt that another one is put into.
const COMPOSED: &str = "@@@langfusePrompt:";
/// Names of the field with the expected answer.
const EXPECTED: [&str; 2] = ["expectedOutput", "expected_output"];
/// The label of the version that is live.
const LIVE: &str = "production";

/// Records by what they are.
#[derive(Default)]
struct Found {
    /// Versions by the prompt's name.
    prompts: BTreeMap<String, Vec<(String, Value)>>,
    /// Items by the dataset's name.
    items: BTreeMap<String, Vec<(String, Value)>>,
}

/// Reads exported files.
pub(crate) fn read(paths: &[&Path]) -> Outcome<Imported> {
    let mut imported = Imported::default();
    let mut found = Found::default();
    let mut pages = Pages::default();
    for path in paths {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        for (place, record) in records(path, &mut pages)? {
            sort_in(&mut imported, &mut found, &stem, place, record);
        }
    }
    if found.prompts.is_empty() && found.items.is_empty() {
        return Err(Failure::usage("there is neither a prompt nor an item of a dataset in these files")
            .hint("prompts have `name`, `version` and `prompt`; items have `input` and perhaps `expectedOutput`"));
    }
    imported.missing = pages.missing();
    let mut targets = Map::new();
    let mut accounts = Map::new();
    let mut seen = Seen::default();
    let inputs = found.items.values().flatten().filter_map(|(_, item)| item.get("input")?.as_object());
    inputs.for_each(|input| seen.look(input));
    let mut reader = Prompts { imported: &mut imported, targets: &mut targets, accounts: &mut accounts };
    for (name, versions) in &found.prompts {
        reader.prompt(name, versions, &seen);
    }
    let mut datasets = Map::new();
    let mut samples = 0;
    for (name, items) in &found.items {
        let mut set = SampleSet::default();
        for (place, item) in items {
            if let Some(sample) = sample(&mut imported, place, item) {
                set.push(&mut imported, place, sample);
            }
        }
        samples += set.len();
        let name = imported.name("dataset", name);
        let path = format!("datasets/{name}.jsonl");
        imported.files.push((path.clone(), set.lines()));
        datasets.insert(name, json!({"path": path, "type": "benchmark", "min_prompt_chars": 1}));
    }
    let suites = suites(&mut imported, &targets, &datasets);
    if accounts.is_empty() {
        accounts.insert("sim".to_owned(), json!({"kind": "simulator"}));
    }
    let mut config = json!({"version": 1, "project": "langfuse", "providers": accounts, "targets": targets});
    config["datasets"] = Value::Object(datasets);
    config["scoring"] = json!({"metrics": {"token_f1": {"weight": 1.0}}});
    config["suites"] = Value::Object(suites);
    imported
        .note("evaluators", "Langfuse's exports hold none: `scoring` in llmops.yaml compares words until you choose");
    imported.config("Langfuse's exports", &config);
    imported.carried = carried(&[
        (found.prompts.len(), "prompt"),
        (found.prompts.values().map(Vec::len).sum(), "version"),
        (found.items.len(), "dataset"),
        (samples, "sample"),
    ]);
    Ok(imported)
}

/// The records of a file with their places.
fn records(path: &Path, pages: &mut Pages) -> Outcome<Vec<(String, Value)>> {
    let shown = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let records = match extension(path).as_str() {
        "csv" => read_table(path)?.into_iter().map(|row| Value::Object(row.into_iter().map(cell).collect())).collect(),
        "jsonl" | "ndjson" => read_lines(path)?,
        _ => match read_document(path)? {
            Value::Array(items) => items,
            Value::Object(mut page) if page.get("data").is_some_and(Value::is_array) => {
                let items = page.remove("data").and_then(|data| data.as_array().cloned()).unwrap_or_default();
                pages.look(&shown, page.get("meta"), &items);
                items
            }
            other => vec![other],
        },
    };
    Ok(records.into_iter().enumerate().map(|(at, record)| (format!("{shown}[{at}]"), record)).collect())
}

/// Answers of the API that are pages of longer lists.
#[derive(Default)]
struct Pages {
    /// Items by page, by what the list is of and how long the answers say it is.
    lists: BTreeMap<(String, u64, u64), BTreeMap<u64, usize>>,
    /// The file with the first page of each.
    files: BTreeMap<(String, u64, u64), String>,
}

impl Pages {
    /// Looks at an answer: which page of how many it is.
    fn look(&mut self, file: &str, meta: Option<&Value>, items: &[Value]) {
        let number = |name: &str| meta.and_then(|meta| meta.get(name)?.as_u64());
        let text = |name: &str| items.first().and_then(|item| item.get(name)?.as_str()).unwrap_or_default();
        let of = if items.first().is_some_and(|item| item.get("prompt").is_some()) {
            "prompts"
        } else {
            text("datasetName")
        };
        let list = (of.to_owned(), number("totalPages").unwrap_or(1), number("totalItems").unwrap_or(0));
        self.lists.entry(list.clone()).or_default().insert(number("page").unwrap_or(1), items.len());
        self.files.entry(list).or_insert_with(|| file.to_owned());
    }

    /// What the lists have beyond the pages that were given.
    fn missing(&self) -> Vec<String> {
        let is_short = |pages: &BTreeMap<u64, usize>, of: u64, total: u64| {
            (1..=of).any(|page| !pages.contains_key(&page)) || (pages.values().sum::<usize>() as u64) < total
        };
        let short = self.lists.iter().filter(|((_, of, total), pages)| is_short(pages, *of, *total));
        short
            .map(|(list, pages)| {
                let (_, of, total) = list;
                let there: Vec<String> = pages.keys().map(u64::to_string).collect();
                let file = self.files.get(list).map(String::as_str).unwrap_or_default();
                let items = pages.values().sum::<usize>();
                format!(
                    "{file} is not everything: page {} of {of}, {items} of {}: ask the API for the others (`?page=2`, or a larger \
                     `limit`), name all files in one import, and add --force",
                    there.join(", "),
                    count((*total).max(items as u64), "item"),
                )
            })
            .collect()
    }
}

/// A cell of an export holds JSON; one that does not is a text. Numbers stay as they are written, and so does what an answer
/// is expected to say: as numbers `4.90` and `4.9` would be the same.
fn cell((name, text): (String, String)) -> (String, Value) {
    let is_expected = EXPECTED.contains(&name.as_str());
    let value = match serde_json::from_str(&text) {
        Ok(Value::Number(_)) | Err(_) => Value::String(text),
        Ok(Value::Array(_) | Value::Object(_)) if is_expected => Value::String(text),
        Ok(value) => value,
    };
    (name, value)
}

fn sort_in(imported: &mut Imported, found: &mut Found, stem: &str, place: String, record: Value) {
    let text = |names: &[&str]| names.iter().find_map(|name| record.get(*name)?.as_str()).map(str::to_owned);
    if record.get("prompt").is_some() && record.get("name").is_some() {
        let name = text(&["name"]).unwrap_or_default();
        found.prompts.entry(name).or_default().push((place, record));
    } else if record.get("input").is_some() {
        let name = text(&["datasetName", "dataset_name"]).unwrap_or_else(|| stem.to_owned());
        found.items.entry(name).or_default().push((place, record));
    } else if record.get("name").is_some() && record.get("versions").is_some() {
        let what = "this is the list of prompts without their texts: export each by GET /api/public/v2/prompts/NAME";
        imported.note(place, format!("not carried over: {what}"));
    } else {
        imported.note(place, "not carried over: neither a prompt nor an item of a dataset");
    }
}

fn version(record: &Value) -> u64 {
    let version = record.get("version");
    // A number in JSON, a text in a table.
    version.and_then(|version| version.as_u64().or_else(|| version.as_str()?.trim().parse().ok())).unwrap_or(1)
}

fn labels(record: &Value) -> Vec<String> {
    record.get("labels").and_then(Value::as_array).into_iter().flatten().map(as_text).collect()
}

/// Prompts on their way into files and targets.
struct Prompts<'a> {
    imported: &'a mut Imported,
    targets: &'a mut Map<String, Value>,
    accounts: &'a mut Map<String, Value>,
}

impl Prompts<'_> {
    fn prompt(&mut self, name: &str, versions: &[(String, Value)], seen: &Seen) {
        let ours = self.imported.name("prompt", &prompt_name(name));
        if ours != name {
            self.imported.note(format!("prompt {name}"), format!("is called `{ours}` here"));
        }
        let live = versions.iter().find(|(_, record)| labels(record).iter().any(|label| label == LIVE));
        let live = live.or_else(|| versions.iter().max_by_key(|(_, record)| version(record)));
        let live_version = live.map_or(1, |(_, record)| version(record));
        for (place, record) in versions {
            let number = version(record);
            let is_live = number == live_version;
            let archived = format!("prompts/archive/{ours}-{number}.0.0.yaml");
            let path = if is_live { format!("prompts/{ours}.yaml") } else { archived };
            let (file, model) = prompt_file(self.imported, place, &ours, record);
            self.imported.prompt(place, &path, file, seen);
            if is_live {
                let model = model.unwrap_or_else(|| {
                    self.imported.note(format!("{place}.config.model"), "is not named: the simulator `sim` stands in");
                    SIMULATED.to_owned()
                });
                let model = account(self.accounts, &model);
                self.targets.insert(ours.clone(), json!({"prompt": ours, "model": model}));
            }
        }
        if versions.len() > 1 {
            let others = count(versions.len() as u64 - 1, "other version");
            let what = format!("`llmops prompt push prompts/archive/*.yaml` keeps its {others}");
            self.imported.note(format!("prompt {name}"), what);
        }
    }
}

/// The file of a version, and the model that it names.
fn prompt_file(
    imported: &mut Imported,
    place: &str,
    name: &str,
    record: &Value,
) -> (Map<String, Value>, Option<String>) {
    let mut file = Map::new();
    file.insert("name".to_owned(), name.into());
    file.insert("version".to_owned(), format!("{}.0.0", version(record)).into());
    if let Some(change) = record.get("commitMessage").and_then(Value::as_str) {
        file.insert("change".to_owned(), change.into());
    }
    let tags: Vec<String> = record.get("tags").and_then(Value::as_array).into_iter().flatten().map(as_text).collect();
    if !tags.is_empty() {
        file.insert("tags".to_owned(), tags.into());
    }
    let labels: Vec<String> = labels(record).into_iter().filter(|label| label != "latest").collect();
    if !labels.is_empty() {
        file.insert("metadata".to_owned(), json!({"langfuse_labels": labels}));
    }
    match record.get("prompt") {
        Some(Value::Array(messages)) => {
            let mut ours = Vec::new();
            for (at, message) in messages.iter().enumerate() {
                match (message.get("role").and_then(Value::as_str), message.get("content")) {
                    (Some(role), Some(content)) => {
                        let content = template(imported, &format!("{place}.prompt[{at}]"), &as_text(content));
                        ours.push(json!({"role": role, "content": content}));
                    }
                    _ => imported.note(
                        format!("{place}.prompt[{at}]"),
                        "not carried over: placeholders for messages; a sample's `messages` come before the last one here",
                    ),
                }
            }
            file.insert("messages".to_owned(), ours.into());
        }
        Some(text) => {
            let content = template(imported, place, &as_text(text));
            file.insert("content".to_owned(), content.into());
        }
        None => {}
    }
    let config = record.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut parameters = Map::new();
    for (key, value) in &config {
        match key.as_str() {
            "temperature" | "max_tokens" | "top_p" | "stop" | "seed" | "presence_penalty" | "frequency_penalty" => {
                parameters.insert(key.clone(), value.clone());
            }
            "response_format" | "tools" => drop(file.insert(key.clone(), value.clone())),
            "model" | "model_name" => {}
            _ => imported.note(format!("{place}.config.{key}"), "not carried over"),
        }
    }
    if !parameters.is_empty() {
        file.insert("parameters".to_owned(), Value::Object(parameters));
    }
    let model = config.get("model").or_else(|| config.get("model_name")).and_then(Value::as_str).map(str::to_owned);
    (file, model)
}

/// A text of Langfuse's as a template. Langfuse knows `{{name}}` and nothing else: other braces are text there, and so here.
fn template(imported: &mut Imported, place: &str, text: &str) -> String {
    if text.contains(COMPOSED) {
        imported.note(place, "the prompt that it is composed of is not put in: copy its text");
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = ["{{", "{%", "{#"].iter().filter_map(|mark| rest.find(mark)).min() {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let (mark, behind) = from.split_at(2);
        if mark == "{{" && behind.starts_with('{') {
            // A brace before a variable, or before another brace.
            out.push_str("{{ \"{\" }}");
            rest = &from[1..];
            continue;
        }
        let inside = if mark == "{{" { behind.split_once("}}") } else { None };
        match inside.map(|(name, after)| (name.trim(), after)) {
            Some((name, after)) if is_variable(name) => {
                out.push_str(&from[..from.len() - after.len()]);
                rest = after;
            }
            named => {
                if let Some((name, _)) = named.filter(|(name, _)| !name.contains(['\n', '{', '"'])) {
                    let what =
                        format!("`{{{{{name}}}}}` is sent as text: variables are named by letters, digits and `_`");
                    imported.note(place, what);
                }
                out.push_str(&format!("{{{{ \"{mark}\" }}}}"));
                rest = behind;
            }
        }
    }
    out + rest
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !RESERVED_NAMES.contains(&name)
        && !WORDS.contains(&name)
}

/// The model with its account, which is made: Langfuse names models without their providers.
fn account(accounts: &mut Map<String, Value>, model: &str) -> String {
    if model == SIMULATED {
        accounts.insert("sim".to_owned(), json!({"kind": "simulator"}));
        return format!("sim/{model}");
    }
    let kinds = [("claude", "anthropic", "ANTHROPIC_API_KEY"), ("gemini", "gemini", "GEMINI_API_KEY")];
    let kind = kinds.iter().find(|(prefix, ..)| model.starts_with(prefix));
    let (_, kind, key) = kind.copied().unwrap_or(("", "openai", "OPENAI_API_KEY"));
    accounts.insert(kind.to_owned(), json!({"kind": kind, "api_key": format!("${{{key}}}")}));
    format!("{kind}/{model}")
}

fn sample(imported: &mut Imported, place: &str, item: &Value) -> Option<Map<String, Value>> {
    if item.get("status").and_then(Value::as_str).is_some_and(|status| status.eq_ignore_ascii_case("archived")) {
        imported.note(place, "not carried over: the item is archived");
        return None;
    }
    let mut sample = Map::new();
    let id = item.get("id").map_or_else(|| imported.name("sample", place), as_text);
    sample.insert("id".to_owned(), id.into());
    match item.get("input")? {
        Value::Null => {
            imported.note(place, "not carried over: the item has no input");
            return None;
        }
        Value::Array(messages) if messages.iter().all(|m| m.get("role").is_some()) => {
            sample.insert("messages".to_owned(), messages.clone().into());
        }
        Value::Object(map) => {
            if let Some(Value::Array(messages)) = map.get("messages") {
                sample.insert("messages".to_owned(), messages.clone().into());
            } else {
                let mut map = map.clone();
                if let Some(input @ Value::String(_)) = map.remove("input") {
                    sample.insert("input".to_owned(), input);
                }
                sample.insert("variables".to_owned(), Value::Object(map));
            }
        }
        other => drop(sample.insert("input".to_owned(), as_text(other).into())),
    }
    let expected = EXPECTED.iter().find_map(|name| item.get(*name));
    match expected {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) if text.trim().is_empty() => {}
        Some(value) => drop(sample.insert("expected_output".to_owned(), json!([as_text(value)]))),
    }
    match item.get("metadata") {
        Some(Value::Object(metadata)) => {
            let mut metadata = metadata.clone();
            if let Some(Value::String(category)) = metadata.remove("category") {
                sample.insert("category".to_owned(), category.into());
            }
            sample.insert("metadata".to_owned(), Value::Object(metadata));
        }
        None | Some(Value::Null) => {}
        Some(other) => drop(sample.insert("metadata".to_owned(), json!({"langfuse": other}))),
    }
    let trace = ["sourceTraceId", "source_trace_id"].iter().find_map(|name| item.get(*name)?.as_str());
    sample.insert("source".to_owned(), trace.map_or("langfuse".to_owned(), |id| format!("langfuse trace {id}")).into());
    Some(sample)
}

/// A suite for every dataset, where it is plain which prompt it is for.
fn suites(imported: &mut Imported, targets: &Map<String, Value>, datasets: &Map<String, Value>) -> Map<String, Value> {
    let mut suites = Map::new();
    for name in datasets.keys() {
        let same = targets.keys().find(|target| *target == name);
        match same.or_else(|| targets.keys().next().filter(|_| targets.len() == 1)) {
            Some(target) => drop(suites.insert(name.clone(), json!({"target": target, "dataset": name}))),
            None => {
                imported.note(format!("dataset {name}"), "no suite was made: Langfuse does not say what it evaluates");
            }
        }
    }
    suites
}
