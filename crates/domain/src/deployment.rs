//! A deployment: a named pointer to a manifest, one an environment, with its whole history. Rolling back moves the
//! pointer; nothing is built or copied.
//!
//! The history is a list of changes that only grows. What a rollback goes back to is decided by it alone
//! ([`rollback_target`]), so that every replica and every replay decides alike.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::canary::LiveCanary;
use crate::config::duration::HumanDuration;
use crate::hash::ContentHash;
use crate::id::ProjectId;
use crate::limits::Limits;
use crate::manifest::Manifest;
use crate::prompt::PromptBody;
use crate::record::BodyPolicy;
use crate::soft_failure::{GuardAction, GuardConfig};

/// The environment of a deployment that names none.
pub const DEFAULT_ENVIRONMENT: &str = "production";

/// A named pointer to a manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Deployment {
    /// The name that applications give as `model`.
    pub name: String,
    /// `production`, `staging` …
    pub environment: String,
    /// The manifest that answers.
    pub manifest: ContentHash,
    /// Number of the last change, from 1.
    pub revision: u64,
    /// Whether the safe mode answers instead of the manifest.
    pub safe_mode: bool,
    /// How calls are handled.
    #[serde(default)]
    pub settings: DeploymentSettings,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Who changed it last.
    #[serde(default)]
    pub updated_by: Option<String>,
}

/// A deployment and everything that a gateway needs to answer for it.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveDeployment {
    /// Whose it is.
    pub project: ProjectId,
    /// The pointer and its settings.
    pub deployment: Deployment,
    /// What answers: the manifest it points to, or that of its safe mode.
    pub manifest: Manifest,
    /// The hash of that manifest.
    pub manifest_id: ContentHash,
    /// The body of the manifest's prompt.
    pub prompt: Option<PromptBody>,
    /// The fixed answer of its safe mode, where that is on and names no manifest.
    pub fixed_answer: Option<String>,
    /// What answers in the variants of its experiment, in their order; empty without one, and in safe mode.
    pub variants: Vec<LiveVariant>,
    /// The candidate that answers the same traffic, unseen or seen by a share of users.
    pub canary: Option<LiveCanary>,
}

/// What answers in one variant of a deployment's experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveVariant {
    /// The variant's id.
    pub variant: String,
    /// What answers; the deployment's own manifest where the variant names nothing.
    pub manifest: Manifest,
    /// Its hash.
    pub manifest_id: ContentHash,
    /// The body of its prompt.
    pub prompt: Option<PromptBody>,
}

/// Which of the places that host a deployment's model is asked first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Choose {
    /// The manifest's, then the fallbacks as they are listed.
    #[default]
    Listed,
    /// The one that the verifier finds best: healthy ones first, then by score, latency and price.
    Verifier,
}

/// Answers that are kept and given again for equal requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheSettings {
    /// How long an answer is good.
    #[schema(value_type = String)]
    pub ttl: HumanDuration,
    /// Most answers that are kept; the oldest go first.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_answers: u32,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { ttl: HumanDuration::from_secs(3600), max_answers: 10_000 }
    }
}

/// What kind of change a deployment saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentAction {
    /// Another manifest answers.
    Deploy,
    /// An earlier manifest answers again.
    Rollback,
    /// The safe mode answers.
    SafeModeOn,
    /// The manifest answers again.
    SafeModeOff,
    /// Calls are handled in another way.
    Configure,
}

/// One entry of a deployment's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeploymentChange {
    /// Its number, from 1.
    pub revision: u64,
    /// What was done.
    pub action: DeploymentAction,
    /// The manifest before; absent for the first.
    #[serde(default)]
    pub from: Option<ContentHash>,
    /// The manifest afterwards.
    pub to: ContentHash,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who.
    #[serde(default)]
    pub by: Option<String>,
    /// Why, in the words of whoever did it.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What becomes of a system message that the caller sends to a deployment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SystemMerge {
    /// It follows the deployment's own.
    #[default]
    Keep,
    /// It is left out where the deployment has one.
    Replace,
    /// The call is refused.
    Refuse,
}

