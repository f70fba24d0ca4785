//! The project folder: finding `llmops.yaml`, reading it, and opening the API over its store.

use std::path::{Path, PathBuf};
use std::time::Duration;

use llmops::models::{HubSettings, Limit, ModelOptions};
use llmops::{AlertOptions, ExperimentOptions, LlmOps, Options, OwnScorers};
use llmops_api::Client;
use llmops_domain::config::{Config, MetricFileKind};
use llmops_domain::net::shown_address;
use llmops_domain::prompt::PromptSpec;
use llmops_domain::prompt_file;
use llmops_metrics::bertscore::Baseline;
use llmops_providers::{Providers, ProxySettings};
use llmops_storage::{Store, StoreOptions};

use crate::args::GlobalArgs;
use crate::failure::{Failure, Kind, Outcome};
use crate::local;
use crate::queue::QueueArgs;
use crate::terminal::Ui;

/// Name of the configuration file.
pub(crate) const CONFIG_FILE: &str = "llmops.yaml";
/// Folder of the store and the cache, beside the configuration.
pub(crate) const STATE_FOLDER: &str = ".llmops";

/// How long servers and workers keep results in memory for a store that is away.
const PATIENCE: Duration = Duration::from_mins(10);

/// A project folder, or the present folder where there is none.
pub(crate) struct Project {
    /// The folder of `llmops.yaml`.
    pub(crate) folder: PathBuf,
    /// The configuration; the default one without a file.
    pub(crate) config: Config,
    /// Whether there is a configuration file.
    pub(crate) has_config: bool,
    /// Whether callers from elsewhere may open models of this project only.
    pub(crate) confined: bool,
}

impl Project {
    /// Finds and reads the configuration: `--config`, or `llmops.yaml` here or in a folder above. Without one, the
    /// default configuration in the present folder.
    pub(crate) fn find(global: &GlobalArgs, ui: &Ui) -> Outcome<Self> {
        let path = match &global.config {
            Some(path) => Some(path.clone()),
            None => search_upward()?,
        };
        let Some(path) = path else {
            return Ok(Self {
                folder: PathBuf::from("."),
                config: Config::default(),
                has_config: false,
                confined: false,
            });
        };
        let shown = path.display().to_string();
        let text = read_text(&path)?;
        let env = |name: &str| std::env::var(name).ok();
        let (mut config, warnings) =
            Config::parse(&text, &shown, env).map_err(|problems| Failure::of_file(Kind::Usage, &shown, &problems))?;
        for warning in warnings {
            ui.note(&format!("warning: {warning}\n"));
        }
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        for file in config.metric_files() {
            let path = folder.join(&file.path);
            let text = read_text(&path)?;
            let wrong =
                |what: &str, e: &dyn std::fmt::Display| Failure::usage(format!("{}: {what}: {e}", path.display()));
            match file.kind {
                MetricFileKind::JsonSchema => {
                    let schema = serde_json::from_str(&text).map_err(|e| wrong("not JSON", &e))?;
                    config.set_schema(&file.metric, schema).map_err(|e| wrong("no JSON Schema", &e))?;
                }
                MetricFileKind::Baseline => {
                    let layers = Baseline::parse_all(&text).map_err(|e| wrong("no baselines", &e))?;
                    let row = |Baseline { scores }: Baseline| [scores.precision, scores.recall, scores.f1];
                    config.set_baseline(&file.metric, layers.into_iter().map(row).collect());
                }
            }
        }
        Ok(Self { folder, config, has_config: true, confined: false })
    }

    /// The project, where a command cannot do without a configuration.
    pub(crate) fn require(global: &GlobalArgs, ui: &Ui) -> Outcome<Self> {
        let project = Self::find(global, ui)?;
        if project.has_config {
            return Ok(project);
        }
        Err(Failure::usage(format!("there is no {CONFIG_FILE} here or in a folder above"))
            .hint("`llmops init` writes one to start from"))
    }

