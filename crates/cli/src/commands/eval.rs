//! `llmops eval`: evaluate a target on a dataset.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use llmops_api::prompts::{BumpMode, PushPrompt};
use llmops_api::runs::{CreateRun, GetRunQuery, RunQuery, TargetSpec};
use llmops_api::{Client, ClientError, ErrorCode};
use llmops_domain::prompt::{PromptRef, PromptSelector};
use llmops_domain::run::{EvaluationRun, JUDGE_BUDGET, RunStatus, SampleSelection};
use llmops_domain::scorecard;

use super::deployment::named_manifest;
use super::{Context, dataset, json, remove_stale, write_file};
use crate::failure::{Failure, Kind, Outcome};
use crate::mlflow::MlflowArgs;
use crate::models;
use crate::project::Project;
use crate::terminal;

/// Name of the file with the scores.
pub(crate) const SCORES_FILE: &str = "scores.json";
/// How long one look at a run waits for its end.
const LOOK: Duration = Duration::from_millis(100);
/// How long a server that is away is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// Evaluate a target on a dataset.
#[derive(Debug, Default, Args)]
pub(crate) struct EvalArgs {
    /// The suite of the configuration; else the one called `default`, or the only one
    suite: Option<String>,
    /// Another dataset: of the configuration, or of the server, such as what a canary or an incident collected
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Another target of the configuration
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Another prompt than the target's: NAME, NAME@VERSION or NAME@HASH
    #[arg(long, value_name = "PROMPT")]
    prompt: Option<String>,
    /// Another model than the target's
    #[arg(long, value_name = "PROVIDER/MODEL")]
    model: Option<String>,
    /// Exactly this manifest instead of the target: a JSON file, or the beginning of a stored one's hash. All samples are
    /// evaluated, whatever limit the suite has, so that the gate on it lets the manifest go live
    #[arg(long, value_name = "FILE|HASH", conflicts_with_all = ["prompt", "model", "target"])]
    manifest: Option<String>,
    /// Trials per sample
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: Option<u32>,
    /// Only samples of this category; repeatable
    #[arg(long = "category", value_name = "NAME")]
    categories: Vec<String>,
    /// Only samples whose id or question matches this regular expression
    #[arg(long, value_name = "REGEX")]
    pattern: Option<String>,
    /// Only samples that did not pass in this run, or in the `latest`
    #[arg(long, value_name = "RUN")]
    failing: Option<String>,
    /// Only the first samples, of those that the options above choose
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Go on with a run that stopped, as it began: the newest unfinished one, or the one named
    #[arg(long, value_name = "RUN", num_args = 0..=1, default_missing_value = "", require_equals = true,
        conflicts_with_all = ["suite", "dataset", "target", "prompt", "model", "manifest", "repeat", "limit",
            "categories", "pattern", "failing", "no_cache", "tags"])]
    resume: Option<String>,
    /// Ask the provider even what was asked before, and keep the new answers
    #[arg(long)]
    no_cache: bool,
    /// Where the scores go
    #[arg(long, short, value_name = "FILE", default_value = SCORES_FILE)]
    output: PathBuf,
    /// A tag for the run, as key=value; repeatable
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = key_value)]
    tags: Vec<(String, String)>,
    #[command(flatten)]
    mlflow: MlflowArgs,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &EvalArgs) -> Outcome {
    let project = Project::require(&context.global, &context.ui)?;
    // Before anything is asked and paid for.
    if let Some(folder) = args.output.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        let output = args.output.display();
        return Err(Failure::usage(format!("{output} cannot be written: there is no folder {}", folder.display())));
    }
    let client = project.client(&context.global).await?;
    let run = match &args.resume {
        Some(named) => resume(&client, context, &project, named).await?,
        None => start(&client, context, &project, args).await?,
    };
    let run = follow(&client, context, run).await?;
    // The scores first: nothing that MLflow says takes them away.
    let reported = report(context, args, &run);
    let logged = match args.mlflow.of(&project) {
        Some(mlflow) => mlflow.log(context, &client, &run).await,
        None => Ok(()),
    };
    reported.and(logged)
}

