//! Feedback: taken in, joined with the answer that it is about, summed up.
//!
//! Feedback may come before its record is written, or after the record was erased: it is kept all the same, and joined when
//! the record shows up. What follows from it (observations of experiments, items of the review queue) is done once it is
//! joined, and again after a crash: doing it twice changes nothing.

mod export;
mod report;
mod settle;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use llmops_api::Problem;
use llmops_api::feedback::{FeedbackSummary, FeedbackSummaryRow, ReceivedFeedback, SummaryBy, SummaryQuery};
use llmops_domain::feedback::{self, Feedback, FeedbackContext, FeedbackFilter, FeedbackTally};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::{FeedbackId, ProjectId};
use llmops_domain::record::RequestRecord;
use llmops_domain::redact::redact;
use llmops_domain::run::Estimate;
use llmops_stats::bounded::Range;
use llmops_stats::moments::Moments;
use llmops_storage::{StoreError, StoredFeedback};
use serde_json::Value;

pub use self::export::ExportLines;
pub(crate) use self::settle::review_item;
use crate::evaluator::{share, to_domain, within};
use crate::{Error, Services};

/// Problems that are told one by one.
const MAX_PROBLEMS: usize = 100;
/// Most feedback in one request.
pub const MAX_BULK: usize = 1_000;
/// How far ahead of this clock feedback may be, for clocks that differ.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);
/// Feedback is not older than this, 2000-01-01T00:00:00Z: it is a time that nobody set.
const EARLIEST: i64 = 946_684_800;
/// Days of a summary that names no beginning.
const DEFAULT_DAYS: i64 = 30;
/// Level of intervals.
const LEVEL: f64 = 0.95;
const SECONDS_PER_DAY: i64 = 86_400;

/// Feedback of a project: submit, list, get, summary.
#[derive(Debug, Clone)]
pub struct FeedbackManager {
    pub(crate) services: Arc<Services>,
    pub(crate) project: ProjectId,
}

impl FeedbackManager {
    pub(crate) fn new(services: Arc<Services>, project: ProjectId) -> Self {
        Self { services, project }
    }

    /// Takes in one piece of feedback.
    ///
    /// # Errors
    /// [`Error::Invalid`] with everything that is wrong; [`Error::Conflict`] when its key belongs to other feedback.
    pub async fn submit(&self, value: &Value) -> Result<ReceivedFeedback, Error> {
        let received = self.submit_all(std::slice::from_ref(value)).await?;
        if received.refused == 0 {
            return Ok(received);
        }
        let problems: Vec<Problem> =
            received.problems.into_iter().map(|problem| Problem { line: None, ..problem }).collect();
        if let Some(clash) = problems.iter().find(|p| p.field.as_deref() == Some(CLASH)) {
            return Err(Error::Conflict {
                message: clash.message.clone(),
                hint: Some("a key belongs to one piece of feedback: give another one".to_owned()),
            });
        }
        Err(Error::Invalid { message: "the feedback cannot be taken".to_owned(), problems, hint: None })
    }

    /// Takes in much feedback. What is wrong is refused with its position, and the rest is taken.
    ///
    /// # Errors
    /// [`Error::Invalid`] for more than [`MAX_BULK`]; when the store is unavailable: send everything again, what has a key
    /// counts once.
    pub async fn submit_all(&self, values: &[Value]) -> Result<ReceivedFeedback, Error> {
        if values.len() > MAX_BULK {
            return Err(Error::invalid(format!("{} pieces of feedback at once: at most {MAX_BULK}", values.len()))
                .with_hint("send them in several requests"));
        }
        let mut received = ReceivedFeedback::default();
        let mut contexts = Contexts::new(self);
        let (mut good, mut lines) = (Vec::new(), Vec::new());
        for (line, value) in (1..).zip(values) {
            match self.read(value) {
                Ok(mut feedback) => {
                    feedback.context = contexts.of_feedback(&feedback).await?;
                    if let Some(context) = &feedback.context
                        && contexts.hides_users(context).await?
                    {
                        feedback.hash_user();
                    }
                    good.push(feedback);
                    lines.push(line);
                }
                Err(problems) => refuse(&mut received, line, problems),
            }
        }
        let stored = self.services.store.add_feedback(&self.project, &good).await?;
        for ((feedback, line), stored) in good.iter().zip(lines).zip(stored) {
            match stored {
                StoredFeedback::New(id) => {
                    received.accepted += 1;
                    received.ids.push(id);
                }
                StoredFeedback::Duplicate(id) => {
                    received.duplicates += 1;
                    received.ids.push(id);
                }
                StoredFeedback::Clash(id) => {
                    let key = feedback.body.idempotency_key.as_deref().unwrap_or_default();
                    let message = format!("`{key}` is the key of {id}, which says something else");
                    refuse(&mut received, line, vec![(CLASH.to_owned(), message)]);
                }
            }
        }
        if received.accepted > 0
            && let Err(error) = self.services.settle_feedback().await
        {
            tracing::warn!(%error, "what follows from feedback is done later");
        }
        Ok(received)
    }

