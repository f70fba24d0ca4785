//! What differs between two versions of a prompt, for people to read.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::chat::{Message, Role};
use crate::prompt::{PromptBody, PromptVersion, Variable};

mod text;

/// Unchanged lines shown around a change.
const CONTEXT_LINES: usize = 3;

/// What differs between two versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PromptDiff {
    /// The older version, as `NAME@VERSION`.
    pub from: String,
    /// The newer version.
    pub to: String,
    /// Whether the bodies are equal, hash for hash.
    pub identical: bool,
    /// System message, messages and content as one text, each under a line `[role]`: the parts that differ.
    pub text: Vec<Hunk>,
    /// Variables added, removed and changed.
    pub variables: Vec<VariableDiff>,
    /// Model, parameters, response format, tools, examples, post-processing: what differs.
    pub config: Vec<ConfigDiff>,
}

/// A stretch of changed lines with some unchanged ones around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Hunk {
    /// Where it stands, as in unified diffs: `@@ -1,4 +1,5 @@`.
    pub header: String,
    /// Its lines.
    pub lines: Vec<DiffLine>,
}

/// One line of a hunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DiffLine {
    /// Whether it is in both versions or in one.
    pub kind: LineKind,
    /// The line in pieces, without its line feed.
    pub parts: Vec<DiffPart>,
}

/// Where a line is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LineKind {
    /// In both.
    Same,
    /// In the older version only.
    Removed,
    /// In the newer version only.
    Added,
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DiffPart {
    /// The text.
    pub text: String,
    /// Whether these words are what makes the line differ from its counterpart.
    pub changed: bool,
}

/// A variable that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VariableDiff {
    /// Its name.
    pub name: String,
    /// How it was declared; null where it is new.
    pub before: Option<Variable>,
    /// How it is declared; null where it was removed.
    pub after: Option<Variable>,
}

/// A setting that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ConfigDiff {
    /// The setting: `model`, `parameters.temperature`, `tools` …
    pub field: String,
    /// Its value before; null where it had none.
    pub before: Value,
    /// Its value after.
    pub after: Value,
}

/// Compares two versions.
pub fn diff(old: &PromptVersion, new: &PromptVersion) -> PromptDiff {
    PromptDiff {
        from: format!("{}@{}", old.name, old.version),
        to: format!("{}@{}", new.name, new.version),
        identical: old.body == new.body,
        text: hunks(&conversation(&old.body), &conversation(&new.body)),
        variables: variables(&old.body.variables, &new.body.variables),
        config: config(&old.body, &new.body),
    }
}

/// The texts of a prompt as one: `[role]` before each message. Content is a user message.
fn conversation(body: &PromptBody) -> String {
    let mut text = String::new();
    let mut push = |role: Role, name: Option<&str>, content: &str| {
        let name = name.map(|n| format!(" {n}")).unwrap_or_default();
        text.extend(["[", role.as_str(), &name, "]\n", content, "\n"]);
    };
    if let Some(system) = &body.system {
        push(Role::System, None, system);
    }
    for message in &body.messages {
        push(message.role, message.name.as_deref(), &message_text(message));
    }
    if let Some(content) = &body.content {
        push(Role::User, None, content);
    }
    text
}

/// The text of a message; content parts and tool calls as indented JSON.
fn message_text(message: &Message) -> String {
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
    let mut text = match &message.content {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        parts => pretty(parts),
    };
    if !message.tool_calls.is_empty() {
        text.push_str(&pretty(&serde_json::to_value(&message.tool_calls).unwrap_or_default()));
    }
    text
}

fn hunks(old: &str, new: &str) -> Vec<Hunk> {
    let diff = TextDiff::from_lines(old, new);
    let mut unified = diff.unified_diff();
    let hunk = |hunk: similar::udiff::UnifiedDiffHunk<'_, '_, '_, str>| Hunk {
        header: hunk.header().to_string(),
        // Without a deadline, so that equal inputs always come to equal answers.
        lines: hunk.ops().iter().flat_map(|op| diff.iter_inline_changes_deadline(op, None)).map(|c| line(&c)).collect(),
    };
    unified.context_radius(CONTEXT_LINES).iter_hunks().map(hunk).collect()
}

fn line(change: &similar::InlineChange<'_, str>) -> DiffLine {
    let kind = match change.tag() {
        ChangeTag::Equal => LineKind::Same,
        ChangeTag::Delete => LineKind::Removed,
        ChangeTag::Insert => LineKind::Added,
    };
    let part =
        |(changed, text): &(bool, &str)| DiffPart { text: text.trim_end_matches('\n').to_owned(), changed: *changed };
    DiffLine { kind, parts: change.values().iter().map(part).filter(|p| !p.text.is_empty()).collect() }
}

fn variables(old: &[Variable], new: &[Variable]) -> Vec<VariableDiff> {
    let removed_or_changed = old.iter().filter_map(|before| {
        let after = new.iter().find(|v| v.name == before.name);
        (after != Some(before)).then(|| (before.name.clone(), Some(before.clone()), after.cloned()))
    });
    let added = new
        .iter()
        .filter(|after| old.iter().all(|v| v.name != after.name))
        .map(|after| (after.name.clone(), None, Some(after.clone())));
    removed_or_changed.chain(added).map(|(name, before, after)| VariableDiff { name, before, after }).collect()
}

fn config(old: &PromptBody, new: &PromptBody) -> Vec<ConfigDiff> {
    let (before, after) = (settings(old), settings(new));
    let mut names: Vec<&String> = before.iter().chain(&after).map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    let value =
        |of: &[(String, Value)], name: &str| of.iter().find(|s| s.0 == name).map_or(Value::Null, |s| s.1.clone());
    names
        .into_iter()
        .map(|name| ConfigDiff { field: name.clone(), before: value(&before, name), after: value(&after, name) })
        .filter(|change| change.before != change.after)
        .collect()
}

/// Everything that is not text or variable, parameters one by one. What is not set is left out.
fn settings(body: &PromptBody) -> Vec<(String, Value)> {
    let mut settings = Vec::new();
    let mut whole = serde_json::to_value(body).unwrap_or_default();
    for field in ["model", "response_format", "tools", "examples", "post_processing"] {
        settings.extend(whole.get_mut(field).map(|value| (field.to_owned(), value.take())));
    }
    if let Some(parameters) = whole.get("parameters").and_then(Value::as_object) {
        settings.extend(parameters.iter().map(|(name, value)| (format!("parameters.{name}"), value.clone())));
    }
    settings
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "helpers take `json!` values as they are written")]
mod tests;
