//! Calibration of a judge against people: labels joined with the judge's scores of a run.

use std::collections::{BTreeMap, BTreeSet};

use llmops_domain::calibration::{
    Agreement, CalibrationFilter, Confusion, Corrected, HumanLabel, JudgeAgreement, JudgeCalibration, JudgeIdentity,
    check_labels,
};
use llmops_domain::id::CalibrationId;
use llmops_domain::run::{Estimate, EvaluationRun, Outcome, RunResults, RunSpec, SampleResult};
use llmops_domain::scoring::MetricSpec;
use llmops_stats::agreement::{
    AlphaMetric, KappaWeights, cohen_kappa, fleiss_kappa, krippendorff_alpha, spearman_of_dependent,
};
use llmops_stats::{StatsError, TestOptions};
use llmops_storage::RunKey;

use super::aggregate::to_domain;
use super::{ContinuousEvaluator, RunRef};
use crate::Error;

mod correct;
mod trials;

use self::correct::{Corrections, Unit};
use self::trials::{Worth, accuracy, bias_of, category_bias, mean_of_samples, samples};

/// Calibrations of a judge that a gate looks at.
const EARLIER: u32 = 20;
/// Results read at a time.
const PAGE: u32 = 1_000;
/// Most labels of one calibration.
const MAX_LABELS: usize = 200_000;
/// Most samples that a message names.
const NAMED: usize = 5;
/// Level of all intervals.
const LEVEL: f64 = 0.95;

/// What a calibration is asked for.
#[derive(Debug, Clone, Default)]
pub struct CalibrationRequest {
    /// The judged metric; absent where the run has only one.
    pub metric: Option<String>,
    /// A score passes at or above this; absent: the metric's own threshold.
    pub threshold: Option<f64>,
    /// What people said.
    pub labels: Vec<HumanLabel>,
}

/// A labelled answer: what people said, and the judge.
struct Rated {
    /// The sample; its trials stand together.
    ordinal: u64,
    category: String,
    people: Vec<f64>,
    judge: f64,
}

impl Rated {
    fn human(&self) -> f64 {
        self.people.iter().sum::<f64>() / self.people.len() as f64
    }

    /// Whether most people pass it; their mean decides a tie.
    fn majority(&self, threshold: f64) -> bool {
        let pass = self.people.iter().filter(|score| **score >= threshold).count() * 2;
        if pass == self.people.len() { self.human() >= threshold } else { pass > self.people.len() }
    }
}

impl ContinuousEvaluator {
    /// Compares the judge of a run with people, and keeps what came out: with the judge, for gates to ask for, and with the
    /// run, whose overall score it corrects.
    pub async fn calibrate(&self, run: &RunRef, request: CalibrationRequest) -> Result<JudgeCalibration, Error> {
        let run = self.get_run(run, None).await?;
        let Some(results) = run.results.clone() else {
            return Err(Error::Conflict {
                message: format!("the run {} is {} and has no results yet", run.id, run.status),
                hint: Some("finish it first: llmops eval --resume".to_owned()),
            });
        };
        let metric = judged_metric(&run.spec, request.metric.as_deref())?;
        let threshold = threshold(&run.spec, &metric, request.threshold)?;
        if request.labels.is_empty() || request.labels.len() > MAX_LABELS {
            return Err(Error::invalid(format!("{} labels: expected 1 to {MAX_LABELS}", request.labels.len())));
        }
        let problems = check_labels(&request.labels);
        if !problems.is_empty() {
            return Err(Error::invalid(problems.join("; ")));
        }
        let key = self.services.store.run_key(&self.project, &run.id).await?;
        let mut joined = Joined::new(&request.labels, &metric);
        joined.read(self, &key).await?;
        let judge = joined.identity(&run.spec)?;
        let mut notices = joined.notices();
        let rated = joined.rated()?;
        let now = self.services.clock.now();
        let id = CalibrationId::new(now.as_millisecond(), self.services.clock.random());
        let agreement = agreement(&rated, threshold, &mut notices)?;
        let corrections = Corrections { units: &joined.units, spec: &run.spec, metric: &metric, calibration: &id };
        let calibration = JudgeCalibration {
            judge,
            run: run.id.clone(),
            dataset: run.dataset.clone(),
            created_at: now,
            threshold,
            labels: request.labels.len() as u64,
            raters: joined.raters(),
            samples: samples(&rated).count() as u64,
            agreement,
            confusion: confusion(&rated, threshold),
            bias: mean_of_samples(samples(&rated).map(bias_of))?,
            category_bias: category_bias(&rated)?,
            metric_mean: corrections.metric_mean()?,
            overall: corrections.overall(results.overall.as_ref(), &mut notices)?,
            notices,
            metric: metric.clone(),
            id: id.clone(),
        };
        let results = RunResults { corrected: calibration.overall.clone(), ..results };
        self.services.store.put_calibration(&self.project, &calibration, &key, &results).await?;
        Ok(calibration)
    }

