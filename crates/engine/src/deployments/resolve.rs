//! Which manifest a request means.

use llmops_api::deployments::Deploy;
use llmops_domain::chat::Parameters;
use llmops_domain::deployment::Deployment;
use llmops_domain::hash::ContentHash;
use llmops_domain::manifest::Manifest;

use super::{Deployments, check_names};
use crate::Error;

impl Deployments {
    /// The manifest that a request means, stored, if it could answer; and what people call it.
    pub(crate) async fn prepared(
        &self,
        name: &str,
        request: Deploy,
        live: Option<&Deployment>,
    ) -> Result<(ContentHash, String), Error> {
        check_names(name, None)?;
        let settings = live.map(|deployment| deployment.settings.clone()).unwrap_or_default();
        let manifest = Box::pin(self.resolve(request, live)).await?;
        Self::check_new(&manifest)?;
        self.check(&manifest, &settings).await?;
        let hash = self.services.store.put_manifest(&self.project, &manifest).await?;
        let label = match manifest.prompt_label() {
            Some(prompt) => format!("{prompt} on {}", manifest.model),
            None => manifest.model,
        };
        Ok((hash, label))
    }

    /// A manifest that a canary may put beside a deployment: resolved, stored, and able to answer. Of prompt, model and
    /// parameters, what the request leaves out is what is live; then the notices say what the prompt would have had instead.
    pub(crate) async fn candidate(
        &self,
        request: Deploy,
        live: &Deployment,
    ) -> Result<(ContentHash, Manifest, Vec<String>), Error> {
        let is_whole = request.manifest.is_some() || request.manifest_hash.is_some();
        let is_part = request.prompt.is_some() != request.model.is_some();
        let (manifest, notices) = if is_part && !is_whole {
            let (_, present) = self.manifest(live.manifest.as_str()).await?;
            let manifest = self.changed(&present, &request).await?;
            let notices = self.of_its_own(&manifest, &request).await?;
            (manifest, notices)
        } else {
            (Box::pin(self.resolve(request, Some(live))).await?, Vec::new())
        };
        Self::check_new(&manifest)?;
        self.check(&manifest, &live.settings).await?;
        Ok((self.services.store.put_manifest(&self.project, &manifest).await?, manifest, notices))
    }

    /// The manifest that a request means, where `live` answers now.
    pub(super) async fn resolve(&self, request: Deploy, live: Option<&Deployment>) -> Result<Manifest, Error> {
        let whole = (request.manifest.as_ref(), request.manifest_hash.as_deref());
        if let Some(manifest) = self.whole(whole, request.prompt.is_some() || request.model.is_some()).await? {
            return Ok(manifest);
        }
        let is_empty = Deploy { environment: None, reason: None, ..request.clone() } == Deploy::default();
        let live = live.filter(|_| !is_empty);
        let prompt = match (&request.prompt, live) {
            (Some(reference), _) => Some(self.prompts.resolve(reference).await?),
            // Whoever names another model, or a parameter, has said nothing against the prompt.
            (None, Some(live)) => return self.changed(&self.manifest(live.manifest.as_str()).await?.1, &request).await,
            (None, None) if request.model.is_some() => None,
            (None, None) => {
                return Err(Error::invalid("nothing to deploy: name a prompt, a model or a manifest")
                    .with_hint("--prompt NAME@VERSION --model PROVIDER/MODEL, or --manifest FILE or HASH"));
            }
        };
        let own = prompt.as_ref().and_then(|p| p.body.model.clone());
        match (request.model.clone().or(own), live) {
            (Some(model), _) => {
                let mut manifest = Manifest::resolve(prompt.as_ref(), &model, &request.parameters);
                manifest.model_version = request.model_version;
                manifest.retriever_index_version = request.retriever_index_version;
                Ok(manifest)
            }
            (None, Some(live)) => self.changed(&self.manifest(live.manifest.as_str()).await?.1, &request).await,
            (None, None) => {
                Err(Error::invalid("no model: the prompt names none").with_hint("add --model PROVIDER/MODEL"))
            }
        }
    }

