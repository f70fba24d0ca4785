//! The configured providers by name, with limits, retries and prices around each.

mod here;
mod prices;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use llmops_domain::chat::{ChatRequest, ChatResponse, Usage};
use llmops_domain::config::providers::{CallLimits, FaultRates, Price, ProviderConfig};
use llmops_domain::suggest;
use tokio::sync::OnceCell;
use tokio::time;

use crate::anthropic::AnthropicProvider;
use crate::command::CommandProvider;
use crate::connector::ProxySettings;
use crate::gemini::GeminiProvider;
use crate::health::HealthBook;
use crate::http_app::HttpApp;
use crate::http_client::HttpClient;
use crate::kinds::{self, Wire};
use crate::limiter::{Limiter, Outcome};
use crate::openai::OpenAiProvider;
use crate::outputs::Outputs;
use crate::provider::{ChatProvider, ProviderError};
use crate::remote;
use crate::retry::Retry;
use crate::secrets::Secrets;
use crate::simulator::{self, Simulator};
use crate::upstream::Upstream;

/// All providers of a project.
pub struct Providers {
    entries: BTreeMap<String, Arc<Entry>>,
    prices: BTreeMap<String, Price>,
    shared: Arc<Shared>,
}

/// What the providers have in common.
struct Shared {
    project_dir: PathBuf,
    proxies: ProxySettings,
    client: OnceLock<Arc<HttpClient>>,
    health: Arc<HealthBook>,
}

impl Shared {
    fn client(&self) -> Arc<HttpClient> {
        Arc::clone(self.client.get_or_init(|| Arc::new(HttpClient::new(&self.proxies))))
    }
}

/// A model of a provider: what `provider/model` names.
#[derive(Clone)]
pub struct Target {
    entry: Arc<Entry>,
    shared: Arc<Shared>,
    model: String,
    /// `provider/model`.
    name: String,
    price: Option<Price>,
}

/// An answer and what it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The answer.
    pub response: ChatResponse,
    /// USD by the price table; `None` where the model has no price.
    pub cost: Option<f64>,
    /// Calls made, the successful one included.
    pub attempts: u32,
}

struct Entry {
    name: String,
    /// `None`: the caller made the provider, and the cell below is filled from the start.
    config: Option<Box<ProviderConfig>>,
    fingerprint: String,
    cacheable: bool,
    /// `None`: calls need no limit because nothing is asked.
    limits: Option<Limits>,
    /// What must not appear in messages; found out at the first one.
    secrets: OnceLock<Secrets>,
    /// Made at the first call, so that a provider that is not used can have no key; a failure is kept too.
    client: OnceCell<Result<Arc<dyn ChatProvider>, ProviderError>>,
}

struct Limits {
    limiter: Limiter,
    retry: Retry,
    timeout: Duration,
    max_concurrency: usize,
}

impl Providers {
    /// Providers of a project. Paths are relative to `project_dir`. Nothing is read or connected yet.
    ///
    /// # Errors
    /// `Config` with everything that is wrong in any provider, one problem a line.
    pub fn new(
        configs: &BTreeMap<String, ProviderConfig>,
        prices: &BTreeMap<String, Price>,
        project_dir: &Path,
    ) -> Result<Self, ProviderError> {
        let problems: Vec<String> = configs
            .iter()
            .flat_map(|(name, config)| {
                problems(name, config).into_iter().map(move |p| format!("providers.{name}: {p}"))
            })
            .collect();
        if !problems.is_empty() {
            return Err(ProviderError::Config(problems.join("\n")));
        }
        let entries = configs.iter().map(|(name, config)| (name.clone(), Arc::new(Entry::new(name, config)))).collect();
        let shared = Shared {
            project_dir: project_dir.to_owned(),
            proxies: ProxySettings::default(),
            client: OnceLock::new(),
            health: Arc::default(),
        };
        Ok(Self { entries, prices: prices.clone(), shared: Arc::new(shared) })
    }

    /// The same providers behind proxies. Call it before the first call and before [`Providers::resolve`].
    #[must_use]
    pub fn with_proxies(mut self, proxies: ProxySettings) -> Self {
        let project_dir = self.shared.project_dir.clone();
        let health = Arc::clone(&self.shared.health);
        self.shared = Arc::new(Shared { project_dir, proxies, client: OnceLock::new(), health });
        self
    }