    /// Calibrations, newest first.
    pub async fn calibrations(&self, filter: &CalibrationFilter) -> Result<Vec<JudgeCalibration>, Error> {
        Ok(self.services.store.list_calibrations(&self.project, filter).await?)
    }

    /// One calibration.
    pub async fn calibration(&self, id: &str) -> Result<JudgeCalibration, Error> {
        Ok(self.services.store.get_calibration(&self.project, id).await?)
    }

    /// How well each judge of a run agrees with people: by the newest calibration of exactly this judge.
    pub(crate) async fn judge_agreement(&self, run: &EvaluationRun) -> Result<Vec<JudgeAgreement>, Error> {
        let mut judges = Vec::new();
        for metric in run.spec.scoring.metrics.iter().filter(|(_, m)| m.scorer.is_judged()).map(|(name, _)| name) {
            let mut all = self.calibrations_of(&run.spec, metric, EARLIER).await?.into_iter();
            let kappa = all.next().and_then(|calibration| calibration.agreement.cohen_kappa);
            let earlier = all.filter_map(|calibration| calibration.agreement.cohen_kappa).collect();
            judges.push(JudgeAgreement { metric: metric.clone(), kappa, earlier });
        }
        Ok(judges)
    }

    /// The newest calibration of the judge that scored a metric of a run.
    async fn calibration_of(&self, spec: &RunSpec, metric: &str) -> Result<Option<JudgeCalibration>, Error> {
        Ok(self.calibrations_of(spec, metric, 1).await?.into_iter().next())
    }

    /// The calibrations of the judge that scored a metric of a run, newest first.
    async fn calibrations_of(&self, spec: &RunSpec, metric: &str, most: u32) -> Result<Vec<JudgeCalibration>, Error> {
        let judge = identity(spec, metric, None)?;
        let judge = Some(judge.hash.as_str().to_owned());
        self.calibrations(&CalibrationFilter { judge, limit: Some(most), ..CalibrationFilter::default() }).await
    }

    /// The overall score of a run, corrected by what labels on another run told of its judge. Nothing where several judges
    /// have a weight in it: their errors may go together.
    pub(super) async fn transported(&self, spec: &RunSpec, results: &RunResults) -> Result<Option<Corrected>, Error> {
        let counts = |metric: &MetricSpec| metric.scorer.is_judged() && metric.weight > Some(0.0);
        let judged: Vec<_> = spec.scoring.metrics.iter().filter(|(_, metric)| counts(metric)).collect();
        let [(metric, judge)] = judged[..] else { return Ok(None) };
        let (Some(overall), Some(weight)) = (&results.overall, judge.weight) else { return Ok(None) };
        let total: f64 = spec.scoring.metrics.values().filter_map(|metric| metric.weight).sum();
        let calibration = self.calibration_of(spec, metric).await?;
        Ok(calibration.and_then(|calibration| correct::transported(overall, weight / total, &calibration)))
    }