/// Starts a suite's run as this command does, and does not wait for it.
pub(crate) async fn begin(
    client: &Client,
    context: &Context,
    project: &Project,
    suite: Option<String>,
) -> Outcome<EvaluationRun> {
    start(client, context, project, &EvalArgs { suite, ..EvalArgs::default() }).await
}

/// Goes on with a run as it began. Where the scoring is another by now, only a run that was named: who mended the scoring wants it
/// used.
async fn resume(client: &Client, context: &Context, project: &Project, named: &str) -> Outcome<EvaluationRun> {
    let run = if named.is_empty() {
        let newest = client.list_runs(&RunQuery { limit: Some(50), ..RunQuery::default() }).await?.items;
        if newest.is_empty() {
            return Err(Failure::usage("there is no run yet: there is nothing to resume").hint("llmops eval makes one"));
        }
        let unfinished = newest.into_iter().find(|run| run.status != RunStatus::Completed);
        unfinished.ok_or_else(|| Failure::usage("every run is completed: there is nothing to resume"))?
    } else {
        client.get_run(named, &GetRunQuery::default()).await?
    };
    if let Some(what) = rescored(project, &run)? {
        let said = format!("{what} since the run {} began, and a run is scored as it began", run.id);
        if named.is_empty() {
            return Err(Failure::usage(said).hint(format!(
                "`llmops eval` begins a new run: what was answered is not asked again. `llmops eval --resume={}` goes on with \
                 the old scoring",
                run.id
            )));
        }
        context.note(&format!("note: {said}; `llmops eval` begins a new one"));
    }
    let run = client.start_run(run.id.as_str()).await?;
    context.note(&format!("resuming {}: {} of {} trials are done", run.id, run.progress.done, run.progress.total));
    Ok(run)
}

async fn start(client: &Client, context: &Context, project: &Project, args: &EvalArgs) -> Outcome<EvaluationRun> {
    let (suite, plan) = match (&args.target, &args.dataset) {
        // Both are named: no suite is needed.
        (Some(target), Some(dataset)) if args.suite.is_none() => {
            let plan = llmops_domain::config::SuiteConfig {
                target: target.clone(),
                dataset: dataset.clone(),
                repeat: 1,
                limit: None,
                schedule: None,
                timezone: None,
            };
            (None, plan)
        }
        _ => {
            let (name, plan) =
                project.config.suite(args.suite.as_deref()).map_err(|e| Failure::usage(e.to_string()))?;
            (Some(name), plan)
        }
    };
    let target_name = args.target.clone().unwrap_or(plan.target);
    let dataset_name = args.dataset.clone().unwrap_or(plan.dataset);
    let target = match &args.manifest {
        Some(named) => {
            let (manifest, manifest_hash) = named_manifest(named)?;
            TargetSpec { name: target_name, manifest, manifest_hash, ..TargetSpec::default() }
        }
        None => push_target(client, context, project, with_parts(project, &target_name, args)?).await?,
    };
    let planned = plan.limit.map(u64::from).filter(|_| args.manifest.is_none());
    if let (Some(limit), None) = (plan.limit, planned) {
        context.note(&format!("note: all samples are evaluated, not the first {limit} as the suite says"));
    }
    let request = CreateRun {
        dataset: dataset_version(client, context, project, &dataset_name).await?,
        repeat: args.repeat.unwrap_or(plan.repeat),
        limit: args.limit.or(planned),
        only: Some(SampleSelection {
            categories: args.categories.clone(),
            pattern: args.pattern.clone(),
            failing: args.failing.clone(),
            ids: None,
        })
        .filter(|only| !only.is_all()),
        cache: !args.no_cache,
        tags: args.tags.iter().cloned().collect(),
        metadata: metadata(),
        ..request(project, suite, target, &dataset_name)?
    };
    if client.is_local() {
        models::fetch(context, project, &request.scoring).await?;
    }
    Ok(client.create_run(&request).await?)
}