    /// A client of the server where one is named, else of a router in this process over the project's store.
    pub(crate) async fn client(&self, global: &GlobalArgs) -> Outcome<Client> {
        if let Some(server) = &global.server {
            let server = server.trim();
            if !["http://", "https://"].iter().any(|scheme| server.starts_with(scheme)) {
                let server = shown_address(server);
                let hint = format!("write http://HOST:PORT or https://HOST, such as http://{server}");
                return Err(Failure::usage(format!("`{server}` is no address of a server")).hint(hint));
            }
            // A line's end comes along where a secret is read from a file.
            let key = global.api_key.as_deref().map(str::trim);
            if key.is_some_and(|key| !key.chars().all(|c| c.is_ascii_graphic())) {
                return Err(Failure::usage("the key for the server has characters that no key has"));
            }
            return Ok(Client::http(crate::http::client()?, server, key.map(str::to_owned)));
        }
        Ok(local::client(llmops_server::router(self.open(global).await?)))
    }

    /// The same for a command that only looks: where there is neither a configuration nor a store, it looks at an empty one, and makes
    /// no folder.
    pub(crate) async fn reader(&self, global: &GlobalArgs) -> Outcome<Client> {
        let is_somewhere = global.server.is_some() || global.database.is_some() || self.has_config;
        if is_somewhere || self.folder.join(STATE_FOLDER).exists() {
            return self.client(global).await;
        }
        let store = Store::in_memory().await;
        let store = store.map_err(|e| Failure::because(Kind::Undecided, "cannot open a store in memory", &e))?;
        Ok(local::client(llmops_server::router(LlmOps::new(
            store,
            self.providers()?,
            self.options(Options::default()),
        ))))
    }

    /// The installation over the project's store and providers. Runs are worked on in this process.
    pub(crate) async fn open(&self, global: &GlobalArgs) -> Outcome<LlmOps> {
        let store = self.store(global, StoreOptions { reads_only: true, ..StoreOptions::default() }).await?;
        Ok(LlmOps::new(store, self.providers()?, self.options(Options::default())))
    }

    /// The installation with its queue: runs are worked on by whoever takes them.
    pub(crate) async fn open_queued(&self, global: &GlobalArgs, queue: &QueueArgs) -> Outcome<LlmOps> {
        let options = StoreOptions { write_patience: PATIENCE, ..StoreOptions::default() };
        let store = self.store(global, options).await?;
        let queue = queue.open(&self.config.queue, &store).await?;
        let telemetry = crate::telemetry::start(&self.config.telemetry)?;
        let options = Options { patience: PATIENCE, telemetry, ..queue };
        Ok(LlmOps::new(store, self.providers()?, self.options(options)))
    }

    /// What the engine needs to know of this configuration where the process knew another one.
    pub(crate) fn reconfigured(&self) -> Outcome<(Options, Providers)> {
        Ok((self.options(Options::default()), self.providers()?))
    }

    /// The options with what the configuration allows.
    fn options(&self, options: Options) -> Options {
        let own_scorers = OwnScorers::of(self.config.scoring.metrics.values().map(|metric| &metric.scorer));
        Options {
            own_scorers,
            outbound: self.config.outbound.clone(),
            experiments: ExperimentOptions::new(&self.config.operations),
            alerts: AlertOptions::new(&self.config, self.folder.clone()),
            gate: self.config.gate.clone(),
            models: self.model_options(),
            ..options
        }
    }

    /// The providers that the configuration names.
    pub(crate) fn providers(&self) -> Outcome<Providers> {
        let providers = self.config.providers.iter().map(|(name, config)| (name.clone(), config.clone())).collect();
        let providers = Providers::new(&providers, &self.config.prices, &self.folder)
            .map_err(|e| Failure::because(Kind::Usage, "the providers cannot be set up", &e))?;
        Ok(providers.with_proxies(ProxySettings::from_env(|name| std::env::var(name).ok())))
    }

