//! The immutable picture that requests are answered from: deployments with their compiled manifests, and providers with
//! their addresses. It is made anew when something changes, and swapped in whole.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderValue;
use jiff::Timestamp;
use llmops_domain::canary::LiveCanary;
use llmops_domain::chat::ChatRequest;
use llmops_domain::deployment::{
    Choose, DEFAULT_ENVIRONMENT, Deployment, DeploymentSettings, LiveDeployment, LiveVariant,
};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_domain::render::CompiledTarget;
use llmops_domain::soft_failure::Guard;
use llmops_domain::suggest;
use llmops_providers::http_client::Endpoint;
use llmops_providers::upstream::{Purpose, Upstream};
use llmops_providers::{Providers, Target};
use serde_json::value::RawValue;

use crate::cache::AnswerCache;
use crate::canary::RouteCanary;

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

/// Kept answers, by project, deployment with environment, and manifest.
type Caches<'a> = HashMap<(ProjectId, String, ContentHash), (&'a DeploymentSettings, &'a Arc<AnswerCache>)>;

/// A compiled deployment.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) deployment: Deployment,
    pub(crate) manifest_id: ContentHash,
    pub(crate) target: CompiledTarget,
    pub(crate) candidates: Vec<Candidate>,
    /// The candidates in the order in which they are asked.
    pub(crate) ranking: ArcSwap<Vec<usize>>,
    pub(crate) guard: Guard,
    pub(crate) fixed_answer: Option<String>,
    pub(crate) cache: Option<Arc<AnswerCache>>,
    /// The candidate beside it; none in safe mode.
    pub(crate) canary: Option<RouteCanary>,
    /// What answers in the variants of the deployment's experiment, by the variant's position.
    pub(crate) variants: Vec<Variant>,
    /// The manifest's hash and the deployment's name, as answers carry them.
    pub(crate) manifest_header: Option<HeaderValue>,
    pub(crate) name_header: Option<HeaderValue>,
}

/// What answers in one variant of an experiment.
#[derive(Debug)]
pub(crate) struct Variant {
    /// As records and answers name it: `experiment/variant`.
    pub(crate) label: String,
    /// The route; nothing where it is the deployment's own.
    pub(crate) route: Option<Arc<Route>>,
}

/// A deployment whose model is hosted in several places, of which the verifier chooses.
#[derive(Debug, Clone)]
pub struct Rankable(Arc<Route>, ProjectId);

impl Rankable {
    /// Whose it is.
    pub fn project(&self) -> &ProjectId {
        &self.1
    }

    /// The places, as `provider/model`, in the order in which they are listed.
    pub fn models(&self) -> Vec<String> {
        self.0.candidates.iter().map(|candidate| candidate.name.clone()).collect()
    }

    /// Asks them in this order from now on: positions in [`Rankable::models`]. Those that are not named stay out.
    pub fn rank(&self, order: Vec<usize>) {
        if !order.is_empty() && order.iter().all(|at| *at < self.0.candidates.len()) && **self.0.ranking.load() != order
        {
            self.0.ranking.store(Arc::new(order));
        }
    }
}

/// A place where a deployment's model is hosted.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// `provider/model`
    pub(crate) name: String,
    pub(crate) target: Target,
    /// Where requests go; absent where they are answered in process.
    pub(crate) forward: Option<Forward>,
}

