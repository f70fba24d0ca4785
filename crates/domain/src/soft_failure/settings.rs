//! What a deployment's guard looks for, and what is done about it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Guard, GuardError, InvalidGuard, SoftFailureKind};
use crate::config::duration::HumanDuration;

/// Which answers count as soft failures. Without any key, empty and truncated answers, refusals, loops, unknown tools and
/// answers off the wanted JSON schema do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a check of its own, switched on or off in a file")]
pub struct GuardConfig {
    /// An answer without text and without tool calls.
    pub empty: bool,
    /// An answer that ended at the token limit.
    pub truncated: bool,
    /// The same one to 256 words again and again: three times, and 24 words, in a row or more. Where a script has no
    /// spaces, up to 512 characters, and 96 in all.
    pub repetition: bool,
    /// A call of a tool that the request does not offer.
    pub unknown_tool: bool,
    /// An answer that declines in its first sentences, as the metric `refusal` finds it, or that the provider's filter ended.
    pub refusal: bool,
    /// An answer that is not of the JSON schema in the manifest's `response_format`, or else in the caller's; or no JSON object
    /// where that is `json_object`.
    pub schema: bool,
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
    /// The language that answers are in: `en`, `de`, `pt-BR` … Regions are not told apart, and short answers not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// An endpoint of your own that looks at answers, after the caller has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// A model that looks at some of the answers, after the caller has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeCheck>,
    /// What is done about a soft failure, one after the other until an answer passes: `retry`, `fall_back`, `replace`. Only
    /// answers that are not streamed can be acted on; the answer says what was done in `x-llmops-guard`.
    #[schemars(length(max = 3))]
    pub actions: Vec<GuardAction>,
    /// The checks that are acted on; empty: all but `http` and `judge`, which come too late.
    #[schemars(length(max = 16))]
    pub act_on: Vec<SoftFailureKind>,
    /// What `replace` answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safe_answer: Option<String>,
    /// When somebody is told.
    pub alert: GuardAlert,
}

/// What is done about a soft failure before the caller has the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GuardAction {
    /// The same model is asked once more.
    Retry,
    /// The next of the deployment's fallbacks is asked.
    FallBack,
    /// The prepared safe answer is given.
    Replace,
}

/// An endpoint that looks at answers. It gets `{"deployment", "input", "output"}` and answers `{"ok": false, "detail":
/// "…"}` or `{"ok": true}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpCheck {
    /// Where.
    pub url: String,
    /// Share of answers that are looked at, from 0 to 1.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sampling: f64,
    /// Longest wait for its word.
    #[serde(default = "patience")]
    #[schema(value_type = String)]
    pub timeout: HumanDuration,
}

/// A model that looks at some of the answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JudgeCheck {
    /// The model, as `provider/model`.
    pub model: String,
    /// Share of answers that it looks at, from 0 to 1.
    #[serde(default = "few")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sampling: f64,
    /// What it looks for, in a sentence.
    #[serde(default = "criterion")]
    pub criterion: String,
    /// Least score, 0 to 1, of an answer that passes.
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub threshold: f64,
}

/// When soft failures raise an alert: the rate in the window, with its 95 % interval wholly above `rate`; or a rate that
/// left what it was in the windows before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GuardAlert {
    /// The rate that is too high, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub rate: f64,
    /// Calls of this time are looked at.
    #[schema(value_type = String)]
    pub window: HumanDuration,
    /// Fewest calls that say anything.
    #[schemars(range(min = 1))]
    pub min_calls: u64,
    /// Whether a change of the rate raises an alert, too.
    pub drift: bool,
}

fn one() -> f64 {
    1.0
}

fn few() -> f64 {
    0.01
}

fn half() -> f64 {
    0.5
}

fn patience() -> HumanDuration {
    HumanDuration::from_secs(5)
}

fn criterion() -> String {
    "The answer is helpful, correct and polite.".to_owned()
}

