//! The units of a batch: looked up, made, and written with what they count with.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use llmops_domain::experiment::assignment::segment_value;

use super::apply::hash;
use super::recompute::rows_of;
use super::sums::Deltas;
use super::unit::{UnitState, name_hash};
use super::{ALL, ALLOCATION, NewObservation, ObservedExperiment, PARTS, keeps_sketch, unit_value};
use crate::StoreError;
use crate::bulk::{Insert, fetch_rows, insert_rows};
use crate::db::{Tx, big, count, fetch};

/// Most bytes of a segment's value that are indexed as they are; those that are cut have fewer.
const LONGEST_SEGMENT: usize = 1000;
/// Begins the name of a unit that stands for a single observation without unit. No name of a real one begins so.
const NAMELESS: char = '\u{1}';

const INSERT_UNITS: Insert = Insert {
    head: "INSERT INTO observed_units \
           (key, experiment_key, unit, project_id, variant, several, segments, state, epoch) VALUES",
    columns: 9,
    tail: "",
};
const CHANGE_UNITS: Insert = Insert {
    head: "UPDATE observed_units SET several = v.column2, state = v.column3 FROM (VALUES",
    columns: 3,
    tail: ") AS v WHERE observed_units.key = v.column1",
};
const FIND_UNITS: Insert = Insert {
    head: "SELECT u.key, u.unit, u.variant, u.several, u.segments, u.state, u.epoch FROM (VALUES",
    columns: 2,
    tail: ") AS v JOIN observed_units AS u ON u.experiment_key = v.column1 AND u.unit = v.column2",
};
const FIND_EXPOSURES: Insert = Insert {
    head: "SELECT u.unit, u.variant, u.segments, u.epoch, u.at FROM (VALUES",
    columns: 2,
    tail: ") AS v JOIN experiment_units AS u ON u.experiment_key = v.column1 AND u.unit = v.column2",
};

/// One unit of the batch.
pub(super) struct UnitRow {
    pub(super) key: i64,
    pub(super) name: String,
    pub(super) variant: usize,
    pub(super) several: bool,
    pub(super) segments: String,
    /// The allocation under which it came, where its exposure tells and that is asked for.
    pub(super) epoch: Option<usize>,
    /// When it was exposed, where that is known.
    pub(super) exposed: Option<i64>,
    pub(super) state: UnitState,
    /// As it was before the batch.
    pub(super) old: UnitState,
    pub(super) was_several: bool,
    pub(super) is_new: bool,
    /// New observations, by metric.
    pub(super) values: Vec<(usize, f64)>,
    /// Observations of before that count no more, by metric.
    pub(super) gone: Vec<(usize, f64)>,
}

/// The names that a unit may have which results show as this.
pub(crate) fn unit_names(shown: &str) -> [String; 2] {
    [shown.to_owned(), format!("{NAMELESS}{shown}")]
}

/// The name of the unit that an observation belongs to.
fn unit_name(observation: &NewObservation) -> String {
    match (&observation.unit, &observation.key) {
        (Some(unit), _) => unit.clone(),
        (None, Some(key)) => format!("{NAMELESS}{} {key}", observation.metric),
        (None, None) => format!("{NAMELESS}{:032x}", rand::random::<u128>()),
    }
}

pub(super) struct Units {
    pub(super) rows: Vec<UnitRow>,
}

type Stored = (i64, String, i64, i64, String, Vec<u8>, i64);
/// What the exposure of a unit tells: variant, segments, allocation, when.
type Exposed = (usize, String, usize, i64);

impl Units {
    /// The units of a batch, and the place of each observation's among them. Units that are not known yet are made, where
    /// their variant can be told.
    pub(super) async fn load(
        tx: &mut Tx,
        experiment: &ObservedExperiment,
        all: &[(usize, usize, &NewObservation)],
    ) -> Result<(Self, Vec<Option<usize>>), StoreError> {
        let names: Vec<String> = all.iter().map(|(.., o)| unit_name(o)).collect();
        let distinct: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let distinct: Vec<&str> = distinct.into_iter().collect();
        let mut units = Self { rows: Vec::with_capacity(distinct.len()) };
        let mut index: HashMap<String, usize> = HashMap::with_capacity(distinct.len());
        // Of all: a unit may have been exposed after it was first recorded, and elsewhere.
        let exposures = exposures(tx, experiment, &distinct).await?;
        for (key, name, variant, several, segments, state, epoch) in stored_units(tx, experiment, &distinct).await? {
            let (state, variant) = (UnitState::from_bytes(&state)?, count(variant)?);
            let exposed = exposures.get(&name);
            let is_elsewhere = exposed.is_some_and(|exposed| exposed.0 != variant);
            let exposed = exposed.map(|exposed| exposed.3);
            index.insert(name.clone(), units.rows.len());
            units.rows.push(UnitRow {
                key,
                name,
                variant,
                several: several != 0 || is_elsewhere,
                segments,
                epoch: usize::try_from(epoch).ok().filter(|_| experiment.by_allocation),
                exposed,
                old: state.clone(),
                state,
                was_several: several != 0,
                is_new: false,
                values: Vec::new(),
                gone: Vec::new(),
            });
        }
        let missing = distinct.into_iter().filter(|name| !index.contains_key(*name)).count();
        let mut keys = new_keys(tx, missing).await?;
        let mut places = Vec::with_capacity(all.len());
        for (name, (.., observation)) in names.into_iter().zip(all) {
            let place = if let Some(place) = index.get(&name) {
                Some(*place)
            } else {
                let exposed = exposures.get(&name);
                let variant = exposed.map(|e| e.0).or(observation.variant).or(observation.assigned);
                variant.zip(keys.next()).map(|(variant, key)| {
                    let segments = exposed.map_or_else(String::new, |e| e.1.clone());
                    let epoch = exposed.map(|e| e.2).filter(|_| experiment.by_allocation);
                    index.insert(name.clone(), units.rows.len());
                    let exposed = exposed.map(|e| e.3);
                    units.rows.push(UnitRow { epoch, exposed, ..UnitRow::new(key, name, variant, segments) });
                    units.rows.len() - 1
                })
            };
            if let (Some(place), Some(named)) = (place, observation.variant) {
                units.rows[place].several |= units.rows[place].variant != named;
            }
            places.push(place);
        }
        Ok((units, places))
    }

