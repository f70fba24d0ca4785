//! Applies a batch of observations: rows, units and sums, in the writer's transaction.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::sums::put_sums;
use super::units::Units;
use super::{NewObservation, ObservedExperiment, Recorded};
use crate::StoreError;
use crate::bulk::{Insert, fetch_rows, insert_rows};
use crate::db::{Tx, big, fetch};

const INSERT_ROWS: Insert = Insert {
    head: "INSERT INTO observations (unit_key, digest, project_id, metric, value, at) VALUES",
    columns: 6,
    tail: "ON CONFLICT DO NOTHING",
};
const KNOWN_ROWS: Insert = Insert {
    head: "SELECT o.unit_key, o.digest, o.value, o.metric FROM (VALUES",
    columns: 2,
    tail: ") AS v JOIN observations AS o ON o.unit_key = v.column1 AND o.digest = v.column2",
};
const REPLACE_VALUES: Insert = Insert {
    head: "UPDATE observations SET value = v.column3 FROM (VALUES",
    columns: 3,
    tail: ") AS v WHERE observations.unit_key = v.column1 AND observations.digest = v.column2",
};
/// A row to insert.
struct ObservationRow<'a> {
    unit_key: i64,
    digest: i64,
    /// As it is stored.
    metric: Cow<'a, str>,
    value: f64,
    at: i64,
}

/// Begins the stored name of a metric whose observation does not count. No metric's name begins so.
const DOES_NOT_COUNT: char = '\u{1}';

/// A job of the writer.
pub(crate) struct Batch {
    pub(crate) experiment: Arc<ObservedExperiment>,
    pub(crate) observations: Vec<NewObservation>,
}

/// Applies batches of one experiment, one after the other, and says what became of each.
pub(crate) async fn apply(tx: &mut Tx, batches: &[&Batch]) -> Result<Vec<Recorded>, StoreError> {
    let Some(first) = batches.first() else { return Ok(Vec::new()) };
    let experiment = &*first.experiment;
    lock(tx, experiment.number()).await?;
    let all: Vec<(usize, usize, &NewObservation)> = batches
        .iter()
        .enumerate()
        .flat_map(|(batch, job)| job.observations.iter().enumerate().map(move |(i, o)| (batch, i, o)))
        .collect();
    let (mut units, places) = Units::load(tx, experiment, &all).await?;
    let mut recorded = vec![Recorded::default(); batches.len()];
    let mut rows = gather(experiment, &all, &units, &places, &mut recorded);
    let known = known_rows(tx, &units, &all, &rows).await?;
    let names: HashMap<&str, usize> = experiment.names().into_iter().enumerate().map(|(i, name)| (name, i)).collect();
    let (mut replaced, mut early) = (Vec::new(), 0);
    rows.retain(|(row, position, place)| {
        let (batch, _, observation) = all[*position];
        let before = known.get(&(row.unit_key, row.digest));
        match before {
            None => {
                recorded[batch].accepted += 1;
                if row.metric.starts_with(DOES_NOT_COUNT) {
                    recorded[batch].early += 1;
                    early += 1;
                } else {
                    units.rows[*place].observe(&names, (&row.metric, row.value, row.at));
                }
            }
            Some((before, counts)) => {
                recorded[batch].duplicates += 1;
                if observation.replaces && *before != row.value {
                    recorded[batch].replaced += 1;
                    if *counts {
                        units.rows[*place].replace(&names, observation, *before);
                    }
                    replaced.push((row.unit_key, row.digest, row.value));
                }
            }
        }
        before.is_none()
    });
    units.load_gone(tx, experiment, &names).await?;
    insert_rows!(tx, REPLACE_VALUES, &replaced, |row| row.0, row.1, row.2).await?;
    units.store(tx, experiment).await?;
    insert(tx, experiment, &rows.iter().map(|(row, ..)| row).collect::<Vec<_>>()).await?;
    let deltas = units.deltas(experiment).with_early(early);
    put_sums(tx, experiment, deltas).await?;
    Ok(recorded)
}

