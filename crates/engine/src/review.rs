//! `ReviewQueue`: answers that a person should look at, and what a person makes of them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use jiff::SignedDuration;
use llmops_api::Problem;
use llmops_api::feedback::{CollectedReviews, Decided};
use llmops_domain::dataset::Sample;
use llmops_domain::id::{ProjectId, ReviewId};
use llmops_domain::judge::JudgeDetail;
use llmops_domain::review::{
    Decide, NewReviewItem, ReviewDecision, ReviewError, ReviewFilter, ReviewItem, ReviewReason, ReviewStatus,
};
use llmops_domain::run::{EvaluationRun, Outcome, SampleResult};
use llmops_storage::{ResultFilter, VersionSelector};

use crate::evaluator::RunRef;
use crate::feedback::review_item;
use crate::{DatasetManager, Error, LlmOps, Services};

/// The dataset that gets samples where none is named.
const DEFAULT_DATASET: &str = "golden";
/// Open items about soft failures of one deployment: when every call fails, a person needs no more of them.
const MOST_SOFT_FAILURES: u32 = 100;
/// Items that one run may add: what is uncertain everywhere is a matter of the judge.
const MOST_PER_RUN: u64 = 50;
/// Records, samples and results read at a time.
const PAGE: u32 = 200;
/// Records this young may still be joined by older ones that were written later.
const SETTLED_AFTER: SignedDuration = SignedDuration::from_secs(2);
/// The name of the cursor over records with soft failures.
const SOFT_FAILURES: &str = "soft_failures";
/// A judge's score this close to the threshold could as well be on its other side.
const CLOSE: f64 = 0.05;
/// Judges of a debate whose scores are this far apart do not agree.
const WIDE: f64 = 0.3;

/// The review queue of a project: add, list, get, decide, collect.
#[derive(Debug, Clone)]
pub struct ReviewQueue {
    services: Arc<Services>,
    project: ProjectId,
    datasets: DatasetManager,
}

impl ReviewQueue {
    pub(crate) fn new(services: Arc<Services>, project: ProjectId) -> Self {
        let datasets = DatasetManager::new(services.clone(), project.clone());
        Self { services, project, datasets }
    }

    /// Adds an answer. The same origin again is the item that exists. Answers with the item and whether it is new.
    pub async fn add(&self, item: NewReviewItem) -> Result<(ReviewItem, bool), Error> {
        let clock = &self.services.clock;
        let now = clock.now();
        let id = ReviewId::new(now.as_millisecond(), clock.random());
        let item = ReviewItem { id, created_at: now, status: ReviewStatus::Open, item, decision: None };
        Ok(self.services.store.add_review(&self.project, &item).await?)
    }

    /// What is open about soft failures of a deployment.
    async fn open_soft_failures(&self, deployment: Option<&str>) -> Result<Vec<NewReviewItem>, Error> {
        let filter = ReviewFilter {
            status: Some(ReviewStatus::Open),
            reason: Some(ReviewReason::SoftFailure),
            deployment: deployment.map(str::to_owned),
            ..ReviewFilter::default()
        };
        let items = self.list(&filter, MOST_SOFT_FAILURES).await?.into_iter().map(|item| item.item);
        Ok(items.filter(|item| item.deployment.as_deref() == deployment).collect())
    }

    /// Items, the newest first.
    pub async fn list(&self, filter: &ReviewFilter, limit: u32) -> Result<Vec<ReviewItem>, Error> {
        Ok(self.services.store.list_reviews(&self.project, filter, limit).await?)
    }

    /// One item, by its id, by a beginning of it that fits no other, or `latest`: the newest that is open.
    pub async fn get(&self, id: &str) -> Result<ReviewItem, Error> {
        if id == "latest" {
            let open = ReviewFilter { status: Some(ReviewStatus::Open), ..ReviewFilter::default() };
            return self.list(&open, 1).await?.pop().ok_or_else(|| {
                Error::not_found("open review item", id).with_hint("everything is decided: llmops review list --all")
            });
        }
        Ok(self.services.store.get_review(&self.project, id).await?)
    }

