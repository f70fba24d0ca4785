//! The manifest: the immutable, content-addressed unit that is evaluated and deployed.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::chat::Parameters;
use crate::hash::ContentHash;
use crate::prompt::{Example, PostProcessing, PromptVersion};
use crate::suggest;
use crate::yaml::{Document, Problem, Schema, validate_value};

/// The temperature of a manifest where nobody names one: an evaluation that cannot be repeated decides nothing.
pub(crate) const DEFAULT_TEMPERATURE: f64 = 0.0;

/// Formats of answers: OpenAI's, and those that hosts of open models have beside them.
const RESPONSE_FORMATS: [&str; 6] = ["text", "json_object", "json_schema", "grammar", "regex", "structural_tag"];

/// Everything that decides an answer. It is resolved: it does not depend on what is active later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct Manifest {
    /// The model, as `provider/model`.
    pub model: String,
    /// The provider's version or date of the model, where it is pinned.
    #[serde(default)]
    pub model_version: Option<String>,
    /// The prompt's name; null when the input is sent as it is.
    #[serde(default)]
    pub prompt: Option<String>,
    /// The prompt's version.
    #[serde(default)]
    pub prompt_version: Option<String>,
    /// Hash of the prompt's body.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub prompt_hash: Option<ContentHash>,
    /// System message.
    #[serde(default)]
    pub system: Option<String>,
    /// Few-shot examples.
    #[serde(default)]
    pub examples: Vec<Example>,
    /// Sampling parameters, stop sequences apart.
    #[serde(default)]
    pub parameters: Parameters,
    /// Stop sequences.
    #[serde(default)]
    pub stop: Vec<String>,
    /// Tools in OpenAI's shape.
    #[serde(default)]
    pub tools: Vec<Value>,
    /// OpenAI's `response_format`.
    #[serde(default)]
    pub response_format: Option<Value>,
    /// Steps applied to the answer.
    #[serde(default)]
    pub post_processing: Vec<PostProcessing>,
    /// The retriever's index the answers rest on.
    #[serde(default)]
    pub retriever_index_version: Option<String>,
}

impl Manifest {
    /// Resolves a prompt version and a model to a manifest. `parameters` are laid over the prompt's; the temperature is
    /// 0 where neither names one.
    pub fn resolve(prompt: Option<&PromptVersion>, model: &str, parameters: &Parameters) -> Self {
        let body = prompt.map(|p| p.body.clone()).unwrap_or_default();
        let mut parameters = body.parameters.overlaid(parameters);
        let stop = std::mem::take(&mut parameters.stop);
        parameters.temperature = parameters.temperature.or(Some(DEFAULT_TEMPERATURE));
        Self {
            model: model.to_owned(),
            model_version: None,
            prompt: prompt.map(|p| p.name.clone()),
            prompt_version: prompt.map(|p| p.version.to_string()),
            prompt_hash: prompt.map(|p| p.hash.clone()),
            system: body.system,
            examples: body.examples,
            parameters,
            stop,
            tools: body.tools,
            response_format: body.response_format,
            post_processing: body.post_processing,
            retriever_index_version: None,
        }
    }

    /// A manifest that somebody wrote by hand, with the version and hash of the prompt that it names. What it leaves out is
    /// the prompt's own; the temperature is 0 where neither names one.
    #[must_use]
    pub fn filled_from(self, prompt: &PromptVersion) -> Self {
        let parameters = Parameters { stop: self.stop, ..self.parameters };
        let own = Self::resolve(Some(prompt), &self.model, &parameters);
        Self {
            model_version: self.model_version,
            system: self.system.or(own.system),
            examples: if self.examples.is_empty() { own.examples } else { self.examples },
            tools: if self.tools.is_empty() { own.tools } else { self.tools },
            response_format: self.response_format.or(own.response_format),
            post_processing: if self.post_processing.is_empty() { own.post_processing } else { self.post_processing },
            retriever_index_version: self.retriever_index_version,
            ..own
        }
    }

