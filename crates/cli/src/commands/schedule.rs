//! `llmops schedule`: runs that start by themselves.

use clap::{Args, Subcommand, ValueEnum};
use llmops_api::Client;
use llmops_api::feedback::{ReportQuery, SendReport};
use llmops_api::page::PageQuery;
use llmops_api::runs::CreateRun;
use llmops_api::schedules::{Origin, Preview, PreviewQuery, Schedule, ScheduleSpec, ScheduledTask};
use llmops_domain::config::duration::HumanDuration;
use llmops_domain::schedule::{Missed, Overlap, Timetable};

use super::Context;
use crate::failure::{Failure, Outcome};
use crate::project::Project;
use crate::{suites, terminal};

/// Runs that start by themselves.
#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// List schedules and their next runs
    List,
    /// Show a schedule and what came of it
    Show {
        /// The schedule
        name: String,
        /// How many firings
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// Make a schedule, or replace the one of its name
    Add(AddArgs),
    /// Keep a schedule from firing
    Pause {
        /// The schedule
        name: String,
    },
    /// Let a paused schedule fire again, from its next time on
    Resume {
        /// The schedule
        name: String,
    },
    /// Fire a schedule now; a server or worker makes the run
    Run {
        /// The schedule
        name: String,
    },
    /// Remove a schedule; its runs stay
    Remove {
        /// The schedule
        name: String,
    },
    /// Show when a schedule fires next, or when an expression would
    Preview {
        /// The schedule
        #[arg(required_unless_present = "cron")]
        name: Option<String>,
        /// A cron expression instead
        #[arg(long, value_name = "EXPRESSION", conflicts_with = "name")]
        cron: Option<String>,
        /// The expression's time zone
        #[arg(long, value_name = "ZONE", requires = "cron", default_value = "UTC")]
        timezone: String,
        /// How many
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
        count: u32,
    },
}

/// A schedule to make.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Its name
    name: String,
    /// The suite of the configuration to run; else the one of the schedule's name, else `default` or the only one
    #[arg(long, value_name = "SUITE")]
    suite: Option<String>,
    /// Instead: send the report on feedback to this channel
    #[arg(long, value_name = "CHANNEL", conflicts_with_all = ["suite", "rehearse"])]
    report: Option<String>,
    /// Days of the report
    #[arg(long, value_name = "N", requires = "report", value_parser = clap::value_parser!(u32).range(1..=366))]
    days: Option<u32>,
    /// Instead: check that the earlier manifests of this deployment could take over, such as once a quarter: --cron '0 3 1 */3 *'
    #[arg(long, value_name = "DEPLOYMENT", conflicts_with = "suite")]
    rehearse: Option<String>,
    /// When: five fields such as `0 3 * * 1-5`, or @hourly, @daily, @weekly, @monthly, @yearly
    #[arg(long, value_name = "EXPRESSION", required_unless_present = "every")]
    cron: Option<String>,
    /// Instead: at equal distances, such as 6h
    #[arg(long, value_name = "DURATION", conflicts_with = "cron")]
    every: Option<HumanDuration>,
    /// Time zone of the expression, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    timezone: String,
    /// Start later by up to this, so that schedules of the same time spread
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    jitter: HumanDuration,
    /// When the run before is not over
    #[arg(long, value_enum, default_value_t = OverlapArg::Skip)]
    overlap: OverlapArg,
    /// When nobody was there to run it
    #[arg(long, value_enum, default_value_t = MissedArg::Skip)]
    missed: MissedArg,
    /// Make it paused
    #[arg(long)]
    paused: bool,
}

/// The overlap policy as it is typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum OverlapArg {
    /// Leave it out
    Skip,
    /// Wait for the end of the one before
    Queue,
}

