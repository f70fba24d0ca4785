//! The sums over units, and what a batch changes in them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use llmops_domain::experiment::{MetricKind, MetricSpec};
use llmops_stats::StatsError;
use llmops_stats::sketch::Sketch;
use llmops_stats::unit_sums::UnitValue;

use super::tally::Tallies;
use super::units::UnitRow;
use super::{ALL, EARLY, EXAMPLES, MetricSums, ObservedExperiment, Sums, UNITS, UnitCount, decode_sums, keeps_sketch};
use crate::StoreError;
use crate::bulk::{Insert, fetch_rows, insert_rows};
use crate::db::{Tx, big, count};

const PUT_SUMS: Insert = Insert {
    head: "INSERT INTO observation_sums (experiment_key, slice, variant, metric, project_id, state) VALUES",
    columns: 6,
    tail: "ON CONFLICT (experiment_key, slice, variant, metric) DO UPDATE SET state = excluded.state",
};

const FIND_SUMS: Insert = Insert {
    head: "SELECT s.slice, s.variant, s.metric, s.state FROM (VALUES",
    columns: 4,
    tail: ") AS v JOIN observation_sums AS s ON s.experiment_key = v.column1 AND s.slice = v.column2 \
           AND s.variant = v.column3 AND s.metric = v.column4",
};

/// Slice, variant, metric and state.
type SumsFound = (String, i64, String, Vec<u8>);
pub(super) type Place = (String, usize, String);
pub(super) type Counted = Option<(UnitValue, u64)>;

/// Changes of sums, by slice, variant and metric.
#[derive(Default)]
pub(super) struct Deltas {
    metrics: BTreeMap<Place, Vec<(Counted, Counted)>>,
    values: BTreeMap<Place, Vec<f64>>,
    /// Values that are added, and those that are taken out.
    sketches: BTreeMap<Place, (Vec<f64>, Vec<f64>)>,
    units: BTreeMap<usize, i64>,
    pub(super) excluded: Vec<String>,
    /// Observations that do not count.
    early: u64,
    /// Metrics of which more than sums is kept.
    kept: HashMap<String, Kept>,
}

/// What is kept of a metric beside its sums.
#[derive(Debug, Clone, Copy, Default)]
struct Kept {
    tally: bool,
    histogram: bool,
}

impl Deltas {
    pub(super) fn with_early(self, early: u64) -> Self {
        Self { early, ..self }
    }

    pub(super) fn count(&mut self, unit: &UnitRow, before: bool, now: bool) {
        if unit.is_named() && before != now {
            *self.units.entry(unit.variant).or_default() += if now { 1 } else { -1 };
        }
    }

    pub(super) fn change(
        &mut self,
        unit: &UnitRow,
        metric: &MetricSpec,
        (before, now): (Counted, Counted),
        (values, gone): (&[f64], &[f64]),
    ) {
        let place = |slice: String| (slice, unit.variant, metric.name.clone());
        if !self.kept.contains_key(&metric.name) {
            let kept = Kept { tally: metric.kind() == MetricKind::Ordinal, histogram: metric.winsorize.is_some() };
            self.kept.insert(metric.name.clone(), kept);
        }
        let (old, new) = (unit.slices(unit.old.first), unit.slices(unit.state.first));
        let stays = before.is_some() && old == new;
        for slice in &new {
            self.metrics.entry(place(slice.clone())).or_default().push((before.filter(|_| stays), now));
            self.values.entry(place(slice.clone())).or_default().extend(values);
        }
        if let Some(before) = before.filter(|_| !stays) {
            for slice in old {
                self.metrics.entry(place(slice)).or_default().push((Some(before), None));
            }
        }
        if keeps_sketch(metric) {
            let (added, removed) = self.sketches.entry(place(unit.part())).or_default();
            added.extend(values);
            removed.extend(gone);
        }
    }
}

fn refused(error: &StatsError) -> StoreError {
    StoreError::Corrupt(format!("the sums of an experiment do not fit its units: {error}"))
}

fn change_sums(
    sums: &mut MetricSums,
    keeps_histogram: bool,
    changes: &[(Counted, Counted)],
    values: &[f64],
) -> Result<(), StoreError> {
    // Of units that came before it was kept it could tell nothing.
    let histogram = keeps_histogram && (sums.histogram.is_some() || sums.sums.units() == 0);
    for (before, now) in changes {
        if let Some((unit, n)) = before {
            sums.sums.remove(*unit).map_err(|e| refused(&e))?;
            sums.observations = sums.observations.saturating_sub(*n);
        }
        if let Some((unit, n)) = now {
            sums.sums.add(*unit).map_err(|e| refused(&e))?;
            sums.observations += n;
        }
        if histogram {
            let histogram = sums.histogram.get_or_insert_default();
            before.map_or(Ok(()), |(unit, _)| histogram.remove(unit)).map_err(|e| refused(&e))?;
            now.map_or(Ok(()), |(unit, _)| histogram.add(unit)).map_err(|e| refused(&e))?;
        }
    }
    for value in values {
        sums.min = Some(sums.min.map_or(*value, |min| min.min(*value)));
        sums.max = Some(sums.max.map_or(*value, |max| max.max(*value)));
    }
    Ok(())
}

