//! MLflow's REST API.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use llmops_domain::net::shown_address;
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::{Value, json};

use super::content::Content;
use super::{MlflowError, Tracked};
use crate::failure::Outcome;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Parameters that MLflow takes at a time; of metrics it takes 1,000, of tags 100.
const PARAMS_AT_A_TIME: usize = 100;
/// Metrics that MLflow takes at a time.
const METRICS_AT_A_TIME: usize = 1000;
/// Runs looked through for one with a tag.
const MAX_FOUND: u32 = 1000;
/// How the server names artefacts that it takes over HTTP.
const PROXIED: &str = "mlflow-artifacts:";

/// A tracking server.
pub(super) struct Server {
    client: reqwest::Client,
    base: String,
    login: Login,
}

/// How the server knows us, from the variables that MLflow's own client reads.
enum Login {
    None,
    Token(String),
    Password { user: String, password: String },
}

impl Login {
    fn from_env() -> Self {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (var("MLFLOW_TRACKING_USERNAME"), var("MLFLOW_TRACKING_PASSWORD"), var("MLFLOW_TRACKING_TOKEN")) {
            (Some(user), password, _) => Self::Password { user, password: password.unwrap_or_default() },
            (None, _, Some(token)) => Self::Token(token),
            (None, ..) => Self::None,
        }
    }
}

#[derive(Deserialize)]
struct RunAnswer {
    run: RunBody,
}

#[derive(Deserialize)]
struct RunBody {
    info: RunInfo,
    #[serde(default)]
    data: RunData,
}

#[derive(Deserialize)]
struct RunInfo {
    run_id: String,
    #[serde(default)]
    start_time: i64,
    #[serde(default)]
    artifact_uri: String,
}

#[derive(Default, Deserialize)]
struct RunData {
    #[serde(default)]
    metrics: Vec<Pair<Option<f64>>>,
    #[serde(default)]
    tags: Vec<Pair<String>>,
}

#[derive(Deserialize)]
struct Pair<T> {
    key: String,
    value: T,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    runs: Vec<RunBody>,
}

impl From<RunBody> for Tracked {
    fn from(run: RunBody) -> Self {
        Self {
            id: run.info.run_id,
            start_time: run.info.start_time,
            tags: run.data.tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
            metrics: run.data.metrics.into_iter().filter_map(|metric| Some((metric.key, metric.value?))).collect(),
        }
    }
}

impl Server {
    pub(super) fn new(uri: &str) -> Outcome<Self> {
        let base = uri.trim_end_matches('/').to_owned();
        Ok(Self { client: crate::http::client()?, base, login: Login::from_env() })
    }

