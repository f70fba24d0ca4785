//! The policy of a canary: what a person decides before the first pair is seen.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use super::share::{Share, ShareError};
use crate::config::duration::HumanDuration;
use crate::yaml::{Document, Problem, Schema, validate_value};

/// What a canary's decisions follow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CanaryPolicy {
    /// Share of requests that the candidate answers too, by the hash of the request.
    #[serde(default = "share")]
    #[schema(value_type = f64)]
    pub share: Share,
    /// How long it takes at least, and at most.
    #[serde(default)]
    pub window: Window,
    /// Fewest judged pairs before the candidate is promoted.
    #[serde(default = "min_samples")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub min_samples: u64,
    /// Who compares the answers.
    pub judge: CanaryJudge,
    /// When a warning is raised.
    #[serde(default)]
    pub warn: WarnRule,
    /// When the candidate is promoted.
    #[serde(default)]
    pub promote: PromoteRule,
    /// When it is aborted.
    #[serde(default)]
    pub abort: AbortRule,
    /// What must not become worse, whatever the judge prefers.
    #[serde(default)]
    pub guardrails: Guardrails,
    /// What candidate and judge may cost.
    #[serde(default)]
    pub budget: CanaryBudget,
    /// What becomes of prompts and answers.
    #[serde(default)]
    pub bodies: BodyHandling,
    /// Shares of users that see the candidate's answers after it has proved itself unseen, rising. 1 is the promotion
    /// itself. Empty: it is promoted at once.
    #[serde(default)]
    #[schemars(length(max = 20))]
    #[schema(value_type = Vec<f64>)]
    pub stages: Vec<Share>,
    /// How long users are exposed at each stage before the next.
    #[serde(default)]
    pub stage: StageRule,
    /// How requests are chosen.
    #[serde(default)]
    pub routing: Routing,
    /// Requests that are left out unless allowed here.
    #[serde(default)]
    pub allow: AllowRule,
    /// The dataset that lost pairs flow into; needs `bodies: keep`. Absent: `NAME-lost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub losses: Option<String>,
}

/// The length of a canary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Window {
    /// Nothing is promoted before; a week shows every day of the week.
    #[schema(value_type = String)]
    pub min: HumanDuration,
    /// What has not proved itself by then is aborted.
    #[schema(value_type = String)]
    pub max: HumanDuration,
}

/// Who compares the answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CanaryJudge {
    /// The judging model, as `provider/model`.
    #[schemars(length(min = 3))]
    pub model: String,
    /// Whether each pair is shown in both orders, so that a judge who prefers the first or second place decides nothing.
    /// False: in one order, drawn by the pair's hash, at half the price.
    #[serde(default = "yes")]
    pub both_orders: bool,
    /// The judge's prompt: `NAME`, `NAME@VERSION` or `NAME@HASH`. Absent: the built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Axes on which the judge also scores each answer alone. Absent: the scores follow from the comparison.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub rubric: Vec<String>,
}

/// When a warning is raised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WarnRule {
    /// Once the lower bound of the share of lost pairs passes it.
    #[schema(value_type = f64)]
    pub loss_rate: Share,
}

/// When the candidate is promoted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PromoteRule {
    /// Once the net win rate (share of pairs won, less share lost) is beyond it with a lower bound above 0.
    #[schema(value_type = f64)]
    pub net_win: Share,
    /// Whether a person must approve, with another key than the one that started the canary.
    pub approval: bool,
}

/// When the candidate is aborted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AbortRule {
    /// Once the upper bound of the net win rate is below it.
    #[schemars(range(min = -1.0, max = 1.0))]
    pub net_win_upper: f64,
}

