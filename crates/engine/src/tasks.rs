//! What schedules do beside evaluations.

use llmops_api::schedules::ScheduledTask;
use llmops_domain::alert::{AlertDraft, AlertType, Severity};

use crate::alerts::no_channel;
use crate::{Error, LlmOps};

impl LlmOps {
    /// Refuses a task that could not be done now.
    pub(crate) async fn check_task(&self, task: &ScheduledTask) -> Result<(), Error> {
        match task {
            ScheduledTask::FeedbackReport(report) => {
                let alerts = self.alerts();
                if alerts.channels().iter().any(|(name, ..)| *name == report.channel) {
                    return Ok(());
                }
                Err(no_channel(&report.channel))
            }
            ScheduledTask::Rehearsal { deployment, environment } => {
                self.deployments().get(deployment, environment.as_deref()).await.map(drop)
            }
        }
    }

    /// Does a task, and says what came of it.
    pub(crate) async fn perform(&self, task: &ScheduledTask) -> Result<String, Error> {
        match task {
            ScheduledTask::FeedbackReport(request) => {
                let feedback = self.feedback();
                let report = feedback.report(&request.report).await?;
                feedback.send_report(&report, &request.channel).await?;
                Ok(format!("the report is sent to {}", request.channel))
            }
            ScheduledTask::Rehearsal { deployment, environment } => {
                self.rehearse(deployment, environment.as_deref()).await
            }
        }
    }

    /// Rehearses, and raises an alert where a manifest could not take over; the alert is resolved when all could again.
    async fn rehearse(&self, deployment: &str, environment: Option<&str>) -> Result<String, Error> {
        let rehearsal = self.deployments().rehearse(deployment, environment).await?;
        let all = rehearsal.manifests.len();
        let broken: Vec<String> = rehearsal
            .manifests
            .iter()
            .filter(|manifest| !manifest.problems.is_empty())
            .map(|manifest| format!("{}: {}", manifest.manifest.short(), manifest.problems.join("; ")))
            .collect();
        let message: String = format!(
            "{} of the {all} manifests that were live at {deployment} could not take over: {}",
            broken.len(),
            broken.join(" | ")
        )
        .chars()
        .take(2_000)
        .collect();
        let draft = AlertDraft::new(AlertType::Threshold, Severity::Warning, "rehearsal", &message)
            .about(deployment, Some("could_take_over"));
        if broken.is_empty() {
            self.alerts().recovered(&draft).await?;
            return Ok(format!("all {all} manifests that were live could take over"));
        }
        self.alerts().create(draft).await?;
        Ok(message)
    }
}
