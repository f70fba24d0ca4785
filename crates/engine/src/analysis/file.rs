//! Observations from anywhere, collected row by row.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use llmops_domain::experiment::result::Excluded;
use llmops_domain::experiment::{MetricKind, MetricSpec};
use llmops_domain::suggest;
use llmops_stats::unit_sums::UnitValue;
use llmops_stats::{StatsError, quantile};

use llmops_storage::observations::{Cluster, unit_value};

use super::data::{Arm, ArmMetric, Observed, Quantiles};
use crate::observation_rows::Row;

/// Units that are named where they were left out.
const EXAMPLES: usize = 5;
const DAY: u64 = 86_400;
/// Begins the name of a unit that stands for one observation without unit. No name of a real one begins so.
const NAMELESS: char = '\u{1}';

/// One unit's observations.
struct UnitRows {
    variant: usize,
    several: bool,
    first: Option<Timestamp>,
    /// By metric.
    values: Vec<Vec<f64>>,
    covariate: Option<f64>,
    segments: Vec<String>,
}

/// Collects rows; everything stays in memory, one number an observation.
pub struct Collector {
    variants: Vec<String>,
    /// Whether a row may name a variant that is not known yet.
    open: bool,
    /// Whether all rows are of one arm, whatever variant they name.
    is_past: bool,
    metrics: Vec<String>,
    metric_index: HashMap<String, usize>,
    segments: Vec<String>,
    covariate: Option<String>,
    /// Whether the covariate was found as a column.
    has_column: bool,
    units: Vec<UnitRows>,
    unit_index: HashMap<String, usize>,
    names: Vec<String>,
    keys: HashSet<(usize, usize, String)>,
    repeated: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    timeless: u64,
    rows: u64,
}

/// What does not fit together.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FileError {
    /// There is no such variant.
    #[error("there is no variant `{name}`: {hint}")]
    Variant {
        /// What was asked for.
        name: String,
        /// What there is.
        hint: String,
    },
    /// There is no such metric.
    #[error("there is no metric `{name}`: {hint}")]
    Metric {
        /// What was asked for.
        name: String,
        /// What there is.
        hint: String,
    },
    /// There is no such column.
    #[error("there is no column `{name}`")]
    Column {
        /// What was asked for.
        name: String,
    },
    /// One variant cannot be compared.
    #[error("there are observations of one variant only, `{0}`: a comparison needs two")]
    OneVariant(String),
    /// No rows.
    #[error("there are no observations")]
    Empty,
    /// A value that is none of its metric's kind.
    #[error("metric `{metric}`: there is the value {value}, and {expected}")]
    Value {
        /// The metric.
        metric: String,
        /// The value.
        value: f64,
        /// What was expected.
        expected: &'static str,
    },
    /// Numbers beyond what can be summed.
    #[error("metric `{metric}`: {error}")]
    Numbers {
        /// The metric.
        metric: String,
        /// Why.
        error: StatsError,
    },
}

impl Collector {
    /// For rows of these variants; with none, of those that the rows name, in the order of their names. `segments` are
    /// columns, `covariate` a column or a metric.
    pub fn new(variants: Vec<String>, segments: Vec<String>, covariate: Option<String>) -> Self {
        Self {
            open: variants.is_empty(),
            is_past: false,
            variants,
            metrics: Vec::new(),
            metric_index: HashMap::new(),
            segments,
            covariate,
            has_column: false,
            units: Vec::new(),
            unit_index: HashMap::new(),
            names: Vec::new(),
            keys: HashSet::new(),
            repeated: 0,
            first: None,
            last: None,
            timeless: 0,
            rows: 0,
        }
    }

