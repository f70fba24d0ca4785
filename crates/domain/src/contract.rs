//! What a change of a prompt means to those who call it: the next semantic version.
//!
//! * **major**: callers must change something. A variable is removed, newly required (a default satisfies a
//!   requirement), or of another type; its validation is new or changed, so that values that were accepted may be
//!   refused; the response format differs.
//! * **minor**: callers may change something, or the answers come about differently: a new optional variable, a
//!   requirement or validation lifted, another default, model, parameters, tools or post-processing.
//! * **patch**: wording only: content, messages, system, examples, descriptions of variables.
//!
//! Versions below 1.0.0 are counted the same way.

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::prompt::{PromptBody, PromptVersion, Validation, Variable};

/// The version of a prompt that has none yet.
pub const FIRST_VERSION: Version = Version::new(1, 0, 0);

/// Which part of a version a change raises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Bump {
    /// Nothing: the bodies are equal.
    None,
    /// Wording.
    Patch,
    /// More than wording, but no caller must change.
    Minor,
    /// Callers must change.
    Major,
}

impl Bump {
    /// The version raised by this; pre-release and build parts do not carry over.
    pub fn apply(self, version: &Version) -> Version {
        let Version { major, minor, patch, .. } = *version;
        match self {
            Self::None => version.clone(),
            Self::Patch => Version::new(major, minor, patch.saturating_add(1)),
            Self::Minor => Version::new(major, minor.saturating_add(1), 0),
            Self::Major => Version::new(major.saturating_add(1), 0, 0),
        }
    }
}

/// The version that follows, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NextVersion {
    /// The part that is raised.
    pub bump: Bump,
    /// The version; the old one where nothing differs.
    #[schema(value_type = String, example = "2.0.0")]
    pub version: Version,
    /// What differs and asks for that bump, one short sentence each; lesser differences are left out.
    pub reasons: Vec<String>,
}

/// Decides the version of a changed prompt. Pre-release and build parts of the old version do not carry over.
pub fn next_version(old: &PromptVersion, new: &PromptBody) -> NextVersion {
    let mut changes = variable_changes(&old.body.variables, &new.variables);
    changes.extend(config_changes(&old.body, new));
    let bump = changes.iter().map(|(bump, _)| *bump).max().unwrap_or(Bump::None);
    let reasons = changes.into_iter().filter(|(b, _)| *b == bump).map(|(_, reason)| reason).collect();
    NextVersion { bump, version: bump.apply(&old.version), reasons }
}

fn config_changes(old: &PromptBody, new: &PromptBody) -> Vec<(Bump, String)> {
    let checks = [
        (Bump::Major, "the response format", old.response_format != new.response_format),
        (Bump::Minor, "the model", old.model != new.model),
        (Bump::Minor, "the parameters", old.parameters != new.parameters),
        (Bump::Minor, "the tools", old.tools != new.tools),
        (Bump::Minor, "the post-processing", old.post_processing != new.post_processing),
        (Bump::Patch, "the text", (&old.content, &old.messages) != (&new.content, &new.messages)),
        (Bump::Patch, "the system message", old.system != new.system),
        (Bump::Patch, "the examples", old.examples != new.examples),
    ];
    checks.into_iter().filter(|check| check.2).map(|(bump, what, _)| (bump, format!("{what} changed"))).collect()
}

fn variable_changes(old: &[Variable], new: &[Variable]) -> Vec<(Bump, String)> {
    let mut changes = Vec::new();
    for before in old {
        match new.iter().find(|v| v.name == before.name) {
            None => changes.push((Bump::Major, format!("variable `{}` was removed", before.name))),
            Some(after) => changes.extend(variable_change(before, after)),
        }
    }
    for added in new.iter().filter(|v| old.iter().all(|o| o.name != v.name)) {
        changes.push(if must_be_given(added) {
            (Bump::Major, format!("variable `{}` is new and required", added.name))
        } else {
            (Bump::Minor, format!("variable `{}` is new and optional", added.name))
        });
    }
    let order = |variables: &[Variable]| variables.iter().map(|v| v.name.clone()).collect::<Vec<_>>();
    if changes.is_empty() && order(old) != order(new) {
        changes.push((Bump::Patch, "the order of the variables changed".to_owned()));
    }
    changes
}

/// Whether callers must give a value.
fn must_be_given(variable: &Variable) -> bool {
    variable.required && variable.default.as_ref().is_none_or(serde_json::Value::is_null)
}

fn variable_change(before: &Variable, after: &Variable) -> Vec<(Bump, String)> {
    let (kind_before, kind_after) = (type_name(before), type_name(after));
    let (must_before, must_after) = (must_be_given(before), must_be_given(after));
    let validation = validation_change(before.validation.as_ref(), after.validation.as_ref());
    let checks = [
        (Bump::Major, kind_before != kind_after, format!("has type {kind_after} instead of {kind_before}")),
        (Bump::Major, must_after && !must_before, "is now required".to_owned()),
        (Bump::Minor, must_before && !must_after, "is now optional".to_owned()),
        (Bump::Minor, !must_before && !must_after && before.default != after.default, "has another default".to_owned()),
        (Bump::Major, validation == Bump::Major, "may refuse values that it accepted".to_owned()),
        (Bump::Minor, validation == Bump::Minor, "accepts more values".to_owned()),
        // Wording, or a difference without effect such as `required` beside a default.
        (Bump::Patch, before != after, "is described differently".to_owned()),
    ];
    checks
        .into_iter()
        .filter(|c| c.1)
        .map(|(bump, _, what)| (bump, format!("variable `{}` {what}", after.name)))
        .collect()
}

