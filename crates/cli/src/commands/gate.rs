//! `llmops gate`: decide whether a run is good enough.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use llmops_api::Client;
use llmops_api::runs::{GateRequest, GetRunQuery, RunQuery};
use llmops_domain::gate::{GateReport, Verdict};
use llmops_domain::scorecard;

use super::eval::SCORES_FILE;
use super::{Context, json, remove_stale, write_file};
use crate::failure::{Failure, Kind, Outcome};
use crate::github::{self, GithubEnv};
use crate::mlflow::MlflowArgs;
use crate::project::Project;
use crate::terminal;

/// Longest wait for Slack.
const SLACK_TIMEOUT: Duration = Duration::from_secs(15);

/// Decide whether a run is good enough: against the baseline, or against fixed limits where there is none.
#[derive(Debug, Args)]
pub(crate) struct GateArgs {
    /// The run: an id, `latest`; else the newest run on the default suite's dataset
    run: Option<String>,
    /// The newest run of this suite
    #[arg(long, value_name = "NAME")]
    suite: Option<String>,
    /// Compare with this run instead of the baseline
    #[arg(long, value_name = "RUN")]
    baseline: Option<String>,
    /// What is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Also write a report; its kind follows from the ending (.md, .xml, .html, .json). Repeatable
    #[arg(long = "report", value_name = "FILE")]
    reports: Vec<PathBuf>,
    /// Post the scorecard: as one comment that later runs update, or to Slack. Repeatable
    #[arg(long = "comment", value_enum, value_name = "WHERE")]
    comments: Vec<Comment>,
    /// Where the scores go
    #[arg(long, short, value_name = "FILE", default_value = SCORES_FILE)]
    output: PathBuf,
    #[command(flatten)]
    mlflow: MlflowArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people
    Table,
    /// The scorecard as Markdown
    Markdown,
    /// The content of scores.json
    Json,
    /// JUnit XML
    Junit,
    /// A self-contained HTML page
    Html,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Comment {
    /// The pull request that GitHub Actions works on
    Github,
    /// The incoming webhook that the variable SLACK_WEBHOOK_URL names
    Slack,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &GateArgs) -> Outcome {
    let project = Project::find(&context.global, &context.ui)?;
    let client = project.reader(&context.global).await?;
    let id = match &args.run {
        Some(run) => run.clone(),
        None => newest_of_suite(context, &client, &project, args.suite.as_deref()).await?,
    };
    let request = request(&client, &project, args, &id).await?;
    let report = client.gate_run(&id, &request).await.map_err(Failure::of_unfinished)?;
    // The verdict is told whether the files can be written or not.
    let written = write_files(context, args, &report);
    let format = if context.global.json { Format::Json } else { args.format };
    context.print(&render(context, &report, format)?)?;
    for place in &args.comments {
        match place {
            Comment::Github => comment(context, &project, &report).await?,
            Comment::Slack => tell_slack(context, &report).await?,
        }
    }
    written?;
    finish(&report)
}

/// Writes the scores and the reports. Scores that nobody asked for may be missing, such as in a folder that may only be read.
fn write_files(context: &Context, args: &GateArgs, report: &GateReport) -> Outcome {
    match scorecard::scores_with_gate(report) {
        Some(scores) => match write_file(&args.output, &json(&scores)?) {
            Err(failure) if args.output == Path::new(SCORES_FILE) => {
                context.note(&format!("warning: {}", failure.chain.join(": ")));
            }
            written => written?,
        },
        None => remove_stale(context, &args.output),
    }
    for path in &args.reports {
        write_file(path, &render(context, report, format_of(path)?)?)?;
        context.note(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// The rules, and what the run is compared with: the run that was named, else MLflow's baseline where MLflow is used.
async fn request(client: &Client, project: &Project, args: &GateArgs, run: &str) -> Outcome<GateRequest> {
    let mut request =
        GateRequest { config: project.config.gate.clone(), baseline: args.baseline.clone(), ..GateRequest::default() };
    if let (Some(mlflow), None) = (args.mlflow.of(project), &args.baseline) {
        let run = client.get_run(run, &GetRunQuery { wait_ms: None, dataset: None }).await?;
        let found = mlflow.baseline(client, &run).await?;
        (request.baseline, request.reference) = (found.run, found.scores);
        request.notices.extend(found.notice);
    }
    Ok(request)
}

/// The newest run of the suite that was named. Without one, the newest on the default suite's dataset: whoever tries another
/// target there wants that run gated.
async fn newest_of_suite(
    context: &Context,
    client: &Client,
    project: &Project,
    named: Option<&str>,
) -> Outcome<String> {
    let (suite, dataset) = match project.config.suite(named) {
        Ok((suite, plan)) => (Some(suite), Some(plan.dataset)),
        // Without a suite the newest run of all is meant, unless a suite was asked for.
        Err(error) if named.is_some() => return Err(Failure::usage(error.to_string())),
        Err(_) => (None, None),
    };
    let query = RunQuery {
        dataset: dataset.clone(),
        suite: suite.clone().filter(|_| named.is_some()),
        limit: Some(1),
        ..RunQuery::default()
    };
    if let Some(run) = client.list_runs(&query).await?.items.pop() {
        if let (Some(wanted), Some(of)) = (&suite, run.spec.suite.as_ref().filter(|of| Some(*of) != suite.as_ref())) {
            context.note(&format!("note: the newest run is of the suite `{of}`; --suite {wanted} gates that one's"));
        }
        return Ok(run.id.0);
    }
    if let Some(suite) = named {
        return Err(Failure::usage(format!("there is no run of the suite `{suite}` on its dataset"))
            .hint(format!("llmops eval {suite}")));
    }
    // The answer to a missing run is the API's, with its hint.
    Ok(client.get_run("latest", &GetRunQuery { wait_ms: None, dataset }).await?.id.0)
}

fn format_of(path: &Path) -> Outcome<Format> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("md") => Ok(Format::Markdown),
        Some("xml") => Ok(Format::Junit),
        Some("html" | "htm") => Ok(Format::Html),
        Some("json") => Ok(Format::Json),
        _ => Err(Failure::usage(format!("{}: what kind of report is this?", path.display()))
            .hint("the ending decides: .md, .xml (JUnit), .html or .json")),
    }
}

fn render(context: &Context, report: &GateReport, format: Format) -> Outcome<String> {
    Ok(match format {
        Format::Table => terminal::gate(context.ui.out, report),
        Format::Markdown => scorecard::markdown(report),
        Format::Junit => scorecard::junit(report),
        Format::Html => scorecard::html(report),
        Format::Json => match scorecard::scores_with_gate(report) {
            Some(scores) => json(&scores)?,
            None => json(report)?,
        },
    })
}

async fn comment(context: &Context, project: &Project, report: &GateReport) -> Outcome {
    let env = GithubEnv::from_vars(|name| std::env::var(name).ok());
    let text = scorecard::markdown_of_project(&project.config.project, report);
    let outcome = github::publish(&crate::http::client()?, &env, &text).await;
    match outcome {
        Ok(outcome) => context.note(&outcome.to_string()),
        // The verdict stands whether it could be posted or not: tokens that may only read are common.
        Err(error) => {
            let failure = Failure::because(Kind::Undecided, "the scorecard could not be posted", &error);
            context.note(&format!("warning: {}", failure.chain.join(": ")));
        }
    }
    Ok(())
}

/// Sends the scorecard to Slack. The verdict stands whether it arrives or not.
async fn tell_slack(context: &Context, report: &GateReport) -> Outcome {
    let Some(url) = std::env::var("SLACK_WEBHOOK_URL").ok().filter(|url| !url.is_empty()) else {
        context.note("warning: nothing was sent to Slack: SLACK_WEBHOOK_URL is not set");
        return Ok(());
    };
    let request = crate::http::client()?.post(url).timeout(SLACK_TIMEOUT).json(&scorecard::slack(report));
    // The address is a secret.
    match request.send().await.map_err(reqwest::Error::without_url) {
        Ok(answer) if answer.status().is_success() => context.note("sent the scorecard to Slack"),
        Ok(answer) => {
            let status = answer.status();
            let said: String = answer.text().await.unwrap_or_default().chars().take(200).collect();
            context.note(&format!("warning: Slack did not take the scorecard: {status} {said}"));
        }
        Err(error) => {
            let failure = Failure::because(Kind::Undecided, "the scorecard could not be sent to Slack", &error);
            context.note(&format!("warning: {}", failure.chain.join(": ")));
        }
    }
    Ok(())
}

fn finish(report: &GateReport) -> Outcome {
    let kind = match report.verdict.exit_code(report.config.fail_on_inconclusive) {
        0 => return Ok(()),
        1 => Kind::No,
        _ => Kind::Undecided,
    };
    let said = match (report.verdict, kind) {
        (Verdict::Inconclusive, Kind::No) => "the gate is inconclusive, which counts as failed here",
        (Verdict::Inconclusive, _) => "the gate is inconclusive",
        _ => "the gate failed",
    };
    Err(Failure::new(kind, said))
}
