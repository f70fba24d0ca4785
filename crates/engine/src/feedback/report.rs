//! The report on feedback, and what complaints are about.

use std::collections::HashMap;

use jiff::Timestamp;
use llmops_api::feedback::{ReportQuery, SummaryBy};
use llmops_domain::config::channels::ChannelConfig;
use llmops_domain::feedback::topics::{Topics, topics, word_cosine, word_vectors};
use llmops_domain::feedback::{
    self, Feedback, FeedbackFilter, FeedbackReport, FeedbackTally, PromptFeedback, Sentiment,
};
use llmops_domain::review::asked;
use llmops_domain::run::Estimate;
use llmops_metrics::embedding_similarity::cosine;
use llmops_stats::proportion::{Rate, newcombe};

use super::{FeedbackManager, LEVEL, SECONDS_PER_DAY, day_name, day_of, row};
use crate::alerts::{no_channel, send_report};
use crate::aside::compute;
use crate::models::{Embedder, Found, Layer, Quiet};
use crate::{Error, LlmOps};

/// Days of a report that names no length.
const DEFAULT_DAYS: u32 = 7;
/// Most days of a report.
const MOST_DAYS: u32 = 366;
/// Complaints that are looked at, the newest first: comparing all with all takes the square of their number.
const MOST_TEXTS: usize = 500;
/// Complaints read at a time.
const PAGE: u32 = 200;
/// Texts of one topic have at least this similarity on average, by embeddings.
const NEAR_BY_EMBEDDING: f64 = 0.5;
/// The same by words.
const NEAR_BY_WORDS: f64 = 0.15;

impl FeedbackManager {
    /// The report on the last days, beside as many days before.
    pub async fn report(&self, query: &ReportQuery) -> Result<FeedbackReport, Error> {
        let days = query.days.unwrap_or(DEFAULT_DAYS);
        if !(1..=MOST_DAYS).contains(&days) {
            return Err(Error::invalid(format!("days is {days}: expected 1 to {MOST_DAYS}")));
        }
        let last = day_of(query.end_time.unwrap_or_else(|| self.services.clock.now()));
        let first = last - i64::from(days) + 1;
        let before = first - i64::from(days);
        let deployment = query.deployment.as_deref();
        let mut prompts = self.compared(SummaryBy::Prompt, deployment, (before, first, last)).await?;
        prompts.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.name.cmp(&b.name)));
        let total = self.compared(SummaryBy::All, deployment, (before, first, last)).await?.pop();
        let total = match total {
            Some(total) => total,
            None => compare("all".to_owned(), &FeedbackTally::default(), &FeedbackTally::default())?,
        };
        Ok(FeedbackReport {
            project: self.project.to_string(),
            deployment: query.deployment.clone(),
            first_day: day_name(first),
            last_day: day_name(last),
            before_first_day: day_name(before),
            total,
            prompts,
            topics: self.topics(deployment, (first, last), query.model.as_deref()).await?,
            open_reviews: self.services.store.count_open_reviews(&self.project, None, deployment).await?,
        })
    }

    /// Sends the report to a channel of the configuration: to Slack as a message, elsewhere as JSON.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such channel; [`Error::Conflict`] when it cannot be reached.
    pub async fn send_report(&self, report: &FeedbackReport, channel: &str) -> Result<(), Error> {
        let ops = LlmOps { services: self.services.clone(), project: self.project.clone() };
        let alerts = ops.alerts();
        let config = alerts.channels().into_iter().find(|(name, ..)| *name == channel).map(|(_, config, _)| config);
        let body = match config {
            None => return Err(no_channel(channel)),
            Some(ChannelConfig::Slack(_)) => feedback::slack(report),
            Some(ChannelConfig::Pagerduty(_)) => {
                return Err(Error::invalid(format!("the channel `{channel}` is a pager: it takes alerts, no reports"))
                    .with_hint("name a channel of the kind slack, webhook or command"));
            }
            Some(_) => {
                serde_json::json!({"type": "feedback.report", "report": report, "markdown": feedback::markdown(report)})
            }
        };
        send_report(&self.services, channel, &body).await.map_err(|message| Error::Conflict {
            message: format!("the report did not reach the channel `{channel}`: {message}"),
            hint: Some("llmops alert test sends a test message".to_owned()),
        })
    }

    /// Sums of two periods side by side, by name.
    async fn compared(
        &self,
        by: SummaryBy,
        deployment: Option<&str>,
        (before, first, last): (i64, i64, i64),
    ) -> Result<Vec<PromptFeedback>, Error> {
        let mut rows = std::collections::BTreeMap::<String, (FeedbackTally, FeedbackTally)>::new();
        for (name, day, tally) in self.sums(by, deployment, (before, last)).await? {
            let (old, new) = rows.entry(name).or_default();
            let side = if day < first { old } else { new };
            *side = side.plus(tally);
        }
        rows.into_iter().map(|(name, (old, new))| compare(name, &old, &new)).collect()
    }

    /// What negative feedback of these days is about.
    pub async fn topics(
        &self,
        deployment: Option<&str>,
        (first, last): (i64, i64),
        model: Option<&str>,
    ) -> Result<Topics, Error> {
        let start = |day: i64| Timestamp::from_second(day.saturating_mul(SECONDS_PER_DAY)).unwrap_or(Timestamp::MAX);
        let mut filter = FeedbackFilter {
            deployment: deployment.map(str::to_owned),
            sentiment: Some(Sentiment::Negative),
            start_time: Some(start(first)),
            end_time: Some(start(last + 1)),
            ..FeedbackFilter::default()
        };
        // One an answer, however many people rated it.
        let (mut complaints, mut known) = (Vec::<(Feedback, Option<String>)>::new(), HashMap::new());
        while complaints.len() < MOST_TEXTS {
            let page = self.list(&filter, PAGE).await?;
            let Some(oldest) = page.last() else { break };
            filter.cursor = Some(oldest.id.to_string());
            for feedback in page {
                let words = own_words(&feedback);
                let place = *known.entry(feedback.subject()).or_insert(complaints.len());
                match complaints.get_mut(place) {
                    Some((_, said)) => *said = said.take().or(words),
                    None => complaints.push((feedback, words)),
                }
            }
        }
        let mut texts = Vec::new();
        for (feedback, words) in complaints.into_iter().take(MOST_TEXTS) {
            texts.extend(match words {
                Some(words) => Some(words),
                None => self.question(&feedback).await?,
            });
        }
        let (embedder, why_not) = self.embedder(model).await?;
        compute(move || group(&texts, embedder.as_deref(), &why_not)).await
    }

    /// The question that was answered badly: what a complaint without words is about.
    async fn question(&self, feedback: &Feedback) -> Result<Option<String>, Error> {
        let Some(context) = &feedback.context else { return Ok(None) };
        let record = self.services.store.find_record(&self.project, &context.request_id).await?;
        Ok(record.and_then(|record| asked(&record).ok()).map(|asked| asked.input).filter(|input| !input.is_empty()))
    }

    /// The embedding model: the one that is asked for, which the configuration's metrics name or which is on this machine; else
    /// the first that the metrics name and that is on this machine; else why there is none.
    async fn embedder(&self, model: Option<&str>) -> Result<(Option<std::sync::Arc<Embedder>>, String), Error> {
        let models = &self.services.models;
        if let Some(model) = model {
            // Who reads a report shall not make the machine fetch whatever model they name.
            let is_configured = self.services.options.models.named.iter().any(|named| named == model);
            if !is_configured && !models.is_here(model)? {
                let message = format!("the embedding model `{model}` is not on this machine, and no metric names it");
                return Err(Error::invalid(message));
            }
            return Ok((Some(models.load(model, Layer::Last, &Quiet).await?), String::new()));
        }
        let Some(model) = self.services.options.models.named.first() else {
            return Ok((None, "no embedding model is configured".to_owned()));
        };
        match models.find(model).await {
            Ok(Found::Here(_)) => match models.load(model, Layer::Last, &Quiet).await {
                Ok(embedder) => Ok((Some(embedder), String::new())),
                Err(error) => Ok((None, error.to_string())),
            },
            Ok(Found::OnHub) => Ok((None, format!("{model} is not on this machine"))),
            Err(error) => Ok((None, error.to_string())),
        }
    }
}

