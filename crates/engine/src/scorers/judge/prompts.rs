//! The prompts of a run's judges, pinned when the run is created and found again when it is executed.

use std::collections::BTreeMap;
use std::sync::Arc;

use llmops_domain::id::RunId;
use llmops_domain::judge::{JudgePrompt, JudgePromptKind};
use llmops_domain::prompt::PromptVersion;
use llmops_domain::scoring::{PairwiseSpec, PromptSlot, ScorerSpec, ScoringSpec};
use llmops_providers::Providers;
use llmops_storage::RunKey;

use super::JudgeBudget;
use super::ask::Bench;
use super::pairwise::Opponent;
use crate::Error;
use crate::cache::ResponseCache;
use crate::evaluator::ContinuousEvaluator;
use crate::prompts::PromptRegistry;

/// What the judges of a run need beside their options.
pub(crate) struct JudgeSetting {
    pub(super) bench: Bench,
    /// By what stands in the options; built-in ones by their name and version.
    prompts: BTreeMap<String, PromptVersion>,
    /// The runs that answers are compared with.
    opponents: BTreeMap<String, Opponent>,
}

impl JudgeSetting {
    /// Finds the prompts and the runs that the scorers name.
    pub(crate) async fn load(
        evaluator: &ContinuousEvaluator,
        scoring: &ScoringSpec,
        cache: &ResponseCache,
    ) -> Result<Self, Error> {
        let budget = JudgeBudget::new(scoring.max_judge_cost);
        let mut setting = Self::bare(&evaluator.services.providers, cache, budget);
        for (name, metric) in &scoring.metrics {
            for slot in metric.scorer.clone().prompt_slots() {
                let reference = written(&slot);
                let version = find(&evaluator.prompts, name, &slot, &reference).await?;
                setting.prompts.insert(reference, version);
            }
            if let ScorerSpec::Pairwise(PairwiseSpec { against, .. }) = &metric.scorer
                && against != PairwiseSpec::REFERENCE
            {
                let key = opponent_key(evaluator, name, against).await?;
                let store = evaluator.services.store.clone();
                setting.opponents.insert(against.clone(), Opponent::Run { store, key, id: against.clone() });
            }
        }
        Ok(setting)
    }

    /// A setting with the built-in prompts alone.
    pub(super) fn bare(providers: &Arc<Providers>, cache: &ResponseCache, budget: JudgeBudget) -> Self {
        let bench = Bench { providers: providers.clone(), cache: cache.clone(), budget: Arc::new(budget) };
        Self { bench, prompts: BTreeMap::new(), opponents: BTreeMap::new() }
    }

    /// The providers that are asked.
    pub(crate) fn providers(&self) -> &Arc<Providers> {
        &self.bench.providers
    }

    /// Adds the version that a reference names.
    pub(super) fn add_prompt(&mut self, reference: String, version: PromptVersion) {
        self.prompts.insert(reference, version);
    }

    /// The budget of the run's judges.
    pub(crate) fn budget(&self) -> Arc<JudgeBudget> {
        self.bench.budget.clone()
    }

    /// The prompt of a scorer for what it is to do.
    pub(super) fn prompt(
        &self,
        name: &str,
        scorer: &ScorerSpec,
        kind: JudgePromptKind,
    ) -> Result<Arc<JudgePrompt>, Error> {
        let mut scorer = scorer.clone();
        let slot = scorer.prompt_slots().into_iter().find(|slot| slot.kind == kind);
        let version = slot.and_then(|slot| self.prompts.get(&written(&slot)));
        let version = version.ok_or_else(|| Error::Internal(format!("the prompt of `{name}` was not looked up")))?;
        compile(name, kind, version).map(Arc::new)
    }

    /// The run that a scorer compares with.
    pub(super) fn opponent(&self, name: &str, against: &str) -> Result<Opponent, Error> {
        match self.opponents.get(against) {
            Some(Opponent::Run { store, key, id }) => {
                Ok(Opponent::Run { store: store.clone(), key: key.clone(), id: id.clone() })
            }
            _ => Err(Error::Internal(format!("the run that `{name}` compares with was not looked up"))),
        }
    }
}

/// Replaces every reference to a judge's prompt by the hash of the version it means now, after checking that the version
/// suits the judge; so a run keeps its judges, whatever becomes of the registry.
pub(crate) async fn pin_judges(prompts: &PromptRegistry, scoring: &mut ScoringSpec) -> Result<(), Error> {
    for (name, metric) in &mut scoring.metrics {
        for slot in metric.scorer.prompt_slots() {
            let reference = written(&slot);
            let version = find(prompts, name, &slot, &reference).await?;
            compile(name, slot.kind, &version)?;
            *slot.reference = Some(format!("{}@{}", version.name, version.hash));
        }
    }
    Ok(())
}

/// The reference that stands in the options, else that of the built-in prompt.
pub(super) fn written(slot: &PromptSlot<'_>) -> String {
    let builtin = || format!("{}@{}", slot.kind.prompt_name(), slot.kind.prompt_version());
    slot.reference.clone().unwrap_or_else(builtin)
}

async fn find(
    prompts: &PromptRegistry,
    name: &str,
    slot: &PromptSlot<'_>,
    reference: &str,
) -> Result<PromptVersion, Error> {
    let key = key_of(slot.kind);
    prompts.resolve(reference).await.map_err(|error| match error {
        Error::NotFound { .. } | Error::Invalid { .. } => {
            let hint = "push it first: llmops prompt push FILE; without the key the built-in prompt is used";
            Error::invalid(format!("metric `{name}`, key `{key}`: {error}")).with_hint(hint)
        }
        other => other,
    })
}

fn key_of(kind: JudgePromptKind) -> &'static str {
    if kind == JudgePromptKind::Debate { "debate_prompt" } else { "prompt" }
}

fn compile(name: &str, kind: JudgePromptKind, version: &PromptVersion) -> Result<JudgePrompt, Error> {
    let problem = |error| Error::invalid(format!("metric `{name}`, key `{}`: {error}", key_of(kind)));
    JudgePrompt::compile(kind, version).map_err(problem)
}

async fn opponent_key(evaluator: &ContinuousEvaluator, name: &str, against: &str) -> Result<RunKey, Error> {
    let run = evaluator.services.store.run_key(&evaluator.project, &RunId(against.to_owned())).await;
    run.map_err(|error| {
        let hint = "write reference, baseline or the id of a run (llmops run list)";
        Error::invalid(format!("metric `{name}`, key `against`: {error}")).with_hint(hint)
    })
}
