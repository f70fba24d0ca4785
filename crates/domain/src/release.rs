//! A release: one manifest on its way to production, step by step, stopping where a person must decide.
//!
//! [`next_step`] is a pure function from the step and what is known to what happens: go on, or wait, and for what.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::access::Actor;
use crate::approval::is_same;
use crate::canary::{CanaryPolicy, CanaryState, Guardrails};
use crate::hash::ContentHash;
use crate::id::{KeyId, ReleaseId};
use crate::scorecard::format::count;

/// The steps, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseStep {
    /// A run of exactly this manifest passed the gate.
    Gate,
    /// It answers in staging, and its calls there do well.
    Staging,
    /// A tenth of the users in production are answered by it, in an experiment.
    Experiment,
    /// A person allows it; where the deployment asks for a second key, somebody else than who began it.
    Approval,
    /// It answers everybody.
    Production,
}

impl ReleaseStep {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [Self::Gate, Self::Staging, Self::Experiment, Self::Approval, Self::Production];

    /// The name in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Staging => "staging",
            Self::Experiment => "experiment",
            Self::Approval => "approval",
            Self::Production => "production",
        }
    }

    /// The step behind it; nothing behind the last.
    pub fn next(self) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step > self)
    }
}

/// Where a release stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseStatus {
    /// On its way.
    Open,
    /// It answers everybody.
    Released,
    /// Somebody gave it up.
    Cancelled,
}

impl ReleaseStatus {
    /// The name in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Released => "released",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What can happen to a release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseEventKind {
    /// It was begun.
    Begun,
    /// It waits at the step.
    Waits,
    /// The step passed by its evidence.
    Passed,
    /// A person let the step pass without.
    Waived,
    /// A person allowed it.
    Approved,
    /// The candidate did harm among users, and was taken away from them.
    Stopped,
    /// Somebody gave it up.
    Cancelled,
    /// Written before events said what they are: the text does.
    #[default]
    Noted,
}

/// One thing that happened to a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReleaseEvent {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// At which step.
    pub step: ReleaseStep,
    /// What happened.
    #[serde(default)]
    pub kind: ReleaseEventKind,
    /// Who.
    pub by: String,
    /// What is waited for, the evidence, or the reason; may be empty.
    pub text: String,
}

/// Which releases are meant. Everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct ReleaseFilter {
    /// Of this deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// On their way, or not any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<bool>,
    /// Where the page before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items on the page, 1 to 500.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "crate::page::limit")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Release {
    /// Its id.
    pub id: ReleaseId,
    /// The deployment.
    pub deployment: String,
    /// The manifest.
    pub manifest: ContentHash,
    /// Its prompt and model, for people.
    pub label: String,
    /// Where it stands.
    pub status: ReleaseStatus,
    /// The step that it is at.
    pub step: ReleaseStep,
    /// What it waits for, and which command brings that about; absent where nothing is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// What decides the canary of its second step; absent: there is none, and calls that do not fail are enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Box<CanaryPolicy>>,
    /// The canary of its second step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<String>,
    /// The experiment of its third step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
    /// Why llmops took the candidate away from the users of the experiment; absent: it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// The last step that a person let pass without its evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<ReleaseStep>,
    /// Who allowed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// The key that allowed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_key: Option<KeyId>,
    /// The manifest in whose place it was allowed; absent: nothing was live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_over: Option<ContentHash>,
    /// Number of changes so far.
    pub revision: u64,
    /// When it was begun.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Who began it.
    pub created_by: String,
    /// The key that began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_key: Option<KeyId>,
    /// What happened, oldest first.
    pub history: Vec<ReleaseEvent>,
}

/// The variant of a release's experiment that is what is live.
pub const CONTROL: &str = "control";
/// The variant of a release's experiment that is its manifest.
pub const CANDIDATE: &str = "candidate";

/// The release, by whose experiment a call was answered, and whether it was by the candidate: from the call's variant, as its
/// record names it (`experiment/variant`). Nothing for those of other experiments.
pub fn arm_of(variant: &str) -> Option<(ReleaseId, bool)> {
    let (key, variant) = variant.rsplit_once('/')?;
    let id = format!("rel_{}", key.strip_prefix("rel-")?);
    matches!(variant, CONTROL | CANDIDATE).then(|| (ReleaseId(id), variant == CANDIDATE))
}

