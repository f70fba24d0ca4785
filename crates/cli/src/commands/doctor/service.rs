//! What a running installation needs: server and key, tables, queue, channels, disk, clock.

use std::path::Path;
use std::time::Duration;

use llmops_api::{ClientError, ErrorBody};
use llmops_domain::config::ChannelConfig;
use llmops_domain::net::shown_address;
use llmops_domain::scorecard::format;
use llmops_storage::{Store, StoreOptions};

use super::{Finding, Installation};
use crate::project::STATE_FOLDER;
use crate::queue::QueueArgs;

/// Free space below which the store will soon be full.
const LITTLE_SPACE: u64 = 1 << 30;
/// Free space below which it is.
const NO_SPACE: u64 = 100 << 20;
/// How far clocks may differ: leases and schedules are compared across machines.
const MAX_SKEW: Duration = Duration::from_secs(2);
/// No clock that is right shows an earlier time than that of this version: 2026-01-01.
const EARLIEST: i64 = 1_767_225_600;

/// The server that `--server` names: whether it is there, ready, and what the key may do.
pub(super) async fn server(installation: &Installation<'_>) -> Vec<Finding> {
    let Ok(project) = &installation.project else { return Vec::new() };
    let global = &installation.context.global;
    let Some(url) = &global.server else {
        return vec![Finding::ok("no server is named; --server URL looks at one")];
    };
    let client = match project.client(global).await {
        Ok(client) => client,
        Err(failure) => return Finding::of(&failure),
    };
    let (mut findings, url) = (Vec::new(), shown_address(url));
    match client.ready().await {
        Ok(health) => {
            let version = health["version"].as_str().unwrap_or_default();
            let own = env!("CARGO_PKG_VERSION");
            findings.push(Finding::ok(format!("{url} is ready, version {version}")));
            if version != own {
                findings.push(Finding::warn(format!("this llmops is version {own}")).hint("use the server's version"));
            }
        }
        Err(ClientError::Api(ErrorBody { problems, message, .. })) => {
            findings.push(Finding::fail(format!("{url} is not ready: {message}")));
            findings.extend(problems.into_iter().skip(1).map(|problem| Finding::fail(problem.message)));
        }
        Err(error) => return Finding::of(&error.into()),
    }
    match client.get_session().await {
        Ok(session) => {
            let until = session.expires_at.map(|at| format!(", until {}", at.strftime("%Y-%m-%d %H:%M UTC")));
            findings.push(Finding::ok(format!(
                "the key is `{}`: {} of the project `{}`{}",
                session.name,
                session.role,
                session.project,
                until.unwrap_or_default()
            )));
        }
        Err(error) => {
            let hint = "an admin makes keys: llmops key create NAME --role ROLE; give one with --api-key";
            findings.extend(Finding::of(&error.into()).into_iter().map(|finding| finding.hint(hint)));
        }
    }
    findings
}

/// Whether the tables are those of this version. Nothing is changed.
pub(super) async fn tables(installation: &Installation<'_>) -> Vec<Finding> {
    let Ok(project) = &installation.project else { return Vec::new() };
    let global = &installation.context.global;
    if global.server.is_some() {
        return Vec::new();
    }
    match Store::plan(&project.database(global)).await {
        Ok(plan) if plan.applied == 0 => Vec::new(),
        Ok(plan) if plan.pending.is_empty() => {
            vec![Finding::ok(format!("the tables are up to date (schema {})", plan.applied))]
        }
        Ok(plan) => {
            let count = format::count(plan.pending.len() as u64, "migration");
            vec![
                Finding::warn(format!("the tables have schema {}; {count} will be applied", plan.applied))
                    .hint("the next command that opens the store does it; make a copy first: llmops db backup FILE"),
            ]
        }
        Err(error) => vec![Finding::fail(format!("the store cannot be read: {error}"))],
    }
}

