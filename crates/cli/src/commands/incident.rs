//! `llmops incident`: something is wrong with a deployment.

use std::path::PathBuf;

use clap::Subcommand;
use llmops_api::incidents::{AddNote, CloseIncident, ClosedIncident, OpenIncident, OpenedIncident};
use llmops_domain::deployment::DEFAULT_ENVIRONMENT;
use llmops_domain::incident::{Incident, IncidentFilter, Timeline, TimelineKind};
use llmops_domain::scorecard::format::count;

use super::{Context, More};
use crate::failure::{Failure, Kind, Outcome};
use crate::project::Project;
use crate::terminal::{self, Cell, Column, Tone};

/// Something is wrong with a deployment: freeze it, look into it, learn from it.
#[derive(Debug, Subcommand)]
pub(crate) enum IncidentCommand {
    /// Open an incident: nothing is promoted to the deployment until it is closed
    Open {
        /// The deployment
        name: String,
        /// Its environment
        #[arg(long, short, value_name = "NAME", default_value = "production")]
        environment: String,
        /// What is wrong, in a sentence
        #[arg(long, value_name = "TEXT")]
        title: Option<String>,
        /// Switch the safe mode on
        #[arg(long, conflicts_with = "rollback")]
        safe_mode: bool,
        /// The fixed answer of the safe mode, where none is prepared
        #[arg(long, value_name = "TEXT", requires = "safe_mode")]
        answer: Option<String>,
        /// Let the manifest before the present one answer again
        #[arg(long)]
        rollback: bool,
    },
    /// List incidents, newest first
    List {
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// Show what happened around an incident: changes, alerts, calls, complaints, notes
    Show {
        /// Its id, a beginning of it, or the deployment whose incident is open
        which: String,
    },
    /// Write something down
    Note {
        /// Its id, a beginning of it, or the deployment whose incident is open
        which: String,
        /// What
        text: String,
    },
    /// Close an incident: a draft of the post-mortem, and a regression dataset of the inputs that failed
    Close {
        /// Its id, a beginning of it, or the deployment whose incident is open
        which: String,
        /// How it was resolved
        #[arg(long, value_name = "TEXT")]
        resolution: Option<String>,
        /// The dataset; else one named after the incident
        #[arg(long, value_name = "NAME")]
        dataset: Option<String>,
        /// Write the post-mortem to this file; else to standard output
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: IncidentCommand) -> Outcome {
    let client = Project::find(&context.global, &context.ui)?.client(&context.global).await?;
    match command {
        IncidentCommand::Open { name, environment, title, safe_mode, answer, rollback } => {
            let environment = Some(environment);
            let request = OpenIncident { deployment: name, environment, title, safe_mode, answer, rollback };
            let opened = client.open_incident(&request).await?;
            context.show(&opened, || told(&opened))?;
            if opened.failed.is_empty() {
                return Ok(());
            }
            let failure = Failure::new(Kind::No, "the incident is open, and not everything could be done at once");
            Err(failure.problems(opened.failed))
        }
        IncidentCommand::List { limit } => {
            let page =
                client.list_incidents(&IncidentFilter { limit: Some(limit), ..IncidentFilter::default() }).await?;
            context.show_page(&page, More::ByLimit, || list(context, &page.items))
        }
        IncidentCommand::Show { which } => {
            let timeline = client.incident_timeline(&which).await?;
            context.show(&timeline, || show(context, &timeline))
        }
        IncidentCommand::Note { which, text } => {
            let incident = client.note_incident(&which, &AddNote { text }).await?;
            context.show(&incident, || format!("{} has {} notes", incident.id, incident.notes.len()))
        }
        IncidentCommand::Close { which, resolution, dataset, output } => {
            let closed = client.close_incident(&which, &CloseIncident { resolution, dataset }).await?;
            close(context, &closed, output)
        }
    }
}

fn told(opened: &OpenedIncident) -> String {
    let incident = &opened.incident;
    let mut text = format!(
        "{} is open: nothing is promoted to {} in {} until `llmops incident close {}`",
        incident.id, incident.deployment, incident.environment, incident.deployment
    );
    for measure in &incident.measures {
        text += &match measure {
            llmops_domain::incident::Measure::SafeMode => "\nthe safe mode answers".to_owned(),
            llmops_domain::incident::Measure::Rollback { from, to } => {
                format!("\n{to} answers again, instead of {from}")
            }
            llmops_domain::incident::Measure::ExperimentPaused { experiment } => {
                format!("\nthe experiment {experiment} of a release gets no further users until then")
            }
            llmops_domain::incident::Measure::CanaryAborted { canary } => format!("\nthe canary {canary} is aborted"),
            llmops_domain::incident::Measure::CanaryPaused { canary } => format!("\nthe canary {canary} is paused"),
        };
    }
    for notice in &opened.notices {
        text += &format!("\nnote: {notice}");
    }
    text
}

fn list(context: &Context, incidents: &[Incident]) -> String {
    const COLUMNS: [Column; 6] = [
        Column::id("incident"),
        Column::text("deployment"),
        Column::text("opened (UTC)").optional(),
        Column::text("closed (UTC)"),
        Column::text("what"),
        Column::text("dataset").optional(),
    ];
    if incidents.is_empty() {
        return "There are no incidents. `llmops incident open NAME` opens one.".to_owned();
    }
    let minute = |at: jiff::Timestamp| at.strftime("%Y-%m-%d %H:%M").to_string();
    let rows = incidents.iter().map(|incident| {
        vec![
            Cell::toned(Tone::Strong, incident.id.as_str()),
            format!("{} in {}", incident.deployment, incident.environment).into(),
            minute(incident.opened_at).into(),
            match incident.closed_at {
                Some(at) => minute(at).into(),
                None => Cell::toned(Tone::Warn, "open"),
            },
            incident.title.as_deref().unwrap_or_default().into(),
            incident.dataset.as_deref().unwrap_or_default().into(),
        ]
    });
    terminal::table(context.ui.out, &COLUMNS, rows.collect())
}

fn show(context: &Context, timeline: &Timeline) -> String {
    const COLUMNS: [Column; 4] =
        [Column::text("when (UTC)"), Column::text("kind"), Column::text("what"), Column::text("by")];
    let rows = timeline.entries.iter().map(|entry| {
        let (kind, tone) = match entry.kind {
            TimelineKind::Change => ("change", Tone::Strong),
            TimelineKind::Alert => ("alert", Tone::Warn),
            TimelineKind::Calls => ("calls", Tone::Plain),
            TimelineKind::Feedback => ("feedback", Tone::Plain),
            TimelineKind::Note => ("note", Tone::Plain),
        };
        vec![
            entry.at.strftime("%m-%d %H:%M:%S").to_string().into(),
            Cell::toned(tone, kind),
            (&entry.text).into(),
            entry.by.as_deref().unwrap_or_default().into(),
        ]
    });
    let title = format!("{} {}\n\n", timeline.incident.id, timeline.incident.name());
    title + &terminal::table(context.ui.out, &COLUMNS, rows.collect())
}

fn still_safe(incident: &Incident) -> String {
    let (name, environment) = (&incident.deployment, &incident.environment);
    let place =
        if environment == DEFAULT_ENVIRONMENT { String::new() } else { format!(" --environment {environment}") };
    format!(
        "note: the safe mode of {name} in {environment} is still on; `llmops safe-mode {name} off{place}` lets {name} answer \
         again"
    )
}

fn close(context: &Context, closed: &ClosedIncident, output: Option<PathBuf>) -> Outcome {
    let incident = &closed.timeline.incident;
    let text = incident.post_mortem.clone().unwrap_or_default();
    let dataset = match &incident.dataset {
        Some(name) => {
            let more = match closed.left_out {
                0 => String::new(),
                more => format!("; those of {} are left out", count(more, "more failing call")),
            };
            format!(
                "dataset {name} has {} that failed, {} with a right answer{more}",
                count(closed.samples, "input"),
                closed.with_answer
            )
        }
        None if closed.without_text == 0 => "no call failed meanwhile".to_owned(),
        None => format!("{} failed, and the text of none was kept", count(closed.without_text, "call")),
    };
    context.note(&format!("{} is closed; {dataset}", incident.id));
    if let Some(name) = &incident.dataset {
        context.note(&format!(
            "`llmops eval --dataset {name}` asks them again; `llmops dataset pull {name}` writes them to a file"
        ));
    }
    if closed.safe_mode {
        context.note(&still_safe(incident));
    }
    if let Some(path) = output {
        super::write_file(&path, &text)?;
        context.note(&format!("wrote {}", path.display()));
        return if context.global.json { context.show(closed, String::new) } else { Ok(()) };
    }
    context.show(closed, || text)
}