    fn read(&self, value: &Value) -> Result<Feedback, Vec<(String, String)>> {
        let mut body = feedback::read(value)
            .map_err(|problems| problems.into_iter().map(|p| (p.field, p.message)).collect::<Vec<_>>())?;
        let now = self.services.clock.now();
        let at = body.at.take().unwrap_or(now);
        if at > now.checked_add(AHEAD).unwrap_or(Timestamp::MAX) {
            return Err(vec![("at".to_owned(), "it lies more than a day ahead".to_owned())]);
        }
        if at.as_second() < EARLIEST {
            let message = "it lies before 2000: expected when it was said, or no such field";
            return Err(vec![("at".to_owned(), message.to_owned())]);
        }
        for text in [&mut body.comment, &mut body.correction].into_iter().flatten() {
            *text = redact(text).into_owned();
        }
        let id = FeedbackId::new(now.as_millisecond(), self.services.clock.random());
        Ok(Feedback { id, at, sentiment: body.sentiment(), body, context: None })
    }

    /// Feedback, newest first.
    pub async fn list(&self, filter: &FeedbackFilter, limit: u32) -> Result<Vec<Feedback>, Error> {
        Ok(self.services.store.list_feedback(&self.project, filter, limit).await?)
    }

    /// One piece of feedback.
    pub async fn get(&self, id: &str) -> Result<Feedback, Error> {
        Ok(self.services.store.get_feedback(&self.project, id).await?)
    }

    /// What was said, summed up. It reads sums and no feedback, so it takes as long for ten as for ten million.
    pub async fn summary(&self, query: &SummaryQuery) -> Result<FeedbackSummary, Error> {
        let now = self.services.clock.now();
        let last = day_of(query.end_time.unwrap_or(now));
        let first = query.start_time.map_or(last - DEFAULT_DAYS + 1, day_of);
        if first > last {
            return Err(Error::invalid("start_time lies behind end_time"));
        }
        let mut rows = BTreeMap::<String, FeedbackTally>::new();
        for (slice, day, tally) in self.sums(query.by, query.deployment.as_deref(), (first, last)).await? {
            let name = if query.by == SummaryBy::Day { day_name(day) } else { slice };
            let sum = rows.entry(name).or_default();
            *sum = sum.plus(tally);
        }
        let mut rows = rows.into_iter().map(|(name, tally)| row(name, &tally)).collect::<Result<Vec<_>, _>>()?;
        if query.by != SummaryBy::Day {
            rows.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.name.cmp(&b.name)));
        }
        let all = self.sums(SummaryBy::All, query.deployment.as_deref(), (first, last)).await?;
        let requests = all.iter().map(|(_, _, tally)| u64::try_from(tally.requests).unwrap_or(0)).sum();
        let unjoined = match query.deployment {
            Some(_) => 0,
            None => self.services.store.count_unjoined_feedback(&self.project, (first, last)).await?,
        };
        let (first_day, last_day) = (day_name(first), day_name(last));
        Ok(FeedbackSummary { by: query.by, first_day, last_day, rows, requests, unjoined })
    }

    /// Sums by name, each day apart.
    async fn sums(
        &self,
        by: SummaryBy,
        deployment: Option<&str>,
        days: (i64, i64),
    ) -> Result<Vec<(String, i64, FeedbackTally)>, Error> {
        let kind = if by == SummaryBy::Day { "all" } else { by.as_str() };
        let sums = self.services.store.feedback_sums(&self.project, deployment, kind, days).await?;
        let named = |slice: String| slice.split_once('/').map_or(slice.clone(), |(_, name)| name.to_owned());
        Ok(sums.into_iter().map(|(slice, day, tally)| (named(slice), day, tally)).collect())
    }
}

/// The field of a problem with a key that belongs to other feedback.
const CLASH: &str = "idempotency_key";

fn refuse(received: &mut ReceivedFeedback, line: u64, problems: Vec<(String, String)>) {
    received.refused += 1;
    let room = MAX_PROBLEMS.saturating_sub(received.problems.len());
    received.problems.extend(problems.into_iter().take(room).map(|(field, message)| Problem {
        line: Some(line),
        field: (!field.is_empty()).then_some(field),
        message,
    }));
}

/// Days since 1970, UTC.
pub(crate) fn day_of(time: Timestamp) -> i64 {
    time.as_second().div_euclid(SECONDS_PER_DAY)
}

fn day_name(day: i64) -> String {
    let start = Timestamp::from_second(day.saturating_mul(SECONDS_PER_DAY)).unwrap_or(Timestamp::UNIX_EPOCH);
    start.strftime("%Y-%m-%d").to_string()
}

