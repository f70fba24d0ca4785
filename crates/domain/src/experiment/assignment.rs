//! Who gets which variant: a pure function of the unit, its attributes and the experiment.
//!
//! Bucketing is GrowthBook's, hash version 2: `fnv32a(str(fnv32a(seed + unit))) % 10000 / 10000` is a number in [0, 1),
//! and each variant owns the range from the sum of the shares before it to that plus `coverage · share`. So raising the coverage
//! moves nobody, and the answer is the same in every process and in every client of GrowthBook.
//!
//! Changing the split moves the units at the borders. A sticky experiment prevents that: [`Assigner::decide`] says when the
//! hash alone does not decide, because the unit may have come when another split held ([`Decision::Ask`]).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::condition::{Condition, lookup};
use super::{Allocation, Experiment, ExperimentStatus, Holdout, Namespace, Unit};

const FNV_OFFSET: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;
/// Most bytes of a unit in an experiment: what every database can index.
const LONGEST_UNIT: usize = 1024;
/// Most characters of the value of a segment. Callers choose them, and sums are found by them.
const LONGEST_SEGMENT: usize = 200;

/// FNV-1a over the UTF-16 code units of the text, as every client of GrowthBook computes it, going on from `state`.
fn fnv32a(state: u32, text: &str) -> u32 {
    let step = |hash: u32, unit: u32| (hash ^ unit).wrapping_mul(FNV_PRIME);
    if text.is_ascii() {
        text.bytes().fold(state, |hash, byte| step(hash, u32::from(byte)))
    } else {
        text.encode_utf16().fold(state, |hash, unit| step(hash, u32::from(unit)))
    }
}

/// FNV-1a over the decimal digits of a number.
fn fnv32a_of_digits(number: u32) -> u32 {
    let mut digits = [0_u8; 10];
    let mut rest = number;
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    digits[start..].iter().fold(FNV_OFFSET, |hash, d| (hash ^ u32::from(*d)).wrapping_mul(FNV_PRIME))
}

/// The bucket of a unit in [0, 1), by GrowthBook's hash version 2.
pub fn bucket(seed: &str, unit: &str) -> f64 {
    bucket_from(fnv32a(FNV_OFFSET, seed), unit)
}

fn bucket_from(seed_state: u32, unit: &str) -> f64 {
    f64::from(fnv32a_of_digits(fnv32a(seed_state, unit)) % 10_000) / 10_000.0
}

/// The place of a unit in a namespace, in [0, 1): GrowthBook's hash version 1 of `unit` and `__` with the name.
fn namespace_place(name: &str, unit: &str) -> f64 {
    let hash = fnv32a(fnv32a(fnv32a(FNV_OFFSET, unit), "__"), name);
    f64::from(hash % 1000) / 1000.0
}

/// The variant that owns a bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranges(Vec<(f64, f64)>);

impl Ranges {
    /// The ranges of shares that sum to 1, each narrowed to the coverage.
    pub fn new(weights: &[f64], coverage: f64) -> Self {
        let coverage = coverage.clamp(0.0, 1.0);
        let mut cumulative = 0.0;
        let ranges = weights.iter().map(|weight| {
            let start = cumulative;
            cumulative += weight;
            (start, start + coverage * weight)
        });
        Self(ranges.collect())
    }

    /// The position of the variant that owns the bucket; none when no range holds it.
    pub fn variant(&self, bucket: f64) -> Option<usize> {
        self.0.iter().position(|(from, to)| *from <= bucket && bucket < *to)
    }

    /// How much of each variant's range none of the earlier ones held.
    fn beyond(&self, earlier: &[Self]) -> Vec<f64> {
        let mut held: Vec<(f64, f64)> = earlier.iter().flat_map(|ranges| ranges.0.iter().copied()).collect();
        held.sort_by(|a, b| a.0.total_cmp(&b.0));
        let left = |&(from, to): &(f64, f64)| {
            let (mut at, mut left) = (from, 0.0);
            for (start, end) in &held {
                left += (start.min(to) - at).max(0.0);
                at = at.max(*end);
            }
            left + (to - at).max(0.0)
        };
        self.0.iter().map(left).collect()
    }
}

