//! Choosing samples when a run is created.

use llmops_domain::run::{ResultStatus, SampleSelection};
use llmops_storage::{ResultFilter, StoredVersion};

use super::{ContinuousEvaluator, RunRef};
use crate::Error;

/// Samples and results read at a time.
const PAGE: u32 = 500;
/// Most samples that did not pass that are chosen by their ids.
const MAX_FAILING: usize = 10_000;

impl ContinuousEvaluator {
    /// The choice with what it means now: a run that is resumed later chooses the same samples.
    pub(super) async fn resolve_selection(&self, selection: SampleSelection) -> Result<SampleSelection, Error> {
        selection.compile().map_err(Error::invalid)?;
        let Some(named) = &selection.failing else { return Ok(selection) };
        let run = self.get_run(&RunRef::from(named.as_str()), None).await?;
        let mut failing = std::collections::BTreeSet::new();
        for status in [ResultStatus::Failed, ResultStatus::Errored] {
            let filter = ResultFilter { status: Some(status), ..ResultFilter::default() };
            let mut cursor = None;
            loop {
                let (results, next) = self.results(&run.id, &filter, cursor.as_ref(), PAGE).await?;
                failing.extend(results.into_iter().map(|result| result.sample_id));
                if failing.len() > MAX_FAILING {
                    let message = format!("more than {MAX_FAILING} samples did not pass in {}", run.id);
                    return Err(Error::invalid(message).with_hint("evaluate all of them, or choose a category"));
                }
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        if failing.is_empty() {
            return Err(Error::invalid(format!("every sample passed in {}: there is nothing to evaluate", run.id)));
        }
        let ids = match &selection.ids {
            Some(ids) => failing.intersection(ids).cloned().collect(),
            None => failing,
        };
        Ok(SampleSelection { failing: Some(run.id.0), ids: Some(ids), ..selection })
    }

    /// How many samples are chosen, `limit` at most, and where the last of them ends in the version.
    pub(super) async fn count_chosen(
        &self,
        dataset: &StoredVersion,
        selection: &SampleSelection,
        limit: Option<u64>,
    ) -> Result<(u64, u64), Error> {
        let chosen = selection.compile().map_err(Error::invalid)?;
        let (mut count, mut end, mut from) = (0, 0, 0);
        while limit.is_none_or(|limit| count < limit) {
            let samples = self.services.store.stream_samples(dataset.key, from, PAGE).await?;
            let Some((last, _)) = samples.last() else { break };
            from = last + 1;
            for (at, _) in samples.iter().filter(|(_, sample)| chosen.has(sample)) {
                if limit.is_some_and(|limit| count >= limit) {
                    break;
                }
                (count, end) = (count + 1, at + 1);
            }
        }
        if count == 0 {
            let message = format!("`{}` has no samples {}", dataset.version.dataset, selection.describe());
            return Err(Error::invalid(message).with_hint("llmops dataset show NAME lists categories and samples"));
        }
        Ok((count, end))
    }
}
