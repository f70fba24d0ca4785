//! `llmops prompt`: versioned prompts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use llmops_api::Client;
use llmops_api::page::{MAX_PAGE, PageQuery};
use llmops_api::prompts::{BumpMode, CompareQuery, PushPrompt, RenderPrompt};
use llmops_domain::judge::BUILTIN_PREFIX;
use llmops_domain::prompt::{PromptRef, PromptSelector, PromptStatus, PromptVersion};
use llmops_domain::run::Estimate;
use serde_json::Value;

use super::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::project::{Project, read_prompt};
use crate::terminal::{self, Cell, Column, Tone};

/// Versioned prompts.
#[derive(Debug, Subcommand)]
pub(crate) enum PromptCommand {
    /// List the active version of every prompt, or all versions of one
    List {
        /// The prompt
        name: Option<String>,
    },
    /// Show a version
    Show {
        /// NAME, NAME@1.2.0 or NAME@HASH
        prompt: String,
    },
    /// Push prompt files to the registry; without names, all of prompts/
    Push {
        /// Prompt files
        files: Vec<PathBuf>,
        /// Choose the version number: `auto` derives it from what changed
        #[arg(long, value_enum)]
        bump: Option<Bump>,
        /// Make the pushed versions the active ones
        #[arg(long)]
        activate: bool,
    },
    /// Show what differs between two versions
    Diff {
        /// The older version: NAME@1.0.0 or NAME@HASH
        from: String,
        /// The newer version; else the active one
        to: Option<String>,
    },
    /// Make a version the active one
    Activate {
        /// NAME@1.2.0 or NAME@HASH
        prompt: String,
    },
    /// Delete a version that is not active
    Delete {
        /// NAME@1.2.0 or NAME@HASH
        prompt: String,
    },
    /// Render a version with values for its variables
    Render {
        /// NAME, NAME@1.2.0 or NAME@HASH
        prompt: String,
        /// A value, as NAME=TEXT, or NAME:=JSON for other types; repeatable
        #[arg(long = "var", short = 'v', value_name = "NAME=VALUE")]
        variables: Vec<String>,
        /// Values as a JSON object
        #[arg(long, value_name = "JSON")]
        vars_json: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bump {
    Auto,
    Major,
    Minor,
    Patch,
}

impl From<Bump> for BumpMode {
    fn from(bump: Bump) -> Self {
        match bump {
            Bump::Auto => Self::Auto,
            Bump::Major => Self::Major,
            Bump::Minor => Self::Minor,
            Bump::Patch => Self::Patch,
        }
    }
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: PromptCommand) -> Outcome {
    let project = Project::find(&context.global, &context.ui)?;
    let client = match command {
        PromptCommand::Push { .. } | PromptCommand::Activate { .. } | PromptCommand::Delete { .. } => {
            project.client(&context.global).await?
        }
        _ => project.reader(&context.global).await?,
    };
    match command {
        PromptCommand::List { name: None } => list_all(context, &client).await,
        PromptCommand::List { name: Some(name) } => {
            let versions = client.list_prompt_versions(&name).await?;
            context.show(&versions, || table(context, &versions.items))
        }
        PromptCommand::Show { prompt } => {
            let (name, version) = parse(&prompt)?;
            let version = client.get_prompt_version(&name, &version).await?;
            context.show(&version, || show(context, &version))
        }
        PromptCommand::Push { files, bump, activate } => {
            let files = if files.is_empty() { project.prompt_files()? } else { files };
            push(context, &client, &files, (bump.map_or(BumpMode::None, BumpMode::from), activate)).await
        }
        PromptCommand::Diff { from, to } => diff(context, &client, &from, to.as_deref()).await,
        PromptCommand::Activate { prompt } => {
            let (name, version) = parse(&prompt)?;
            let version = client.activate_prompt(&name, &version).await?;
            context.show(&version, || format!("{}@{} is active now", version.name, version.version))
        }
        PromptCommand::Delete { prompt } => {
            let (name, version) = parse(&prompt)?;
            client.delete_prompt(&name, &version).await?;
            context.note(&format!("deleted {prompt}"));
            Ok(())
        }
        PromptCommand::Render { prompt, variables, vars_json } => {
            let (name, version) = parse(&prompt)?;
            let render = RenderPrompt { variables: read_variables(&variables, vars_json.as_deref())? };
            let rendered = client.render_prompt(&name, &version, &render).await?;
            context.show(&rendered, || {
                let role = |m: &llmops_domain::chat::Message| format!("{:?}", m.role).to_lowercase();
                let texts: Vec<String> =
                    rendered.messages.iter().map(|m| format!("[{}]\n{}\n", role(m), m.as_text())).collect();
                texts.join("\n")
            })
        }
    }
}

/// Splits `NAME@VERSION` into the name and what the API takes as version.
fn parse(text: &str) -> Outcome<(String, String)> {
    let reference: PromptRef = text.parse().map_err(|e| Failure::usage(format!("{e}")))?;
    let version = match reference.selector {
        PromptSelector::Active => "active".to_owned(),
        PromptSelector::Version(version) => version.to_string(),
        PromptSelector::Hash(hash) => hash,
    };
    Ok((reference.name, version))
}

async fn list_all(context: &Context, client: &Client) -> Outcome {
    let mut query = PageQuery { cursor: None, limit: Some(MAX_PAGE) };
    let mut prompts = client.list_prompts(&query).await?;
    while let Some(cursor) = prompts.next_cursor.take() {
        query.cursor = Some(cursor);
        let more = client.list_prompts(&query).await?;
        prompts.items.extend(more.items);
        prompts.next_cursor = more.next_cursor;
    }
    context.show(&prompts, || {
        if prompts.items.is_empty() {
            return "There are no prompts yet. `llmops prompt push` registers the files of prompts/.".to_owned();
        }
        // People look for their own.
        let (built_in, own): (Vec<_>, Vec<_>) =
            prompts.items.iter().cloned().partition(|prompt| prompt.name.starts_with(BUILTIN_PREFIX));
        table(context, &[own, built_in].concat())
    })
}

fn table(context: &Context, versions: &[PromptVersion]) -> String {
    let columns = [
        Column::id("prompt"),
        Column::text("version"),
        Column::text("hash"),
        Column::text(""),
        Column::text("in use"),
        Column::text("change"),
    ];
    let rows = versions.iter().map(|v| {
        let active = if v.is_active { Cell::toned(Tone::Good, "active") } else { Cell::toned(Tone::Plain, "") };
        let text = |text: &str| Cell::toned(Tone::Plain, text);
        let change = v.change.as_deref().or(v.description.as_deref()).unwrap_or("");
        let in_use = if v.status == PromptStatus::Draft { "" } else { status(v) };
        vec![text(&v.name), text(&v.version.to_string()), text(v.hash.short()), active, text(in_use), text(change)]
    });
    terminal::table(context.ui.out, &columns, rows.collect())
}

fn status(version: &PromptVersion) -> &'static str {
    match version.status {
        PromptStatus::Draft => "draft",
        PromptStatus::Staging => "staging",
        PromptStatus::Production => "production",
    }
}

fn show(context: &Context, version: &PromptVersion) -> String {
    let active = if version.is_active { " (active)" } else { "" };
    let body = serde_json::to_string_pretty(&version.body).unwrap_or_default();
    let PromptVersion { name, version: number, hash, created_at, .. } = version;
    let pushed = created_at.strftime("%Y-%m-%d %H:%M:%S UTC");
    let head = format!("{name}@{number} {hash}{active}\npushed {pushed}\nstatus {}\n", status(version));
    let scores = if version.scores.is_empty() { String::new() } else { format!("\n{}", scores(context, version)) };
    format!("{head}{scores}\n{body}\n")
}

fn scores(context: &Context, version: &PromptVersion) -> String {
    let columns = [
        Column::text("dataset"),
        Column::text("model"),
        Column::text("overall"),
        Column::text("pass rate"),
        Column::text("evaluated (UTC)"),
        Column::id("run"),
    ];
    let with_interval = |e: &Estimate| format!("{:.3} [{:.3}, {:.3}]", e.value, e.lower, e.upper);
    let rows = version.scores.iter().map(|score| {
        vec![
            (&score.dataset).into(),
            (&score.model).into(),
            score.overall.as_ref().map(with_interval).unwrap_or_default().into(),
            with_interval(&score.pass_rate).into(),
            score.at.strftime("%Y-%m-%d %H:%M").to_string().into(),
            score.run.as_str().into(),
        ]
    });
    terminal::table(context.ui.out, &columns, rows.collect())
}

async fn push(context: &Context, client: &Client, files: &[PathBuf], (bump, activate): (BumpMode, bool)) -> Outcome {
    if files.is_empty() {
        return Err(Failure::usage("there are no prompt files in prompts/").hint("name the files to push"));
    }
    // All files are read before the first is pushed: nothing is half done.
    let specs = files.iter().map(|file| Ok((file, read_prompt(file)?))).collect::<Outcome<Vec<_>>>()?;
    let mut pushed = Vec::new();
    for (file, prompt) in specs {
        let answer = client.push_prompt(&PushPrompt { prompt, bump, activate }).await.map_err(|e| {
            let mut failure = Failure::from(e);
            failure.chain.insert(0, format!("{} was not pushed", file.display()));
            failure
        })?;
        for warning in &answer.warnings {
            context.note(&format!("warning: {}: {warning}", file.display()));
        }
        pushed.push(answer);
    }
    context.show(&pushed, || {
        let lines = pushed.iter().map(|p| {
            let what = if p.created { "created" } else { "unchanged" };
            let active = if p.prompt.is_active { ", active" } else { "" };
            let why = if p.reasons.is_empty() { String::new() } else { format!("  ({})", p.reasons.join("; ")) };
            format!("{}@{} {} {what}{active}{why}\n", p.prompt.name, p.prompt.version, p.prompt.hash.short())
        });
        lines.collect()
    })
}

async fn diff(context: &Context, client: &Client, from: &str, to: Option<&str>) -> Outcome {
    let (name, from) = parse(from)?;
    let to = match to {
        None => None,
        Some(to) if to.contains('@') => {
            let (other, version) = parse(to)?;
            if other != name {
                return Err(Failure::usage(format!("`{other}` and `{name}` are different prompts")));
            }
            Some(version)
        }
        Some(version) => Some(version.to_owned()),
    };
    let diff = client.compare_prompts(&name, &CompareQuery { from, to }).await?;
    context.show(&diff, || diff.to_string())
}

fn read_variables(pairs: &[String], json: Option<&str>) -> Outcome<BTreeMap<String, Value>> {
    let mut values: BTreeMap<String, Value> = match json {
        None => BTreeMap::new(),
        Some(json) => serde_json::from_str(json)
            .map_err(|e| Failure::because(Kind::Usage, "--vars-json is no JSON object", &e))?,
    };
    for pair in pairs {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--var {pair}: expected NAME=TEXT or NAME:=JSON")))?;
        let (name, value) = match name.strip_suffix(':') {
            None => (name, Value::String(value.to_owned())),
            Some(name) => {
                let json = serde_json::from_str(value)
                    .map_err(|e| Failure::because(Kind::Usage, format!("--var {pair}: the value is no JSON"), &e))?;
                (name, json)
            }
        };
        values.insert(name.to_owned(), value);
    }
    Ok(values)
}
