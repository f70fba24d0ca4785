//! The metrics that pairs are scored with.

use std::ops::AddAssign;

use llmops_domain::suggest;
use llmops_metrics::bleu::BleuCounts;
use llmops_metrics::chrf::{ChrfCounts, ChrfKind};
use llmops_metrics::exact_match::ExactMatch;
use llmops_metrics::json_valid::{Wrapping, json_valid};
use llmops_metrics::levenshtein::levenshtein;
use llmops_metrics::refusal::refusal;
use llmops_metrics::rouge::{Rouge, RougeKind, RougeScratch};
use llmops_metrics::token_f1::token_f1;

use super::neural::{Neural, NeuralScore};
use crate::failure::{Failure, Outcome};

/// What can be computed of an output, most of it against references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metric {
    ExactMatch,
    TokenF1,
    Levenshtein,
    Rouge(RougeKind),
    Bleu,
    Chrf,
    ChrfPlusPlus,
    Neural(Part),
    JsonValid,
    Refusal,
}

/// What a model's embeddings say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Precision,
    Recall,
    F1,
    Similarity,
}

/// Every metric under its name.
const NAMED: [(&str, Metric); 16] = [
    ("exact_match", Metric::ExactMatch),
    ("token_f1", Metric::TokenF1),
    ("levenshtein", Metric::Levenshtein),
    ("rouge_1", Metric::Rouge(RougeKind::N(1))),
    ("rouge_2", Metric::Rouge(RougeKind::N(2))),
    ("rouge_l", Metric::Rouge(RougeKind::L)),
    ("rouge_lsum", Metric::Rouge(RougeKind::Lsum)),
    ("bleu", Metric::Bleu),
    ("chrf", Metric::Chrf),
    ("chrf++", Metric::ChrfPlusPlus),
    ("bertscore", Metric::Neural(Part::F1)),
    ("bertscore_precision", Metric::Neural(Part::Precision)),
    ("bertscore_recall", Metric::Neural(Part::Recall)),
    ("embedding_similarity", Metric::Neural(Part::Similarity)),
    ("json_valid", Metric::JsonValid),
    ("refusal", Metric::Refusal),
];

impl Metric {
    /// Whether there is no score without a reference.
    fn needs_reference(self) -> bool {
        !matches!(self, Self::JsonValid | Self::Refusal)
    }

    /// What it takes of embeddings, if it needs them.
    pub(super) fn part(self) -> Option<Part> {
        if let Self::Neural(part) = self { Some(part) } else { None }
    }

    fn rouge(self) -> Option<RougeKind> {
        if let Self::Rouge(kind) = self { Some(kind) } else { None }
    }
}

/// What the corpus scores of BLEU, chrF and chrF++ are computed from.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Corpus {
    bleu: BleuCounts,
    chrf: ChrfCounts,
    chrf_plus_plus: ChrfCounts,
}

impl Corpus {
    /// The corpus score of a metric that has one.
    pub(super) fn score(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Bleu => Some(self.bleu.corpus_score()),
            Metric::Chrf => Some(self.chrf.score()),
            Metric::ChrfPlusPlus => Some(self.chrf_plus_plus.score()),
            _ => None,
        }
    }
}

impl AddAssign for Corpus {
    fn add_assign(&mut self, other: Self) {
        self.bleu += other.bleu;
        self.chrf += other.chrf;
        self.chrf_plus_plus += other.chrf_plus_plus;
    }
}

/// Computes the chosen metrics.
#[derive(Debug)]
pub(super) struct Scorer {
    metrics: Vec<(&'static str, Metric)>,
    rouge: Rouge,
    neural: Neural,
}

/// A pair with what embeddings say of it.
pub(super) struct Texts<'a> {
    pub(super) output: &'a str,
    pub(super) references: &'a [String],
    pub(super) neural: NeuralScore,
}

