//! Paired statistics of two runs: what the samples they share say.

use std::collections::{BTreeMap, BTreeSet};

use llmops_domain::compare::{CategoryEvidence, McNemarEvidence, PairedEvidence, SampleChange};
use llmops_domain::run::{Estimate, Outcome};
use llmops_domain::scoring::ScoringSpec;
use llmops_stats::bootstrap::{self, BootstrapOptions};
use llmops_stats::bounded::{self, Range};
use llmops_stats::mcnemar::{McNemarMethod, PairedTable, mcnemar};
use llmops_stats::moments::Moments;
use llmops_stats::power::{self, Target};
use llmops_stats::{TestOptions, t_test};
use llmops_storage::{PairedSample, RunKey, Store, VersionKey};

use super::aggregate::{LEVEL, category_name, to_domain, within};
use crate::Error;
use crate::aside::compute;

/// Pairs read at a time.
const PAGE: u32 = 2_000;
/// Flipped or changed samples that are kept by name; all of them are counted.
const KEPT: usize = 200;
/// Seed of the bootstrap: the same two runs always give the same interval.
const SEED: u64 = 20_261_101;

/// What comparing two runs pair by pair gives.
#[derive(Debug, Default)]
pub(crate) struct Pairing {
    pub(crate) evidence: Option<PairedEvidence>,
    /// Samples that flipped, newly failed ones first, then by how much the composite fell.
    pub(crate) flips: Vec<SampleChange>,
    /// Samples whose composite fell, most first.
    pub(crate) falls: Vec<SampleChange>,
}

#[derive(Default)]
struct Side {
    before: Vec<f64>,
    after: Vec<f64>,
}

/// Differences of what is measured beside the composite.
#[derive(Default)]
struct Measures {
    metrics: BTreeMap<String, Moments>,
    passes: Moments,
}

impl Measures {
    /// Adds the differences of the samples of a page.
    async fn add(&mut self, store: &Store, runs: (&RunKey, &RunKey), pairs: &[&PairedSample]) -> Result<(), Error> {
        let (Some(first), Some(last)) = (pairs.first(), pairs.last()) else { return Ok(()) };
        let ends = (&*first.sample_id, &*last.sample_id);
        let before = means(store.outcomes_between(runs.0, ends).await?)?;
        let after = means(store.outcomes_between(runs.1, ends).await?)?;
        for pair in pairs {
            let (Some(was), Some(is)) = (before.get(&pair.sample_id), after.get(&pair.sample_id)) else { continue };
            for (name, is) in is {
                let Some(difference) = was.get(name).and_then(|was| Some(is.mean()? - was.mean()?)) else { continue };
                match name {
                    Some(name) => self.metrics.entry(name.clone()).or_default().push(difference)?,
                    None => self.passes.push(difference)?,
                }
            }
        }
        Ok(())
    }
}

/// What a sample's trials say: of each metric, and under no name whether they passed.
type Means = BTreeMap<Option<String>, Moments>;

fn means(outcomes: Vec<(String, Outcome)>) -> Result<BTreeMap<String, Means>, Error> {
    let mut samples: BTreeMap<String, Means> = BTreeMap::new();
    for (id, outcome) in outcomes {
        let Outcome::Scored { scores, passed, .. } = outcome else { continue };
        let means = samples.entry(id).or_default();
        means.entry(None).or_default().push(f64::from(u8::from(passed)))?;
        for (name, score) in scores.into_iter().filter(|(_, score)| score.score.is_finite()) {
            means.entry(Some(name)).or_default().push(score.score)?;
        }
    }
    Ok(samples)
}

/// Mean difference with its interval; nothing where there are no pairs. Scores differ by at most 1, what is measured by anything.
fn mean_difference(moments: &Moments, is_score: bool) -> Result<Option<Estimate>, Error> {
    if moments.n() == 0 {
        return Ok(None);
    }
    let mean = moments.mean_estimate(LEVEL)?;
    let mean = if is_score { within(mean, Range::DIFFERENCE) } else { mean };
    let clamp = |end: f64| if is_score { end.clamp(-1.0, 1.0) } else { end };
    let Estimate { value, n, lower, upper } = to_domain(&mean, false);
    Ok(Some(Estimate { value, n, lower: clamp(lower), upper: clamp(upper) }))
}