    /// Corrects the overall score of a run that ended before its judge was calibrated.
    pub(crate) async fn correct(&self, run: &mut EvaluationRun) -> Result<(), Error> {
        let Some(results) = run.results.as_mut().filter(|results| results.corrected.is_none()) else { return Ok(()) };
        results.corrected = self.transported(&run.spec, results).await?;
        Ok(())
    }
}

fn judged_metric(spec: &RunSpec, named: Option<&str>) -> Result<String, Error> {
    let judged = || spec.scoring.metrics.iter().filter(|(_, m)| m.scorer.is_judged()).map(|(name, _)| name.as_str());
    let names = judged().collect::<Vec<_>>().join(", ");
    match named {
        Some(name) if judged().any(|judge| judge == name) => Ok(name.to_owned()),
        Some(name) => {
            Err(Error::invalid(format!("`{name}` is no judged metric of this run")).with_hint(if names.is_empty() {
                "the run has none: add a judge under scoring.metrics".to_owned()
            } else {
                format!("its judged metrics are {names}")
            }))
        }
        None => match judged().collect::<Vec<_>>()[..] {
            [] => Err(Error::invalid("no metric of this run is judged")
                .with_hint("calibration needs a run with a judge under scoring.metrics")),
            [only] => Ok(only.to_owned()),
            _ => Err(Error::invalid("several metrics of this run are judged").with_hint(format!("name one: {names}"))),
        },
    }
}

fn threshold(spec: &RunSpec, metric: &str, asked: Option<f64>) -> Result<f64, Error> {
    let own = spec.scoring.metrics.get(metric).and_then(|m| m.threshold).unwrap_or(spec.scoring.pass_threshold);
    let threshold = asked.unwrap_or(own);
    // At 0 everything passes, and no agreement can be told from chance.
    if threshold > 0.0 && threshold <= 1.0 {
        return Ok(threshold);
    }
    Err(Error::invalid(format!("a threshold of {threshold}: expected a number above 0 and at most 1")))
}

/// What a judge made of an answer.
enum Judged {
    /// Its score and the hash of its prompt.
    Score(f64, Option<String>),
    /// The score of an answer without the promised form, which no judge was shown.
    Unseen(f64),
    Errored,
}

fn judged(result: &SampleResult, metric: &str) -> Judged {
    let Outcome::Scored { scores, .. } = &result.outcome else { return Judged::Errored };
    match scores.get(metric) {
        None => Judged::Errored,
        Some(score) => match &score.detail {
            None => Judged::Unseen(score.score),
            Some(detail) => {
                let prompt = detail.get("prompt_hash").and_then(serde_json::Value::as_str);
                Judged::Score(score.score, prompt.map(str::to_owned))
            }
        },
    }
}

/// Who the judge is, in a run, where its prompts are pinned. A weight or threshold changes nothing about its scores.
fn identity(spec: &RunSpec, metric: &str, prompt_hash: Option<String>) -> Result<JudgeIdentity, Error> {
    let scorer = spec.scoring.metrics.get(metric).map(|metric| &metric.scorer);
    let judge = scorer.and_then(|scorer| Some((scorer.judge_hash()?, scorer.judge_models().join(", "))));
    let (hash, model) = judge.ok_or_else(|| Error::Internal(format!("`{metric}` has no judge")))?;
    Ok(JudgeIdentity { hash, model, prompt_hash })
}

/// Labels beside the judge's scores of all samples.
struct Joined<'a> {
    metric: &'a str,
    by_answer: BTreeMap<(String, u32), Vec<&'a HumanLabel>>,
    units: Vec<Unit>,
    /// Hashes of the judge's prompts, each once; one is absent where the judge tells none.
    prompts: Vec<Option<String>>,
    /// Labelled answers without a score of the judge.
    errored: usize,
    /// Labels of answers that the run does not have.
    unmatched: BTreeSet<(String, u32)>,
}

