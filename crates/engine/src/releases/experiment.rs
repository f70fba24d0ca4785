//! The third step of a release: an experiment in production, and its end.

use llmops_domain::deployment::{DEFAULT_ENVIRONMENT, Deployment, DeploymentSettings};
use llmops_domain::experiment::{Experiment, ExperimentSpec, ExperimentStatus, MetricSpec, Variant};
use llmops_domain::release::{CANDIDATE, CONTROL, EXPERIMENT_SHARE, Release, ReleaseEventKind, Verdict, next_step};

use super::Releases;
use crate::Error;

/// What the experiment measures: what users say.
const METRIC: &str = "feedback_thumb";

/// How the experiment of a release ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The candidate won.
    Won,
    /// What is live won: the candidate is worse beyond chance.
    Lost,
    /// A person decided without its result.
    Undecided,
    /// What it was made for is not done any more.
    GivenUp,
}

impl Releases {
    /// Gives the candidate a tenth of the users; or says why it may not have them yet.
    pub(super) async fn enter_experiment(&self, release: &mut Release) -> Result<Option<String>, Error> {
        let name = release.deployment.clone();
        // A first release has nothing to be compared with.
        let Some(live) = self.live(&name).await? else { return Ok(None) };
        if let Some(why) = self.frozen(&name).await? {
            return Ok(Some(why));
        }
        if let Some(key) = self.others_experiment(release, &live).await? {
            return Ok(Some(format!(
                "the experiment {key} assigns the users of {name}: llmops experiment complete {key}, or settings without it, then \
                 llmops release {name}; or --waive experiment with a reason"
            )));
        }
        if let Some(canary) = self.ops().canaries().exposing(&name, DEFAULT_ENVIRONMENT).await? {
            let canary = &canary.id;
            return Ok(Some(format!(
                "the canary {canary} shows its candidate to users of {name}: wait for its end, or llmops canary abort {name}, then \
                 llmops release {name}; or --waive experiment with a reason"
            )));
        }
        release.experiment = Some(self.experiment(release).await?);
        Ok(None)
    }

    /// The incident that keeps production as it is, where there is one.
    pub(super) async fn frozen(&self, name: &str) -> Result<Option<String>, Error> {
        match self.deployments().refuse_in_an_incident(name, DEFAULT_ENVIRONMENT).await {
            Err(Error::Conflict { message, .. }) => {
                Ok(Some(format!("{message}: llmops incident close {name}, then llmops release {name}")))
            }
            other => other.map(|()| None),
        }
    }

    /// The experiment of somebody else by which the deployment's users are assigned now.
    async fn others_experiment(&self, release: &Release, live: &Deployment) -> Result<Option<String>, Error> {
        Ok(self.deployments().assigning(live).await?.filter(|key| *key != release.experiment_key()))
    }

    /// Makes and starts the experiment, and lets it assign the users. What a process left that ended in between is taken up.
    async fn experiment(&self, release: &Release) -> Result<String, Error> {
        let mut experiment = match self.own_experiment(release).await? {
            Some(left) => left,
            None => self.ops().experiments().create(Self::spec(release)).await?,
        };
        if experiment.status == ExperimentStatus::Draft {
            experiment = self.start_experiment(release, experiment).await?;
        }
        if !self.is_routed(release).await?
            && let Some(live) = self.live(&release.deployment).await?
        {
            self.route(release, live, Some(experiment.spec.key)).await?;
        }
        Ok(experiment.id.0)
    }

    /// Starts a draft; or gives it up for the one that another process has started meanwhile.
    async fn start_experiment(&self, release: &Release, draft: Experiment) -> Result<Experiment, Error> {
        let experiments = self.ops().experiments();
        let refused = match experiments.start(draft.id.as_str()).await {
            Ok(started) => return Ok(started),
            Err(error) => error,
        };
        match self.own_experiment(release).await? {
            Some(other) if other.status.is_live() => {
                if other.id != draft.id {
                    experiments.cancel(draft.id.as_str()).await?;
                }
                Ok(other)
            }
            _ => Err(refused),
        }
    }

    /// The experiment of a release, by its key, that has not ended: whoever made it may have ended before it wrote that down.
    async fn own_experiment(&self, release: &Release) -> Result<Option<Experiment>, Error> {
        match self.ops().experiments().get(&release.experiment_key()).await {
            Ok(found) => Ok(Some(found).filter(|found| !has_ended(found.status))),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A tenth of the users for the candidate, the rest for what is live.
    fn spec(release: &Release) -> ExperimentSpec {
        // The control is what is live, whatever that is: whoever goes back from it goes back for its users, too.
        let control = Variant { id: CONTROL.to_owned(), is_control: true, ..Variant::default() };
        let candidate =
            Variant { id: CANDIDATE.to_owned(), manifest: Some(release.manifest.to_string()), ..Variant::default() };
        let split = [(CONTROL.to_owned(), 1.0 - EXPERIMENT_SHARE), (CANDIDATE.to_owned(), EXPERIMENT_SHARE)];
        ExperimentSpec {
            name: release.experiment_key(),
            variants: vec![control, candidate],
            traffic_split: split.into_iter().collect(),
            metrics: vec![MetricSpec::named(METRIC)],
            target_metric: Some(METRIC.to_owned()),
            ..ExperimentSpec::default()
        }
    }

    /// Lets the gateway assign the deployment's users by an experiment, or by none any more.
    async fn route(&self, release: &Release, live: Deployment, experiment: Option<String>) -> Result<(), Error> {
        let settings = DeploymentSettings { experiment, ..live.settings.clone() };
        self.deployments().configure(live, settings, format!("release {}", release.id)).await.map(drop)
    }

    /// Whether the deployment's users are assigned by the release's experiment.
    pub(super) async fn is_routed(&self, release: &Release) -> Result<bool, Error> {
        let live = self.live(&release.deployment).await?;
        Ok(live.and_then(|live| live.settings.experiment) == Some(release.experiment_key()))
    }

    /// The release by whose experiment the users of a deployment are assigned.
    pub(crate) async fn that_routes(&self, live: &Deployment) -> Result<Option<Release>, Error> {
        if live.environment != DEFAULT_ENVIRONMENT || live.settings.experiment.is_none() {
            return Ok(None);
        }
        let open = self.services.store.find_open_release(&self.project, &live.name).await?;
        Ok(open.filter(|release| live.settings.experiment == Some(release.experiment_key())))
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
        if self.is_routed(release).await?
            && let Some(live) = self.live(&release.deployment).await?
        {
            self.route(release, live, None).await?;
        }
        let experiments = self.ops().experiments();
        let known = match &release.experiment {
            Some(id) => Some(experiments.get(id).await?),
            None => self.own_experiment(release).await?,
        };
        let Some(experiment) = known.filter(|known| !has_ended(known.status)) else { return Ok(()) };
        let id = experiment.id.as_str();
        match ending {
            // A draft has nobody in it.
            Ending::Won | Ending::Lost | Ending::Undecided if experiment.status == ExperimentStatus::Draft => {
                experiments.cancel(id).await?
            }
            Ending::Won => experiments.complete(id, Some(CANDIDATE)).await?,
            Ending::Lost => experiments.complete(id, Some(CONTROL)).await?,
            Ending::Undecided => experiments.complete(id, None).await?,
            Ending::GivenUp => experiments.cancel(id).await?,
        };
        Ok(())
    }
}

fn has_ended(status: ExperimentStatus) -> bool {
    matches!(status, ExperimentStatus::Completed | ExperimentStatus::Cancelled)
}
