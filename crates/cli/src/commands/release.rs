//! `llmops release` and `llmops approval`: a manifest on its way to production.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use llmops_api::page::PageQuery;
use llmops_api::releases::{CancelRelease, StartRelease, WaiveStep};
use llmops_api::{Client, ClientError, ErrorCode};
use llmops_domain::approval::{Approval, ApprovalStatus};
use llmops_domain::deployment::{DEFAULT_ENVIRONMENT, Deployment};
use llmops_domain::release::{Release, ReleaseFilter, ReleaseStatus, ReleaseStep};

use super::canary::read_policy;
use super::deployment::named_manifest;
use super::model_version::ModelVersionArgs;
use super::{Context, More};
use crate::failure::{Failure, Kind, Outcome};
use crate::project::Project;
use crate::terminal::{self, Cell, Column, Tone};

/// Walk a manifest to production: gate, staging, an experiment on a tenth of the users, approval, everybody. Stops where a
/// person must decide (exit code 4), and goes on when it is called again.
#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// The deployment; without it, all releases are listed
    name: Option<String>,
    /// Begin with this prompt: NAME, NAME@VERSION or NAME@HASH
    #[arg(long, value_name = "PROMPT", requires = "name")]
    prompt: Option<String>,
    /// Begin with this model; else the prompt's own, else the one that is live
    #[arg(long, value_name = "PROVIDER/MODEL", requires = "name")]
    model: Option<String>,
    /// Begin with this manifest: a JSON file, or the beginning of a stored one's hash
    #[arg(long, value_name = "FILE|HASH", requires = "name", conflicts_with_all = ["prompt", "model"])]
    manifest: Option<String>,
    /// In staging, compare it with what answers there, by this policy of a canary
    #[arg(long, value_name = "FILE", requires = "name", conflicts_with_all = ["waive", "cancel", "status", "approve"])]
    policy: Option<PathBuf>,
    /// Show where it stands, and change nothing
    #[arg(long, requires = "name")]
    status: bool,
    /// Allow it
    #[arg(long, requires = "name", conflicts_with_all = ["prompt", "model", "manifest", "waive", "cancel", "status"])]
    approve: bool,
    /// Let a step pass without its evidence: gate, staging or experiment
    #[arg(long, value_name = "STEP", requires_all = ["name", "reason"], value_parser = step,
        conflicts_with_all = ["prompt", "model", "manifest", "cancel", "status"])]
    waive: Option<ReleaseStep>,
    /// Give it up; what is live stays live
    #[arg(long, requires = "name", conflicts_with_all = ["prompt", "model", "manifest", "status"])]
    cancel: bool,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    audit_file: ModelVersionArgs,
}

fn step(text: &str) -> Result<ReleaseStep, String> {
    ReleaseStep::ALL
        .into_iter()
        .find(|step| step.as_str() == text)
        .ok_or_else(|| "expected gate, staging or experiment".to_owned())
}

/// Promotions that wait for a second key.
#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalCommand {
    /// List them, newest first
    List,
    /// Allow a promotion that another key asked for, and carry it out
    Approve {
        /// Its id, or a beginning of it
        id: String,
        #[command(flatten)]
        audit_file: ModelVersionArgs,
    },
    /// Refuse a promotion
    Reject {
        /// Its id, or a beginning of it
        id: String,
    },
}

/// `llmops release`
pub(crate) async fn run(context: &Context, args: ReleaseArgs) -> Outcome {
    let client = Project::find(&context.global, &context.ui)?.client(&context.global).await?;
    let Some(name) = args.name.clone() else {
        let page = client.list_releases(&ReleaseFilter { limit: Some(50), ..ReleaseFilter::default() }).await?;
        args.audit_file.refuse_without_name()?;
        return context.show_page(&page, More::Hidden, || list(context, &page.items));
    };
    let (gives_up, audit_file) = (args.cancel, args.audit_file.clone());
    let release = act(&client, &name, args).await?;
    // Before, what answers is not the release's.
    if release.status == ReleaseStatus::Released {
        audit_file.write(&client, &name, DEFAULT_ENVIRONMENT).await?;
    }
    context.show(&release, || show(context, &release))?;
    match release.status {
        ReleaseStatus::Open => {
            let step = release.step.as_str();
            Err(Failure::new(Kind::Waits, format!("the release waits at the step {step}")))
        }
        ReleaseStatus::Cancelled if !gives_up => Err(Failure::new(Kind::No, "the release was given up")),
        ReleaseStatus::Released | ReleaseStatus::Cancelled => Ok(()),
    }
}

/// The release that is on its way, else the last one of the deployment.
async fn last(client: &Client, name: &str) -> Result<Release, ClientError> {
    let missing = match client.get_release(name).await {
        Err(error) if error.code() == Some(ErrorCode::NotFound) => error,
        found => return found,
    };
    let filter = ReleaseFilter { deployment: Some(name.to_owned()), limit: Some(1), ..ReleaseFilter::default() };
    client.list_releases(&filter).await?.items.pop().ok_or(missing)
}