impl<'a> Joined<'a> {
    fn new(labels: &'a [HumanLabel], metric: &'a str) -> Self {
        let mut by_answer: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for label in labels {
            by_answer.entry((label.sample_id.clone(), label.trial)).or_default().push(label);
        }
        let unmatched = BTreeSet::new();
        Self { metric, by_answer, units: Vec::new(), prompts: Vec::new(), errored: 0, unmatched }
    }

    async fn read(&mut self, evaluator: &ContinuousEvaluator, run: &RunKey) -> Result<(), Error> {
        let mut after = None;
        self.unmatched = self.by_answer.keys().cloned().collect();
        loop {
            let page = evaluator.services.store.stream_results(run, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some((last.ordinal, last.trial));
            for result in page {
                let key = (result.sample_id.clone(), result.trial);
                let labels = self.by_answer.get(&key);
                let people = labels.map(|labels| labels.iter().map(|label| label.score).collect()).unwrap_or_default();
                self.unmatched.remove(&key);
                match judged(&result, self.metric) {
                    Judged::Score(judge, prompt) => {
                        self.note_prompt(prompt);
                        self.units.push(Unit::of(result, judge, people));
                    }
                    Judged::Unseen(score) => {
                        self.errored += usize::from(labels.is_some());
                        self.units.push(Unit::of(result, score, Vec::new()));
                    }
                    Judged::Errored => self.errored += usize::from(labels.is_some()),
                }
            }
        }
    }

    fn note_prompt(&mut self, prompt: Option<String>) {
        if !self.prompts.contains(&prompt) {
            self.prompts.push(prompt);
        }
    }

    fn identity(&self, spec: &RunSpec) -> Result<JudgeIdentity, Error> {
        identity(spec, self.metric, self.prompts.first().cloned().flatten())
    }

    fn raters(&self) -> u64 {
        let raters: BTreeSet<&str> = self.by_answer.values().flatten().map(|label| label.rater.as_str()).collect();
        raters.len() as u64
    }

    fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        if self.errored > 0 {
            notices.push(format!("{} labelled answers have no score of the judge and are left out.", self.errored));
        }
        if let Some(strange) = self.strange() {
            notices.push(format!("The run has no answer for some labels, which are left out: {strange}."));
        }
        if self.prompts.len() > 1 {
            notices.push(
                "The judge's prompt changed within the run: the calibration is filed under the first.".to_owned(),
            );
        }
        notices
    }

    /// The labels that belong to no answer, the first of them by name.
    fn strange(&self) -> Option<String> {
        let named: Vec<String> =
            self.unmatched.iter().take(NAMED).map(|(id, trial)| format!("`{id}` (trial {trial})")).collect();
        let more = self.unmatched.len() - named.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!named.is_empty()).then(|| format!("{}{more}", named.join(", ")))
    }

    fn rated(&self) -> Result<Vec<Rated>, Error> {
        let labelled = self.units.iter().filter(|unit| !unit.people.is_empty());
        let rated: Vec<Rated> = labelled
            .map(|unit| Rated {
                ordinal: unit.ordinal,
                category: unit.category.clone(),
                people: unit.people.clone(),
                judge: unit.judge,
            })
            .collect();
        if rated.len() < 2 {
            let strange = self.strange().map(|s| format!("; the run has no answer for {s}")).unwrap_or_default();
            return Err(Error::invalid(format!(
                "{} labelled answers have a score of the judge: at least 2 are needed, and some 50 to say much{strange}",
                rated.len()
            ))
            .with_hint("labels are about the answers of one run: name it with --run"));
        }
        Ok(rated)
    }
}

fn confusion(rated: &[Rated], threshold: f64) -> Confusion {
    let mut confusion = Confusion::default();
    for one in rated {
        let cell = match (one.majority(threshold), one.judge >= threshold) {
            (true, true) => &mut confusion.both_pass,
            (true, false) => &mut confusion.people_pass_only,
            (false, true) => &mut confusion.judge_passes_only,
            (false, false) => &mut confusion.both_fail,
        };
        *cell += 1;
    }
    confusion
}

