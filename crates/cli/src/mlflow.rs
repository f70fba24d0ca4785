//! MLflow: runs are logged to a tracking server or to a folder in its format, and gates can take their baseline from
//! there.
//!
//! `content` says what of a run is logged, `server` speaks the REST API, `folder` writes an `mlruns` store.

mod content;
mod folder;
mod server;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use llmops_api::Client;
use llmops_api::feedback::{SummaryBy, SummaryQuery};
use llmops_api::runs::GetRunQuery;
use llmops_domain::gate::ReferenceScores;
use llmops_domain::net::shown_address;
use llmops_domain::run::EvaluationRun;

use self::content::Content;
use self::folder::Folder;
use self::server::Server;
use crate::commands::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::project::Project;

/// Where runs are kept when the server cannot be reached, beside the configuration.
const FALLBACK_FOLDER: &str = "mlruns";
/// Tag with the id of our run.
const RUN_TAG: &str = "llmops.run_id";
/// Tag with the dataset of our run.
const DATASET_TAG: &str = "llmops.dataset";
/// Tag of the run that gates compare with, and its value.
const BASELINE_TAG: (&str, &str) = ("env", "production");

/// Options of the commands that know MLflow.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct MlflowArgs {
    /// MLflow's tracking server, or a folder in its format such as ./mlruns
    #[arg(long, value_name = "URI", env = "MLFLOW_TRACKING_URI", hide_env_values = true)]
    mlflow: Option<String>,
    /// The experiment there; else the project's name
    #[arg(long, value_name = "NAME", env = "MLFLOW_EXPERIMENT_NAME")]
    mlflow_experiment: Option<String>,
}

/// What went wrong with MLflow.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MlflowError {
    /// Nobody answers there.
    #[error("MLflow cannot be reached at {url}")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    /// The server said no.
    #[error("MLflow answered {status} when asked to {action}: {message}")]
    Refused { action: &'static str, status: u16, message: String },
    /// The answer is not MLflow's.
    #[error("the answer to `{action}` is not MLflow's: {detail}")]
    Protocol { action: &'static str, detail: String },
    /// Nothing can be logged to an experiment that was deleted.
    #[error(
        "MLflow's experiment `{0}` is deleted: restore it there (`mlflow experiments restore`), or name another with \
         --mlflow-experiment"
    )]
    Deleted(String),
    /// A file of the folder.
    #[error("cannot {action} {path}")]
    File {
        action: &'static str,
        path: String,
        #[source]
        source: std::io::Error,
    },
}

impl MlflowError {
    /// Whether it is MLflow that is away for now: nobody is there, the server is in trouble, or what stands in front of it
    /// answers in its place.
    fn is_away(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Protocol { .. } => true,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::Deleted(_) | Self::File { .. } => false,
        }
    }
}

/// A run as MLflow knows it.
#[derive(Debug, Clone, PartialEq)]
struct Tracked {
    id: String,
    /// Milliseconds since 1970.
    start_time: i64,
    tags: BTreeMap<String, String>,
    metrics: BTreeMap<String, f64>,
}

impl Tracked {
    fn tag(&self, name: &str) -> Option<&str> {
        self.tags.get(name).map(String::as_str)
    }

    fn is_baseline_of(&self, dataset: &str) -> bool {
        self.tag(BASELINE_TAG.0) == Some(BASELINE_TAG.1) && self.is_of(dataset)
    }

    /// Runs of other tools name no dataset: they are as good as any.
    fn is_of(&self, dataset: &str) -> bool {
        self.tag(DATASET_TAG).is_none_or(|of| of == dataset)
    }
}

/// A place that keeps runs in MLflow's way.
enum Tracking {
    Server(Box<Server>),
    Folder(Folder),
}

impl Tracking {
    fn open(uri: &str) -> Outcome<Self> {
        if uri.starts_with("http://") || uri.starts_with("https://") {
            return Ok(Self::Server(Box::new(Server::new(uri)?)));
        }
        let path = uri.strip_prefix("file://").or_else(|| uri.strip_prefix("file:")).unwrap_or(uri);
        if path.contains("://") {
            return Err(Failure::usage(format!("`{}` is no place that runs can be logged to", shown_address(uri)))
                .hint("--mlflow takes http://…, https://…, or a folder such as ./mlruns"));
        }
        Ok(Self::Folder(Folder::new(PathBuf::from(path))))
    }

    /// The experiment's id, where there is one.
    async fn find(&self, name: &str) -> Result<Option<String>, MlflowError> {
        match self {
            Self::Server(server) => server.find(name).await,
            Self::Folder(folder) => folder.find(name),
        }
    }