/// An address that requests go to.
pub(crate) struct Forward {
    pub(crate) upstream: Upstream,
    pub(crate) endpoint: Endpoint,
    /// The address for streams, where it is another one.
    stream_endpoint: Option<Endpoint>,
    /// The address for embeddings, where the manifest is a model alone and the provider has one in OpenAI's format.
    pub(crate) embeddings: Option<Box<Endpoint>>,
    /// The fields that the manifest decides, as they stand in bodies.
    pub(crate) fixed: RawFields,
    /// What the system text says about the format of the answer, where the format has no other words for it.
    pub(crate) instruction: Option<String>,
    /// Fields that nobody chose: a body has them where the caller says nothing else.
    pub(crate) defaults: RawFields,
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
        Self::with_caches(&HashMap::new(), providers, deployments)
    }

    /// The same in the place of this one: deployments whose manifest and settings stay have the answers that were kept, as long
    /// as the providers stay, too.
    pub fn next(&self, providers: Arc<Providers>, deployments: Vec<LiveDeployment>) -> (Self, Vec<SnapshotError>) {
        let is_same = Arc::ptr_eq(&self.providers, &providers);
        let caches = if is_same { self.caches() } else { HashMap::new() };
        Self::with_caches(&caches, providers, deployments)
    }

    /// Where answers are kept.
    fn caches(&self) -> Caches<'_> {
        let routes =
            self.routes.iter().flat_map(|(project, routes)| routes.values().map(move |route| (project, route)));
        let routes = routes.filter_map(|(project, route)| Some((project, route.as_ref().ok()?)));
        let all = routes.flat_map(|(project, route)| with_others(route).map(move |route| (project, route)));
        let kept = all.filter_map(|(project, route)| {
            let of = cache_of(project, &route.deployment, &route.manifest_id);
            Some((of, (&route.deployment.settings, route.cache.as_ref()?)))
        });
        kept.collect()
    }

    fn with_caches(
        before: &Caches<'_>,
        providers: Arc<Providers>,
        deployments: Vec<LiveDeployment>,
    ) -> (Self, Vec<SnapshotError>) {
        let names = providers.names().map(str::to_owned).collect::<Vec<_>>();
        let upstreams = names.into_iter().filter_map(|name| Some((name.clone(), providers.upstream(&name)?))).collect();
        let mut snapshot = Self { routes: HashMap::new(), providers, upstreams };
        let mut errors = Vec::new();
        for live in deployments {
            let (project, name) = (live.project.clone(), live.deployment.name.clone());
            let environment = live.deployment.environment.clone();
            let route = snapshot
                .compile(live, before)
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

    fn compile(&self, mut live: LiveDeployment, before: &Caches<'_>) -> Result<Route, String> {
        let canary = live.canary.take().filter(|_| !live.deployment.safe_mode);
        let canary = canary.map(|running| self.compile_canary(&live, running, before));
        let variants = std::mem::take(&mut live.variants);
        let experiment = live.deployment.settings.experiment.clone().unwrap_or_default();
        let variants = variants.into_iter().map(|variant| self.variant(&live, &experiment, variant, before));
        let variants = variants.collect::<Result<_, _>>()?;
        Ok(Route { canary, variants, ..self.compile_one(live, before)? })
    }

    fn variant(
        &self,
        live: &LiveDeployment,
        experiment: &str,
        variant: LiveVariant,
        before: &Caches<'_>,
    ) -> Result<Variant, String> {
        let label = format!("{experiment}/{}", variant.variant);
        if variant.manifest_id == live.manifest_id {
            return Ok(Variant { label, route: None });
        }
        let LiveVariant { manifest, manifest_id, prompt, .. } = variant;
        let live = LiveDeployment { manifest, manifest_id, prompt, ..live.clone() };
        let route = self.compile_one(live, before).map_err(|error| format!("variant {label}: {error}"))?;
        Ok(Variant { label, route: Some(Arc::new(route)) })
    }

    fn compile_one(&self, live: LiveDeployment, before: &Caches<'_>) -> Result<Route, String> {
        let cache = cache(&live, before);
        let response_format = live.manifest.response_format.as_ref();
        let guard =
            Guard::compile(&live.deployment.settings.guard, response_format).map_err(|error| error.to_string())?;
        let target = CompiledTarget::compile(live.manifest, live.prompt.as_ref()).map_err(|error| error.to_string())?;
        let fallbacks = live.deployment.settings.fallbacks.iter();
        let candidates = std::iter::once(&target.manifest().model)
            .chain(fallbacks)
            .map(|model| self.candidate(model, Some(&target)))
            .collect::<Result<Vec<_>, _>>()?;
        let (deployment, manifest_id, fixed_answer) = (live.deployment, live.manifest_id, live.fixed_answer);
        Ok(Route {
            ranking: ArcSwap::from_pointee((0..candidates.len()).collect()),
            cache,
            // A fixed answer is that of no manifest.
            manifest_header: HeaderValue::from_str(manifest_id.as_str()).ok().filter(|_| fixed_answer.is_none()),
            name_header: HeaderValue::from_str(&deployment.name).ok(),
            variants: Vec::new(),
            canary: None,
            deployment,
            manifest_id,
            target,
            candidates,
            guard,
            fixed_answer,
        })
    }

    /// The deployments whose candidates the verifier ranks.
    pub fn rankable(&self) -> Vec<Rankable> {
        let mut all = Vec::new();
        for (project, routes) in &self.routes {
            // A deployment stands under two names.
            let named =
                routes.iter().filter(|(name, _)| name.contains('@')).filter_map(|(_, route)| route.as_ref().ok());
            let with_variants = named.flat_map(with_variants);
            let ranked = with_variants
                .filter(|route| route.deployment.settings.choose == Choose::Verifier && route.candidates.len() > 1);
            all.extend(ranked.map(|route| Rankable(route.clone(), project.clone())));
        }
        all
    }

    /// A candidate that cannot answer is exposed to nobody.
    fn compile_canary(&self, live: &LiveDeployment, running: LiveCanary, before: &Caches<'_>) -> RouteCanary {
        let canary = running.canary;
        let exposed = running.exposure.and_then(|exposure| {
            let candidate = LiveDeployment {
                manifest: exposure.manifest,
                manifest_id: canary.candidate.clone(),
                prompt: exposure.prompt,
                ..live.clone()
            };
            match self.compile_one(candidate, before) {
                Ok(mut route) => {
                    route.canary = Some(RouteCanary { canary: canary.clone(), exposed: None });
                    Some((exposure.share, Arc::new(route)))
                }
                Err(error) => {
                    tracing::error!(canary = %canary.id, %error, "the candidate cannot answer and is exposed to nobody");
                    None
                }
            }
        });
        RouteCanary { canary, exposed }
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

    /// When a deployment was made; where it cannot answer, nobody knows.
    pub(crate) fn created(&self, project: &ProjectId, name: &str) -> Timestamp {
        let route = self.route(project, name).and_then(|route| route.as_ref().ok());
        route.map_or(Timestamp::UNIX_EPOCH, |route| route.deployment.created_at)
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

/// A route, and those of its variants that have their own.
fn with_variants(route: &Arc<Route>) -> impl Iterator<Item = &Arc<Route>> {
    std::iter::once(route).chain(route.variants.iter().filter_map(|variant| variant.route.as_ref()))
}

/// The same with the candidate of its canary.
fn with_others(route: &Arc<Route>) -> impl Iterator<Item = &Arc<Route>> {
    let exposed = route.canary.as_ref().and_then(|canary| canary.exposed.as_ref());
    with_variants(route).chain(exposed.map(|(_, candidate)| candidate))
}

/// Where a deployment keeps answers, if it does: where it kept them before, unless something about it is new.
fn cache(live: &LiveDeployment, before: &Caches<'_>) -> Option<Arc<AnswerCache>> {
    let settings = &live.deployment.settings;
    let wanted = settings.cache.as_ref()?;
    let known = before.get(&cache_of(&live.project, &live.deployment, &live.manifest_id));
    let known = known.filter(|(known, _)| *known == settings);
    Some(known.map_or_else(|| Arc::new(AnswerCache::new(wanted)), |(_, cache)| Arc::clone(cache)))
}

fn cache_of(project: &ProjectId, deployment: &Deployment, manifest: &ContentHash) -> (ProjectId, String, ContentHash) {
    (project.clone(), format!("{}@{}", deployment.name, deployment.environment), manifest.clone())
}

fn forward(upstream: &Upstream, target: &Target, manifest: Option<&CompiledTarget>) -> Result<Forward, String> {
    let endpoint = upstream.endpoint(Purpose::Chat, target.model()).map_err(|error| error.to_string())?;
    let Settings { defaults, fixed, instruction } = match manifest {
        None => Settings::default(),
        Some(manifest) => settings(upstream, target, manifest)?,
    };
    let stream = upstream.endpoint(Purpose::Stream, target.model()).map_err(|error| error.to_string())?;
    let stream_endpoint = (stream.uri != endpoint.uri).then_some(stream);
    let embeddings = manifest
        .filter(|manifest| manifest.manifest().is_model_alone())
        .and_then(|_| upstream.endpoint(Purpose::Embeddings, target.model()).ok())
        .map(Box::new);
    Ok(Forward { upstream: upstream.clone(), endpoint, stream_endpoint, embeddings, fixed, instruction, defaults })
}

/// Fields of a body by name, each as it is written there.
type RawFields = Vec<(String, Box<RawValue>)>;

/// What a manifest says in the provider's words.
#[derive(Default)]
struct Settings {
    /// What nobody chose.
    defaults: RawFields,
    /// What it decides.
    fixed: RawFields,
    /// What it says in the system text.
    instruction: Option<String>,
}

fn settings(upstream: &Upstream, target: &Target, manifest: &CompiledTarget) -> Result<Settings, String> {
    let request = ChatRequest { model: target.model().to_owned(), ..manifest.bare_request() };
    let mut fields = upstream.settings(&request).map_err(|error| error.to_string())?;
    let instruction = fields.remove("system").and_then(|system| system.as_str().map(str::to_owned));
    let raw = |(name, value)| Ok((name, serde_json::value::to_raw_value(&value)?));
    let fields: RawFields =
        fields.into_iter().map(raw).collect::<Result<_, serde_json::Error>>().map_err(|e| e.to_string())?;
    let parameters = &request.parameters;
    let (defaults, fixed) = fields.into_iter().partition(|(name, _)| match name.as_str() {
        "temperature" => manifest.has_default_temperature(),
        // Some providers insist on a limit and get one.
        "max_tokens" => parameters.max_tokens.is_none() && !parameters.extra_body.contains_key("max_tokens"),
        _ => false,
    });
    Ok(Settings { defaults, fixed, instruction })
}

impl Forward {
    /// The address for whole or streamed answers.
    pub(crate) fn endpoint(&self, stream: bool) -> &Endpoint {
        self.stream_endpoint.as_ref().filter(|_| stream).unwrap_or(&self.endpoint)
    }
}
