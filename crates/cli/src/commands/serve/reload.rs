//! Reading the configuration again while the server runs: on SIGHUP, and when it is asked to over the API.

use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use llmops::LlmOps;
use llmops_api::config::Reloaded;
use llmops_api::{ErrorBody, ErrorCode, Problem};
use llmops_domain::access::Actor;
use llmops_domain::config::Config;
use llmops_domain::config::operations::RetentionConfig;
use llmops_domain::deployment::LiveDeployment;
use llmops_domain::id::ProjectId;
use llmops_server::api::config::Reload;
use llmops_storage::Change;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::{Context, load};
use crate::failure::Failure;
use crate::project::{CONFIG_FILE, Project};
use crate::suites;
use crate::terminal::Ui;

/// Sections that hold when the process is started again.
const RESTART: [&str; 5] = ["version", "project", "queue", "server", "telemetry"];

/// The configuration of a server, and what follows from it.
pub(super) struct Reloader {
    context: Context,
    ops: LlmOps,
    project: Mutex<Arc<Project>>,
    probes: Mutex<Option<JoinHandle<()>>>,
    /// One at a time.
    turn: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader").finish_non_exhaustive()
    }
}

impl Reloader {
    /// With the configuration that the process began with.
    pub(super) fn new(context: &Context, ops: LlmOps, project: Arc<Project>) -> Arc<Self> {
        let context = Context { global: context.global.clone(), ui: Ui::from_env() };
        let reloader = Self {
            context,
            ops,
            project: Mutex::new(project),
            probes: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        };
        reloader.start_probes();
        Arc::new(reloader)
    }

    fn project(&self) -> Arc<Project> {
        self.project.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long things are kept now.
    pub(super) fn retention(&self) -> RetentionConfig {
        self.project().config.operations.retention.clone()
    }

    /// Asks the models of the targets now and then, if the configuration wants it.
    fn start_probes(&self) {
        let project = self.project();
        let probes = project.config.operations.probe_interval.map(|interval| {
            let targets = project.config.targets.values();
            let mut models: Vec<String> = targets.flat_map(|t| t.model.iter().chain(&t.candidates)).cloned().collect();
            models.sort();
            models.dedup();
            let ops = self.ops.current();
            tokio::spawn(async move { ops.models().keep_probing(&models, interval.0).await })
        });
        let before = std::mem::replace(&mut *self.probes.lock().unwrap_or_else(PoisonError::into_inner), probes);
        if let Some(before) = before {
            before.abort();
        }
    }

    /// Brings the schedules of the suites up to date.
    pub(super) async fn keep_schedules(&self) {
        let project = self.project();
        if !project.has_config {
            return;
        }
        let client = crate::local::client(llmops_server::router(self.ops.clone()));
        if let Err(failure) = suites::keep_schedules(&client, &self.context, &project).await {
            let why = failure.chain.join(": ");
            self.context.note(&format!("warning: the schedules of the suites may be out of date: {why}"));
        }
    }

    /// Reads the configuration again with every SIGHUP.
    pub(super) async fn follow_signals(self: Arc<Self>) {
        let hangup = tokio::signal::unix::SignalKind::hangup();
        let Ok(mut signals) = tokio::signal::unix::signal(hangup) else { return };
        while signals.recv().await.is_some() {
            let ops = self.ops.for_actor(ProjectId::default_project(), Actor::part("SIGHUP"));
            match self.read_again(ops).await {
                Ok(Reloaded { applied, needs_restart }) => {
                    let (applied, needs_restart) = (applied.join(", "), needs_restart.join(", "));
                    tracing::info!(target: "llmops::life", applied, needs_restart, "the configuration was read again");
                }
                Err(error) => {
                    let problems: Vec<String> = error.problems.into_iter().map(|problem| problem.message).collect();
                    let (message, problems) = (error.message, problems.join("; "));
                    tracing::error!(message, problems, "the configuration is wrong, and the old one stays");
                }
            }
        }
    }

    async fn read_again(&self, ops: LlmOps) -> Result<Reloaded, ErrorBody> {
        let _turn = self.turn.lock().await;
        let before = self.project();
        let mut next = load(&self.context).map_err(told)?;
        let (applied, needs_restart) = changes(&before.config, &next.config);
        if before.has_config != next.has_config {
            let message = format!("{CONFIG_FILE} is {}", if next.has_config { "new" } else { "gone" });
            return Err(ErrorBody::new(ErrorCode::InvalidContent, message).hint("start the server again"));
        }
        self.refuse_orphans(&before.config, &next.config).await?;
        let (options, providers) = next.reconfigured().map_err(told)?;
        // What needs a restart is as it was, for whoever looks.
        keep(&before.config, &mut next.config);
        let answer = Reloaded { applied, needs_restart };
        if answer.applied.is_empty() && answer.needs_restart.is_empty() {
            return Ok(answer);
        }
        let change = Change::new("config.reloaded", CONFIG_FILE).after(&answer);
        let recorded = ops.store().audit(&ProjectId::default_project(), &change).await;
        recorded.map_err(|e| llmops::Error::from(e).to_body())?;
        self.ops.reconfigure(options, providers);
        *self.project.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        self.start_probes();
        self.keep_schedules().await;
        Ok(answer)
    }

    /// Refuses a configuration without a provider that answers for a live deployment: its calls would fail from now on.
    async fn refuse_orphans(&self, before: &Config, next: &Config) -> Result<(), ErrorBody> {
        let live = self.ops.live_deployments().await.map_err(|error| error.to_body())?;
        let orphan = |model: &&String| {
            let provider = model.split('/').next().unwrap_or_default();
            before.providers.contains_key(provider) && !next.providers.contains_key(provider)
        };
        let problem = |live: &LiveDeployment, model: &String| {
            let (name, environment) = (&live.deployment.name, &live.deployment.environment);
            let message = format!("{name} in {environment} is answered by {model}");
            Problem { line: None, field: Some("providers".to_owned()), message }
        };
        let problems: Vec<Problem> =
            live.iter().flat_map(|live| models_of(live).filter(orphan).map(|model| problem(live, model))).collect();
        if problems.is_empty() {
            return Ok(());
        }
        let message = format!("{CONFIG_FILE} leaves out providers of live deployments, and the old one stays");
        let hint = "deploy another model in their place first, or start the server again if they may fail";
        Err(ErrorBody { problems, ..ErrorBody::new(ErrorCode::InvalidContent, message).hint(hint) })
    }

    /// Ends what it started.
    pub(super) fn stop(&self) {
        if let Some(probes) = self.probes.lock().unwrap_or_else(PoisonError::into_inner).take() {
            probes.abort();
        }
    }
}

impl Reload for Reloader {
    fn reload(&self, ops: LlmOps) -> BoxFuture<'_, Result<Reloaded, ErrorBody>> {
        self.read_again(ops).boxed()
    }
}

