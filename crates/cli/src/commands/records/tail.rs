//! `llmops records tail`: records as they come.
//!
//! A record's id tells when its call began, and it is written when the call has ended: a slow one comes behind faster ones
//! that began later. So what was shown is remembered for as long as a call may take, and the list of that time is looked
//! through again and again.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use llmops_api::{Client, Page};
use llmops_domain::id;
use llmops_domain::record::{RecordFilter, RequestRecord};

use crate::commands::Context;
use crate::failure::{Failure, Kind, Outcome};

/// How often the newest records are asked for.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// Every so many times it is begun to look back for calls that took long, unless that is still under way.
const LOOK_BACK_EVERY: u32 = 10;
/// How far back that goes: what a call may take, and a good while more.
const LONGEST_CALL: SignedDuration = SignedDuration::from_mins(15);
/// Pages of looking back between two looks at the newest records.
const PAGES_BACK: usize = 4;
/// Records that are remembered from before the beginning.
const FIRST: usize = 2_000;
/// Most records that are remembered.
const MOST: usize = 2_000_000;
/// Records asked for at a time to find the newest.
const FEW: u32 = 50;
/// Records asked for at a time beyond these.
const MANY: u32 = 500;

/// The newest records that were seen.
#[derive(Default)]
struct Seen {
    ids: BTreeSet<String>,
    /// Records up to this one are not looked at any more.
    floor: String,
    /// Of those up to this one, which is of before the beginning, not all are known.
    known_from: String,
    /// When the last one of before the beginning ended, in milliseconds since 1970.
    begun: f64,
    /// When the newest one began.
    newest: Timestamp,
    /// Where looking back goes on; nothing: it is not under way.
    back: Option<String>,
}

/// When a call ended, in milliseconds since 1970.
fn ended(record: &RequestRecord) -> f64 {
    record.at.as_millisecond() as f64 + record.total_ms
}

impl Seen {
    /// Remembers what was there before.
    fn begin(records: &[RequestRecord]) -> Self {
        let newest = records.iter().map(|record| record.at).max().unwrap_or_default();
        let begun = records.iter().map(ended).fold(f64::MIN, f64::max);
        let ids: BTreeSet<String> = records.iter().map(|record| record.id.clone()).collect();
        let is_all = records.len() < FIRST;
        let known_from = ids.first().filter(|_| !is_all).cloned().unwrap_or_default();
        Self { ids, known_from, begun, newest, ..Self::default() }
    }

    /// Takes a record in. True: it is new.
    fn insert(&mut self, record: &RequestRecord) -> bool {
        self.newest = self.newest.max(record.at);
        record.id > self.floor
            && self.ids.insert(record.id.clone())
            && (record.id > self.known_from || ended(record) > self.begun)
    }

    /// Forgets what no call that is still to come can have begun before. A record with a time ahead does not count.
    fn forget(&mut self, now: Timestamp) {
        let oldest = self.newest.min(now).checked_sub(LONGEST_CALL).unwrap_or_default();
        self.floor = id::request(oldest.as_millisecond(), 0).max(std::mem::take(&mut self.floor));
        self.ids = self.ids.split_off(&self.floor);
        while self.ids.len() > MOST {
            self.floor = self.ids.pop_first().unwrap_or_default();
        }
    }

    fn after(&self) -> Option<String> {
        (!self.floor.is_empty()).then(|| self.floor.clone())
    }
}

