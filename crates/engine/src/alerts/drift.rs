//! Drift in the series of scores that runs of one lineage make.

use llmops_domain::alert::{Drift, Subject, score_series};
use llmops_domain::run::EvaluationRun;
use llmops_stats::drift::ks_many;

use crate::Error;

/// The newest runs, which are compared with those before.
const RECENT: usize = 5;
/// Fewest runs before them: below it no difference could count among several series.
const REFERENCE: usize = 10;

/// Tests every series of scores that is long enough: whether the newest runs are distributed as those before
/// (Kolmogorov-Smirnov), with the false discovery rate over all series held at `rate` (Benjamini-Hochberg). `history` is
/// newest first. A rate of 0 looks for nothing.
pub(super) fn detect(run: &EvaluationRun, history: &[EvaluationRun], rate: f64) -> Result<Vec<Drift>, Error> {
    if rate <= 0.0 {
        return Ok(Vec::new());
    }
    let series = score_series(history.iter().rev().chain([run]));
    let series: Vec<(Subject, Vec<f64>)> =
        series.into_iter().filter(|(_, values)| values.len() >= REFERENCE + RECENT).collect();
    let windows: Vec<(&[f64], &[f64])> =
        series.iter().map(|(_, values)| values.split_at(values.len() - RECENT)).collect();
    let tested = ks_many(&windows, rate)?;
    let drifts = series.iter().zip(&windows).zip(tested).map(|(((subject, _), (reference, recent)), test)| Drift {
        subject: subject.clone(),
        method: test.result.method.to_string(),
        reference: (mean(reference), reference.len()),
        recent: (mean(recent), recent.len()),
        p_value: test.result.p_value,
        adjusted_p: test.adjusted_p,
        drifted: test.drifted,
    });
    Ok(drifts.collect())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / (values.len() as f64).max(1.0)
}