    /// The manifest that a request names as a whole, by itself or by the beginning of its hash; none where it names neither. It may
    /// not name parts as well.
    pub(crate) async fn whole(
        &self,
        named: (Option<&Manifest>, Option<&str>),
        has_parts: bool,
    ) -> Result<Option<Manifest>, Error> {
        match named {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(Error::invalid("`manifest` and `manifest_hash` exclude each other")),
            _ if has_parts => {
                Err(Error::invalid("a manifest names prompt and model already: leave `prompt` and `model` out"))
            }
            (Some(manifest), None) => self.with_its_prompt(manifest.clone()).await.map(Some),
            (None, Some(prefix)) => Ok(Some(self.manifest(prefix).await?.1)),
        }
    }

    /// A manifest that somebody wrote: the prompt that it names must be there, and be pinned by its hash.
    async fn with_its_prompt(&self, manifest: Manifest) -> Result<Manifest, Error> {
        let Some(name) = &manifest.prompt else {
            if manifest.prompt_version.is_some() || manifest.prompt_hash.is_some() {
                return Err(Error::invalid("the manifest names the version of a prompt, but no prompt: add `prompt`"));
            }
            return Ok(manifest);
        };
        let Some(hash) = &manifest.prompt_hash else {
            let version = manifest.prompt_version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
            let prompt = self.prompts.resolve(&format!("{name}{version}")).await?;
            return Ok(manifest.filled_from(&prompt));
        };
        let prompt = self.prompts.resolve(&format!("{name}@{hash}")).await?;
        let version = prompt.version.to_string();
        if let Some(named) = manifest.prompt_version.as_ref().filter(|named| **named != version) {
            return Err(Error::invalid(format!(
                "the manifest's prompt_hash is that of {name}@{version}, but its prompt_version is {named}: leave one out"
            )));
        }
        Ok(Manifest { prompt_version: Some(version), prompt_hash: Some(prompt.hash), ..manifest })
    }

    /// What is live, with what a request names in place of its own.
    async fn changed(&self, live: &Manifest, request: &Deploy) -> Result<Manifest, Error> {
        let (prompt, model) = (request.prompt.as_deref(), request.model.as_deref());
        let mut manifest = self.with_parts(live, (prompt, model), &request.parameters).await?;
        if request.model_version.is_some() {
            manifest.model_version.clone_from(&request.model_version);
        }
        if request.retriever_index_version.is_some() {
            manifest.retriever_index_version.clone_from(&request.retriever_index_version);
        }
        Ok(manifest)
    }

    /// A manifest with another prompt, another model or other parameters, and all else as it is. Its parameters are laid over
    /// those of a new prompt.
    pub(super) async fn with_parts(
        &self,
        own: &Manifest,
        (prompt, model): (Option<&str>, Option<&str>),
        parameters: &Parameters,
    ) -> Result<Manifest, Error> {
        let mut parameters = own.parameters.clone().overlaid(parameters);
        let model = model.unwrap_or(&own.model);
        let mut manifest = if let Some(reference) = prompt {
            Manifest::resolve(Some(&self.prompts.resolve(reference).await?), model, &parameters)
        } else {
            let stop = std::mem::take(&mut parameters.stop);
            let stop = if stop.is_empty() { own.stop.clone() } else { stop };
            Manifest { model: model.to_owned(), parameters, stop, ..own.clone() }
        };
        // The version belongs to the model.
        manifest.model_version = own.model_version.clone().filter(|_| model == own.model);
        manifest.retriever_index_version.clone_from(&own.retriever_index_version);
        Ok(manifest)
    }

    /// What the prompt of a candidate names of its own, and does not get.
    async fn of_its_own(&self, manifest: &Manifest, request: &Deploy) -> Result<Vec<String>, Error> {
        let (Some(_), Some(body)) = (&request.prompt, self.prompt_body(manifest).await?) else { return Ok(Vec::new()) };
        let mut notices = Vec::new();
        let label = manifest.prompt_label().unwrap_or_default();
        if let Some(own) = body.model.filter(|own| *own != manifest.model) {
            notices
                .push(format!("{label} names the model {own}; the candidate keeps {}, which is live", manifest.model));
        }
        let parameters = Parameters { stop: Vec::new(), ..body.parameters };
        if manifest.parameters.clone().overlaid(&parameters) != manifest.parameters {
            notices.push(format!("the candidate keeps the parameters that are live, where those of {label} differ"));
        }
        Ok(notices)
    }
}