/// Shows new records until the command is interrupted.
pub(super) async fn run(context: &Context, client: &Client, filter: RecordFilter) -> Outcome {
    let list = async |filter: &RecordFilter| client.list_records(filter).await;
    let mut seen = first(&list, &filter).await?;
    context.note("waiting for new records; Ctrl-C ends it");
    for round in (1..LOOK_BACK_EVERY).chain([0]).cycle() {
        tokio::time::sleep(FOLLOW_EVERY).await;
        seen.forget(llmops_domain::clock::now());
        for record in fresh(&list, &filter, &mut seen, round == 0).await?.iter().rev() {
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

/// What is there at the beginning.
async fn first<E>(
    list: impl AsyncFn(&RecordFilter) -> Result<Page<RequestRecord>, E>,
    filter: &RecordFilter,
) -> Result<Seen, E> {
    let mut filter = RecordFilter { limit: Some(MANY), ..filter.clone() };
    let mut records = Vec::new();
    while records.len() < FIRST {
        let page = list(&filter).await?;
        records.extend(page.items);
        filter.cursor = page.next_cursor;
        if filter.cursor.is_none() {
            break;
        }
    }
    Ok(Seen::begin(&records))
}

/// Records that were not seen before, newest first: from the newest on, however many, until a page brings nothing new; and
/// from where looking back has come to, some pages.
async fn fresh<E>(
    list: impl AsyncFn(&RecordFilter) -> Result<Page<RequestRecord>, E>,
    filter: &RecordFilter,
    seen: &mut Seen,
    look_back: bool,
) -> Result<Vec<RequestRecord>, E> {
    let mut filter = RecordFilter { limit: Some(FEW), after: seen.after(), ..filter.clone() };
    let mut new = Vec::new();
    loop {
        let page = list(&filter).await?;
        let known = new.len();
        new.extend(page.items.into_iter().filter(|record| seen.insert(record)));
        let (limit, cursor) = (Some(MANY), page.next_cursor);
        filter = RecordFilter { limit, cursor, ..filter };
        if filter.cursor.is_none() || new.len() == known {
            break;
        }
    }
    if look_back && seen.back.is_none() {
        seen.back.clone_from(&filter.cursor);
    }
    for _ in 0..PAGES_BACK {
        let Some(cursor) = seen.back.take() else { break };
        filter = RecordFilter { limit: Some(MANY), cursor: Some(cursor), ..filter };
        let page = list(&filter).await?;
        new.extend(page.items.into_iter().filter(|record| seen.insert(record)));
        seen.back = page.next_cursor;
    }
    Ok(new)
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

    /// A call that began and ended so many milliseconds after 1970.
    fn record(began: i64, ended: i64) -> RequestRecord {
        let record = serde_json::json!({"id": id::request(began, 0), "at": Timestamp::from_millisecond(began).unwrap(),
            "door": "chat", "model": "sim/small", "stream": false, "total_ms": ended - began, "status": 200, "outcome": "ok",
            "attempts": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}});
        serde_json::from_value(record).unwrap()
    }

    /// When the calls began that are shown of these (when they began and ended, in the order of the former) by a tail that begins
    /// and looks at these times.
    async fn check(calls: &[(i64, i64)], looks: impl Iterator<Item = i64>) -> Vec<i64> {
        let now = std::cell::Cell::new(0);
        let list = async |filter: &RecordFilter| {
            let before = |cursor: &String| calls.partition_point(|(began, _)| id::request(*began, 0) < *cursor);
            let older = &calls[..filter.cursor.as_ref().map_or(calls.len(), before)];
            let there = older.iter().rev().filter(|(_, ended)| *ended <= now.get()).map(|(a, b)| record(*a, *b));
            let limit = filter.limit.unwrap() as usize;
            let is_newer = |record: &RequestRecord| filter.after.as_ref().is_none_or(|after| record.id > *after);
            let mut items: Vec<_> = there.take_while(is_newer).take(limit + 1).collect();
            let next_cursor = (items.len() > limit).then(|| items[limit - 1].id.clone());
            items.truncate(limit);
            Ok::<_, ()>(Page { items, next_cursor })
        };
        let mut seen: Option<Seen> = None;
        let mut shown = Vec::new();
        for (round, at) in looks.enumerate() {
            now.set(at);
            let Some(seen) = &mut seen else {
                seen = Some(first(&list, &RecordFilter::default()).await.unwrap());
                continue;
            };
            seen.forget(Timestamp::from_millisecond(at).unwrap());
            let found = fresh(&list, &RecordFilter::default(), seen, round % 10 == 0).await.unwrap();
            shown.extend(found.iter().rev().map(|record| record.at.as_millisecond()));
        }
        shown
    }

    #[tokio::test]
    async fn everything_is_shown_once_however_much_comes_between_two_looks() {
        // Five thousand between two looks, and a quarter takes a second.
        let calls: Vec<_> = (1..40_000).map(|at| (at, at + if at % 4 == 0 { 1_000 } else { 1 })).collect();
        let mut shown = check(&calls, (1..200).map(|look| look * 5_000)).await;
        shown.sort_unstable();
        let since: Vec<_> = calls.iter().filter(|(_, ended)| *ended > 5_000).map(|(began, _)| *began).collect();
        assert_eq!(shown, since);
    }

    #[tokio::test]
    async fn a_slow_call_is_shown_behind_thousands_of_faster_ones() {
        let minutes = 60_000;
        let mut calls: Vec<_> = (0..6_000).map(|n| (n * 100, n * 100 + 1)).collect();
        calls.insert(10, (905, 9 * minutes));
        // It began before those that are known at the beginning, and took longer than all of them.
        calls.insert(1, (5, 8 * minutes));
        let shown = check(&calls, (500..1_500).map(|look| look * 1_000)).await;
        assert!(shown.contains(&905) && !shown.contains(&5), "the other one ended before the beginning");
        assert_eq!(shown.len(), 1 + 1_000, "those of before the beginning are not shown");
    }
}
