//! `llmops provider`: the model providers of the configuration.

use clap::Subcommand;
use serde::Serialize;

use super::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::project::Project;
use crate::terminal::{self, Cell, Column, Tone};

/// Model providers of the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ProviderCommand {
    /// List the providers
    List,
    /// Ask a model one short question, to see that it answers
    Check {
        /// Models as provider/model; else those of the configured targets
        models: Vec<String>,
    },
}

#[derive(Debug, Serialize)]
struct Checked {
    model: String,
    ok: bool,
    latency_ms: Option<f64>,
    error: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: ProviderCommand) -> Outcome {
    let project = Project::require(&context.global, &context.ui)?;
    match command {
        ProviderCommand::List => context.show(&project.config.providers, || list(context, &project)),
        ProviderCommand::Check { models } => check(context, &project, models).await,
    }
}

fn list(context: &Context, project: &Project) -> String {
    let columns = [Column::text("provider"), Column::text("kind"), Column::text("")];
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
        models = project.config.targets.values().filter_map(|t| t.model.clone()).collect();
        models.dedup();
    }
    if models.is_empty() {
        return Err(Failure::usage("no target names a model: name one as provider/model"));
    }
    let ops = project.open(&context.global).await?;
    let mut checked = Vec::new();
    for model in models {
        let answered = match ops.providers().resolve(&model) {
            Ok(target) => ops.providers().check(&target).await,
            Err(error) => Err(error),
        };
        let (latency_ms, error) = match answered {
            Ok(answer) => (Some(answer.response.latency_ms), None),
            Err(error) => (None, Some(error.to_string())),
        };
        checked.push(Checked { model, ok: error.is_none(), latency_ms, error });
    }
    context.show(&checked, || {
        let columns = [Column::text("model"), Column::text("answers"), Column::number("ms"), Column::text("")];
        let rows = checked.iter().map(|c| {
            let ok = if c.ok { Cell::toned(Tone::Good, "yes") } else { Cell::toned(Tone::Bad, "no") };
            let ms = c.latency_ms.map(|ms| format!("{ms:.1}")).unwrap_or_default();
            let error = c.error.clone().unwrap_or_default();
            vec![Cell::toned(Tone::Plain, &c.model), ok, Cell::toned(Tone::Plain, ms), Cell::toned(Tone::Plain, error)]
        });
        terminal::table(context.ui.out, &columns, rows.collect())
    })?;
    if checked.iter().all(|c| c.ok) {
        return Ok(());
    }
    Err(Failure::new(Kind::Undecided, "some models do not answer"))
}
