//! Scripts: JSONL files of inputs and the answers to them.

use std::collections::HashMap;
use std::fmt::Write as _;

use llmops_domain::chat::{ChatRequest, FunctionCall, ToolCall};
use serde::Deserialize;
use serde_json::Value;

use super::containment::ContainmentIndex;

/// Errors that are shown of one script.
const MAX_SHOWN: usize = 20;

/// The answers of a simulator, by input.
#[derive(Debug, Default)]
pub struct Script {
    lines: Vec<Line>,
    inputs: ContainmentIndex,
    /// The lines of each input, in the order of the file.
    by_input: Vec<Vec<usize>>,
}

/// What a line of a script answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) answer: String,
    pub(super) tool_calls: Vec<ToolCall>,
    when_prompt_contains: Option<String>,
    model: Option<String>,
}

/// Everything that is wrong with a script, one problem a line: `answers.jsonl:3: …`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScriptError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLine {
    input: String,
    #[serde(default)]
    answer: Option<String>,
    #[serde(default)]
    when_prompt_contains: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    tool_calls: Vec<RawToolCall>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToolCall {
    name: String,
    #[serde(default)]
    arguments: Value,
}

impl Script {
    /// Reads a script. `name` stands for the file in messages.
    ///
    /// A line is `{"input": …, "answer": …}`. With `when_prompt_contains` it applies only where that text occurs in one
    /// of the messages, the system message included; with `model` only for that model. Several lines may share an input:
    /// the first that applies answers. `tool_calls` is a list of `{"name": …, "arguments": {…}}`, with or without an
    /// `answer`. Blank lines are skipped.
    ///
    /// # Errors
    /// All lines that cannot be read, that have a blank input, or that can never apply because an earlier line with the
    /// same input always does.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScriptError> {
        let mut problems = Vec::new();
        let mut lines: Vec<Line> = Vec::new();
        let mut grouped: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
        for (number, raw) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            if raw.trim().is_empty() {
                continue;
            }
            match read_line(raw) {
                Ok((input, line)) => {
                    let group = grouped.entry(input).or_default();
                    let covering = group.iter().find(|(_, earlier)| lines[*earlier].covers(&line));
                    if let Some((earlier, _)) = covering {
                        problems.push(format!("{name}:{number}: never used: line {earlier} answers the same input"));
                    }
                    group.push((number, lines.len()));
                    lines.push(line);
                }
                Err(problem) => problems.push(format!("{name}:{number}: {problem}")),
            }
        }
        if !problems.is_empty() {
            return Err(ScriptError(shown(&problems)));
        }
        let mut sorted: Vec<(String, Vec<(usize, usize)>)> = grouped.into_iter().collect();
        sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let by_input = sorted.iter().map(|(_, group)| group.iter().map(|(_, line)| *line).collect()).collect();
        let texts = sorted.into_iter().map(|(input, _)| input.into_boxed_str()).collect();
        Ok(Self { lines, inputs: ContainmentIndex::new(texts), by_input })
    }

    /// The line that answers `request`: its input is the last user message, else the longest that is contained in it.
    pub(super) fn find(&self, request: &ChatRequest, message: &str) -> Option<&Line> {
        let applicable = |input: usize| {
            self.by_input[input].iter().map(|line| &self.lines[*line]).find(|line| line.applies(request))
        };
        self.inputs.exact(message).and_then(applicable).or_else(|| self.inputs.longest(message, applicable))
    }

    /// All lines, in the order of the file.
    pub(super) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The models that lines name, sorted.
    pub(super) fn models(&self) -> Vec<&str> {
        let mut models: Vec<&str> = self.lines.iter().filter_map(|line| line.model.as_deref()).collect();
        models.sort_unstable();
        models.dedup();
        models
    }
}

impl Line {
    fn applies(&self, request: &ChatRequest) -> bool {
        self.model.as_ref().is_none_or(|model| *model == request.model)
            && self
                .when_prompt_contains
                .as_ref()
                .is_none_or(|text| request.messages.iter().any(|message| message.as_text().contains(text.as_str())))
    }

    /// Whether this line applies wherever `later` does, as far as that can be seen without a request.
    fn covers(&self, later: &Self) -> bool {
        let at_least = |own: &Option<String>, other: &Option<String>| own.is_none() || own == other;
        at_least(&self.when_prompt_contains, &later.when_prompt_contains) && at_least(&self.model, &later.model)
    }
}

