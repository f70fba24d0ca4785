//! The options of scorers.

use serde_json::Value;

use super::super::resolve::compile_schema;
use super::Checker;
use crate::scoring::agent::{ConversationSpec, TrajectorySpec};
use crate::scoring::compare::{JsonFieldsSpec, LengthSpec, ListMatchSpec};
use crate::scoring::{BaselineSpec, BertscoreSpec, ScorerSpec};

impl Checker<'_> {
    pub(super) fn options(&mut self, at: &str, scorer: &ScorerSpec) {
        match scorer {
            ScorerSpec::Regex { pattern, .. } => {
                if let Err(error) = regex::Regex::new(pattern) {
                    self.bad_text(&format!("{at}/pattern"), "regular expression", &error.to_string());
                }
            }
            ScorerSpec::JsonSchema { schema: Value::String(path), .. } if path.trim().is_empty() => {
                self.error(&format!("{at}/schema"), "the path is empty", None);
            }
            ScorerSpec::Bertscore(BertscoreSpec { baseline: Some(BaselineSpec::File(path)), .. })
                if path.trim().is_empty() =>
            {
                self.error(&format!("{at}/baseline"), "the path is empty", None);
            }
            ScorerSpec::JsonSchema { schema, .. } if !schema.is_string() => {
                if let Err(error) = compile_schema(schema) {
                    self.bad_text(&format!("{at}/schema"), "JSON Schema", &error);
                }
            }
            ScorerSpec::Contains { values, .. } => {
                if let Some(index) = values.iter().position(String::is_empty) {
                    let hint = Some("every answer contains the empty text".to_owned());
                    self.error(&format!("{at}/values/{index}"), "the text is empty", hint);
                }
            }
            ScorerSpec::Latency { max_ms: Some(limit) } if *limit <= 0.0 => {
                self.error(&format!("{at}/max_ms"), "must be above 0", None);
            }
            ScorerSpec::Cost { max: Some(limit) } if *limit < 0.0 => {
                self.error(&format!("{at}/max"), "must be at least 0", None);
            }
            ScorerSpec::ListMatch(ListMatchSpec { model: Some(_), .. }) if scorer.embedding_model().is_none() => {
                let hint =
                    Some("write `similarity: embeddings` to compare items by it, or leave the model out".to_owned());
                self.error(&format!("{at}/model"), "no model is used by this similarity", hint);
            }
            ScorerSpec::Length(length) => self.length(at, length),
            ScorerSpec::JsonFields(fields) => self.json_fields(at, fields),
            ScorerSpec::Trajectory(trajectory) => self.trajectory(at, trajectory),
            ScorerSpec::Conversation(conversation) => self.conversation(at, conversation),
            ScorerSpec::Command(command) => {
                if command.run.first().is_some_and(|program| program.trim().is_empty()) {
                    self.error(&format!("{at}/run/0"), "the program's name is empty", None);
                }
                self.timeout(at);
            }
            ScorerSpec::Http(http) => {
                self.web_address(&format!("{at}/url"), &http.url);
                self.timeout(at);
            }
            _ => {}
        }
    }

    fn length(&mut self, at: &str, length: &LengthSpec) {
        match (length.min, length.max) {
            (None, None) => self.error(at, "neither `min` nor `max`", Some("every length would do".to_owned())),
            (Some(min), Some(max)) if min > max => {
                self.error(&format!("{at}/min"), format!("{min} is above `max`, which is {max}"), None);
            }
            _ => {}
        }
    }

    fn json_fields(&mut self, at: &str, fields: &JsonFieldsSpec) {
        for (index, pointer) in fields.ignore.iter().enumerate() {
            if !pointer.is_empty() && !pointer.starts_with('/') {
                let at = format!("{at}/ignore/{index}");
                let message = format!("{} is no JSON Pointer", self.document.quote(&at));
                self.error(&at, message, Some("it begins with a slash: /items/0/price".to_owned()));
            }
        }
    }

    fn trajectory(&mut self, at: &str, trajectory: &TrajectorySpec) {
        if trajectory.is_empty() {
            let hint = "give `mode`, `max_calls`, `required`, `forbidden` or `max_repeats`";
            self.error(at, "nothing is checked", Some(hint.to_owned()));
        }
        if trajectory.mode.is_none() && trajectory.calls.is_some() {
            let hint = Some("give a `mode`: strict, unordered, subset or superset".to_owned());
            self.error(&format!("{at}/calls"), "has no effect without `mode`", hint);
        }
        for (index, name) in trajectory.required.iter().enumerate() {
            if trajectory.forbidden.contains(name) {
                let at = format!("{at}/required/{index}");
                let message = format!("{} is forbidden, too", self.document.quote(&at));
                self.error(&at, message, None);
            }
        }
    }

    fn conversation(&mut self, at: &str, conversation: &ConversationSpec) {
        if conversation.is_empty() {
            let hint = "give `min_turns`, `max_turns`, `answered`, `max_similarity`, `mentions` or `forbidden`";
            self.error(at, "nothing is checked", Some(hint.to_owned()));
        }
        if let (Some(min), Some(max)) = (conversation.min_turns, conversation.max_turns)
            && min > max
        {
            self.error(&format!("{at}/min_turns"), format!("{min} is above `max_turns`, which is {max}"), None);
        }
        for (key, texts) in [("mentions", &conversation.mentions), ("forbidden", &conversation.forbidden)] {
            if let Some(index) = texts.iter().position(|text| text.trim().is_empty()) {
                self.error(&format!("{at}/{key}/{index}"), "the text is empty", None);
            }
        }
    }
}