/// The version that is asked: what the file of the configuration says; of a dataset that has none, the newest that the server
/// keeps.
async fn dataset_version(client: &Client, context: &Context, project: &Project, name: &str) -> Outcome<String> {
    if !project.config.datasets.contains_key(name) {
        let kept = dataset::kept_dataset(client, project, name).await?;
        return Ok(format!("{name}@{}", kept.version.as_ref().map_or("latest", |version| version.as_str())));
    }
    let built = dataset::build_one(client, context, project, name).await?;
    let unpulled = dataset::pull::unpulled(client, project, name).await?;
    if let Some(note) = dataset::pull::note(&unpulled, name) {
        context.note(&format!("note: {note}"));
    }
    Ok(format!("{name}@{}", built.version.version))
}

/// A run of a target on a dataset's newest version, scored as the configuration says.
pub(crate) fn request(
    project: &Project,
    suite: Option<String>,
    target: TargetSpec,
    dataset: &str,
) -> Outcome<CreateRun> {
    let scoring = project.config.scoring_spec().map_err(|e| Failure::usage(e.to_string()))?;
    let config = project.config.datasets.get(dataset);
    Ok(CreateRun {
        name: None,
        description: None,
        suite,
        target,
        dataset: dataset.to_owned(),
        category_weights: config.map(|c| c.category_weights().into_iter().collect()).unwrap_or_default(),
        scoring: scoring.spec,
        repeat: 1,
        limit: None,
        only: None,
        cache: true,
        start: true,
        tags: std::collections::BTreeMap::new(),
        metadata: std::collections::BTreeMap::new(),
        notices: scoring.notices,
    })
}

/// What of the scoring is another in the configuration than in the run, where anything is. What a run resolves (pinned prompts,
/// scaled weights, metrics left out with a notice) is no change.
fn rescored(project: &Project, run: &EvaluationRun) -> Outcome<Option<String>> {
    let now = project.config.scoring_spec().map_err(|e| Failure::usage(e.to_string()))?.spec;
    let began = &run.spec.scoring;
    let is_told =
        |name: &str| run.spec.notices.iter().any(|notice| notice.starts_with(&format!("`{name}` is left out")));
    for (name, metric) in &now.metrics {
        match began.metrics.get(name) {
            None if is_told(name) => {}
            None => return Ok(Some(format!("the metric `{name}` is new"))),
            Some(was) if was.scorer.kind() != metric.scorer.kind() || was.threshold != metric.threshold => {
                return Ok(Some(format!("the metric `{name}` was changed")));
            }
            Some(_) => {}
        }
    }
    // A debate may be set outside of the configuration.
    let gone =
        began.metrics.iter().find(|(name, was)| !now.metrics.contains_key(*name) && was.scorer.kind() != "debate");
    Ok(match gone {
        Some((name, _)) => Some(format!("the metric `{name}` was removed")),
        None if now.pass_threshold != began.pass_threshold => Some("scoring.pass_threshold was changed".to_owned()),
        None if now.max_error_rate != began.max_error_rate => Some("scoring.max_error_rate was changed".to_owned()),
        None => None,
    })
}

/// What continuous integration says about the change that is evaluated.
fn metadata() -> std::collections::BTreeMap<String, serde_json::Value> {
    let known = [
        ("commit", ["GITHUB_SHA", "CI_COMMIT_SHA"]),
        ("branch", ["GITHUB_HEAD_REF", "CI_COMMIT_REF_NAME"]),
        ("author", ["GITHUB_ACTOR", "GITLAB_USER_LOGIN"]),
    ];
    let value =
        |names: [&str; 2]| names.into_iter().find_map(|name| std::env::var(name).ok()).filter(|v| !v.is_empty());
    known.into_iter().filter_map(|(key, names)| Some((key.to_owned(), value(names)?.into()))).collect()
}

