//! The judged metrics that have a definition of their own.

use serde::{Deserialize, Serialize};

/// A judged metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JudgedMetric {
    /// Share of the answer's claims that follow from the context.
    Faithfulness,
    /// How well the answer addresses the question.
    AnswerRelevance,
    /// Share of the answer's claims that are not made up: 1 is an answer without hallucinations.
    Hallucination,
    /// How much the answer helps the person who asked.
    Helpfulness,
    /// How far what the answer states is true.
    Accuracy,
}

impl JudgedMetric {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Faithfulness, Self::AnswerRelevance, Self::Hallucination, Self::Helpfulness, Self::Accuracy];

    /// The name, which is the scorer's kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::Faithfulness => "faithfulness",
            Self::AnswerRelevance => "answer_relevance",
            Self::Hallucination => "hallucination",
            Self::Helpfulness => "helpfulness",
            Self::Accuracy => "accuracy",
        }
    }

    /// The metric of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// What it measures, as the judge is told.
    pub fn definition(self) -> &'static str {
        match self {
            Self::Faithfulness => {
                "a claim is supported when it follows from the context alone, whatever else is known to be true"
            }
            Self::AnswerRelevance => {
                "1: the candidate addresses all of the question and nothing else; 0.5: it addresses a part of it, or \
                 buries the answer among what was not asked; 0: it is about something else, evades, or is empty. Whether \
                 it is true does not count"
            }
            Self::Hallucination => {
                "a claim is invented when it contradicts the context, or states something specific (a name, a number, a \
                 date, a quotation, a source) that neither the context nor the question has. Common knowledge, opinions \
                 and questions are not invented"
            }
            Self::Helpfulness => {
                "1: the person who asked can act on the candidate at once; 0.5: it helps in part, is hard to follow, or \
                 needs another question; 0: it helps with nothing, misleads, or declines what could be answered safely. \
                 Declining what should be declined, with a way forward, is helpful"
            }
            Self::Accuracy => {
                "1: everything the candidate states is true, and agrees with the references and the context where they \
                 are given; 0.5: it is true in the main with an error or an omission that matters; 0: its main statement \
                 is false, or it states nothing"
            }
        }
    }

    /// Whether the judge lists the answer's claims and decides on each; else it gives one score.
    pub fn is_by_claims(self) -> bool {
        matches!(self, Self::Faithfulness | Self::Hallucination)
    }

    /// Whether it cannot be judged without context.
    pub fn needs_context(self) -> bool {
        self.is_by_claims()
    }

    /// Whether good answers are shown to the judge. The others are judged without any.
    pub fn takes_references(self) -> bool {
        self == Self::Accuracy
    }
}
