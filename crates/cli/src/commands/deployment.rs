//! `llmops deploy`, `rollback`, `history`, `rehearse`, `safe-mode`: what answers live traffic.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use llmops_api::Client;
use llmops_api::deployments::{Deploy, Deployed, EnvironmentQuery, Rehearsal, Rollback, SwitchSafeMode};
use llmops_api::page::PageQuery;
use llmops_domain::chat::Parameters;
use llmops_domain::deployment::{
    DEFAULT_ENVIRONMENT, Deployment, DeploymentAction, DeploymentChange, DeploymentSettings,
};
use llmops_domain::hash::ContentHash;
use llmops_domain::manifest::{self, Manifest};
use llmops_domain::yaml::{Document, Problem, Schema};

use super::model_version::ModelVersionArgs;
use super::{Context, More};
use crate::failure::{Failure, Kind, Outcome};
use crate::project::{Project, read_text};
use crate::terminal::{self, Cell, Column, Tone};

/// Point a deployment to a manifest: everything that decides an answer.
#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// The deployment, as applications name it in `model`
    name: String,
    /// The prompt: NAME, NAME@VERSION or NAME@HASH; else the one that is live (a --manifest without a prompt has none)
    #[arg(long, value_name = "PROMPT")]
    prompt: Option<String>,
    /// The model; else the prompt's own, else the one that is live
    #[arg(long, value_name = "PROVIDER/MODEL")]
    model: Option<String>,
    /// The provider's version of the model
    #[arg(long, value_name = "VERSION")]
    model_version: Option<String>,
    /// A parameter laid over the prompt's, or over those that are live, such as temperature=0.2; repeatable
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// The index that the retriever reads
    #[arg(long, value_name = "VERSION")]
    retriever_index: Option<String>,
    /// A manifest: a JSON file, or the beginning of a stored one's hash
    #[arg(long, value_name = "FILE|HASH", conflicts_with_all = ["prompt", "model", "model_version", "parameters", "retriever_index"])]
    manifest: Option<String>,
    /// A YAML or JSON file with the settings; alone, what is live keeps answering: merge, allow_override, fallbacks, timeouts, bodies, guard, safe_mode …
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    audit_file: ModelVersionArgs,
}

/// Where, and why.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// The environment
    #[arg(long, short, value_name = "NAME", default_value = "production")]
    environment: String,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Go back to what answered before.
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The deployment
    name: String,
    /// The beginning of the hash of a manifest that was live; else the one before the present one
    #[arg(long, value_name = "HASH")]
    to: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    audit_file: ModelVersionArgs,
}

/// Show what was live; without a name, what is.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The deployment
    name: Option<String>,
    /// The environment
    #[arg(long, short, value_name = "NAME", default_value = "production")]
    environment: String,
    #[command(flatten)]
    audit_file: ModelVersionArgs,
}

/// Check that every earlier manifest could take over. Live traffic is not touched.
#[derive(Debug, Args)]
pub(crate) struct RehearseArgs {
    /// The deployment
    name: String,
    /// The environment
    #[arg(long, short, value_name = "NAME", default_value = "production")]
    environment: String,
}