    /// For rows from before any experiment: variants are not looked at.
    pub fn of_past() -> Self {
        Self { is_past: true, ..Self::new(vec!["past".to_owned()], Vec::new(), None) }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// The field and what is wrong with it: a variant that is none of the declared ones, a covariate that is no number.
    pub fn add(&mut self, row: Row) -> Result<(), (&'static str, String)> {
        let Row { observation, others, .. } = row;
        let variant = match observation.variant.as_deref() {
            _ if self.is_past => 0,
            Some(variant) => self.variant(variant)?,
            None => return Err(("variant", "missing: a file knows no assignments".to_owned())),
        };
        let covariate = match self.covariate.as_deref().and_then(|name| others.get(name)) {
            Some(text) => {
                self.has_column = true;
                let read = llmops_domain::experiment::observation::read_value;
                if text.is_empty() { None } else { Some(read(text).map_err(|e| ("covariate", e))?) }
            }
            None => None,
        };
        let metric = self.metric(&observation.metric);
        let unit = match (observation.unit, &observation.idempotency_key) {
            (Some(name), _) => self.unit(name, variant),
            // Without unit, the observation is a unit of its own.
            (None, Some(key)) => self.unit(format!("{NAMELESS}{} {key}", observation.metric), variant),
            (None, None) => self.new_unit(String::new(), variant),
        };
        self.rows += 1;
        // Also by a row that comes again: in another variant, one of the two is wrong.
        self.units[unit].several |= self.units[unit].variant != variant;
        if let Some(key) = observation.idempotency_key
            && !self.keys.insert((unit, metric, key))
        {
            self.repeated += 1;
            return Ok(());
        }
        self.times(observation.at);
        let cells: Vec<Option<String>> = self.segments.iter().map(|name| others.get(name).cloned()).collect();
        let rows = &mut self.units[unit];
        if rows.values.len() <= metric {
            rows.values.resize(metric + 1, Vec::new());
        }
        rows.values[metric].push(observation.value);
        rows.covariate = rows.covariate.or(covariate);
        let earlier =
            rows.first.is_none() || observation.at.is_some_and(|at| rows.first.is_none_or(|first| at < first));
        if earlier {
            rows.first = observation.at.or(rows.first);
            // A unit's segment is that of its first row.
            if rows.segments.is_empty() || observation.at.is_some() {
                rows.segments = cells.into_iter().map(Option::unwrap_or_default).collect();
            }
        }
        Ok(())
    }

    fn times(&mut self, at: Option<Timestamp>) {
        let Some(at) = at else {
            self.timeless += 1;
            return;
        };
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
    }

    fn variant(&mut self, name: &str) -> Result<usize, (&'static str, String)> {
        if let Some(known) = self.variants.iter().position(|variant| variant == name) {
            return Ok(known);
        }
        if !self.open {
            let hint = suggest::hint(name, self.variants.iter().map(String::as_str));
            return Err(("variant", format!("`{name}` is none of the variants: {hint}")));
        }
        self.variants.push(name.to_owned());
        Ok(self.variants.len() - 1)
    }

    fn metric(&mut self, name: &str) -> usize {
        if let Some(known) = self.metric_index.get(name) {
            return *known;
        }
        self.metrics.push(name.to_owned());
        self.metric_index.insert(name.to_owned(), self.metrics.len() - 1);
        self.metrics.len() - 1
    }

    fn unit(&mut self, name: String, variant: usize) -> usize {
        if let Some(known) = self.unit_index.get(&name) {
            return *known;
        }
        let unit = self.new_unit(name.clone(), variant);
        self.unit_index.insert(name, unit);
        unit
    }

    fn new_unit(&mut self, name: String, variant: usize) -> usize {
        self.units.push(UnitRows {
            variant,
            several: false,
            first: None,
            values: Vec::new(),
            covariate: None,
            segments: Vec::new(),
        });
        self.names.push(name);
        self.units.len() - 1
    }

    /// The variants, in the order of [`Observed::arms`].
    ///
    /// # Errors
    /// [`FileError::Empty`], [`FileError::OneVariant`].
    pub fn variants(&mut self) -> Result<&[String], FileError> {
        if self.open {
            let mut order: Vec<usize> = (0..self.variants.len()).collect();
            order.sort_by(|a, b| self.variants[*a].cmp(&self.variants[*b]));
            let mut place = vec![0; order.len()];
            order.iter().enumerate().for_each(|(new, old)| place[*old] = new);
            self.variants.sort();
            self.units.iter_mut().for_each(|unit| unit.variant = place[unit.variant]);
            self.open = false;
        }
        match self.variants.as_slice() {
            [] => Err(FileError::Empty),
            [one] => Err(FileError::OneVariant(one.clone())),
            _ if self.units.is_empty() => Err(FileError::Empty),
            all => Ok(all),
        }
    }

    /// Names of the metrics, in the order in which they came.
    pub fn metrics(&self) -> &[String] {
        &self.metrics
    }

    /// What each unit counts with in a metric, whatever its variant.
    pub fn unit_values(&self, metric: &MetricSpec) -> Vec<f64> {
        let value = |unit: &UnitRows| {
            let of = |name: &str| Some(cluster(unit.values.get(*self.metric_index.get(name)?)?));
            unit_value(metric, of).map(|unit| unit.value)
        };
        self.units.iter().filter_map(value).collect()
    }

    /// Whether all values of a metric are 0 or 1.
    pub fn is_binary(&self, metric: &str) -> bool {
        let Some(&index) = self.metric_index.get(metric) else { return false };
        let mut values = self.units.iter().filter_map(|unit| unit.values.get(index)).flatten();
        values.all(|value| *value == 0.0 || *value == 1.0)
    }

    /// Days from the first to the last observation, both counted; nothing where a row has no time.
    pub fn elapsed(&self) -> Option<Duration> {
        let day = |time: Timestamp| time.as_second().div_euclid(86_400);
        let (first, last) = self.first.zip(self.last).filter(|_| self.timeless == 0)?;
        u64::try_from(day(last) - day(first) + 1).ok().map(|days| Duration::from_secs(days * DAY))
    }

    /// What was observed of these metrics.
    ///
    /// # Errors
    /// [`FileError`] for a metric, column or variant that is not there.
    pub fn observed(&mut self, metrics: &[MetricSpec]) -> Result<Observed, FileError> {
        let arms = self.variants()?.len();
        for metric in metrics {
            self.check(metric)?;
        }
        let mut observed = Observed {
            arms: vec![Arm::default(); arms],
            counted: "observed units",
            splits_outcomes: true,
            excluded: self.excluded(),
            notices: self.notices(),
            ..Observed::default()
        };
        let mut places: Vec<Vec<String>> = Vec::with_capacity(self.units.len());
        for unit in &self.units {
            places.push(self.places(unit));
            if !unit.several {
                observed.arms[unit.variant].units += 1;
                self.each_part(&mut observed, places.last(), |arms| arms[unit.variant].units += 1);
            }
        }
        for metric in metrics {
            self.collect(metric, &places, &mut observed)?;
        }
        Ok(observed)
    }

    fn check(&self, metric: &MetricSpec) -> Result<(), FileError> {
        let known = |name: &String| {
            if self.metric_index.contains_key(name) {
                Ok(())
            } else {
                Err(FileError::Metric {
                    name: name.clone(),
                    hint: suggest::hint(name, self.metrics.iter().map(String::as_str)),
                })
            }
        };
        known(&metric.name)?;
        self.fits(metric)?;
        metric.denominator.iter().try_for_each(known)?;
        if !self.has_column {
            metric.covariate.iter().try_for_each(known)?;
        }
        Ok(())
    }

    fn fits(&self, metric: &MetricSpec) -> Result<(), FileError> {
        let own = self.metric_index.get(&metric.name);
        let mut values =
            own.into_iter().flat_map(|own| self.units.iter().filter_map(move |unit| unit.values.get(*own)));
        // Amounts may be summed as counts are, below one as well.
        let is_amount = |value: f64| metric.kind() == MetricKind::Count && value >= 0.0;
        let misfit = values.find_map(|values| {
            let mut values = values.iter().filter(|value| !is_amount(**value));
            values.find_map(|value| metric.kind().refuses(*value).map(|expected| (*value, expected)))
        });
        match misfit {
            None => Ok(()),
            Some((value, expected)) => Err(FileError::Value { metric: metric.name.clone(), value, expected }),
        }
    }

    /// `segment=value` and the day that a unit belongs to.
    fn places(&self, unit: &UnitRows) -> Vec<String> {
        let named = self.segments.iter().zip(&unit.segments).map(|(name, value)| format!("{name}={value}"));
        let day = unit.first.map(|at| TimeZone::UTC.to_datetime(at).date().to_string());
        named.chain(std::iter::once(day.unwrap_or_default())).collect()
    }

    fn each_part(&self, observed: &mut Observed, places: Option<&Vec<String>>, mut add: impl FnMut(&mut Vec<Arm>)) {
        let count = observed.arms.len();
        let Some((day, segments)) = places.and_then(|places| places.split_last()) else { return };
        for segment in segments {
            add(observed.segments.entry(segment.clone()).or_insert_with(|| vec![Arm::default(); count]));
        }
        if !day.is_empty() && self.timeless == 0 {
            add(observed.days.entry(day.clone()).or_insert_with(|| vec![Arm::default(); count]));
        }
    }

    fn excluded(&self) -> Excluded {
        let several = || self.units.iter().zip(&self.names).filter(|(unit, _)| unit.several);
        Excluded {
            units_in_several_variants: several().count() as u64,
            examples: several().take(EXAMPLES).map(|(_, name)| name.trim_start_matches(NAMELESS).to_owned()).collect(),
            early_observations: 0,
        }
    }

    fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        if self.repeated > 0 {
            notices.push(format!("{} rows repeat an idempotency key and count once", self.repeated));
        }
        if self.timeless > 0 && self.timeless < self.rows {
            notices.push(format!("{} rows have no time, so nothing is shown by day", self.timeless));
        }
        notices
    }

