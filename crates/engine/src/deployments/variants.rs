//! What answers in the variants of a deployment's experiment.

use std::sync::Arc;

use llmops_domain::chat::Parameters;
use llmops_domain::deployment::{DEFAULT_ENVIRONMENT, Deployment, LiveVariant};
use llmops_domain::experiment::{Experiment, Unit, Variant};
use llmops_domain::hash::ContentHash;
use llmops_domain::manifest::Manifest;

use super::Deployments;
use crate::Error;
use crate::experiments::Flag;

/// Deployments that are looked through at a time.
const PAGE: u32 = 200;

impl Deployments {
    /// The variants of the experiment that a deployment names, in their order; none while it does not run.
    pub(super) async fn variants(
        &self,
        deployment: &Deployment,
        own: (&ContentHash, &Manifest),
    ) -> Result<Vec<LiveVariant>, Error> {
        let Some(key) = &deployment.settings.experiment else { return Ok(Vec::new()) };
        let flags = self.services.experiments.flags(&self.project).await?;
        let Some(flag) = flags.find(key) else { return Ok(Vec::new()) };
        let mut variants = Vec::new();
        for variant in &flag.experiment.spec.variants {
            let (manifest_id, manifest) = self.manifest_of(variant, own).await?;
            let prompt = self.prompt_body(&manifest).await?;
            variants.push(LiveVariant { variant: variant.id.clone(), manifest, manifest_id, prompt });
        }
        Ok(variants)
    }

    /// The experiment that assigns a deployment's users now. One that was completed goes on to answer everybody by its winner, where
    /// it has one.
    pub(crate) async fn assigning(&self, deployment: &Deployment) -> Result<Option<String>, Error> {
        let Some(key) = &deployment.settings.experiment else { return Ok(None) };
        let flags = self.services.experiments.flags(&self.project).await?;
        let assigns = |flag: &Arc<Flag>| flag.experiment.status.is_live() || flag.experiment.winner.is_some();
        Ok(flags.find(key).is_some_and(assigns).then(|| key.clone()))
    }

    /// The manifests with which a running experiment answers, other than the deployment's own.
    ///
    /// # Errors
    /// [`Error::Conflict`] while it does not run: what its variants are can still change.
    pub(super) async fn manifests_of_variants(
        &self,
        key: &str,
        own: (&ContentHash, &Manifest),
    ) -> Result<Vec<ContentHash>, Error> {
        self.manifests_of_running_variants(key, own).await?.ok_or_else(|| Error::Conflict {
            message: format!(
                "no experiment `{key}` runs, so that nobody knows whether its manifests passed their gates"
            ),
            hint: Some(format!("llmops experiment start {key}, then deploy these settings")),
        })
    }

    /// The same; nothing while it does not run.
    pub(super) async fn manifests_of_running_variants(
        &self,
        key: &str,
        own: (&ContentHash, &Manifest),
    ) -> Result<Option<Vec<ContentHash>>, Error> {
        let flags = self.services.experiments.flags(&self.project).await?;
        match flags.find(key) {
            Some(flag) => self.manifests_of(&flag.experiment.spec.variants, own).await.map(Some),
            None => Ok(None),
        }
    }

    /// The manifests of variants, other than the deployment's own.
    async fn manifests_of(
        &self,
        variants: &[Variant],
        own: (&ContentHash, &Manifest),
    ) -> Result<Vec<ContentHash>, Error> {
        let mut manifests = Vec::new();
        for variant in variants {
            manifests.push(self.manifest_of(variant, own).await?.0);
        }
        manifests.retain(|hash| hash != own.0);
        Ok(manifests)
    }

    /// Whether users are in an experiment that is running or paused.
    pub(super) async fn has_users(&self, key: &str) -> Result<bool, Error> {
        let flags = self.services.experiments.flags(&self.project).await?;
        let is_of_users =
            |flag: &&Arc<Flag>| flag.experiment.status.is_live() && flag.experiment.spec.unit == Unit::User;
        let Some(flag) = flags.find(key).filter(is_of_users) else { return Ok(false) };
        self.services.experiments.exposures.flush().await;
        let exposed = self.services.store.exposure_counts(&flag.key).await?;
        Ok(exposed.iter().any(|count| count.units > 0))
    }