/// Sums as a row, with intervals.
pub(crate) fn row(name: String, tally: &FeedbackTally) -> Result<FeedbackSummaryRow, Error> {
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    let rate = |part: i64, whole: i64| share(count(part), count(whole));
    let rating = match tally.rating_moments() {
        None => None,
        // The bounds of single ratings do not matter for their mean.
        Some((n, mean, spread)) => {
            let mean = Moments::from_parts(n, mean, spread, 0.0, 1.0)?.mean_estimate(LEVEL)?;
            let estimate = to_domain(&within(mean, Range::UNIT), true);
            // One rating says nothing of how far others are from it.
            Some(if n == 1 { Estimate { lower: 0.0, upper: 1.0, ..estimate } } else { estimate })
        }
    };
    Ok(FeedbackSummaryRow {
        name,
        requests: count(tally.requests),
        thumbs_up: rate(tally.ups, tally.thumbs)?,
        rating,
        corrected: rate(tally.corrections, tally.requests)?,
        comments: count(tally.comments),
    })
}

/// What answers were, with the prompts of manifests looked up once.
pub(crate) struct Contexts<'a> {
    manager: &'a FeedbackManager,
    prompts: BTreeMap<String, Option<String>>,
    /// Whether deployments hash their users, by name and environment.
    hashing: BTreeMap<(String, String), bool>,
}

impl<'a> Contexts<'a> {
    pub(crate) fn new(manager: &'a FeedbackManager) -> Self {
        Self { manager, prompts: BTreeMap::new(), hashing: BTreeMap::new() }
    }

    /// The answer that feedback is about, where its record is there.
    async fn of_feedback(&mut self, feedback: &Feedback) -> Result<Option<FeedbackContext>, Error> {
        let (store, project) = (&self.manager.services.store, &self.manager.project);
        let record = match (&feedback.body.request_id, &feedback.body.trace_id) {
            (Some(request), _) => store.find_record(project, request).await?,
            (None, Some(trace)) => store.record_of_trace(project, trace).await?,
            (None, None) => None,
        };
        match record {
            Some(record) => Ok(Some(self.of_record(record).await?)),
            None => Ok(None),
        }
    }

    /// What a record says of an answer.
    pub(crate) async fn of_record(&mut self, record: RequestRecord) -> Result<FeedbackContext, Error> {
        let prompt = match &record.manifest {
            Some(manifest) => self.prompt(manifest.as_str()).await?,
            None => None,
        };
        Ok(FeedbackContext {
            request_id: record.id,
            deployment: record.deployment,
            environment: record.environment,
            manifest: record.manifest,
            prompt,
            model: record.model,
            variant: record.variant,
            user: record.user,
            session: record.session,
            tags: record.tags,
        })
    }

    /// Whether users are kept as hashes where the answer came from: by the record's own, or by the deployment's settings.
    pub(crate) async fn hides_users(&mut self, context: &FeedbackContext) -> Result<bool, Error> {
        if context.user.as_deref().is_some_and(|user| ContentHash::parse(user).is_some()) {
            return Ok(true);
        }
        let (Some(name), Some(environment)) = (&context.deployment, &context.environment) else { return Ok(false) };
        let place = (name.clone(), environment.clone());
        if let Some(known) = self.hashing.get(&place) {
            return Ok(*known);
        }
        let found = self.manager.services.store.find_deployment(&self.manager.project, name, environment).await?;
        let hides = found.is_some_and(|deployment| deployment.settings.hash_users);
        self.hashing.insert(place, hides);
        Ok(hides)
    }

    async fn prompt(&mut self, manifest: &str) -> Result<Option<String>, Error> {
        if let Some(known) = self.prompts.get(manifest) {
            return Ok(known.clone());
        }
        let prompt = match self.manager.services.store.get_manifest(&self.manager.project, manifest).await {
            Ok((_, manifest)) => manifest.prompt_label(),
            Err(StoreError::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        self.prompts.insert(manifest.to_owned(), prompt.clone());
        Ok(prompt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_rating_has_an_interval() {
        let check = |ratings: &[f64], expected: Option<(f64, f64, f64)>| {
            let tally = FeedbackTally {
                rated: i64::try_from(ratings.len()).unwrap(),
                rating_sum: ratings.iter().sum(),
                rating_squares: ratings.iter().map(|share| share * share).sum(),
                ..FeedbackTally::default()
            };
            let found = row("all".to_owned(), &tally).unwrap().rating;
            let found = found.map(|mean| (mean.value, mean.lower, mean.upper));
            assert_eq!(found, expected, "{ratings:?}");
        };
        check(&[], None);
        check(&[0.0], Some((0.0, 0.0, 1.0)));
        check(&[1.0], Some((1.0, 0.0, 1.0)));
        let two = FeedbackTally { rated: 2, rating_sum: 1.0, rating_squares: 0.5, ..FeedbackTally::default() };
        let mean = row("all".to_owned(), &two).unwrap().rating.unwrap();
        assert!(mean.lower < 0.5 && mean.upper > 0.5, "{mean:?}");
    }
}