    /// The experiment's id, made where there is none.
    async fn experiment(&self, name: &str) -> Result<String, MlflowError> {
        match self {
            Self::Server(server) => server.experiment(name).await,
            Self::Folder(folder) => folder.experiment(name),
        }
    }

    /// Logs a run that has ended, and says what could not be kept.
    async fn log(&self, experiment: &str, content: &Content) -> Result<(Tracked, Vec<String>), MlflowError> {
        match self {
            Self::Server(server) => server.log(experiment, content).await,
            Self::Folder(folder) => Ok((folder.log(experiment, content)?, Vec::new())),
        }
    }

    /// Runs of an experiment with a tag of this value, the newest first.
    async fn tagged(&self, experiment: &str, tag: (&str, &str)) -> Result<Vec<Tracked>, MlflowError> {
        match self {
            Self::Server(server) => server.tagged(experiment, tag).await,
            Self::Folder(folder) => folder.tagged(experiment, tag),
        }
    }

    async fn set_tag(&self, experiment: &str, run: &str, tag: (&str, &str)) -> Result<(), MlflowError> {
        match self {
            Self::Server(server) => server.set_tag(run, tag).await,
            Self::Folder(folder) => folder.set_tag(experiment, run, tag),
        }
    }

    async fn delete_tag(&self, experiment: &str, run: &str, tag: &str) -> Result<(), MlflowError> {
        match self {
            Self::Server(server) => server.delete_tag(run, tag).await,
            Self::Folder(folder) => folder.delete_tag(experiment, run, tag),
        }
    }
}

/// The place and experiment that a command was told of.
pub(crate) struct Mlflow {
    uri: String,
    experiment: String,
    /// A folder to log to when the server is away.
    fallback: PathBuf,
}

impl MlflowArgs {
    /// Where to log to, if anywhere.
    pub(crate) fn of(&self, project: &Project) -> Option<Mlflow> {
        let uri = self.mlflow.clone().filter(|uri| !uri.is_empty())?;
        let experiment = self.mlflow_experiment.clone().filter(|name| !name.is_empty());
        Some(Mlflow {
            uri,
            experiment: experiment.unwrap_or_else(|| project.config.project.clone()),
            fallback: project.folder.join(FALLBACK_FOLDER),
        })
    }
}

impl Mlflow {
    /// Logs a run that has ended. A server that is away is no failure: then the run goes to a folder that can be
    /// brought in later.
    pub(crate) async fn log(&self, context: &Context, client: &Client, run: &EvaluationRun) -> Outcome {
        let content = self.content(client, run).await;
        match self.log_to(&Tracking::open(&self.uri)?, &content).await {
            Ok((tracked, notices)) => {
                context.note(&format!("logged to MLflow as {} in {}", tracked.id, self.experiment));
                for notice in &notices {
                    context.note(&format!("warning: {notice}"));
                }
                Ok(())
            }
            Err(error) if error.is_away() => {
                context.note(&format!("warning: {error}: the run goes to {} instead", self.fallback.display()));
                let folder = Tracking::Folder(Folder::new(self.fallback.clone()));
                let (tracked, _) = self.log_to(&folder, &content).await.map_err(|e| failed(&e))?;
                context.note(&format!("logged as {} in {}", tracked.id, self.fallback.display()));
                Ok(())
            }
            Err(error) => Err(failed(&error)),
        }
    }

    async fn log_to(&self, tracking: &Tracking, content: &Content) -> Result<(Tracked, Vec<String>), MlflowError> {
        let experiment = tracking.experiment(&self.experiment).await?;
        tracking.log(&experiment, content).await
    }

    async fn content(&self, client: &Client, run: &EvaluationRun) -> Content {
        let prompt = match (&run.prompt_name, &run.spec.manifest.prompt_hash) {
            // A prompt that was deleted meanwhile is no reason to lose the run.
            (Some(name), Some(hash)) => client.get_prompt_version(name, &hash.to_string()).await.ok(),
            _ => None,
        };
        let mut content = Content::of(run, prompt.as_ref());
        if let Some(rating) = mean_rating(client, run).await {
            content.metrics.insert("mean_rating".to_owned(), rating);
        }
        content
    }

