//! Soft failures: calls that succeeded by protocol and failed by content.
//!
//! [`Guard::check`] is a pure function from an answer to what is wrong with it. It is cheap: it runs on every answer of the
//! gateway, after the caller has it, or before where the deployment wants something done about it ([`GuardAction`]).

mod language;
mod loops;
mod settings;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use settings::{GuardAction, GuardAlert, GuardConfig, HttpCheck, JudgeCheck};

/// What is wrong with the content of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SoftFailure {
    /// Which check found it.
    pub kind: SoftFailureKind,
    /// What was seen, in a few words.
    pub detail: String,
}

/// The checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SoftFailureKind {
    /// Neither text nor a tool call.
    Empty,
    /// Shorter than allowed.
    TooShort,
    /// Longer than allowed.
    TooLong,
    /// The model stopped at its token limit.
    Truncated,
    /// Not JSON, where JSON is wanted.
    NotJson,
    /// A required pattern does not match.
    RequiredMissing,
    /// A forbidden pattern matches.
    Forbidden,
    /// The same words over and over.
    Repetition,
    /// A tool that the request does not offer.
    UnknownTool,
    /// The model declines to answer, or the provider's filter did.
    Refusal,
    /// Not of the JSON schema that was asked for.
    OffSchema,
    /// Another language than the wanted one.
    WrongLanguage,
    /// The deployment's own check over HTTP says so.
    HttpCheck,
    /// The judge says so.
    Judge,
}

impl SoftFailureKind {
    /// Its name, as in records and headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::Truncated => "truncated",
            Self::NotJson => "not_json",
            Self::RequiredMissing => "required_missing",
            Self::Forbidden => "forbidden",
            Self::Repetition => "repetition",
            Self::UnknownTool => "unknown_tool",
            Self::Refusal => "refusal",
            Self::OffSchema => "off_schema",
            Self::WrongLanguage => "wrong_language",
            Self::HttpCheck => "http_check",
            Self::Judge => "judge",
        }
    }
}

/// A guard, compiled once and used on every answer.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    config: GuardConfig,
    required: Vec<Regex>,
    forbidden: Vec<Regex>,
    language: Option<whatlang::Lang>,
    /// Of the manifest's response format.
    wanted: Option<Wanted>,
}

/// What a response format wants of an answer.
#[derive(Debug, Clone)]
enum Wanted {
    /// A JSON object.
    Object,
    /// JSON of this schema.
    Schema(std::sync::Arc<jsonschema::Validator>),
}

/// Why a guard cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// A pattern is no regular expression.
    #[error("guard.{field}[{index}] is no regular expression: {message}")]
    Pattern {
        /// `required` or `forbidden`.
        field: &'static str,
        /// Its place in the list.
        index: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A value makes no sense.
    #[error("guard.{field}: {message}")]
    Value {
        /// Which.
        field: &'static str,
        /// What is wrong and what was expected.
        message: String,
    },
}

/// Everything that is wrong with a guard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct InvalidGuard(pub Vec<GuardError>);

/// What a guard looks at.
#[derive(Debug, Clone, Copy, Default)]
pub struct GuardedAnswer<'a> {
    /// The text.
    pub text: &'a str,
    /// Why the model stopped.
    pub finish_reason: Option<&'a str>,
    /// Names of the tools that the model wants called.
    pub called_tools: &'a [String],
    /// Names of the tools that the request offered; absent: not known.
    pub offered_tools: Option<&'a [String]>,
    /// Whether the model marked its answer as a refusal.
    pub is_refusal: bool,
    /// By which rule the text declines to answer, where it does: what the metric `refusal` finds.
    pub declines: Option<&'a str>,
    /// The request's `response_format`, where the manifest has none.
    pub response_format: Option<&'a Value>,
}