/// What a complaint says itself: the comment, else the label.
fn own_words(feedback: &Feedback) -> Option<String> {
    let body = &feedback.body;
    body.comment.clone().or_else(|| body.label.as_ref().map(|label| label.replace('_', " ")))
}

fn group(texts: &[String], embedder: Option<&Embedder>, why_not: &str) -> Topics {
    if let Some(embedder) = embedder
        && let Ok(embeddings) = embedder.encoder().embed(texts)
    {
        let near = |a: usize, b: usize| cosine(&embeddings[a], &embeddings[b]);
        return topics(format!("embeddings ({})", embedder.name()), texts, near, NEAR_BY_EMBEDDING);
    }
    let vectors = word_vectors(texts);
    let why = if why_not.is_empty() { "the embedding model failed" } else { why_not };
    let near = |a: usize, b: usize| word_cosine(&vectors[a], &vectors[b]);
    topics(format!("words (TF-IDF), because {why}"), texts, near, NEAR_BY_WORDS)
}

/// One prompt version in two periods.
fn compare(name: String, before: &FeedbackTally, now: &FeedbackTally) -> Result<PromptFeedback, Error> {
    let (old, new) = (row(String::new(), before)?, row(name, now)?);
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    let change = if before.thumbs > 0 && now.thumbs > 0 {
        let rate = |tally: &FeedbackTally| Rate::new(count(tally.ups), count(tally.thumbs));
        let found = newcombe(rate(before)?, rate(now)?, LEVEL)?;
        let (lower, upper) = found.interval.map_or((found.value, found.value), |i| (i.low, i.high));
        Some(Estimate { value: found.value, n: count(before.thumbs + now.thumbs), lower, upper })
    } else {
        None
    };
    Ok(PromptFeedback {
        name: new.name,
        requests: new.requests,
        requests_before: old.requests,
        thumbs_up: new.thumbs_up,
        thumbs_up_before: old.thumbs_up,
        change,
        rating: new.rating,
        corrected: new.corrected,
    })
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn a_model_that_a_reader_names_is_not_fetched() {
        let ops = crate::LlmOps::in_memory().await.unwrap();
        let error = ops.feedback().embedder(Some("nobody/nothing")).await.err().unwrap();
        assert!(error.to_string().contains("`nobody/nothing` is not on this machine"), "{error}");
    }
}