impl Release {
    /// The key of its experiment.
    pub fn experiment_key(&self) -> String {
        self.id.as_str().replace('_', "-")
    }

    /// What must not become worse for the users of its experiment.
    pub fn guardrails(&self) -> Guardrails {
        self.policy.as_ref().map_or_else(Guardrails::of_a_release, |policy| policy.guardrails.clone())
    }

    /// Takes back what a person allowed, where it does not hold any more, and says why: what is live (`live`) is neither what they
    /// saw nor the manifest itself, or the deployment asks for a second key (`second_key`) by now and they were the first.
    pub fn withdraw(&mut self, live: Option<&ContentHash>, second_key: bool) -> Option<String> {
        let by = self.approved_by.as_ref()?;
        // What it was allowed for is done already where a process ended before it could say so.
        let is_over_another = live != self.approved_over.as_ref() && live != Some(&self.manifest);
        let allowed = Actor { key: self.approved_key.clone(), ..Actor::part(by) };
        let is_alone = second_key && is_same(&self.created_by, self.created_key.as_ref(), &allowed);
        let why = match (is_over_another, is_alone) {
            (true, _) => format!("what is live changed since {by} allowed it"),
            (false, true) => format!("{by} began it, and the deployment asks for a second key by now"),
            (false, false) => return None,
        };
        (self.approved_by, self.approved_key, self.approved_over) = (None, None, None);
        self.step = ReleaseStep::Approval;
        self.waiting = None;
        Some(why)
    }
}

/// What is known when a step is looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// The run by which this manifest passes the gate, where there is one.
    pub passing_run: Option<String>,
    /// Why no run lets it pass, as the end of a sentence.
    pub unpassed: Option<String>,
    /// How the canary in staging stands, where there is one.
    pub canary: Option<CanaryState>,
    /// Calls of the manifest in staging.
    pub staging_calls: u64,
    /// Of these, calls that failed, by protocol or by content.
    pub staging_failures: u64,
    /// The upper end of the 95 % interval of that share.
    pub staging_upper: Option<f64>,
    /// What the experiment concluded; absent while it has not.
    pub winner: Option<Winner>,
    /// What the experiment says, for people.
    pub recommendation: Option<String>,
    /// Requests of users that the candidate answered in the experiment.
    pub exposed_requests: u64,
    /// Why the candidate has lost the experiment beyond chance; absent: it has not.
    pub lost: Option<String>,
    /// Whether nothing is live yet that it could be compared with.
    pub is_first: bool,
    /// Whether somebody else than who began the release has to allow it.
    pub second_key: bool,
    /// What stands in the way of the step's beginning, and how to mend it; absent where it has begun.
    pub blocked: Option<String>,
    /// Whether the experiment ended before the release did: what is live changed below it.
    pub interrupted: bool,
}

/// Who won an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Winner {
    /// The manifest of the release.
    Candidate,
    /// What is live.
    Control,
}

/// Calls in staging before anything is concluded from them.
pub const STAGING_CALLS: u64 = 20;
/// The share of calls that may fail in staging, as the upper end of its interval.
pub const STAGING_LIMIT: f64 = 0.25;
/// The share of users that the experiment answers by the candidate.
pub const EXPERIMENT_SHARE: f64 = 0.1;

/// What happens at a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on, and why.
    Pass(String),
    /// It waits: for what, with the command that brings it about.
    Wait(String),
}

/// The command that evaluates exactly one manifest, and gates that run.
pub fn gate_command(manifest: &ContentHash) -> String {
    format!("llmops eval --manifest {} && llmops gate", manifest.short())
}