/// Let the prepared strict manifest, or a fixed answer, answer instead.
#[derive(Debug, Args)]
pub(crate) struct SafeModeArgs {
    /// The deployment
    name: String,
    /// On or off
    switch: Switch,
    /// Answer every call with this text
    #[arg(long, value_name = "TEXT")]
    answer: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

async fn client(context: &Context) -> Outcome<Client> {
    Project::find(&context.global, &context.ui)?.client(&context.global).await
}

/// `llmops deploy`
pub(crate) async fn deploy(context: &Context, args: DeployArgs) -> Outcome {
    let client = client(context).await?;
    let (manifest, manifest_hash) = args.manifest.as_deref().map(named_manifest).transpose()?.unwrap_or_default();
    let request = Deploy {
        environment: Some(args.place.environment),
        manifest,
        manifest_hash,
        prompt: args.prompt,
        model: args.model,
        model_version: args.model_version,
        parameters: read_parameters(&args.parameters)?,
        retriever_index_version: args.retriever_index,
        settings: args.settings.as_deref().map(read_settings).transpose()?,
        reason: args.place.reason,
    };
    let deployed = client.deploy(&args.name, &request).await?;
    let Deployment { name, environment, .. } = &deployed.deployment;
    args.audit_file.write(&client, name, environment).await?;
    context.show(&deployed, || describe(&deployed, false))?;
    match &deployed.approval {
        Some(approval) => Err(Failure::new(Kind::Waits, format!("{} waits for a second key", approval.id))),
        None => Ok(()),
    }
}

/// What changed; of a rollback (`rolled_back`), what took its place may have been live already beside a candidate.
fn describe(deployed: &Deployed, rolled_back: bool) -> String {
    let (deployment, manifest) = (&deployed.deployment, &deployed.manifest);
    let what = format!("{} ({})", label(manifest), deployment.manifest.short());
    let place = format!("{} in {}", deployment.name, deployment.environment);
    let mut text = match &deployed.previous {
        _ if deployed.approval.is_some() => format!("{place} answers with {what} as before"),
        _ if !deployed.changed => format!("{place} answers with {what} already: nothing changed"),
        Some(previous) if *previous == deployment.manifest && rolled_back => {
            format!("{place} answers everybody with {what}")
        }
        Some(previous) if *previous == deployment.manifest => format!("{place} has new settings; {what} still answers"),
        Some(previous) => format!("{place} answers with {what} now, instead of {}", previous.short()),
        None => {
            let model = match deployment.environment.as_str() {
                DEFAULT_ENVIRONMENT => deployment.name.clone(),
                environment => format!("{}@{environment}", deployment.name),
            };
            format!("{place} answers with {what} now. Applications name it as their model: \"{model}\"")
        }
    };
    for notice in &deployed.notices {
        text += &format!("\nnote: {notice}");
    }
    if deployment.safe_mode {
        text += "\nnote: the safe mode is on, and answers until `llmops safe-mode … off`";
    }
    text
}

fn label(manifest: &Manifest) -> String {
    match manifest.prompt_label() {
        Some(prompt) => format!("{prompt} on {}", manifest.model),
        None => manifest.model.clone(),
    }
}

/// A manifest as the command line names one: what cannot be the beginning of a hash is a file, and so is what there is a file of.
pub(crate) fn named_manifest(named: &str) -> Outcome<(Option<Manifest>, Option<String>)> {
    let is_hash = !named.is_empty() && named.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash && !std::path::Path::new(named).exists() {
        return Ok((None, Some(named.to_owned())));
    }
    Ok((Some(read_manifest(named)?), None))
}

fn read_manifest(path: &str) -> Outcome<Manifest> {
    let text = read_text(std::path::Path::new(path))?;
    manifest::parse(&text, path).map_err(|problems| Failure::of_file(Kind::Usage, path, &problems))
}

fn read_settings(path: &std::path::Path) -> Outcome<DeploymentSettings> {
    let text = read_text(path)?;
    let shown = path.display().to_string();
    let schema = Schema::of::<DeploymentSettings>();
    let failed = |problems: Vec<Problem>| Failure::of_file(Kind::Usage, &shown, &problems);
    let document = Document::parse(&text, &shown).map_err(failed)?;
    document.decode(&schema).map_err(|problems: Vec<Problem>| {
        // What makes no sense is told with what cannot be read.
        let (rest, mut problems) = document.rest::<DeploymentSettings>(problems);
        let senseless = rest.iter().flat_map(llmops::senseless_settings);
        problems.extend(senseless.map(|message| document.problem("", message, None)).collect::<Vec<_>>());
        failed(problems)
    })
}

/// Parameters as typed: `temperature=0.2`, values as JSON.
fn read_parameters(pairs: &[String]) -> Outcome<Parameters> {
    let mut fields = serde_json::Map::new();
    for pair in pairs {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            Failure::usage(format!("--parameter {pair}: expected NAME=VALUE, such as temperature=0.2"))
        })?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| serde_json::Value::String(value.to_owned()));
        fields.insert(name.to_owned(), value);
    }
    serde_json::from_value(fields.into()).map_err(|e| Failure::usage(format!("--parameter: {e}")))
}

/// `llmops rollback`
pub(crate) async fn rollback(context: &Context, args: RollbackArgs) -> Outcome {
    let request = Rollback { environment: Some(args.place.environment), to: args.to, reason: args.place.reason };
    let client = client(context).await?;
    let deployed = client.rollback(&args.name, &request).await?;
    let Deployment { name, environment, .. } = &deployed.deployment;
    args.audit_file.write(&client, name, environment).await?;
    context.show(&deployed, || describe(&deployed, true))
}

/// `llmops history`
pub(crate) async fn history(context: &Context, args: HistoryArgs) -> Outcome {
    let client = client(context).await?;
    let Some(name) = args.name else {
        args.audit_file.refuse_without_name()?;
        return list(context, &client).await;
    };
    args.audit_file.write(&client, &name, &args.environment).await?;
    let changes = client.deployment_history(&name, &EnvironmentQuery { environment: Some(args.environment) }).await?;
    context.show(&changes, || {
        const COLUMNS: [Column; 6] = [
            Column::number("#"),
            Column::text("when (UTC)"),
            Column::text("what"),
            Column::text("manifest"),
            Column::text("by"),
            Column::text("reason"),
        ];
        let live = changes.items.first().map(|change| &change.to);
        let rows = changes.items.iter().map(|change| row(change, live)).collect();
        terminal::table(context.ui.out, &COLUMNS, rows)
    })
}

