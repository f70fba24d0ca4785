//! `llmops experiment create|list|show|update|start|pause|resume|complete|cancel`: the life of experiments.

use std::path::{Path, PathBuf};

use clap::Args;
use llmops_api::Client;
use llmops_api::experiments::{
    CompleteExperiment, CreateModelExperiment, CreatePromptExperiment, ExperimentQuery, PromptSource,
};
use llmops_domain::experiment::{Experiment, ExperimentStatus, Unit, Variant, file};
use llmops_domain::scorecard::format;
use serde_json::{Map, Value, json};

use crate::commands::{Context, More};
use crate::failure::{Failure, Kind, Outcome};
use crate::project::{Project, read_prompt, read_text};
use crate::terminal::{self, Cell, Column, Tone};

/// Make an experiment: from a file, of two prompts, or of several models.
#[derive(Debug, Args)]
#[command(after_help = "\
From a file:        llmops experiment create greeting.yaml --start
Of two prompts:     llmops experiment create --name greeting --control bot@1.0.0 --treatment bot@1.1.0 --split 0.3
Of several models:  llmops experiment create --name models --model openai/gpt-4o --model openai/gpt-4o-mini
A prompt is NAME, NAME@VERSION, NAME@HASH or a prompt file, which is registered unless it is there.")]
pub(crate) struct CreateArgs {
    /// A YAML or JSON file
    #[arg(required_unless_present_any = ["control", "models"], conflicts_with_all = ["control", "models"])]
    file: Option<PathBuf>,
    /// The name
    #[arg(long)]
    name: Option<String>,
    /// The prompt that is used today
    #[arg(long, value_name = "PROMPT", requires_all = ["treatment", "name"], conflicts_with = "models")]
    control: Option<String>,
    /// The prompt that may be better
    #[arg(long, value_name = "PROMPT", requires = "control")]
    treatment: Option<String>,
    /// Share of the traffic that the treatment gets
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, allow_negative_numbers = true)]
    split: f64,
    /// A model, as provider/model; repeatable, the first is the control
    #[arg(long = "model", value_name = "MODEL", requires = "name")]
    models: Vec<String>,
    /// A parameter of all models, as NAME=JSON; repeatable
    #[arg(long = "param", value_name = "NAME=JSON", requires = "models")]
    parameters: Vec<String>,
    /// Start it at once
    #[arg(long)]
    start: bool,
}

/// List experiments, newest first.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// draft, running, paused, completed or cancelled
    #[arg(long)]
    status: Option<ExperimentStatus>,
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
}

/// Change an experiment: a draft in every way, a running one in its split, and its coverage upwards.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// The experiment: an id, the beginning of one, or a key
    experiment: String,
    /// Share of the units that take part
    #[arg(long, value_name = "SHARE")]
    coverage: Option<f64>,
    /// Share of each variant, as VARIANT=SHARE with commas between
    #[arg(long, value_name = "SHARES")]
    split: Option<String>,
    /// Another field, as FIELD=JSON; repeatable
    #[arg(long = "set", value_name = "FIELD=JSON")]
    fields: Vec<String>,
}

/// End an experiment.
#[derive(Debug, Args)]
pub(crate) struct CompleteArgs {
    /// The experiment: an id, the beginning of one, or a key
    experiment: String,
    /// Id or name of the variant that won
    #[arg(long, value_name = "VARIANT", required_unless_present = "no_winner", conflicts_with = "no_winner")]
    winner: Option<String>,
    /// None of them won
    #[arg(long)]
    no_winner: bool,
}

/// A step that needs nothing but the experiment.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Show,
    Start,
    Pause,
    Resume,
    Cancel,
}

async fn client(context: &Context) -> Outcome<Client> {
    Project::find(&context.global, &context.ui)?.client(&context.global).await
}

/// Makes an experiment.
pub(crate) async fn create(context: &Context, args: &CreateArgs) -> Outcome {
    let client = client(context).await?;
    let name = args.name.clone().unwrap_or_default();
    let made = if let Some(path) = &args.file {
        let shown = path.display().to_string();
        let mut spec = file::parse(&read_text(path)?, &shown).map_err(|p| Failure::of_file(Kind::Usage, &shown, &p))?;
        if args.name.is_some() {
            spec.name = name;
        }
        client.create_experiment(&spec).await?
    } else if let (Some(control), Some(treatment)) = (&args.control, &args.treatment) {
        let (control, treatment) = (prompt(control)?, prompt(treatment)?);
        client
            .create_prompt_experiment(&CreatePromptExperiment { name, control, treatment, traffic_split: args.split })
            .await?
    } else {
        let parameters = fields("--param", &args.parameters)?;
        client.create_model_experiment(&CreateModelExperiment { name, models: args.models.clone(), parameters }).await?
    };
    let made = if args.start { started(&client, &made).await? } else { made };
    context.show(&made, || show(context, &made))
}