    /// Adds or replaces a provider that the caller made, with limits around it.
    #[must_use]
    pub fn with_provider(mut self, name: &str, provider: Arc<dyn ChatProvider>, limits: &CallLimits) -> Self {
        let entry = Entry {
            name: name.to_owned(),
            config: None,
            fingerprint: "given".to_owned(),
            cacheable: provider.cacheable(),
            limits: Some(Limits::new(limits, rand::random())),
            secrets: OnceLock::new(),
            client: OnceCell::new_with(Some(Ok(provider))),
        };
        self.entries.insert(name.to_owned(), Arc::new(entry));
        self
    }

    /// The HTTP client that the providers share.
    pub fn http_client(&self) -> Arc<HttpClient> {
        self.shared.client()
    }

    /// The folder that paths of the configuration are relative to.
    pub fn project_dir(&self) -> &Path {
        &self.shared.project_dir
    }

    /// The names of all providers, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Finds a model by `provider/model`; the model may have slashes of its own.
    ///
    /// # Errors
    /// `Config` for a name without a slash or with an unknown provider.
    pub fn resolve(&self, name: &str) -> Result<Target, ProviderError> {
        let split = name.split_once('/').filter(|(provider, model)| !provider.is_empty() && !model.is_empty());
        let (provider, model) = split.ok_or_else(|| {
            ProviderError::Config(format!("`{name}` names no model: write provider/model; {}", self.known()))
        })?;
        let entry = self.entries.get(provider).ok_or_else(|| {
            let hint = suggest::nearest(provider, self.names());
            let hint = hint.map_or_else(|| self.known(), |nearest| format!("did you mean {nearest}/{model}?"));
            ProviderError::Config(format!("`{name}`: there is no provider `{provider}`; {hint}"))
        })?;
        let price = self.prices.get(name).or_else(|| self.prices.get(&format!("{provider}/*"))).copied();
        let (entry, shared) = (Arc::clone(entry), Arc::clone(&self.shared));
        Ok(Target { entry, shared, model: model.to_owned(), name: name.to_owned(), price })
    }

    /// What calls told of the health of models, in this process.
    pub fn health(&self) -> &HealthBook {
        &self.shared.health
    }

    /// The models of the price table, `provider/*` left out.
    pub fn priced(&self) -> impl Iterator<Item = &str> {
        self.prices.keys().map(String::as_str).filter(|name| !name.ends_with("/*"))
    }

    /// A provider on the network, as a gateway sees it; `None` for unknown names, programs, files and the simulator in
    /// process.
    pub fn upstream(&self, provider: &str) -> Option<Upstream> {
        let config = self.entries.get(provider)?.config.as_deref()?;
        Upstream::new(self.shared.client(), config)
    }

    fn known(&self) -> String {
        if self.entries.is_empty() {
            return "no providers are configured".to_owned();
        }
        format!("the configured providers are {}", self.names().collect::<Vec<_>>().join(", "))
    }

    /// Asks a model, within the provider's limits and with its retries.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub async fn chat(&self, target: &Target, request: &ChatRequest) -> Result<Answer, ProviderError> {
        target.chat(request).await
    }

    /// Asks for a word, once, to see whether the provider answers. Providers that answer from files only load them.
    ///
    /// # Errors
    /// As [`Providers::chat`], without retries.
    pub async fn check(&self, target: &Target) -> Result<Answer, ProviderError> {
        target.check().await
    }
}

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Providers").field(&self.names().collect::<Vec<_>>()).finish()
    }
}

impl Target {
    /// The provider's name.
    pub fn provider(&self) -> &str {
        &self.entry.name
    }

    /// The model's name at the provider.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The model's price, where the table has one.
    pub fn price(&self) -> Option<Price> {
        self.price
    }

    /// Whether answers may be kept and given again for equal requests.
    pub fn is_cacheable(&self) -> bool {
        self.entry.cacheable
    }