    fn collect(&self, metric: &MetricSpec, places: &[Vec<String>], observed: &mut Observed) -> Result<(), FileError> {
        let failed = |error| FileError::Numbers { metric: metric.name.clone(), error };
        let own = self.metric_index[&metric.name];
        let mut units: Vec<(usize, UnitValue)> = Vec::new();
        for (i, unit) in self.units.iter().enumerate().filter(|(_, unit)| !unit.several) {
            let of = |name: &str| {
                let values = unit.values.get(*self.metric_index.get(name)?)?;
                Some(cluster(values))
            };
            let value = unit_value(metric, of).map(|value| match (self.has_column, metric.kind()) {
                (true, kind) if kind != MetricKind::Ratio && metric.covariate.is_some() => {
                    UnitValue { second: unit.covariate, ..value }
                }
                _ => value,
            });
            units.extend(value.map(|value| (i, value)));
        }
        winsorize(metric, &mut units).map_err(failed)?;
        for (i, value) in units {
            let unit = &self.units[i];
            let values = unit.values.get(own).map(Vec::as_slice).unwrap_or_default();
            let mut failure = None;
            let mut add = |arms: &mut Vec<Arm>| {
                let arm = arms[unit.variant].metrics.entry(metric.name.clone()).or_default();
                failure = add_unit(metric, arm, value, values).err().or(failure.take());
            };
            add(&mut observed.arms);
            self.each_part(observed, places.get(i), &mut add);
            failure.map_or(Ok(()), |error| Err(failed(error)))?;
        }
        Ok(())
    }
}

