//! `llmops audit`: the record of changes.

use clap::Subcommand;
use llmops_api::access::AuditQuery;
use llmops_domain::access::AuditRecord;
use llmops_domain::scorecard::format::truncate;
use serde_json::{Map, Value};

use super::{Context, More};
use crate::failure::Outcome;
use crate::project::Project;
use crate::terminal::{self, Cell, Column, Tone};
use crate::times;

/// Characters of a state that the table shows; `--json` has the whole.
const SHOWN: usize = 60;

/// The record of changes.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List changes of configuration, the newest first
    List {
        /// Of this project; else of that of the caller
        #[arg(long)]
        project: Option<String>,
        /// By whom: the name of a key, or `local`
        #[arg(long, value_name = "NAME")]
        actor: Option<String>,
        /// What was done: prompt.activated, or everything about a noun: prompt
        #[arg(long)]
        action: Option<String>,
        /// What it was done to
        #[arg(long)]
        target: Option<String>,
        /// At or after this time: how long ago (1h, 7d), a date, or RFC 3339
        #[arg(long, value_name = "TIME", value_parser = times::past)]
        since: Option<jiff::Timestamp>,
        /// Before this time; a date is its beginning, in UTC
        #[arg(long, value_name = "TIME", value_parser = times::past)]
        until: Option<jiff::Timestamp>,
        /// Where the page before ended
        #[arg(long)]
        cursor: Option<String>,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: AuditCommand) -> Outcome {
    let client = Project::find(&context.global, &context.ui)?.client(&context.global).await?;
    let AuditCommand::List { project, actor, action, target, since, until, cursor, limit } = command;
    let limit = Some(limit);
    let query = AuditQuery {
        project,
        actor,
        action,
        target,
        start_time: since.map(|t| t.to_string()),
        end_time: until.map(|t| t.to_string()),
        cursor,
        limit,
    };
    let records = client.list_audit(&query).await?;
    context.show_page(&records, More::ByCursor, || list(context, &records.items))
}

fn list(context: &Context, records: &[AuditRecord]) -> String {
    const COLUMNS: [Column; 6] = [
        Column::text("when (UTC)"),
        Column::text("who"),
        Column::text("what"),
        Column::text("target"),
        Column::text("before"),
        Column::text("after"),
    ];
    if records.is_empty() {
        return "There are no such changes.".to_owned();
    }
    let rows = records.iter().map(|record| {
        let (before, after) = different(&record.before, &record.after);
        vec![
            Cell::from(record.at.strftime("%Y-%m-%d %H:%M:%S").to_string()),
            Cell::from(&record.actor),
            Cell::toned(Tone::Strong, &record.action),
            Cell::from(&record.target),
            Cell::from(excerpt(&before)),
            Cell::from(excerpt(&after)),
        ]
    });
    terminal::table(context.ui.out, &COLUMNS, rows.collect())
}

/// What two states differ in: what is alike in both would hide it.
fn different(before: &Value, after: &Value) -> (Value, Value) {
    let (Value::Object(old), Value::Object(new)) = (before, after) else { return (before.clone(), after.clone()) };
    let (mut was, mut is) = (Map::new(), Map::new());
    for (name, old) in old {
        match new.get(name) {
            Some(new) if new == old => {}
            Some(new) => {
                let (before, after) = different(old, new);
                was.insert(name.clone(), before);
                is.insert(name.clone(), after);
            }
            None => {
                was.insert(name.clone(), old.clone());
            }
        }
    }
    is.extend(new.iter().filter(|(name, _)| !old.contains_key(*name)).map(|(name, new)| (name.clone(), new.clone())));
    (was.into(), is.into())
}

fn excerpt(state: &Value) -> String {
    if state.is_null() {
        return String::new();
    }
    truncate(&state.to_string(), SHOWN)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_alike_is_left_out() {
        let check = |before: Value, after: Value, expected: (Value, Value)| {
            assert_eq!(different(&before, &after), expected, "{before} {after}");
        };
        check(Value::Null, json!({"a": 1}), (Value::Null, json!({"a": 1})));
        check(json!({"a": 1}), json!({"a": 1}), (json!({}), json!({})));
        check(
            json!({"manifest": "x", "safe_mode": false, "settings": {"retries": 1, "bodies": "full"}}),
            json!({"manifest": "x", "safe_mode": true, "settings": {"retries": 2, "bodies": "full", "cache": {}}}),
            (
                json!({"safe_mode": false, "settings": {"retries": 1}}),
                json!({"safe_mode": true, "settings": {"retries": 2, "cache": {}}}),
            ),
        );
        check(json!({"a": 1, "b": [1]}), json!({"b": [2]}), (json!({"a": 1, "b": [1]}), json!({"b": [2]})));
    }
}