/// Starts what was just made; what cannot start leaves no draft behind.
async fn started(client: &Client, made: &Experiment) -> Outcome<Experiment> {
    let id = made.id.as_str();
    match client.start_experiment(id).await {
        Ok(started) => Ok(started),
        Err(error) => {
            let failure = Failure::from(error);
            Err(match client.delete_experiment(id).await {
                Ok(()) => failure,
                Err(_) => failure.hint(format!("the draft {id} is left: llmops experiment start {id} tries again")),
            })
        }
    }
}

/// A prompt of the registry, or one in a file.
fn prompt(text: &str) -> Outcome<PromptSource> {
    let path = Path::new(text);
    let is_file = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
    Ok(if is_file { PromptSource::from(read_prompt(path)?) } else { PromptSource::from(text) })
}

/// `NAME=JSON` pairs; what is no JSON is text.
fn fields(option: &str, pairs: &[String]) -> Outcome<Map<String, Value>> {
    let mut object = Map::new();
    for pair in pairs {
        let Some((name, value)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(Failure::usage(format!("{option} {pair}: expected NAME=JSON")));
        };
        object.insert(name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into()));
    }
    Ok(object)
}

/// Lists experiments.
pub(crate) async fn list(context: &Context, args: &ListArgs) -> Outcome {
    let query = ExperimentQuery { status: args.status, cursor: None, limit: Some(args.limit) };
    let found = client(context).await?.list_experiments(&query).await?;
    context.show_page(&found, More::ByLimit, || {
        if found.items.is_empty() {
            return "no experiments; llmops experiment create makes one".to_owned();
        }
        let columns = [
            Column::id("experiment"),
            Column::text("name"),
            Column::text("status"),
            Column::text("variants"),
            Column::text("target"),
            Column::text("started").optional(),
        ];
        let rows = found.items.iter().map(|e| {
            vec![
                Cell::from(&e.id.0),
                Cell::from(&e.spec.name),
                status_cell(e),
                Cell::from(shares(e)),
                Cell::from(e.spec.target_metric.as_deref().unwrap_or("")),
                Cell::from(e.start_time.map(|t| t.strftime("%Y-%m-%d %H:%M").to_string()).unwrap_or_default()),
            ]
        });
        terminal::table(context.ui.out, &columns, rows.collect())
    })
}

fn status_cell(experiment: &Experiment) -> Cell {
    let tone = match experiment.status {
        ExperimentStatus::Running => Tone::Good,
        ExperimentStatus::Paused => Tone::Warn,
        ExperimentStatus::Draft => Tone::Plain,
        ExperimentStatus::Completed | ExperimentStatus::Cancelled => Tone::Faint,
    };
    match &experiment.winner {
        Some(winner) => Cell::toned(tone, format!("{}, {winner} won", experiment.status)),
        None => Cell::toned(tone, experiment.status.as_str()),
    }
}

fn shares(experiment: &Experiment) -> String {
    let weights = experiment.spec.weights();
    let shares = experiment.spec.variants.iter().zip(weights);
    shares.map(|(variant, share)| format!("{} {}", variant.id, format::percent(share))).collect::<Vec<_>>().join(", ")
}

/// Changes an experiment.
pub(crate) async fn update(context: &Context, args: &UpdateArgs) -> Outcome {
    let mut changes = fields("--set", &args.fields)?;
    if let Some(coverage) = args.coverage {
        changes.insert("coverage".to_owned(), json!(coverage));
    }
    if let Some(split) = &args.split {
        let shares: Vec<String> = split.split(',').map(|pair| pair.trim().to_owned()).collect();
        changes.insert("traffic_split".to_owned(), Value::Object(fields("--split", &shares)?));
    }
    if changes.is_empty() {
        return Err(Failure::usage("nothing to change")
            .hint("--coverage 0.5, --split control=0.7,treatment=0.3, --set FIELD=JSON"));
    }
    let changed = client(context).await?.update_experiment(&args.experiment, &changes).await?;
    context.show(&changed, || show(context, &changed))
}