    /// Decides on an item, once. An answer that is good by it becomes a sample of a dataset.
    ///
    /// # Errors
    /// [`Error::Conflict`] when somebody decided before, or the dataset asks the same already; [`Error::Invalid`] when the
    /// decision lacks what it needs.
    pub async fn decide(&self, id: &str, request: Decide) -> Result<Decided, Error> {
        let mut item = self.get(id).await?;
        if is_half_done(&item) {
            // Whoever decided could not add the sample: that is done for them, and is an answer to the same decision alone.
            let decided = self.add_sample(item).await?;
            if decided.item.is_decided_so(&request) {
                return Ok(decided);
            }
            item = decided.item;
        }
        let (status, answer) = item.decide(&request).map_err(|error| invalid(&error))?;
        let by = self.services.store.actor().name.clone();
        let mut decision = ReviewDecision {
            action: request.action,
            at: self.services.clock.now(),
            by: by.clone(),
            label: request.label.clone(),
            note: request.note.clone(),
            answer: answer.clone(),
            dataset: None,
            dataset_version: None,
            sample: None,
        };
        if let Some(answer) = answer {
            let sample = item.sample(&request, &answer, &by).map_err(|error| invalid(&error))?;
            let dataset = request.dataset.clone().unwrap_or_else(|| DEFAULT_DATASET.to_owned());
            decision.sample = Some(self.placed(&dataset, sample, request.replace).await?);
            decision.dataset = Some(dataset);
        }
        item.status = status;
        item.decision = Some(decision);
        self.services.store.decide_review(&self.project, &item).await?;
        if is_half_done(&item) { self.add_sample(item).await } else { Ok(Decided { item, dataset: None }) }
    }

    /// The sample as it goes into the dataset: in the place of the one that asks the same, where that is wanted.
    async fn placed(&self, dataset: &str, mut sample: Sample, replace: bool) -> Result<Sample, Error> {
        let question = |sample: &Sample| sample.question_hash().map_err(|e| Error::invalid(e.to_string()));
        let wanted = question(&sample)?;
        let version = match self.datasets.version(dataset, &VersionSelector::Latest).await {
            Ok(version) => version,
            Err(Error::NotFound { .. }) => return Ok(sample),
            Err(error) => return Err(error),
        };
        let mut from = 0;
        loop {
            let page = self.datasets.get_samples(&version, from, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(sample) };
            from = last + 1;
            for (_, known) in &page {
                if question(known)? != wanted {
                    continue;
                }
                if !replace {
                    return Err(Error::Conflict {
                        message: format!("`{dataset}` asks the same already: sample `{}`", known.id),
                        hint: Some("--replace puts the new answer in its place; or dismiss the item".to_owned()),
                    });
                }
                sample.id.clone_from(&known.id);
                sample.category = sample.category.or_else(|| known.category.clone());
                return Ok(sample);
            }
        }
    }

    async fn add_sample(&self, mut item: ReviewItem) -> Result<Decided, Error> {
        let Some(decision) = &mut item.decision else { return Ok(Decided { item, dataset: None }) };
        let (Some(dataset), Some(sample)) = (&decision.dataset, &decision.sample) else {
            return Ok(Decided { item, dataset: None });
        };
        let imported = self.datasets.add_samples(dataset, vec![sample.clone()]).await?;
        decision.dataset_version = Some(imported.version.version.clone());
        self.services.store.complete_review(&self.project, &item).await?;
        Ok(Decided { item, dataset: Some(imported) })
    }

    /// Adds the answers of a run that its judges are uncertain of: scores close to the threshold, comparisons that depend on
    /// the order, debates without agreement.
    pub async fn collect(&self, run: &RunRef) -> Result<CollectedReviews, Error> {
        let ops = LlmOps { services: self.services.clone(), project: self.project.clone() };
        let evaluator = ops.evaluator();
        let run = evaluator.get_run(run, None).await?;
        let version =
            self.datasets.version(&run.spec.dataset, &VersionSelector::from(&run.spec.dataset_version)).await?;
        let (mut collected, mut cursor) = (CollectedReviews::default(), None);
        loop {
            let (page, next) = evaluator.results(&run.id, &ResultFilter::default(), cursor.as_ref(), PAGE).await?;
            for result in &page {
                let Some(detail) = uncertain(&run, result) else { continue };
                if collected.added >= MOST_PER_RUN {
                    return Ok(collected);
                }
                let (_, sample) = self.datasets.get_sample(&version, &result.sample_id).await?;
                let item = NewReviewItem {
                    manifest: Some(run.spec.manifest_id.clone()),
                    input: sample.input,
                    messages: sample.messages,
                    variables: sample.variables,
                    category: sample.category,
                    output: Some(result.output.clone()).filter(|text| !text.trim().is_empty()),
                    ..NewReviewItem::new(
                        ReviewReason::UncertainJudge,
                        format!("run/{}/{}", run.id, result.sample_id),
                        detail,
                    )
                };
                let (_, is_new) = self.add(item).await?;
                collected.added += u64::from(is_new);
                collected.known += u64::from(!is_new);
            }
            match next {
                Some(next) => cursor = Some(next),
                None => return Ok(collected),
            }
        }
    }
}