    /// Where models are looked for, and where embeddings are kept: with the project, else in the user's cache.
    pub(crate) fn model_options(&self) -> ModelOptions {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let cache = || {
            let home = || Some(Path::new(&env("HOME")?).join(".cache"));
            Some(env("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)?.join("llmops"))
        };
        let folder = if self.has_config { Some(self.folder.join(STATE_FOLDER)) } else { cache() };
        let bytes = self.config.scoring.embedding_cache_mb.saturating_mul(1 << 20);
        let embeddings = folder.map(|folder| Limit { folder: folder.join("embeddings"), bytes });
        let named = self.config.scoring.metrics.values().filter_map(|metric| metric.scorer.embedding_model().flatten());
        ModelOptions {
            folder: self.folder.clone(),
            confined: self.confined,
            named: named.map(str::to_owned).collect(),
            hub: HubSettings::from_env(env),
            embeddings: embeddings.filter(|limit| limit.bytes > 0),
        }
    }

    /// The URL of the store: the one that was typed, else that of the file beside the configuration.
    pub(crate) fn database(&self, global: &GlobalArgs) -> String {
        let file = || format!("sqlite:{}", self.folder.join(STATE_FOLDER).join("llmops.db").display());
        global.database.clone().unwrap_or_else(file)
    }

    /// The store.
    pub(crate) async fn store(&self, global: &GlobalArgs, options: StoreOptions) -> Outcome<Store> {
        if global.database.is_none() {
            let folder = self.folder.join(STATE_FOLDER);
            std::fs::create_dir_all(&folder).map_err(|e| {
                Failure::because(Kind::Undecided, format!("cannot make the folder {}", folder.display()), &e)
            })?;
        }
        Store::open_with(&self.database(global), options)
            .await
            .map_err(|e| Failure::because(Kind::Undecided, "cannot open the store", &e))
    }

    /// Reads `prompts/NAME.yaml`; none when the file does not exist. The prompt in it must have that name: it would be pushed
    /// under one and asked for under the other.
    pub(crate) fn prompt_file(&self, name: &str) -> Outcome<Option<PromptSpec>> {
        let folder = self.folder.join("prompts");
        let path = folder.join(format!("{name}.yaml"));
        if !path.exists() {
            return Ok(None);
        }
        let spec = read_prompt(&path)?;
        if spec.name != name {
            let other = folder.join(format!("{}.yaml", spec.name));
            let hint = format!(
                "write `name: {name}` in it; or call the file {} and name `{}` where `{name}` stands in llmops.yaml",
                other.display(),
                spec.name
            );
            let message = format!("{} holds the prompt `{}`, not `{name}`", path.display(), spec.name);
            return Err(Failure::usage(message).hint(hint));
        }
        Ok(Some(spec))
    }

    /// All files of `prompts/`, by name.
    pub(crate) fn prompt_files(&self) -> Outcome<Vec<PathBuf>> {
        let folder = self.folder.join("prompts");
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Failure::because(Kind::Usage, format!("cannot read {}", folder.display()), &e)),
        };
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "yaml" || e == "yml"))
            .collect();
        files.sort();
        Ok(files)
    }
}

/// Reads a prompt file, telling every mistake.
pub(crate) fn read_prompt(path: &Path) -> Outcome<PromptSpec> {
    let shown = path.display().to_string();
    prompt_file::parse(&read_text(path)?, &shown).map_err(|p| Failure::of_file(Kind::Usage, &shown, &p))
}

/// Reads a text file.
pub(crate) fn read_text(path: &Path) -> Outcome<String> {
    let bytes = std::fs::read(path)
        .map_err(|e| Failure::because(Kind::Usage, format!("cannot read {}", path.display()), &e))?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.split(|byte| *byte == b'\n').count();
        let byte = valid.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        let what = format!("line {line} is no UTF-8 text, from its byte {byte} on");
        Failure::usage(format!("{}: {what}", path.display())).hint("save the file as UTF-8")
    })
}

fn search_upward() -> Outcome<Option<PathBuf>> {
    let here = std::env::current_dir().map_err(|e| Failure::because(Kind::Usage, "there is no present folder", &e))?;
    let found = here.ancestors().map(|folder| folder.join(CONFIG_FILE)).find(|path| path.is_file());
    // Paths in messages read better relative to where the user stands.
    Ok(found.map(|path| path.strip_prefix(&here).map(Path::to_owned).unwrap_or(path)))
}