/// What must not become worse. Null switches one off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Guardrails {
    /// Largest share of requests that the candidate fails to answer; for exposed users, beyond production's.
    #[schema(value_type = Option<f64>)]
    pub error_rate: Option<Share>,
    /// Largest ratio of the 95th percentiles of the time an answer takes.
    #[schemars(range(min = 0.01, max = 100.0))]
    pub latency_p95: Option<f64>,
    /// A 95th percentile that is larger by no more than this is never too slow, whatever the ratio.
    #[schema(value_type = String)]
    pub latency_slack: HumanDuration,
    /// Largest ratio of the mean cost of an answer.
    #[schemars(range(min = 0.01, max = 100.0))]
    pub cost: Option<f64>,
    /// Largest drop of the mean score, on a scale from 0 to 1.
    #[schema(value_type = Option<f64>)]
    pub score_tolerance: Option<Share>,
    /// Largest rise of the share of answers with soft failures.
    #[schema(value_type = Option<f64>)]
    pub soft_failures: Option<Share>,
}

/// What candidate and judge may cost, in USD.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CanaryBudget {
    /// In one hour of the clock; requests beyond it are left out.
    #[schemars(range(min = 0.0))]
    pub per_hour: f64,
    /// Altogether; reaching it aborts the canary.
    #[schemars(range(min = 0.0))]
    pub total: f64,
}

/// How long users are exposed at each stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StageRule {
    /// Least time at a stage.
    #[schema(value_type = String)]
    pub min: HumanDuration,
    /// Fewest requests that the candidate answers at a stage.
    #[schemars(range(min = 30, max = 10_000_000))]
    pub min_samples: u64,
}

/// Requests that are left out unless allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AllowRule {
    /// Requests in which the redaction of records would replace something: e-mail addresses, phone numbers, cards, keys.
    pub redacted: bool,
    /// Requests that offer tools, or answers that call one: the candidate's calls are not carried out.
    pub tools: bool,
}

/// What becomes of prompts and answers. Where the deployment's records keep no bodies, `hashed` holds whatever stands here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyHandling {
    /// They wait in the store until the pair is judged; then only hashes are kept.
    #[default]
    UntilJudged,
    /// They are never written: pairs are judged from memory, and those under way are lost with the process.
    Hashed,
    /// They stay with the pair, and lost pairs become samples of a dataset.
    Keep,
}

/// How requests are chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Routing {
    /// By a hash of the request: the same request is always chosen alike.
    #[default]
    Hash,
}

/// What must not become worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CanaryGuardrail)]
pub enum Guardrail {
    /// Requests without an answer.
    ErrorRate,
    /// 95th percentile of the time an answer takes.
    LatencyP95,
    /// Mean cost of an answer.
    Cost,
    /// Mean score.
    ScoreTolerance,
    /// Answers with soft failures.
    SoftFailures,
}

impl Guardrail {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::ErrorRate, Self::LatencyP95, Self::Cost, Self::ScoreTolerance, Self::SoftFailures];

    /// The key of the policy, and the name of the check.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ErrorRate => "error_rate",
            Self::LatencyP95 => "latency_p95",
            Self::Cost => "cost",
            Self::ScoreTolerance => "score_tolerance",
            Self::SoftFailures => "soft_failures",
        }
    }
}

impl std::fmt::Display for Guardrail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

const DAY: u64 = 86_400;

fn share() -> Share {
    Share(0.05)
}

fn min_samples() -> u64 {
    500
}

fn yes() -> bool {
    true
}

impl Default for Window {
    fn default() -> Self {
        Self { min: HumanDuration::from_secs(DAY), max: HumanDuration::from_secs(14 * DAY) }
    }
}

impl Default for WarnRule {
    fn default() -> Self {
        Self { loss_rate: Share(0.15) }
    }
}

impl Default for PromoteRule {
    fn default() -> Self {
        Self { net_win: Share(0.10), approval: false }
    }
}

impl Default for AbortRule {
    fn default() -> Self {
        Self { net_win_upper: 0.0 }
    }
}

impl Default for Guardrails {
    fn default() -> Self {
        Self {
            error_rate: Some(Share(0.01)),
            latency_p95: Some(1.25),
            latency_slack: HumanDuration(std::time::Duration::from_millis(100)),
            cost: Some(1.20),
            score_tolerance: Some(Share(0.02)),
            soft_failures: None,
        }
    }
}

impl Guardrails {
    /// Those of a release whose users see the candidate without a canary's policy: nobody has chosen any.
    pub fn of_a_release() -> Self {
        Self { soft_failures: Some(Share(0.02)), ..Self::default() }
    }