    /// The manifest's id: the hash of its canonical JSON.
    ///
    /// # Errors
    /// When a parameter is NaN or infinite.
    pub fn id(&self) -> Result<ContentHash, serde_json::Error> {
        ContentHash::of_json(self)
    }

    /// What no provider takes, each with its field: parameters out of their range, tools and response formats that are none.
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> =
            validate_value(self, "manifest", &SCHEMA).iter().map(ToString::to_string).collect();
        problems.extend(self.tools.iter().enumerate().filter_map(|(at, tool)| {
            let is_text =
                |place: &str| tool.pointer(place).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
            // Hosts have tools of their own, which are known by their type alone.
            let expected = match tool.get("type").and_then(Value::as_str) {
                Some("function") if !is_text("/function/name") && !is_text("/name") => "`function` with a `name`",
                None if !is_text("/name") => "`type`, such as function, and what belongs to it",
                _ => return None,
            };
            Some(format!("manifest: tools[{at}]: no tool: expected {expected}"))
        }));
        if let Some(format) = self.response_format.as_ref().filter(|format| !format.is_null()) {
            let named = format.get("type").and_then(Value::as_str).unwrap_or_default();
            if !RESPONSE_FORMATS.contains(&named) {
                let hint = suggest::hint(named, RESPONSE_FORMATS);
                problems.push(format!("manifest: response_format.type: `{named}` is no format of answers; {hint}"));
            } else if named == "json_schema" && !["json_schema", "schema"].iter().any(|key| format[*key].is_object()) {
                problems.push("manifest: response_format.json_schema: the schema is missing".to_owned());
            }
        }
        problems
    }

    /// Whether it is a model alone, with nothing said around what a caller says or done to the answer: one that may embed.
    pub fn is_model_alone(&self) -> bool {
        let says = self.prompt.is_some() || self.system.is_some() || self.response_format.is_some();
        !says
            && self.examples.is_empty()
            && self.stop.is_empty()
            && self.tools.is_empty()
            && self.post_processing.is_empty()
    }

    /// `NAME@VERSION` of the prompt, or null.
    pub fn prompt_label(&self) -> Option<String> {
        Some(format!("{}@{}", self.prompt.as_ref()?, self.prompt_version.as_deref().unwrap_or("?")))
    }
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::of::<Manifest>);

/// Reads a manifest file, JSON or YAML. Other than in a stored manifest, a key that means nothing is a mistake.
///
/// # Errors
/// With every mistake of the file, by line.
pub fn parse(text: &str, file: &str) -> Result<Manifest, Vec<Problem>> {
    let document = match Document::parse(text, file) {
        Ok(document) => document,
        // Some JSON is no YAML: emojis may be written as pairs of `\u` escapes.
        Err(problems) => match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
            Ok(value) => Document::of_value(value, file),
            Err(_) => return Err(problems),
        },
    };
    document.decode(&SCHEMA)
}

