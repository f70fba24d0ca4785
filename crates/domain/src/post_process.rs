//! Steps applied to an answer before it is scored or returned.

use std::borrow::Cow;

use regex::Regex;
use serde_json::Value;

use crate::json_path::{JsonPath, JsonPathError};
use crate::prompt::PostProcessing;
use crate::soft_failure::{SoftFailure, SoftFailureKind};

/// The steps of a manifest, compiled once.
#[derive(Debug, Clone, Default)]
pub struct PostProcessor(Vec<Step>);

#[derive(Debug, Clone)]
enum Step {
    Trim,
    StripFences,
    JsonPath { path: JsonPath, text: String },
    Regex(Regex),
}

/// A step that cannot be compiled.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StepError {
    /// No regular expression.
    #[error("`{pattern}` is no regular expression: {source}")]
    Regex {
        /// The text.
        pattern: String,
        /// What is wrong.
        source: regex::Error,
    },
    /// No path.
    #[error(transparent)]
    JsonPath(#[from] JsonPathError),
}

/// An answer that a step does not fit. The answer counts as errored: nothing is made up in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostProcessError {
    /// `json_path` met an answer that is no JSON.
    #[error("json_path {path}: the answer is no JSON: {problem}")]
    NoJson {
        /// The path.
        path: String,
        /// Where JSON ends to be JSON.
        problem: String,
    },
    /// `json_path` leads nowhere in this answer.
    #[error("json_path {path}: the answer has no such value")]
    NoValue {
        /// The path.
        path: String,
    },
    /// `regex` matches nowhere in this answer.
    #[error("regex {pattern}: no match in the answer")]
    NoMatch {
        /// The expression.
        pattern: String,
    },
}

impl PostProcessError {
    /// What a record says of such an answer.
    pub fn soft_failure(&self) -> SoftFailure {
        let kind = match self {
            Self::NoJson { .. } => SoftFailureKind::NotJson,
            Self::NoValue { .. } => SoftFailureKind::OffSchema,
            Self::NoMatch { .. } => SoftFailureKind::RequiredMissing,
        };
        SoftFailure { kind, detail: format!("post_processing: {self}") }
    }
}

impl PostProcessor {
    /// Compiles the steps.
    ///
    /// # Errors
    /// Each step that is no valid path or expression, with its position.
    pub fn compile(steps: &[PostProcessing]) -> Result<Self, Vec<(usize, StepError)>> {
        let (mut compiled, mut errors) = (Vec::with_capacity(steps.len()), Vec::new());
        for (i, step) in steps.iter().enumerate() {
            match Step::compile(step) {
                Ok(step) => compiled.push(step),
                Err(error) => errors.push((i, error)),
            }
        }
        if errors.is_empty() { Ok(Self(compiled)) } else { Err(errors) }
    }

    /// Whether there are no steps.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Applies all steps in order. Without steps the answer is borrowed as it is.
    ///
    /// # Errors
    /// When the answer does not fit a step.
    pub fn apply<'a>(&self, answer: &'a str) -> Result<Cow<'a, str>, PostProcessError> {
        self.0.iter().try_fold(Cow::Borrowed(answer), |text, step| {
            Ok(match text {
                Cow::Borrowed(text) => step.apply(text)?,
                Cow::Owned(text) => Cow::Owned(step.apply(&text)?.into_owned()),
            })
        })
    }
}

impl Step {
    fn compile(step: &PostProcessing) -> Result<Self, StepError> {
        Ok(match step {
            PostProcessing::Trim => Self::Trim,
            PostProcessing::StripFences => Self::StripFences,
            PostProcessing::JsonPath(path) => Self::JsonPath { path: path.parse()?, text: path.clone() },
            PostProcessing::Regex(pattern) => match Regex::new(pattern) {
                Ok(regex) => Self::Regex(regex),
                Err(source) => return Err(StepError::Regex { pattern: pattern.clone(), source }),
            },
        })
    }

    fn apply<'a>(&self, text: &'a str) -> Result<Cow<'a, str>, PostProcessError> {
        match self {
            Self::Trim => Ok(text.trim().into()),
            Self::StripFences => Ok(strip_fences(text).into()),
            Self::JsonPath { path, text: path_text } => take_json(text, path, path_text).map(Cow::Owned),
            Self::Regex(regex) => {
                let no_match = || PostProcessError::NoMatch { pattern: regex.as_str().to_owned() };
                let captures = regex.captures(text).ok_or_else(no_match)?;
                // The first group that took part, else the whole match.
                let group = captures.iter().skip(1).flatten().next().or_else(|| captures.get(0));
                Ok(group.map_or("", |m| m.as_str()).into())
            }
        }
    }
}

/// Takes a value out of JSON text: a string as its text, anything else as JSON.
fn take_json(text: &str, path: &JsonPath, path_text: &str) -> Result<String, PostProcessError> {
    let document: Value = serde_json::from_str(text)
        .map_err(|e| PostProcessError::NoJson { path: path_text.to_owned(), problem: e.to_string() })?;
    match path.select(&document) {
        None => Err(PostProcessError::NoValue { path: path_text.to_owned() }),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Ok(other.to_string()),
    }
}