    /// The limit of a guardrail; none where it is switched off.
    pub fn limit(&self, guardrail: Guardrail) -> Option<f64> {
        match guardrail {
            Guardrail::ErrorRate => self.error_rate.map(|share| share.0),
            Guardrail::LatencyP95 => self.latency_p95,
            Guardrail::Cost => self.cost,
            Guardrail::ScoreTolerance => self.score_tolerance.map(|share| share.0),
            Guardrail::SoftFailures => self.soft_failures.map(|share| share.0),
        }
    }
}

impl Default for CanaryBudget {
    fn default() -> Self {
        Self { per_hour: 1.0, total: 50.0 }
    }
}

impl Default for StageRule {
    fn default() -> Self {
        Self { min: HumanDuration::from_secs(3600), min_samples: 100 }
    }
}

impl CanaryPolicy {
    /// The defaults with this judge.
    pub fn with_judge(model: impl Into<String>) -> Self {
        let judge = CanaryJudge { model: model.into(), both_orders: true, prompt: None, rubric: Vec::new() };
        Self {
            share: share(),
            window: Window::default(),
            min_samples: min_samples(),
            judge,
            warn: WarnRule::default(),
            promote: PromoteRule::default(),
            abort: AbortRule::default(),
            guardrails: Guardrails::default(),
            budget: CanaryBudget::default(),
            bodies: BodyHandling::default(),
            stages: Vec::new(),
            stage: StageRule::default(),
            routing: Routing::default(),
            allow: AllowRule::default(),
            losses: None,
        }
    }

    /// What no schema can say of it: the field as a dotted path, and what is wrong.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut add = |field: &str, message: String| found.push((field.to_owned(), message));
        if self.share.0 <= 0.0 {
            add("share", "no request would be answered by the candidate: expected more than 0".to_owned());
        }
        for (field, usd) in [("budget.per_hour", self.budget.per_hour), ("budget.total", self.budget.total)] {
            if usd == 0.0 {
                add(field, "nothing could be asked for it: expected more than 0".to_owned());
            }
        }
        if self.window.min > self.window.max {
            let message = format!("{} is longer than window.max, {}", self.window.min, self.window.max);
            add("window.min", message);
        }
        if !self.judge.model.contains('/') {
            let message = format!("`{}` is no model: expected PROVIDER/MODEL, such as openai/gpt-4o", self.judge.model);
            add("judge.model", message);
        }
        if self.abort.net_win_upper > self.promote.net_win.0 {
            let message = "a candidate would be aborted and promoted for the same net win rate: expected at most \
                           promote.net_win";
            add("abort.net_win_upper", message.to_owned());
        }
        for (i, pair) in self.stages.windows(2).enumerate().filter(|(_, pair)| pair[0] >= pair[1]) {
            let message = format!("{} does not exceed the stage before, {}: stages rise", pair[1], pair[0]);
            add(&format!("stages[{}]", i + 1), message);
        }
        if self.stages.first().is_some_and(|first| first.0 <= 0.0) {
            add("stages[0]", "nobody would be exposed: expected more than 0".to_owned());
        }
        if self.losses.as_ref().is_some_and(|name| name.chars().any(char::is_control)) {
            add("losses", "the name of a dataset has no control characters".to_owned());
        }
        if self.losses.is_some() && self.bodies != BodyHandling::Keep {
            add("losses", "prompts are not kept, so lost pairs cannot become samples: write `bodies: keep`".to_owned());
        }
        found
    }

    /// The same, and what the schema says of a policy that was read from no file.
    pub fn all_problems(&self) -> Vec<(String, String)> {
        let of_schema = validate_value(self, "policy", &SCHEMA);
        of_schema.into_iter().map(|problem| (problem.field, problem.message)).chain(self.problems()).collect()
    }

    /// The limit of a guardrail; none where it is switched off.
    pub fn limit(&self, guardrail: Guardrail) -> Option<f64> {
        self.guardrails.limit(guardrail)
    }

    /// The stages that expose users before the promotion: shares below 1.
    pub fn exposures(&self) -> &[Share] {
        let end = self.stages.iter().position(|share| share.0 >= 1.0).unwrap_or(self.stages.len());
        &self.stages[..end]
    }

    /// The dataset that lost pairs flow into; none where their texts are not kept.
    pub fn losses_into(&self, deployment: &str) -> Option<String> {
        (self.bodies == BodyHandling::Keep).then(|| self.losses.clone().unwrap_or_else(|| format!("{deployment}-lost")))
    }
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let mut schema = crate::yaml::strict(schemars::schema_for!(CanaryPolicy).to_value());
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), "A canary policy of llmops".into());
    }
    Schema::new(schema)
});