/// Whether the queue of jobs can be reached.
pub(super) async fn queue(installation: &Installation<'_>) -> Vec<Finding> {
    let Ok(project) = &installation.project else { return Vec::new() };
    let (global, config) = (&installation.context.global, &project.config.queue);
    if global.server.is_some() {
        return Vec::new();
    }
    let args = QueueArgs::from_env();
    let place = args.place(config);
    if !args.is_elsewhere(config) {
        return vec![Finding::ok("jobs are queued in the store")];
    }
    let counts = async {
        let store = Store::in_memory().await.map_err(|e| e.to_string())?;
        let options = args.open(config, &store).await.map_err(|failure| failure.chain.join(": "))?;
        match options.queue {
            Some(queue) => queue.counts().await.map_err(|e| e.to_string()),
            None => Ok(llmops::jobs::JobCounts::default()),
        }
    };
    vec![match counts.await {
        Ok(counts) => {
            let (waiting, taken) = (counts.waiting, counts.taken);
            Finding::ok(format!("jobs are queued at {place}: {waiting} wait, {taken} are in hand"))
        }
        Err(error) => Finding::fail(format!("the queue at {place} cannot be reached: {error}")),
    }]
}

/// Whether alerts reach somebody.
pub(super) fn channels(installation: &Installation<'_>) -> Vec<Finding> {
    let Ok(project) = &installation.project else { return Vec::new() };
    let config = &project.config;
    if config.channels.is_empty() {
        return vec![
            Finding::ok("no channel is configured: alerts are in `llmops alert list` and in the events")
                .hint("`channels` in llmops.yaml sends them to Slack, a webhook or a program"),
        ];
    }
    let channel = |(name, channel): (&String, &ChannelConfig)| {
        if let Some(variables) = config.unset_channels.get(name) {
            return Finding::warn(format!("`{name}` is told nothing: {} is not set", variables.join(", ")));
        }
        let kind = match channel {
            ChannelConfig::Slack(_) => "Slack",
            ChannelConfig::Webhook(_) => "a webhook",
            ChannelConfig::Pagerduty(_) => "PagerDuty",
            ChannelConfig::Command(_) => "a program",
        };
        Finding::ok(format!("`{name}` is {kind} and has what it needs"))
    };
    let mut findings: Vec<Finding> = config.channels.iter().map(channel).collect();
    if let Some(last) = findings.pop() {
        findings.push(last.hint("`llmops alert test` sends a message through each"));
    }
    findings
}

/// Whether the disk of the store and of waiting records has room.
pub(super) fn disk(installation: &Installation<'_>) -> Vec<Finding> {
    let Ok(project) = &installation.project else { return Vec::new() };
    let state = project.folder.join(STATE_FOLDER);
    let folder = if state.exists() { state } else { project.folder.clone() };
    let folder = if folder.as_os_str().is_empty() { Path::new(".").to_owned() } else { folder };
    match rustix::fs::statvfs(&folder) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let text = format!("{} has {:.1} GiB free", folder.display(), free as f64 / f64::from(1 << 30));
            vec![match free {
                free if free < NO_SPACE => {
                    Finding::fail(text).hint("writes will fail; llmops db prune deletes what is old")
                }
                free if free < LITTLE_SPACE => Finding::warn(text).hint("llmops db prune --dry-run tells what is old"),
                _ => Finding::ok(text),
            }]
        }
        Err(error) => vec![Finding::warn(format!("{}: the free space is not told: {error}", folder.display()))],
    }
}

/// Whether the clock is right, as far as that can be told.
pub(super) async fn clock(installation: &Installation<'_>) -> Vec<Finding> {
    let Ok(project) = &installation.project else { return Vec::new() };
    let now = llmops_domain::clock::now();
    let shown = now.strftime("%Y-%m-%d %H:%M:%S UTC");
    if now.as_second() < EARLIEST {
        return vec![
            Finding::fail(format!("the clock says {shown}, which is past")).hint("set it, and keep it with NTP"),
        ];
    }
    let global = &installation.context.global;
    let is_remote = global.database.as_ref().is_some_and(|url| url.starts_with("postgres"));
    if global.server.is_some() || !is_remote {
        return vec![Finding::ok(format!("the clock says {shown}"))];
    }
    let difference = async {
        let plan = Store::plan(&project.database(global)).await.ok()?;
        // Opening would change the tables.
        if !plan.pending.is_empty() {
            return None;
        }
        project.store(global, StoreOptions::default()).await.ok()?.clock_difference().await.ok()
    };
    vec![match difference.await {
        None => Finding::ok(format!("the clock says {shown}")),
        Some(difference) if difference > MAX_SKEW => {
            let text = format!("the clock differs from the database's by {:.1} s", difference.as_secs_f64());
            Finding::fail(text).hint("leases and schedules are compared across machines: keep all clocks with NTP")
        }
        Some(difference) => {
            Finding::ok(format!("the clock says {shown}, {} ms from the database's", difference.as_millis()))
        }
    }]
}