fn agreement(rated: &[Rated], threshold: f64, notices: &mut Vec<String>) -> Result<Agreement, Error> {
    let Confusion { both_pass, judge_passes_only, people_pass_only, both_fail } = confusion(rated, threshold);
    let table = [vec![both_fail, judge_passes_only], vec![people_pass_only, both_pass]];
    let worth = Worth::of(rated);
    let mut defined = |name: &str, found: Result<llmops_stats::Estimate, StatsError>| match found {
        Ok(estimate) => Some(worth.widen(to_domain(&estimate, false))),
        Err(error) => {
            notices.push(format!("{name} cannot be computed: {error}."));
            None
        }
    };
    let cohen = defined("Cohen's kappa", cohen_kappa(&table, KappaWeights::Unweighted, LEVEL));
    let judge_as_rater = |one: &Rated| one.people.iter().copied().chain([one.judge]).collect::<Vec<f64>>();
    let all: Vec<Vec<f64>> = rated.iter().map(judge_as_rater).collect();
    let people: Vec<Vec<f64>> = rated.iter().map(|one| one.people.clone()).collect();
    let several = people.iter().any(|ratings| ratings.len() > 1);
    let fleiss = defined("Fleiss' kappa", fleiss_kappa(&counts(&all, threshold), LEVEL));
    let alpha = defined("Krippendorff's alpha", krippendorff_alpha(&all, AlphaMetric::Interval, LEVEL));
    let (mut fleiss_people, mut alpha_people) = (None, None);
    if several {
        let (counted, of) = (counts(&people, threshold), "of the people alone");
        fleiss_people = defined(&format!("Fleiss' kappa {of}"), fleiss_kappa(&counted, LEVEL));
        let found = krippendorff_alpha(&people, AlphaMetric::Interval, LEVEL);
        alpha_people = defined(&format!("Krippendorff's alpha {of}"), found);
        let left = rated.len() - counts(&all, threshold).len();
        if left > 0 {
            notices.push(format!("Fleiss' kappa leaves out {left} answers with another number of ratings than most."));
        }
    }
    let (judge, human): (Vec<f64>, Vec<f64>) = rated.iter().map(|one| (one.judge, one.human())).unzip();
    let (mut rho, mut rho_p) = (None, None);
    match spearman_of_dependent(&judge, &human, worth.answers, TestOptions::at_level(LEVEL)) {
        Ok(found) => {
            let ends = found.interval.map_or([found.effect; 2], |i| [i.low, i.high]);
            rho = Some(Estimate { value: found.effect, n: worth.samples, lower: ends[0], upper: ends[1] });
            rho_p = Some(found.p_value);
        }
        Err(error) => notices.push(format!("Spearman's correlation cannot be computed: {error}.")),
    }
    Ok(Agreement {
        cohen_kappa: cohen,
        fleiss_kappa: fleiss,
        fleiss_kappa_people: fleiss_people,
        krippendorff_alpha: alpha,
        krippendorff_alpha_people: alpha_people,
        spearman: rho,
        spearman_p: rho_p,
        accuracy: accuracy(rated, threshold)?,
    })
}

/// Ratings as counts of (fail, pass), of those subjects that have as many ratings as most.
fn counts(ratings: &[Vec<f64>], threshold: f64) -> Vec<Vec<u64>> {
    let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
    for subject in ratings.iter().filter(|subject| subject.len() > 1) {
        *sizes.entry(subject.len()).or_default() += 1;
    }
    let usual = sizes.into_iter().max_by_key(|(_, count)| *count).map_or(0, |(size, _)| size);
    let subjects = ratings.iter().filter(|subject| subject.len() == usual);
    subjects
        .map(|subject| {
            let pass = subject.iter().filter(|score| **score >= threshold).count() as u64;
            vec![usual as u64 - pass, pass]
        })
        .collect()
}
