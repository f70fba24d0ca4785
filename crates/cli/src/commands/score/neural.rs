//! Metrics over embeddings of a model.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use llmops::models::{Embedder, Layer, ModelOptions, Models, Pair};
use llmops_domain::scoring::{BertscoreSpec, ScorerSpec};
use llmops_metrics::Prf;
use llmops_metrics::bertscore::{Baseline, BertScore, Idf};
use llmops_metrics::embedding_similarity::cosine;
use llmops_metrics::encoder::{EncodeError, TokenEmbeddings};

use super::lines::{self, Chunks};
use super::metrics::{Metric, Part};
use crate::commands::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::models;
use crate::project::{Project, read_text};

/// How texts are embedded and compared.
#[derive(Debug, Args)]
pub(crate) struct NeuralArgs {
    /// Embedding model of bertscore and embedding_similarity: a folder, or NAME, OWNER/NAME or OWNER/NAME@REVISION on the
    /// Hugging Face hub; else that of scoring.metrics in llmops.yaml, else sentence-transformers/all-MiniLM-L6-v2
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Layer whose outputs bertscore compares; else the one that bert_score recommends for the model, else the last
    #[arg(long, value_name = "N")]
    layer: Option<u32>,
    /// Weigh tokens for bertscore by their rarity in the references; reads the input twice
    #[arg(long)]
    idf: bool,
    /// Rescale bertscore by a baseline file of bert_score (LAYER,P,R,F)
    #[arg(long, value_name = "FILE")]
    baseline: Option<std::path::PathBuf>,
}

/// What is computed from embeddings.
#[derive(Debug, Default)]
pub(super) struct Neural {
    bertscore: Option<(Arc<Embedder>, BertScore)>,
    similarity: Option<Arc<Embedder>>,
}

/// What embeddings say of a pair.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NeuralScore {
    bertscore: Option<Prf>,
    similarity: Option<f64>,
}

impl NeuralScore {
    /// The score of a metric that was asked for; none without references.
    pub(super) fn part(&self, part: Part) -> Option<f64> {
        match part {
            Part::Precision => Some(self.bertscore?.precision),
            Part::Recall => Some(self.bertscore?.recall),
            Part::F1 => Some(self.bertscore?.f1),
            Part::Similarity => self.similarity,
        }
    }

    fn better(self, other: Self) -> Self {
        let max = |a: Prf, b: Prf| Prf {
            precision: a.precision.max(b.precision),
            recall: a.recall.max(b.recall),
            f1: a.f1.max(b.f1),
        };
        Self {
            bertscore: self.bertscore.zip(other.bertscore).map(|(a, b)| max(a, b)),
            similarity: self.similarity.zip(other.similarity).map(|(a, b)| a.max(b)),
        }
    }
}

impl Neural {
    /// Loads what the metrics need, if any needs a model.
    pub(super) async fn load(
        context: &Context,
        args: &NeuralArgs,
        metrics: &[(&str, Metric)],
        input: &Path,
    ) -> Outcome<Self> {
        let wants = |similarity: bool| {
            let part = |(_, metric): &(&str, Metric)| metric.part().map(|part| part == Part::Similarity);
            metrics.iter().filter_map(part).any(|is| is == similarity)
        };
        if !wants(false) && !wants(true) {
            return args.unused().map_or_else(
                || Ok(Self::default()),
                |flag| {
                    Err(Failure::usage(format!("{flag} has no effect"))
                        .hint("it is for bertscore and embedding_similarity"))
                },
            );
        }
        if args.idf && !input.is_file() {
            return Err(Failure::usage("--idf reads the input twice, which this one cannot be")
                .hint("write the pairs to a file first"));
        }
        let project = Project::find(&context.global, &context.ui)?;
        let chosen = Choice::new(args, &project);
        let models = Models::new(chosen.options);
        let mut neural = Self::default();
        if wants(false) {
            let layer = chosen.layer.map_or(Layer::Recommended, |layer| Layer::At(layer as usize));
            let embedder = models::load(context, &models, &chosen.bertscore, layer).await?;
            let score = bertscore(args, &embedder, input).await?;
            neural.bertscore = Some((embedder, score));
        }
        if wants(true) {
            neural.similarity = Some(models::load(context, &models, &chosen.similarity, Layer::Last).await?);
        }
        Ok(neural)
    }

    /// Whether scores may leave the range from 0 to 1.
    pub(super) fn is_rescaled(&self) -> bool {
        self.bertscore.as_ref().is_some_and(|(_, score)| score.baseline.is_some())
    }