impl Guard {
    /// Compiles the patterns. `response_format` is the manifest's: answers must be of its JSON schema, or JSON objects.
    ///
    /// # Errors
    /// Every pattern and language that cannot be compiled. What else makes no sense, [`GuardConfig::problems`] says.
    pub fn compile(config: &GuardConfig, response_format: Option<&Value>) -> Result<Self, InvalidGuard> {
        let mut errors = Vec::new();
        let mut all = |field: &'static str, patterns: &[String]| {
            let mut compiled = Vec::with_capacity(patterns.len());
            for (index, pattern) in patterns.iter().enumerate() {
                match Regex::new(pattern) {
                    Ok(regex) => compiled.push(regex),
                    Err(e) => errors.push(GuardError::Pattern { field, index, message: e.to_string() }),
                }
            }
            compiled
        };
        let (required, forbidden) = (all("required", &config.required), all("forbidden", &config.forbidden));
        let language = config.language.as_deref().map(language::by_code).transpose();
        let language = language.unwrap_or_else(|error| {
            errors.push(error);
            None
        });
        if !errors.is_empty() {
            return Err(InvalidGuard(errors));
        }
        Ok(Self {
            required,
            forbidden,
            language,
            wanted: response_format.filter(|_| config.schema).and_then(wanted),
            config: config.clone(),
        })
    }

    /// Its configuration.
    pub fn config(&self) -> &GuardConfig {
        &self.config
    }

    /// Everything that is wrong with an answer.
    ///
    /// ```
    /// use llmops_domain::soft_failure::{Guard, GuardedAnswer, SoftFailureKind};
    ///
    /// let found = Guard::default().check(GuardedAnswer { text: "  ", ..GuardedAnswer::default() });
    /// assert_eq!(found[0].kind, SoftFailureKind::Empty);
    /// ```
    pub fn check(&self, answer: GuardedAnswer<'_>) -> Vec<SoftFailure> {
        let mut found = Vec::new();
        let mut add = |kind, detail: String| found.push(SoftFailure { kind, detail });
        let config = &self.config;
        let text = answer.text.trim();
        if text.chars().all(is_invisible) {
            // A tool call without text is an answer.
            if config.empty && answer.called_tools.is_empty() {
                add(SoftFailureKind::Empty, "no text and no tool call".to_owned());
            }
        } else {
            self.check_text(text, &mut add);
            self.check_schema(text, answer.response_format, &mut add);
        }
        if config.refusal {
            if answer.is_refusal || matches!(answer.finish_reason, Some("content_filter" | "refusal")) {
                add(SoftFailureKind::Refusal, "declined by the model or its provider".to_owned());
            } else if let Some(rule) = answer.declines {
                add(SoftFailureKind::Refusal, format!("declines to answer: {rule}"));
            }
        }
        if config.truncated && matches!(answer.finish_reason, Some("length" | "max_tokens")) {
            add(SoftFailureKind::Truncated, "stopped at the token limit".to_owned());
        }
        if let Some(offered) = answer.offered_tools.filter(|_| config.unknown_tool) {
            for name in answer.called_tools.iter().filter(|name| !offered.contains(name)) {
                add(SoftFailureKind::UnknownTool, format!("calls `{name}`, which was not offered"));
            }
        }
        found
    }

    fn check_text(&self, text: &str, add: &mut impl FnMut(SoftFailureKind, String)) {
        let config = &self.config;
        if config.min_chars.is_some() || config.max_chars.is_some() {
            let chars = text.chars().count();
            if let Some(min) = config.min_chars.filter(|min| chars < *min) {
                add(SoftFailureKind::TooShort, format!("{chars} characters, at least {min} expected"));
            }
            if let Some(max) = config.max_chars.filter(|max| chars > *max) {
                add(SoftFailureKind::TooLong, format!("{chars} characters, at most {max} expected"));
            }
        }
        if config.json
            && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text)
        {
            add(SoftFailureKind::NotJson, error.to_string());
        }
        for pattern in self.required.iter().filter(|pattern| !pattern.is_match(text)) {
            add(SoftFailureKind::RequiredMissing, format!("`{pattern}` does not match"));
        }
        for pattern in self.forbidden.iter().filter(|pattern| pattern.is_match(text)) {
            add(SoftFailureKind::Forbidden, format!("`{pattern}` matches"));
        }
        if config.repetition
            && let Some(words) = loops::looped(text)
        {
            add(SoftFailureKind::Repetition, format!("again and again: {words}"));
        }
        if let Some(wanted) = self.language
            && let Some(found) = language::other_than(wanted, text)
        {
            add(SoftFailureKind::WrongLanguage, format!("looks like {found}, {} expected", wanted.eng_name()));
        }
    }

    fn check_schema(&self, text: &str, asked: Option<&Value>, add: &mut impl FnMut(SoftFailureKind, String)) {
        if !self.config.schema {
            return;
        }
        let asked = if self.wanted.is_some() { None } else { asked.and_then(wanted) };
        let Some(wanted) = self.wanted.as_ref().or(asked.as_ref()) else { return };
        match (serde_json::from_str::<Value>(text), wanted) {
            (Err(_), _) if self.config.json => {}
            (Err(error), _) => add(SoftFailureKind::NotJson, error.to_string()),
            (Ok(Value::Object(_)), Wanted::Object) => {}
            (Ok(_), Wanted::Object) => {
                add(SoftFailureKind::OffSchema, "the answer: a JSON object is wanted".to_owned());
            }
            (Ok(value), Wanted::Schema(schema)) => {
                if let Some(error) = schema.iter_errors(&value).next() {
                    let path = error.instance_path().to_string();
                    let place = if path.is_empty() { "the answer".to_owned() } else { path };
                    add(SoftFailureKind::OffSchema, format!("{place}: {error}"));
                }
            }
        }
    }
}