/// The policy for missed firings as it is typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum MissedArg {
    /// Leave them out
    Skip,
    /// Make up for the last one
    RunOnce,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: ScheduleCommand) -> Outcome {
    let project = Project::find(&context.global, &context.ui)?;
    let look = context.ui.out;
    if let ScheduleCommand::Preview { cron: Some(cron), timezone, count, .. } = &command {
        let table = Timetable::cron(cron, timezone).map_err(|e| Failure::usage(e.to_string()).hint(e.hint()))?;
        let firings = table.preview(llmops_domain::clock::now(), *count as usize);
        let preview = Preview { timezone: timezone.clone(), firings };
        return context.show(&preview, || terminal::preview(&preview));
    }
    let client = project.client(&context.global).await?;
    match command {
        ScheduleCommand::List => {
            let schedules = suites::all_schedules(&client).await?;
            context.show(&schedules, || terminal::schedules(look, &schedules))
        }
        ScheduleCommand::Show { name, limit } => {
            let schedule = client.get_schedule(&name).await?;
            let page = client.list_firings(&name, &PageQuery { cursor: None, limit: Some(limit) }).await?;
            let shown = serde_json::json!({"schedule": schedule, "firings": page.items});
            context.show(&shown, || terminal::schedule(look, &schedule, &page.items))
        }
        ScheduleCommand::Add(args) => {
            let schedule = add(&client, context, &project, args).await?;
            context.show(&schedule, || next(&schedule))
        }
        ScheduleCommand::Pause { name } => {
            let schedule = client.pause_schedule(&name).await?;
            context.show(&schedule, || format!("{name} is paused"))
        }
        ScheduleCommand::Resume { name } => {
            let schedule = client.resume_schedule(&name).await?;
            context.show(&schedule, || next(&schedule))
        }
        ScheduleCommand::Run { name } => {
            let firing = client.run_schedule(&name).await?;
            if client.is_local() {
                context.note("note: `llmops serve` or `llmops worker` on this store makes the run");
            }
            context.show(&firing, || format!("{name} fires now; `llmops schedule show {name}` tells what came of it"))
        }
        ScheduleCommand::Remove { name } => {
            client.delete_schedule(&name).await?;
            context.note(&format!("{name} is removed; its runs stay"));
            Ok(())
        }
        ScheduleCommand::Preview { name, count, .. } => {
            let query = PreviewQuery { count: Some(count) };
            let preview = client.preview_schedule(&name.unwrap_or_default(), &query).await?;
            context.show(&preview, || terminal::preview(&preview))
        }
    }
}

async fn add(client: &Client, context: &Context, project: &Project, mut args: AddArgs) -> Outcome<Schedule> {
    // Before anything is said about what it runs.
    if let Some(cron) = &args.cron {
        Timetable::cron(cron, &args.timezone).map_err(|e| Failure::usage(e.to_string()).hint(e.hint()))?;
    }
    let (run, task) = match (args.report.take(), args.rehearse.take()) {
        (Some(channel), _) => {
            let report = ReportQuery { days: args.days, ..ReportQuery::default() };
            (None, Some(ScheduledTask::FeedbackReport(SendReport { channel, report })))
        }
        (None, Some(deployment)) => (None, Some(ScheduledTask::Rehearsal { deployment, environment: None })),
        (None, None) => (Some(suite_run(client, context, project, &args).await?), None),
    };
    let spec = spec_of(args, run, task);
    Ok(client.put_schedule(&spec).await?)
}

/// The run of the suite that is meant.
async fn suite_run(client: &Client, context: &Context, project: &Project, args: &AddArgs) -> Outcome<CreateRun> {
    let named =
        args.suite.as_deref().or_else(|| project.config.suites.get_key_value(&args.name).map(|(n, _)| n.as_str()));
    let (suite, plan) = project.config.suite(named).map_err(|e| Failure::usage(e.to_string()))?;
    let run = suites::run_of(client, context, project, (&suite, &plan)).await?;
    if run.scoring.max_judge_cost.is_none() && run.scoring.metrics.values().any(|m| m.scorer.is_judged()) {
        context.note("warning: its judges cost money each time, and scoring.max_judge_cost sets no limit");
    }
    Ok(run)
}

fn spec_of(args: AddArgs, run: Option<CreateRun>, task: Option<ScheduledTask>) -> ScheduleSpec {
    ScheduleSpec {
        name: args.name,
        origin: Origin::Api,
        paused: args.paused,
        cron: args.cron,
        every: args.every,
        timezone: args.timezone,
        jitter: args.jitter,
        overlap: match args.overlap {
            OverlapArg::Skip => Overlap::Skip,
            OverlapArg::Queue => Overlap::Queue,
        },
        missed: match args.missed {
            MissedArg::Skip => Missed::Skip,
            MissedArg::RunOnce => Missed::RunOnce,
        },
        run,
        task,
    }
}

fn next(schedule: &Schedule) -> String {
    let name = &schedule.spec.name;
    match schedule.next_at {
        Some(next) => format!("{name} fires next at {}", next.strftime("%Y-%m-%d %H:%M:%S UTC")),
        None => format!("{name} is paused"),
    }
}