/// Ends an experiment.
pub(crate) async fn complete(context: &Context, args: &CompleteArgs) -> Outcome {
    let complete = CompleteExperiment { winner: args.winner.clone() };
    let done = client(context).await?.complete_experiment(&args.experiment, &complete).await?;
    context.show(&done, || show(context, &done))
}

/// Takes a step, or none, and shows the experiment.
pub(crate) async fn step(context: &Context, step: Step, experiment: &str) -> Outcome {
    let client = client(context).await?;
    let now = match step {
        Step::Show => client.get_experiment(experiment).await?,
        Step::Start => client.start_experiment(experiment).await?,
        Step::Pause => client.pause_experiment(experiment).await?,
        Step::Resume => client.resume_experiment(experiment).await?,
        Step::Cancel => client.cancel_experiment(experiment).await?,
    };
    context.show(&now, || show(context, &now))
}

fn show(context: &Context, experiment: &Experiment) -> String {
    let spec = &experiment.spec;
    let mut facts = vec![("experiment", experiment.id.0.clone()), ("name", spec.name.clone())];
    if spec.key != spec.name {
        facts.push(("key", spec.key.clone()));
    }
    facts.extend(spec.description.clone().map(|text| ("description", text)));
    facts.push(("status", experiment.status.to_string()));
    facts.extend(experiment.winner.clone().map(|winner| ("winner", winner)));
    let minute = |t: jiff::Timestamp| t.strftime("%Y-%m-%d %H:%M UTC").to_string();
    facts.extend(experiment.start_time.map(|t| ("started", minute(t))));
    facts.extend(experiment.end_time.map(|t| ("ended", minute(t))));
    facts.push(("unit", unit(&spec.unit, spec.sticky)));
    facts.push(("coverage", format::percent(spec.coverage)));
    facts.push(("seed", spec.seed.clone()));
    if !spec.audience.is_empty() {
        facts.push(("audience", Value::Object(spec.audience.clone()).to_string()));
    }
    if let Some(namespace) = &spec.namespace {
        facts.push(("namespace", format!("{} [{}, {}]", namespace.name, namespace.range[0], namespace.range[1])));
    }
    if let Some(holdout) = &spec.holdout {
        facts.push(("holdout", format!("{} {}", holdout.name, format::percent(holdout.share))));
    }
    if let Some(adaptive) = &spec.adaptive {
        let steps = experiment.allocations.iter().filter(|allocation| allocation.step.is_some()).count() as u64;
        let floor = format::percent(adaptive.floor);
        facts.push((
            "allocation",
            format!("follows the data, at least {floor} each; {} so far", format::count(steps, "step")),
        ));
    }
    let metrics: Vec<&str> = spec.metrics.iter().map(|m| m.name.as_str()).collect();
    if !metrics.is_empty() {
        facts.push(("metrics", metrics.join(", ")));
    }
    facts.extend(spec.target_metric.clone().map(|target| ("target", target)));
    let mut text = terminal::pairs(context.ui.out, facts);
    let columns = [Column::text("variant"), Column::number("share"), Column::text("what"), Column::text("")];
    let rows = spec.variants.iter().zip(spec.weights()).map(|(variant, share)| {
        let role = if variant.is_control { "control" } else { "" };
        vec![
            Cell::toned(Tone::Strong, &variant.id),
            Cell::from(format::percent(share)),
            Cell::from(what(variant)),
            Cell::toned(Tone::Faint, role),
        ]
    });
    text.push('\n');
    text.push_str(&terminal::table(context.ui.out, &columns, rows.collect()));
    for notice in &experiment.notices {
        text.push_str("\nnote: ");
        text.push_str(&format::clean(notice));
    }
    text
}

fn unit(unit: &Unit, sticky: bool) -> String {
    let name = match unit {
        Unit::User => "user",
        Unit::Session => "session",
        Unit::Attribute(name) => name,
    };
    if sticky { format!("{name}, keeps its variant when the split changes") } else { format!("{name}, by hash alone") }
}

fn what(variant: &Variant) -> String {
    let prompt = match (&variant.prompt_name, &variant.prompt_version) {
        (Some(name), Some(version)) => Some(format!("{name}@{version}")),
        (name, _) => name.clone(),
    };
    let manifest = variant.manifest.as_ref().map(|id| format!("manifest {}", id.get(..12).unwrap_or(id)));
    let parameters = (!variant.parameters.is_empty()).then(|| Value::Object(variant.parameters.clone()).to_string());
    let value = variant.value.as_ref().map(ToString::to_string);
    [prompt, variant.model_name.clone(), manifest, parameters, value]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
}
