//! Experiments that are made in one call: of two prompts, or of several models.

use llmops_api::Problem;
use llmops_api::experiments::PromptSource;
use llmops_api::prompts::{BumpMode, PushPrompt};
use llmops_domain::experiment::{Experiment, ExperimentSpec, MetricSpec, Variant, split};
use llmops_domain::prompt::PromptVersion;
use llmops_domain::render::CompiledPrompt;
use serde_json::{Map, Value};

use crate::{Error, LlmOps};

/// What is measured where the caller names nothing.
const METRICS: [&str; 2] = ["quality", "latency"];

impl LlmOps {
    /// Makes a draft of two prompts; `treatment_share` of the traffic (0.3, or 30 per cent) goes to the treatment. A prompt that is
    /// given whole is registered unless it is there.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let ops = llmops::LlmOps::in_memory().await?;
    /// use llmops::domain::prompt::PromptSpec;
    ///
    /// let prompt = |version: &str, content: &str| -> PromptSpec {
    ///     serde_json::from_value(serde_json::json!({"name": "code-review", "version": version, "content": content})).unwrap()
    /// };
    /// let control = prompt("1.0.0", "Review this: {{ input }}");
    /// let treatment = prompt("1.1.0", "Review this line by line: {{ input }}");
    /// let experiment = ops.create_prompt_experiment("code-review-v2-test", control, treatment, 0.3).await?;
    /// let manager = ops.experiments();
    /// manager.start(experiment.id.as_str()).await?;
    /// let assignment = manager.assign_variant(experiment.id.as_str(), "user-42").await?;
    /// assert!(assignment.included);
    /// # Ok::<(), llmops::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn create_prompt_experiment(
        &self,
        name: &str,
        control: impl Into<PromptSource>,
        treatment: impl Into<PromptSource>,
        treatment_share: f64,
    ) -> Result<Experiment, Error> {
        let whole = if treatment_share > 1.0 { 100.0 } else { 1.0 };
        let shares = split::fractions(&[whole - treatment_share, treatment_share]).map_err(|_| {
            Error::invalid(format!("the treatment's share is {treatment_share}: expected 0 to 1, or 0 to 100 per cent"))
        })?;
        let mut spec = draft(name);
        let sources = [("control", control.into()), ("treatment", treatment.into())];
        // Versions are there for good: none is made while something is wrong with the other.
        let problems: Vec<Problem> = sources.iter().filter_map(|(id, source)| never_renders(id, source)).collect();
        if !problems.is_empty() {
            let message = "users could not be answered by these prompts".to_owned();
            return Err(Error::Invalid { message, problems, hint: None });
        }
        let mut notices = Vec::new();
        for (id, source) in sources {
            let (prompt, warnings) = self.register(source).await?;
            notices
                .extend(warnings.into_iter().map(|warning| format!("{}@{}: {warning}", prompt.name, prompt.version)));
            spec.variants.push(Variant {
                id: id.to_owned(),
                name: format!("{}@{}", prompt.name, prompt.version),
                prompt_name: Some(prompt.name),
                prompt_version: Some(prompt.version.to_string()),
                model_name: prompt.body.model,
                is_control: id == "control",
                ..Variant::default()
            });
        }
        spec.traffic_split = spec.variants.iter().map(|v| v.id.clone()).zip(shares).collect();
        self.experiments().create_noted(spec, notices).await
    }

    /// Makes a draft of two or more models (`provider/model`) with the same parameters and equal shares; the first is the control.
    pub async fn create_model_experiment(
        &self,
        name: &str,
        models: &[String],
        parameters: Map<String, Value>,
    ) -> Result<Experiment, Error> {
        let mut spec = draft(name);
        spec.variants = models
            .iter()
            .enumerate()
            .map(|(i, model)| Variant {
                name: model.clone(),
                model_name: Some(model.clone()),
                parameters: parameters.clone(),
                is_control: i == 0,
                ..Variant::default()
            })
            .collect();
        self.experiments().create(spec).await
    }

    /// The prompt in the registry, with what the registry warns of.
    async fn register(&self, source: PromptSource) -> Result<(PromptVersion, Vec<String>), Error> {
        match source {
            PromptSource::Reference(reference) => Ok((self.prompts().resolve(&reference).await?, Vec::new())),
            PromptSource::Prompt(prompt) => {
                let bump = if prompt.version.is_some() { BumpMode::None } else { BumpMode::Auto };
                let push = PushPrompt { prompt: *prompt, bump, activate: false };
                let pushed = self.prompts().create(push).await?;
                Ok((pushed.prompt, pushed.warnings))
            }
        }
    }
}

/// What is wrong with a prompt that is given whole and that no values make render.
fn never_renders(variant: &str, source: &PromptSource) -> Option<Problem> {
    let PromptSource::Prompt(prompt) = source else { return None };
    let message = CompiledPrompt::compile(&prompt.body).ok()?.never_renders()?;
    Some(Problem { line: None, field: Some(variant.to_owned()), message })
}

fn draft(name: &str) -> ExperimentSpec {
    ExperimentSpec {
        name: name.to_owned(),
        metrics: METRICS.into_iter().map(MetricSpec::named).collect(),
        target_metric: Some(METRICS[0].to_owned()),
        ..ExperimentSpec::default()
    }
}