fn row(change: &DeploymentChange, live: Option<&ContentHash>) -> Vec<Cell> {
    let what = match change.action {
        DeploymentAction::Deploy => "deploy",
        DeploymentAction::Rollback => "rollback",
        DeploymentAction::SafeModeOn => "safe mode on",
        DeploymentAction::SafeModeOff => "safe mode off",
        DeploymentAction::Configure => "settings",
    };
    let is_live = live == Some(&change.to);
    vec![
        change.revision.to_string().into(),
        change.at.strftime("%Y-%m-%d %H:%M:%S").to_string().into(),
        what.into(),
        Cell::toned(if is_live { Tone::Strong } else { Tone::Plain }, change.to.short()),
        change.by.as_deref().unwrap_or_default().into(),
        change.reason.as_deref().unwrap_or_default().into(),
    ]
}

const LIVE_COLUMNS: [Column; 6] = [
    Column::id("deployment"),
    Column::text("environment"),
    Column::text("prompt"),
    Column::text("model"),
    Column::text("manifest"),
    Column::text("since (UTC)").optional(),
];

async fn list(context: &Context, client: &Client) -> Outcome {
    let deployments = client.list_deployments(&PageQuery { cursor: None, limit: Some(500) }).await?;
    let mut manifests = Vec::new();
    for deployment in &deployments.items {
        manifests.push(client.get_manifest(deployment.manifest.as_str()).await?);
    }
    context.show_page(&deployments, More::Hidden, || {
        if deployments.items.is_empty() {
            return "Nothing is deployed yet. `llmops deploy NAME --prompt NAME@VERSION --model PROVIDER/MODEL` does it."
                .to_owned();
        }
        let rows = deployments.items.iter().zip(&manifests).map(|(d, m)| live_row(d, m)).collect();
        terminal::table(context.ui.out, &LIVE_COLUMNS, rows)
    })
}

fn live_row(deployment: &Deployment, manifest: &Manifest) -> Vec<Cell> {
    let environment = if deployment.safe_mode {
        Cell::toned(Tone::Warn, format!("{} (safe mode)", deployment.environment))
    } else {
        (&deployment.environment).into()
    };
    vec![
        Cell::toned(Tone::Strong, &deployment.name),
        environment,
        manifest.prompt_label().unwrap_or_default().into(),
        (&manifest.model).into(),
        deployment.manifest.short().into(),
        deployment.updated_at.strftime("%Y-%m-%d %H:%M").to_string().into(),
    ]
}

/// `llmops rehearse`
pub(crate) async fn rehearse(context: &Context, args: RehearseArgs) -> Outcome {
    let query = EnvironmentQuery { environment: Some(args.environment) };
    let rehearsal = client(context).await?.rehearse(&args.name, &query).await?;
    context.show(&rehearsal, || rehearsed(context, &rehearsal))?;
    if rehearsal.ready {
        return Ok(());
    }
    Err(Failure::new(Kind::No, "some manifests could not take over"))
}

fn rehearsed(context: &Context, rehearsal: &Rehearsal) -> String {
    const COLUMNS: [Column; 4] =
        [Column::text("manifest"), Column::text("prompt"), Column::text("model"), Column::text("could take over")];
    let rows = rehearsal.manifests.iter().map(|m| {
        let name = if m.is_live { format!("{} (live)", m.manifest.short()) } else { m.manifest.short().to_owned() };
        let verdict = if m.problems.is_empty() {
            Cell::toned(Tone::Good, "yes")
        } else {
            Cell::toned(Tone::Bad, format!("no: {}", m.problems.join("; ")))
        };
        vec![name.into(), m.prompt.as_deref().unwrap_or_default().into(), (&m.model).into(), verdict]
    });
    terminal::table(context.ui.out, &COLUMNS, rows.collect())
}

/// `llmops safe-mode`
pub(crate) async fn safe_mode(context: &Context, args: SafeModeArgs) -> Outcome {
    let request = SwitchSafeMode {
        environment: Some(args.place.environment),
        on: args.switch == Switch::On,
        answer: args.answer,
        reason: args.place.reason,
    };
    let switched = client(context).await?.switch_safe_mode(&args.name, &request).await?;
    context.show(&switched, || {
        let deployment = &switched.deployment;
        let place = format!("{} in {}", deployment.name, deployment.environment);
        let mut text = match (&deployment.settings.safe_mode.manifest, &deployment.settings.safe_mode.answer) {
            _ if !deployment.safe_mode => format!("{place} answers with {} again", deployment.manifest.short()),
            (Some(strict), _) => format!("{place} answers with its strict manifest {} now", strict.short()),
            (None, answer) => format!("{place} answers every call now with: {}", answer.as_deref().unwrap_or_default()),
        };
        for notice in &switched.notices {
            text += &format!("\nnote: {notice}");
        }
        text
    })
}
