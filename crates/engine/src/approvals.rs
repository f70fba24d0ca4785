//! Promotions that wait for a second key.

use llmops_api::deployments::Deployed;
use llmops_domain::approval::{Approval, ApprovalError, ApprovalStatus};
use llmops_domain::deployment::{Deployment, DeploymentSettings};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::ApprovalId;

use crate::{Deployments, Error};

impl Deployments {
    /// Keeps a promotion until a second key allows it. What is live stays live. Asked for again, it is the one that waits.
    pub(crate) async fn ask_for_approval(
        &self,
        before: Deployment,
        manifest: ContentHash,
        settings: Option<DeploymentSettings>,
        reason: Option<String>,
    ) -> Result<Deployed, Error> {
        let (services, actor) = (&self.services, self.services.store.actor());
        let now = services.clock.now();
        let approval = Approval {
            id: ApprovalId::new(now.as_millisecond(), services.clock.random()),
            status: ApprovalStatus::Pending,
            deployment: before.name.clone(),
            environment: before.environment.clone(),
            manifest,
            settings_before: settings.as_ref().map(|_| hash_of(&before.settings)).transpose()?,
            settings,
            reason,
            created_at: now,
            requested_by: actor.name.clone(),
            requested_key: actor.key.clone(),
            decided_by: None,
            decided_at: None,
        };
        let waiting =
            services.store.find_pending_approval(&self.project, &approval.deployment, &approval.environment).await?;
        let approval = if let Some(waiting) = waiting.filter(|waiting| waiting.asks_the_same(&approval)) {
            waiting
        } else {
            services.store.put_approval(&self.project, &approval).await?;
            approval
        };
        let (live, manifest) = self.manifest(before.manifest.as_str()).await?;
        let notices =
            vec![format!("nothing changed yet: it waits for a second key, llmops approval approve {}", approval.id)];
        let approval = Some(approval);
        Ok(Deployed { deployment: before, manifest, previous: Some(live), changed: false, notices, approval })
    }

    /// Promotions that waited for a second key or still do, the newest first.
    pub async fn approvals(&self, before: Option<&str>, limit: u32) -> Result<Vec<Approval>, Error> {
        Ok(self.services.store.list_approvals(&self.project, before, limit).await?)
    }

    /// Allows a promotion that another key asked for, and carries it out. What it needs is looked at once more.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for the key that asked; [`Error::Conflict`] when it was decided, or brings settings in place of others
    /// than those that hold; those of a deployment.
    pub async fn approve(&self, id: &str) -> Result<Deployed, Error> {
        let approval = self.services.store.get_approval(&self.project, id).await?;
        approval.may_approve(self.services.store.actor()).map_err(|error| refused(&error))?;
        self.carry_out(&self.decided(approval, ApprovalStatus::Approved)).await
    }

    /// Refuses a promotion.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it was decided.
    pub async fn reject(&self, id: &str) -> Result<Approval, Error> {
        let approval = self.services.store.get_approval(&self.project, id).await?;
        approval.is_pending().map_err(|error| refused(&error))?;
        let approval = self.decided(approval, ApprovalStatus::Rejected);
        self.services.store.decide_approval(&self.project, &approval).await?;
        Ok(approval)
    }

    fn decided(&self, approval: Approval, status: ApprovalStatus) -> Approval {
        let by = self.services.store.actor().name.clone();
        Approval { status, decided_by: Some(by), decided_at: Some(self.services.clock.now()), ..approval }
    }
}

/// Why a decision is refused, as an error.
pub(crate) fn refused(error: &ApprovalError) -> Error {
    let message = error.to_string();
    match error {
        ApprovalError::Decided { .. } => Error::Conflict { message, hint: None },
        ApprovalError::SameKey(_) => Error::Forbidden(message),
        ApprovalError::Outdated { .. } => {
            let hint =
                "ask again with settings that keep what was changed: llmops deploy NAME --settings FILE".to_owned();
            Error::Conflict { message, hint: Some(hint) }
        }
    }
}

/// What stands for settings that a promotion brings others in place of.
pub(crate) fn hash_of(settings: &DeploymentSettings) -> Result<ContentHash, Error> {
    ContentHash::of_json(settings).map_err(|error| Error::Internal(format!("settings have no JSON form: {error}")))
}
