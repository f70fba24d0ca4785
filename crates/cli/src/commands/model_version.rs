//! The audit file that CI can watch: which model answers, and which did before. Its names are those that other tools expect there.

use std::path::PathBuf;

use clap::Args;
use llmops_api::Client;
use llmops_api::deployments::EnvironmentQuery;
use llmops_domain::hash::ContentHash;

use crate::failure::{Failure, Outcome};

/// Of every command after which another manifest may answer.
#[derive(Debug, Clone, Args)]
pub(crate) struct ModelVersionArgs {
    /// Write the audit file that CI can watch: current and baseline model, prompt version, system prompt's hash
    #[arg(long, value_name = "FILE")]
    write_model_version: Option<PathBuf>,
}

impl ModelVersionArgs {
    /// Insists on a deployment, where the file is asked for.
    pub(crate) fn refuse_without_name(&self) -> Outcome {
        match self.write_model_version {
            Some(_) => Err(Failure::usage("--write-model-version is about one deployment: name it")),
            None => Ok(()),
        }
    }

    /// Writes the file, where it is asked for, of what answers now: the baseline is the model of the manifest before.
    pub(crate) async fn write(&self, client: &Client, name: &str, environment: &str) -> Outcome {
        let Some(path) = &self.write_model_version else { return Ok(()) };
        let query = EnvironmentQuery { environment: Some(environment.to_owned()) };
        let deployment = client.get_deployment(name, &query).await?;
        let manifest = client.get_manifest(deployment.manifest.as_str()).await?;
        let changes = client.deployment_history(name, &query).await?.items;
        let before = changes.into_iter().find(|change| change.from.as_ref() != Some(&change.to));
        let baseline = match before.and_then(|change| change.from) {
            Some(before) => client.get_manifest(before.as_str()).await?.model,
            None => manifest.model.clone(),
        };
        let quoted = |text: &str| serde_json::Value::String(text.to_owned()).to_string();
        let system = manifest.system.as_deref().unwrap_or_default();
        let lines = [
            ("current_model", manifest.model.clone()),
            ("baseline_model", baseline),
            ("prompt_template_version", manifest.prompt_label().unwrap_or_default()),
            ("system_prompt_hash", ContentHash::of_bytes(system.as_bytes()).to_string()),
            ("last_updated", deployment.updated_at.to_string()),
            ("updated_by", deployment.updated_by.unwrap_or_default()),
        ];
        let text: String = lines.iter().map(|(name, value)| format!("{name}: {}\n", quoted(value))).collect();
        super::write_file(path, &text)
    }
}
