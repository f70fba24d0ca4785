//! What runs by itself: the suites, on their schedules.

use super::duration::HumanDuration;
use super::{Config, SuiteConfig};

/// When a suite runs by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Automatic {
    /// At the times of a cron expression.
    Cron {
        /// The expression.
        expression: String,
        /// Its time zone.
        timezone: String,
    },
    /// At equal distances.
    Every(HumanDuration),
    /// Not: nobody asked for it.
    Off,
    /// Not, although it was asked for; with the reason.
    Not(String),
}

impl Config {
    /// When a suite runs by itself: on its schedule, else at `operations.evaluation_interval` where automatic evaluation is
    /// enabled. A suite with judges runs only with a limit on what they may spend: nothing spends in silence.
    pub fn automatic(&self, suite: &SuiteConfig) -> Automatic {
        let timing = match &suite.schedule {
            Some(expression) => Automatic::Cron {
                expression: expression.clone(),
                timezone: suite.timezone.clone().unwrap_or_else(|| "UTC".to_owned()),
            },
            None if self.operations.enable_auto_evaluation => Automatic::Every(self.operations.evaluation_interval),
            None => return Automatic::Off,
        };
        match self.scoring_spec() {
            Err(error) => Automatic::Not(error.to_string()),
            Ok(scoring)
                if scoring.spec.max_judge_cost.is_none()
                    && scoring.spec.metrics.values().any(|metric| metric.scorer.is_judged()) =>
            {
                Automatic::Not("its judges cost money each time: set scoring.max_judge_cost (USD per run)".to_owned())
            }
            Ok(_) => timing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "version: 1\nproviders: {sim: {kind: simulator}}\ntargets: {t: {model: sim/m}}\n\
                        datasets: {d: {path: d.jsonl}}\n";

    #[track_caller]
    fn check(rest: &str, expected: &Automatic) {
        let (config, _) = Config::parse(&format!("{BASE}{rest}"), "llmops.yaml", |_| None).unwrap();
        assert_eq!(config.automatic(&config.suites["s"]), *expected);
    }

    #[test]
    fn suites_run_by_themselves_unless_they_would_spend_in_silence() {
        let exact = "scoring: {metrics: {exact_match: {weight: 1}}}\n";
        let judged = "scoring: {metrics: {judge: {weight: 1, model: sim/judge}}}\n";
        let limited = "scoring: {metrics: {judge: {weight: 1, model: sim/judge}}, max_judge_cost: 1}\n";
        let suite = "suites: {s: {target: t, dataset: d}}\n";
        let timed = "suites: {s: {target: t, dataset: d, schedule: '0 3 * * *', timezone: Europe/Berlin}}\n";
        let daily = Automatic::Every(HumanDuration::from_secs(24 * 3600));
        let cron = Automatic::Cron { expression: "0 3 * * *".to_owned(), timezone: "Europe/Berlin".to_owned() };
        let silent =
            Automatic::Not("its judges cost money each time: set scoring.max_judge_cost (USD per run)".to_owned());
        check(&format!("{exact}{suite}"), &daily);
        check(
            &format!("{exact}{suite}operations: {{evaluation_interval: 1h}}"),
            &Automatic::Every(HumanDuration::from_secs(3600)),
        );
        check(&format!("{exact}{suite}operations: {{enable_auto_evaluation: false}}"), &Automatic::Off);
        check(&format!("{exact}{timed}operations: {{enable_auto_evaluation: false}}"), &cron);
        check(&format!("{exact}{timed}"), &cron);
        check(&format!("{judged}{suite}"), &silent);
        check(&format!("{judged}{timed}"), &silent);
        check(&format!("{limited}{suite}"), &daily);
        // The default metrics have a judge.
        check(suite, &silent);
    }
}
