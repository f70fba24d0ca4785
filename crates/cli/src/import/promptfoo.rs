//! promptfoo's configuration: every prompt with every provider becomes a target with its suite, the tests become one
//! dataset, and assertions stand with the samples that they are about.

mod assertions;
mod prompts;
mod providers;
mod tests;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use self::prompts::Prompt;
use self::providers::Model;
use super::{Imported, SampleSet, Seen, carried, extension, read_document};
use crate::failure::{Failure, Outcome};

/// Keys of a configuration that say nothing about prompts, providers and tests.
const WITHOUT_MEANING: [&str; 5] = ["$schema", "description", "tags", "sharing", "writeLatestResults"];
/// Keys that are carried over.
const CARRIED: [&str; 8] =
    ["prompts", "providers", "targets", "tests", "defaultTest", "scenarios", "metadata", "assertionTemplates"];

/// Endings of programs.
const PROGRAMS: [&str; 9] = ["js", "mjs", "cjs", "ts", "mts", "py", "rb", "go", "sh"];

/// A configuration being read: where its files are looked for, and what is made of it.
struct Reader {
    folder: PathBuf,
    imported: Imported,
    /// Assertions that others refer to.
    templates: Map<String, Value>,
}

/// Reads a configuration with the files that it names.
pub(crate) fn read(path: &Path) -> Outcome<Imported> {
    let config = read_document(path)?;
    let Some(config) = config.as_object() else {
        return Err(Failure::usage(format!("{} is no promptfoo configuration: expected a map", path.display())));
    };
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    let templates = config.get("assertionTemplates").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut reader = Reader { folder, imported: Imported::default(), templates };
    reader.unknown_keys(config);
    let providers = config.get("providers").or_else(|| config.get("targets")).unwrap_or(&Value::Null);
    let (models, accounts) = reader.providers(providers);
    let prompts = reader.prompts(config.get("prompts").unwrap_or(&Value::Null))?;
    let default = reader.default_test(config.get("defaultTest"))?;
    let cases = reader.tests(config, &default)?;
    let ([judged, unjudged], assertions) = reader.samples(&cases)?;
    let mut seen = Seen::default();
    for case in cases {
        seen.look(&case.vars);
    }
    reader.write(path, &Parts { models, accounts, prompts, judged, unjudged, assertions, seen });
    Ok(reader.imported)
}

/// What was read, ready to be written.
struct Parts {
    models: Vec<Model>,
    /// The `providers` section.
    accounts: Map<String, Value>,
    prompts: Vec<Prompt>,
    judged: SampleSet,
    unjudged: SampleSet,
    /// Assertions that were carried over.
    assertions: usize,
    seen: Seen,
}

impl Reader {
    fn unknown_keys(&mut self, config: &Map<String, Value>) {
        for (key, value) in config {
            let is_known = WITHOUT_MEANING.contains(&key.as_str()) || CARRIED.contains(&key.as_str());
            let what = match key.as_str() {
                _ if value.is_null() => continue,
                "env" => {
                    // Their values may be secrets.
                    let names: Vec<&str> =
                        value.as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
                    let what = format!("not carried over: set {} in the environment of `llmops`", names.join(", "));
                    self.imported.note("env", what);
                    continue;
                }
                "commandLineOptions" => {
                    "not carried over: `repeat` stands in a suite, `max_concurrency` at a provider, the rest are options of \
                     `llmops eval`"
                }
                "evaluateOptions" => "not carried over: `repeat` stands in a suite, `max_concurrency` at a provider",
                "derivedMetrics" => "not carried over: weights of metrics in `scoring` make a composite",
                "nunjucksFilters" | "extensions" => "not carried over: code of promptfoo's has no place here",
                "outputPath" => {
                    "not carried over: `llmops gate --report FILE` writes a report, `llmops run results latest` the answers"
                }
                "redteam" => "not carried over: there is no red teaming here",
                _ if is_known => continue,
                _ => "not carried over: its meaning is not known here",
            };
            self.imported.note(key.clone(), what);
        }
    }

    /// The program that a reference names, `file://x.py:function` too; none where it names something else. It need not be there:
    /// it is not run here.
    fn program(reference: &str) -> Option<&str> {
        let path = reference.strip_prefix("file://").unwrap_or(reference);
        let is_program = |path: &str| PROGRAMS.contains(&extension(Path::new(path)).as_str());
        let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_$.".contains(c));
        match path.rsplit_once(':') {
            Some((file, function)) if is_name(function) && is_program(file) => Some(path),
            _ => is_program(path).then_some(path),
        }
    }