/// What OpenAI's `response_format` wants, where it wants JSON and its schema can be read.
fn wanted(response_format: &Value) -> Option<Wanted> {
    if response_format["type"] == "json_object" {
        return Some(Wanted::Object);
    }
    let schema = jsonschema::validator_for(response_format.pointer("/json_schema/schema")?).ok()?;
    Some(Wanted::Schema(std::sync::Arc::new(schema)))
}

/// Whether a character shows nothing: white space, controls, and what joins, breaks or turns the text around it.
fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(config: &GuardConfig, answer: GuardedAnswer<'_>) -> Vec<SoftFailureKind> {
        Guard::compile(config, None).unwrap().check(answer).into_iter().map(|f| f.kind).collect()
    }

    fn text(text: &str) -> GuardedAnswer<'_> {
        GuardedAnswer { text, ..GuardedAnswer::default() }
    }

    #[test]
    fn by_default() {
        let check = |answer, expected: &[SoftFailureKind]| assert_eq!(kinds(&GuardConfig::default(), answer), expected);
        check(text("Delivery is free."), &[]);
        check(text(" \n"), &[SoftFailureKind::Empty]);
        let called = ["search".to_owned()];
        check(GuardedAnswer { called_tools: &called, ..text("") }, &[]);
        check(GuardedAnswer { called_tools: &called, offered_tools: Some(&called), ..text("") }, &[]);
        check(
            GuardedAnswer { called_tools: &called, offered_tools: Some(&[]), ..text("") },
            &[SoftFailureKind::UnknownTool],
        );
        check(GuardedAnswer { finish_reason: Some("length"), ..text("Deliv") }, &[SoftFailureKind::Truncated]);
    }

    #[test]
    fn texts_that_show_nothing_and_texts_that_go_round() {
        let check = |answer: &str, expected: &[SoftFailureKind]| {
            assert_eq!(kinds(&GuardConfig::default(), text(answer)), expected, "{answer:?}");
        };
        for invisible in ['\0', '\u{200b}', '\u{200e}', '\u{200f}', '\u{2060}', '\u{feff}'] {
            check(&format!(" {invisible}{invisible}\n"), &[SoftFailureKind::Empty]);
            check(&format!("{invisible}Yes."), &[]);
        }
        check(&"ha ".repeat(24), &[SoftFailureKind::Repetition]);
    }

    #[test]
    fn by_configuration() {
        let length = GuardConfig { min_chars: Some(3), max_chars: Some(4), ..GuardConfig::default() };
        assert_eq!(kinds(&length, text("né")), [SoftFailureKind::TooShort]);
        assert_eq!(kinds(&length, text("été")), []);
        assert_eq!(kinds(&length, text("étéée")), [SoftFailureKind::TooLong]);
        let json = GuardConfig { json: true, ..GuardConfig::default() };
        assert_eq!(kinds(&json, text(r#"{"a": 1}"#)), []);
        assert_eq!(kinds(&json, text(r#"{"a": 1"#)), [SoftFailureKind::NotJson]);
        let patterns = GuardConfig {
            required: vec!["(?i)source:".to_owned()],
            forbidden: vec!["as an AI".to_owned()],
            ..GuardConfig::default()
        };
        assert_eq!(kinds(&patterns, text("Yes. Source: page 3")), []);
        assert_eq!(
            kinds(&patterns, text("as an AI, yes")),
            [SoftFailureKind::RequiredMissing, SoftFailureKind::Forbidden]
        );
    }

    #[test]
    fn a_wrong_pattern_is_named() {
        let config = GuardConfig { forbidden: vec!["ok".to_owned(), "(".to_owned()], ..GuardConfig::default() };
        let error = Guard::compile(&config, None).unwrap_err().to_string();
        assert!(error.starts_with("guard.forbidden[1] is no regular expression"), "{error}");
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let config = GuardConfig {
            required: vec!["[".to_owned()],
            forbidden: vec!["(".to_owned()],
            language: Some("xx".to_owned()),
            min_chars: Some(10),
            max_chars: Some(5),
            ..GuardConfig::default()
        };
        let problems: Vec<String> = config.problems().iter().map(ToString::to_string).collect();
        for (problem, begin) in
            problems.iter().zip(["guard.min_chars: ", "guard.required[0] ", "guard.forbidden[0] ", "guard.language: "])
        {
            assert!(problem.starts_with(begin), "{problem}");
        }
        assert_eq!(problems.len(), 4);
        assert_eq!(GuardConfig::default().problems(), []);
    }

    #[test]
    fn refusals() {
        let declined = GuardedAnswer { declines: Some("unable to help"), ..text("I can't help with that.") };
        assert_eq!(Guard::default().check(declined)[0].detail, "declines to answer: unable to help");
        assert_eq!(kinds(&GuardConfig { refusal: false, ..GuardConfig::default() }, declined), []);
        let marked = GuardedAnswer { is_refusal: true, ..declined };
        assert_eq!(kinds(&GuardConfig::default(), marked), [SoftFailureKind::Refusal]);
        let filtered = GuardedAnswer { finish_reason: Some("content_filter"), ..text("Well") };
        assert_eq!(kinds(&GuardConfig::default(), filtered), [SoftFailureKind::Refusal]);
    }

    #[test]
    fn schemas() {
        let format = serde_json::json!({"type": "json_schema", "json_schema": {"schema": {
            "type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}}});
        let check = |manifest: Option<&Value>, asked: Option<&Value>, answer: &str, expected: &[SoftFailureKind]| {
            let guard = Guard::compile(&GuardConfig::default(), manifest).unwrap();
            let found = guard.check(GuardedAnswer { response_format: asked, ..text(answer) });
            assert_eq!(found.into_iter().map(|f| f.kind).collect::<Vec<_>>(), expected, "{answer}");
        };
        for (manifest, asked) in [(Some(&format), None), (None, Some(&format))] {
            check(manifest, asked, r#"{"a": 1}"#, &[]);
            check(manifest, asked, r#"{"a": "x"}"#, &[SoftFailureKind::OffSchema]);
            check(manifest, asked, "{}", &[SoftFailureKind::OffSchema]);
            check(manifest, asked, "{", &[SoftFailureKind::NotJson]);
        }
        check(None, None, "{", &[]);
        let object = serde_json::json!({"type": "json_object"});
        for (manifest, asked) in [(Some(&object), None), (None, Some(&object)), (Some(&object), Some(&format))] {
            check(manifest, asked, r#"{"b": 1}"#, &[]);
            check(manifest, asked, "not json", &[SoftFailureKind::NotJson]);
            check(manifest, asked, "[1]", &[SoftFailureKind::OffSchema]);
        }
        check(None, Some(&serde_json::json!({"type": "text"})), "not json", &[]);
        let off = GuardConfig { schema: false, ..GuardConfig::default() };
        assert_eq!(kinds(&off, GuardedAnswer { response_format: Some(&object), ..text("not json") }), []);
    }

    #[test]
    fn languages() {
        let config = GuardConfig { language: Some("de".to_owned()), ..GuardConfig::default() };
        let english =
            "Your parcel left the warehouse on Monday and will arrive within three working days at your door.";
        let german = "Ihr Paket hat das Lager am Montag verlassen und kommt innerhalb von drei Werktagen bei Ihnen an.";
        assert_eq!(kinds(&config, text(english)), [SoftFailureKind::WrongLanguage]);
        assert_eq!(kinds(&config, text(german)), []);
        assert_eq!(kinds(&config, text("OK!")), [], "too short to tell");
        for code in ["DE", "de-AT", "de_CH", "deu", "pt-BR", "ka", "hy", "mk", "te", "af", "eo"] {
            let config = GuardConfig { language: Some(code.to_owned()), ..GuardConfig::default() };
            let expected: &[_] =
                if code.to_lowercase().starts_with("de") { &[] } else { &[SoftFailureKind::WrongLanguage] };
            assert_eq!(kinds(&config, text(german)), expected, "{code}");
        }
        let unknown = GuardConfig { language: Some("xx".to_owned()), ..GuardConfig::default() };
        assert!(Guard::compile(&unknown, None).unwrap_err().to_string().contains("guard.language"));
    }
}