/// Reads a policy file and fills in what was left out.
///
/// # Errors
/// With every mistake of the file, by line.
pub fn parse(text: &str, file: &str) -> Result<CanaryPolicy, Vec<Problem>> {
    let document = Document::parse(text, file)?;
    let decoded = document.decode::<CanaryPolicy>(&SCHEMA);
    // What makes no sense is told with what cannot be read.
    let (policy, unread) = match decoded {
        Ok(policy) => (policy, Vec::new()),
        Err(unread) => match document.rest::<CanaryPolicy>(unread) {
            (Some(policy), unread) => (policy, unread),
            (None, unread) => return Err(unread),
        },
    };
    let pointer = |field: &str| {
        let segments = field.split(['.', '[']).map(|segment| segment.trim_end_matches(']'));
        segments.flat_map(|segment| ["/", segment]).collect::<String>()
    };
    let found = policy.problems().into_iter();
    let found = found.map(|(field, message)| document.problem(&pointer(&field), message, None));
    // What stands in place of a part that cannot be read is its default, which nobody wrote.
    let is_new = |problem: &Problem| !unread.iter().any(|other| part(&other.field) == part(&problem.field));
    let mut problems: Vec<Problem> = found.filter(is_new).collect();
    problems.extend(unread);
    problems.sort_by_key(|problem| (problem.line, problem.column));
    if problems.is_empty() { Ok(policy) } else { Err(problems) }
}

/// The part of a policy that a field belongs to: fields of one part are held against each other.
fn part(field: &str) -> &str {
    match field.split(['.', '[']).next().unwrap_or(field) {
        "promote" => "abort",
        "bodies" => "losses",
        part => part,
    }
}