    /// What a file that a test names holds; why not, where it cannot be read. One broken reference does not end the import.
    fn read_or_why<T>(read: Outcome<T>) -> Result<T, String> {
        read.map_err(|failure| failure.chain.into_iter().chain(failure.problems).collect::<Vec<_>>().join(": "))
    }

    /// A path beside the configuration.
    fn path(&self, reference: &str) -> PathBuf {
        self.folder.join(reference.strip_prefix("file://").unwrap_or(reference))
    }

    fn write(&mut self, source: &Path, parts: &Parts) {
        let mut targets = Map::new();
        let mut suites = Map::new();
        let has_samples = !parts.judged.is_empty();
        for (prompt, model) in parts.prompts.iter().flat_map(|p| parts.models.iter().map(move |m| (p, m))) {
            let text = match (parts.prompts.len(), parts.models.len()) {
                (1, 1) => prompt.name.clone(),
                (1, _) => model.label.clone(),
                (_, 1) => prompt.name.clone(),
                _ => format!("{} {}", prompt.name, model.label),
            };
            let name = self.imported.name("target", &text);
            let mut target = json!({"prompt": prompt.name, "model": model.id});
            if !model.parameters.is_empty() {
                target["parameters"] = Value::Object(model.parameters.clone());
            }
            targets.insert(name.clone(), target);
            if has_samples {
                let suite = if suites.is_empty() { "default".to_owned() } else { name.clone() };
                suites.insert(suite, json!({"target": name, "dataset": "tests"}));
            }
        }
        self.chats_to_endpoints(parts);
        for prompt in &parts.prompts {
            let path = format!("prompts/{}.yaml", prompt.name);
            self.imported.prompt(&prompt.place, &path, prompt.file.clone(), &parts.seen);
        }
        let mut config = json!({"version": 1, "project": self.project_name(source)});
        config["providers"] = Value::Object(parts.accounts.clone());
        config["targets"] = Value::Object(targets);
        config["datasets"] = Value::Object(self.datasets(parts));
        if has_samples {
            // An answer passes when its assertions hold.
            config["scoring"] = json!({"metrics": {"assertions": {"weight": 1.0}}, "pass_threshold": 1.0});
        }
        if !suites.is_empty() {
            config["suites"] = Value::Object(suites);
        }
        self.imported.config(&source.display().to_string(), &config);
        self.imported.carried = carried(&[
            (parts.prompts.len(), "prompt"),
            (parts.models.len(), "model"),
            (parts.judged.len() + parts.unjudged.len(), "sample"),
            (parts.assertions, "assertion"),
        ]);
    }

    /// promptfoo puts all messages of a chat into `{{prompt}}`, as JSON.
    fn chats_to_endpoints(&mut self, parts: &Parts) {
        let is_asked = |account: &Value| {
            account["kind"] == "http" && account["body"].as_str().is_some_and(|body| body.contains("prompt"))
        };
        if !parts.accounts.values().any(is_asked) {
            return;
        }
        for prompt in parts.prompts.iter().filter(|prompt| prompt.file.contains_key("messages")) {
            let what = "endpoints are sent its last user message as `prompt`: `{{ messages | tojson }}` in their `body` \
                        is all of them";
            self.imported.note(&prompt.place, what);
        }
    }

    fn datasets(&mut self, parts: &Parts) -> Map<String, Value> {
        let mut datasets = Map::new();
        let sets = [
            ("tests", &parts.judged, "The tests of the promptfoo configuration"),
            ("without-assertions", &parts.unjudged, "Tests none of whose assertions has a counterpart here"),
        ];
        for (name, set, description) in sets.into_iter().filter(|(_, set, _)| !set.is_empty()) {
            let path = format!("datasets/{name}.jsonl");
            self.imported.files.push((path.clone(), set.lines()));
            let of = json!({"path": path, "type": "benchmark", "description": description, "min_prompt_chars": 1});
            datasets.insert(name.to_owned(), of);
        }
        datasets
    }

    fn project_name(&mut self, source: &Path) -> String {
        let folder = std::path::absolute(source).ok().and_then(|path| Some(path.parent()?.file_name()?.to_owned()));
        self.imported.name("project", &folder.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
    }
}
