//! `llmops doctor`: is the installation in order?
//!
//! A check is a row of [`CHECKS`]: a name and a function from what was found so far to findings.

mod service;

use std::collections::BTreeSet;

use clap::Args;
use futures::future::BoxFuture;
use llmops::models::{DEFAULT_MODEL, Found, Layer, Models, Quiet};
use llmops_api::page::PageQuery;
use llmops_domain::net::shown_address;
use llmops_domain::scorecard::format;
use llmops_domain::scoring::{BertscoreSpec, ScorerSpec};
use serde::Serialize;

use super::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::project::{Project, STATE_FOLDER, read_prompt};
use crate::terminal::{self, Cell, Column, Tone};

/// Check the installation: configuration, files, server, store, queue, providers, models, channels, disk, clock.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits with 1 when a check fails. Warnings do not count. Nothing is downloaded, and no model is asked."
)]
pub(crate) struct DoctorArgs {}

/// What a check looks at.
struct Installation<'a> {
    context: &'a Context,
    /// The project, where its configuration can be read.
    project: Result<Project, Failure>,
}

type Check = for<'a> fn(&'a Installation<'a>) -> BoxFuture<'a, Vec<Finding>>;

/// Everything that is checked, in this order.
const CHECKS: &[(&str, Check)] = &[
    ("configuration", |i| Box::pin(async { configuration(i) })),
    ("files", |i| Box::pin(async { files(i) })),
    ("server", |i| Box::pin(service::server(i))),
    ("tables", |i| Box::pin(service::tables(i))),
    ("store", |i| Box::pin(store(i))),
    ("queue", |i| Box::pin(service::queue(i))),
    ("providers", |i| Box::pin(providers(i))),
    ("models", |i| Box::pin(models(i))),
    ("channels", |i| Box::pin(async { service::channels(i) })),
    ("disk", |i| Box::pin(async { service::disk(i) })),
    ("clock", |i| Box::pin(service::clock(i))),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    Warn,
    Fail,
}

/// One line of the answer.
#[derive(Debug, Serialize)]
struct Finding {
    #[serde(skip_serializing_if = "str::is_empty")]
    check: &'static str,
    status: Status,
    message: String,
    hint: Option<String>,
}

impl Finding {
    fn new(status: Status, message: impl Into<String>) -> Self {
        Self { check: "", status, message: message.into(), hint: None }
    }

    fn ok(message: impl Into<String>) -> Self {
        Self::new(Status::Ok, message)
    }

    fn warn(message: impl Into<String>) -> Self {
        Self::new(Status::Warn, message)
    }

    fn fail(message: impl Into<String>) -> Self {
        Self::new(Status::Fail, message)
    }