    /// Whether calls are answered within this process and without waiting: files of answers, and a simulator that
    /// simulates neither latency nor faults.
    pub fn is_instant(&self) -> bool {
        match self.entry.config.as_deref() {
            Some(ProviderConfig::Outputs(_)) => true,
            Some(ProviderConfig::Simulator(simulator)) => {
                simulator.latency.is_none() && simulator.faults == FaultRates::default()
            }
            _ => false,
        }
    }

    /// What tells the endpoint from others of the same provider name: kind, address, version. No secrets.
    pub fn fingerprint(&self) -> &str {
        &self.entry.fingerprint
    }

    /// The most calls at a time; `None` where calls need no limit.
    pub fn max_concurrency(&self) -> Option<usize> {
        self.entry.limits.as_ref().map(|limits| limits.max_concurrency)
    }

    /// The number of calls that the provider bears at a time, as far as that is known now.
    pub fn concurrency(&self) -> Option<usize> {
        self.entry.limits.as_ref().map(|limits| limits.limiter.limit())
    }

    /// `text` without the provider's secrets.
    pub fn redact(&self, text: String) -> String {
        let secrets = self.entry.secrets.get_or_init(|| {
            let remote = self.entry.config.as_deref().and_then(kinds::remote);
            let endpoint = remote.and_then(|(kind, config)| {
                let url = remote::base_url(kind, config).ok()?;
                remote::endpoint(kind, config, &url).ok()
            });
            endpoint.map(|endpoint| endpoint.secrets).unwrap_or_default()
        });
        secrets.redact(text)
    }

    /// USD for these tokens.
    pub fn cost(&self, usage: Usage) -> Option<f64> {
        Some(prices::cost(self.price?, usage))
    }

    /// See [`Providers::chat`].
    ///
    /// # Errors
    /// The error of the last attempt.
    pub async fn chat(&self, request: &ChatRequest) -> Result<Answer, ProviderError> {
        if request.model != self.model {
            let request = ChatRequest { model: self.model.clone(), ..request.clone() };
            return self.ask(&request, true).await;
        }
        self.ask(request, true).await
    }

    /// One attempt, without retries: for callers that count attempts themselves.
    ///
    /// # Errors
    /// The error of the attempt.
    pub async fn attempt(&self, request: &ChatRequest) -> Result<Answer, ProviderError> {
        self.ask(request, false).await
    }

    async fn ask(&self, request: &ChatRequest, may_retry: bool) -> Result<Answer, ProviderError> {
        let client = self.client().await.inspect_err(|error| self.observe(Err(error)))?;
        let Some(limits) = &self.entry.limits else {
            let response = client.chat(request).await?;
            return Ok(Answer { cost: self.cost(response.usage), response, attempts: 1 });
        };
        let mut attempts = 0;
        loop {
            attempts += 1;
            let permit = limits.limiter.acquire().await;
            let result = time::timeout(limits.timeout, client.chat(request)).await;
            let result = result.unwrap_or(Err(ProviderError::Timeout { after: limits.timeout }));
            permit.finish(Outcome::of(&result));
            self.observe(result.as_ref().map(|response| response.latency_ms));
            let error = match result {
                Ok(response) => return Ok(Answer { cost: self.cost(response.usage), response, attempts }),
                Err(error) => error,
            };
            let delay = limits.retry.delay(&error, attempts).filter(|_| may_retry);
            let Some(delay) = delay else { return Err(error) };
            tracing::debug!(provider = %self.entry.name, attempts, ?delay, %error, "a call is tried again");
            time::sleep(delay).await;
        }
    }

    fn observe(&self, call: Result<f64, &ProviderError>) {
        self.shared.health.observe(&self.name, call, llmops_domain::clock::now());
    }

    async fn client(&self) -> Result<&Arc<dyn ChatProvider>, ProviderError> {
        let made = match self.entry.client.get() {
            Some(made) => made,
            None => self.entry.client.get_or_init(|| self.make()).await,
        };
        made.as_ref().map_err(Clone::clone)
    }

    /// Files are read in a blocking thread: an index over a million outputs takes a second.
    async fn make(&self) -> Result<Arc<dyn ChatProvider>, ProviderError> {
        let (entry, shared) = (Arc::clone(&self.entry), Arc::clone(&self.shared));
        let making = tokio::task::spawn_blocking(move || make(&entry, &shared));
        making.await.unwrap_or_else(|error| Err(ProviderError::Config(format!("the provider cannot be made: {error}"))))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({}/{})", self.entry.name, self.model)
    }
}