/// Whether the units that first come under an allocation have its shares, whoever they are. They have not where it gives the
/// variants other parts of those who came before and were not covered than of those who never came: how many of either come
/// nobody knows.
pub fn has_known_shares(earlier: &[Allocation], allocation: &Allocation) -> bool {
    let ranges = |allocation: &Allocation| Ranges::new(&allocation.weights, allocation.coverage);
    let earlier: Vec<Ranges> = earlier.iter().map(ranges).collect();
    let beyond = ranges(allocation).beyond(&earlier);
    let total: f64 = beyond.iter().sum();
    let is_share = |(left, weight): (&f64, &f64)| (left / total - weight).abs() < 1e-6;
    total < 1e-9 || beyond.iter().zip(&allocation.weights).all(is_share)
}

/// A seed with ranges: all that an assignment by hash alone needs.
///
/// ```
/// # use llmops_domain::experiment::assignment::Splitter;
/// let splitter = Splitter::new("button-colour", &[0.5, 0.3, 0.2], 0.8);
/// assert_eq!(splitter.variant("user-1"), splitter.variant("user-1"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Splitter {
    seed_state: u32,
    ranges: Ranges,
}

impl Splitter {
    /// A splitter. The weights are fractions; the coverage is clamped to [0, 1].
    pub fn new(seed: &str, weights: &[f64], coverage: f64) -> Self {
        Self { seed_state: fnv32a(FNV_OFFSET, seed), ranges: Ranges::new(weights, coverage) }
    }

    /// The position of the unit's variant; none when it is not included. The empty unit never is.
    pub fn variant(&self, unit: &str) -> Option<usize> {
        if unit.is_empty() { None } else { self.ranges.variant(bucket_from(self.seed_state, unit)) }
    }
}

/// Why a unit takes no part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Exclusion {
    /// The context does not name the unit, or the name is empty, longer than 1024 bytes or has a NUL character.
    NoUnit,
    /// The attributes do not meet the audience's condition.
    Audience,
    /// Another part of the namespace.
    Namespace,
    /// Held out of all experiments.
    Holdout,
    /// Beyond the coverage.
    Coverage,
    /// The experiment is paused, and the unit was not in it before.
    Paused,
    /// The experiment is a draft, completed without a winner, or cancelled.
    NotRunning,
}

/// What the experiment alone says about a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The variant at this position, whatever was before.
    Assigned(usize),
    /// The unit may have been assigned when another split held, or before the pause. What is stored of it decides; if nothing is,
    /// `fresh` does (`None`: it takes no part).
    Ask {
        /// The variant of a unit of which nothing is stored.
        fresh: Option<usize>,
        /// Whether a stored assignment keeps its variant; else it only tells that the unit is in, with this variant.
        keep: Option<usize>,
    },
    /// It takes no part.
    Excluded(Exclusion),
    /// The experiment is over, and this variant won: everybody gets it, and nobody is counted.
    Won(usize),
}

/// A unit's first exposure, as it is stored: what keeps its variant, and what is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// The unit.
    pub unit: Arc<str>,
    /// Position of the variant.
    pub variant: usize,
    /// The allocation that held: a position in [`Experiment::allocations`].
    pub epoch: usize,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// The attributes by which results are also shown, as JSON text; empty without any.
    pub segments: String,
}

/// An experiment, compiled for assignment.
#[derive(Debug, Clone)]
pub struct Assigner {
    status: ExperimentStatus,
    unit: Unit,
    sticky: bool,
    audience: Condition,
    namespace: Option<Namespace>,
    holdout: Option<Holdout>,
    /// One for each allocation, the present one last.
    splitters: Vec<Splitter>,
    winner: Option<usize>,
    segments: Vec<String>,
}

impl Assigner {
    /// Compiles an experiment. A condition that cannot be read (the spec was not checked) is met by everybody.
    pub fn new(experiment: &Experiment) -> Self {
        let spec = &experiment.spec;
        let splitter = |a: &Allocation| Splitter::new(&spec.seed, &a.weights, a.coverage);
        Self {
            status: experiment.status,
            unit: spec.unit.clone(),
            sticky: spec.sticky,
            audience: Condition::parse(&spec.audience).unwrap_or_default(),
            namespace: spec.namespace.clone(),
            holdout: spec.holdout.clone(),
            splitters: experiment.allocations.iter().map(splitter).collect(),
            winner: experiment.winner.as_deref().and_then(|winner| spec.variant_index(winner)),
            segments: spec.analysis.segments.clone(),
        }
    }

    /// The allocation that holds: a position in [`Experiment::allocations`].
    pub fn epoch(&self) -> usize {
        self.splitters.len().saturating_sub(1)
    }

