//! Bayesian models, agreement, prediction-powered inference and drift against reference implementations.
#![expect(clippy::unwrap_used, reason = "a broken fixture is a failed test")]

use crate::support::{alternative, close, close_to, count, fixture, interval_close, number, numbers, rows};
use llmops_stats::agreement::{
    AlphaMetric, KappaWeights, cohen_kappa, confusion_matrix, fleiss_kappa, krippendorff_alpha, spearman,
};
use llmops_stats::bayes::{self, BetaPrior, NormalPrior};
use llmops_stats::drift::{self, Adwin, Cusum, Direction, Ewma, PageHinkley, PageHinkleyOptions, Reference};
use llmops_stats::moments::{Moments, PairMoments};
use llmops_stats::ppi::{PpiWeight, ppi_mean};
use llmops_stats::proportion::Rate;
use llmops_stats::sequential::group::GroupSequential;
use llmops_stats::{Result, TestOptions};
use serde_json::Value;

fn counts(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(count).collect()
}

#[test]
fn beta_posterior_equals_quadrature() {
    for row in rows(&fixture("models"), "beta") {
        let rate = |hits: &str, n: &str| Rate::new(count(&row[hits]), count(&row[n])).unwrap();
        let prior = BetaPrior { alpha: number(&row["prior"]), beta: number(&row["prior"]) };
        let posterior = bayes::beta(rate("c1", "n1"), rate("c2", "n2"), prior, 0.95).unwrap();
        close(posterior.chance_to_win, number(&row["win"]));
        close(posterior.loss_of_treatment, number(&row["lose_treatment"]));
        close(posterior.loss_of_control, number(&row["lose_control"]));
        interval_close(Some(posterior.interval), number(&row["low"]), number(&row["high"]));
    }
}

#[test]
fn normal_posterior_equals_quadrature() {
    for row in rows(&fixture("models"), "normal") {
        let arm = |key: &str| Moments::from_slice(&numbers(&row[key])).unwrap();
        let prior = row["prior"].as_array().map(|pair| NormalPrior { mean: number(&pair[0]), sd: number(&pair[1]) });
        let posterior = bayes::normal(&arm("control"), &arm("treatment"), prior, 0.9).unwrap();
        close(posterior.effect, number(&row["effect"]));
        close(posterior.chance_to_win, number(&row["win"]));
        close(posterior.loss_of_treatment, number(&row["lose_treatment"]));
        interval_close(Some(posterior.interval), number(&row["low"]), number(&row["high"]));
    }
}

#[test]
fn kappas_equal_statsmodels() {
    let fixture = fixture("models");
    let labels = |value: &Value| counts(value).iter().map(|label| usize::try_from(*label).unwrap()).collect::<Vec<_>>();
    for row in rows(&fixture, "cohen") {
        let categories = usize::try_from(count(&row["k"])).unwrap();
        let table = confusion_matrix(&labels(&row["a"]), &labels(&row["b"]), categories).unwrap();
        for (weights, key) in [
            (KappaWeights::Unweighted, "unweighted"),
            (KappaWeights::Linear, "linear"),
            (KappaWeights::Quadratic, "quadratic"),
        ] {
            let estimate = cohen_kappa(&table, weights, 0.95).unwrap();
            close(estimate.value, number(&row[key]["kappa"]));
            close(estimate.se.unwrap(), number(&row[key]["se"]));
        }
    }
    for row in rows(&fixture, "fleiss") {
        let table: Vec<Vec<u64>> = row["counts"].as_array().unwrap().iter().map(counts).collect();
        let estimate = fleiss_kappa(&table, 0.95).unwrap();
        close(estimate.value, number(&row["kappa"]));
        close(estimate.se.unwrap(), number(&row["se"]));
    }
}

#[test]
fn krippendorff_alpha_equals_the_reference() {
    for row in rows(&fixture("models"), "alpha") {
        let units: Vec<Vec<f64>> = row["units"].as_array().unwrap().iter().map(numbers).collect();
        for (metric, key, se) in [
            (AlphaMetric::Nominal, "nominal", Some("nominal_se")),
            (AlphaMetric::Ordinal, "ordinal", None),
            (AlphaMetric::Interval, "interval", Some("interval_se")),
        ] {
            let estimate = krippendorff_alpha(&units, metric, 0.95).unwrap();
            close(estimate.value, number(&row[key]));
            if let Some(se) = se {
                close(estimate.se.unwrap(), number(&row[se]));
            }
        }
    }
}

