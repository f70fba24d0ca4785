//! The experiments of this process, in memory: what an assignment looks at. It is replaced as a whole when something
//! changes, here or in another process.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use llmops_domain::experiment::Experiment;
use llmops_domain::experiment::assignment::Assigner;
use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_storage::{ExperimentKey, Store};
use tokio::sync::{Mutex, OnceCell};

use super::exposures::Exposures;
use crate::Error;

/// Longest that a change by another process stays unseen where the database does not tell of it.
const POLL: Duration = Duration::from_millis(250);

/// An experiment that clients can ask for.
#[derive(Debug)]
pub struct Flag {
    pub(crate) key: ExperimentKey,
    /// The experiment.
    pub experiment: Experiment,
    /// The experiment, compiled.
    pub assigner: Assigner,
}

/// The experiments of a project that clients can ask for.
#[derive(Debug, Default)]
pub struct Flags {
    by_key: HashMap<String, Arc<Flag>>,
    by_id: HashMap<String, Arc<Flag>>,
    /// In the order of their keys.
    all: Vec<Arc<Flag>>,
    fingerprint: String,
}

impl Flags {
    fn new(flags: Vec<Arc<Flag>>) -> Self {
        let revisions: Vec<(&str, u64)> =
            flags.iter().map(|f| (f.experiment.id.as_str(), f.experiment.revision)).collect();
        Self {
            // Texts and numbers always have a JSON form.
            fingerprint: ContentHash::of_json(&revisions).map(|hash| hash.short().to_owned()).unwrap_or_default(),
            by_key: flags.iter().map(|f| (f.experiment.spec.key.clone(), f.clone())).collect(),
            by_id: flags.iter().map(|f| (f.experiment.id.0.clone(), f.clone())).collect(),
            all: flags,
        }
    }

    /// The one with this key.
    pub fn by_key(&self, key: &str) -> Option<&Arc<Flag>> {
        self.by_key.get(key)
    }

    /// The one with this id, else with this key.
    pub fn find(&self, name: &str) -> Option<&Arc<Flag>> {
        self.by_id.get(name).or_else(|| self.by_key.get(name))
    }

    /// All, in the order of their keys.
    pub fn all(&self) -> &[Arc<Flag>] {
        &self.all
    }

    /// Changes when any of them does; equal in every process.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

#[derive(Default)]
struct Loaded {
    /// The sums of revisions that were loaded, by project.
    changes: HashMap<ProjectId, u64>,
}

/// The experiments of this process. One per process, for all projects.
pub(crate) struct Live {
    store: Store,
    projects: ArcSwap<HashMap<ProjectId, Arc<Flags>>>,
    loaded: Mutex<Loaded>,
    started: OnceCell<()>,
    pub(crate) exposures: Exposures,
}

impl Live {
    pub(crate) fn new(store: Store) -> Arc<Self> {
        Arc::new(Self {
            store,
            projects: ArcSwap::default(),
            loaded: Mutex::default(),
            started: OnceCell::new(),
            exposures: Exposures::new(),
        })
    }

    /// The experiments of a project; loads them the first time.
    pub(crate) async fn flags(self: &Arc<Self>, project: &ProjectId) -> Result<Arc<Flags>, Error> {
        self.started
            .get_or_try_init(|| async {
                self.refresh().await?;
                self.exposures.start(&self.store);
                tokio::spawn(watch(Arc::downgrade(self), self.store.clone()));
                Ok::<(), Error>(())
            })
            .await?;
        Ok(self.loaded_flags(project))
    }

    /// The experiments of a project as they were loaded last.
    pub(crate) fn loaded_flags(&self, project: &ProjectId) -> Arc<Flags> {
        self.projects.load().get(project).cloned().unwrap_or_default()
    }

    /// Loads what changed.
    pub(crate) async fn refresh(&self) -> Result<(), Error> {
        let mut loaded = self.loaded.lock().await;
        let changes = self.store.experiment_changes().await?;
        let mut projects = None;
        for (project, sum) in changes {
            if loaded.changes.get(&project) == Some(&sum) {
                continue;
            }
            let flags = self.store.flag_experiments(&project).await?;
            let flags = flags.into_iter().map(|stored| {
                let assigner = Assigner::new(&stored.experiment);
                Arc::new(Flag { key: stored.key, experiment: stored.experiment, assigner })
            });
            let flags = Arc::new(Flags::new(flags.collect()));
            projects.get_or_insert_with(|| HashMap::clone(&self.projects.load())).insert(project.clone(), flags);
            loaded.changes.insert(project, sum);
        }
        if let Some(projects) = projects {
            self.projects.store(Arc::new(projects));
        }
        Ok(())
    }
}

/// Loads what changes, until the process has no use for it any more.
async fn watch(live: Weak<Live>, store: Store) {
    let mut news = store.event_news();
    let mut is_failing = false;
    loop {
        news.wait(POLL).await;
        let Some(live) = live.upgrade() else { return };
        match live.refresh().await {
            Ok(()) => is_failing = false,
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(%error, "cannot read experiments; going on with those in memory");
                }
            }
        }
    }
}
