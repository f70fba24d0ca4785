//! `PromptRegistry`: versioned prompts.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
use llmops_api::prompts::{BumpMode, PushPrompt, PushedPrompt, RenderedPrompt};
use llmops_domain::access::Actor;
use llmops_domain::contract;
use llmops_domain::deployment::DEFAULT_ENVIRONMENT;
use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_domain::judge::{BUILTIN_PREFIX, JudgePromptKind};
use llmops_domain::prompt::{
    PromptRef, PromptScore, PromptSelector, PromptSpec, PromptStatus, PromptVersion, parse_selector,
};
use llmops_domain::prompt_diff::{self, PromptDiff};
use llmops_domain::render::{CompiledPrompt, Extra};
use llmops_domain::run::{EvaluationFilter, RunStatus};
use llmops_storage::{CreatedPrompt, StoreError};
use semver::Version;
use serde_json::Value;

use crate::{Error, Services};

/// Newest runs of a prompt among which its scores are looked for.
const RUNS_LOOKED_AT: u32 = 200;

/// Manages prompt versions: create, get, get_latest, list, list_all, activate, delete, render, compare.
#[derive(Debug, Clone)]
pub struct PromptRegistry {
    services: Arc<Services>,
    project: ProjectId,
}

impl PromptRegistry {
    pub(crate) fn new(services: Arc<Services>, project: ProjectId) -> Self {
        Self { services, project }
    }

    /// Adds a version. Identical content is the version that exists; the same number with other content is a conflict, also
    /// where the version of that number was deleted.
    pub async fn create(&self, push: PushPrompt) -> Result<PushedPrompt, Error> {
        let PushPrompt { prompt: spec, bump, activate } = push;
        if !PromptSpec::is_name(&spec.name) {
            return Err(Error::invalid(format!(
                "{:?} is no name for a prompt: expected 1 to 128 letters, digits, `.`, `_`, `/` and `-`, a letter or \
                 digit first",
                spec.name
            )));
        }
        if spec.name.starts_with(BUILTIN_PREFIX) {
            let message = format!("the name `{}` belongs to the built-in prompts", spec.name);
            return Err(Error::invalid(message).with_hint(format!(
                "push it under a name of your own, without {BUILTIN_PREFIX}, and name it where it is used: a judge takes \
                 `prompt: NAME@VERSION`"
            )));
        }
        let compiled = CompiledPrompt::compile(&spec.body).map_err(|e| Error::invalid(e.to_string()))?;
        let warnings = compiled.push_warnings().to_vec();
        let hash = spec.body.hash().map_err(|e| Error::invalid(e.to_string()))?;
        let versions = self.services.store.list_prompt_versions(&self.project, &spec.name).await?;
        let (mut version, reasons) = choose_version(&spec, bump, &versions)?;
        let deleted = self.services.store.deleted_prompt_versions(&self.project, &spec.name).await?;
        let is_gone = |version: &Version| deleted.iter().any(|(gone, of)| gone == version && *of != hash);
        while bump != BumpMode::None && is_gone(&version) {
            version = contract::Bump::Patch.apply(&version);
        }
        let is_gone = is_gone(&version);
        let candidate = self.to_version(spec, version, hash);
        let created = self.services.store.create_prompt(&self.project, &candidate).await;
        let (mut prompt, created) = match created {
            Ok(CreatedPrompt::Created(prompt)) => (prompt, true),
            Ok(CreatedPrompt::Existing(prompt)) => (prompt, false),
            Err(StoreError::Conflict { .. }) => return Err(conflict(&candidate, is_gone)),
            Err(error) => return Err(error.into()),
        };
        if activate && !prompt.is_active {
            prompt = self.activate(&prompt.name, &prompt.version.to_string()).await?;
        }
        Ok(PushedPrompt { prompt, created, reasons: if created { reasons } else { Vec::new() }, warnings })
    }

    fn to_version(&self, spec: PromptSpec, version: Version, hash: ContentHash) -> PromptVersion {
        PromptVersion {
            name: spec.name,
            version,
            hash,
            description: spec.description,
            author: spec.author,
            tags: spec.tags,
            change: spec.change,
            metadata: spec.metadata,
            body: spec.body,
            status: PromptStatus::Draft,
            scores: Vec::new(),
            is_active: false,
            created_at: self.services.clock.now(),
        }
    }

