//! Whether a manifest may answer production, going by what the gate said of its runs.

use jiff::Timestamp;

use super::Verdict;
use crate::id::RunId;

/// A run with a verdict, as far as it says something of its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatedRun {
    /// The run.
    pub run: RunId,
    /// The dataset.
    pub dataset: String,
    /// When the run was made.
    pub made: Timestamp,
    /// What its gate said last.
    pub verdict: Verdict,
    /// Whether it saw only a part of the samples.
    pub is_partial: bool,
}

/// The run by which a manifest passes: on every dataset the newest whole run since `oldest` passed, and there is one. A run of a
/// part of the samples says nothing, whatever its gate said. `runs` are those of the manifest, newest first.
///
/// # Errors
/// Why none counts, as the end of a sentence about the manifest.
pub fn passing(runs: &[GatedRun], oldest: Timestamp) -> Result<&GatedRun, String> {
    let recent = || runs.iter().filter(|run| run.made >= oldest);
    let whole = || recent().filter(|run| !run.is_partial);
    let is_newest = |run: &GatedRun| whole().find(|other| other.dataset == run.dataset) == Some(run);
    if let Some(run) = whole().find(|run| is_newest(run) && run.verdict != Verdict::Pass) {
        let said = match run.verdict {
            Verdict::Fail => "failed its gate",
            _ => "is inconclusive",
        };
        return Err(format!("did not pass: its newest run on {}, {}, {said}", run.dataset, run.run));
    }
    whole().next().ok_or_else(|| {
        let part = recent().find(|run| run.verdict == Verdict::Pass);
        let part = part.map(|run| format!(" ({} saw only a part of the samples)", run.run)).unwrap_or_default();
        format!("has no completed run that passed its gate{part}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs as `dataset verdict` with `part` behind them, newest first, a day between them; those of the last `days` count.
    fn check(runs: &[&str], days: i64, expected: Result<&str, &str>) {
        let now: Timestamp = "2026-06-30T00:00:00Z".parse().unwrap();
        let ago = |days: i64| now - jiff::SignedDuration::from_hours(24 * days);
        let read = |(at, text): (usize, &&str)| {
            let words: Vec<&str> = text.split(' ').collect();
            GatedRun {
                run: RunId(format!("run_{at}")),
                dataset: words[0].to_owned(),
                made: ago(i64::try_from(at).unwrap()),
                verdict: serde_json::from_value(words[1].into()).unwrap(),
                is_partial: words.get(2) == Some(&"part"),
            }
        };
        let runs: Vec<GatedRun> = runs.iter().enumerate().map(read).collect();
        let found = passing(&runs, ago(days)).map(|run| run.run.0.clone());
        assert_eq!(found.as_deref(), expected.map_err(str::to_owned).as_ref().copied(), "{runs:?}");
    }

    #[test]
    fn the_newest_whole_run_on_every_dataset_decides() {
        check(&["golden pass", "golden fail"], 7, Ok("run_0"));
        check(
            &["golden fail", "golden pass"],
            7,
            Err("did not pass: its newest run on golden, run_0, failed its gate"),
        );
        check(
            &["golden inconclusive", "golden pass"],
            7,
            Err("did not pass: its newest run on golden, run_0, is inconclusive"),
        );
        // Who passes on another dataset has not passed on this one.
        check(
            &["easy pass", "golden fail", "golden pass"],
            7,
            Err("did not pass: its newest run on golden, run_1, failed its gate"),
        );
        check(&["easy pass", "golden pass", "golden fail"], 7, Ok("run_0"));
    }

    #[test]
    fn a_part_of_the_samples_says_nothing() {
        let none = "has no completed run that passed its gate";
        check(&["golden pass part"], 7, Err(&format!("{none} (run_0 saw only a part of the samples)")));
        check(&["golden fail part", "golden pass"], 7, Ok("run_1"));
        check(
            &["golden pass part", "golden fail"],
            7,
            Err("did not pass: its newest run on golden, run_1, failed its gate"),
        );
        check(&["golden fail part"], 7, Err(none));
    }

    #[test]
    fn what_is_old_does_not_count() {
        let none = "has no completed run that passed its gate";
        check(&[], 7, Err(none));
        check(&["easy pass", "golden fail"], 0, Ok("run_0"));
        check(&["golden pass", "golden fail"], -1, Err(none));
    }
}
