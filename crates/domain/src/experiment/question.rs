//! Questions about an experiment that its sums cannot answer: another kind of a metric, a part of the units, a stretch of time. They
//! are answered from the observations, in the background.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::check::{InvalidExperiment, SpecProblem};
use super::metric::{self, MetricSpec};
use super::result::ExperimentResult;
use super::{Experiment, ExperimentSpec, TestChoice, condition};
use crate::id::{ExperimentId, QuestionId};
use crate::suggest;

/// A question. What is left out stays as the experiment declared it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Question {
    /// Why it is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The metrics, as they are to be read: a name stands for the declared metric, or names with kind, quantile, cap, covariate
    /// and so on. Their names, covariates and denominators must have been recorded.
    #[serde(deserialize_with = "metric::named_or_full", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<metric::Entry>")]
    pub metrics: Vec<MetricSpec>,
    /// The metric that the others stand beside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_metric: Option<String>,
    /// Observations at or after this time. Covariates are of before, and always counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    #[schemars(with = "Option<String>")]
    pub from: Option<Timestamp>,
    /// Observations before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    #[schemars(with = "Option<String>")]
    pub to: Option<Timestamp>,
    /// Condition on the attributes of a unit that the experiment's `analysis.segments` keep, such as `{"country": "DE"}`.
    #[serde(rename = "where", skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub condition: Map<String, Value>,
    /// By which of the kept attributes the answer is also shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<String>,
    /// Another test for one look on the target metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<TestChoice>,
}

/// Where a question stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum QuestionStatus {
    /// It waits for a worker, or one is at it.
    Open,
    /// There is an answer.
    Answered,
    /// There is none, and never will be.
    Failed,
}

impl QuestionStatus {
    /// The name as written in JSON and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Answered => "answered",
            Self::Failed => "failed",
        }
    }
}

/// A question that was asked, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AskedQuestion {
    /// The id.
    pub id: QuestionId,
    /// The experiment.
    pub experiment: ExperimentId,
    /// The question.
    pub question: Question,
    /// Where it stands.
    pub status: QuestionStatus,
    /// When it was asked.
    #[schema(value_type = String, format = DateTime)]
    pub asked_at: Timestamp,
    /// When it was answered, or failed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub answered_at: Option<Timestamp>,
    /// Observations that were read for it.
    pub observations: u64,
    /// Why there is no answer.
    pub error: Option<String>,
    /// The answer. It names no winner: a question that is asked after the data were seen finds something by chance more often
    /// than its p-values say.
    pub result: Option<ExperimentResult>,
}

impl Question {
    /// The experiment as the question reads it. `recorded` are the names that observations may carry.
    ///
    /// # Errors
    /// Everything that is wrong with the question.
    pub fn reads(&self, experiment: &Experiment, recorded: &[&str]) -> Result<ExperimentSpec, InvalidExperiment> {
        let declared = &experiment.spec;
        let mut problems = Vec::new();
        let mut spec = declared.clone();
        if !self.metrics.is_empty() {
            let read = |metric: &MetricSpec| match declared.metric(&metric.name) {
                Some(known) if *metric == MetricSpec::named(&metric.name) => known.clone(),
                _ => metric.clone(),
            };
            spec.metrics = self.metrics.iter().map(read).collect();
            let is_there = |target: &String| spec.metrics.iter().any(|metric| metric.name == *target);
            spec.target_metric = declared.target_metric.clone().filter(is_there);
        }
        if self.target_metric.is_some() {
            spec.target_metric.clone_from(&self.target_metric);
        }
        for (i, metric) in spec.metrics.iter().enumerate() {
            let named = [("name", Some(&metric.name)), ("covariate", metric.covariate.as_ref())];
            for (field, name) in named.into_iter().chain([("denominator", metric.denominator.as_ref())]) {
                if let Some(name) = name.filter(|name| !recorded.contains(&name.as_str())) {
                    let hint = suggest::hint(name, recorded.iter().copied());
                    problems.push(SpecProblem::new(
                        format!("metrics[{i}].{field}"),
                        format!("`{name}` is not recorded: {hint}"),
                    ));
                }
            }
        }
        let kept = &declared.analysis.segments;
        for (i, segment) in self.segments.iter().enumerate().filter(|(_, segment)| !kept.contains(segment)) {
            problems.push(SpecProblem::new(format!("segments[{i}]"), not_kept(segment, kept)));
        }
        match condition::Condition::parse(&self.condition) {
            Ok(condition) => {
                // A kept list or object may be asked for what is in it.
                let is_kept = |name: &String| {
                    kept.iter().any(|k| name.strip_prefix(k).is_some_and(|r| r.is_empty() || r.starts_with('.')))
                };
                for name in condition.attributes().iter().filter(|name| !is_kept(name)) {
                    problems.push(SpecProblem::new(format!("where.{name}"), not_kept(name, kept)));
                }
            }
            Err(errors) => {
                problems.extend(errors.into_iter().map(|e| SpecProblem::new(format!("where.{}", e.path), e.message)));
            }
        }
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from >= to
        {
            problems.push(SpecProblem::new("to", format!("it is {to}, and `from` is {from}: expected a later time")));
        }
        spec.analysis.segments.clone_from(&self.segments);
        // Parts of the data are no experiment whose shares follow them.
        spec.adaptive = None;
        match spec.checked() {
            Ok(spec) if problems.is_empty() => Ok(spec),
            Ok(_) => Err(InvalidExperiment { problems }),
            Err(invalid) => Err(InvalidExperiment { problems: problems.into_iter().chain(invalid.problems).collect() }),
        }
    }
}

