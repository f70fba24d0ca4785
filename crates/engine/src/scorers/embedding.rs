//! Scorers over embeddings: BERTScore, embedding similarity, lists whose items mean the same.
//!
//! Answers that come while others are being embedded wait and go together: one forward pass over many texts takes much
//! less time than many over one.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use llmops_domain::run::MetricScore;
use llmops_domain::scoring::compare::ListMatchSpec;
use llmops_domain::scoring::{BaselineSpec, BertscoreSpec, Measure, ScorerSpec};
use llmops_metrics::Prf;
use llmops_metrics::bertscore::{Baseline, BertScore, Idf};
use llmops_metrics::embedding_similarity::cosine;
use llmops_metrics::encoder::{EncodeError, TokenEmbeddings};
use llmops_metrics::semantic_list::list_items;
use llmops_storage::{Store, VersionKey};
use serde_json::{Value as Json, json};
use tokio::sync::oneshot;

use super::list::{best_list, expected_lists};
use super::{ScoreError, Scored, Tally};
use crate::Error;
use crate::models::{DEFAULT_MODEL, Embedder, Layer, Models, Pair, Quiet};

/// Most answers that are embedded together.
const BATCH: usize = 128;
/// Samples whose references are counted together.
const PAGE: u32 = 500;

/// The metrics of a run that need an embedding model.
pub(super) struct EmbeddingScorers {
    models: Arc<Models>,
    wanted: Vec<(String, ScorerSpec)>,
    /// One for each model, once they are loaded.
    groups: OnceLock<Vec<Arc<Group>>>,
}

/// Metrics of one model.
struct Group {
    embedder: Arc<Embedder>,
    metrics: Vec<(String, Metric)>,
    queue: Mutex<Queue>,
}

enum Metric {
    Bertscore { measure: Measure, how: Box<BertScore> },
    Similarity,
    List(ListMatchSpec),
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Job>,
    /// Whether somebody is working on it.
    busy: bool,
}

struct Job {
    output: String,
    references: Vec<String>,
    reply: oneshot::Sender<Result<Vec<MetricScore>, EncodeError>>,
}

/// What a metric says of one answer and one reference.
#[derive(Clone, Copy)]
enum Value {
    Bertscore(Prf),
    Similarity(f64),
}

impl Value {
    /// Each part of BERTScore is that of the reference where it is best, as in `bert_score`.
    fn better(self, other: Self) -> Self {
        match (self, other) {
            (Self::Bertscore(a), Self::Bertscore(b)) => Self::Bertscore(Prf {
                precision: a.precision.max(b.precision),
                recall: a.recall.max(b.recall),
                f1: a.f1.max(b.f1),
            }),
            (Self::Similarity(a), Self::Similarity(b)) => Self::Similarity(a.max(b)),
            (a, _) => a,
        }
    }
}