/// Reads a manifest in a request, as strictly as one in a file.
///
/// # Errors
/// With every mistake of the manifest.
pub fn deserialize_sent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Manifest>, D::Error> {
    let Some(value) = Option::<Value>::deserialize(deserializer)? else { return Ok(None) };
    let decoded = Document::of_value(value, "manifest").decode(&SCHEMA);
    decoded.map(Some).map_err(|problems: Vec<Problem>| {
        D::Error::custom(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        let found = parse(text, "m.json").unwrap_err();
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_file_is_read_strictly() {
        let manifest = parse("\u{feff}{\"model\": \"up/prod\", \"system\": \"\\ud83d\\ude00\"}", "m.json").unwrap();
        assert_eq!((manifest.model.as_str(), manifest.system.as_deref()), ("up/prod", Some("😀")));
        assert_eq!(parse("model: up/prod\n", "m.yaml").unwrap().model, "up/prod");
        let whole = serde_json::to_string(&manifest).unwrap();
        assert_eq!(parse(&whole, "m.json").unwrap(), manifest, "what is shown can be given again");
        let found = problems("{\"sytem\": \"x\",\n\"Prompt\": \"bot\", \"model\": 3}");
        for expected in
            ["m.json:1:2: sytem: unknown key; did you mean system?", "m.json:2:1: Prompt", "model: expected"]
        {
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }

    #[test]
    fn a_request_is_read_as_strictly_as_a_file() {
        #[derive(Debug, Deserialize)]
        struct Request {
            #[serde(default, deserialize_with = "deserialize_sent")]
            manifest: Option<Manifest>,
        }
        let read = |text: &str| serde_json::from_str::<Request>(text).map(|request| request.manifest.map(|m| m.model));
        assert_eq!(read("{}").unwrap(), None);
        assert_eq!(read(r#"{"manifest": null}"#).unwrap(), None);
        assert_eq!(read(r#"{"manifest": {"model": "m"}}"#).unwrap().as_deref(), Some("m"));
        let wrong = read(r#"{"manifest": {"model": "m", "sytem": "x"}}"#).unwrap_err().to_string();
        assert!(wrong.contains("manifest: sytem: unknown key"), "{wrong}");
    }

    #[test]
    fn what_no_provider_takes_is_named_with_its_field() {
        let check = |part: &str, expected: &str| {
            let manifest: Manifest = serde_json::from_str(&format!("{{\"model\": \"a/b\", {part}}}")).unwrap();
            assert_eq!(manifest.problems().join("\n"), expected, "{part}");
        };
        check(r#""parameters": {"temperature": 2, "top_p": 0.5, "max_tokens": 1}"#, "");
        check(
            r#""parameters": {"temperature": -5}"#,
            "manifest: parameters.temperature: must be from 0 to 2, not `-5.0`",
        );
        check(
            r#""parameters": {"max_tokens": 0}"#,
            "manifest: parameters.max_tokens: must be from 1 to 4294967295, not `0`",
        );
        check(
            r#""tools": [{"type": "function", "function": {"name": "f"}}, {"type": "web_search"}, {"name": "f"}]"#,
            "",
        );
        check(
            r#""tools": [{"x": 1}, {"type": "function", "function": {}}, 3]"#,
            "manifest: tools[0]: no tool: expected `type`, such as function, and what belongs to it\n\
             manifest: tools[1]: no tool: expected `function` with a `name`\n\
             manifest: tools[2]: no tool: expected `type`, such as function, and what belongs to it",
        );
        check(r#""response_format": {"type": "json_object"}"#, "");
        check(r#""response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}"#, "");
        check(
            r#""response_format": {"type": "json_objekt"}"#,
            "manifest: response_format.type: `json_objekt` is no format of answers; did you mean json_object?",
        );
        check(
            r#""response_format": {"type": "json_schema"}"#,
            "manifest: response_format.json_schema: the schema is missing",
        );
    }

    #[test]
    fn what_a_manifest_leaves_out_is_its_prompts_own() {
        let prompt: PromptVersion = serde_json::from_value(serde_json::json!({
            "name": "bot", "version": "1.0.0", "hash": "a".repeat(64), "created_at": "2026-01-01T00:00:00Z",
            "content": "{{ input }}", "system": "Be kind.", "parameters": {"top_p": 0.5},
        }))
        .unwrap();
        let written = parse(r#"{"model": "m", "prompt": "bot", "parameters": {"temperature": 1}}"#, "m.json").unwrap();
        let filled = written.clone().filled_from(&prompt);
        assert_eq!(filled.prompt_label().as_deref(), Some("bot@1.0.0"));
        assert_eq!((filled.prompt_hash.as_ref(), filled.system.as_deref()), (Some(&prompt.hash), Some("Be kind.")));
        assert_eq!((filled.parameters.temperature, filled.parameters.top_p), (Some(1.0), Some(0.5)));
        let other = Manifest { system: Some("Be brief.".to_owned()), ..written }.filled_from(&prompt);
        assert_eq!(other.system.as_deref(), Some("Be brief."));
    }
}
