//! llmops as a library: prompts, datasets, evaluation runs, gates.
//!
//! [`LlmOps`] ties the parts together over a store and a set of providers. It has no HTTP server and no SQL of its own;
//! `llmops-server` puts it on the network and the `llmops` command on the terminal.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use llmops::LlmOps;
//!
//! let ops = LlmOps::in_memory().await?;
//! let samples = vec![
//!     serde_json::from_str(r#"{"id": "1", "input": "What is 2+2?", "expected_output": "4"}"#).unwrap(),
//!     serde_json::from_str(r#"{"id": "2", "input": "Capital of France?", "expected_output": "Paris"}"#).unwrap(),
//! ];
//! ops.datasets().add_samples("golden-set", samples).await?;
//! assert_eq!(ops.datasets().get("golden-set").await?.sample_count, 2);
//! # Ok::<(), llmops::Error>(())
//! # }).unwrap();
//! ```

pub mod access;
pub mod alerts;
pub mod analysis;
mod approvals;
mod aside;
mod cache;
pub mod canary;
mod clock;
mod configured;
pub mod datasets;
mod deployments;
mod error;
pub mod evaluator;
pub mod events;
pub mod experiments;
pub mod feedback;
mod gate;
mod gateways;
mod incidents;
pub mod jobs;
mod meters;
pub mod models;
pub mod observation_rows;
pub mod observations;
pub mod overview;
mod owner;
mod patience;
pub mod prompts;
mod readiness;
mod records;
mod redis_connection;
mod releases;
mod retention;
mod review;
pub mod schedules;
mod scorers;
mod soft_failures;
pub mod spending;
pub mod table_lines;
mod tasks;
pub mod telemetry;
mod unwritten;
pub mod verifier;
mod workbench;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use llmops_domain::access::Actor;
use llmops_domain::apply::{AppliedPiece, PieceKind};
use llmops_domain::config::OutboundConfig;
use llmops_domain::config::providers::{ProviderConfig, SimulatorConfig};
use llmops_domain::deployment::LiveDeployment;
use llmops_domain::gate::GateConfig;
use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_providers::Providers;
use llmops_providers::outbound::Outbound;
use llmops_storage::{ResultWriter, Store};
use tokio::sync::Notify;

pub use access::{Access, AuditLog, KeyManager, ProjectManager};
pub use alerts::{AlertManager, AlertOptions, AlertWorker};
pub use canary::{Canaries, CanarySampler};
pub use clock::{Clock, SystemClock};
pub use datasets::DatasetManager;
pub use deployments::{Deployments, senseless as senseless_settings};
pub use error::Error;
pub use evaluator::ContinuousEvaluator;
pub use events::Events;
pub use experiments::{ExperimentManager, ExperimentOptions};
pub use feedback::FeedbackManager;
pub use gate::Against;
pub use gateways::{Changes, Gateways, Wanted};
pub use incidents::Incidents;
pub use llmops_domain as domain;
pub use meters::{CallLabels, CallMeters, CallSeries, Meters};
pub use overview::OverviewReader;
pub use prompts::PromptRegistry;
pub use readiness::{Phase, Readiness, ReadyCheck};
pub use records::{RecordCounts, RecordWriter, Records};
pub use releases::Releases;
pub use retention::Pruned;
pub use review::ReviewQueue;
pub use schedules::Scheduler;
pub use scorers::{DebateEvaluator, OwnScorers};
pub use soft_failures::{Guards, SlowChecks};
pub use spending::{SpendingBook, Spendings};
pub use verifier::{Models, Verifier};
pub use workbench::{Workbench, plan_experiment};