#[test]
fn spearman_equals_scipy() {
    for row in rows(&fixture("models"), "spearman") {
        let options = TestOptions::one_sided(alternative(&row["alternative"]));
        let result = spearman(&numbers(&row["x"]), &numbers(&row["y"]), options).unwrap();
        close(result.effect, number(&row["rho"]));
        close(result.p_value, number(&row["p"]));
    }
}

#[test]
fn prediction_powered_mean_equals_its_formula() {
    for row in rows(&fixture("models"), "ppi") {
        let labelled = PairMoments::from_slices(&numbers(&row["judge"]), &numbers(&row["human"])).unwrap();
        let unlabelled = Moments::from_slice(&numbers(&row["unlabelled"])).unwrap();
        for (weight, key) in [(PpiWeight::Full, "full"), (PpiWeight::Tuned, "tuned")] {
            let estimate = ppi_mean(&labelled, &unlabelled, weight, 0.95).unwrap();
            close(estimate.value, number(&row[key]["value"]));
            close(estimate.se.unwrap(), number(&row[key]["se"]));
        }
    }
}

#[test]
fn kolmogorov_smirnov_equals_scipy() {
    for row in rows(&fixture("models"), "ks") {
        if row["limit"].is_array() {
            continue;
        }
        let result = drift::ks(&numbers(&row["a"]), &numbers(&row["b"])).unwrap();
        close(result.statistic, number(&row["d"]));
        close(result.p_value, number(&row["p"]));
    }
}

#[test]
fn jensen_shannon_equals_scipy() {
    for row in rows(&fixture("models"), "jensen_shannon") {
        let result = drift::jensen_shannon(&counts(&row["p"]), &counts(&row["q"]), 0.95).unwrap();
        close(result.effect, number(&row["distance"]));
        close(result.p_value, number(&row["p_value"]));
    }
}

#[test]
fn psi_equals_its_formula_in_numpy_and_scipy() {
    for row in rows(&fixture("models"), "psi") {
        let result = drift::psi::psi(&counts(&row["p"]), &counts(&row["q"]), 0.95).unwrap();
        close(result.effect, number(&row["index"]));
        close(result.p_value, number(&row["p_value"]));
        // The reference takes its derivatives numerically.
        let high = number(&row["high"]);
        assert!((result.interval.unwrap().high - high).abs() < 1e-5 * high, "{row}");
    }
}

fn alarms(values: &[f64], mut push: impl FnMut(f64) -> Result<Option<Direction>>) -> Vec<u64> {
    (0..).zip(values).filter(|(_, value)| push(**value).unwrap().is_some()).map(|(index, _)| index).collect()
}

#[test]
fn detectors_alarm_where_the_references_do() {
    for row in rows(&fixture("models"), "detectors") {
        let values = numbers(&row["values"]);
        let reference = Reference::new(0.6, 0.1).unwrap();
        let mut ewma = Ewma::new(reference, 0.2, 2.86).unwrap();
        assert_eq!(alarms(&values, |value| ewma.push(value)), counts(&row["ewma"]), "EWMA");
        let mut cusum = Cusum::new(reference, 0.5, 4.77).unwrap();
        assert_eq!(alarms(&values, |value| cusum.push(value)), counts(&row["cusum"]), "CUSUM");
        let options = PageHinkleyOptions { threshold: 3.0, delta: 0.01, ..PageHinkleyOptions::default() };
        let mut page_hinkley = PageHinkley::new(options).unwrap();
        assert_eq!(alarms(&values, |value| page_hinkley.push(value)), counts(&row["page_hinkley"]), "Page-Hinkley");
        // After an alarm River starts a new window where the paper keeps the newer part: the first alarms are compared.
        let mut adwin = Adwin::new(drift::AdwinOptions::default()).unwrap();
        assert_eq!(alarms(&values, |value| adwin.push(value)).first(), counts(&row["adwin"]).first(), "ADWIN");
    }
}

/// Boundaries of the first two looks by adaptive quadrature in SciPy; all five as published (e.g. by gsDesign).
#[test]
fn group_sequential_boundaries_equal_published_ones() {
    let design = GroupSequential::new(&[0.2, 0.4, 0.6, 0.8, 1.0], 0.05).unwrap();
    let boundaries = design.boundaries();
    close(boundaries[0], 4.876_884_948_790_441);
    close(boundaries[1], 3.357_011_921_574_559);
    for (boundary, published) in boundaries.iter().zip([4.877, 3.357, 2.680, 2.290, 2.031]) {
        close_to(*boundary, published, 5e-4);
    }
}