/// The dataset versions of two runs, where they are not the same.
pub(crate) type Versions = (VersionKey, VersionKey);

/// Reads the samples that both runs scored, and tests the difference. A sample that asks or expects something else by now is
/// another sample, whatever its id.
pub(crate) async fn pair(
    store: &Store,
    (before, after): (&RunKey, &RunKey),
    versions: Option<Versions>,
    scoring: &ScoringSpec,
) -> Result<Pairing, Error> {
    let mut categories: BTreeMap<String, Side> = BTreeMap::new();
    let mut table = PairedTable::default();
    let (mut flips, mut falls) = (Keep::default(), Keep::default());
    let mut measures = Measures::default();
    let mut cursor: Option<String> = None;
    loop {
        let page = store.paired(before, after, cursor.as_deref(), PAGE).await?;
        let changed = changed(store, versions, &page.pairs).await?;
        let pairs: Vec<&PairedSample> = page.pairs.iter().filter(|pair| !changed.contains(&pair.sample_id)).collect();
        measures.add(store, (before, after), &pairs).await?;
        for pair in pairs {
            if let (Some(was), Some(is)) = (pair.before.composite, pair.after.composite) {
                let side = categories.entry(category_name(&pair.category).to_owned()).or_default();
                side.before.push(was);
                side.after.push(is);
                if is < was {
                    falls.add(was - is, pair);
                }
            }
            if let (Some(was), Some(is)) = (pair.before.passed, pair.after.passed) {
                table.add(was, is);
                if was != is {
                    // Newly failed samples come before newly passed ones, whatever their scores.
                    let fall = pair.before.composite.unwrap_or(0.0) - pair.after.composite.unwrap_or(0.0);
                    flips.add(fall + if was { 10.0 } else { -10.0 }, pair);
                }
            }
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    let is_score = |name: &String| scoring.metrics.get(name).is_none_or(|metric| !metric.scorer.is_measurement());
    let scores = measures.metrics.keys().filter(|name| is_score(name)).cloned().collect();
    let evidence = compute(move || evidence(&categories, table, &measures, &scores)).await??;
    Ok(Pairing { evidence, flips: flips.finish(), falls: falls.finish() })
}

/// The ids among these pairs that stand for something else in the other version.
async fn changed(store: &Store, versions: Option<Versions>, pairs: &[PairedSample]) -> Result<BTreeSet<String>, Error> {
    let (Some((before, after)), Some(first), Some(last)) = (versions, pairs.first(), pairs.last()) else {
        return Ok(BTreeSet::new());
    };
    let changed = store.changed_samples(before, after, (&first.sample_id, &last.sample_id)).await?;
    Ok(changed.into_iter().filter(|(was, is)| !was.is_same_case(is)).map(|(_, is)| is.id).collect())
}

fn evidence(
    categories: &BTreeMap<String, Side>,
    table: PairedTable,
    measures: &Measures,
    scores: &BTreeSet<String>,
) -> Result<Option<PairedEvidence>, Error> {
    let mut all = Side::default();
    for side in categories.values() {
        all.before.extend_from_slice(&side.before);
        all.after.extend_from_slice(&side.after);
    }
    let Some((difference, method)) = difference(&all)? else { return Ok(None) };
    let moments = moments(&all)?;
    let sd = moments.sd().filter(|sd| *sd > 0.0);
    let mut by_category = BTreeMap::new();
    for (name, side) in categories {
        if let Some((difference, _)) = self::difference(side)? {
            let moments = self::moments(side)?;
            by_category.insert(
                name.clone(),
                CategoryEvidence { difference, p_value: p_value(&moments), needed_n: needed(&moments) },
            );
        }
    }
    let mut metrics = BTreeMap::new();
    for (name, moments) in &measures.metrics {
        metrics.extend(mean_difference(moments, scores.contains(name))?.map(|difference| (name.clone(), difference)));
    }
    Ok(Some(PairedEvidence {
        difference,
        method,
        p_value: p_value(&moments),
        mcnemar: flips(table)?,
        minimum_detectable_effect: sd.and_then(|sd| power::paired_mde(moments.n(), sd, Target::default()).ok()),
        categories: by_category,
        metrics,
        pass_rate: mean_difference(&measures.passes, true)?,
    }))
}

fn moments(side: &Side) -> Result<Moments, Error> {
    let differences: Vec<f64> = side.after.iter().zip(&side.before).map(|(after, before)| after - before).collect();
    Ok(Moments::from_slice(&differences)?)
}

/// Mean difference with its bootstrap interval; the value alone for a single pair, nothing for none.
fn difference(side: &Side) -> Result<Option<(Estimate, String)>, Error> {
    let moments = moments(side)?;
    match moments.n() {
        0 => Ok(None),
        1 => Ok(Some((Estimate::exact(side.after[0] - side.before[0], 1), "single pair".to_owned()))),
        n if moments.m2() == 0.0 => {
            let value = moments.mean().unwrap_or_default();
            Ok(Some((equal_differences(value, n), "equal differences, with room for others".to_owned())))
        }
        n => {
            let options = BootstrapOptions { seed: SEED, ..BootstrapOptions::default() };
            let result = bootstrap::paired_difference(&side.before, &side.after, options)?;
            let (lower, upper) = result.interval.map_or((result.effect, result.effect), |i| (i.low, i.high));
            let estimate = Estimate { value: result.effect, n, lower, upper };
            Ok(Some((estimate, result.method.to_string())))
        }
    }
}

/// Where all differences are the same, resampling shows no spread. What none of n pairs showed is as frequent as Clopper and
/// Pearson's limit at most: away from zero it may be as far as scores differ, towards zero as far as what was seen, turned
/// round. So the interval leaves zero out exactly where the sign test does, from six pairs on.
fn equal_differences(value: f64, n: u64) -> Estimate {
    let unseen = bounded::unseen(n, LEVEL);
    let (back, away) = (2.0 * value.abs() * unseen, (1.0 - value.abs()).max(0.0) * unseen);
    let (below, above) = if value > 0.0 { (back, away) } else { (away, back) };
    let (below, above) = if value == 0.0 { (unseen, unseen) } else { (below, above) };
    Estimate { value, n, lower: value - below, upper: value + above }
}

/// Two-sided p-value of no difference; none where there is no spread to test against.
fn p_value(moments: &Moments) -> Option<f64> {
    if moments.n() < 2 || moments.m2() == 0.0 {
        return None;
    }
    t_test::paired_from_moments(moments, TestOptions::default()).ok().map(|result| result.p_value)
}

/// Pairs needed to find a difference as large as the present one.
fn needed(moments: &Moments) -> Option<u64> {
    let (mean, sd) = (moments.mean()?, moments.sd()?);
    if mean == 0.0 || sd == 0.0 {
        return None;
    }
    power::paired_n(mean.abs(), sd, Target::default()).ok()
}

fn flips(table: PairedTable) -> Result<Option<McNemarEvidence>, Error> {
    if table.pairs() == 0 {
        return Ok(None);
    }
    let method = if table.flips() <= 200 { McNemarMethod::MidP } else { McNemarMethod::ChiSquaredCorrected };
    let result = mcnemar(table, method, TestOptions::default())?;
    Ok(Some(McNemarEvidence {
        newly_failed: table.only_control,
        newly_passed: table.only_treatment,
        p_value: result.p_value,
        method: result.method.to_string(),
    }))
}

/// The entries with the highest key, in constant memory.
#[derive(Default)]
struct Keep(Vec<(f64, SampleChange)>);

impl Keep {
    fn add(&mut self, key: f64, pair: &PairedSample) {
        let change = SampleChange {
            sample_id: pair.sample_id.clone(),
            category: category_name(&pair.category).to_owned(),
            before: pair.before.composite,
            after: pair.after.composite,
            passed_before: pair.before.passed,
            passed_after: pair.after.passed,
        };
        self.0.push((key, change));
        if self.0.len() >= 2 * KEPT {
            self.trim();
        }
    }

    fn trim(&mut self) {
        self.0.sort_by(|a, b| b.0.total_cmp(&a.0));
        self.0.truncate(KEPT);
    }

    fn finish(mut self) -> Vec<SampleChange> {
        self.trim();
        self.0.into_iter().map(|(_, change)| change).collect()
    }
}