async fn act(client: &Client, name: &str, args: ReleaseArgs) -> Outcome<Release> {
    let reason = args.reason.unwrap_or_default();
    let release = if args.status {
        last(client, name).await
    } else if args.approve {
        client.approve_release(name).await
    } else if let Some(step) = args.waive {
        client.waive_release_step(name, &WaiveStep { step, reason }).await
    } else if args.cancel {
        client.cancel_release(name, &CancelRelease { reason }).await
    } else if args.prompt.is_some() || args.model.is_some() || args.manifest.is_some() {
        let (manifest, manifest_hash) = args.manifest.as_deref().map(named_manifest).transpose()?.unwrap_or_default();
        let policy = args.policy.as_deref().map(read_policy).transpose()?.map(Box::new);
        let request = StartRelease { manifest, manifest_hash, prompt: args.prompt, model: args.model, policy };
        client.start_release(name, &request).await
    } else if args.policy.is_some() {
        return Err(Failure::usage("--policy belongs to the beginning of a release")
            .hint("name what is released, too: --prompt, --model or --manifest"));
    } else {
        client.advance_release(name).await
    };
    Ok(release?)
}

fn show(context: &Context, release: &Release) -> String {
    let mut text =
        format!("{} of {}: {} ({})\n", release.id, release.deployment, release.label, release.manifest.short());
    for step in ReleaseStep::ALL {
        let (mark, tone) = match release.status {
            ReleaseStatus::Released => ("done", Tone::Good),
            _ if step < release.step => ("done", Tone::Good),
            ReleaseStatus::Open if step == release.step => ("here", Tone::Warn),
            _ => ("", Tone::Faint),
        };
        text += &context.ui.out.paint(tone, &format!("  {:<10} {mark}", step.as_str()));
        text.push('\n');
    }
    match (&release.waiting, release.status) {
        (Some(waiting), _) => text += &format!("\n{waiting}\n"),
        (None, ReleaseStatus::Released) => text += "\nreleased: it answers everybody\n",
        (None, ReleaseStatus::Cancelled) => text += "\ngiven up: what was live stays live\n",
        (None, ReleaseStatus::Open) => {}
    }
    text
}

fn list(context: &Context, releases: &[Release]) -> String {
    const COLUMNS: [Column; 6] = [
        Column::id("release"),
        Column::text("deployment"),
        Column::text("what"),
        Column::text("begun (UTC)").optional(),
        Column::text("stands at"),
        Column::text("waits for"),
    ];
    if releases.is_empty() {
        return "There are no releases. `llmops release NAME --prompt NAME@VERSION` begins one.".to_owned();
    }
    let rows = releases.iter().map(|release| {
        let stands = match release.status {
            ReleaseStatus::Open => Cell::toned(Tone::Warn, release.step.as_str()),
            status => status.as_str().into(),
        };
        vec![
            Cell::toned(Tone::Strong, release.id.as_str()),
            (&release.deployment).into(),
            (&release.label).into(),
            release.created_at.strftime("%Y-%m-%d %H:%M").to_string().into(),
            stands,
            release.waiting.as_deref().unwrap_or_default().into(),
        ]
    });
    terminal::table(context.ui.out, &COLUMNS, rows.collect())
}

/// `llmops approval`
pub(crate) async fn approval(context: &Context, command: ApprovalCommand) -> Outcome {
    let client = Project::find(&context.global, &context.ui)?.client(&context.global).await?;
    match command {
        ApprovalCommand::List => {
            let page = client.list_approvals(&PageQuery { cursor: None, limit: Some(50) }).await?;
            context.show_page(&page, More::Hidden, || approvals(context, &page.items))
        }
        ApprovalCommand::Approve { id, audit_file } => {
            let deployed = client.approve(&id).await?;
            let Deployment { name, environment, .. } = &deployed.deployment;
            audit_file.write(&client, name, environment).await?;
            context.show(&deployed, || {
                let deployment = &deployed.deployment;
                let (name, place) = (&deployment.name, &deployment.environment);
                format!("{name} in {place} answers with {} now", deployment.manifest.short())
            })
        }
        ApprovalCommand::Reject { id } => {
            let approval = client.reject(&id).await?;
            context.show(&approval, || format!("{} is rejected: nothing changed", approval.id))
        }
    }
}

fn approvals(context: &Context, approvals: &[Approval]) -> String {
    const COLUMNS: [Column; 6] = [
        Column::id("approval"),
        Column::text("deployment"),
        Column::text("manifest"),
        Column::text("asked (UTC)").optional(),
        Column::text("by"),
        Column::text("stands"),
    ];
    if approvals.is_empty() {
        return "No promotion waits for a second key. Deployments with `require_approval: true` ask for one."
            .to_owned();
    }
    let rows = approvals.iter().map(|approval| {
        let stands = match (approval.status, &approval.decided_by) {
            (ApprovalStatus::Pending, _) => Cell::toned(Tone::Warn, "pending"),
            (status, Some(by)) => format!("{} by {by}", status.as_str()).into(),
            (status, None) => status.as_str().into(),
        };
        vec![
            Cell::toned(Tone::Strong, approval.id.as_str()),
            format!("{} in {}", approval.deployment, approval.environment).into(),
            approval.manifest.short().into(),
            approval.created_at.strftime("%Y-%m-%d %H:%M").to_string().into(),
            (&approval.requested_by).into(),
            stands,
        ]
    });
    terminal::table(context.ui.out, &COLUMNS, rows.collect())
}