/// How a deployment's calls are handled: everything that is not part of what decides the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeploymentSettings {
    /// What becomes of a system message that the caller sends: `keep`, `replace` or `refuse`.
    pub merge: SystemMerge,
    /// Request fields in which the caller wins over the manifest, such as `temperature` or `tools`.
    #[schemars(length(max = 64))]
    pub allow_override: Vec<String>,
    /// Where the same model is hosted too, as `provider/model`: tried in this order when the manifest's provider fails
    /// before its first byte. Another model is another manifest.
    #[schemars(length(max = 16))]
    pub fallbacks: Vec<String>,
    /// Which of them is asked first: `listed` or `verifier`.
    pub choose: Choose,
    /// Ask the next one too when there is no first byte after this time, and take what comes first. Absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub hedge_after: Option<HumanDuration>,
    /// How often one provider is asked again before the next one, before its first byte.
    #[schemars(range(max = 10))]
    pub retries: u32,
    /// Longest wait for the first byte of an answer.
    #[schema(value_type = String)]
    pub timeout_first_byte: HumanDuration,
    /// Longest that an answer may take.
    #[schema(value_type = String)]
    pub timeout_total: HumanDuration,
    /// What all callers together may spend.
    pub limits: Limits,
    /// Keeps answers for equal requests; absent: every request is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheSettings>,
    /// The key of the experiment whose variants answer: users, or sessions, are assigned by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
    /// What of the bodies is kept in the records.
    pub bodies: BodyPolicy,
    /// Share of calls whose bodies are kept, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub body_sampling: f64,
    /// Whether user ids are kept as hashes only.
    pub hash_users: bool,
    /// What counts as a soft failure.
    pub guard: GuardConfig,
    /// What answers in safe mode.
    pub safe_mode: SafeMode,
    /// Manifest fields that must be set to be deployed, such as `prompt_version` or `retriever_index_version`.
    #[schemars(length(max = 32))]
    pub required_fields: Vec<String>,
    /// Whether a deployment to `production` needs a passing run of its manifest.
    pub require_gate: bool,
    /// How old that run may be.
    #[schema(value_type = String)]
    pub gate_max_age: HumanDuration,
    /// Whether another manifest answers only when a second key has allowed it.
    pub require_approval: bool,
    /// A schedule that runs at once when another model answers behind an unchanged manifest. Absent: there is only an alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_model_changes: Option<String>,
}

impl DeploymentSettings {
    /// All that makes no sense, whatever the manifest.
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.guard.problems().iter().map(ToString::to_string).collect();
        if let Err(error) = self.limits.all() {
            problems.push(format!("limits.{error}"));
        }
        for (name, time) in [("timeout_first_byte", self.timeout_first_byte), ("timeout_total", self.timeout_total)] {
            if time.0.is_zero() {
                problems.push(format!("{name}: it is 0, in which nobody answers: expected a time such as 60s"));
            }
        }
        if self.hedge_after.is_some_and(|time| time.0.is_zero()) {
            problems.push(
                "hedge_after: it is 0, so that every call would be paid for twice: expected a time such as 2s, or \
                 nothing where one place is enough"
                    .to_owned(),
            );
        }
        if self.guard.actions.contains(&GuardAction::FallBack) && self.fallbacks.is_empty() {
            problems.push("guard.actions: `fall_back` needs `fallbacks` that can be asked".to_owned());
        }
        problems
    }
}

impl Default for DeploymentSettings {
    fn default() -> Self {
        Self {
            merge: SystemMerge::default(),
            allow_override: Vec::new(),
            fallbacks: Vec::new(),
            choose: Choose::default(),
            hedge_after: None,
            retries: 1,
            timeout_first_byte: HumanDuration::from_secs(60),
            timeout_total: HumanDuration::from_secs(600),
            limits: Limits::default(),
            cache: None,
            experiment: None,
            bodies: BodyPolicy::default(),
            body_sampling: 1.0,
            hash_users: false,
            guard: GuardConfig::default(),
            safe_mode: SafeMode::default(),
            required_fields: Vec::new(),
            require_gate: false,
            gate_max_age: HumanDuration::from_secs(7 * 86_400),
            require_approval: false,
            when_model_changes: None,
        }
    }
}