    /// Reads what units were observed with that are left out from now on, as far as more than sums is kept of it.
    pub(super) async fn load_gone(
        &mut self,
        tx: &mut Tx,
        experiment: &ObservedExperiment,
        names: &HashMap<&str, usize>,
    ) -> Result<(), StoreError> {
        let sketched: HashSet<&str> =
            experiment.metrics.iter().filter(|m| keeps_sketch(m)).map(|m| m.name.as_str()).collect();
        let left = self.rows.iter().enumerate().filter(|(_, u)| u.several && !u.was_several && !u.is_new);
        let places: HashMap<i64, usize> = left.map(|(place, unit)| (unit.key, place)).collect();
        if sketched.is_empty() || places.is_empty() {
            return Ok(());
        }
        let keys: Vec<i64> = places.keys().copied().collect();
        for (unit, metric, value, _) in rows_of(&mut tx.raw(), &keys).await? {
            let name = names.get(metric.as_str()).filter(|_| sketched.contains(metric.as_str()));
            if let Some((place, name)) = places.get(&unit).zip(name) {
                self.rows[*place].gone.push((*name, value));
            }
        }
        Ok(())
    }

    /// Writes what changed of the units.
    pub(super) async fn store(&self, tx: &mut Tx, experiment: &ObservedExperiment) -> Result<(), StoreError> {
        let mut new: Vec<(&UnitRow, Vec<u8>)> =
            self.rows.iter().filter(|unit| unit.is_new).map(|unit| (unit, unit.state.to_bytes())).collect();
        // In the order of the names, as the index is.
        new.sort_by(|a, b| a.0.name.cmp(&b.0.name));
        insert_rows!(
            tx,
            INSERT_UNITS,
            &new,
            |row| row.0.key,
            experiment.key.key,
            &row.0.name,
            &*experiment.key.project,
            big(row.0.variant as u64),
            i64::from(row.0.several),
            &row.0.segments,
            &row.1,
            row.0.epoch.map_or(-1, |epoch| big(epoch as u64))
        )
        .await?;
        let changed = self.rows.iter().filter(|u| !u.is_new && (!u.values.is_empty() || u.several != u.was_several));
        let changed: Vec<&UnitRow> = changed.collect();
        insert_rows!(tx, CHANGE_UNITS, &changed, |unit| unit.key, i64::from(unit.several), unit.state.to_bytes())
            .await?;
        Ok(())
    }

    /// What changes in the sums.
    pub(super) fn deltas(&self, experiment: &ObservedExperiment) -> Deltas {
        let mut deltas = Deltas::default();
        let names: Vec<String> = experiment.names().into_iter().map(str::to_owned).collect();
        for unit in &self.rows {
            if unit.several && !unit.was_several {
                deltas.excluded.push(unit.visible_name());
            }
            let now = Some(&unit.state).filter(|state| !unit.several && state.is_observed());
            let before = Some(&unit.old).filter(|old| !unit.was_several && old.is_observed());
            deltas.count(unit, before.is_some(), now.is_some());
            if unit.several && unit.was_several {
                continue;
            }
            for metric in &experiment.metrics {
                let of = |state: Option<&UnitState>| {
                    let value = unit_value(metric, |name| state?.cluster(name_hash(name)))?;
                    Some((value, state?.cluster(name_hash(&metric.name)).map_or(0, |cluster| cluster.n)))
                };
                let change = (of(before), of(now));
                let of_metric = |values: &[(usize, f64)]| -> Vec<f64> {
                    let own = values.iter().filter(|(name, _)| names.get(*name) == Some(&metric.name));
                    own.map(|(_, value)| *value).collect()
                };
                let values = if now.is_some() { of_metric(&unit.values) } else { Vec::new() };
                if change.0 == change.1 && values.is_empty() && unit.old.first == unit.state.first {
                    continue;
                }
                deltas.change(unit, metric, change, (&values, &of_metric(&unit.gone)));
            }
        }
        deltas
    }
}