    /// Refuses an experiment by which a deployment answers its callers as soon as it runs, where that takes other manifests only when
    /// a second key allows them, and where production asks for gates which they did not pass.
    ///
    /// # Errors
    /// [`Error::Conflict`].
    pub(crate) async fn let_variants_answer(&self, experiment: &Experiment) -> Result<(), Error> {
        let mut after: Option<(String, String)> = None;
        loop {
            let from = after.as_ref().map(|(name, environment)| (name.as_str(), environment.as_str()));
            let page = self.list(from, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some((last.name.clone(), last.environment.clone()));
            for deployment in page.iter().filter(|deployment| waits_for(deployment, experiment)) {
                self.let_answer(deployment, experiment).await?;
            }
        }
    }

    async fn let_answer(&self, deployment: &Deployment, experiment: &Experiment) -> Result<(), Error> {
        let (name, settings) = (&deployment.name, &deployment.settings);
        let (hash, manifest) = self.manifest(deployment.manifest.as_str()).await?;
        let coming = self.manifests_of(&experiment.spec.variants, (&hash, &manifest)).await?;
        if settings.require_approval && !coming.is_empty() {
            let (environment, id) = (&deployment.environment, &experiment.id);
            return Err(Error::Conflict {
                message: format!(
                    "{name} in {environment} answers by the variants of {id}, and a second key has to allow other manifests there"
                ),
                hint: Some(format!(
                    "deploy {name} with settings without `experiment`, start {id}, then name it in the settings again: that asks for \
                     the second key"
                )),
            });
        }
        if !settings.require_gate || deployment.environment != DEFAULT_ENVIRONMENT {
            return Ok(());
        }
        for variant in coming {
            let gated = self.gated_runs(&variant).await?;
            self.require_gate(&variant, &gated, settings).map_err(|error| match error {
                Error::Conflict { message, hint } => Error::Conflict {
                    message: format!("{name} answers by the variants of {}: {message}", experiment.id),
                    hint,
                },
                other => other,
            })?;
        }
        Ok(())
    }

    /// The manifest of a variant: the one that it names, else the deployment's own with what the variant changes.
    async fn manifest_of(
        &self,
        variant: &Variant,
        (own_id, own): (&ContentHash, &Manifest),
    ) -> Result<(ContentHash, Manifest), Error> {
        if let Some(hash) = &variant.manifest {
            return self.manifest(hash).await;
        }
        let changes_nothing =
            variant.prompt_name.is_none() && variant.model_name.is_none() && variant.parameters.is_empty();
        if changes_nothing {
            return Ok((own_id.clone(), own.clone()));
        }
        let parameters = parameters_of(variant)?;
        let reference = variant.prompt_name.as_ref().map(|name| match &variant.prompt_version {
            Some(version) => format!("{name}@{version}"),
            None => name.clone(),
        });
        let parts = (reference.as_deref(), variant.model_name.as_deref());
        let manifest = self.with_parts(own, parts, &parameters).await?;
        // Records lead to it by its hash.
        let hash = self.services.store.put_manifest(&self.project, &manifest).await?;
        Ok((hash, manifest))
    }
}

/// Whether a deployment asks for something before other manifests answer, and is answered by the variants of an experiment as soon as
/// that runs.
fn waits_for(deployment: &Deployment, experiment: &Experiment) -> bool {
    let settings = &deployment.settings;
    (settings.require_gate || settings.require_approval)
        && settings
            .experiment
            .as_deref()
            .is_some_and(|named| named == experiment.spec.key || named == experiment.id.as_str())
}

/// A variant's parameters; what no provider-independent parameter has the name of goes into the body as it is.
fn parameters_of(variant: &Variant) -> Result<Parameters, Error> {
    const KNOWN: [&str; 8] =
        ["temperature", "top_p", "max_tokens", "stop", "seed", "presence_penalty", "frequency_penalty", "extra_body"];
    let (known, others): (serde_json::Map<_, _>, serde_json::Map<_, _>) =
        variant.parameters.clone().into_iter().partition(|(name, _)| KNOWN.contains(&name.as_str()));
    let mut parameters: Parameters = serde_json::from_value(known.into())
        .map_err(|error| Error::invalid(format!("variant {}: parameters: {error}", variant.id)))?;
    parameters.extra_body.extend(others);
    Ok(parameters)
}