    /// Puts the built-in prompts of this build into the registry, beside those of earlier builds. Once done, nothing is
    /// asked of the store again.
    async fn ensure_builtin(&self) -> Result<(), Error> {
        let known = || self.services.with_builtin_prompts.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(&self.project) {
            return Ok(());
        }
        // Whoever looks is not who put them there.
        let store = self.services.store.acting_as(Arc::new(Actor::part("llmops")));
        for kind in JudgePromptKind::ALL {
            let spec = kind.builtin();
            let hash = spec.body.hash().map_err(|e| Error::Internal(e.to_string()))?;
            let candidate = self.to_version(spec, kind.prompt_version(), hash);
            match store.create_prompt(&self.project, &candidate).await {
                Ok(CreatedPrompt::Created(created)) if !created.is_active => {
                    store.activate_prompt(&self.project, &created.name, &created.version).await?;
                }
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
        }
        known().insert(self.project.clone());
        Ok(())
    }

    /// The version that `selector` names: a number or a hash.
    pub async fn get(&self, name: &str, selector: &PromptSelector) -> Result<PromptVersion, Error> {
        if name.starts_with(BUILTIN_PREFIX) {
            self.ensure_builtin().await?;
        }
        match self.services.store.get_prompt(&self.project, name, selector).await {
            Err(StoreError::NotFound { .. }) => Err(self.missing(name, selector).await),
            other => Ok(other?),
        }
    }

    /// The version named as people write it: `NAME`, `NAME@1.2.0`, `NAME@HASH`.
    pub async fn resolve(&self, reference: &str) -> Result<PromptVersion, Error> {
        let reference: PromptRef =
            reference.parse().map_err(|e: llmops_domain::prompt::PromptRefError| Error::invalid(e.to_string()))?;
        self.get(&reference.name, &reference.selector).await
    }

    /// The active version.
    pub async fn get_latest(&self, name: &str) -> Result<PromptVersion, Error> {
        self.get(name, &PromptSelector::Active).await
    }

    /// All versions of a prompt, newest first.
    pub async fn list(&self, name: &str) -> Result<Vec<PromptVersion>, Error> {
        if name.starts_with(BUILTIN_PREFIX) {
            self.ensure_builtin().await?;
        }
        let versions = self.services.store.list_prompt_versions(&self.project, name).await?;
        if versions.is_empty() {
            return Err(self.missing(name, &PromptSelector::Active).await);
        }
        Ok(versions)
    }

    /// The active version of every prompt, the built-in ones among them, by name, after the name `after`. Looking puts nothing
    /// into the registry: built-in prompts come there with their first use.
    pub async fn list_all(&self, after: Option<&str>, limit: u32) -> Result<Vec<PromptVersion>, Error> {
        let mut found = self.services.store.list_prompts(&self.project, after, limit).await?;
        for kind in JudgePromptKind::ALL {
            let spec = kind.builtin();
            if after.is_some_and(|after| spec.name.as_str() <= after) || found.iter().any(|p| p.name == spec.name) {
                continue;
            }
            let hash = spec.body.hash().map_err(|e| Error::Internal(e.to_string()))?;
            let version = self.to_version(spec, kind.prompt_version(), hash);
            let (is_active, created_at) = (true, Timestamp::UNIX_EPOCH);
            found.push(PromptVersion { status: PromptStatus::Production, is_active, created_at, ..version });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found.truncate(limit as usize);
        Ok(found)
    }

    /// Says of versions where they are in use now.
    pub async fn with_status(&self, mut versions: Vec<PromptVersion>) -> Result<Vec<PromptVersion>, Error> {
        for (environment, manifest) in self.services.store.live_manifests(&self.project).await? {
            let is_here = |version: &&mut PromptVersion| {
                Some(&version.name) == manifest.prompt.as_ref() && Some(&version.hash) == manifest.prompt_hash.as_ref()
            };
            for version in versions.iter_mut().filter(is_here) {
                version.status = match (environment.as_str(), version.status) {
                    (DEFAULT_ENVIRONMENT, _) | (_, PromptStatus::Production) => PromptStatus::Production,
                    _ => PromptStatus::Staging,
                };
            }
        }
        Ok(versions)
    }

    /// Says of versions of one prompt where they are in use now, and what their evaluations found.
    pub async fn with_scores(&self, versions: Vec<PromptVersion>) -> Result<Vec<PromptVersion>, Error> {
        let mut versions = self.with_status(versions).await?;
        let Some(first) = versions.first() else { return Ok(versions) };
        let filter = EvaluationFilter {
            prompt_name: Some(first.name.clone()),
            prompt_version: Some(first.version.to_string()).filter(|_| versions.len() == 1),
            status: Some(RunStatus::Completed),
            limit: Some(RUNS_LOOKED_AT),
            ..EvaluationFilter::default()
        };
        for run in self.services.store.list_runs(&self.project, &filter).await? {
            let manifest = &run.spec.manifest;
            let of = versions.iter_mut().find(|version| Some(&version.hash) == manifest.prompt_hash.as_ref());
            // A part of the samples says nothing of the whole.
            let (Some(version), Some(results), false) = (of, run.results, run.spec.is_partial()) else { continue };
            let is_known = |known: &PromptScore| known.dataset == run.dataset && known.model == manifest.model;
            if !version.scores.iter().any(is_known) {
                version.scores.push(PromptScore {
                    run: run.id,
                    dataset: run.dataset,
                    model: run.model_name,
                    overall: results.overall,
                    pass_rate: results.pass_rate,
                    at: run.created_at,
                });
            }
        }
        Ok(versions)
    }

    /// One version, with where it is in use now and what its evaluations found.
    pub async fn look_at(&self, name: &str, selector: &PromptSelector) -> Result<PromptVersion, Error> {
        let version = self.get(name, selector).await?;
        let looked_at = self.with_scores(vec![version.clone()]).await?.pop();
        Ok(looked_at.unwrap_or(version))
    }

    /// Makes a version the active one.
    pub async fn activate(&self, name: &str, selector: &str) -> Result<PromptVersion, Error> {
        let version = self.get(name, &read_selector(selector)?).await?;
        self.services.store.activate_prompt(&self.project, name, &version.version).await?;
        Ok(PromptVersion { is_active: true, ..version })
    }

    /// The same, if the active version is still the one that the caller saw.
    pub async fn activate_from(&self, seen: &PromptVersion, selector: &str) -> Result<PromptVersion, Error> {
        let version = self.get(&seen.name, &read_selector(selector)?).await?;
        let store = &self.services.store;
        match store.activate_prompt_from(&self.project, &seen.name, &version.version, &seen.version).await {
            Ok(moved) => Ok(moved.after),
            Err(StoreError::Conflict(message)) => Err(Error::Precondition(message)),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a version. The active one cannot be deleted.
    pub async fn delete(&self, name: &str, selector: &str) -> Result<(), Error> {
        let version = self.get(name, &read_selector(selector)?).await?;
        match self.services.store.delete_prompt(&self.project, name, &version.version).await {
            Err(StoreError::Conflict { .. }) => Err(Error::Conflict {
                message: format!("{name}@{} is the active version", version.version),
                hint: Some(format!("activate another version first: llmops prompt activate {name}@VERSION")),
            }),
            other => Ok(other?),
        }
    }

    /// Renders a version. Variables it does not know are an error.
    pub async fn render(
        &self,
        name: &str,
        selector: &PromptSelector,
        variables: BTreeMap<String, Value>,
    ) -> Result<RenderedPrompt, Error> {
        let version = self.get(name, selector).await?;
        let compiled = CompiledPrompt::compile(&version.body).map_err(|e| Error::invalid(e.to_string()))?;
        let messages = compiled.render(variables, Extra::Refuse).map_err(|e| Error::invalid(e.to_string()))?;
        let text = messages.last().map(|m| m.as_text().into_owned()).unwrap_or_default();
        Ok(RenderedPrompt { messages, text })
    }

    /// What differs between two versions.
    pub async fn compare(&self, name: &str, from: &PromptSelector, to: &PromptSelector) -> Result<PromptDiff, Error> {
        let from = self.get(name, from).await?;
        let to = self.get(name, to).await?;
        Ok(prompt_diff::diff(&from, &to))
    }

    async fn missing(&self, name: &str, selector: &PromptSelector) -> Error {
        let versions = self.services.store.list_prompt_versions(&self.project, name).await.unwrap_or_default();
        let reference = PromptRef { name: name.to_owned(), selector: selector.clone() }.to_string();
        let error = Error::not_found("prompt", reference);
        if versions.is_empty() {
            return error
                .with_hint("push it: llmops prompt push prompts/NAME.yaml; llmops prompt list shows what exists");
        }
        let known: Vec<String> = versions.iter().take(5).map(|v| v.version.to_string()).collect();
        error.with_hint(format!("its versions are {}", known.join(", ")))
    }
}

/// Reads what callers put in place of a version: a number or a hash.
pub fn read_selector(text: &str) -> Result<PromptSelector, Error> {
    if text == "active" || text == "latest" {
        return Ok(PromptSelector::Active);
    }
    parse_selector(text).ok_or_else(|| {
        Error::invalid(format!("`{text}` is no version: expected a number such as 1.2.0, or 12 hex digits of a hash"))
    })
}

fn conflict(candidate: &PromptVersion, is_gone: bool) -> Error {
    let what = if is_gone { "had other content before it was deleted" } else { "exists with other content" };
    Error::Conflict {
        message: format!("{}@{} {what}; versions never change", candidate.name, candidate.version),
        hint: Some("raise `version`, or push with --bump auto".to_owned()),
    }
}

fn choose_version(
    spec: &PromptSpec,
    bump: BumpMode,
    versions: &[PromptVersion],
) -> Result<(Version, Vec<String>), Error> {
    let newest = versions.first();
    let step = match (bump, newest) {
        (BumpMode::None, _) | (_, None) => {
            return match (&spec.version, newest) {
                (Some(version), _) => Ok((version.clone(), Vec::new())),
                (None, None) => Ok((contract::FIRST_VERSION, Vec::new())),
                (None, Some(_)) => Err(Error::invalid(format!("the prompt `{}` names no version", spec.name))
                    .with_hint("write `version: …`, or push with --bump auto|major|minor|patch")),
            };
        }
        (BumpMode::Auto, Some(newest)) => {
            let next = contract::next_version(newest, &spec.body);
            return Ok((next.version, next.reasons));
        }
        (BumpMode::Major, Some(newest)) => contract::Bump::Major.apply(&newest.version),
        (BumpMode::Minor, Some(newest)) => contract::Bump::Minor.apply(&newest.version),
        (BumpMode::Patch, Some(newest)) => contract::Bump::Patch.apply(&newest.version),
    };
    Ok((step, Vec::new()))
}