    /// One score for each pair.
    pub(super) fn score(&self, pairs: &[Pair<'_>]) -> Result<Vec<NeuralScore>, EncodeError> {
        let bertscore = |ends, how: &BertScore, a: &TokenEmbeddings, b: &TokenEmbeddings| Some(how.compare(ends, a, b));
        let scored = match (&self.bertscore, &self.similarity) {
            (None, None) => return Ok(vec![NeuralScore::default(); pairs.len()]),
            (None, Some(similarity)) => of_similarity(similarity, pairs)?,
            (Some((embedder, how)), Some(similarity)) if !Arc::ptr_eq(embedder, similarity) => {
                let ends = embedder.encoder().ends();
                let first = embedder.compare(
                    pairs,
                    |a, b| NeuralScore { bertscore: bertscore(ends, how, a, b), similarity: None },
                    NeuralScore::better,
                )?;
                let second = of_similarity(similarity, pairs)?;
                let both = |(a, b): (Option<NeuralScore>, Option<NeuralScore>)| {
                    Some(NeuralScore { bertscore: a?.bertscore, similarity: b?.similarity })
                };
                first.into_iter().zip(second).map(both).collect()
            }
            // One model for both: texts are embedded once.
            (Some((embedder, how)), similarity) => {
                let ends = embedder.encoder().ends();
                let measure = |a: &TokenEmbeddings, b: &TokenEmbeddings| NeuralScore {
                    bertscore: bertscore(ends, how, a, b),
                    similarity: similarity.as_ref().map(|_| cosine(a, b)),
                };
                embedder.compare(pairs, measure, NeuralScore::better)?
            }
        };
        Ok(scored.into_iter().map(Option::unwrap_or_default).collect())
    }
}

fn of_similarity(embedder: &Embedder, pairs: &[Pair<'_>]) -> Result<Vec<Option<NeuralScore>>, EncodeError> {
    let measure =
        |a: &TokenEmbeddings, b: &TokenEmbeddings| NeuralScore { bertscore: None, similarity: Some(cosine(a, b)) };
    embedder.compare(pairs, measure, NeuralScore::better)
}

impl NeuralArgs {
    fn unused(&self) -> Option<&'static str> {
        let given = [
            ("--model", self.model.is_some()),
            ("--layer", self.layer.is_some()),
            ("--idf", self.idf),
            ("--baseline", self.baseline.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }
}

/// The models that flags and configuration choose.
struct Choice {
    options: ModelOptions,
    bertscore: String,
    layer: Option<u32>,
    similarity: String,
}

impl Choice {
    fn new(args: &NeuralArgs, project: &Project) -> Self {
        let mut options = project.model_options();
        if let Some(model) = &args.model {
            // What stands on the command line is relative to where it was typed.
            options.folder = ".".into();
            return Self { options, bertscore: model.clone(), layer: args.layer, similarity: model.clone() };
        }
        let scorers = || project.config.scoring.metrics.values().map(|metric| &metric.scorer);
        let of_bertscore = scorers().find_map(|scorer| match scorer {
            ScorerSpec::Bertscore(BertscoreSpec { model: Some(model), layer, .. }) => Some((model.clone(), *layer)),
            _ => None,
        });
        let of_similarity = scorers().find_map(|scorer| match scorer {
            ScorerSpec::EmbeddingSimilarity { model } => model.clone(),
            _ => None,
        });
        let default = || llmops::models::DEFAULT_MODEL.to_owned();
        let (model, layer) = of_bertscore.map_or((None, None), |(model, layer)| (Some(model), layer));
        let similarity = of_similarity.or_else(|| model.clone()).unwrap_or_else(default);
        Self { options, bertscore: model.unwrap_or_else(default), layer: args.layer.or(layer), similarity }
    }
}

async fn bertscore(args: &NeuralArgs, embedder: &Arc<Embedder>, input: &Path) -> Outcome<BertScore> {
    let mut score = BertScore::default();
    if let Some(path) = &args.baseline {
        let baseline = Baseline::parse(&read_text(path)?, embedder.encoder().layer());
        score.baseline = Some(
            baseline.map_err(|e| Failure::because(Kind::Usage, format!("{} cannot be used", path.display()), &e))?,
        );
    }
    if args.idf {
        let (input, embedder) = (input.to_owned(), embedder.clone());
        let counted = tokio::task::spawn_blocking(move || count(&input, &embedder)).await;
        score.idf = Some(counted.map_err(|e| Failure::because(Kind::Undecided, "counting words failed", &e))??);
    }
    Ok(score)
}

/// Counts the tokens of all references of a file. Lines that are wrong are told when they are scored.
fn count(input: &Path, embedder: &Embedder) -> Outcome<Idf> {
    let cannot_read =
        |e: std::io::Error| Failure::because(Kind::Undecided, format!("cannot read {}", input.display()), &e);
    let mut idf = Idf::default();
    for chunk in Chunks::new(File::open(input).map_err(cannot_read)?) {
        let chunk = chunk.map_err(cannot_read)?;
        let lines = (chunk.first..).zip(&chunk.lines);
        let pair = |(number, line): (u64, &Option<Vec<u8>>)| {
            let pair = lines::parse(line.as_ref()?, number == 1, false).ok()??;
            Some(pair.references)
        };
        let references: Vec<String> = lines.filter_map(pair).flatten().collect();
        idf.count(embedder.encoder(), &references).map_err(|e| {
            Failure::because(Kind::Usage, format!("{} does not fit its tokenizer", embedder.name()), &e)
        })?;
    }
    Ok(idf)
}