/// The target as the configuration says, with the prompt and the model that were named instead.
fn with_parts(project: &Project, name: &str, args: &EvalArgs) -> Outcome<TargetSpec> {
    let mut target = target_spec(project, name)?;
    if args.prompt.is_some() {
        target.prompt.clone_from(&args.prompt);
    }
    if let Some(model) = args.model.as_ref().filter(|model| target.model.as_ref() != Some(*model)) {
        // The version belongs to the model.
        (target.model, target.model_version, target.candidates) = (Some(model.clone()), None, Vec::new());
    }
    Ok(target)
}

/// The target with its prompt pushed, pinned to the hash that was pushed.
async fn push_target(
    client: &Client,
    context: &Context,
    project: &Project,
    mut target: TargetSpec,
) -> Outcome<TargetSpec> {
    if let Some(reference) = &target.prompt {
        let parsed: PromptRef = reference.parse().map_err(|e| Failure::usage(format!("{e}")))?;
        if parsed.selector == PromptSelector::Active
            && let Some(spec) = project.prompt_file(&parsed.name)?
        {
            let named = spec.version.clone();
            let pushed = push_as_it_is(client, spec).await?;
            if let Some(named) = named.filter(|named| *named != pushed.prompt.version && pushed.created) {
                context.note(&format!(
                    "note: prompts/{0}.yaml changed and still says {named}; it is evaluated as {1} ({2})",
                    parsed.name,
                    pushed.prompt.version,
                    pushed.reasons.join("; "),
                ));
            }
            for warning in &pushed.warnings {
                context.note(&format!("warning: prompts/{}.yaml: {warning}", parsed.name));
            }
            target.prompt = Some(format!("{}@{}", parsed.name, pushed.prompt.hash));
        }
    }
    Ok(target)
}

/// The target as the configuration says.
pub(crate) fn target_spec(project: &Project, name: &str) -> Outcome<TargetSpec> {
    let target = project.config.targets.get(name).ok_or_else(|| {
        let known: Vec<&str> = project.config.targets.keys().map(String::as_str).collect();
        Failure::usage(format!("there is no target `{name}`")).hint(format!("the targets are: {}", known.join(", ")))
    })?;
    Ok(TargetSpec {
        name: name.to_owned(),
        prompt: target.prompt.clone(),
        manifest: None,
        manifest_hash: None,
        model: target.model.clone(),
        candidates: target.candidates.clone(),
        model_version: target.model_version.clone(),
        system: target.system.clone(),
        parameters: target.parameters.clone(),
        retriever_index_version: target.retriever_index_version.clone(),
    })
}

/// Pushes what the file says. A file that was edited without raising its version is pushed as the next one: an
/// evaluation is where people try edits out.
async fn push_as_it_is(
    client: &Client,
    spec: llmops_domain::prompt::PromptSpec,
) -> Outcome<llmops_api::prompts::PushedPrompt> {
    let named = spec.version.is_some();
    let bump = if named { BumpMode::None } else { BumpMode::Auto };
    let push = PushPrompt { prompt: spec, bump, activate: false };
    match client.push_prompt(&push).await {
        Err(error) if error.code() == Some(llmops_api::ErrorCode::Conflict) => {
            Ok(client.push_prompt(&PushPrompt { bump: BumpMode::Auto, ..push }).await?)
        }
        other => Ok(other?),
    }
}

