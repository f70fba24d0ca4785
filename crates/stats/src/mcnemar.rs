//! McNemar's test: did passes and failures of the same samples flip more one way than the other?
//!
//! McNemar (1947, Psychometrika 12:153); exact and mid-p forms after Fagerland, Lydersen & Laake (2013, BMC Medical
//! Research Methodology 13:91), who recommend mid-p.

use crate::dist::{binomial_half_cdf, binomial_pmf, chi_squared_sf, normal_critical};
use crate::error::{Result, check_count};
use crate::result::{Alternative, Interval, Method, TestOptions, TestResult};
use serde::{Deserialize, Serialize};

/// Pass/fail of the same samples under control and treatment.
///
/// ```
/// use llmops_stats::mcnemar::PairedTable;
/// let table = PairedTable::from_outcomes(&[true, true, false], &[true, false, false]).unwrap();
/// assert_eq!(table, PairedTable { both: 1, only_control: 1, only_treatment: 0, neither: 1 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PairedTable {
    /// Samples that pass in both.
    pub both: u64,
    /// Samples that pass in the control only: the regressions.
    pub only_control: u64,
    /// Samples that pass in the treatment only: the improvements.
    pub only_treatment: u64,
    /// Samples that fail in both.
    pub neither: u64,
}

impl PairedTable {
    /// Counts the pairs of two sequences of outcomes.
    ///
    /// Errors: [`crate::StatsError::LengthMismatch`].
    ///
    /// ```
    /// use llmops_stats::mcnemar::PairedTable;
    /// assert!(PairedTable::from_outcomes(&[true], &[]).is_err());
    /// ```
    pub fn from_outcomes(control: &[bool], treatment: &[bool]) -> Result<Self> {
        if control.len() != treatment.len() {
            return Err(crate::StatsError::LengthMismatch { left: control.len(), right: treatment.len() });
        }
        let mut table = Self::default();
        for (&before, &after) in control.iter().zip(treatment) {
            table.add(before, after);
        }
        Ok(table)
    }

    /// Counts one pair.
    ///
    /// ```
    /// let mut table = llmops_stats::mcnemar::PairedTable::default();
    /// table.add(false, true);
    /// assert_eq!(table.only_treatment, 1);
    /// ```
    pub fn add(&mut self, control: bool, treatment: bool) {
        *match (control, treatment) {
            (true, true) => &mut self.both,
            (true, false) => &mut self.only_control,
            (false, true) => &mut self.only_treatment,
            (false, false) => &mut self.neither,
        } += 1;
    }

    /// How many pairs.
    ///
    /// ```
    /// use llmops_stats::mcnemar::PairedTable;
    /// assert_eq!(PairedTable { both: 1, only_control: 2, only_treatment: 3, neither: 4 }.pairs(), 10);
    /// ```
    pub fn pairs(&self) -> u64 {
        self.both + self.only_control + self.only_treatment + self.neither
    }

    /// How many pairs flipped.
    ///
    /// ```
    /// use llmops_stats::mcnemar::PairedTable;
    /// assert_eq!(PairedTable { both: 1, only_control: 2, only_treatment: 3, neither: 4 }.flips(), 5);
    /// ```
    pub fn flips(&self) -> u64 {
        self.only_control + self.only_treatment
    }
}

/// How the p-value of McNemar's test is found.
///
/// ```
/// use llmops_stats::mcnemar::McNemarMethod;
/// assert_eq!(McNemarMethod::default(), McNemarMethod::MidP);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum McNemarMethod {
    /// Binomial tail of the flips: never above the nominal level, conservative.
    Exact,
    /// Binomial tail less half the probability of the observed split: close to nominal at every size.
    #[default]
    MidP,
    /// (b − c)² / (b + c) against χ²₁.
    ChiSquared,
    /// (|b − c| − 1)² / (b + c) against χ²₁ (Edwards 1948).
    ChiSquaredCorrected,
}

/// McNemar's test of marginal homogeneity, two-sided.
///
/// With b regressions and c improvements: `statistic` is min(b, c) for the exact forms and χ² otherwise; `effect` is the
/// difference of pass rates (c − b)/n, with the adjusted Wald interval of Bonett & Price (2012, Journal of Educational
/// and Behavioral Statistics 37:479). Without a flip, p = 1.
///
/// Errors: no pairs, a level outside (0, 1). The alternative of `options` is not used: the test is two-sided.
///
/// ```
/// use llmops_stats::{TestOptions, mcnemar::{McNemarMethod, PairedTable, mcnemar}};
/// let table = PairedTable { both: 60, only_control: 15, only_treatment: 5, neither: 20 };
/// let result = mcnemar(table, McNemarMethod::Exact, TestOptions::default()).unwrap();
/// assert!((result.p_value - 0.041_389_5).abs() < 1e-6);
/// assert_eq!(result.effect, -0.1);
/// ```
pub fn mcnemar(table: PairedTable, method: McNemarMethod, options: TestOptions) -> Result<TestResult> {
    let level = options.check()?.level;
    let n = table.pairs();
    check_count("pairs", 1, n)?;
    let (b, c) = (table.only_control as f64, table.only_treatment as f64);
    let flips = table.flips();
    let (statistic, df, p_value, method) = match method {
        McNemarMethod::Exact => (b.min(c), None, exact(table), Method::McNemarExact),
        McNemarMethod::MidP => (b.min(c), None, mid_p(table), Method::McNemarMidP),
        McNemarMethod::ChiSquared | McNemarMethod::ChiSquaredCorrected => {
            let corrected = method == McNemarMethod::ChiSquaredCorrected;
            let distance = if corrected { ((b - c).abs() - 1.0).max(0.0) } else { (b - c).abs() };
            let statistic = if flips == 0 { 0.0 } else { distance * distance / flips as f64 };
            let name = if corrected { Method::McNemarChiSquaredCorrected } else { Method::McNemarChiSquared };
            (statistic, Some(1.0), chi_squared_sf(statistic, 1.0), name)
        }
    };
    let total = n as f64;
    Ok(TestResult {
        method,
        n,
        statistic,
        df,
        p_value,
        alternative: Alternative::TwoSided,
        effect: (c - b) / total,
        interval: Some(bonett_price(b, c, total, level)),
    })
}

fn exact(table: PairedTable) -> f64 {
    let least = table.only_control.min(table.only_treatment);
    (2.0 * binomial_half_cdf(least, table.flips())).min(1.0)
}

fn mid_p(table: PairedTable) -> f64 {
    let flips = table.flips();
    if table.only_control == table.only_treatment {
        // |b − c| = 0 is one point of the distribution, not two: half of it is left out. Without flips nothing is.
        return if flips == 0 { 1.0 } else { 1.0 - 0.5 * binomial_pmf(table.only_control, flips, 0.5) };
    }
    let least = table.only_control.min(table.only_treatment);
    2.0 * binomial_half_cdf(least, flips) - binomial_pmf(least, flips, 0.5)
}

fn bonett_price(b: f64, c: f64, n: f64, level: f64) -> Interval {
    let (lost, won) = ((b + 1.0) / (n + 2.0), (c + 1.0) / (n + 2.0));
    let difference = won - lost;
    let se = ((lost + won - difference * difference) / (n + 2.0)).sqrt();
    let interval = Interval::around(difference, normal_critical(level) * se, level);
    Interval { low: interval.low.max(-1.0), high: interval.high.min(1.0), level }
}
