//! The gate: a run against its baseline, with the samples that explain the verdict.

use std::collections::BTreeSet;

use llmops_domain::compare::SampleChange;
use llmops_domain::gate::{self, GateConfig, GateInput, GateReport, KeptVerdict, ReferenceScores, SampleNote, Verdict};
use llmops_domain::run::{EvaluationRun, Outcome, ResultStatus, SampleResult};
use llmops_storage::{ResultCursor, ResultFilter, ResultOrder, RunKey, VersionKey, VersionSelector};

use crate::Error;
use crate::evaluator::aggregate::category_name;
use crate::evaluator::paired::Pairing;
use crate::evaluator::{ContinuousEvaluator, RunRef};

/// Samples that a report names.
const NAMED_SAMPLES: usize = 20;

/// Trials read at a time when samples are looked for.
const TRIALS_READ: u32 = 200;

/// What a run is compared with.
#[derive(Debug, Clone, Copy)]
pub enum Against<'a> {
    /// The baseline of its dataset; without one, the absolute limits.
    Baseline,
    /// This run.
    Run(&'a RunRef),
    /// Scores that another system keeps.
    Scores(&'a ReferenceScores),
}

impl ContinuousEvaluator {
    /// Decides on a run, and keeps the verdict: against `against` where it is named, else against the baseline of its dataset,
    /// else against the absolute limits.
    pub async fn gate(&self, run: &RunRef, against: Option<&RunRef>, config: GateConfig) -> Result<GateReport, Error> {
        let report = self.gate_against(run, against.map_or(Against::Baseline, Against::Run), config).await?;
        self.keep_verdict(&report).await?;
        Ok(report)
    }

    /// The rules that the configuration sets.
    pub fn gate_rules(&self) -> GateConfig {
        self.services.options.gate.clone()
    }

    /// Makes a verdict the run's: what the run shows with its checks, and the tag that deployments with `require_gate` go by, with
    /// the rules in the record of changes.
    pub async fn keep_verdict(&self, report: &GateReport) -> Result<(), Error> {
        let kept = KeptVerdict {
            verdict: report.verdict,
            at: self.services.clock.now(),
            by: self.services.store.actor().name.clone(),
            config: report.config.clone(),
            baseline: report.baseline.as_ref().map(|run| run.id.clone()),
            checks: report.checks.clone(),
            notices: report.notices.clone(),
        };
        Ok(self.services.store.keep_verdict(&self.project, &report.run.id, &kept).await?)
    }

    /// Decides on a run, compared with what is named. Nothing is kept: see [`keep_verdict`](Self::keep_verdict).
    pub async fn gate_against(
        &self,
        run: &RunRef,
        against: Against<'_>,
        config: GateConfig,
    ) -> Result<GateReport, Error> {
        let mut run = self.get_run(run, None).await?;
        if !run.status.is_final() {
            return Err(Error::Conflict {
                message: format!("the run {} is still {}", run.id, run.status),
                hint: Some("finish it first: llmops eval --resume".to_owned()),
            });
        }
        let baseline = match against {
            Against::Run(against) => Some(self.get_run(against, Some(&run.dataset)).await?),
            Against::Scores(_) => None,
            Against::Baseline => self.baseline(&run.dataset).await?,
        };
        // What earlier gates said is no part of this one's evidence.
        run.gate = None;
        let baseline = baseline.map(|baseline| EvaluationRun { gate: None, ..baseline });
        let reference = match against {
            Against::Scores(scores) => Some(scores),
            Against::Baseline | Against::Run(_) => None,
        };
        let compared = match &baseline {
            Some(baseline) if run.results.is_some() && baseline.results.is_some() => {
                Some(self.compare(baseline, &run).await?)
            }
            _ => None,
        };
        let (comparison, pairing) = compared.map_or((None, None), |(c, p)| (Some(c), Some(p)));
        let judges = if config.require_judge_kappa.is_some() { self.judge_agreement(&run).await? } else { Vec::new() };
        self.correct(&mut run).await?;
        let decision = gate::decide(&GateInput {
            config: &config,
            run: &run,
            baseline: baseline.as_ref(),
            reference,
            paired: pairing.as_ref().and_then(|p| p.evidence.as_ref()),
            judges: &judges,
        });
        let failed = failed_categories(&decision.checks);
        let samples = self.explain(&run, baseline.as_ref(), pairing.as_ref(), &failed).await?;
        Ok(GateReport {
            verdict: decision.verdict,
            config,
            checks: decision.checks,
            comparison,
            samples,
            notices: decision.notices,
            run,
            baseline,
        })
    }

    /// The samples that a reader wants to see: in failed categories, those that fell most; without a baseline, those
    /// that failed worst; errored ones where nothing else is to be said.
    async fn explain(
        &self,
        run: &EvaluationRun,
        baseline: Option<&EvaluationRun>,
        pairing: Option<&Pairing>,
        failed: &[String],
    ) -> Result<Vec<SampleNote>, Error> {
        let store = &self.services.store;
        let key = store.run_key(&self.project, &run.id).await?;
        let selector = VersionSelector::from(&run.spec.dataset_version);
        let dataset = self.datasets.version(&run.spec.dataset, &selector).await?.key;
        let falls = pairing.map(|p| worst_first(&p.falls, failed)).unwrap_or_default();
        let before = match baseline {
            Some(baseline) if !falls.is_empty() => Some(store.run_key(&self.project, &baseline.id).await?),
            _ => None,
        };
        let mut notes = Vec::new();
        let mut named = BTreeSet::new();
        for change in &falls {
            named.insert(change.sample_id.clone());
            let Some(mut note) = self.note(&key, dataset, &change.sample_id).await? else { continue };
            note.composite = change.after;
            note.baseline_composite = change.before;
            if let Some(before) = &before {
                note.baseline_output = self.output_in(before, &change.sample_id).await?;
            }
            notes.push(note);
        }
        for status in [ResultStatus::Failed, ResultStatus::Errored] {
            if notes.is_empty() || status == ResultStatus::Errored {
                let room = NAMED_SAMPLES.saturating_sub(notes.len());
                for sample in self.worst(&key, status, room, &mut named).await? {
                    notes.extend(self.note(&key, dataset, &sample).await?);
                }
            }
        }
        Ok(notes)
    }

    /// The samples with the worst trials of this status that are not named yet, each once.
    async fn worst(
        &self,
        run: &RunKey,
        status: ResultStatus,
        limit: usize,
        named: &mut BTreeSet<String>,
    ) -> Result<Vec<String>, Error> {
        let filter = ResultFilter { category: None, status: Some(status), order: ResultOrder::Worst };
        let mut found = Vec::new();
        let mut cursor: Option<ResultCursor> = None;
        while found.len() < limit {
            let (results, next) = self.services.store.list_results(run, &filter, cursor.as_ref(), TRIALS_READ).await?;
            let ids = results.into_iter().map(|result| result.sample_id);
            let new = ids.filter(|id| named.insert(id.clone()));
            found.extend(new.take(limit - found.len()));
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// A sample by the trial that says most of it, and how many of its trials did not pass; none where it has no result.
    async fn note(&self, run: &RunKey, dataset: VersionKey, sample: &str) -> Result<Option<SampleNote>, Error> {
        let trials = self.services.store.get_results_of_sample(run, sample).await?;
        let of_trials = of_trials(&trials);
        let Some(result) = telling_trial(trials) else { return Ok(None) };
        let (_, sample) = self.services.store.get_sample(dataset, &result.sample_id).await?;
        let input = match sample.messages.last() {
            Some(message) if sample.input.is_empty() => message.as_text().into_owned(),
            _ => sample.input,
        };
        let mut reasons = match &result.outcome {
            Outcome::Scored { failures, .. } => failures.clone(),
            Outcome::Errored { message, .. } => vec![message.clone()],
        };
        reasons.extend(of_trials);
        Ok(Some(SampleNote {
            sample_id: result.sample_id.clone(),
            category: category_name(&result.category).to_owned(),
            input,
            expected: sample.expected_output.into_iter().next(),
            output: result.output.clone(),
            baseline_output: None,
            composite: result.outcome.composite(),
            baseline_composite: None,
            reasons,
        }))
    }

    async fn output_in(&self, run: &RunKey, sample: &str) -> Result<Option<String>, Error> {
        let results = self.services.store.get_results_of_sample(run, sample).await?;
        Ok(results.into_iter().next().map(|result| result.output))
    }
}

/// The scored trial with the lowest composite, unless it passed and another trial errored: then that one.
fn telling_trial(mut trials: Vec<SampleResult>) -> Option<SampleResult> {
    let rank = |result: &SampleResult| match &result.outcome {
        Outcome::Scored { passed: false, .. } => 0,
        Outcome::Errored { .. } => 1,
        Outcome::Scored { .. } => 2,
    };
    let composite = |result: &SampleResult| result.outcome.composite().unwrap_or(f64::INFINITY);
    trials.sort_by(|a, b| rank(a).cmp(&rank(b)).then(composite(a).total_cmp(&composite(b))));
    trials.into_iter().next()
}

/// Of several trials, how many failed and errored.
fn of_trials(trials: &[SampleResult]) -> Vec<String> {
    let all = trials.len();
    let is_failed = |outcome: &Outcome| matches!(outcome, Outcome::Scored { passed: false, .. });
    let failed = trials.iter().filter(|trial| is_failed(&trial.outcome)).count();
    let errored = trials.iter().filter(|trial| matches!(trial.outcome, Outcome::Errored { .. })).count();
    let counts = [(failed, "failed"), (errored, "errored")].into_iter().filter(|(count, _)| all > 1 && *count > 0);
    counts.map(|(count, what)| format!("{count} of {all} trials {what}")).collect()
}

/// Categories with a failed or undecided check of their own.
fn failed_categories(checks: &[gate::Check]) -> Vec<String> {
    checks
        .iter()
        .filter(|check| check.status != Verdict::Pass)
        .filter_map(|check| Some(check.name.split_once('/')?.1.to_owned()))
        .collect()
}

/// Samples that fell: those of failed categories first, then the others if they failed, by how much they fell.
fn worst_first(falls: &[SampleChange], failed: &[String]) -> Vec<SampleChange> {
    let of_failed = |change: &&SampleChange| failed.contains(&change.category);
    let flipped = |change: &&SampleChange| change.passed_before == Some(true) && change.passed_after == Some(false);
    let mut named: Vec<SampleChange> = falls.iter().filter(of_failed).take(NAMED_SAMPLES).cloned().collect();
    let room = NAMED_SAMPLES - named.len();
    named.extend(falls.iter().filter(|c| !of_failed(c) && flipped(c)).take(room).cloned());
    named
}
