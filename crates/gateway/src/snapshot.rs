//! The immutable picture that requests are answered from: deployments with their compiled manifests, and providers with
//! their addresses. It is made anew when something changes, and swapped in whole.

use std::collections::HashMap;
use std::sync::Arc;

use llmops_domain::deployment::{DEFAULT_ENVIRONMENT, Deployment, LiveDeployment};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_domain::render::CompiledTarget;
use llmops_domain::soft_failure::Guard;
use llmops_domain::suggest;
use llmops_providers::http_client::Endpoint;
use llmops_providers::upstream::{Dialect, Purpose, Upstream};
use llmops_providers::{Providers, Target};
use serde_json::value::RawValue;

/// Why a deployment cannot answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the deployment `{deployment}` cannot answer: {message}")]
pub struct SnapshotError {
    /// Its name.
    pub deployment: String,
    /// What is wrong.
    pub message: String,
}

/// Everything that requests are answered from.
#[derive(Debug)]
pub struct Snapshot {
    /// By project, then by `NAME` (in production) and `NAME@ENVIRONMENT`.
    routes: HashMap<ProjectId, HashMap<String, Result<Arc<Route>, SnapshotError>>>,
    providers: Arc<Providers>,
    upstreams: HashMap<String, Upstream>,
}

/// A compiled deployment.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) deployment: Deployment,
    pub(crate) manifest_id: ContentHash,
    pub(crate) target: CompiledTarget,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) guard: Guard,
    pub(crate) fixed_answer: Option<String>,
}

/// A place where a deployment's model is hosted.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// `provider/model`
    pub(crate) name: String,
    pub(crate) target: Target,
    /// Where bytes are forwarded; absent where requests are translated or answered in process.
    pub(crate) forward: Option<Forward>,
}

/// An address that bytes are forwarded to.
pub(crate) struct Forward {
    pub(crate) upstream: Upstream,
    pub(crate) endpoint: Endpoint,
    /// The fields that the manifest decides, as they stand in bodies.
    pub(crate) fixed: Vec<(String, Box<RawValue>)>,
}

impl std::fmt::Debug for Forward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Headers and fields may hold secrets.
        f.debug_struct("Forward").field("endpoint", &self.endpoint.name()).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Compiles everything once. A deployment that cannot answer fails alone, at its own calls; all such are the second
    /// value.
    pub fn new(providers: Arc<Providers>, deployments: Vec<LiveDeployment>) -> (Self, Vec<SnapshotError>) {
        let names = providers.names().map(str::to_owned).collect::<Vec<_>>();
        let upstreams = names.into_iter().filter_map(|name| Some((name.clone(), providers.upstream(&name)?))).collect();
        let mut snapshot = Self { routes: HashMap::new(), providers, upstreams };
        let mut errors = Vec::new();
        for live in deployments {
            let (project, name) = (live.project.clone(), live.deployment.name.clone());
            let environment = live.deployment.environment.clone();
            let route = snapshot
                .compile(live)
                .map(Arc::new)
                .map_err(|message| SnapshotError { deployment: format!("{name}@{environment}"), message });
            errors.extend(route.as_ref().err().cloned());
            let routes = snapshot.routes.entry(project).or_default();
            if environment == DEFAULT_ENVIRONMENT {
                routes.insert(name.clone(), route.clone());
            }
            routes.insert(format!("{name}@{environment}"), route);
        }
        (snapshot, errors)
    }

    fn compile(&self, live: LiveDeployment) -> Result<Route, String> {
        let guard = Guard::compile(&live.deployment.settings.guard).map_err(|error| error.to_string())?;
        let target = CompiledTarget::compile(live.manifest, live.prompt.as_ref()).map_err(|error| error.to_string())?;
        let fallbacks = live.deployment.settings.fallbacks.iter();
        let candidates = std::iter::once(&target.manifest().model)
            .chain(fallbacks)
            .map(|model| self.candidate(model, Some(&target)))
            .collect::<Result<Vec<_>, _>>()?;
        let (deployment, manifest_id, fixed_answer) = (live.deployment, live.manifest_id, live.fixed_answer);
        Ok(Route { deployment, manifest_id, target, candidates, guard, fixed_answer })
    }

    /// A model by `provider/model`, with the manifest's fields in the provider's own words.
    pub(crate) fn candidate(&self, name: &str, manifest: Option<&CompiledTarget>) -> Result<Candidate, String> {
        let target = self.providers.resolve(name).map_err(|error| error.to_string())?;
        let forward = match self.upstreams.get(target.provider()) {
            Some(upstream) => Some(forward(upstream, &target, manifest)?),
            None => None,
        };
        Ok(Candidate { name: name.to_owned(), target, forward })
    }

    /// The address for a purpose other than chat.
    pub(crate) fn endpoint(&self, target: &Target, purpose: Purpose) -> Option<Result<(Upstream, Endpoint), String>> {
        let upstream = self.upstreams.get(target.provider())?;
        let endpoint = upstream.endpoint(purpose, target.model()).map_err(|error| error.to_string());
        Some(endpoint.map(|endpoint| (upstream.clone(), endpoint)))
    }

    /// The deployment of a project by `NAME` or `NAME@ENVIRONMENT`.
    pub(crate) fn route(&self, project: &ProjectId, name: &str) -> Option<&Result<Arc<Route>, SnapshotError>> {
        self.routes.get(project)?.get(name)
    }

    /// The names of a project's deployments, as callers give them.
    pub(crate) fn names(&self, project: &ProjectId) -> Vec<&str> {
        let mut names: Vec<&str> = self.routes.get(project).into_iter().flatten().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names
    }

    /// The nearest name of a deployment, for a message.
    pub(crate) fn nearest(&self, project: &ProjectId, name: &str) -> Option<&str> {
        suggest::nearest(name, self.names(project))
    }

    /// The providers.
    pub fn providers(&self) -> &Arc<Providers> {
        &self.providers
    }
}

fn forward(upstream: &Upstream, target: &Target, manifest: Option<&CompiledTarget>) -> Result<Forward, String> {
    let endpoint = upstream.endpoint(Purpose::Chat, target.model()).map_err(|error| error.to_string())?;
    let fixed = match manifest {
        None => Vec::new(),
        Some(manifest) => {
            let request =
                llmops_domain::chat::ChatRequest { model: target.model().to_owned(), ..manifest.bare_request() };
            let fields = upstream.settings(&request).map_err(|error| error.to_string())?;
            let raw = |(name, value)| Ok((name, serde_json::value::to_raw_value(&value)?));
            fields.into_iter().map(raw).collect::<Result<_, serde_json::Error>>().map_err(|e| e.to_string())?
        }
    };
    Ok(Forward { upstream: upstream.clone(), endpoint, fixed })
}

impl Forward {
    pub(crate) fn dialect(&self) -> Dialect {
        self.upstream.dialect()
    }
}
