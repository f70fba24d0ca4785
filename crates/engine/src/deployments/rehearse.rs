//! Rehearsing a rollback: could the manifests that were live take over now?

use llmops_api::deployments::{Rehearsal, RehearsedManifest};
use llmops_domain::chat::{ChatRequest, Message, Role};
use llmops_domain::deployment;
use llmops_domain::hash::ContentHash;
use llmops_domain::manifest::Manifest;

use super::Deployments;
use crate::Error;

/// What a probe asks, and the most it may be answered with.
const PROBE: &str = "Reply with the word OK.";
const PROBE_TOKENS: u32 = 16;

impl Deployments {
    /// Checks every manifest that was live: that it resolves, compiles, has the fields that are required now, and that
    /// its provider answers one probe. Live traffic is not touched.
    pub async fn rehearse(&self, name: &str, environment: Option<&str>) -> Result<Rehearsal, Error> {
        let deployment = self.get(name, environment).await?;
        let history = self.history(name, environment).await?;
        let mut hashes: Vec<ContentHash> = deployment::live_stack(&history);
        hashes.extend(deployment.settings.safe_mode.manifest.clone());
        hashes.reverse();
        let mut manifests: Vec<RehearsedManifest> = Vec::new();
        for hash in hashes {
            if manifests.iter().any(|known| known.manifest == hash) {
                continue;
            }
            let (_, manifest) = self.manifest(hash.as_str()).await?;
            let mut problems = self.problems(&manifest, &deployment.settings).await?;
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
        target.chat(&request).await.err().map(|error| format!("a probe failed: {error}"))
    }
}