impl Scorer {
    /// The metrics with these names, in this order; a name that comes again counts once.
    pub(super) fn new(names: &[String], stem: bool) -> Outcome<Self> {
        let mut metrics: Vec<(&'static str, Metric)> = Vec::new();
        let mut problems = Vec::new();
        for name in names.iter().map(|name| name.trim()) {
            match NAMED.iter().find(|(known, _)| *known == name) {
                Some(named) if metrics.contains(named) => {}
                Some(named) => metrics.push(*named),
                None => problems.push(unknown(name)),
            }
        }
        if !problems.is_empty() {
            let known: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
            return Err(Failure::usage("--metrics names what cannot be computed")
                .problems(problems)
                .hint(format!("the metrics are {}", known.join(", "))));
        }
        let kinds = metrics.iter().filter_map(|(_, metric)| metric.rouge()).collect();
        Ok(Self { metrics, rouge: Rouge::new(kinds).stemmed(stem), neural: Neural::default() })
    }

    /// Adds what embeddings are made with.
    pub(super) fn with(self, neural: Neural) -> Self {
        Self { neural, ..self }
    }

    /// What makes embeddings.
    pub(super) fn neural(&self) -> &Neural {
        &self.neural
    }

    /// The metrics with their names, in the order of their scores.
    pub(super) fn metrics(&self) -> &[(&'static str, Metric)] {
        &self.metrics
    }

    /// Whether a pair without reference cannot be scored.
    pub(super) fn needs_reference(&self) -> bool {
        self.metrics.iter().any(|(_, metric)| metric.needs_reference())
    }

    /// Appends one score for each metric, and adds to the counts of the corpus; `None` when a metric needs
    /// a reference and there is none.
    pub(super) fn score(
        &self,
        scratch: &mut RougeScratch,
        Texts { output, references, neural }: Texts<'_>,
        scores: &mut Vec<f64>,
        corpus: &mut Corpus,
    ) -> Option<()> {
        let trimmed = ExactMatch { trim: true, ..ExactMatch::default() };
        let rouge = if self.rouge.kinds().is_empty() {
            Vec::new()
        } else {
            self.rouge.score_with(scratch, output, references)?
        };
        let mut rouge = rouge.into_iter();
        for (_, metric) in &self.metrics {
            scores.push(match metric {
                Metric::ExactMatch => trimmed.score(output, references)?,
                Metric::TokenF1 => token_f1(output, references)?,
                Metric::Levenshtein => levenshtein(output, references)?,
                Metric::Rouge(_) => rouge.next()?.f1,
                Metric::Bleu => {
                    let counts = BleuCounts::new(output, references)?;
                    corpus.bleu += counts;
                    counts.sentence_score()
                }
                Metric::Chrf => {
                    let counts = ChrfCounts::new(ChrfKind::Chrf, output, references)?;
                    corpus.chrf += counts;
                    counts.score()
                }
                Metric::ChrfPlusPlus => {
                    let counts = ChrfCounts::new(ChrfKind::ChrfPlusPlus, output, references)?;
                    corpus.chrf_plus_plus += counts;
                    counts.score()
                }
                Metric::Neural(part) => neural.part(*part)?,
                Metric::JsonValid => json_valid(output, Wrapping::None),
                Metric::Refusal => refusal(output),
            });
        }
        Some(())
    }
}

fn unknown(name: &str) -> String {
    match suggest::nearest(name, NAMED.iter().map(|(known, _)| *known)) {
        Some(near) => format!("there is no metric `{name}`: did you mean {near}?"),
        None => format!("there is no metric `{name}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scorer(names: &str) -> Outcome<Scorer> {
        Scorer::new(&names.split(',').map(str::to_owned).collect::<Vec<_>>(), false)
    }

    #[test]
    fn names_are_known_or_explained() {
        let check = |names: &str, expected: &[&str]| match scorer(names) {
            Ok(scorer) => assert_eq!(scorer.metrics().iter().map(|(n, _)| *n).collect::<Vec<_>>(), expected, "{names}"),
            Err(failure) => {
                assert_eq!(failure.kind.code(), 2);
                assert_eq!(failure.problems, expected, "{names}");
            }
        };
        check("bleu,rouge_l", &["bleu", "rouge_l"]);
        check(" chrf++ ,chrf,chrf++", &["chrf++", "chrf"]);
        check("rougel,zzz", &["there is no metric `rougel`: did you mean rouge_l?", "there is no metric `zzz`"]);
        check("bleu,", &["there is no metric ``"]);
        check("bertscore,embedding_similarity", &["bertscore", "embedding_similarity"]);
        check("bertscor", &["there is no metric `bertscor`: did you mean bertscore?"]);
    }

    fn check(names: &str, output: &str, references: &[&str], expected: Option<&[f64]>) {
        let references: Vec<String> = references.iter().map(|r| (*r).to_owned()).collect();
        let mut scores = Vec::new();
        let pair = Texts { output, references: &references, neural: NeuralScore::default() };
        let scored =
            scorer(names).unwrap().score(&mut RougeScratch::default(), pair, &mut scores, &mut Corpus::default());
        let near = |e: &[f64]| e.len() == scores.len() && e.iter().zip(&scores).all(|(e, s)| (e - s).abs() < 1e-6);
        assert_eq!(scored.is_some(), expected.is_some(), "{names} of {output}");
        assert!(expected.is_none_or(near), "{names} of {output}: {scores:?}");
    }

    #[test]
    fn scores_come_in_the_order_of_the_names() {
        check("rouge_l,exact_match,rouge_1", "b a\n", &["a b"], Some(&[0.5, 0.0, 1.0]));
        check("exact_match,levenshtein,token_f1", " 42\n", &["41", "42"], Some(&[1.0, 0.5, 1.0]));
        check("json_valid,refusal", "{}", &[], Some(&[1.0, 0.0]));
        check("json_valid,bleu", "{}", &[], None);
        check("rouge_2", "a b", &[], None);
        check("bleu,chrf,chrf++", "", &[""], Some(&[0.0, 0.0, 0.0]));
        check("bleu", "The dog bit the man.", &["The dog had bit the man."], Some(&[0.511_508]));
        check("chrf", "The dog bit the man.", &["nothing", "The dog had bit the man."], Some(&[0.676_471]));
    }

    #[test]
    fn the_corpus_has_its_own_score() {
        let scorer = scorer("bleu,chrf,token_f1").unwrap();
        let (mut corpus, mut scores) = (Corpus::default(), Vec::new());
        for (output, reference) in
            [("The dog bit the man.", "The dog bit the man."), ("It was late.", "It was not late.")]
        {
            let references = [reference.to_owned()];
            let texts = Texts { output, references: &references, neural: NeuralScore::default() };
            scorer.score(&mut RougeScratch::default(), texts, &mut scores, &mut corpus).unwrap();
        }
        assert!((corpus.score(Metric::Bleu).unwrap() - 0.735_894).abs() < 1e-6);
        assert!(corpus.score(Metric::Chrf).is_some_and(|score| (0.0..1.0).contains(&score)));
        assert_eq!(corpus.score(Metric::TokenF1), None);
    }
}
