//! Hard questions: those whose answers users found bad, as a dataset.

use std::collections::HashMap;

use llmops_api::feedback::{ExportCounts, ExportFormat, ExportQuery, HardExamples, HardExamplesMade, MAX_EXAMPLES};
use llmops_domain::dataset::{DatasetType, Sample};
use llmops_domain::feedback::{Feedback, Sentiment};
use llmops_domain::hash::ContentHash;
use llmops_domain::near_duplicates::NearDuplicates;
use serde_json::json;

use super::{Example, FeedbackManager, Kept, Sieve, Walk};
use crate::Error;
use crate::datasets::DatasetManager;

/// Samples by what they ask: a dataset asks nothing twice.
type Questions = HashMap<ContentHash, Sample>;

impl FeedbackManager {
    /// Adds the questions of negative feedback to a dataset, with the right answers where somebody gave them. What the dataset
    /// asks already is left out.
    ///
    /// # Errors
    /// [`Error::Conflict`] when there are none; those of an import.
    pub async fn hard_examples(&self, request: HardExamples) -> Result<HardExamplesMade, Error> {
        let mut counts = ExportCounts::default();
        let found = self.hard_questions(&request, &mut counts).await?;
        if found.is_empty() {
            return Err(Error::Conflict {
                message: "there is no negative feedback whose question was kept".to_owned(),
                hint: Some("a deployment keeps questions with `bodies: full`".to_owned()),
            });
        }
        let datasets = DatasetManager::new(self.services.clone(), self.project.clone());
        let new = (DatasetType::User, "Questions whose answers users found bad");
        let (dataset, known) = datasets.add_questions(&request.dataset, new, in_order(found)).await?;
        counts.duplicates += known;
        counts.examples -= known;
        Ok(HardExamplesMade { dataset, counts })
    }

    async fn hard_questions(&self, request: &HardExamples, counts: &mut ExportCounts) -> Result<Questions, Error> {
        let limit = request.limit.unwrap_or(1_000).clamp(1, MAX_EXAMPLES);
        let query = ExportQuery {
            format: ExportFormat::Jsonl,
            deployment: request.deployment.clone(),
            start_time: request.start_time,
            end_time: None,
            limit: Some(limit),
            redacted: true,
        };
        let mut sieve = Sieve { query: &query, seen: NearDuplicates::default() };
        let mut found = Questions::new();
        let mut walk = Walk::new(self, query.clone());
        while counts.examples < u64::from(limit) {
            let Some(mut example) = walk.next().await? else { break };
            let Some(feedback) = example.feedback.take() else { continue };
            let (Some(context), Some(Sentiment::Negative)) = (&feedback.context, feedback.sentiment) else { continue };
            counts.considered += 1;
            let verdict = sieve.judge(&example);
            let sample = hard(format!("hard-{}", context.request_id), example, &feedback);
            let asked = question(&sample)?;
            if let Some(known) = found.get_mut(&asked) {
                // Of several words on one question, a correction is what counts.
                if known.expected_output.is_empty() {
                    known.expected_output = sample.expected_output;
                }
                counts.duplicates += u64::from(known.id != sample.id);
                continue;
            }
            match verdict {
                Kept::No(counter) => *counter(counts) += 1,
                Kept::Yes => {
                    counts.examples += 1;
                    found.insert(asked, sample);
                }
            }
        }
        Ok(found)
    }
}

fn question(sample: &Sample) -> Result<ContentHash, Error> {
    sample.question_hash().map_err(|error| Error::invalid(error.to_string()))
}

/// In the order of their requests.
fn in_order(samples: Questions) -> Vec<Sample> {
    let mut samples: Vec<Sample> = samples.into_values().collect();
    samples.sort_by(|one, other| one.id.cmp(&other.id));
    samples
}

/// A question that was answered badly, as a sample.
fn hard(id: String, example: Example, feedback: &Feedback) -> Sample {
    let context = feedback.context.as_ref();
    let facts = [
        ("request_id", json!(context.map(|context| &context.request_id))),
        ("manifest", json!(example.manifest)),
        ("feedback", json!(feedback.id)),
        ("bad_answer", json!(example.bad)),
        ("comment", json!(feedback.body.comment)),
    ];
    Sample {
        id,
        input: example.asked.input,
        messages: example.asked.messages,
        variables: example.asked.variables,
        expected_output: example.good.into_iter().collect(),
        source: Some("feedback".to_owned()),
        metadata: facts.into_iter().filter(|(_, v)| !v.is_null()).map(|(name, v)| (name.to_owned(), v)).collect(),
        ..Sample::default()
    }
}