fn type_name(variable: &Variable) -> String {
    format!("{:?}", variable.kind).to_lowercase()
}

fn validation_change(before: Option<&Validation>, after: Option<&Validation>) -> Bump {
    match (before, after) {
        (before, after) if before == after => Bump::None,
        (Some(_), None) => Bump::Minor,
        (Some(Validation::Enum(old)), Some(Validation::Enum(new))) if old.iter().all(|v| new.contains(v)) => {
            Bump::Minor
        }
        _ => Bump::Major,
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "helpers take `json!` values as they are written")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn body(value: &Value) -> PromptBody {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn version(version: &str, value: &Value) -> PromptVersion {
        let body = body(value);
        let hash = body.hash().unwrap();
        serde_json::from_value(json!({
            "name": "p", "version": version, "hash": hash, "created_at": "2026-11-03T15:40:52Z", "content": "",
        }))
        .map(|v: PromptVersion| PromptVersion { body, ..v })
        .unwrap()
    }

    #[track_caller]
    fn check(old: Value, new: Value, bump: Bump, reasons: &str) {
        let next = next_version(&version("1.2.3", &old), &body(&new));
        assert_eq!((next.bump, next.reasons.join("; ").as_str()), (bump, reasons));
        let expected = ["1.2.3", "1.2.4", "1.3.0", "2.0.0"][bump as usize];
        assert_eq!(next.version.to_string(), expected);
    }

    #[track_caller]
    fn variable(old: Value, new: Value, bump: Bump, reasons: &str) {
        let with_name = |mut v: Value| {
            v["name"] = json!("x");
            json!({"content": "{{x}}", "variables": [v]})
        };
        check(with_name(old), with_name(new), bump, reasons);
    }

    #[test]
    fn wording_is_a_patch() {
        check(json!({"content": "a"}), json!({"content": "a"}), Bump::None, "");
        check(json!({"content": "a"}), json!({"content": "b"}), Bump::Patch, "the text changed");
        check(json!({"system": "a"}), json!({"system": null}), Bump::Patch, "the system message changed");
        check(
            json!({"content": "a"}),
            json!({"messages": [{"role": "user", "content": "a"}], "examples": [{"input": "", "output": ""}]}),
            Bump::Patch,
            "the text changed; the examples changed",
        );
        variable(json!({}), json!({"description": "d"}), Bump::Patch, "variable `x` is described differently");
        variable(
            json!({"default": "a"}),
            json!({"default": "a", "required": true}),
            Bump::Patch,
            "variable `x` is described differently",
        );
        let pair = |a: &str, b: &str| json!({"variables": [{"name": a}, {"name": b}]});
        check(pair("a", "b"), pair("b", "a"), Bump::Patch, "the order of the variables changed");
    }

    #[test]
    fn what_callers_may_use_is_minor() {
        check(json!({}), json!({"model": "a/b", "content": "x"}), Bump::Minor, "the model changed");
        check(json!({}), json!({"parameters": {"temperature": 0.0}}), Bump::Minor, "the parameters changed");
        check(
            json!({}),
            json!({"tools": [{}], "post_processing": ["trim"]}),
            Bump::Minor,
            "the tools changed; the post-processing changed",
        );
        let optional = json!({"variables": [{"name": "x", "required": true, "default": "d"}]});
        check(json!({}), optional, Bump::Minor, "variable `x` is new and optional");
        variable(json!({"required": true}), json!({}), Bump::Minor, "variable `x` is now optional");
        variable(json!({"default": "a"}), json!({"default": "b"}), Bump::Minor, "variable `x` has another default");
        variable(json!({"validation": "a"}), json!({}), Bump::Minor, "variable `x` accepts more values");
        variable(
            json!({"validation": ["a"]}),
            json!({"validation": ["b", "a"]}),
            Bump::Minor,
            "variable `x` accepts more values",
        );
    }

    #[test]
    fn what_callers_must_follow_is_major() {
        check(json!({"variables": [{"name": "x"}]}), json!({"model": "a/b"}), Bump::Major, "variable `x` was removed");
        let required = json!({"variables": [{"name": "x", "required": true}]});
        check(json!({}), required, Bump::Major, "variable `x` is new and required");
        check(
            json!({}),
            json!({"response_format": {"type": "json_object"}}),
            Bump::Major,
            "the response format changed",
        );
        variable(json!({}), json!({"required": true}), Bump::Major, "variable `x` is now required");
        variable(
            json!({"required": true, "default": 1}),
            json!({"required": true}),
            Bump::Major,
            "variable `x` is now required",
        );
        variable(json!({}), json!({"type": "int"}), Bump::Major, "variable `x` has type int instead of string");
        variable(
            json!({"validation": ["a", "b"]}),
            json!({"validation": ["a"]}),
            Bump::Major,
            "variable `x` may refuse values that it accepted",
        );
        variable(
            json!({}),
            json!({"validation": "a+"}),
            Bump::Major,
            "variable `x` may refuse values that it accepted",
        );
    }

    #[test]
    fn versions_below_one_and_pre_releases_count_the_same() {
        let next = |old: &str, new: Value| {
            next_version(&version(old, &json!({"content": "a"})), &body(&new)).version.to_string()
        };
        assert_eq!(next("0.1.0", json!({"response_format": {}})), "1.0.0");
        assert_eq!(next("0.1.0", json!({"content": "b"})), "0.1.1");
        assert_eq!(next("1.2.0-rc.1+build", json!({"content": "b"})), "1.2.1");
        assert_eq!(next("1.2.0-rc.1+build", json!({"content": "a"})), "1.2.0-rc.1+build");
    }
}
