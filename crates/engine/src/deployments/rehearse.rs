//! Rehearsing a rollback: could the manifests that were live take over now?

use std::time::Duration;

use llmops_api::deployments::{Rehearsal, RehearsedManifest};
use llmops_domain::chat::{ChatRequest, Message, Role};
use llmops_domain::deployment;
use llmops_domain::hash::ContentHash;
use llmops_domain::manifest::Manifest;
use llmops_providers::Target;
use llmops_providers::upstream::Purpose;
use serde_json::json;

use super::Deployments;
use crate::Error;

/// What a probe asks, and the most it may be answered with.
const PROBE: &str = "Reply with the word OK.";
const PROBE_TOKENS: u32 = 16;
/// Longest wait for an embedding of it.
const PROBE_PATIENCE: Duration = Duration::from_secs(30);

impl Deployments {
    /// Checks every manifest that was live: that it resolves, compiles, has the fields that are required now, and that
    /// its provider answers one probe. Live traffic is not touched.
    pub async fn rehearse(&self, name: &str, environment: Option<&str>) -> Result<Rehearsal, Error> {
        let deployment = self.get(name, environment).await?;
        let history = self.history(name, environment).await?;
        let safe = deployment.settings.safe_mode.manifest.clone();
        let hashes: Vec<ContentHash> = safe.into_iter().chain(deployment::ever_live(&history)).collect();
        let mut manifests: Vec<RehearsedManifest> = Vec::new();
        for hash in hashes {
            if manifests.iter().any(|known| known.manifest == hash) {
                continue;
            }
            let (_, manifest) = self.manifest(hash.as_str()).await?;
            let mut problems = self.problems(&manifest, &deployment.settings).await?;
            problems.extend(manifest.problems());
            if problems.is_empty() {
                problems.extend(self.probe(&manifest).await);
            }
            manifests.push(RehearsedManifest {
                is_live: hash == deployment.manifest,
                manifest: hash,
                prompt: manifest.prompt_label(),
                model: manifest.model,
                problems,
            });
        }
        Ok(Rehearsal { ready: manifests.iter().all(|m| m.problems.is_empty()), manifests })
    }

    /// Asks the manifest's model for a word.
    async fn probe(&self, manifest: &Manifest) -> Option<String> {
        let target = match self.services.providers.resolve(&manifest.model) {
            Ok(target) => target,
            Err(error) => return Some(error.to_string()),
        };
        let mut parameters = manifest.parameters.clone();
        parameters.max_tokens = Some(PROBE_TOKENS);
        let request = ChatRequest {
            model: target.model().to_owned(),
            messages: vec![Message::text(Role::User, PROBE)],
            parameters,
            tools: manifest.tools.clone(),
            response_format: None,
            origin: llmops_domain::chat::RequestOrigin::default(),
        };
        let error = target.chat(&request).await.err()?;
        let embeds = manifest.is_model_alone() && self.embeds(&target).await;
        (!embeds).then(|| format!("a probe failed: {error}"))
    }

    /// Whether a model that does not chat makes embeddings.
    async fn embeds(&self, target: &Target) -> bool {
        let Some(upstream) = self.services.providers.upstream(target.provider()) else { return false };
        let Ok(endpoint) = upstream.endpoint(Purpose::Embeddings, target.model()) else { return false };
        let body = json!({"model": target.model(), "input": PROBE}).to_string().into_bytes();
        let asking = tokio::time::timeout(PROBE_PATIENCE, upstream.client().post_json(&endpoint, body));
        matches!(asking.await, Ok(Ok(_)))
    }
}