    /// What a run is compared with: the newest run about its dataset that is tagged `env=production`. What is compared with
    /// instead, and why, is said in the notices. Nothing is changed in MLflow.
    pub(crate) async fn baseline(&self, client: &Client, run: &EvaluationRun) -> Outcome<FoundBaseline> {
        let tracking = Tracking::open(&self.uri)?;
        let found = match tracking.find(&self.experiment).await {
            Ok(Some(experiment)) => tracking.tagged(&experiment, BASELINE_TAG).await,
            Ok(None) => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let here = "the baseline of this store, or else the absolute limits, apply instead";
        let tracked = match found {
            Ok(runs) => runs.into_iter().find(|tracked| tracked.is_baseline_of(&run.dataset)),
            Err(error) => {
                let causes = failed(&error).chain.join(": ");
                return Ok(FoundBaseline::none(format!("No baseline came from MLflow ({causes}): {here}.")));
            }
        };
        let Some(tracked) = tracked else {
            let what = format!("No run of MLflow's experiment `{}` is tagged env=production", self.experiment);
            return Ok(FoundBaseline::none(format!("{what}: {here}. `llmops baseline promote RUN` tags one.")));
        };
        let source = format!("the MLflow run {}", tracked.id);
        if let Some(id) = tracked.tag(RUN_TAG)
            && client.get_run(id, &GetRunQuery { wait_ms: None, dataset: None }).await.is_ok()
        {
            let notice = format!("The baseline is {source}, which is {id} here.");
            return Ok(FoundBaseline { run: Some(id.to_owned()), scores: None, notice: Some(notice) });
        }
        let categories = run.results.iter().flat_map(|results| results.categories.keys().map(String::as_str));
        match content::reference(&source, &tracked.metrics, categories) {
            Some(scores) => Ok(FoundBaseline { run: None, scores: Some(scores), notice: None }),
            None => Ok(FoundBaseline::none(format!(
                "The newest production run of MLflow, {}, has neither overall_score nor cat_… metrics: {here}.",
                tracked.id
            ))),
        }
    }

    /// Tags the run `env=production`, logging it first where MLflow does not know it, and takes the tag from newer runs
    /// that gates of the same dataset would compare with: the newest with the tag is the baseline.
    pub(crate) async fn promote(&self, context: &Context, client: &Client, run: &EvaluationRun) -> Outcome {
        let tracking = Tracking::open(&self.uri)?;
        let experiment = tracking.experiment(&self.experiment).await.map_err(|e| failed(&e))?;
        let known = tracking.tagged(&experiment, (RUN_TAG, run.id.as_str())).await.map_err(|e| failed(&e))?;
        let tracked = match known.into_iter().next() {
            Some(tracked) => tracked,
            None => tracking.log(&experiment, &self.content(client, run).await).await.map_err(|e| failed(&e))?.0,
        };
        let before = tracking.tagged(&experiment, BASELINE_TAG).await.map_err(|e| failed(&e))?;
        let newer = |other: &&Tracked| {
            other.id != tracked.id && other.is_of(&run.dataset) && other.start_time >= tracked.start_time
        };
        for other in before.iter().filter(newer) {
            tracking.delete_tag(&experiment, &other.id, BASELINE_TAG.0).await.map_err(|e| failed(&e))?;
            if other.tag(DATASET_TAG).is_none() {
                let whose = "which is newer and names no dataset";
                context.note(&format!("took env=production in MLflow from {}, {whose}", other.id));
            }
        }
        tracking.set_tag(&experiment, &tracked.id, BASELINE_TAG).await.map_err(|e| failed(&e))?;
        context.note(&format!("tagged env=production in MLflow: {}", tracked.id));
        Ok(())
    }
}

/// What people rated answers of the run's prompt version on live traffic, on a scale of 5; none where nobody did. Ratings are
/// no part of the run: that they cannot be had is no reason to lose it.
async fn mean_rating(client: &Client, run: &EvaluationRun) -> Option<f64> {
    let label = run.spec.manifest.prompt_label()?;
    let query = SummaryQuery { by: SummaryBy::Prompt, ..SummaryQuery::default() };
    let summary = client.feedback_summary(&query).await.ok()?;
    let rating = summary.rows.iter().find(|row| row.name == label)?.rating?;
    Some(rating.value * 5.0)
}

/// What MLflow says a run is to be compared with.
pub(crate) struct FoundBaseline {
    /// A run that is here too.
    pub(crate) run: Option<String>,
    /// The scores of one that is not.
    pub(crate) scores: Option<ReferenceScores>,
    /// What the reader of the report should know.
    pub(crate) notice: Option<String>,
}

impl FoundBaseline {
    fn none(notice: String) -> Self {
        Self { run: None, scores: None, notice: Some(notice) }
    }
}

fn failed(error: &MlflowError) -> Failure {
    let kind = match error {
        MlflowError::Refused { .. } | MlflowError::Deleted(_) if !error.is_away() => Kind::Usage,
        _ => Kind::Undecided,
    };
    Failure::because(kind, "MLflow did not take it", error)
}
