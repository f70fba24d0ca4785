//! `llmops records tail`: records as they come.
//!
//! A record's id tells when its call began, and it is written when the call has ended: a slow one comes behind faster ones
//! that began later. So what was shown is remembered, and from time to time the list is looked through again.

use std::collections::BTreeSet;
use std::time::Duration;

use llmops_api::Client;
use llmops_domain::record::{RecordFilter, RequestRecord};

use crate::commands::Context;
use crate::failure::{Failure, Kind, Outcome};

/// How often the newest records are asked for.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// Every so many times the list is looked through for calls that took long.
const LOOK_BACK_EVERY: u32 = 10;
/// How many of the newest records are looked through.
const LOOK_BACK: usize = 2_000;
/// Records asked for at a time to find the newest.
const FEW: u32 = 50;
/// Records asked for at a time to look back.
const MANY: u32 = 500;

/// The newest records that were seen.
#[derive(Default)]
struct Seen {
    ids: BTreeSet<String>,
    /// Records up to this one are not looked at any more.
    floor: Option<String>,
}

impl Seen {
    /// Takes a record in. True: it is new.
    fn insert(&mut self, id: &str) -> bool {
        if self.floor.as_deref().is_some_and(|floor| id <= floor) || !self.ids.insert(id.to_owned()) {
            return false;
        }
        if self.ids.len() >= LOOK_BACK {
            self.floor = self.ids.pop_first();
        }
        true
    }
}

/// Shows new records until the command is interrupted.
pub(super) async fn run(context: &Context, client: &Client, filter: RecordFilter) -> Outcome {
    let mut seen = Seen::default();
    fresh(client, &filter, &mut seen, true).await?;
    context.note("waiting for new records; Ctrl-C ends it");
    for round in (1..LOOK_BACK_EVERY).chain([0]).cycle() {
        tokio::time::sleep(FOLLOW_EVERY).await;
        for record in fresh(client, &filter, &mut seen, round == 0).await?.iter().rev() {
            let line = if context.global.json {
                serde_json::to_string(record).map_err(|e| Failure::because(Kind::Undecided, "no JSON form", &e))?
            } else {
                line(record)
            };
            context.print(&line)?;
        }
    }
    Ok(())
}

/// Records that were not seen before, newest first. Looking back goes through all that is remembered, else it ends with the
/// first page that brings nothing new.
async fn fresh(
    client: &Client,
    filter: &RecordFilter,
    seen: &mut Seen,
    look_back: bool,
) -> Result<Vec<RequestRecord>, Failure> {
    let limit = Some(if look_back { MANY } else { FEW });
    let mut filter = RecordFilter { limit, after: seen.floor.clone(), ..filter.clone() };
    let (mut new, mut looked_at) = (Vec::new(), 0);
    loop {
        let page = client.list_records(&filter).await?;
        looked_at += page.items.len();
        let known = new.len();
        new.extend(page.items.into_iter().filter(|record| seen.insert(&record.id)));
        let goes_on = looked_at < LOOK_BACK && (look_back || new.len() > known);
        filter.cursor = page.next_cursor;
        if filter.cursor.is_none() || !goes_on {
            return Ok(new);
        }
    }
}

/// One record on one line.
fn line(record: &RequestRecord) -> String {
    let tokens = record.usage.prompt_tokens.saturating_add(record.usage.completion_tokens);
    format!(
        "{} {} {} {} {} {:.1} ms {tokens} tokens{}",
        record.at.strftime("%H:%M:%S"),
        record.id,
        record.deployment.as_deref().unwrap_or("–"),
        record.model,
        record.status,
        record.total_ms,
        record.soft_failures.iter().map(|f| format!("; {}", f.detail)).collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_late_is_new_once() {
        let mut seen = Seen::default();
        let id = |number: usize| format!("req_{number:018}");
        // As a list has them: the newest first, and more than are remembered.
        assert!((10..LOOK_BACK + 20).rev().filter(|number| number % 2 == 0).all(|number| seen.insert(&id(number))));
        assert!(seen.insert(&id(15)) && !seen.insert(&id(15)) && !seen.insert(&id(16)));
        for number in (LOOK_BACK..3 * LOOK_BACK).filter(|number| number % 2 == 1) {
            seen.insert(&id(number));
        }
        assert!(seen.ids.len() < LOOK_BACK);
        assert!(!seen.insert(&id(17)), "too far back to be told from what was shown");
        assert!(seen.insert(&id(3 * LOOK_BACK)));
    }
}
