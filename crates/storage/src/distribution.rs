//! How the composites of a run are spread.

use llmops_domain::run::{ScoreBin, ScoreDistribution};

use crate::db::{count, fetch};
use crate::{RunKey, Store, StoreError};

/// Classes of equal width between 0 and 1.
const BINS: i64 = 20;

/// Trials of a run by class of their composite and by whether they passed. Trials without a composite have no class.
const COUNT: &str = "SELECT bin, passed, COUNT(*) FROM (SELECT passed, \
     CASE WHEN composite IS NULL THEN -1 \
           WHEN composite >= 0.95 THEN 19 WHEN composite >= 0.9 THEN 18 WHEN composite >= 0.85 THEN 17 WHEN \
           composite >= 0.8 THEN 16 WHEN composite >= 0.75 THEN 15 WHEN composite >= 0.7 THEN 14 WHEN composite \
           >= 0.65 THEN 13 WHEN composite >= 0.6 THEN 12 WHEN composite >= 0.55 THEN 11 WHEN composite >= 0.5 \
           THEN 10 WHEN composite >= 0.45 THEN 9 WHEN composite >= 0.4 THEN 8 WHEN composite >= 0.35 THEN 7 \
           WHEN composite >= 0.3 THEN 6 WHEN composite >= 0.25 THEN 5 WHEN composite >= 0.2 THEN 4 WHEN \
           composite >= 0.15 THEN 3 WHEN composite >= 0.1 THEN 2 WHEN composite >= 0.05 THEN 1 \
           ELSE 0 END AS bin FROM results WHERE run_key = $1) AS binned GROUP BY bin, passed";

impl Store {
    /// The trials of a run by class of their composite.
    pub async fn score_distribution(&self, run: &RunKey) -> Result<ScoreDistribution, StoreError> {
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (i32, Option<i64>, i64), COUNT, run.key)?;
        let edge = |bin: i64| bin as f64 / BINS as f64;
        let bins = (0..BINS).map(|bin| ScoreBin { low: edge(bin), high: edge(bin + 1), passed: 0, failed: 0 });
        let mut found = ScoreDistribution { bins: bins.collect(), errored: 0 };
        for (bin, passed, n) in rows {
            let n: u64 = count(n)?;
            let bin = usize::try_from(bin).ok().and_then(|bin| found.bins.get_mut(bin));
            match (passed, bin) {
                (None, _) => found.errored += n,
                (Some(1), Some(bin)) => bin.passed += n,
                (Some(_), Some(bin)) => bin.failed += n,
                // Scored by metrics without weights: there is no composite.
                (Some(_), None) => {}
            }
        }
        Ok(found)
    }
}