/// Removes a Markdown code fence around the whole text, and the white space around that; any other text is answered as
/// it is. The fence must be closed by the last line and by no line before: two code blocks are not one. Blocks inside,
/// opened by a fence with a language, are kept.
pub fn strip_fences(text: &str) -> &str {
    let trimmed = text.trim();
    let Some((first, rest)) = trimmed.split_once('\n') else { return text };
    let Some(open) = fence(first) else { return text };
    let mut depth = 1_usize;
    let mut offset = 0;
    for line in rest.split_inclusive('\n') {
        let is_last = offset + line.len() == rest.len();
        match fence(line) {
            Some(inner) if !inner.info.is_empty() => depth += 1,
            Some(inner) if inner.mark == open.mark && (depth > 1 || inner.width >= open.width) => {
                depth -= 1;
                if depth == 0 {
                    let inside = rest[..offset].strip_suffix('\n').unwrap_or(&rest[..offset]);
                    return if is_last { inside.strip_suffix('\r').unwrap_or(inside) } else { text };
                }
            }
            _ => {}
        }
        offset += line.len();
    }
    text
}

struct Fence<'a> {
    mark: char,
    width: usize,
    info: &'a str,
}

/// Reads a line that opens or closes a fenced block: three or more backticks or tildes, then perhaps a language.
fn fence(line: &str) -> Option<Fence<'_>> {
    let line = line.trim();
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let info = line.trim_start_matches(mark);
    let width = line.len() - info.len();
    let info = info.trim();
    (width >= 3 && !info.contains(mark)).then_some(Fence { mark, width, info })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(steps: &[PostProcessing], answer: &str) -> String {
        let compiled = match PostProcessor::compile(steps) {
            Ok(compiled) => compiled,
            Err(errors) => return errors.iter().map(|(i, e)| format!("step {i}: {e}")).collect::<Vec<_>>().join("\n"),
        };
        compiled.apply(answer).map_or_else(|e| format!("error: {e}"), Cow::into_owned)
    }

    #[track_caller]
    fn fences(answer: &str, expected: &str) {
        assert_eq!(strip_fences(answer), expected, "{answer}");
    }

    #[test]
    fn a_fence_around_everything_is_removed() {
        fences("```json\n{\"a\": 1}\n```", "{\"a\": 1}");
        fences("  \n```\nx\n\ny\n```\n\n", "x\n\ny");
        fences("```\r\nx\r\n```\r\n", "x");
        fences("~~~~ py\n~~~\nx\n~~~~", "~~~\nx");
        fences("````md\n```js\nx\n```\n````", "```js\nx\n```");
        fences("```md\n```js\nx\n```\n```", "```js\nx\n```");
        fences("```\n```", "");
    }

    #[test]
    fn other_texts_keep_their_fences() {
        for text in [
            "",
            " plain ",
            "```",
            "```json\n{\"a\": 1}",
            "Here:\n```\nx\n```",
            "```\nx\n```\nand\n```\ny\n```",
            "```\nx\n```\ntail",
            "```x``` inline\n```",
            "``\nx\n``",
        ] {
            fences(text, text);
        }
    }

    #[test]
    fn steps_apply_in_order() {
        use PostProcessing::{JsonPath, Regex, StripFences, Trim};
        let path = |p: &str| JsonPath(p.to_owned());
        let regex = |p: &str| Regex(p.to_owned());
        let fenced = " ```json\n{\"answer\": \" 42 \", \"n\": [1.50]}\n``` ";
        assert_eq!(run(&[], " x "), " x ");
        assert_eq!(run(&[StripFences, path("$.answer"), Trim], fenced), "42");
        assert_eq!(run(&[StripFences, path("$.n")], fenced), "[1.5]");
        assert_eq!(run(&[regex("Answer: (.*)")], "So.\nAnswer: yes\nBye"), "yes");
        assert_eq!(run(&[regex("[0-9]+")], "a 12 b 34"), "12");
        assert_eq!(run(&[regex("(x)|(y)|z")], "y"), "y");
        assert_eq!(run(&[regex("(x)?")], "q"), "");
    }

    #[test]
    fn answers_that_do_not_fit_are_errors() {
        use PostProcessing::{JsonPath, Regex};
        let json = JsonPath("$.a".into());
        insta::assert_snapshot!(run(std::slice::from_ref(&json), "no json"), @"error: json_path $.a: the answer is no JSON: expected ident at line 1 column 2");
        insta::assert_snapshot!(run(std::slice::from_ref(&json), "{\"b\": 1}"), @"error: json_path $.a: the answer has no such value");
        insta::assert_snapshot!(run(&[json], &"[".repeat(100_000)), @"error: json_path $.a: the answer is no JSON: recursion limit exceeded at line 1 column 128");
        insta::assert_snapshot!(run(&[Regex("x+".into())], "y"), @"error: regex x+: no match in the answer");
        insta::assert_snapshot!(run(&[JsonPath("a".into()), Regex("(".into())], "y"), @r#"
        step 0: `a` is no JSON path: it must begin with `$`; write one like `$.answer`, `$.items[0].text` or `$['a name']`
        step 1: `(` is no regular expression: regex parse error:
            (
            ^
        error: unclosed group
        "#);
    }

    proptest::proptest! {
        #[test]
        fn stripping_never_panics_and_only_removes(text in "(```|~~~|\n|\r|js| |\\PC){0,30}") {
            proptest::prop_assert!(text.contains(strip_fences(&text)));
        }
    }
}