/// Shows a run's progress until it ends. Ctrl-C stops it so that it can be resumed.
async fn follow(client: &Client, context: &Context, run: EvaluationRun) -> Outcome<EvaluationRun> {
    let id = run.id.0.clone();
    let bar = progress_bar(context, &run);
    let look = GetRunQuery { wait_ms: u64::try_from(LOOK.as_millis()).ok(), dataset: None };
    let started = Instant::now();
    let done_before = run.progress.done;
    let mut run = run;
    let mut interrupted = std::pin::pin!(super::serve::interrupted());
    let mut away: Option<Instant> = None;
    while !run.status.is_final() && run.error.is_none() {
        let looked = tokio::select! {
            looked = client.get_run(&id, &look) => looked,
            () = &mut interrupted => {
                bar.finish_and_clear();
                return Err(interrupt(client, context, &id).await);
            }
        };
        match looked {
            Ok(looked) => (run, away) = (looked, None),
            Err(error) if is_away(&error) && away.get_or_insert_with(Instant::now).elapsed() < PATIENCE => {
                bar.set_message("waiting for the server …");
                tokio::time::sleep(LOOK * 5).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        show_progress(&bar, &run, done_before, started);
    }
    bar.finish_and_clear();
    Ok(run)
}

/// Whether the server or its store may be back soon: the run goes on meanwhile.
fn is_away(error: &ClientError) -> bool {
    matches!(error, ClientError::Unreachable { .. }) || error.code() == Some(ErrorCode::StoreUnavailable)
}

async fn interrupt(client: &Client, context: &Context, id: &str) -> Failure {
    if !client.is_local() {
        return Failure::new(Kind::Undecided, format!("stopped watching; the run {id} goes on at the server"))
            .hint(format!("llmops run cancel {id} stops it"));
    }
    context.note("stopping: answers on their way are still written …");
    let stopped = client.cancel_run(id).await;
    let done = stopped.map(|run| format!(" after {} of {} trials", run.progress.done, run.progress.total));
    Failure::new(Kind::Undecided, format!("stopped{}", done.unwrap_or_default()))
        .hint("llmops eval --resume goes on where it stopped")
}

fn progress_bar(context: &Context, run: &EvaluationRun) -> ProgressBar {
    let target =
        if context.global.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(10) };
    let bar = ProgressBar::with_draw_target(Some(run.progress.total), target);
    let template = "{prefix} {bar:30} {pos}/{len} {msg} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar.set_prefix(run.name.clone());
    bar.set_position(run.progress.done);
    bar
}

fn show_progress(bar: &ProgressBar, run: &EvaluationRun, done_before: u64, started: Instant) {
    let new = run.progress.done.saturating_sub(done_before);
    let rate = new as f64 / started.elapsed().as_secs_f64().max(1e-3);
    let errors = if run.progress.errored > 0 { format!(" · {} errors", run.progress.errored) } else { String::new() };
    bar.set_position(run.progress.done);
    bar.set_message(format!("{rate:.0}/s · ${:.4}{errors}", run.progress.cost));
}

/// How to come to the end of a run that stopped.
fn way_on(run: &EvaluationRun) -> &'static str {
    let has = |reason: &str| run.results.as_ref().is_some_and(|results| results.error_reasons.contains_key(reason));
    if has(JUDGE_BUDGET) {
        // A run keeps the limit that it began with.
        "raise scoring.max_judge_cost, then `llmops eval`, a new run: what was answered and judged is not paid for again"
    } else {
        "mend the cause, then `llmops eval --resume`; where scoring, prompt or data are changed, `llmops eval` for a new run: what \
         was answered is not asked again by either"
    }
}

fn report(context: &Context, args: &EvalArgs, run: &EvaluationRun) -> Outcome {
    if run.results.is_some() {
        let scores = scorecard::scores(run);
        write_file(&args.output, &json(&scores)?)?;
        if context.global.json {
            context.print(&json(&scores)?)?;
        } else {
            context.print(&terminal::run(context.ui.out, run))?;
            context.note(&format!("wrote {}", args.output.display()));
        }
    } else {
        remove_stale(context, &args.output);
    }
    match run.status {
        RunStatus::Completed => Ok(()),
        status => {
            let why = run.error.clone().unwrap_or_else(|| format!("it is {status}"));
            Err(Failure::new(Kind::Undecided, format!("the run {} did not complete: {why}", run.id)).hint(way_on(run)))
        }
    }
}