/// What answers when something is wrong and nobody has time to find out what: prepared beforehand, one command.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SafeMode {
    /// A strict manifest, by its hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub manifest: Option<ContentHash>,
    /// A fixed answer, where no manifest is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

impl SafeMode {
    /// Whether there is anything to answer with.
    pub fn is_prepared(&self) -> bool {
        self.manifest.is_some() || self.answer.is_some()
    }
}

/// Why there is nothing to roll back to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RollbackError {
    /// No other manifest was ever live.
    #[error("no other manifest was ever live here")]
    NothingEarlier,
    /// All others were rolled back, or came later: they go by their names. The last one comes first.
    #[error("{live} was live first; what came later is taken by its hash: {}", shorts(.later))]
    OnlyLater {
        /// What is live, in short.
        live: String,
        /// The others.
        later: Vec<ContentHash>,
    },
    /// The named manifest was never live.
    #[error("the manifest {0} was never live here")]
    NeverLive(String),
    /// The beginning of the hash fits several.
    #[error("`{0}` is the beginning of several manifests that were live here")]
    Ambiguous(String),
    /// It is live already.
    #[error("the manifest {0} is live already")]
    AlreadyLive(String),
}

fn shorts(hashes: &[ContentHash]) -> String {
    hashes.iter().map(ContentHash::short).collect::<Vec<_>>().join(", ")
}

/// Every manifest that was live, the last one first: also those that were rolled back, which can be taken again.
pub fn ever_live(history: &[DeploymentChange]) -> Vec<ContentHash> {
    let mut all: Vec<ContentHash> = Vec::new();
    for change in history.iter().rev() {
        let moved = matches!(change.action, DeploymentAction::Deploy | DeploymentAction::Rollback);
        if moved && !all.contains(&change.to) {
            all.push(change.to.clone());
        }
    }
    all
}

/// The manifests that were live, oldest first, as a stack: a deployment lays its manifest on top, a rollback takes
/// away what lies above the one it goes back to. The last is live.
fn live_stack(history: &[DeploymentChange]) -> Vec<ContentHash> {
    let mut stack: Vec<ContentHash> = Vec::new();
    for change in history {
        match change.action {
            DeploymentAction::Deploy if stack.last() != Some(&change.to) => stack.push(change.to.clone()),
            DeploymentAction::Rollback => match stack.iter().rposition(|hash| *hash == change.to) {
                Some(at) => stack.truncate(at + 1),
                None => stack.push(change.to.clone()),
            },
            _ => {}
        }
    }
    stack
}

