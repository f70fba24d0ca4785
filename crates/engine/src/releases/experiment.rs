//! The third step of a release: an experiment in production, and its end.

use llmops_domain::deployment::{DEFAULT_ENVIRONMENT, Deployment, DeploymentSettings};
use llmops_domain::experiment::{Experiment, ExperimentSpec, ExperimentStatus, MetricSpec, Variant};
use llmops_domain::release::{EXPERIMENT_SHARE, Release, ReleaseEventKind, Verdict, next_step};

use super::Releases;
use crate::Error;

/// The variants of a release's experiment.
pub(super) const CONTROL: &str = "control";
pub(super) const CANDIDATE: &str = "candidate";
/// What the experiment measures: what users say.
const METRIC: &str = "feedback_thumb";

/// How the experiment of a release ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The candidate won.
    Won,
    /// A person decided without its result.
    Undecided,
    /// What it was made for is not done any more.
    GivenUp,
}

/// The key of a release's experiment.
pub(crate) fn experiment_key(release: &Release) -> String {
    release.id.as_str().replace('_', "-")
}

impl Releases {
    /// Gives the candidate a tenth of the users; or says why it may not have them yet.
    pub(super) async fn enter_experiment(&self, release: &mut Release) -> Result<Option<String>, Error> {
        let name = release.deployment.clone();
        // A first release has nothing to be compared with.
        let Some(live) = self.live(&name).await? else { return Ok(None) };
        match self.deployments().refuse_in_an_incident(&name, DEFAULT_ENVIRONMENT).await {
            Err(Error::Conflict { message, .. }) => {
                return Ok(Some(format!("{message}: llmops incident close {name}, then llmops release {name}")));
            }
            other => other?,
        }
        if let Some(key) = self.others_experiment(release, &live).await? {
            return Ok(Some(format!(
                "the experiment {key} assigns the users of {name}: llmops experiment complete {key}, or settings without it, then \
                 llmops release {name}; or --waive experiment with a reason"
            )));
        }
        release.experiment = Some(self.experiment(release).await?);
        Ok(None)
    }

    /// The experiment of somebody else by which the deployment's users are assigned now.
    async fn others_experiment(&self, release: &Release, live: &Deployment) -> Result<Option<String>, Error> {
        let Some(key) = live.settings.experiment.clone().filter(|key| *key != experiment_key(release)) else {
            return Ok(None);
        };
        let flags = self.services.experiments.flags(&self.project).await?;
        // One that was completed goes on to answer everybody by its winner, where it has one.
        let assigns = |experiment: &Experiment| experiment.status.is_live() || experiment.winner.is_some();
        Ok(flags.find(&key).is_some_and(|flag| assigns(&flag.experiment)).then_some(key))
    }

    /// Makes and starts the experiment: a tenth of the users for the candidate, the rest for what is live.
    async fn experiment(&self, release: &Release) -> Result<String, Error> {
        // The control is what is live, whatever that is: whoever goes back from it goes back for its users, too.
        let control = Variant { id: CONTROL.to_owned(), is_control: true, ..Variant::default() };
        let candidate =
            Variant { id: CANDIDATE.to_owned(), manifest: Some(release.manifest.to_string()), ..Variant::default() };
        let split = [(CONTROL.to_owned(), 1.0 - EXPERIMENT_SHARE), (CANDIDATE.to_owned(), EXPERIMENT_SHARE)];
        let spec = ExperimentSpec {
            name: experiment_key(release),
            variants: vec![control, candidate],
            traffic_split: split.into_iter().collect(),
            metrics: vec![MetricSpec::named(METRIC)],
            target_metric: Some(METRIC.to_owned()),
            ..ExperimentSpec::default()
        };
        let experiments = self.ops().experiments();
        let made = experiments.create(spec).await?;
        experiments.start(made.id.as_str()).await?;
        if let Some(live) = self.live(&release.deployment).await? {
            self.route(release, live, Some(made.spec.key)).await?;
        }
        Ok(made.id.0)
    }

    /// Lets the gateway assign the deployment's users by an experiment, or by none any more.
    async fn route(&self, release: &Release, live: Deployment, experiment: Option<String>) -> Result<(), Error> {
        let settings = DeploymentSettings { experiment, ..live.settings.clone() };
        self.deployments().configure(live, settings, format!("release {}", release.id)).await.map(drop)
    }

    /// Whether the deployment's users are assigned by the release's experiment.
    pub(super) async fn is_routed(&self, release: &Release) -> Result<bool, Error> {
        let live = self.live(&release.deployment).await?;
        Ok(live.and_then(|live| live.settings.experiment) == Some(experiment_key(release)))
    }

    /// The release by whose experiment the users of a deployment are assigned.
    pub(crate) async fn that_routes(&self, live: &Deployment) -> Result<Option<Release>, Error> {
        if live.environment != DEFAULT_ENVIRONMENT || live.settings.experiment.is_none() {
            return Ok(None);
        }
        let open = self.services.store.find_open_release(&self.project, &live.name).await?;
        Ok(open.filter(|release| live.settings.experiment == Some(experiment_key(release))))
    }

    /// Ends the experiment of a release below which something else became live. From now on the release waits for a person.
    pub(crate) async fn interrupt(&self, mut release: Release) -> Result<(), Error> {
        self.end_experiment(&release, Ending::GivenUp).await?;
        let Verdict::Wait(why) = next_step(&release, &self.evidence(&release).await?) else { return Ok(()) };
        release.waiting = Some(why.clone());
        let step = release.step;
        self.put(release, step, (ReleaseEventKind::Waits, &why)).await.map(drop)
    }

    /// Lets the experiment assign nobody any more, and ends it.
    pub(super) async fn end_experiment(&self, release: &Release, ending: Ending) -> Result<(), Error> {
        let Some(id) = &release.experiment else { return Ok(()) };
        if self.is_routed(release).await?
            && let Some(live) = self.live(&release.deployment).await?
        {
            self.route(release, live, None).await?;
        }
        let experiments = self.ops().experiments();
        let status = experiments.get(id).await?.status;
        if matches!(status, ExperimentStatus::Completed | ExperimentStatus::Cancelled) {
            return Ok(());
        }
        match ending {
            Ending::Won => experiments.complete(id, Some(CANDIDATE)).await?,
            Ending::Undecided => experiments.complete(id, None).await?,
            Ending::GivenUp => experiments.cancel(id).await?,
        };
        Ok(())
    }
}
