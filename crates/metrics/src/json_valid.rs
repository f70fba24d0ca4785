//! Whether the answer is JSON.

use serde::de::IgnoredAny;

use crate::score::indicator;

/// What may surround the JSON.
///
/// ```
/// use llmops_metrics::json_valid::{Wrapping, json_valid};
///
/// assert_eq!(json_valid("```json\n{}\n```", Wrapping::Fence), 1.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wrapping {
    /// Nothing but whitespace.
    #[default]
    None,
    /// One Markdown code fence, with or without a language name, may enclose the JSON; text outside it is refused.
    Fence,
}

/// `1.0` when the candidate is exactly one JSON value (RFC 8259), else `0.0`.
///
/// The empty text is not JSON. Values nested deeper than 128 levels count as invalid, so that hostile input cannot
/// exhaust the stack.
///
/// ```
/// use llmops_metrics::json_valid::{json_valid, Wrapping};
///
/// assert_eq!(json_valid(r#"{"a": 1}"#, Wrapping::None), 1.0);
/// assert_eq!(json_valid("{'a': 1}", Wrapping::None), 0.0);
/// assert_eq!(json_valid("```json\n[1]\n```", Wrapping::Fence), 1.0);
/// assert_eq!(json_valid("```json\n[1]\n```", Wrapping::None), 0.0);
/// ```
pub fn json_valid(candidate: &str, wrapping: Wrapping) -> f64 {
    indicator(serde_json::from_str::<IgnoredAny>(unwrap_json(candidate, wrapping)).is_ok())
}

/// The text inside the Markdown fence that encloses the candidate, or the candidate itself, without whitespace around.
///
/// A fence is a first line of at least three backticks or tildes, optionally followed by a language name, and a last
/// line of the same marks, at least as many.
///
/// ```
/// use llmops_metrics::json_valid::{unwrap_json, Wrapping};
///
/// assert_eq!(unwrap_json("```json\n{}\n```\n", Wrapping::Fence), "{}");
/// assert_eq!(unwrap_json(" {} ", Wrapping::Fence), "{}");
/// ```
pub fn unwrap_json(candidate: &str, wrapping: Wrapping) -> &str {
    let trimmed = candidate.trim();
    match wrapping {
        Wrapping::None => trimmed,
        Wrapping::Fence => inside_fence(trimmed).unwrap_or(trimmed),
    }
}

fn inside_fence(text: &str) -> Option<&str> {
    let mark = text.chars().next().filter(|first| matches!(first, '`' | '~'))?;
    let width = text.len() - text.trim_start_matches(mark).len();
    let (info, body) = text.get(width..)?.split_once('\n')?;
    if width < 3 || info.contains(mark) {
        return None;
    }
    let closed = body.trim_end_matches(mark);
    let at_line_start = closed.is_empty() || closed.trim_end_matches([' ', '\t']).ends_with('\n');
    (body.len() - closed.len() >= width && at_line_start).then(|| closed.trim())
}