    /// The experiment's id, where there is one.
    pub(super) async fn find(&self, name: &str) -> Result<Option<String>, MlflowError> {
        #[derive(Deserialize)]
        struct Answer {
            experiment: Experiment,
        }
        #[derive(Deserialize)]
        struct Experiment {
            experiment_id: String,
            #[serde(default)]
            lifecycle_stage: String,
        }
        let request = self.request(Method::GET, "experiments/get-by-name").query(&[("experiment_name", name)]);
        match self.ask::<Answer>("find the experiment", request).await {
            Ok(answer) if answer.experiment.lifecycle_stage == "deleted" => Err(MlflowError::Deleted(name.to_owned())),
            Ok(answer) => Ok(Some(answer.experiment.experiment_id)),
            Err(MlflowError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The experiment's id, made where there is none.
    pub(super) async fn experiment(&self, name: &str) -> Result<String, MlflowError> {
        #[derive(Deserialize)]
        struct Created {
            experiment_id: String,
        }
        if let Some(known) = self.find(name).await? {
            return Ok(known);
        }
        let request = self.request(Method::POST, "experiments/create").json(&json!({"name": name}));
        Ok(self.ask::<Created>("make the experiment", request).await?.experiment_id)
    }

    pub(super) async fn log(&self, experiment: &str, content: &Content) -> Result<(Tracked, Vec<String>), MlflowError> {
        let create = json!({
            "experiment_id": experiment, "start_time": content.start, "run_name": content.name, "tags": pairs(&content.tags),
        });
        let created: RunAnswer =
            self.ask("make a run", self.request(Method::POST, "runs/create").json(&create)).await?;
        let id = created.run.info.run_id.clone();
        let params: Vec<(&String, &String)> = content.params.iter().collect();
        for params in params.chunks(PARAMS_AT_A_TIME) {
            let params: Vec<Value> = params.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
            self.batch(&json!({"run_id": id, "params": params})).await?;
        }
        let metrics: Vec<(&String, &f64)> = content.metrics.iter().collect();
        for metrics in metrics.chunks(METRICS_AT_A_TIME) {
            let at = content.end;
            let metric =
                |(key, value): &(&String, &f64)| json!({"key": key, "value": value, "timestamp": at, "step": 0});
            let metrics: Vec<Value> = metrics.iter().map(metric).collect();
            self.batch(&json!({"run_id": id, "metrics": metrics})).await?;
        }
        let notices = self.keep_artifacts(&created.run.info.artifact_uri, content).await?;
        let status = if content.finished { "FINISHED" } else { "FAILED" };
        let update = json!({"run_id": id, "status": status, "end_time": content.end});
        self.ask::<Value>("end the run", self.request(Method::POST, "runs/update").json(&update)).await?;
        Ok((Tracked { metrics: content.metrics.clone(), ..created.run.into() }, notices))
    }

    async fn batch(&self, body: &Value) -> Result<(), MlflowError> {
        self.ask::<Value>("log a batch", self.request(Method::POST, "runs/log-batch").json(body)).await.map(drop)
    }

    /// Keeps files where the server says: over HTTP when it takes them itself, in the file system when that is where it
    /// keeps them. Other places need their own clients and rights, which is said.
    async fn keep_artifacts(&self, uri: &str, content: &Content) -> Result<Vec<String>, MlflowError> {
        if let Some(rest) = uri.strip_prefix(PROXIED) {
            // mlflow-artifacts:/0/ID/artifacts, or with a host before the path.
            let path = match rest.strip_prefix("//") {
                Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
                None => rest.trim_start_matches('/'),
            };
            for (name, text) in &content.artifacts {
                let url = format!("{}/api/2.0/mlflow-artifacts/artifacts/{path}/{name}", self.base);
                let request = self.login(self.client.put(url)).body(text.clone());
                self.send("keep an artefact", request).await?;
            }
            return Ok(Vec::new());
        }
        let local = uri.strip_prefix("file://").or_else(|| uri.starts_with('/').then_some(uri)).map(PathBuf::from);
        // The folder is the server's: it is ours to write to only where both are on one machine.
        let Some(folder) = local.filter(|folder| folder.parent().is_some_and(std::path::Path::is_dir)) else {
            return Ok(vec![format!(
                "no artefacts were kept: this MLflow wants them at {uri}, which llmops cannot write to. \
                 `mlflow server --serve-artifacts` takes them over HTTP"
            )]);
        };
        super::folder::write_artifacts(&folder, content)?;
        Ok(Vec::new())
    }

    pub(super) async fn tagged(
        &self,
        experiment: &str,
        (tag, value): (&str, &str),
    ) -> Result<Vec<Tracked>, MlflowError> {
        // Our ids and words hold no quotes.
        let filter = format!("tags.`{tag}` = '{}'", value.replace('\'', ""));
        let search = json!({
            "experiment_ids": [experiment], "filter": filter, "max_results": MAX_FOUND,
            "order_by": ["attributes.start_time DESC"],
        });
        let found: Found = self.ask("look for runs", self.request(Method::POST, "runs/search").json(&search)).await?;
        Ok(found.runs.into_iter().map(Tracked::from).collect())
    }

    pub(super) async fn set_tag(&self, run: &str, (key, value): (&str, &str)) -> Result<(), MlflowError> {
        let body = json!({"run_id": run, "key": key, "value": value});
        self.ask::<Value>("tag the run", self.request(Method::POST, "runs/set-tag").json(&body)).await.map(drop)
    }

    pub(super) async fn delete_tag(&self, run: &str, key: &str) -> Result<(), MlflowError> {
        let body = json!({"run_id": run, "key": key});
        self.ask::<Value>("take a tag away", self.request(Method::POST, "runs/delete-tag").json(&body)).await.map(drop)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.login(self.client.request(method, format!("{}/api/2.0/mlflow/{path}", self.base)))
    }

    fn login(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.login {
            Login::None => request,
            Login::Token(token) => request.bearer_auth(token),
            Login::Password { user, password } => request.basic_auth(user, Some(password)),
        }
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        action: &'static str,
        request: RequestBuilder,
    ) -> Result<T, MlflowError> {
        let text = self.send(action, request).await?;
        serde_json::from_str(&text).map_err(|e| MlflowError::Protocol { action, detail: e.to_string() })
    }

    async fn send(&self, action: &'static str, request: RequestBuilder) -> Result<String, MlflowError> {
        let away = |source: reqwest::Error| MlflowError::Unreachable {
            url: shown_address(&self.base),
            source: source.without_url(),
        };
        let response = request.timeout(TIMEOUT).send().await.map_err(away)?;
        let status = response.status();
        let text = response.text().await.map_err(away)?;
        if status.is_success() {
            return Ok(text);
        }
        let said = serde_json::from_str::<Value>(&text).ok();
        let said = said.and_then(|body| body.get("message")?.as_str().map(str::to_owned));
        let message = said.unwrap_or_else(|| text.chars().take(200).collect());
        Err(MlflowError::Refused { action, status: status.as_u16(), message })
    }
}

fn pairs(map: &BTreeMap<String, String>) -> Vec<Value> {
    map.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
}