impl UnitRow {
    pub(super) fn new(key: i64, name: String, variant: usize, segments: String) -> Self {
        let (state, old) = (UnitState::default(), UnitState::default());
        Self {
            key,
            name,
            variant,
            several: false,
            segments,
            epoch: None,
            exposed: None,
            state,
            old,
            was_several: false,
            is_new: true,
            values: Vec::new(),
            gone: Vec::new(),
        }
    }

    pub(super) fn observe(&mut self, names: &HashMap<&str, usize>, (metric, value, at): (&str, f64, i64)) {
        self.state.add(name_hash(metric), value, at);
        if let Some(&name) = names.get(metric) {
            self.values.push((name, value));
        }
    }

    /// Takes up a new value of an observation that is known.
    pub(super) fn replace(&mut self, names: &HashMap<&str, usize>, observation: &NewObservation, before: f64) {
        self.state.replace(name_hash(&observation.metric), before, observation.value);
        if let Some(&name) = names.get(observation.metric.as_str()) {
            self.values.push((name, observation.value));
            // Of a unit that is left out from now on, all that was stored goes.
            if !self.several {
                self.gone.push((name, before));
            }
        }
    }

    pub(super) fn is_named(&self) -> bool {
        !self.name.starts_with(NAMELESS)
    }

    pub(super) fn visible_name(&self) -> String {
        self.name.trim_start_matches(NAMELESS).to_owned()
    }

    /// Where a unit with this first time counts.
    pub(super) fn slices(&self, first: i64) -> Vec<String> {
        let day = Timestamp::from_microsecond(first)
            .map(|at| format!("day/{}", TimeZone::UTC.to_datetime(at).date()))
            .unwrap_or_default();
        let segments: BTreeMap<String, serde_json::Value> = serde_json::from_str(&self.segments).unwrap_or_default();
        let named = segments.into_iter().filter_map(|(name, value)| segment_slice(&name, &value));
        let allocation = self.epoch.map(|epoch| format!("{ALLOCATION}{epoch}"));
        [ALL.to_owned(), day].into_iter().chain(named).chain(allocation).collect()
    }

    pub(super) fn part(&self) -> String {
        format!("part/{:02}", hash(&[self.name.as_bytes()]).cast_unsigned() % PARTS)
    }
}

/// The slice of the units with this attribute.
pub(super) fn segment_slice(name: &str, value: &serde_json::Value) -> Option<String> {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut shown = text(value);
    // Of an exposure that was stored before segments were kept short.
    if shown.len() > LONGEST_SEGMENT || shown.contains('\0') {
        shown = text(&segment_value(value)?);
    }
    Some(format!("segment/{name}={shown}"))
}

async fn stored_units(tx: &mut Tx, experiment: &ObservedExperiment, names: &[&str]) -> Result<Vec<Stored>, StoreError> {
    let key = experiment.number();
    fetch_rows!(tx, Stored, FIND_UNITS, names, |name| key, *name).await
}

/// What is known of units that were exposed.
async fn exposures(
    tx: &mut Tx,
    experiment: &ObservedExperiment,
    names: &[&str],
) -> Result<HashMap<String, Exposed>, StoreError> {
    let key = experiment.number();
    let named: Vec<&str> = names.iter().copied().filter(|name| !name.starts_with(NAMELESS)).collect();
    let found = fetch_rows!(tx, (String, i64, String, i64, i64), FIND_EXPOSURES, &named, |name| key, *name).await?;
    let read = |(unit, variant, segments, epoch, at)| {
        Ok::<_, StoreError>((unit, (count(variant)?, segments, count(epoch)?, at)))
    };
    found.into_iter().map(read).collect()
}

/// Keys for so many new units, ascending.
async fn new_keys(tx: &mut Tx, n: usize) -> Result<std::vec::IntoIter<i64>, StoreError> {
    if n == 0 {
        return Ok(Vec::new().into_iter());
    }
    let keys: Vec<i64> = match tx {
        Tx::Sqlite(_) => {
            let (last,) = fetch!(fetch_one, tx, (i64,), "SELECT COALESCE(MAX(key), 0) FROM observed_units")?;
            (last + 1..=last + big(n as u64)).collect()
        }
        Tx::Postgres(_) => {
            let sql = "SELECT nextval('observed_units_key') FROM generate_series(1, $1)";
            let rows = fetch!(fetch_all, tx, (i64,), sql, big(n as u64))?;
            rows.into_iter().map(|(key,)| key).collect()
        }
    };
    Ok(keys.into_iter())
}
