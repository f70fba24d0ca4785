//! What is looked at when somebody sends settings.

use std::sync::LazyLock;

use llmops_domain::deployment::DeploymentSettings;
use llmops_domain::yaml::{Schema, validate_value};
use llmops_storage::StoreError;

use super::Deployments;
use crate::Error;

static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::of::<DeploymentSettings>);

/// Refuses settings that a file could not have.
pub(super) fn check_settings(settings: &DeploymentSettings) -> Result<(), Error> {
    let problems = validate_value(settings, "settings", &SCHEMA);
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}

impl Deployments {
    /// What settings name and is not there. It may come later, so it is told and not refused.
    pub(super) async fn absent_parts(&self, settings: &DeploymentSettings) -> Result<Vec<String>, Error> {
        let store = &self.services.store;
        let mut notices = Vec::new();
        if let Some(name) = &settings.experiment {
            match store.get_experiment(&self.project, name).await {
                Ok(_) => {}
                Err(StoreError::NotFound { .. }) => notices
                    .push(format!("there is no experiment {name} yet: until it runs, everybody gets what is deployed")),
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(name) = &settings.when_model_changes {
            match store.get_schedule(&self.project, name).await {
                Ok(_) => {}
                Err(StoreError::NotFound { .. }) => notices
                    .push(format!("there is no schedule {name} yet: when the model changes, there is only an alert")),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(notices)
    }
}