/// The models that users of a deployment may be answered by: its own, its variants', its exposed candidate's, its fallbacks.
fn models_of(live: &LiveDeployment) -> impl Iterator<Item = &String> {
    let exposed = live.canary.as_ref().and_then(|canary| canary.exposure.as_ref());
    std::iter::once(&live.manifest.model)
        .chain(live.variants.iter().map(|variant| &variant.manifest.model))
        .chain(exposed.map(|exposure| &exposure.manifest.model))
        .chain(&live.deployment.settings.fallbacks)
}

/// Leaves the sections of [`RESTART`] as the process began with them.
fn keep(before: &Config, next: &mut Config) {
    next.version = before.version;
    next.project.clone_from(&before.project);
    next.queue.clone_from(&before.queue);
    next.server.clone_from(&before.server);
    next.telemetry.clone_from(&before.telemetry);
}

/// The sections that differ: those that can hold at once, and the others.
fn changes(before: &Config, next: &Config) -> (Vec<String>, Vec<String>) {
    let sections = |config: &Config| match serde_json::to_value(config) {
        Ok(Value::Object(sections)) => sections,
        _ => serde_json::Map::new(),
    };
    // Secrets are not written out: a section may differ in them alone.
    let in_secrets =
        [("providers", before.providers != next.providers), ("channels", before.channels != next.channels)];
    let differs = |name: &str| in_secrets.contains(&(name, true));
    let (before, next) = (sections(before), sections(next));
    let mut names: Vec<&String> = before.keys().chain(next.keys()).collect();
    names.sort();
    names.dedup();
    let changed = names.into_iter().filter(|name| before.get(*name) != next.get(*name) || differs(name)).cloned();
    changed.partition(|name| !RESTART.contains(&name.as_str()))
}

/// A failure as the API tells it.
fn told(failure: Failure) -> ErrorBody {
    let problem = |message| Problem { line: None, field: None, message };
    ErrorBody {
        hint: failure.hint,
        problems: failure.problems.into_iter().map(problem).collect(),
        ..ErrorBody::new(ErrorCode::InvalidContent, failure.chain.join(": "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_that_cannot_hold_at_once_are_told_apart() {
        let config = |text: &str| Config::parse(text, "llmops.yaml", |_| None).unwrap().0;
        let check = |next: &str, applied: &[&str], restart: &[&str]| {
            let before = config("version: 1\nproject: p\n");
            let (now, later) = changes(&before, &config(next));
            assert_eq!(
                (now, later),
                (applied.iter().map(|s| (*s).to_owned()).collect(), restart.iter().map(|s| (*s).to_owned()).collect())
            );
        };
        check("version: 1\nproject: p\n", &[], &[]);
        let secret = |key: &str| {
            config(&format!(
                "providers: {{a: {{kind: openai, api_key: {key}}}}}\nchannels: {{b: {{kind: slack, url: 'https://h/{key}'}}}}\n"
            ))
        };
        assert_eq!(changes(&secret("old"), &secret("new")).0, ["channels", "providers"]);
        check(
            "version: 1\nproject: p\nproviders: {a: {kind: simulator}}\ngate: {overall_min: 0.9}\n",
            &["gate", "providers"],
            &[],
        );
        check(
            "version: 1\nproject: q\nserver: {https: true}\nqueue: {concurrency: 1}\n",
            &[],
            &["project", "queue", "server"],
        );
        // However often it is read again: what the process runs with is what counts.
        let text =
            "version: 1\nproject: q\nserver: {https: true}\nqueue: {concurrency: 1}\ntelemetry: {sample_ratio: 0.5}\n";
        let (before, mut next) = (config("version: 1\nproject: p\n"), config(text));
        keep(&before, &mut next);
        assert_eq!(changes(&before, &next), (Vec::new(), Vec::new()));
    }
}
