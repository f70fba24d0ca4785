//! `llmops project`: tenants.

use clap::Subcommand;
use llmops_api::access::CreateProject;
use llmops_api::page::PageQuery;
use llmops_domain::id::ProjectId;

use super::{Context, More};
use crate::failure::Outcome;
use crate::project::Project;
use crate::terminal::{self, Cell, Column, Tone};

/// Projects: tenants, whose rows are apart.
#[derive(Debug, Subcommand)]
pub(crate) enum ProjectCommand {
    /// Make a project
    Create {
        /// Its id, which keys name
        id: String,
        /// What people call it; else the id
        #[arg(long)]
        name: Option<String>,
    },
    /// List the projects
    List {
        /// Where the page before ended
        #[arg(long)]
        cursor: Option<String>,
    },
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: ProjectCommand) -> Outcome {
    let client = Project::find(&context.global, &context.ui)?.client(&context.global).await?;
    match command {
        ProjectCommand::Create { id, name } => {
            let project = client.create_project(&CreateProject { id: ProjectId(id), name }).await?;
            context.show(&project, || {
                format!(
                    "{} is there: llmops key create NAME --project {} --role admin makes its first key",
                    project.id, project.id
                )
            })
        }
        ProjectCommand::List { cursor } => {
            let projects = client.list_projects(&PageQuery { cursor, limit: None }).await?;
            context.show_page(&projects, More::ByCursor, || {
                let columns = [Column::id("project"), Column::text("name"), Column::text("created (UTC)")];
                let rows = projects.items.iter().map(|project| {
                    let created = project.created_at.strftime("%Y-%m-%d %H:%M").to_string();
                    vec![Cell::toned(Tone::Strong, project.id.as_str()), Cell::from(&project.name), Cell::from(created)]
                });
                terminal::table(context.ui.out, &columns, rows.collect())
            })
        }
    }
}
