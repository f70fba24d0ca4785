//! `Workbench`: trying things out before they are written down.

use std::sync::Arc;

use llmops_api::workbench::{PlanExperiment, PlannedExperiment, PlayPrompt, PlayedPrompt};
use llmops_domain::dataset::Sample;
use llmops_domain::manifest::Manifest;
use llmops_domain::prompt::PromptRef;
use llmops_domain::render::CompiledTarget;
use llmops_stats::power::{ProportionMethod, Target, mean_difference_n, two_proportions_n};

use crate::prompts::PromptRegistry;
use crate::{Error, Services};

/// Most variants of an experiment.
const MOST_VARIANTS: u32 = 100;

/// Tries prompts on models, and plans experiments.
#[derive(Debug, Clone)]
pub struct Workbench {
    services: Arc<Services>,
    prompts: PromptRegistry,
}

impl Workbench {
    pub(crate) fn new(services: Arc<Services>, prompts: PromptRegistry) -> Self {
        Self { services, prompts }
    }

    /// Asks a model once. Nothing is kept of it.
    ///
    /// # Errors
    /// When the prompt, its variables or the model are wrong, or the provider does not answer.
    pub async fn play(&self, request: PlayPrompt) -> Result<PlayedPrompt, Error> {
        let reference: PromptRef =
            request.prompt.parse().map_err(|e: llmops_domain::prompt::PromptRefError| Error::invalid(e.to_string()))?;
        let version = self.prompts.get(&reference.name, &reference.selector).await?;
        let model = request.model.or_else(|| version.body.model.clone()).ok_or_else(|| {
            Error::invalid(format!("{reference} names no model")).with_hint("name one: provider/model")
        })?;
        let target = self.services.providers.resolve(&model)?;
        let manifest = Manifest::resolve(Some(&version), &model, &request.parameters);
        let compiled =
            CompiledTarget::compile(manifest, Some(&version.body)).map_err(|e| Error::invalid(e.to_string()))?;
        let sample = Sample {
            id: "playground".to_owned(),
            input: request.input,
            variables: request.variables,
            ..Sample::default()
        };
        let asked = compiled.request_for_sample(&sample, 0).map_err(|e| Error::invalid(e.to_string()))?;
        let answer = self.services.providers.chat(&target, &asked).await?;
        let output = compiled
            .post_processor()
            .apply(&answer.response.text)
            .map_err(|e| Error::invalid(format!("the answer cannot be post-processed: {e}")))?;
        Ok(PlayedPrompt {
            model,
            messages: asked.messages,
            output: output.into_owned(),
            tool_calls: answer.response.tool_calls,
            finish_reason: answer.response.finish_reason,
            usage: answer.response.usage,
            latency_ms: answer.response.latency_ms,
            cost: answer.cost,
        })
    }

    /// The size of an experiment: see [`plan_experiment`].
    ///
    /// # Errors
    /// As there.
    pub fn plan(&self, request: &PlanExperiment) -> Result<PlannedExperiment, Error> {
        plan_experiment(request, ProportionMethod::Arcsine)
    }
}

/// The size of an experiment; for rates by this formula.
///
/// # Errors
/// When no experiment can be planned with these numbers: a rate outside 0 to 1, a change of nothing, one variant.
///
/// ```
/// use llmops_stats::power::ProportionMethod::Arcsine;
/// let request = serde_json::from_str(r#"{"baseline": 0.6, "effect": 0.05, "variants": 3}"#).unwrap();
/// assert_eq!(llmops::plan_experiment(&request, Arcsine).unwrap().n_total, 3 * 1781);
/// ```
pub fn plan_experiment(request: &PlanExperiment, rates: ProportionMethod) -> Result<PlannedExperiment, Error> {
    let variants = request.variants.unwrap_or(2);
    if !(2..=MOST_VARIANTS).contains(&variants) {
        return Err(Error::invalid(format!("variants: expected 2 to {MOST_VARIANTS}")));
    }
    // Holm's first step takes alpha / m for each of m comparisons: with that, each has its power whatever the others show.
    let alpha = request.alpha.unwrap_or(0.05) / f64::from(variants - 1);
    let target = Target { alpha, power: request.power.unwrap_or(0.8) };
    let n = match (request.sd, request.baseline) {
        (Some(sd), _) => mean_difference_n(request.effect, sd, target),
        (None, Some(baseline)) => {
            let changed = baseline + request.effect;
            if !(-1e-12..=1.0 + 1e-12).contains(&changed) {
                return Err(Error::invalid(format!(
                    "baseline and effect make {changed}: expected a rate between 0 and 1"
                )));
            }
            // 0.9 + 0.1 may end a hair above 1.
            two_proportions_n(baseline, changed.clamp(0.0, 1.0), rates, target)
        }
        (None, None) => {
            return Err(Error::invalid("give a baseline, for rates, or sd, for means"));
        }
    };
    let n_per_variant = n.map_err(|e| {
        Error::invalid(format!("no experiment can be planned with these numbers: {e}"))
            .with_hint("a larger effect needs fewer units")
    })?;
    let n_total = n_per_variant.saturating_mul(u64::from(variants));
    let days = request.units_per_day.filter(|units| *units > 0).map(|units| n_total.div_ceil(units));
    Ok(PlannedExperiment { n_per_variant, n_total, days })
}