/// What a rollback goes back to: the manifest that was live before the present one was deployed, or the one named by
/// the beginning of its hash, if it ever was live. Two rollbacks in a row go back two deployments.
///
/// # Errors
/// When there is no such manifest.
pub fn rollback_target(history: &[DeploymentChange], to: Option<&str>) -> Result<ContentHash, RollbackError> {
    let stack = live_stack(history);
    let live = stack.last().ok_or(RollbackError::NothingEarlier)?;
    let Some(prefix) = to else {
        if let Some(below) = stack.iter().rev().find(|hash| *hash != live) {
            return Ok(below.clone());
        }
        let later: Vec<_> = ever_live(history).into_iter().filter(|hash| hash != live).collect();
        if later.is_empty() {
            return Err(RollbackError::NothingEarlier);
        }
        return Err(RollbackError::OnlyLater { live: live.short().to_owned(), later });
    };
    let mut found: Vec<&ContentHash> =
        history.iter().map(|change| &change.to).filter(|hash| hash.as_str().starts_with(prefix)).collect();
    found.sort();
    found.dedup();
    match found[..] {
        [] => Err(RollbackError::NeverLive(prefix.to_owned())),
        [one] if one == live => Err(RollbackError::AlreadyLive(one.short().to_owned())),
        [one] => Ok(one.clone()),
        _ => Err(RollbackError::Ambiguous(prefix.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(name: &str) -> ContentHash {
        ContentHash::of_bytes(name.as_bytes())
    }

    /// `A B -A` reads: deploy A, deploy B, roll back to A. `+`: safe mode on, which moves nothing.
    fn history(text: &str) -> Vec<DeploymentChange> {
        let change = |(i, word): (usize, &str)| {
            let (action, name) = match word.split_at(1) {
                ("-", name) => (DeploymentAction::Rollback, name),
                ("+", name) => (DeploymentAction::SafeModeOn, name),
                _ => (DeploymentAction::Deploy, word),
            };
            let at = Timestamp::UNIX_EPOCH;
            DeploymentChange { revision: i as u64 + 1, action, from: None, to: hash(name), at, by: None, reason: None }
        };
        text.split_whitespace().enumerate().map(change).collect()
    }

    #[track_caller]
    fn check(text: &str, expected: Result<&str, RollbackError>) {
        assert_eq!(rollback_target(&history(text), None), expected.map(hash), "{text}");
    }

    #[test]
    fn all_that_was_live_is_known() {
        let check = |text: &str, expected: &[&str]| {
            let expected: Vec<_> = expected.iter().map(|name| hash(name)).collect();
            assert_eq!(ever_live(&history(text)), expected, "{text}");
        };
        check("", &[]);
        check("A B A", &["A", "B"]);
        check("A B C -A +A", &["A", "C", "B"]);
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let check = |settings: &str, expected: &[&str]| {
            let settings: DeploymentSettings = serde_json::from_str(settings).unwrap();
            let problems = settings.problems();
            assert_eq!(problems.len(), expected.len(), "{problems:?}");
            assert!(problems.iter().zip(expected).all(|(problem, begin)| problem.starts_with(begin)), "{problems:?}");
        };
        check("{}", &[]);
        check(r#"{"timeout_first_byte": "0s"}"#, &["timeout_first_byte: it is 0"]);
        check(r#"{"timeout_total": "0s", "hedge_after": "0s"}"#, &["timeout_total: ", "hedge_after: it is 0"]);
        check(r#"{"guard": {"actions": ["fall_back"]}}"#, &["guard.actions: `fall_back` needs `fallbacks`"]);
        check(r#"{"guard": {"actions": ["fall_back"]}, "fallbacks": ["a/m"]}"#, &[]);
        check(
            r#"{"guard": {"min_chars": 9, "max_chars": 5, "language": "xx"}, "limits": {"cost_per_day": 0}}"#,
            &["guard.min_chars: ", "guard.language: ", "limits.cost_per_day: "],
        );
    }

    #[test]
    fn rollback_goes_back_one_deployment_at_a_time() {
        check("", Err(RollbackError::NothingEarlier));
        check("A", Err(RollbackError::NothingEarlier));
        check("A A", Err(RollbackError::NothingEarlier));
        check("A B", Ok("A"));
        check("A B +B", Ok("A"));
        check("A B C -B", Ok("A"));
        let only_later = |live: &str, later: &[&str]| {
            let later = later.iter().map(|name| hash(name)).collect();
            Err(RollbackError::OnlyLater { live: hash(live).short().to_owned(), later })
        };
        check("A B -A", only_later("A", &["B"]));
        check("A B A C -A -B -A", only_later("A", &["B", "C"]));
        check("A B -A C", Ok("A"));
        check("A B A", Ok("B"));
        check("A B C -A B", Ok("A"));
    }

    #[test]
    fn rollback_to_a_named_manifest() {
        let history = history("A B C");
        let b = hash("B");
        assert_eq!(rollback_target(&history, Some(b.short())), Ok(b));
        let c = hash("C");
        assert_eq!(rollback_target(&history, Some(c.as_str())), Err(RollbackError::AlreadyLive(c.short().to_owned())));
        assert_eq!(rollback_target(&history, Some("0000")), Err(RollbackError::NeverLive("0000".to_owned())));
        assert_eq!(rollback_target(&history, Some("")), Err(RollbackError::Ambiguous(String::new())));
    }

    #[test]
    fn a_named_rollback_to_something_undone_lies_on_top() {
        // B was undone, and comes back by name: the next rollback goes back to A again.
        check("A B -A -B", Ok("A"));
    }
}