impl LlmOps {
    /// Feedback.
    pub fn feedback(&self) -> crate::FeedbackManager {
        crate::FeedbackManager::new(self.services.clone(), self.project.clone())
    }

    /// The review queue.
    pub fn reviews(&self) -> ReviewQueue {
        ReviewQueue::new(self.services.clone(), self.project.clone())
    }

    /// Does what waits for nobody, in all projects: feedback that came before its record is joined, and answers with soft
    /// failures come into the review queue. Workers do it all the time.
    pub async fn tend_feedback(&self) -> Result<(), Error> {
        self.services.settle_feedback().await?;
        let store = &self.services.store;
        let until = self.services.clock.now().checked_sub(SETTLED_AFTER).unwrap_or(jiff::Timestamp::MIN);
        for (project, after) in store.review_cursors(SOFT_FAILURES).await? {
            let page = store.soft_failures_after(&project, &after, until, PAGE).await?;
            let Some(last) = page.last() else { continue };
            let queue = ReviewQueue::new(self.services.clone(), project.clone());
            // Of each deployment what is open already: the same answer to the same question is one matter for a person.
            let mut open: BTreeMap<Option<String>, Vec<NewReviewItem>> = BTreeMap::new();
            for record in &page {
                let known = match open.entry(record.deployment.clone()) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(place) => {
                        let known = queue.open_soft_failures(record.deployment.as_deref()).await?;
                        place.insert(known)
                    }
                };
                let details: Vec<&str> = record.soft_failures.iter().map(|failure| failure.detail.as_str()).collect();
                let item = review_item(ReviewReason::SoftFailure, record, details.join("; "));
                if known.len() >= MOST_SOFT_FAILURES as usize || known.iter().any(|other| is_same(other, &item)) {
                    continue;
                }
                queue.add(item.clone()).await?;
                known.push(item);
            }
            store.move_review_cursor(&project, SOFT_FAILURES, &last.id).await?;
        }
        Ok(())
    }
}

/// Whether two answers are the same to the same question. Where no text is kept, nobody knows.
fn is_same(one: &NewReviewItem, other: &NewReviewItem) -> bool {
    let has_text = !one.input.trim().is_empty() || !one.messages.is_empty();
    has_text
        && one.input == other.input
        && one.messages == other.messages
        && one.variables == other.variables
        && one.output == other.output
}

/// Whether an item was decided on and its sample is in no dataset yet.
fn is_half_done(item: &ReviewItem) -> bool {
    item.decision.as_ref().is_some_and(|decision| decision.sample.is_some() && decision.dataset_version.is_none())
}

fn invalid(error: &ReviewError) -> Error {
    let message = error.to_string();
    match error {
        ReviewError::Decided { .. } => Error::Conflict { message, hint: None },
        ReviewError::Missing { field, expected } => {
            let problem = Problem { line: None, field: Some((*field).to_owned()), message: (*expected).to_owned() };
            Error::Invalid { message, problems: vec![problem], hint: None }
        }
        ReviewError::Unwanted { .. } => Error::invalid(message),
    }
}

/// Why the judges of a run are uncertain of an answer; nothing where they are not, or nobody judged.
fn uncertain(run: &EvaluationRun, result: &SampleResult) -> Option<String> {
    let Outcome::Scored { scores, .. } = &result.outcome else { return None };
    scores.iter().find_map(|(name, score)| {
        let detail: JudgeDetail = serde_json::from_value(score.detail.clone()?).ok()?;
        let threshold = run.spec.scoring.metrics.get(name).and_then(|metric| metric.threshold);
        let threshold = threshold.unwrap_or(run.spec.scoring.pass_threshold);
        if detail.comparison.as_ref().is_some_and(|comparison| comparison.flipped) {
            return Some(format!("{name} depends on the order of the answers"));
        }
        if let Some(debate) = detail.debate.as_ref().filter(|debate| !debate.agreed && debate.spread >= WIDE) {
            return Some(format!("{name}: the judges are {:.2} apart", debate.spread));
        }
        let is_close = (score.score - threshold).abs() < CLOSE;
        is_close.then(|| format!("{name} is {:.2}, close to the threshold {threshold:.2}", score.score))
    })
}
