//! `llmops provider`: the model providers of the configuration.

use clap::Subcommand;
use llmops_api::models::{CheckModels, SetModelScore};
use llmops_domain::verifier::{ModelStatus, ScoreSource};

use super::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::project::Project;
use crate::terminal::{self, Cell, Column, Tone};

/// Model providers of the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ProviderCommand {
    /// List the providers
    List,
    /// Ask models one short question each; show health, score and price
    Check {
        /// Models as provider/model; else those of the configured targets
        models: Vec<String>,
    },
    /// Set a model's score by hand, in place of what runs measure
    Score {
        /// The model, as provider/model
        model: String,
        /// The score, 0 to 1
        #[arg(required_unless_present = "clear")]
        score: Option<f64>,
        /// Forget the score that was set
        #[arg(long, conflicts_with = "score")]
        clear: bool,
    },
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: ProviderCommand) -> Outcome {
    let project = Project::require(&context.global, &context.ui)?;
    match command {
        ProviderCommand::List => context.show(&project.config.providers, || list(context, &project)),
        ProviderCommand::Check { models } => check(context, &project, models).await,
        ProviderCommand::Score { model, score, .. } => {
            let client = project.client(&context.global).await?;
            let status = client.set_model_score(&SetModelScore { model, score }).await?;
            context.show(&status, || statuses(context, std::slice::from_ref(&status)))
        }
    }
}

fn list(context: &Context, project: &Project) -> String {
    let columns = [Column::id("provider"), Column::text("kind"), Column::text("")];
    let rows = project.config.providers.iter().map(|(name, provider)| {
        let kind = serde_json::to_value(provider).ok();
        let kind = kind.as_ref().and_then(|v| v["kind"].as_str()).unwrap_or("").to_owned();
        let unset = project.config.unset_variables.get(name);
        let note = unset.map(|variables| format!("{} is not set", variables.join(", "))).unwrap_or_default();
        vec![Cell::toned(Tone::Strong, name), Cell::toned(Tone::Plain, kind), Cell::toned(Tone::Warn, note)]
    });
    terminal::table(context.ui.out, &columns, rows.collect())
}

async fn check(context: &Context, project: &Project, mut models: Vec<String>) -> Outcome {
    if models.is_empty() {
        let targets = project.config.targets.values();
        models = targets.flat_map(|t| t.model.iter().chain(&t.candidates)).cloned().collect();
        models.sort();
        models.dedup();
    }
    if models.is_empty() {
        return Err(Failure::usage("no target names a model: name one as provider/model"));
    }
    let client = project.client(&context.global).await?;
    let checked = client.check_models(&CheckModels { models }).await?;
    context.show(&checked, || statuses(context, &checked.items))?;
    if checked.items.iter().all(answers) {
        return Ok(());
    }
    Err(Failure::new(Kind::Undecided, "some models do not answer"))
}

/// Whether the last call was answered.
fn answers(status: &ModelStatus) -> bool {
    status.health.calls > 0 && status.health.failures_in_a_row == 0
}

fn statuses(context: &Context, statuses: &[ModelStatus]) -> String {
    let columns = [
        Column::id("model"),
        Column::text("answers"),
        Column::number("ms"),
        Column::number("errors"),
        Column::text("score"),
        Column::text("USD per million tokens"),
        Column::text(""),
    ];
    let rows = statuses.iter().map(|status| {
        let health = &status.health;
        let ok = match health.calls {
            0 => Cell::toned(Tone::Faint, "not asked"),
            _ if answers(status) => Cell::toned(Tone::Good, "yes"),
            _ => Cell::toned(Tone::Bad, "no"),
        };
        let error = health.last_error.clone().filter(|_| !answers(status)).unwrap_or_default();
        vec![
            Cell::toned(Tone::Strong, &status.model),
            ok,
            health.latency_ms.map(|ms| format!("{ms:.1}")).unwrap_or_default().into(),
            format!("{:.0} %", health.error_rate * 100.0).into(),
            score(status).into(),
            status.price.map(|price| format!("{} in, {} out", price.input, price.output)).unwrap_or_default().into(),
            error.into(),
        ]
    });
    terminal::table(context.ui.out, &columns, rows.collect())
}

fn score(status: &ModelStatus) -> String {
    let Some(score) = &status.score else { return String::new() };
    match (score.source, score.n, score.interval) {
        (ScoreSource::User, ..) => format!("{:.3} (set)", score.score),
        (ScoreSource::Run, Some(n), Some([lower, upper])) => {
            format!("{:.3} ({lower:.3} to {upper:.3}, n {n})", score.score)
        }
        (ScoreSource::Run, ..) => format!("{:.3}", score.score),
    }
}
