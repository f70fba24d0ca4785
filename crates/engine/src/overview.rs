//! `OverviewReader`: what a person looks at first, put together from what the other parts keep.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use llmops_api::overview::{
    AlertTally, DeploymentHead, EvaluatedDataset, NewPrompt, Overview, QualityLimits, QualityPoint, QualityQuery,
    QualitySeries, RunTally,
};
use llmops_domain::alert::Severity;
use llmops_domain::experiment::{Experiment, ExperimentStatus};
use llmops_domain::id::ProjectId;
use llmops_domain::judge::BUILTIN_PREFIX;
use llmops_domain::run::{EvaluationFilter, RunStatus};
use llmops_domain::traffic::{Traffic, TrafficFilter, TrafficHour, TrafficSums, latency_quantile};
use llmops_storage::StoredHour;

use crate::evaluator::share;
use crate::{Error, Services};

/// Runs in the trend of the overview.
const TREND: u32 = 30;
/// Most runs in a series.
const MOST_POINTS: u32 = 500;
/// Most datasets that a series names.
const MOST_DATASETS: u32 = 100;
/// Most deployments and experiments of the overview.
const MOST_HEADS: u32 = 20;
/// Most events of the overview.
const MOST_EVENTS: u32 = 50;
/// Hours that traffic can be asked for.
const MOST_HOURS: u32 = 2160;

/// Reads the overview, quality over time, and traffic.
#[derive(Debug, Clone)]
pub struct OverviewReader {
    services: Arc<Services>,
    project: ProjectId,
}

impl OverviewReader {
    pub(crate) fn new(services: Arc<Services>, project: ProjectId) -> Self {
        Self { services, project }
    }

    /// The state of the project at a glance.
    pub async fn overview(&self) -> Result<Overview, Error> {
        let (store, project) = (&self.services.store, &self.project);
        let at = self.services.clock.now();
        let since = before(at, 24);
        let hours = store.traffic_between(project, (None, None), (before(at, 48), at)).await?;
        let (earlier, latest): (Vec<_>, Vec<_>) = hours.into_iter().partition(|hour| hour.at < since);
        let events = store.events_since(project, since, MOST_EVENTS).await?;
        let prompts = store.prompts_since(project, since, MOST_HEADS).await?;
        Ok(Overview {
            at,
            since,
            quality: self.trend().await?,
            runs: self.runs(since).await?,
            deployments: self.deployments().await?,
            alerts: self.alerts().await?,
            experiments: self.experiments().await?,
            traffic: traffic(&latest, since, at)?,
            traffic_before: Traffic { hours: Vec::new(), ..traffic(&earlier, before(at, 48), since)? },
            events,
            prompts: prompts
                .into_iter()
                .filter(|prompt| !prompt.name.starts_with(BUILTIN_PREFIX))
                .map(|prompt| NewPrompt {
                    name: prompt.name,
                    version: prompt.version.to_string(),
                    change: prompt.change,
                    author: prompt.author,
                    at: prompt.created_at,
                })
                .collect(),
        })
    }

    /// Quality over time, of one dataset.
    ///
    /// # Errors
    /// When the days asked for are not 1 to 366.
    pub async fn quality(&self, query: &QualityQuery) -> Result<QualitySeries, Error> {
        let days = query.days.unwrap_or(30);
        if !(1..=366).contains(&days) {
            return Err(Error::invalid("days: expected 1 to 366"));
        }
        let gate = &self.services.options.gate;
        let limits = QualityLimits { overall_min: gate.overall_min, category_min: gate.category_min };
        let evaluated = self.services.store.evaluated_datasets(&self.project, MOST_DATASETS).await?;
        let datasets: Vec<_> = evaluated.into_iter().map(|(name, runs)| EvaluatedDataset { name, runs }).collect();
        let Some(dataset) = query.dataset.clone().or_else(|| datasets.first().map(|first| first.name.clone())) else {
            return Ok(QualitySeries { dataset: None, datasets, points: Vec::new(), limits, mlflow: None });
        };
        let filter = EvaluationFilter {
            prompt_name: query.prompt.clone(),
            model_name: query.model.clone(),
            suite: query.suite.clone(),
            start_time: Some(before(self.services.clock.now(), days * 24)),
            ..of_dataset(&dataset, MOST_POINTS)
        };
        let points = self.points(&filter).await?;
        Ok(QualitySeries { dataset: Some(dataset), datasets, points, limits, mlflow: None })
    }

    /// Live traffic in sums.
    ///
    /// # Errors
    /// When the hours asked for are not 1 to 2,160.
    pub async fn traffic(&self, filter: &TrafficFilter) -> Result<Traffic, Error> {
        let hours = filter.hours.unwrap_or(24);
        if !(1..=MOST_HOURS).contains(&hours) {
            return Err(Error::invalid(format!("hours: expected 1 to {MOST_HOURS}")));
        }
        let at = self.services.clock.now();
        let from = before(at, hours);
        let of = (filter.deployment.as_deref(), filter.environment.as_deref());
        traffic(&self.services.store.traffic_between(&self.project, of, (from, at)).await?, from, at)
    }