fn cluster(values: &[f64]) -> Cluster {
    let mut cluster = Cluster::default();
    for value in values {
        cluster.add(*value);
    }
    cluster
}

fn winsorize(metric: &MetricSpec, units: &mut [(usize, UnitValue)]) -> Result<(), StatsError> {
    let Some(upper) = metric.winsorize.filter(|_| !units.is_empty()) else { return Ok(()) };
    let values: Vec<f64> = units.iter().map(|(_, unit)| unit.value).collect();
    let limit = quantile::quantile(&values, upper)?;
    for (_, unit) in units {
        unit.value = unit.value.min(limit);
    }
    Ok(())
}

fn add_unit(metric: &MetricSpec, arm: &mut ArmMetric, unit: UnitValue, values: &[f64]) -> Result<(), StatsError> {
    arm.sums.add(unit)?;
    arm.observations += values.len() as u64;
    for value in values {
        arm.min = Some(arm.min.map_or(*value, |min| min.min(*value)));
        arm.max = Some(arm.max.map_or(*value, |max| max.max(*value)));
    }
    if metric.kind() != MetricKind::Ratio {
        arm.tally.get_or_insert_default().push((unit.value, 1));
    }
    if let Quantiles::None = arm.quantiles {
        arm.quantiles = Quantiles::Values(Vec::new());
    }
    if let Quantiles::Values(units) = &mut arm.quantiles {
        units.push(values.to_vec());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation_rows::Rows;

    #[test]
    fn without_unit_each_observation_is_one() {
        let mut collector = Collector::new(Vec::new(), Vec::new(), None);
        let text = r#"{"variant": "a", "metric": "m", "value": 1}
            {"variant": "a", "metric": "m", "value": 2}
            {"variant": "b", "metric": "m", "value": 3, "idempotency_key": "k"}
            {"variant": "b", "metric": "m", "value": 3, "idempotency_key": "k"}
            {"unit": "u", "metric": "m", "value": 4}"#;
        let mut rows = Rows::new(text.as_bytes(), &[]).unwrap();
        let mut told = Vec::new();
        while let Some(row) = rows.next_row().unwrap() {
            told.extend(collector.add(row.unwrap()).err());
        }
        assert_eq!(told, [("variant", "missing: a file knows no assignments".to_owned())]);
        assert_eq!(collector.variants().unwrap(), ["a", "b"]);
        assert_eq!(collector.unit_values(&MetricSpec::named("m")), [1.0, 2.0, 3.0]);
        assert!(collector.units.iter().all(|unit| !unit.several));
        // The same observation in another variant: its unit counts for none of both.
        let again = r#"{"variant": "a", "metric": "m", "value": 3, "idempotency_key": "k"}"#;
        let row = Rows::new(again.as_bytes(), &[]).unwrap().next_row().unwrap().unwrap().unwrap();
        collector.add(row).unwrap();
        let left = collector.excluded();
        assert_eq!((left.units_in_several_variants, left.examples), (1, vec!["m k".to_owned()]));
    }

    #[test]
    fn the_past_needs_no_variants() {
        let text = "unit,metric,value,variant\nu1,buy,1,c\nu2,buy,0,a\nu2,buy,1,b\n";
        let mut rows = Rows::new(text.as_bytes(), &["unit", "metric", "value"]).unwrap();
        let mut past = Collector::of_past();
        while let Some(row) = rows.next_row().unwrap() {
            past.add(row.unwrap()).unwrap();
        }
        assert_eq!(past.unit_values(&MetricSpec::named("buy")), [1.0, 0.5]);
    }
}