/// Settings of the engine.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a worker may hold a shard without a sign of life.
    pub lease: Duration,
    /// Programs that may be run as scorers, and endpoints that may be called at any address: those that the
    /// configuration of this process names.
    pub own_scorers: OwnScorers,
    /// Where requests may go whose address users choose.
    pub outbound: OutboundConfig,
    /// What experiments are judged by that do not say.
    pub experiments: ExperimentOptions,
    /// What raises alerts and who is told.
    pub alerts: AlertOptions,
    /// The limits of the gate, for whoever looks at scores.
    pub gate: GateConfig,
    /// Where runs are queued for workers. Absent: whoever starts a run works on it in its own process.
    pub queue: Option<Arc<dyn jobs::Queue>>,
    /// Where is counted what keys and deployments spend. Absent: in the store.
    pub spending: Option<Arc<dyn SpendingBook>>,
    /// How long the work on a run waits for a store that cannot be reached.
    pub patience: Duration,
    /// Where embedding models are looked for.
    pub models: models::ModelOptions,
    /// Where spans are handed over.
    pub telemetry: telemetry::Telemetry,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            own_scorers: OwnScorers::default(),
            outbound: OutboundConfig::default(),
            experiments: ExperimentOptions::default(),
            alerts: AlertOptions::default(),
            gate: GateConfig::default(),
            queue: None,
            spending: None,
            patience: Duration::from_secs(30),
            models: models::ModelOptions::default(),
            telemetry: telemetry::Telemetry::default(),
        }
    }
}

/// What all parts share, as one caller uses it: the store records changes as that caller's.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) store: Store,
    pub(crate) writer: ResultWriter,
    pub(crate) providers: Arc<Providers>,
    pub(crate) models: Arc<models::Models>,
    /// For requests whose address users choose.
    pub(crate) outbound: Outbound,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: Arc<Options>,
    /// What options, providers and outbound are for work that begins now.
    pub(crate) configured: configured::Swap,
    pub(crate) runs: Arc<evaluator::LocalRuns>,
    pub(crate) access: Arc<access::Access>,
    pub(crate) events: Arc<events::EventBus>,
    /// Told when there is something for the alert worker to do.
    pub(crate) alerts_due: Arc<Notify>,
    pub(crate) verifier: Arc<RwLock<Option<Arc<dyn Verifier>>>>,
    /// Wakes this process's worker.
    pub(crate) job_pushed: Arc<Notify>,
    /// The debate of runs that configure none.
    pub(crate) debate: Arc<RwLock<Option<DebateEvaluator>>>,
    /// Projects whose registry has the built-in prompts of this build.
    pub(crate) with_builtin_prompts: Arc<Mutex<HashSet<ProjectId>>>,
    pub(crate) experiments: Arc<experiments::live::Live>,
    pub(crate) meters: Arc<Meters>,
    pub(crate) unwritten: Arc<unwritten::Unwritten>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) gateways: Arc<Gateways>,
    pub(crate) guard_state: soft_failures::GuardState,
    /// The name of this process as a lease holder.
    pub(crate) owner: String,
}

impl Services {
    /// The verifier that was set, or the one that comes with llmops.
    pub(crate) fn verifier(self: &Arc<Self>) -> Arc<dyn Verifier> {
        let set = self.verifier.read().unwrap_or_else(PoisonError::into_inner).clone();
        set.unwrap_or_else(|| Arc::new(verifier::ProjectVerifier::new(self.clone())))
    }
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").field("options", &self.options).field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// The orchestrator: one project's prompts, datasets and evaluations.
#[derive(Debug, Clone)]
pub struct LlmOps {
    services: Arc<Services>,
    project: ProjectId,
}

impl LlmOps {
    /// Over a store and providers, for the default project.
    pub fn new(store: Store, providers: Providers, options: Options) -> Self {
        Self::with_clock(store, providers, options, Arc::new(SystemClock::default()))
    }

    /// The same, with a clock of the caller's.
    pub fn with_clock(store: Store, providers: Providers, options: Options, clock: Arc<dyn Clock>) -> Self {
        let configured = configured::Configured::new(Arc::new(options), providers);
        let services = Services {
            access: Arc::new(access::Access::new(store.clone(), clock.clone())),
            writer: store.result_writer(),
            events: Arc::new(events::EventBus::new(store.clone(), clock.clone())),
            alerts_due: Arc::default(),
            verifier: Arc::default(),
            experiments: experiments::live::Live::new(store.clone()),
            store,
            providers: configured.providers.clone(),
            models: Arc::new(models::Models::new(configured.options.models.clone())),
            outbound: configured.outbound.clone(),
            owner: owner::this_process(clock.random()),
            clock,
            options: configured.options.clone(),
            configured: Arc::new(arc_swap::ArcSwap::from_pointee(configured)),
            runs: Arc::default(),
            job_pushed: Arc::default(),
            debate: Arc::default(),
            with_builtin_prompts: Arc::default(),
            meters: Arc::default(),
            unwritten: Arc::default(),
            readiness: Arc::default(),
            gateways: Arc::default(),
            guard_state: soft_failures::GuardState::default(),
        };
        Self { services: Arc::new(services), project: ProjectId::default_project() }
    }

