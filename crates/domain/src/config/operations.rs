//! The `operations` section: what the server does by itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::HumanDuration;

/// What the server does by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OperationsConfig {
    /// Run the suites on schedule. Takes effect with a suite and, for judged metrics, `scoring.max_judge_cost`.
    pub enable_auto_evaluation: bool,
    /// Time between automatic evaluations of a suite without schedule.
    pub evaluation_interval: HumanDuration,
    /// Fewest units of each variant before a winner of an experiment is named, where the experiment does not say. It is
    /// written down when an experiment starts. 200 suit ratings, 500 binary metrics.
    #[schemars(range(min = 1))]
    pub min_samples_for_significance: u32,
    /// Alert when a metric of a run (`pass_rate`, `overall`, a metric's or category's name) falls below this.
    #[schemars(extend("additionalProperties" = {"type": "number", "minimum": 0.0, "maximum": 1.0}))]
    pub alert_thresholds: BTreeMap<String, f64>,
    /// Let several judges debate. Takes effect where judges for a debate are configured.
    pub enable_debate_evaluation: bool,
    /// Time between two questions to the model of each target, to see that it answers. Each costs a few tokens. Absent:
    /// none are asked, and health follows from other calls.
    pub probe_interval: Option<HumanDuration>,
    /// Time before the same alert is sent again.
    pub alert_cooldown: HumanDuration,
    /// Time between two looks of the server at an experiment that runs: for a winner, a wrong split, a broken guardrail, and
    /// a better allocation where that is adaptive.
    pub experiment_review_interval: HumanDuration,
    /// How long what piles up is kept.
    pub retention: RetentionConfig,
}

/// How long what piles up is kept; null: for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RetentionConfig {
    /// Events, which watchers resume from. Those of a run's progress are kept for an hour.
    pub events: Option<HumanDuration>,
    /// Alerts that were resolved, and silences that ended.
    pub alerts: Option<HumanDuration>,
    /// Messages to channels that were delivered or given up.
    pub deliveries: Option<HumanDuration>,
    /// What came of the firings of schedules.
    pub firings: Option<HumanDuration>,
    /// What the gateway keeps of its calls.
    pub request_records: Option<HumanDuration>,
    /// What people said of answers, and decided items of the review queue; sums by day stay.
    pub feedback: Option<HumanDuration>,
    /// The sums of live traffic by the hour.
    pub traffic: Option<HumanDuration>,
    /// The record of changes.
    pub audit: Option<HumanDuration>,
    /// Results of single samples in runs that ended; the runs and their numbers stay, and so do the samples of baselines.
    pub run_samples: Option<HumanDuration>,
    /// Observations of experiments. Results stay, because they rest on sums; questions see what is left.
    pub observations: Option<HumanDuration>,
}

const DAY: u64 = 24 * 3600;

impl Default for RetentionConfig {
    fn default() -> Self {
        let days = |days| Some(HumanDuration::from_secs(days * DAY));
        Self {
            events: days(30),
            alerts: days(180),
            deliveries: days(180),
            firings: days(90),
            request_records: days(90),
            feedback: None,
            traffic: days(400),
            audit: None,
            run_samples: None,
            observations: None,
        }
    }
}

impl RetentionConfig {
    /// How long a kind is kept, by its name here; none: for ever.
    pub fn of(&self, kind: &str) -> Option<HumanDuration> {
        match kind {
            "events" => self.events,
            "alerts" => self.alerts,
            "deliveries" => self.deliveries,
            "firings" => self.firings,
            "request_records" => self.request_records,
            "feedback" => self.feedback,
            "traffic" => self.traffic,
            "audit" => self.audit,
            "run_samples" => self.run_samples,
            "observations" => self.observations,
            _ => None,
        }
    }
}

impl Default for OperationsConfig {
    fn default() -> Self {
        Self {
            enable_auto_evaluation: true,
            evaluation_interval: HumanDuration::from_secs(24 * 3600),
            min_samples_for_significance: 100,
            alert_thresholds: BTreeMap::new(),
            enable_debate_evaluation: true,
            probe_interval: None,
            alert_cooldown: HumanDuration::from_secs(3600),
            experiment_review_interval: HumanDuration::from_secs(60),
            retention: RetentionConfig::default(),
        }
    }
}