impl EmbeddingScorers {
    pub(super) fn new(metrics: impl Iterator<Item = (String, ScorerSpec)>, models: &Arc<Models>) -> Self {
        Self { models: models.clone(), wanted: metrics.collect(), groups: OnceLock::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Loads the models, and counts the words of all references where a metric weighs by them.
    pub(super) async fn prepare(&self, store: &Store, dataset: VersionKey) -> Result<(), Error> {
        if self.groups.get().is_some() {
            return Ok(());
        }
        let mut groups: Vec<Group> = Vec::new();
        let mut wanted: Vec<_> = self.wanted.iter().map(|(name, spec)| (name, spec, model_of(spec))).collect();
        // Over the weights of the deepest, the others need no load of their own.
        wanted.sort_by_key(|(_, _, (model, layer))| Reverse(layer.depth(model)));
        for (name, spec, (model, layer)) in wanted {
            let embedder = self.models.load(model, layer, &Quiet).await?;
            let metric = match spec {
                ScorerSpec::Bertscore(spec) => {
                    let idf = if spec.idf { Some(count_references(store, dataset, &embedder).await?) } else { None };
                    let baseline = baseline(name, spec, embedder.encoder().layer())?;
                    Metric::Bertscore { measure: spec.measure, how: Box::new(BertScore { idf, baseline }) }
                }
                ScorerSpec::ListMatch(list) => Metric::List(list.clone()),
                _ => Metric::Similarity,
            };
            match groups.iter_mut().find(|group| Arc::ptr_eq(&group.embedder, &embedder)) {
                Some(group) => group.metrics.push((name.clone(), metric)),
                None => {
                    groups.push(Group { embedder, metrics: vec![(name.clone(), metric)], queue: Mutex::default() });
                }
            }
        }
        // Whoever else prepared it meanwhile has the same.
        let _ = self.groups.set(groups.into_iter().map(Arc::new).collect());
        Ok(())
    }

    /// Notes the scores of an answer.
    pub(super) async fn score(&self, scored: Scored<'_>, tally: &mut Tally<'_>) -> Result<(), ScoreError> {
        for group in self.groups.get().into_iter().flatten() {
            let has_reference = !scored.sample.expected_output.is_empty();
            let asked = if has_reference { Some(group.ask(scored).await) } else { None };
            for (at, (name, _)) in group.metrics.iter().enumerate() {
                let unscored = |why: &str| {
                    let message = format!("{}: {why}", group.embedder.name());
                    ScoreError::new(format!("{name}: cannot be computed"), message)
                };
                let said = match &asked {
                    None => Err(super::no_reference(name, scored.sample)),
                    Some(Err(error)) => Err(unscored(&error.to_string())),
                    Some(Ok(values)) => values.get(at).cloned().ok_or_else(|| unscored("no value")),
                };
                tally.note(name, said)?;
            }
        }
        Ok(())
    }
}

/// The model of a metric, and which of its layers.
fn model_of(spec: &ScorerSpec) -> (&str, Layer) {
    let layer = match spec {
        ScorerSpec::Bertscore(BertscoreSpec { layer: Some(layer), .. }) => Layer::At(*layer as usize),
        ScorerSpec::Bertscore(_) => Layer::Recommended,
        _ => Layer::Last,
    };
    (spec.embedding_model().flatten().unwrap_or(DEFAULT_MODEL), layer)
}

/// The baseline of a layer.
fn baseline(name: &str, spec: &BertscoreSpec, layer: usize) -> Result<Option<Baseline>, Error> {
    let rows = match &spec.baseline {
        None => return Ok(None),
        Some(BaselineSpec::Layers(rows)) => rows,
        Some(BaselineSpec::File(path)) => {
            return Err(Error::invalid(format!("metric `{name}`: the content of {path} is wanted, not its path")));
        }
    };
    match rows.get(layer) {
        Some(&[precision, recall, f1]) if rows[layer].iter().all(|b| b.is_finite() && *b < 1.0) => {
            Ok(Some(Baseline { scores: Prf { precision, recall, f1 } }))
        }
        Some(_) => Err(Error::invalid(format!("metric `{name}`: a baseline of layer {layer} is not below 1"))),
        None => Err(Error::invalid(format!("metric `{name}`: the baseline has no row for layer {layer}"))
            .with_hint(format!("it has {} rows, the first of them for layer 0", rows.len()))),
    }
}

/// Frequencies over the references of every sample of the version, also where the run is limited to some: so that runs
/// of different limits weigh alike.
async fn count_references(store: &Store, dataset: VersionKey, embedder: &Arc<Embedder>) -> Result<Idf, Error> {
    let mut idf = Idf::default();
    let mut next = 0;
    loop {
        let samples = store.stream_samples(dataset, next, PAGE).await?;
        let Some((last, _)) = samples.last() else { return Ok(idf) };
        next = last + 1;
        let references: Vec<String> = samples.into_iter().flat_map(|(_, sample)| sample.expected_output).collect();
        let embedder = embedder.clone();
        let counted = tokio::task::spawn_blocking(move || {
            idf.count(embedder.encoder(), &references)?;
            Ok::<_, EncodeError>(idf)
        });
        idf = counted
            .await
            .map_err(|panic| Error::Internal(format!("counting references failed: {panic}")))?
            .map_err(|error| Error::invalid(error.to_string()))?;
    }
}

impl Group {
    /// Waits for the values of an answer, one for each metric.
    async fn ask(self: &Arc<Self>, scored: Scored<'_>) -> Result<Vec<MetricScore>, EncodeError> {
        let (reply, told) = oneshot::channel();
        let job = Job { output: scored.output.to_owned(), references: scored.sample.expected_output.clone(), reply };
        let start = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.waiting.push(job);
            !std::mem::replace(&mut queue.busy, true)
        };
        if start {
            tokio::spawn(self.clone().work());
        }
        told.await.unwrap_or_else(|_| Err(EncodeError::new("the thread that embeds has died")))
    }

    /// Works on whatever waits until nothing does.
    async fn work(self: Arc<Self>) {
        loop {
            let jobs: Vec<Job> = {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                let count = queue.waiting.len().min(BATCH);
                queue.busy = count > 0;
                queue.waiting.drain(..count).collect()
            };
            if jobs.is_empty() {
                return;
            }
            let group = self.clone();
            // When it panics, the replies are dropped, and whoever waits is told so.
            let _ = tokio::task::spawn_blocking(move || group.compute(jobs)).await;
        }
    }

    fn compute(&self, jobs: Vec<Job>) {
        let answers = self.scores(&jobs);
        let answers: Vec<_> = match answers {
            Ok(scores) => scores.into_iter().map(Ok).collect(),
            Err(error) => jobs.iter().map(|_| Err(error.clone())).collect(),
        };
        for (job, answer) in jobs.into_iter().zip(answers) {
            // Who asked may have gone.
            let _ = job.reply.send(answer);
        }
    }

    /// The scores of every job, one for each metric.
    fn scores(&self, jobs: &[Job]) -> Result<Vec<Vec<MetricScore>>, EncodeError> {
        let mut whole = self.values(jobs)?.into_iter();
        let mut lists = Vec::new();
        for (_, metric) in &self.metrics {
            if let Metric::List(list) = metric {
                lists.push(self.list_scores(list, jobs)?.into_iter());
            }
        }
        let model = json!({
            "name": self.embedder.name(), "hash": self.embedder.hash(), "layer": self.embedder.encoder().layer(),
        });
        let job = |_: &Job| {
            let mut values = whole.next().unwrap_or_default().into_iter();
            let mut of_lists = lists.iter_mut();
            let score = |(_, metric): &(String, Metric)| match metric {
                Metric::List(_) => of_lists.next()?.next()?,
                metric => Some(to_score(metric, values.next()?, &model)),
            };
            let scores: Option<Vec<MetricScore>> = self.metrics.iter().map(score).collect();
            scores.ok_or_else(|| EncodeError::new("there is nothing to compare with"))
        };
        jobs.iter().map(job).collect()
    }

    /// What the metrics over whole texts say of each answer; texts are embedded once for all of them.
    fn values(&self, jobs: &[Job]) -> Result<Vec<Vec<Value>>, EncodeError> {
        let ends = self.embedder.encoder().ends();
        let measure = |output: &TokenEmbeddings, reference: &TokenEmbeddings| -> Vec<Value> {
            let value = |(_, metric): &(String, Metric)| match metric {
                Metric::Bertscore { how, .. } => Some(Value::Bertscore(how.compare(ends, output, reference))),
                Metric::Similarity => Some(Value::Similarity(cosine(output, reference))),
                Metric::List(_) => None,
            };
            self.metrics.iter().filter_map(value).collect()
        };
        if self.metrics.iter().all(|(_, metric)| matches!(metric, Metric::List(_))) {
            return Ok(jobs.iter().map(|_| Vec::new()).collect());
        }
        let pairs: Vec<Pair<'_>> = jobs.iter().map(|job| (job.output.as_str(), job.references.as_slice())).collect();
        let best = |a: Vec<Value>, b: Vec<Value>| a.into_iter().zip(b).map(|(a, b)| a.better(b)).collect();
        let values = self.embedder.compare(&pairs, measure, best)?;
        Ok(values.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// Compares the lists of all answers with the expected ones, item by item.
    fn list_scores(&self, list: &ListMatchSpec, jobs: &[Job]) -> Result<Vec<Option<MetricScore>>, EncodeError> {
        let lists: Vec<Lists> = jobs.iter().map(|job| Lists::new(list, job)).collect();
        let mut pairs: Vec<Pair<'_>> = Vec::new();
        for Lists { found, wanted, .. } in &lists {
            pairs.extend(found.iter().map(|item| (item.as_str(), wanted.as_slice())));
        }
        // The similarities of an item come in the order of what it is compared with.
        let one = |item: &TokenEmbeddings, wanted: &TokenEmbeddings| vec![cosine(item, wanted)];
        let join = |mut before: Vec<f64>, next: Vec<f64>| {
            before.extend(next);
            before
        };
        let mut rows = self.embedder.compare(&pairs, one, join)?.into_iter().map(Option::unwrap_or_default);
        let score = |Lists { found, expected, wanted }: &Lists| {
            let mut known: HashMap<(&str, &str), f64> = HashMap::new();
            for (item, row) in found.iter().zip(&mut rows) {
                known.extend(wanted.iter().zip(row).map(|(other, value)| ((item.as_str(), other.as_str()), value)));
            }
            let similar = |item: &str, other: &str| known.get(&(item, other)).copied().unwrap_or(f64::NAN);
            best_list(list, found, expected, similar)
        };
        Ok(lists.iter().map(score).collect())
    }
}

/// The items of an answer, and those that it is compared with.
struct Lists {
    found: Vec<String>,
    expected: Vec<Vec<String>>,
    /// The items of all expected lists.
    wanted: Vec<String>,
}

impl Lists {
    fn new(list: &ListMatchSpec, job: &Job) -> Self {
        let expected = expected_lists(list, &job.references);
        Self { found: list_items(&job.output), wanted: expected.concat(), expected }
    }
}

fn to_score(metric: &Metric, value: Value, model: &Json) -> MetricScore {
    let (score, detail) = match (metric, value) {
        (Metric::Bertscore { measure, .. }, Value::Bertscore(prf)) => {
            let score = match measure {
                Measure::Precision => prf.precision,
                Measure::Recall => prf.recall,
                Measure::F1 => prf.f1,
            };
            (score, json!({"precision": prf.precision, "recall": prf.recall, "f1": prf.f1, "model": model}))
        }
        (_, Value::Similarity(score)) => (score, json!({"model": model})),
        (_, Value::Bertscore(prf)) => (prf.f1, json!({"model": model})),
    };
    // Rescaled by a baseline, texts that are less alike than chance are below 0.
    MetricScore { score: score.clamp(0.0, 1.0), reason: None, detail: Some(detail) }
}