    /// In memory, with the simulated provider `sim`: for tests and first steps.
    pub async fn in_memory() -> Result<Self, Error> {
        let simulator = ProviderConfig::Simulator(SimulatorConfig::default());
        let providers = BTreeMap::from([("sim".to_owned(), simulator)]);
        let providers = Providers::new(&providers, &BTreeMap::new(), Path::new("."))?;
        Ok(Self::new(Store::in_memory().await?, providers, Options::default()))
    }

    /// The same installation, another project.
    #[must_use]
    pub fn for_project(&self, project: ProjectId) -> Self {
        Self { services: self.services.current(), project }
    }

    /// The same installation as this caller sees it: one project, and changes recorded as the caller's.
    #[must_use]
    pub fn for_actor(&self, project: ProjectId, actor: Actor) -> Self {
        let mut services = (*self.services.current()).clone();
        services.store = services.store.acting_as(Arc::new(actor));
        Self { services: Arc::new(services), project }
    }

    /// Resolves when the caller's key does not work any more; never for those who need none.
    pub async fn until_revoked(&self) {
        match &self.services.store.actor().key {
            Some(key) => self.services.access.ended(key).await,
            None => std::future::pending().await,
        }
    }

    /// The store, for what belongs to no use case.
    pub fn store(&self) -> &Store {
        &self.services.store
    }

    /// Random bits for identifiers.
    pub fn random(&self) -> u64 {
        self.services.clock.random()
    }

    /// The project that this works in.
    pub fn project(&self) -> &ProjectId {
        &self.project
    }

    /// Who a caller is.
    pub fn access(&self) -> &Arc<Access> {
        &self.services.access
    }

    /// Sends requests whose address users choose.
    pub fn outbound(&self) -> &Outbound {
        &self.services.outbound
    }

    /// The keys.
    pub fn keys(&self) -> KeyManager {
        KeyManager::new(self.services.clone(), self.project.clone())
    }

    /// The projects.
    pub fn projects(&self) -> ProjectManager {
        ProjectManager::new(self.services.clone(), self.project.clone())
    }

    /// The record of changes.
    pub fn audit(&self) -> AuditLog {
        AuditLog::new(self.services.clone(), self.project.clone())
    }

    /// The prompt registry.
    pub fn prompts(&self) -> PromptRegistry {
        PromptRegistry::new(self.services.clone(), self.project.clone())
    }

    /// The datasets.
    pub fn datasets(&self) -> DatasetManager {
        DatasetManager::new(self.services.clone(), self.project.clone())
    }

    /// The evaluator.
    pub fn evaluator(&self) -> ContinuousEvaluator {
        ContinuousEvaluator {
            services: self.services.clone(),
            project: self.project.clone(),
            prompts: self.prompts(),
            datasets: self.datasets(),
        }
    }

    /// The alerts of the project.
    pub fn alerts(&self) -> AlertManager {
        AlertManager::new(self.services.clone(), self.project.clone())
    }

    /// The background task that reviews runs and delivers alerts. A process that serves runs one.
    pub fn alert_worker(&self) -> AlertWorker {
        AlertWorker::new(self.services.clone())
    }

    /// What is known of models: scores, health, prices, and which of several is best.
    pub fn models(&self) -> Models {
        Models::new(self.services.clone(), self.project.clone())
    }

    /// Lets another verifier choose among models.
    pub fn set_verifier(&self, verifier: Arc<dyn Verifier>) {
        *self.services.verifier.write().unwrap_or_else(PoisonError::into_inner) = Some(verifier);
    }

    /// The experiments.
    pub fn experiments(&self) -> ExperimentManager {
        ExperimentManager { services: self.services.clone(), project: self.project.clone(), prompts: self.prompts() }
    }

    /// The events of the project.
    pub fn events(&self) -> Events {
        Events::new(self.services.clone(), self.project.clone())
    }

    /// The deployments.
    pub fn deployments(&self) -> Deployments {
        Deployments::new(self.services.clone(), self.project.clone(), self.prompts())
    }

    /// The canaries.
    pub fn canaries(&self) -> Canaries {
        Canaries::new(self.services.clone(), self.project.clone())
    }

