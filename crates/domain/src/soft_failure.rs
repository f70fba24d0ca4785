//! Soft failures: calls that succeeded by protocol and failed by content.
//!
//! [`check`] is a pure function from an answer to what is wrong with it. It is cheap: it runs on every answer of the
//! gateway, after the caller has it.

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is wrong with the content of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SoftFailure {
    /// Which check found it.
    pub kind: SoftFailureKind,
    /// What was seen, in a few words.
    pub detail: String,
}

/// The checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
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
}

/// Which answers count as soft failures. Without any key, empty and truncated answers, loops and unknown tools do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a check of its own, switched on or off in a file")]
pub struct GuardConfig {
    /// An answer without text and without tool calls.
    pub empty: bool,
    /// An answer that ended at the token limit.
    pub truncated: bool,
    /// The same eight words three times in a row, or more.
    pub repetition: bool,
    /// A call of a tool that the request does not offer.
    pub unknown_tool: bool,
    /// Fewest characters of an answer that has text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_chars: Option<usize>,
    /// Most characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_chars: Option<usize>,
    /// The answer must be JSON.
    pub json: bool,
    /// Regular expressions of which each must match.
    #[schemars(length(max = 32))]
    pub required: Vec<String>,
    /// Regular expressions of which none may match.
    #[schemars(length(max = 32))]
    pub forbidden: Vec<String>,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            empty: true,
            truncated: true,
            repetition: true,
            unknown_tool: true,
            min_chars: None,
            max_chars: None,
            json: false,
            required: Vec::new(),
            forbidden: Vec::new(),
        }
    }
}

/// A guard, compiled once and used on every answer.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    config: GuardConfig,
    required: Vec<Regex>,
    forbidden: Vec<Regex>,
}

/// A pattern that is no regular expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("guard.{field}[{index}] is no regular expression: {message}")]
pub struct GuardError {
    /// `required` or `forbidden`.
    pub field: &'static str,
    /// Its place in the list.
    pub index: usize,
    /// What is wrong with it.
    pub message: String,
}

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
}

/// Words of a loop.
const LOOP_WORDS: usize = 8;
/// Times that the words stand in a row.
const LOOP_TIMES: usize = 3;

impl Guard {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// The first pattern that is no regular expression.
    pub fn compile(config: &GuardConfig) -> Result<Self, GuardError> {
        let all = |field: &'static str, patterns: &[String]| {
            let one = |(index, pattern): (usize, &String)| {
                Regex::new(pattern).map_err(|e| GuardError { field, index, message: e.to_string() })
            };
            patterns.iter().enumerate().map(one).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            required: all("required", &config.required)?,
            forbidden: all("forbidden", &config.forbidden)?,
            config: config.clone(),
        })
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
        if text.is_empty() {
            // A tool call without text is an answer.
            if config.empty && answer.called_tools.is_empty() {
                add(SoftFailureKind::Empty, "no text and no tool call".to_owned());
            }
        } else {
            self.check_text(text, &mut add);
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
            && let Some(words) = looped(text)
        {
            add(SoftFailureKind::Repetition, format!("again and again: {words}"));
        }
    }
}

/// The [`LOOP_WORDS`] words that stand [`LOOP_TIMES`] times in a row.
fn looped(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let span = LOOP_WORDS * LOOP_TIMES;
    if words.len() < span {
        return None;
    }
    let repeats = |window: &[&str]| window[LOOP_WORDS..].iter().zip(window).all(|(later, earlier)| later == earlier);
    let window = words.windows(span).find(|window| repeats(window))?;
    Some(window[..LOOP_WORDS].join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(config: &GuardConfig, answer: GuardedAnswer<'_>) -> Vec<SoftFailureKind> {
        Guard::compile(config).unwrap().check(answer).into_iter().map(|f| f.kind).collect()
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
    fn loops() {
        let check = |words: &str, times: usize, expected: &[SoftFailureKind]| {
            assert_eq!(kinds(&GuardConfig::default(), text(&words.repeat(times))), expected, "{words} × {times}");
        };
        check("I am sorry but I cannot do that, ", 3, &[SoftFailureKind::Repetition]);
        check("I am sorry but I cannot do that, ", 2, &[]);
        check("ha ", 24, &[SoftFailureKind::Repetition]);
        check("ha ", 23, &[]);
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
        let error = Guard::compile(&config).unwrap_err();
        assert_eq!((error.field, error.index), ("forbidden", 1));
    }
}