impl Default for GuardAlert {
    fn default() -> Self {
        Self { rate: 0.05, window: HumanDuration::from_secs(3600), min_calls: 50, drift: true }
    }
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            empty: true,
            truncated: true,
            repetition: true,
            unknown_tool: true,
            refusal: true,
            schema: true,
            min_chars: None,
            max_chars: None,
            json: false,
            required: Vec::new(),
            forbidden: Vec::new(),
            language: None,
            http: None,
            judge: None,
            actions: Vec::new(),
            act_on: Vec::new(),
            safe_answer: None,
            alert: GuardAlert::default(),
        }
    }
}

impl GuardConfig {
    /// Whether something is done about a soft failure of this kind.
    pub fn acts_on(&self, kind: SoftFailureKind) -> bool {
        !self.actions.is_empty() && (self.act_on.is_empty() || self.act_on.contains(&kind))
    }

    /// All that makes no sense.
    pub fn problems(&self) -> Vec<GuardError> {
        let mut problems = self.wrong_values();
        if let Err(InvalidGuard(errors)) = Guard::compile(self, None) {
            problems.extend(errors);
        }
        problems
    }

    fn wrong_values(&self) -> Vec<GuardError> {
        let mut problems = Vec::new();
        let mut refuse = |field, message: String| problems.push(GuardError::Value { field, message });
        if self.actions.contains(&GuardAction::Replace) && self.safe_answer.as_deref().is_none_or(str::is_empty) {
            refuse("safe_answer", "`replace` needs the answer that is given instead".to_owned());
        }
        if self.act_on.iter().any(|kind| matches!(kind, SoftFailureKind::HttpCheck | SoftFailureKind::Judge)) {
            refuse("act_on", "`http_check` and `judge` look at answers that the caller has already".to_owned());
        }
        if let (Some(min), Some(max)) = (self.min_chars, self.max_chars)
            && min > max
        {
            refuse("min_chars", format!("no answer has at least {min} and at most {max} characters (`max_chars`)"));
        }
        let share = |share: f64| (0.0..=1.0).contains(&share);
        if !share(self.alert.rate) || self.alert.window.0.is_zero() {
            refuse("alert", "the rate lies between 0 and 1, and the window is longer than 0".to_owned());
        }
        if self.http.as_ref().is_some_and(|check| !share(check.sampling) || check.timeout.0.is_zero()) {
            refuse("http", "the sampling lies between 0 and 1, and the timeout is longer than 0".to_owned());
        }
        if self.judge.as_ref().is_some_and(|check| !share(check.sampling) || !share(check.threshold)) {
            refuse("judge", "sampling and threshold lie between 0 and 1".to_owned());
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(yaml: &str, expected: Result<(), &str>) {
        let config: GuardConfig = serde_json::from_value(serde_json::from_str(yaml).unwrap()).unwrap();
        let found = config.problems();
        match expected {
            Ok(()) => assert_eq!(found, [], "{yaml}"),
            Err(part) => {
                assert!(found.len() == 1 && found[0].to_string().contains(part), "{yaml}: {found:?}");
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        check("{}", Ok(()));
        check(r#"{"actions": ["retry", "replace"], "safe_answer": "Please call us."}"#, Ok(()));
        check(r#"{"actions": ["replace"]}"#, Err("guard.safe_answer"));
        check(r#"{"act_on": ["judge"]}"#, Err("guard.act_on"));
        check(r#"{"min_chars": 5, "max_chars": 5}"#, Ok(()));
        check(r#"{"min_chars": 6, "max_chars": 5}"#, Err("guard.min_chars"));
        check(r#"{"language": "tlh"}"#, Err("guard.language"));
        check(r#"{"alert": {"rate": 1.5}}"#, Err("guard.alert"));
        check(r#"{"judge": {"model": "a/b", "threshold": 2}}"#, Err("guard.judge"));
        check(r#"{"http": {"url": "http://x/", "timeout": "0s"}}"#, Err("guard.http"));
    }

    #[test]
    fn what_is_acted_on() {
        let all = GuardConfig { actions: vec![GuardAction::Retry], ..GuardConfig::default() };
        assert!(all.acts_on(SoftFailureKind::Empty));
        let some = GuardConfig { act_on: vec![SoftFailureKind::Refusal], ..all };
        assert!(some.acts_on(SoftFailureKind::Refusal) && !some.acts_on(SoftFailureKind::Empty));
        assert!(!GuardConfig::default().acts_on(SoftFailureKind::Empty));
    }
}
