//! The runs of this process: those it works on, and those it could not go on with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use llmops_domain::id::RunId;
use llmops_domain::run::{EvaluationRun, RunStatus};
use tokio::sync::watch;

use super::execution::Execution;
use crate::Error;
use crate::error::with_causes;

/// Runs of this process.
#[derive(Default)]
pub(crate) struct LocalRuns {
    /// Those that it works on.
    present: Mutex<HashMap<RunId, LocalRun>>,
    /// Why its work on others broke off.
    broken: Mutex<HashMap<RunId, String>>,
}

#[derive(Clone)]
pub(crate) struct LocalRun {
    pub(super) execution: Arc<Execution>,
    pub(super) ended: watch::Receiver<bool>,
}

impl std::fmt::Debug for LocalRuns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LocalRuns")
    }
}

impl LocalRuns {
    pub(super) fn get(&self, id: &RunId) -> Option<LocalRun> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(super) fn all(&self) -> Vec<LocalRun> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn remove(&self, id: &RunId) {
        self.present.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Adds a run unless it is there. False: it is there.
    pub(super) fn add(&self, id: &RunId, run: LocalRun) -> bool {
        let mut runs = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.contains_key(id) {
            return false;
        }
        runs.insert(id.clone(), run);
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        true
    }

    /// Notes that this process cannot go on with a run, and cannot write that down.
    pub(super) fn broke_off(&self, id: &RunId, why: &Error) {
        let why = with_causes(why);
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), why);
    }

    /// The run as it stands, with why nobody here works on it any more.
    pub(super) fn explained(&self, mut run: EvaluationRun) -> EvaluationRun {
        if run.status == RunStatus::Running && run.error.is_none() {
            run.error = self.broken.lock().unwrap_or_else(PoisonError::into_inner).get(&run.id).cloned();
        }
        run
    }
}