/// The rows of a batch, each of them once, in their order; of others, tells what became of them.
fn gather<'a>(
    experiment: &ObservedExperiment,
    all: &[(usize, usize, &'a NewObservation)],
    units: &Units,
    places: &[Option<usize>],
    recorded: &mut [Recorded],
) -> Vec<(ObservationRow<'a>, usize, usize)> {
    let mut rows: Vec<(ObservationRow<'_>, usize, usize)> = Vec::with_capacity(all.len());
    let mut seen: HashMap<(i64, i64), usize> = HashMap::with_capacity(all.len());
    for (position, (&(batch, i, observation), place)) in all.iter().zip(places).enumerate() {
        let Some(place) = *place else {
            recorded[batch].unassigned.push(i);
            continue;
        };
        let is_early = experiment.is_early(observation, units.rows[place].exposed);
        let row = row(units.rows[place].key, observation, is_early);
        match seen.entry((row.unit_key, row.digest)) {
            Entry::Vacant(first) => {
                first.insert(rows.len());
                rows.push((row, position, place));
            }
            Entry::Occupied(first) => {
                let known = &mut rows[*first.get()];
                let other = if observation.replaces { all[known.1].0 } else { batch };
                recorded[other].duplicates += 1;
                if observation.replaces {
                    // When it was observed stays, and so does whether it counts.
                    let metric = known.0.metric.clone();
                    *known = (ObservationRow { at: known.0.at, metric, ..row }, position, place);
                }
            }
        }
    }
    rows.sort_by_key(|(row, ..)| (row.unit_key, row.digest));
    rows
}

/// Replicas keep the sums of an experiment one after the other. SQLite has one writer anyway.
pub(crate) async fn lock(tx: &mut Tx, experiment: i64) -> Result<(), StoreError> {
    if let Tx::Postgres(_) = tx {
        fetch!(fetch_all, tx, (), "SELECT pg_advisory_xact_lock(1819045231, CAST($1 AS INTEGER))", experiment)?;
    }
    Ok(())
}

/// The beginning of the SHA-256: the same in every process and version.
pub(super) fn hash(parts: &[&[u8]]) -> i64 {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update(big(part.len() as u64).to_le_bytes());
        sha.update(part);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&sha.finalize()[..8]);
    i64::from_le_bytes(first)
}

/// The digest is that of key and metric; without key, that of metric, time and value; else nothing is the same.
fn row(unit_key: i64, observation: &NewObservation, is_early: bool) -> ObservationRow<'_> {
    let NewObservation { metric, value, at, is_dated, key, .. } = observation;
    let digest = match key {
        Some(key) => hash(&[b"key", metric.as_bytes(), key.as_bytes()]),
        None if *is_dated => hash(&[b"at", metric.as_bytes(), &at.to_le_bytes(), &value.to_le_bytes()]),
        None => rand::random(),
    };
    let metric = if is_early { format!("{DOES_NOT_COUNT}{metric}").into() } else { metric.into() };
    ObservationRow { unit_key, digest, metric, value: *value, at: *at }
}

/// Rows that are there already, with their values and whether they count. Asked for are those alone that may be: of known units, with a
/// key or a time.
async fn known_rows(
    tx: &mut Tx,
    units: &Units,
    all: &[(usize, usize, &NewObservation)],
    rows: &[(ObservationRow<'_>, usize, usize)],
) -> Result<HashMap<(i64, i64), (f64, bool)>, StoreError> {
    let may_be = |(_, position, place): &&(ObservationRow<'_>, usize, usize)| {
        let observation = all[*position].2;
        !units.rows[*place].is_new && (observation.key.is_some() || observation.is_dated)
    };
    let asked: Vec<(i64, i64)> = rows.iter().filter(may_be).map(|(row, ..)| (row.unit_key, row.digest)).collect();
    let found = fetch_rows!(tx, (i64, i64, f64, String), KNOWN_ROWS, &asked, |row| row.0, row.1).await?;
    let counts = |metric: &str| !metric.starts_with(DOES_NOT_COUNT);
    Ok(found.into_iter().map(|(unit, digest, value, metric)| ((unit, digest), (value, counts(&metric)))).collect())
}

async fn insert(tx: &mut Tx, experiment: &ObservedExperiment, rows: &[&ObservationRow<'_>]) -> Result<(), StoreError> {
    insert_rows!(
        tx,
        INSERT_ROWS,
        rows,
        |row| row.unit_key,
        row.digest,
        &*experiment.key.project,
        &*row.metric,
        row.value,
        row.at
    )
    .await?;
    Ok(())
}
