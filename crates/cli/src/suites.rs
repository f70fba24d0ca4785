//! The suites of the configuration as schedules: what `llmops serve` keeps up to date.

use llmops_api::page::{Page, PageQuery};
use llmops_api::prompts::{BumpMode, PushPrompt};
use llmops_api::runs::CreateRun;
use llmops_api::schedules::{Origin, Schedule, ScheduleSpec};
use llmops_api::{Client, ClientError, ErrorCode};
use llmops_domain::config::{Automatic, SuiteConfig};
use llmops_domain::prompt::PromptRef;
use llmops_domain::schedule::{Missed, Overlap};

use crate::commands::{Context, dataset, eval};
use crate::failure::{Failure, Outcome};
use crate::project::Project;

/// Makes a schedule of every suite that runs by itself, and removes those whose suite is gone. What cannot be scheduled is
/// told, and keeps nobody from the rest.
pub(crate) async fn keep_schedules(client: &Client, context: &Context, project: &Project) -> Outcome {
    let present = all_schedules(client).await?;
    let mut kept = Vec::new();
    for (name, suite) in &project.config.suites {
        match keep_schedule(client, context, project, (name, suite), &present).await {
            Ok(true) => kept.push(name.as_str()),
            Ok(false) => {}
            Err(failure) => {
                // A schedule that stands may still be right.
                kept.push(name.as_str());
                context.note(&format!("note: the suite `{name}` is not scheduled: {}", failure.chain.join(": ")));
            }
        }
    }
    for schedule in present.iter().filter(|s| s.spec.origin == Origin::Config) {
        let name = schedule.spec.name.as_str();
        if !kept.contains(&name) {
            unless_gone(client.delete_schedule(name).await)?;
            context.note(&format!("note: `{name}` is no longer scheduled"));
        }
    }
    Ok(())
}

async fn keep_schedule(
    client: &Client,
    context: &Context,
    project: &Project,
    (name, suite): (&str, &SuiteConfig),
    present: &[Schedule],
) -> Outcome<bool> {
    let Some(mut spec) = spec_of(context, project, (name, suite))? else { return Ok(false) };
    let before = present.iter().find(|schedule| schedule.spec.name == name);
    if before.is_some_and(|before| before.spec.origin == Origin::Api) {
        context.note(&format!("note: a schedule `{name}` was made by hand and stays; the suite's own is left out"));
        return Ok(false);
    }
    // Whoever paused it did not mean: until the next restart.
    spec.paused = before.is_some_and(|before| before.spec.paused);
    bring_what_is_missing(client, context, project, suite).await?;
    let schedule = client.put_schedule(&spec).await?;
    if before.is_none_or(|before| before.spec != schedule.spec)
        && let Some(next) = schedule.next_at
    {
        context.note(&format!("the suite `{name}` runs by itself, next at {}", next.strftime("%Y-%m-%d %H:%M:%S UTC")));
    }
    Ok(true)
}

/// The schedule of a suite that runs by itself.
pub(crate) fn spec_of(
    context: &Context,
    project: &Project,
    (name, suite): (&str, &SuiteConfig),
) -> Outcome<Option<ScheduleSpec>> {
    let (cron, every, timezone) = match project.config.automatic(suite) {
        Automatic::Cron { expression, timezone } => (Some(expression), None, timezone),
        Automatic::Every(interval) => (None, Some(interval), "UTC".to_owned()),
        Automatic::Off => return Ok(None),
        Automatic::Not(why) => {
            context.note(&format!("note: the suite `{name}` does not run by itself: {why}"));
            return Ok(None);
        }
    };
    Ok(Some(ScheduleSpec {
        name: name.to_owned(),
        origin: Origin::Config,
        paused: false,
        cron,
        every,
        timezone,
        jitter: llmops_domain::config::duration::HumanDuration::from_secs(0),
        overlap: Overlap::Skip,
        missed: Missed::RunOnce,
        run: Some(run_spec(project, (name, suite))?),
        task: None,
    }))
}

/// What a suite runs: the prompt that is active and the dataset that is newest when the time comes.
fn run_spec(project: &Project, (name, suite): (&str, &SuiteConfig)) -> Outcome<CreateRun> {
    let target = eval::target_spec(project, &suite.target)?;
    Ok(CreateRun {
        repeat: suite.repeat,
        limit: suite.limit.map(u64::from),
        ..eval::request(project, Some(name.to_owned()), target, &suite.dataset)?
    })
}

/// What a suite runs. What the server does not know yet is brought from the project's files.
pub(crate) async fn run_of(
    client: &Client,
    context: &Context,
    project: &Project,
    (name, suite): (&str, &SuiteConfig),
) -> Outcome<CreateRun> {
    bring_what_is_missing(client, context, project, suite).await?;
    run_spec(project, (name, suite))
}

async fn bring_what_is_missing(client: &Client, context: &Context, project: &Project, suite: &SuiteConfig) -> Outcome {
    let target = eval::target_spec(project, &suite.target)?;
    if let Some(reference) = &target.prompt {
        let reference: PromptRef = reference.parse().map_err(|e| Failure::usage(format!("{e}")))?;
        if is_missing(client.get_prompt(&reference.name).await)?
            && let Some(prompt) = project.prompt_file(&reference.name)?
        {
            client.push_prompt(&PushPrompt { prompt, bump: BumpMode::None, activate: true }).await?;
        }
    }
    if is_missing(client.get_dataset(&suite.dataset).await)? {
        dataset::build_one(client, context, project, &suite.dataset).await?;
    }
    Ok(())
}

/// All schedules, page after page.
pub(crate) async fn all_schedules(client: &Client) -> Outcome<Vec<Schedule>> {
    Ok(Page::all(|cursor| async move { client.list_schedules(&PageQuery::largest(cursor)).await }).await?)
}

fn is_missing<T>(found: Result<T, ClientError>) -> Outcome<bool> {
    match found {
        Ok(_) => Ok(false),
        Err(error) if error.code() == Some(ErrorCode::NotFound) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Replicas that start together remove the same.
fn unless_gone(removed: Result<(), ClientError>) -> Outcome {
    is_missing(removed).map(drop)
}
