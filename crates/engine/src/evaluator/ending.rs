//! What the results of a run say that its sample results alone do not.

use llmops_domain::run::RunResults;
use llmops_domain::scorecard::format::count;
use llmops_providers::ProviderError;

use super::execution::Execution;

impl Execution {
    /// Says of the costs whether they are known, and of answers in a file whether all belong to a sample.
    pub(super) fn round_off(&self, results: &mut RunResults) {
        results.spend.target_unpriced = self.is_unpriced(&self.spec.manifest.model);
        let mut judges = self.spec.scoring.metrics.values().flat_map(|metric| metric.scorer.judge_models());
        results.spend.judges_unpriced = judges.any(|model| self.is_unpriced(model));
        let Some(answers) = self.target.answers().filter(|_| !self.spec.is_partial()) else { return };
        let missing = ProviderError::OutputNotFound { id: String::new(), path: String::new() }.reason();
        let missing = results.error_reasons.get(&missing).copied().unwrap_or_default() / u64::from(self.spec.repeat);
        let unused = answers.saturating_sub(results.total_samples.saturating_sub(missing));
        if unused > 0 {
            let (provider, dataset) = (self.target.provider(), &self.spec.dataset);
            let outputs = count(unused, "output");
            let have = if unused == 1 { "has an id" } else { "have ids" };
            results.notices.push(format!("{outputs} of `{provider}` {have} that no sample of `{dataset}` has"));
        }
    }

    fn is_unpriced(&self, model: &str) -> bool {
        let target = self.services.providers.resolve(model).ok();
        target.is_some_and(|target| target.price().is_none() && !target.is_free())
    }
}