impl MetricSums {
    /// Takes up the sums of other units.
    pub(super) fn merge(&mut self, other: &Self) {
        self.histogram = match (self.histogram.take(), &other.histogram) {
            (Some(mut own), Some(theirs)) => {
                own.merge(theirs);
                Some(own)
            }
            // Of some of the units it was not kept.
            _ => None,
        };
        self.sums.merge(&other.sums);
        self.observations += other.observations;
        self.min = [self.min, other.min].into_iter().flatten().reduce(f64::min);
        self.max = [self.max, other.max].into_iter().flatten().reduce(f64::max);
        if let Some(theirs) = &other.tally {
            let own = self.tally.get_or_insert_default();
            for (value, count) in theirs {
                match own.binary_search_by(|(known, _)| known.total_cmp(value)) {
                    Ok(i) => own[i].1 += count,
                    Err(i) => own.insert(i, (*value, *count)),
                }
            }
        }
    }
}

/// Reads the sums that change, changes and writes them.
pub(super) async fn put_sums(tx: &mut Tx, experiment: &ObservedExperiment, deltas: Deltas) -> Result<(), StoreError> {
    let units = deltas.units.keys().map(|variant| (ALL.to_owned(), *variant, UNITS.to_owned()));
    let excluded = (!deltas.excluded.is_empty()).then(|| ("excluded".to_owned(), 0, UNITS.to_owned()));
    let early = (deltas.early > 0).then(|| (EARLY.to_owned(), 0, UNITS.to_owned()));
    let places: BTreeSet<Place> = deltas
        .metrics
        .keys()
        .chain(deltas.sketches.keys())
        .cloned()
        .chain(units)
        .chain(excluded)
        .chain(early)
        .collect();
    let mut sums = load_sums(tx, experiment, &places).await?;
    let mut tallies = Tallies::default();
    for (place, sums) in &mut sums {
        if let Sums::Metric(sums) = sums {
            tallies.take(place, sums);
        }
    }
    add_deltas((&mut sums, &mut tallies), deltas)?;
    tallies.store(tx, experiment).await?;
    let no_json = |e: serde_json::Error| StoreError::Invalid(format!("sums have no JSON form: {e}"));
    let mut rows = Vec::with_capacity(sums.len());
    for (place, sums) in sums {
        let state = match sums {
            Sums::Metric(sums) => serde_json::to_vec(&sums).map_err(no_json)?,
            Sums::Units(count) => serde_json::to_vec(&count).map_err(no_json)?,
            Sums::Sketch(sketch) => sketch.to_bytes(),
        };
        rows.push((place, state));
    }
    insert_rows!(
        tx,
        PUT_SUMS,
        &rows,
        |row| experiment.key.key,
        &row.0.0,
        big(row.0.1 as u64),
        &row.0.2,
        &*experiment.key.project,
        &row.1
    )
    .await?;
    Ok(())
}

/// Changes the sums, and how often values occur.
pub(super) fn add_deltas(
    (sums, tallies): (&mut BTreeMap<Place, Sums>, &mut Tallies),
    mut deltas: Deltas,
) -> Result<(), StoreError> {
    for (place, mut changes) in deltas.metrics {
        let kept = deltas.kept.get(&place.2).copied().unwrap_or_default();
        let values = deltas.values.remove(&place).unwrap_or_default();
        if !sums.contains_key(&place) {
            // From a slice that is not there nothing can be taken: the unit counted under a name that is no longer given.
            for (before, _) in &mut changes {
                *before = None;
            }
        }
        if kept.tally {
            for (before, now) in &changes {
                if let Some((unit, _)) = before {
                    tallies.count(&place, unit.value, -1);
                }
                if let Some((unit, _)) = now {
                    tallies.count(&place, unit.value, 1);
                }
            }
        }
        if let Sums::Metric(sums) = sums.entry(place).or_insert_with(|| Sums::Metric(MetricSums::default())) {
            change_sums(sums, kept.histogram, &changes, &values)?;
        }
    }
    for (place, (values, gone)) in deltas.sketches {
        if let Sums::Sketch(sketch) = sums.entry(place).or_insert_with(|| Sums::Sketch(Sketch::default())) {
            values.iter().try_for_each(|value| sketch.add(*value)).map_err(|e| refused(&e))?;
            gone.iter().try_for_each(|value| sketch.remove(*value)).map_err(|e| refused(&e))?;
        }
    }
    for (variant, change) in &deltas.units {
        let place = (ALL.to_owned(), *variant, UNITS.to_owned());
        if let Sums::Units(count) = sums.entry(place).or_insert_with(|| Sums::Units(UnitCount::default())) {
            count.units = count.units.saturating_add_signed(*change);
        }
    }
    if deltas.early > 0 {
        let place = (EARLY.to_owned(), 0, UNITS.to_owned());
        if let Sums::Units(count) = sums.entry(place).or_insert_with(|| Sums::Units(UnitCount::default())) {
            count.units += deltas.early;
        }
    }
    if !deltas.excluded.is_empty() {
        let place = ("excluded".to_owned(), 0, UNITS.to_owned());
        if let Sums::Units(count) = sums.entry(place).or_insert_with(|| Sums::Units(UnitCount::default())) {
            count.units += deltas.excluded.len() as u64;
            count.examples.extend(deltas.excluded);
            count.examples.truncate(EXAMPLES);
        }
    }
    Ok(())
}

async fn load_sums(
    tx: &mut Tx,
    experiment: &ObservedExperiment,
    places: &BTreeSet<Place>,
) -> Result<BTreeMap<Place, Sums>, StoreError> {
    let places: Vec<&Place> = places.iter().collect();
    let variant = |place: &Place| big(place.1 as u64);
    let key = experiment.number();
    let found = fetch_rows!(tx, SumsFound, FIND_SUMS, &places, |place| key, &place.0, variant(place), &place.2).await?;
    let mut sums = BTreeMap::new();
    for (slice, variant, metric, state) in found {
        let decoded = decode_sums(&slice, &metric, &state)?;
        sums.insert((slice, count(variant)?, metric), decoded);
    }
    Ok(sums)
}