impl Entry {
    fn new(name: &str, config: &ProviderConfig) -> Self {
        let kind = kinds::remote(config);
        let cacheable = kind.is_some();
        let fingerprint = kind.map_or_else(String::new, |(kind, remote)| {
            let base = remote.base_url.as_deref().or(kind.base_url).unwrap_or_default();
            format!("{} {base} {}", kind.name, remote.api_version.as_deref().unwrap_or_default())
        });
        Self {
            name: name.to_owned(),
            config: Some(Box::new(config.clone())),
            fingerprint,
            cacheable,
            limits: limits(config).map(|limits| Limits::new(limits, rand::random())),
            secrets: OnceLock::new(),
            client: OnceCell::new(),
        }
    }
}

impl Limits {
    fn new(limits: &CallLimits, seed: u64) -> Self {
        Self {
            limiter: Limiter::new(limits.max_concurrency),
            retry: Retry::new(limits.retries, seed),
            timeout: limits.timeout.0,
            max_concurrency: usize::try_from(limits.max_concurrency).unwrap_or(usize::MAX).max(1),
        }
    }
}

fn limits(config: &ProviderConfig) -> Option<&CallLimits> {
    if let Some((_, remote)) = kinds::remote(config) {
        return Some(&remote.limits);
    }
    match config {
        ProviderConfig::Http(config) => Some(&config.limits),
        ProviderConfig::Command(config) => Some(&config.limits),
        ProviderConfig::Simulator(config) => Some(&config.limits),
        _ => None,
    }
}

/// What is wrong with a configuration, whatever the environment and the files say.
fn problems(name: &str, config: &ProviderConfig) -> Vec<String> {
    let mut problems = Vec::new();
    if name.is_empty() || name.contains('/') {
        problems.push("a provider's name must not be empty or have a slash".to_owned());
    }
    if let Some(limits) = limits(config) {
        if limits.max_concurrency == 0 {
            problems.push("`max_concurrency` must be at least 1".to_owned());
        }
        if limits.timeout.0.is_zero() {
            problems.push("`timeout` must be longer than 0".to_owned());
        }
    }
    match config {
        ProviderConfig::Simulator(config) => problems.extend(simulator::knob_problems(config)),
        ProviderConfig::Command(config) if config.run.is_empty() => {
            problems.push("`run` names no program".to_owned());
        }
        _ => {}
    }
    problems
}

fn make(entry: &Entry, shared: &Shared) -> Result<Arc<dyn ChatProvider>, ProviderError> {
    let Some(config) = &entry.config else {
        return Err(ProviderError::Config(format!("the provider `{}` has no configuration", entry.name)));
    };
    let made = make_configured(config, shared);
    // One file or key may serve several providers: say which one fails.
    made.map_err(|error| match error {
        ProviderError::Config(message) => ProviderError::Config(format!("providers.{}: {message}", entry.name)),
        other => other,
    })
}

fn make_configured(config: &ProviderConfig, shared: &Shared) -> Result<Arc<dyn ChatProvider>, ProviderError> {
    let client = || shared.client();
    if let Some((kind, remote)) = kinds::remote(config) {
        return Ok(match kind.wire {
            Wire::OpenAi => Arc::new(OpenAiProvider::new(client(), kind, remote)?),
            Wire::Anthropic => Arc::new(AnthropicProvider::new(client(), kind, remote)?),
            Wire::Gemini => Arc::new(GeminiProvider::new(client(), kind, remote)?),
        });
    }
    let directory = &shared.project_dir;
    Ok(match config {
        ProviderConfig::Http(config) => Arc::new(HttpApp::new(client(), config)?),
        ProviderConfig::Command(config) => Arc::new(CommandProvider::new(config, directory)?),
        ProviderConfig::Outputs(config) => Arc::new(Outputs::load(&config.path, directory)?),
        ProviderConfig::Simulator(config) => {
            let simulator = Simulator::load(config.clone(), directory);
            Arc::new(simulator.map_err(|error| ProviderError::Config(error.to_string()))?)
        }
        _ => return Err(ProviderError::Config("there is no such kind of provider".to_owned())),
    })
}