/// Decides on the present step of a release.
pub fn next_step(release: &Release, known: &Evidence) -> Verdict {
    let (name, hash) = (&release.deployment, release.manifest.short());
    if release.waived == Some(release.step) {
        return Verdict::Pass("a person let it pass".to_owned());
    }
    if let Some(why) = &known.blocked {
        return Verdict::Wait(why.clone());
    }
    match release.step {
        ReleaseStep::Gate => match &known.passing_run {
            Some(run) => Verdict::Pass(format!("the run {run} passed the gate")),
            None => Verdict::Wait(format!(
                "{} ({hash}) {}: {}, then llmops release {name}",
                release.label,
                known.unpassed.as_deref().unwrap_or("has not passed its gate"),
                gate_command(&release.manifest)
            )),
        },
        ReleaseStep::Staging => match &known.canary {
            Some(state) => canary(name, state),
            None => staging(name, known),
        },
        ReleaseStep::Experiment if known.is_first => {
            Verdict::Pass("nothing is live that it could be compared with".to_owned())
        }
        ReleaseStep::Experiment if release.stopped.is_some() => Verdict::Wait(format!(
            "{}, and nobody gets the candidate any more: llmops release {name} --cancel, or --waive experiment with a reason",
            release.stopped.as_deref().unwrap_or_default()
        )),
        ReleaseStep::Experiment if known.interrupted => Verdict::Wait(format!(
            "what is live changed, and the experiment ended: llmops release {name} --cancel, or --waive experiment with a reason"
        )),
        ReleaseStep::Experiment => match known.winner {
            Some(Winner::Candidate) => Verdict::Pass("the candidate won the experiment".to_owned()),
            Some(Winner::Control) => Verdict::Wait(format!(
                "what is live won the experiment: llmops release {name} --cancel, or --waive experiment with a reason"
            )),
            None => {
                let says = known.recommendation.clone().unwrap_or_else(|| "it has no results yet".to_owned());
                Verdict::Wait(format!(
                    "the experiment has not concluded ({says}); the candidate answered {}, and no guardrail is broken: wait and \
                     run llmops release {name}, or decide: --cancel gives it up, --waive experiment lets it on",
                    count(known.exposed_requests, "request")
                ))
            }
        },
        ReleaseStep::Approval => {
            if let Some(by) = &release.approved_by {
                Verdict::Pass(format!("{by} allowed it"))
            } else {
                let who = if known.second_key {
                    format!("somebody else than {}", release.created_by)
                } else {
                    "a person".to_owned()
                };
                let changed = match &release.stopped {
                    Some(why) => format!("{why}; "),
                    None if known.interrupted => "what is live changed since the experiment; ".to_owned(),
                    None => String::new(),
                };
                Verdict::Wait(format!("{changed}{who} has to allow it: llmops release {name} --approve"))
            }
        }
        ReleaseStep::Production => Verdict::Pass("it answers everybody".to_owned()),
    }
}

fn canary(name: &str, state: &CanaryState) -> Verdict {
    let waits = |how: &str, what: &str| {
        Verdict::Wait(format!(
            "the canary in staging {how}: llmops canary {what} {name} --environment staging, then llmops release {name}"
        ))
    };
    match state {
        CanaryState::Promoted => Verdict::Pass("the canary in staging was promoted".to_owned()),
        CanaryState::Aborted { cause } => Verdict::Wait(format!(
            "the canary in staging was aborted ({}): llmops release {name} --cancel, or --waive staging with a reason",
            cause.describe()
        )),
        CanaryState::AwaitingApproval => waits("has proved itself and waits for a person", "approve"),
        CanaryState::Paused { .. } => waits("is paused", "resume"),
        _ => waits("compares answers", "status"),
    }
}

