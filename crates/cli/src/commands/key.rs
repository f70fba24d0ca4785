//! `llmops key`: keys of the API.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use llmops_api::access::{CreateKey, KeyProject, KeyQuery};
use llmops_domain::access::{ApiKey, Role};
use llmops_domain::id::ProjectId;
use llmops_domain::limits::Limits;

use super::{Context, More};
use crate::failure::Outcome;
use crate::project::Project;
use crate::terminal::{self, Cell, Column, Tone};
use crate::times;

/// Keys of the API.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key; its secret is shown this once
    Create {
        /// What people call it
        name: String,
        /// caller (an application's: calls deployments, sends feedback), viewer, editor, operator or admin
        #[arg(long, default_value = "editor")]
        role: Role,
        /// The project whose rows it reaches; else that of the caller
        #[arg(long, value_name = "ID")]
        project: Option<String>,
        /// When it stops working: a date or time such as 2027-01-31, or in how long, such as 90d; else never
        #[arg(long, value_name = "WHEN", value_parser = times::to_come)]
        expires: Option<Timestamp>,
        #[command(flatten)]
        limits: LimitArgs,
    },
    /// Set what may be spent with a key at the gateway; what is not named has no limit any more
    Limit {
        /// Its id
        key: String,
        #[command(flatten)]
        limits: LimitArgs,
        /// Its project; else that of the caller
        #[arg(long, value_name = "ID")]
        project: Option<String>,
    },
    /// List keys, the oldest first
    List {
        /// Of this project; else of that of the caller
        #[arg(long, value_name = "ID")]
        project: Option<String>,
        /// Where the page before ended
        #[arg(long)]
        cursor: Option<String>,
        /// How many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// Revoke a key: every server refuses it within a second
    Revoke {
        /// Its id
        key: String,
        /// Its project; else that of the caller
        #[arg(long, value_name = "ID")]
        project: Option<String>,
    },
}

/// What may be spent with a key.
#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    /// Requests in a minute
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<u64>,
    /// Requests in a day
    #[arg(long, value_name = "N")]
    requests_per_day: Option<u64>,
    /// Tokens, read and written, in a minute
    #[arg(long, value_name = "N")]
    tokens_per_minute: Option<u64>,
    /// Tokens in a day
    #[arg(long, value_name = "N")]
    tokens_per_day: Option<u64>,
    /// USD in a minute, by the price table
    #[arg(long, value_name = "USD", value_parser = usd)]
    cost_per_minute: Option<f64>,
    /// USD in a day
    #[arg(long, value_name = "USD", value_parser = usd)]
    cost_per_day: Option<f64>,
    /// USD in a calendar month: the budget
    #[arg(long, value_name = "USD", value_parser = usd)]
    cost_per_month: Option<f64>,
}

/// JSON has no NaN and no infinity: the limit would be lost on the way.
fn usd(text: &str) -> Result<f64, String> {
    let usd: f64 = text.parse().map_err(|_| "expected a number of USD, such as 2.50".to_owned())?;
    if usd.is_finite() { Ok(usd) } else { Err("expected a finite number of USD".to_owned()) }
}

impl From<LimitArgs> for Limits {
    fn from(args: LimitArgs) -> Self {
        Self {
            requests_per_minute: args.requests_per_minute,
            requests_per_day: args.requests_per_day,
            tokens_per_minute: args.tokens_per_minute,
            tokens_per_day: args.tokens_per_day,
            cost_per_minute: args.cost_per_minute,
            cost_per_day: args.cost_per_day,
            cost_per_month: args.cost_per_month,
        }
    }
}

/// The limits of a key in one line.
fn spending(limits: &Limits) -> String {
    match limits.all() {
        Ok(all) if all.is_empty() => "no limits".to_owned(),
        Ok(all) => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Err(error) => error.to_string(),
    }
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: KeyCommand) -> Outcome {
    let client = Project::find(&context.global, &context.ui)?.client(&context.global).await?;
    match command {
        KeyCommand::Create { name, role, project, expires, limits } => {
            let project = project.map(ProjectId);
            let request = CreateKey { name, role, project, expires_at: expires, limits: limits.into() };
            let created = client.create_key(&request).await?;
            if !context.global.json {
                let key = &created.key;
                context.note(&format!(
                    "{} ({}, project {}): the secret is shown this once",
                    key.id, key.role, key.project
                ));
            }
            context.show(&created, || created.secret.clone())
        }
        KeyCommand::Limit { key, limits, project } => {
            let limited = client.limit_key(&key, &KeyProject { project }, &limits.into()).await?;
            context.show(&limited, || format!("{} (`{}`): {}", limited.id, limited.name, spending(&limited.limits)))
        }
        KeyCommand::List { project, cursor, limit } => {
            let keys = client.list_keys(&KeyQuery { project, cursor, limit: Some(limit) }).await?;
            context.show_page(&keys, More::ByCursor, || list(context, &keys.items))
        }
        KeyCommand::Revoke { key, project } => {
            let revoked = client.revoke_key(&key, &KeyProject { project }).await?;
            context.show(&revoked, || format!("{} (`{}`) is revoked", revoked.id, revoked.name))
        }
    }
}

fn list(context: &Context, keys: &[ApiKey]) -> String {
    const COLUMNS: [Column; 8] = [
        Column::id("key"),
        Column::text("name"),
        Column::text("role"),
        Column::text("secret").optional(),
        Column::text("expires (UTC)"),
        Column::text("last used (UTC)").optional(),
        Column::text("may spend").optional(),
        Column::text("state"),
    ];
    if keys.is_empty() {
        return "There are no keys. `llmops key create NAME --role ROLE` makes one.".to_owned();
    }
    let now = llmops_domain::clock::now();
    let rows = keys.iter().map(|key| {
        let state = if key.revoked_at.is_some() {
            Cell::toned(Tone::Bad, "revoked")
        } else if key.works_at(now) {
            Cell::toned(Tone::Good, "works")
        } else {
            Cell::toned(Tone::Warn, "expired")
        };
        vec![
            Cell::toned(Tone::Strong, key.id.as_str()),
            Cell::from(&key.name),
            Cell::from(key.role.as_str()),
            Cell::from(format!("{}…", key.prefix)),
            Cell::from(when(key.expires_at, "never")),
            Cell::from(when(key.last_used_at, "never")),
            Cell::from(spending(&key.limits)),
            state,
        ]
    });
    terminal::table(context.ui.out, &COLUMNS, rows.collect())
}

fn when(time: Option<Timestamp>, never: &str) -> String {
    time.map_or_else(|| never.to_owned(), |time| time.strftime("%Y-%m-%d %H:%M").to_string())
}