fn read_line(raw: &str) -> Result<(String, Line), String> {
    let raw: RawLine = serde_json::from_str(raw).map_err(|error| {
        // The line in the file is known; serde's own count would always say line 1.
        let text = error.to_string();
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
        let kind = if error.is_data() { "" } else { "not JSON: " };
        format!("{kind}{what} (column {}); expected {{\"input\": …, \"answer\": …}}", error.column())
    })?;
    if raw.input.trim().is_empty() {
        return Err("`input` is blank".to_owned());
    }
    if raw.answer.is_none() && raw.tool_calls.is_empty() {
        return Err("missing field `answer` (or `tool_calls`)".to_owned());
    }
    let tool_calls = raw.tool_calls.into_iter().enumerate().map(|(i, call)| tool_call(i, call)).collect();
    let line = Line {
        answer: raw.answer.unwrap_or_default(),
        tool_calls,
        when_prompt_contains: raw.when_prompt_contains,
        model: raw.model,
    };
    Ok((raw.input, line))
}

fn tool_call(index: usize, call: RawToolCall) -> ToolCall {
    let arguments = match call.arguments {
        Value::Null => "{}".to_owned(),
        // A text stays as it is written: so arguments that are no JSON can be simulated.
        Value::String(text) => text,
        other => other.to_string(),
    };
    ToolCall {
        id: format!("call_{index}"),
        kind: "function".to_owned(),
        function: FunctionCall { name: call.name, arguments },
    }
}

fn shown(problems: &[String]) -> String {
    let mut text = problems[..problems.len().min(MAX_SHOWN)].join("\n");
    if problems.len() > MAX_SHOWN {
        let _ = write!(text, "\n… and {} more", problems.len() - MAX_SHOWN);
    }
    text
}

#[cfg(test)]
mod tests {
    use llmops_domain::chat::Role;

    use super::*;
    use crate::test_support::{conversation, user};

    const SCRIPT: &str = r#"
{"input": "What is a refund?", "answer": "Money back.", "when_prompt_contains": "terse"}
{"input": "What is a refund?", "answer": "You get your money back.", "model": "large"}
{"input": "What is a refund?", "answer": "A refund returns your money."}
{"input": "refund", "answer": "See our refund page."}
{"input": "weather", "tool_calls": [{"name": "get_weather", "arguments": {"city": "Oslo"}}]}
"#;

    fn answer(model: &str, system: &str, user: &str) -> Option<String> {
        let script = Script::parse("s.jsonl", SCRIPT).unwrap();
        let request = conversation(model, &[(Role::System, system), (Role::User, user)]);
        script.find(&request, user).map(|line| line.answer.clone())
    }

    #[test]
    fn the_first_line_that_applies_answers() {
        let check = |model, system, user, expected: Option<&str>| {
            assert_eq!(answer(model, system, user).as_deref(), expected, "{model} {system} {user}");
        };
        check("small", "", "What is a refund?", Some("A refund returns your money."));
        check("large", "", "What is a refund?", Some("You get your money back."));
        check("large", "Be terse.", "What is a refund?", Some("Money back."));
        check("small", "", "Please: What is a refund? Thanks", Some("A refund returns your money."));
        check("small", "", "a refund, now", Some("See our refund page."));
        check("small", "", "hello", None);
        check("small", "", "the weather", Some(""));
    }

    #[test]
    fn all_problems_at_once() {
        let script = "{\"input\": \"a\", \"answer\": \"b\"}\n{\"input\": \"a\", \"answer\": \"c\", \"model\": \"m\"}\n\
                      {\"input\": \" \", \"answer\": \"c\"}\n{\"input\": \"x\"}\n{\"inptu\": \"x\"}\nnonsense\n";
        insta::assert_snapshot!(Script::parse("s.jsonl", script).unwrap_err(), @r#"
        s.jsonl:2: never used: line 1 answers the same input
        s.jsonl:3: `input` is blank
        s.jsonl:4: missing field `answer` (or `tool_calls`)
        s.jsonl:5: unknown field `inptu`, expected one of `input`, `answer`, `when_prompt_contains`, `model`, `tool_calls` (column 8); expected {"input": …, "answer": …}
        s.jsonl:6: not JSON: expected ident (column 2); expected {"input": …, "answer": …}
        "#);
    }

    #[test]
    fn a_hundred_thousand_lines() {
        let line = |i| format!("{{\"input\": \"What is the meaning of number {i}?\", \"answer\": \"{i}\"}}");
        let text = (0..100_000).map(line).collect::<Vec<_>>().join("\n");
        let script = Script::parse("s.jsonl", &text).unwrap();
        let message = "Context: nothing. What is the meaning of number 77123? Answer briefly.";
        assert_eq!(script.find(&user(message), message).unwrap().answer, "77123");
    }
}
