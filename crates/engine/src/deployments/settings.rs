//! What is looked at when somebody sends settings.

use std::sync::LazyLock;
use std::time::Duration;

use llmops_domain::deployment::DeploymentSettings;
use llmops_domain::manifest::Manifest;
use llmops_domain::yaml::{Schema, validate_value};
use llmops_providers::http_client::Endpoint;
use llmops_storage::StoreError;

use super::Deployments;
use crate::Error;

/// The longest window of an alert.
const MOST_WINDOW: Duration = Duration::from_hours(5 * 24);

static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::of::<DeploymentSettings>);

/// Refuses settings that a file could not have, or that make no sense.
pub(super) fn check_settings(settings: &DeploymentSettings) -> Result<(), Error> {
    let unread = validate_value(settings, "settings", &SCHEMA);
    let mut problems: Vec<String> = unread.iter().map(ToString::to_string).collect();
    if problems.is_empty() && settings.guard.alert.window.0 > MOST_WINDOW {
        problems.push(
            "guard.alert.window: counts are kept for 35d, and a window is compared with the six before: expected at most 5d"
                .to_owned(),
        );
    }
    if !problems.is_empty() {
        problems.extend(senseless(settings));
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::invalid(problems.join("\n"))) }
}

/// What makes no sense in settings, whatever the manifest and the store; each problem begins with its field.
pub fn senseless(settings: &DeploymentSettings) -> Vec<String> {
    let mut problems = settings.problems();
    if let Some(Err(error)) = settings.guard.http.as_ref().map(|check| Endpoint::new(&check.url)) {
        problems.push(format!("guard.http.url: {error}"));
    }
    problems
}

/// What of the fallbacks is not what it seems. Hosts have names of their own for a model, so it is told and not refused.
pub(super) fn odd_fallbacks(manifest: &Manifest, settings: &DeploymentSettings) -> Vec<String> {
    let own = &manifest.model;
    let model = |place: &str| place.rsplit('/').next().unwrap_or_default().to_lowercase();
    let mut notices = Vec::new();
    for (i, place) in settings.fallbacks.iter().enumerate() {
        if place == own {
            notices.push(format!("fallbacks: {place} is the manifest's own place, which has been asked by then"));
        } else if settings.fallbacks[..i].contains(place) {
            notices.push(format!("fallbacks: {place} is named twice"));
        } else if model(place) != model(own) {
            notices.push(format!(
                "fallbacks: {place} has another name than {own}: where that is another model, its answers count as this manifest's"
            ));
        }
    }
    if settings.hedge_after.is_some() && settings.fallbacks.iter().all(|place| place == own) {
        notices.push(
            "hedge_after: there is no other place to ask, so that nothing is hedged: name `fallbacks`".to_owned(),
        );
    }
    notices
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

#[cfg(test)]
mod tests {
    use llmops_domain::chat::Parameters;

    use super::*;

    #[test]
    fn fallbacks_that_are_not_what_they_seem() {
        let check = |settings: &str, expected: &[&str]| {
            let manifest = Manifest::resolve(None, "up/GPT-4o", &Parameters::default());
            let notices = odd_fallbacks(&manifest, &serde_json::from_str(settings).unwrap());
            let fits = notices.iter().zip(expected).all(|(notice, part)| notice.contains(part));
            assert!(notices.len() == expected.len() && fits, "{settings}: {notices:?}");
        };
        check("{}", &[]);
        check(r#"{"fallbacks": ["router/openai/gpt-4o"], "hedge_after": "1s"}"#, &[]);
        check(r#"{"fallbacks": ["up2/ok"]}"#, &["up2/ok has another name than up/GPT-4o"]);
        check(r#"{"fallbacks": ["up2/gpt-4o", "up2/gpt-4o"]}"#, &["up2/gpt-4o is named twice"]);
        check(
            r#"{"fallbacks": ["up/GPT-4o"], "hedge_after": "1s"}"#,
            &["the manifest's own place", "hedge_after: there"],
        );
        check(r#"{"hedge_after": "1s"}"#, &["hedge_after: there is no other place"]);
    }
}