fn not_kept(name: &str, kept: &[String]) -> String {
    if kept.is_empty() {
        return format!("`{name}` is not kept of units: the experiment declares no analysis.segments");
    }
    format!("`{name}` is not kept of units: {}", suggest::hint(name, kept.iter().map(String::as_str)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(question: &str) -> Result<ExperimentSpec, String> {
        let spec: ExperimentSpec = serde_json::from_value(serde_json::json!({
            "name": "x", "variants": [{}, {}], "analysis": {"segments": ["country"]},
            "metrics": [{"name": "quality", "cap": 5.0, "covariate": "before"}, "latency"],
        }))
        .unwrap();
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let experiment = Experiment::draft("exp_1".into(), spec.checked().unwrap(), at);
        let question: Question = serde_json::from_str(question).unwrap();
        question.reads(&experiment, &["quality", "before", "latency"]).map_err(|invalid| {
            invalid.problems.iter().map(|p| format!("{}: {}", p.field, p.message)).collect::<Vec<_>>().join("\n")
        })
    }

    #[test]
    fn what_is_left_out_stays_as_declared() {
        let spec = reads("{}").unwrap();
        assert_eq!((spec.metrics.len(), spec.target_metric.as_deref()), (2, Some("quality")));
        let spec = reads(r#"{"metrics": ["quality"]}"#).unwrap();
        assert_eq!((spec.metrics.len(), spec.metrics[0].cap), (1, Some(5.0)));
        let spec = reads(r#"{"metrics": [{"name": "latency", "quantile": 0.5}], "segments": ["country"]}"#).unwrap();
        assert_eq!((spec.target_metric.as_deref(), spec.metrics[0].quantile), (Some("latency"), Some(0.5)));
        assert_eq!(spec.analysis.segments, ["country"]);
    }

    #[test]
    fn attributes_that_are_not_kept_are_found_wherever_they_stand() {
        let check = |condition: &str, expected: &[&str]| {
            let told = reads(&format!(r#"{{"where": {condition}}}"#)).err().unwrap_or_default();
            let fields: Vec<_> = told.lines().map(|line| line.split(": ").next().unwrap()).collect();
            assert_eq!(fields, expected, "{condition}");
        };
        check(r#"{"$or": [{"country": "DE"}, {"city": "Ulm"}]}"#, &["where.city"]);
        check(r#"{"$not": {"$and": [{"city": "Ulm"}, {"plan": "pro"}]}}"#, &["where.city", "where.plan"]);
        check(r#"{"country": {"$in": ["DE"]}, "$or": [{"country.code": "DE"}]}"#, &[]);
    }

    #[test]
    fn mistakes() {
        insta::assert_snapshot!(reads(
            r#"{"metrics": ["qualty", {"name": "latency", "covariate": "after", "winsorize": 2}], "segments": ["plan"],
                "where": {"city": "Ulm"}, "from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}"#
        ).unwrap_err(), @r"
        metrics[0].name: `qualty` is not recorded: did you mean quality?
        metrics[1].covariate: `after` is not recorded: expected one of quality, before, latency
        segments[0]: `plan` is not kept of units: expected country
        where.city: `city` is not kept of units: expected country
        to: it is 2026-01-01T00:00:00Z, and `from` is 2026-01-02T00:00:00Z: expected a later time
        metrics[1].winsorize: it is 2: expected a quantile above 0.5 and at most 1
        ");
    }
}