/// The JSON Schema of a policy file.
pub fn json_schema() -> &'static Value {
    SCHEMA.as_json()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        let found = parse(text, "policy.yaml").unwrap_err();
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_cannot_be_read_hides_nothing_else() {
        let text =
            "judge: {model: sim/judge}\nshare: 150%\nwindow: {min: 3d, max: 1d}\nstages: [0.5, 0.1]\nmin_samples: 0\n";
        let found = problems(text);
        for field in ["share", "window.min", "stages[1]", "min_samples"] {
            assert!(found.contains(&format!(": {field}: ")), "{field} is missing in\n{found}");
        }
        // A part that cannot be read is not judged by its default.
        let found = problems("judge: {model: sim/judge}\nwindow: {min: soon, max: 1h}\n");
        assert_eq!(found.lines().count(), 1, "{found}");
    }

    #[test]
    fn a_judge_is_enough() {
        let policy = parse("judge: {model: openai/gpt-4o}\n", "p.yaml").unwrap();
        assert_eq!(policy, CanaryPolicy::with_judge("openai/gpt-4o"));
        assert_eq!((policy.share, policy.min_samples, policy.window.min.to_string()), (Share(0.05), 500, "1d".into()));
    }

    #[test]
    fn everything_that_may_stand_there() {
        let policy = parse(
            "share: 5%\nwindow: {min: 24h, max: 14d}\nmin_samples: 500\njudge: {model: openai/gpt-4o, both_orders: true}\n\
             warn: {loss_rate: 0.15}\npromote: {net_win: 10%, approval: false}\nabort: {net_win_upper: 0.0}\n\
             guardrails: {error_rate: 0.01, latency_p95: 1.25, cost: null, score_tolerance: 0.02}\n\
             budget: {per_hour: 1.00, total: 50.00}\nbodies: keep\nstages: [1%, 0.05, 0.25, 1.0]\nrouting: hash\n\
             stage: {min: 10m, min_samples: 50}\nallow: {tools: true}\nlosses: hard\n",
            "p.yaml",
        )
        .unwrap();
        assert_eq!((policy.share, policy.promote.net_win), (Share(0.05), Share(0.1)));
        assert_eq!(policy.limit(Guardrail::Cost), None);
        assert_eq!(policy.exposures(), [Share(0.01), Share(0.05), Share(0.25)]);
        assert_eq!(policy.losses_into("bot").as_deref(), Some("hard"));
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<CanaryPolicy>(&text).unwrap(), policy);
    }

    #[test]
    fn all_mistakes_come_at_once_with_their_lines() {
        let check = |text: &str, expected: &[&str]| {
            let found = problems(text);
            assert_eq!(found.lines().count(), expected.len(), "{found}");
            for (line, expected) in found.lines().zip(expected) {
                assert!(expected.split(' ').all(|part| line.contains(part)), "{expected}: {found}");
            }
        };
        check(
            "judge: {model: sim/judge}\nshare: 7\nmin_sample: 5\nbodies: none\n",
            &["policy.yaml:2: share", "policy.yaml:3: min_sample min_samples", "policy.yaml:4: bodies"],
        );
        check(
            "share: 0%\njudge: {model: gpt}\nwindow: {min: 15d}\nabort: {net_win_upper: 0.5}\nlosses: x\n\
             stages: [0.05, 0.01]\n",
            &[
                "policy.yaml:1: share",
                "policy.yaml:2: judge.model PROVIDER/MODEL",
                "policy.yaml:3: window.min",
                "policy.yaml:4: abort.net_win_upper",
                "policy.yaml:5: losses",
                "policy.yaml:6: stages[1]",
            ],
        );
    }

    #[test]
    fn a_policy_from_no_file_has_the_same_ranges() {
        let check = |body: Value, expected: &[&str]| {
            let mut policy = serde_json::json!({"judge": {"model": "sim/judge"}, "bodies": "keep"});
            policy.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
            let policy: CanaryPolicy = serde_json::from_value(policy).unwrap();
            let fields: Vec<String> = policy.all_problems().into_iter().map(|(field, _)| field).collect();
            assert_eq!(fields, expected, "{body}");
        };
        check(serde_json::json!({}), &[]);
        check(
            serde_json::json!({"min_samples": 0, "stage": {"min_samples": 0}}),
            &["min_samples", "stage.min_samples"],
        );
        check(
            serde_json::json!({"guardrails": {"latency_p95": -5, "cost": 0}}),
            &["guardrails.latency_p95", "guardrails.cost"],
        );
        check(serde_json::json!({"budget": {"total": -1}}), &["budget.total"]);
        check(serde_json::json!({"budget": {"per_hour": 0, "total": 0}}), &["budget.per_hour", "budget.total"]);
        check(serde_json::json!({"budget": {"per_hour": 1e-9, "total": 1e-9}}), &[]);
        check(serde_json::json!({"abort": {"net_win_upper": -7}}), &["abort.net_win_upper"]);
        check(serde_json::json!({"stages": (1..=59).map(|i| f64::from(i) / 100.0).collect::<Vec<_>>()}), &["stages"]);
        check(serde_json::json!({"losses": ""}), &["losses"]);
        check(serde_json::json!({"losses": "a\u{0}b"}), &["losses"]);
    }

    #[test]
    fn shares() {
        let check = |text: &str, expected: Option<f64>| {
            assert_eq!(text.parse::<Share>().ok().map(|share| share.0), expected, "{text}");
        };
        check("0.05", Some(0.05));
        check(" 5 % ", Some(0.05));
        check("100%", Some(1.0));
        for wrong in ["", "%", "5", "-1%", "101%", "NaN", "inf", "five"] {
            check(wrong, None);
        }
        assert_eq!(Share(0.07).to_string(), "7 %");
    }
}