    /// Takes over calls that gateways answered, for the canaries of all projects. A process with a gateway has one.
    pub fn canary_sampler(&self) -> CanarySampler {
        let sampler = CanarySampler::start(self.services.clone());
        self.services.unwritten.add(sampler.holder());
        sampler
    }

    /// A number that grows with every change of what gateways answer from: one that knows it is up to date.
    pub async fn deployments_revision(&self) -> Result<i64, Error> {
        Ok(self.services.store.deployments_revision().await?)
    }

    /// Where is counted what keys and deployments spend.
    pub fn spending(&self) -> Spendings {
        let store = &self.services.store;
        let stored = || Arc::new(spending::StoredSpending(store.clone())) as Arc<dyn SpendingBook>;
        Spendings::new(self.services.options.spending.clone().unwrap_or_else(stored), store.clone())
    }

    /// What looks at answers after their callers have them: slow checks, counts, alerts.
    pub fn guards(&self) -> Guards {
        Guards::new(self.services.clone())
    }

    /// Everything that gateways answer from, in all projects.
    pub async fn live_deployments(&self) -> Result<Vec<LiveDeployment>, Error> {
        Deployments::live(&self.services).await
    }

    /// Trying things out.
    pub fn workbench(&self) -> Workbench {
        Workbench::new(self.services.clone(), self.prompts())
    }

    /// What a person looks at first.
    pub fn overview(&self) -> OverviewReader {
        OverviewReader::new(self.services.clone(), self.project.clone())
    }

    /// The request records.
    pub fn records(&self) -> Records {
        Records::new(self.services.clone(), self.project.clone())
    }

    /// A writer of request records. While the store is away they wait in a file in `spill_folder`, or in memory.
    pub fn record_writer(&self, spill_folder: Option<PathBuf>) -> RecordWriter {
        let counts = self.services.meters.records.clone();
        let writer = RecordWriter::start(self.services.store.clone(), spill_folder, &self.services.owner, counts);
        self.services.unwritten.add(writer.holder());
        writer
    }

    /// What was applied last of project folders, behind a kind and name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn applied(&self, after: (&str, &str), limit: u32) -> Result<Vec<AppliedPiece>, Error> {
        Ok(self.services.store.list_applied(&self.project, after, limit).await?)
    }

    /// Remembers what was applied of a piece; none: it is gone.
    ///
    /// # Errors
    /// When the name is none, or the store fails.
    pub async fn note_applied(&self, kind: PieceKind, name: &str, hash: Option<&ContentHash>) -> Result<(), Error> {
        if name.is_empty() || name.chars().count() > 400 {
            return Err(Error::invalid("name: expected 1 to 400 characters"));
        }
        Ok(self.services.store.put_applied(&self.project, (kind, name), hash, self.services.clock.now()).await?)
    }

    /// Where spans are handed over.
    pub fn telemetry(&self) -> &telemetry::Telemetry {
        &self.services.options.telemetry
    }

    /// What the process counts of its own work.
    pub fn meters(&self) -> &Arc<Meters> {
        &self.services.meters
    }

    /// The providers of this moment, shared with whoever keeps them.
    pub fn shared_providers(&self) -> Arc<Providers> {
        self.services.configured.load().providers.clone()
    }

    /// The embedding models.
    pub fn embedding_models(&self) -> &models::Models {
        &self.services.models
    }

    /// Lets answers be scored by a debate: every run created from now on that has no debate of its own gets the metric
    /// `debate`, without a weight, so that it is reported and decides nothing. `None` ends that.
    ///
    /// # Errors
    /// When the evaluator's options are wrong or one of its models has no provider.
    pub fn set_debate_evaluator(&self, evaluator: Option<DebateEvaluator>) -> Result<(), Error> {
        if let Some(evaluator) = &evaluator {
            let scorer = llmops_domain::scoring::ScorerSpec::Debate(evaluator.spec().clone());
            scorers::check("debate", &scorer)?;
            for model in scorer.judge_models() {
                self.services.providers.resolve(model)?;
            }
        }
        *self.services.debate.write().unwrap_or_else(PoisonError::into_inner) = evaluator;
        Ok(())
    }

    /// The providers, for checks and for calls outside of evaluations.
    pub fn providers(&self) -> &Providers {
        &self.services.providers
    }
}