fn staging(name: &str, known: &Evidence) -> Verdict {
    let (calls, failures) = (known.staging_calls, known.staging_failures);
    if calls < STAGING_CALLS {
        return Verdict::Wait(format!(
            "it answers in staging, and has {calls} of {STAGING_CALLS} calls there: call the model {name}@staging, then llmops \
             release {name}"
        ));
    }
    let upper = known.staging_upper.unwrap_or(1.0);
    if upper <= STAGING_LIMIT {
        return Verdict::Pass(format!("{failures} of {calls} calls failed in staging"));
    }
    Verdict::Wait(format!(
        "{failures} of {calls} calls failed in staging, up to {:.0} % by the 95 % interval, of which {:.0} % are allowed: more \
         calls make it narrower; llmops records query --deployment {name} shows what failed",
        upper * 100.0,
        STAGING_LIMIT * 100.0
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::AbortCause;

    fn at(step: ReleaseStep) -> Release {
        Release {
            id: "rel_1".into(),
            deployment: "bot".to_owned(),
            manifest: ContentHash::of_bytes(b"m"),
            label: "bot@2.0.0 on sim/small".to_owned(),
            status: ReleaseStatus::Open,
            step,
            waiting: None,
            policy: None,
            canary: None,
            experiment: None,
            stopped: None,
            waived: None,
            approved_by: None,
            approved_key: None,
            approved_over: None,
            revision: 1,
            created_at: Timestamp::UNIX_EPOCH,
            created_by: "dana".to_owned(),
            created_key: None,
            history: Vec::new(),
        }
    }

    #[track_caller]
    fn check(release: &Release, known: &Evidence, expected: &str) {
        let found = match next_step(release, known) {
            Verdict::Pass(why) => format!("pass: {why}"),
            Verdict::Wait(why) => format!("wait: {why}"),
        };
        assert!(found.starts_with(expected), "{found}");
    }

    #[test]
    fn each_step_needs_its_evidence() {
        let none = Evidence::default();
        let command = gate_command(&at(ReleaseStep::Gate).manifest);
        let waits = |why: &str| {
            let short = at(ReleaseStep::Gate).manifest.short().to_owned();
            format!("wait: bot@2.0.0 on sim/small ({short}) {why}: {command}, then llmops release bot")
        };
        check(&at(ReleaseStep::Gate), &none, &waits("has not passed its gate"));
        let failed = Evidence { unpassed: Some("failed".to_owned()), ..Evidence::default() };
        check(&at(ReleaseStep::Gate), &failed, &waits("failed"));
        let passed = Evidence { passing_run: Some("run_1".to_owned()), ..Evidence::default() };
        check(&at(ReleaseStep::Gate), &passed, "pass: the run run_1 passed");
        let calls = |calls, failures, upper| Evidence {
            staging_calls: calls,
            staging_failures: failures,
            staging_upper: Some(upper),
            ..Evidence::default()
        };
        check(&at(ReleaseStep::Staging), &calls(19, 0, 0.17), "wait: it answers in staging, and has 19 of 20");
        check(&at(ReleaseStep::Staging), &calls(20, 0, 0.16), "pass: 0 of 20 calls failed");
        check(&at(ReleaseStep::Staging), &calls(20, 5, 0.47), "wait: 5 of 20 calls failed in staging, up to 47 %");
        let canary = |state| Evidence { canary: Some(state), ..Evidence::default() };
        check(&at(ReleaseStep::Staging), &canary(CanaryState::Shadowing), "wait: the canary in staging compares");
        check(
            &at(ReleaseStep::Staging),
            &canary(CanaryState::AwaitingApproval),
            "wait: the canary in staging has proved",
        );
        check(&at(ReleaseStep::Staging), &canary(CanaryState::Promoted), "pass: the canary in staging was promoted");
        let aborted = canary(CanaryState::Aborted { cause: AbortCause::NetLoss });
        check(&at(ReleaseStep::Staging), &aborted, "wait: the canary in staging was aborted (the candidate loses)");
        check(&at(ReleaseStep::Experiment), &none, "wait: the experiment has not concluded (it has no results yet)");
        let first = Evidence { is_first: true, ..Evidence::default() };
        check(&at(ReleaseStep::Experiment), &first, "pass: nothing is live");
        let won = |winner| Evidence { winner: Some(winner), ..Evidence::default() };
        check(&at(ReleaseStep::Experiment), &won(Winner::Candidate), "pass:");
        check(&at(ReleaseStep::Experiment), &won(Winner::Control), "wait: what is live won");
        let worse = "the candidate breaks the guardrail error_rate in the experiment";
        let stopped = |step| Release { stopped: Some(worse.to_owned()), ..at(step) };
        let interrupted = Evidence { interrupted: true, ..won(Winner::Candidate) };
        let ended = "wait: the candidate breaks the guardrail error_rate in the experiment, and nobody gets the candidate any more";
        check(&stopped(ReleaseStep::Experiment), &interrupted, ended);
        let allows = "wait: the candidate breaks the guardrail error_rate in the experiment; a person has to allow it";
        check(&stopped(ReleaseStep::Approval), &interrupted, allows);
        check(&at(ReleaseStep::Experiment), &interrupted, "wait: what is live changed, and the experiment ended");
        check(
            &at(ReleaseStep::Approval),
            &interrupted,
            "wait: what is live changed since the experiment; a person has",
        );
        let blocked = Evidence { blocked: Some("bot is frozen".to_owned()), ..won(Winner::Candidate) };
        check(&at(ReleaseStep::Experiment), &blocked, "wait: bot is frozen");
        check(&at(ReleaseStep::Approval), &none, "wait: a person has to allow it");
        let second = Evidence { second_key: true, ..Evidence::default() };
        check(&at(ReleaseStep::Approval), &second, "wait: somebody else than dana has to allow it");
        let approved = Release { approved_by: Some("ben".to_owned()), ..at(ReleaseStep::Approval) };
        check(&approved, &none, "pass: ben allowed it");
        check(&at(ReleaseStep::Production), &none, "pass:");
    }

    #[test]
    fn what_is_allowed_is_allowed_over_what_is_live() {
        let key = |name: &str| Some(KeyId(name.to_owned()));
        let [one, two] = ["one", "two"].map(|text| ContentHash::of_bytes(text.as_bytes()));
        let approved = |over: Option<&ContentHash>, by: Option<KeyId>| Release {
            approved_by: Some("ben".to_owned()),
            approved_key: by,
            approved_over: over.cloned(),
            created_key: key("dana"),
            ..at(ReleaseStep::Production)
        };
        let check = |mut release: Release, live: Option<&ContentHash>, second_key, expected: Option<&str>| {
            let before = release.clone();
            let why = release.withdraw(live, second_key);
            assert_eq!(why.as_deref(), expected);
            match expected {
                None => assert_eq!(release, before),
                Some(_) => assert_eq!((release.step, release.approved_by), (ReleaseStep::Approval, None)),
            }
        };
        let manifest = at(ReleaseStep::Production).manifest;
        let changed = Some("what is live changed since ben allowed it");
        check(at(ReleaseStep::Production), Some(&one), true, None);
        check(approved(Some(&one), key("ben")), Some(&one), true, None);
        check(approved(Some(&one), key("ben")), Some(&two), false, changed);
        check(approved(Some(&one), key("ben")), None, false, changed);
        check(approved(None, key("ben")), None, true, None);
        check(approved(None, key("ben")), Some(&one), true, changed);
        check(approved(Some(&one), key("ben")), Some(&manifest), true, None);
        let alone = Some("ben began it, and the deployment asks for a second key by now");
        check(approved(Some(&one), key("dana")), Some(&one), false, None);
        check(approved(Some(&one), key("dana")), Some(&one), true, alone);
        let local = |by: &str| Release { created_key: None, created_by: by.to_owned(), ..approved(Some(&one), None) };
        check(local("dana"), Some(&one), true, None);
        check(local("ben"), Some(&one), true, alone);
    }

    #[test]
    fn a_person_may_let_one_step_pass() {
        let waived = Release { waived: Some(ReleaseStep::Staging), ..at(ReleaseStep::Staging) };
        check(&waived, &Evidence::default(), "pass: a person let it pass");
        check(
            &waived,
            &Evidence { blocked: Some("no".to_owned()), ..Evidence::default() },
            "pass: a person let it pass",
        );
        let later = Release { step: ReleaseStep::Experiment, ..waived };
        check(&later, &Evidence::default(), "wait:");
    }

    #[test]
    fn calls_of_a_release_are_known_by_their_variant() {
        let release = at(ReleaseStep::Experiment);
        let check = |variant: &str, expected: Option<bool>| {
            let found = arm_of(&variant.replace("KEY", &release.experiment_key()));
            assert_eq!(found, expected.map(|is_candidate| (release.id.clone(), is_candidate)), "{variant}");
        };
        check("KEY/candidate", Some(true));
        check("KEY/control", Some(false));
        check("KEY/warm", None);
        check("greeting/candidate", None);
        check("KEY", None);
    }

    #[test]
    fn steps_follow_each_other() {
        let walked: Vec<_> = std::iter::successors(Some(ReleaseStep::Gate), |step| step.next()).collect();
        assert_eq!(walked, ReleaseStep::ALL);
    }
}