    fn of(failure: &Failure) -> Vec<Self> {
        let whole = Self { hint: failure.hint.clone(), ..Self::fail(failure.chain.join(": ")) };
        let problems = failure.problems.iter().map(|problem| Self::fail(problem.as_str()));
        std::iter::once(whole).chain(problems).collect()
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Runs the command.
pub(crate) async fn run(context: &Context, _: &DoctorArgs) -> Outcome {
    let installation = Installation { context, project: Project::find(&context.global, &context.ui) };
    let mut findings = Vec::new();
    for (name, check) in CHECKS {
        let found = check(&installation).await;
        findings.extend(found.into_iter().map(|finding| Finding { check: name, ..finding }));
    }
    context.show(&findings, || table(context, &findings))?;
    let failed = findings.iter().filter(|finding| finding.status == Status::Fail).count();
    if failed == 0 {
        return Ok(());
    }
    let what = if failed == 1 { "a check has failed".to_owned() } else { format!("{failed} findings are failures") };
    Err(Failure::new(Kind::No, what))
}

fn table(context: &Context, findings: &[Finding]) -> String {
    let columns = [Column::text("check"), Column::text(""), Column::text("finding")];
    let mut before = "";
    let mut rows = Vec::new();
    for finding in findings {
        let name = if finding.check == before { "" } else { finding.check };
        before = finding.check;
        let (tone, status) = match finding.status {
            Status::Ok => (Tone::Good, "ok"),
            Status::Warn => (Tone::Warn, "warn"),
            Status::Fail => (Tone::Bad, "fail"),
        };
        rows.push(vec![
            Cell::toned(Tone::Strong, name),
            Cell::toned(tone, status),
            Cell::toned(Tone::Plain, &finding.message),
        ]);
        if let Some(hint) = &finding.hint {
            rows.push(vec![Cell::toned(Tone::Plain, ""), Cell::toned(Tone::Plain, ""), Cell::toned(Tone::Faint, hint)]);
        }
    }
    terminal::table(context.ui.out, &columns, rows)
}

fn configuration(installation: &Installation<'_>) -> Vec<Finding> {
    match &installation.project {
        Err(failure) => Finding::of(failure),
        Ok(project) if project.has_config => {
            let config = &project.config;
            let counts = [
                (config.providers.len(), "provider"),
                (config.targets.len(), "target"),
                (config.datasets.len(), "dataset"),
                (config.suites.len(), "suite"),
            ];
            let counts: Vec<String> = counts.iter().map(|(count, what)| format::count(*count as u64, what)).collect();
            vec![Finding::ok(format!("llmops.yaml of `{}`: {}", config.project, counts.join(", ")))]
        }
        Ok(_) => vec![
            Finding::warn("there is no llmops.yaml here or in a folder above")
                .hint("`llmops init` writes one to start from"),
        ],
    }
}

/// What the configuration names must be there.
fn files(installation: &Installation<'_>) -> Vec<Finding> {
    let Ok(project) = &installation.project else { return Vec::new() };
    let mut findings = Vec::new();
    for (name, dataset) in &project.config.datasets {
        let path = project.folder.join(&dataset.path);
        if !path.is_file() {
            findings.push(Finding::fail(format!("dataset `{name}`: there is no file {}", path.display())));
        }
    }
    let prompts = match project.prompt_files() {
        Ok(prompts) => prompts,
        Err(failure) => return Finding::of(&failure),
    };
    findings
        .extend(prompts.iter().filter_map(|path| read_prompt(path).err()).flat_map(|failure| Finding::of(&failure)));
    if findings.is_empty() {
        // A file that can be read may still hold another prompt than the one that a target asks it for.
        let named = project.config.targets.values().filter_map(|target| target.prompt.as_deref());
        let named: BTreeSet<&str> = named.filter(|name| !name.contains('@')).collect();
        findings.extend(named.iter().filter_map(|name| project.prompt_file(name).err()).flat_map(|f| Finding::of(&f)));
    }
    if findings.is_empty() && project.has_config {
        let (datasets, prompts) = (project.config.datasets.len(), prompts.len());
        let counts = [format::count(datasets as u64, "dataset file"), format::count(prompts as u64, "prompt file")];
        findings.push(Finding::ok(format!("{} are there", counts.join(" and "))));
    }
    findings
}

async fn store(installation: &Installation<'_>) -> Vec<Finding> {
    let Ok(project) = &installation.project else { return Vec::new() };
    let global = &installation.context.global;
    if global.server.is_none() && global.database.is_none() {
        let path = project.folder.join(STATE_FOLDER).join("llmops.db");
        if !path.exists() {
            let place = path.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(&project.folder);
            if let Err(error) = rustix::fs::access(place, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
                return vec![Finding::fail(format!("{} cannot be made: {error}", path.display()))];
            }
            return vec![Finding::ok(format!(
                "{} does not exist yet; the first command that needs it makes it",
                path.display()
            ))];
        }
    }
    let what = match &global.server {
        Some(server) => format!("the server {}", shown_address(server)),
        None => "the store".to_owned(),
    };
    let answered = async {
        let client = project.client(global).await?;
        client.list_datasets(&PageQuery::default()).await?;
        if client.is_local() {
            client.ready().await?;
        }
        Ok::<_, Failure>(())
    };
    match answered.await {
        Ok(()) => vec![Finding::ok(format!("{what} opens and answers"))],
        Err(failure) => Finding::of(&failure),
    }
}

async fn providers(installation: &Installation<'_>) -> Vec<Finding> {
    let Ok(project) = &installation.project else { return Vec::new() };
    let config = &project.config;
    if config.providers.is_empty() {
        return vec![Finding::warn("no provider is configured").hint("add one under `providers` in llmops.yaml")];
    }
    let made = match project.providers() {
        Ok(made) => made,
        Err(failure) => return Finding::of(&failure),
    };
    let mut findings = Vec::new();
    for name in config.providers.keys() {
        // Files of answers and programs are of no model: any name does.
        let missing = match made.resolve(&format!("{name}/any")) {
            Ok(target) => target.ready().await.err(),
            Err(error) => Some(error),
        };
        findings.push(match (config.unset_variables.get(name), missing) {
            (Some(variables), _) => {
                Finding::warn(format!("`{name}` cannot be called: {} is not set", variables.join(", ")))
            }
            (None, Some(error)) => Finding::fail(error.to_string()),
            (None, None) => Finding::ok(format!("`{name}` has what it needs")),
        });
    }
    if findings.iter().all(|finding| finding.status == Status::Ok) {
        let names: Vec<&str> = config.providers.keys().map(String::as_str).collect();
        findings = vec![
            Finding::ok(format!("nothing is missing for {}", names.join(", ")))
                .hint("`llmops provider check` asks the models of all targets"),
        ];
    }
    findings
}

/// Loads every embedding model that a metric needs.
async fn models(installation: &Installation<'_>) -> Vec<Finding> {
    let Ok(project) = &installation.project else { return Vec::new() };
    let mut wanted = BTreeSet::new();
    for metric in project.config.scoring.metrics.values() {
        let Some(model) = metric.scorer.embedding_model() else { continue };
        let layer = match &metric.scorer {
            ScorerSpec::Bertscore(BertscoreSpec { layer, .. }) => layer.map(|layer| layer as usize),
            _ => Some(usize::MAX),
        };
        wanted.insert((model.unwrap_or(DEFAULT_MODEL), layer));
    }
    let models = Models::new(project.model_options());
    let mut findings: Vec<Finding> = Vec::new();
    for (model, layer) in wanted {
        let layer = match layer {
            None => Layer::Recommended,
            Some(usize::MAX) => Layer::Last,
            Some(layer) => Layer::At(layer),
        };
        let finding = load(&models, model, layer).await;
        // The recommended layer may be the last one.
        if findings.iter().all(|known| known.message != finding.message) {
            findings.push(finding);
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("no metric needs an embedding model"));
    }
    findings
}

async fn load(models: &Models, model: &str, layer: Layer) -> Finding {
    let loaded = match models.find(model).await {
        Ok(Found::OnHub) => {
            return Finding::warn(format!("`{model}` is on the hub and not here")).hint("the first use downloads it");
        }
        Ok(Found::Here(_)) => models.load(model, layer, &Quiet).await,
        Err(error) => Err(error),
    };
    match loaded {
        Ok(embedder) => {
            let encoder = embedder.encoder();
            Finding::ok(format!(
                "`{model}` loads: layer {} of {}, {} dimensions, at most {} tokens ({})",
                encoder.layer(),
                encoder.layers(),
                encoder.width(),
                encoder.max_tokens(),
                &embedder.hash()[..12]
            ))
        }
        Err(error) => {
            let hint = error.hint();
            Finding::of(&crate::models::failure(&error)).remove(0).hint(hint)
        }
    }
}