    async fn trend(&self) -> Result<Vec<QualityPoint>, Error> {
        let newest = self.services.store.evaluated_datasets(&self.project, 1).await?;
        let Some((dataset, _)) = newest.into_iter().next() else { return Ok(Vec::new()) };
        let points = self.points(&of_dataset(&dataset, TREND)).await?;
        if points.len() < TREND as usize || points.iter().any(|point| !point.partial) {
            return Ok(points);
        }
        // Runs of a part only: what is known of the whole lies before them.
        let earlier = self.points(&of_dataset(&dataset, MOST_POINTS)).await?;
        Ok(earlier.into_iter().rfind(|point| !point.partial).into_iter().chain(points).collect())
    }

    async fn points(&self, filter: &EvaluationFilter) -> Result<Vec<QualityPoint>, Error> {
        let runs = self.services.store.list_runs(&self.project, filter).await?;
        Ok(runs.into_iter().rev().map(QualityPoint::from).collect())
    }

    async fn runs(&self, since: Timestamp) -> Result<RunTally, Error> {
        let mut tally = RunTally::default();
        for (status, n) in self.services.store.count_runs(&self.project, since).await? {
            match status {
                RunStatus::Pending => tally.pending = n,
                RunStatus::Running => tally.running = n,
                RunStatus::Completed => tally.completed = n,
                RunStatus::Failed => tally.failed = n,
                RunStatus::Cancelled => tally.cancelled = n,
            }
        }
        Ok(tally)
    }

    async fn alerts(&self) -> Result<AlertTally, Error> {
        let mut tally = AlertTally::default();
        for (severity, n) in self.services.store.count_open_alerts(&self.project).await? {
            match severity {
                Severity::Critical => tally.critical = n,
                Severity::Warning => tally.warning = n,
                Severity::Info => tally.info = n,
            }
        }
        Ok(tally)
    }

    async fn deployments(&self) -> Result<Vec<DeploymentHead>, Error> {
        let store = &self.services.store;
        let mut heads = Vec::new();
        for deployment in store.list_deployments(&self.project, None, MOST_HEADS).await? {
            let (_, manifest) = store.get_manifest(&self.project, deployment.manifest.as_str()).await?;
            let version = manifest.prompt_version.map(|version| format!("@{version}")).unwrap_or_default();
            let prompt = manifest.prompt.map(|name| format!("{name}{version}"));
            heads.push(DeploymentHead { deployment, model: manifest.model, prompt });
        }
        Ok(heads)
    }

    async fn experiments(&self) -> Result<Vec<Experiment>, Error> {
        let store = &self.services.store;
        let mut found = Vec::new();
        for status in [ExperimentStatus::Running, ExperimentStatus::Paused] {
            found.extend(store.list_experiments(&self.project, Some(status), None, MOST_HEADS).await?);
        }
        found.truncate(MOST_HEADS as usize);
        Ok(found)
    }
}

fn of_dataset(dataset: &str, limit: u32) -> EvaluationFilter {
    EvaluationFilter {
        dataset: Some(dataset.to_owned()),
        status: Some(RunStatus::Completed),
        limit: Some(limit),
        ..EvaluationFilter::default()
    }
}

fn before(at: Timestamp, hours: u32) -> Timestamp {
    // The first hour there is, where there are not so many.
    at.checked_sub(SignedDuration::from_hours(i64::from(hours))).unwrap_or(Timestamp::MIN)
}

fn traffic(hours: &[StoredHour], from: Timestamp, to: Timestamp) -> Result<Traffic, Error> {
    let mut sums = TrafficSums::default();
    let mut classes = BTreeMap::<i64, u64>::new();
    for hour in hours {
        sums.add(&hour.sums);
        for (class, calls) in &hour.latencies {
            *classes.entry(*class).or_default() += calls;
        }
    }
    let classes: Vec<_> = classes.into_iter().collect();
    let at_hour = |hour: &StoredHour| TrafficHour {
        at: hour.at,
        sums: hour.sums,
        p50_ms: latency_quantile(&hour.latencies, 0.5),
        p95_ms: latency_quantile(&hour.latencies, 0.95),
    };
    Ok(Traffic {
        from,
        to,
        sums,
        failure_rate: share(sums.failed, sums.counted())?,
        soft_failure_rate: share(sums.soft_failed, sums.answered)?,
        p50_ms: latency_quantile(&classes, 0.5),
        p95_ms: latency_quantile(&classes, 0.95),
        hours: hours.iter().map(at_hour).collect(),
    })
}