    /// The unit that the attributes name; texts and whole numbers are units.
    pub fn unit_of<'a>(&self, attributes: &'a Map<String, Value>) -> Option<std::borrow::Cow<'a, str>> {
        let names: &[&str] = match &self.unit {
            Unit::User => &["targetingKey", "user", "user_id", "id"],
            Unit::Session => &["session", "session_id"],
            Unit::Attribute(name) => &[name],
        };
        match names.iter().map(|name| attribute(attributes, name)).find(|value| !value.is_null())? {
            Value::String(text) => Some(text.as_str().into()),
            Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string().into()),
            _ => None,
        }
    }

    /// What the experiment says about a unit with these attributes.
    pub fn decide(&self, unit: &str, attributes: &Map<String, Value>) -> Decision {
        if self.status == ExperimentStatus::Completed {
            return self.winner.map_or(Decision::Excluded(Exclusion::NotRunning), Decision::Won);
        }
        let Some((present, earlier)) = self.splitters.split_last().filter(|_| self.status.is_live()) else {
            return Decision::Excluded(Exclusion::NotRunning);
        };
        if let Some(exclusion) = self.excluded(unit, attributes) {
            return Decision::Excluded(exclusion);
        }
        let bucket = bucket_from(present.seed_state, unit);
        let now = present.ranges.variant(bucket);
        let earlier = || earlier.iter().filter_map(|splitter| splitter.ranges.variant(bucket));
        if self.status == ExperimentStatus::Paused {
            if now.is_none() && earlier().next().is_none() {
                return Decision::Excluded(Exclusion::Coverage);
            }
            return Decision::Ask { fresh: None, keep: if self.sticky { None } else { now } };
        }
        match now {
            _ if self.sticky && earlier().any(|variant| Some(variant) != now) => {
                Decision::Ask { fresh: now, keep: None }
            }
            Some(variant) => Decision::Assigned(variant),
            None => Decision::Excluded(Exclusion::Coverage),
        }
    }

    fn excluded(&self, unit: &str, attributes: &Map<String, Value>) -> Option<Exclusion> {
        if unit.is_empty() || unit.len() > LONGEST_UNIT || unit.contains('\0') {
            return Some(Exclusion::NoUnit);
        }
        if self.holdout.as_ref().is_some_and(|h| bucket(&h.name, unit) < h.share) {
            return Some(Exclusion::Holdout);
        }
        let outside = |n: &Namespace| {
            let place = namespace_place(&n.name, unit);
            place < n.range[0] || place >= n.range[1]
        };
        if self.namespace.as_ref().is_some_and(outside) {
            return Some(Exclusion::Namespace);
        }
        (!self.audience.holds(attributes)).then_some(Exclusion::Audience)
    }

    /// The attributes by which results are also shown, as JSON text; empty where none is declared.
    pub fn segments_of(&self, attributes: &Map<String, Value>) -> String {
        if self.segments.is_empty() {
            return String::new();
        }
        let kept = |name: &String| Some((name.clone(), segment_value(attribute(attributes, name))?));
        Value::Object(self.segments.iter().filter_map(kept).collect()).to_string()
    }
}

/// An attribute by its name, or by its path with dots, as conditions name it; null where there is none.
fn attribute<'a>(attributes: &'a Map<String, Value>, name: &str) -> &'a Value {
    match attributes.get(name) {
        Some(value) => value,
        None if name.contains('.') => lookup(attributes, &name.split('.').map(str::to_owned).collect::<Vec<_>>()),
        None => &Value::Null,
    }
}

/// An attribute as results are shown by it. Texts are cut to 200 characters, with the beginning of the hash of the whole behind, and
/// control characters in them are replaced; lists and objects are kept where their JSON is not longer. So no caller makes a segment
/// that cannot be stored.
pub fn segment_value(value: &Value) -> Option<Value> {
    let text = match value {
        Value::String(text) => text,
        Value::Null => return None,
        other => return (other.to_string().len() <= LONGEST_SEGMENT).then(|| other.clone()),
    };
    let is_short = text.chars().nth(LONGEST_SEGMENT).is_none();
    if is_short && !text.contains(char::is_control) {
        return Some(value.clone());
    }
    let plain =
        text.chars().take(LONGEST_SEGMENT).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
    let plain: String = plain.collect();
    if is_short {
        return Some(plain.into());
    }
    let hash = crate::hash::ContentHash::of_bytes(text.as_bytes());
    Some(format!("{plain}… {}", hash.short()).into())
}

#[cfg(test)]
#[path = "assignment/tests.rs"]
mod tests;
