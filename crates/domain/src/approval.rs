//! A promotion that waits for a second key: who asks for it may not be the one who allows it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::access::Actor;
use crate::deployment::DeploymentSettings;
use crate::hash::ContentHash;
use crate::id::{ApprovalId, KeyId};

/// Where a promotion stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalStatus {
    /// Nobody has decided.
    Pending,
    /// Somebody else allowed it, and it was carried out.
    Approved,
    /// Somebody refused it.
    Rejected,
    /// Another promotion was asked for since.
    Superseded,
}

impl ApprovalStatus {
    /// The name in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Superseded => "superseded",
        }
    }
}

/// A promotion that waits for a second key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// Where it stands.
    pub status: ApprovalStatus,
    /// The deployment.
    pub deployment: String,
    /// Its environment.
    pub environment: String,
    /// The manifest that shall answer.
    pub manifest: ContentHash,
    /// The settings that shall hold; absent: those that hold when it is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<DeploymentSettings>,
    /// The hash of the settings that held when others were asked for: what was changed since is not taken back unseen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings_before: Option<ContentHash>,
    /// Why, in the words of who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Who asked: the name of the key, or `local`.
    pub requested_by: String,
    /// The key that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_key: Option<KeyId>,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub decided_at: Option<Timestamp>,
}

/// Whether an actor is who did something before, by the key; without keys, by the name.
pub fn is_same(name: &str, key: Option<&KeyId>, actor: &Actor) -> bool {
    match (key, &actor.key) {
        (Some(before), Some(now)) => before == now,
        (None, None) => name == actor.name,
        _ => false,
    }
}

/// Why somebody may not decide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// It was decided.
    #[error("the promotion {id} is {status} already")]
    Decided {
        /// Which.
        id: ApprovalId,
        /// What it is.
        status: &'static str,
    },
    /// The same key asked for it.
    #[error("{0} asked for this promotion, and somebody else has to allow it")]
    SameKey(String),
    /// The settings that it replaces are others by now.
    #[error("the settings of {deployment} in {environment} were changed since the promotion {id} was asked for")]
    Outdated {
        /// Which.
        id: ApprovalId,
        /// The deployment.
        deployment: String,
        /// Its environment.
        environment: String,
    },
}

impl Approval {
    /// Whether this actor may allow it: another one than who asked.
    ///
    /// # Errors
    /// [`ApprovalError`] with the reason.
    pub fn may_approve(&self, actor: &Actor) -> Result<(), ApprovalError> {
        self.is_pending()?;
        let is_same = is_same(&self.requested_by, self.requested_key.as_ref(), actor);
        if is_same { Err(ApprovalError::SameKey(self.requested_by.clone())) } else { Ok(()) }
    }

    /// Whether the settings that it replaces are still those that hold.
    ///
    /// # Errors
    /// [`ApprovalError::Outdated`].
    pub fn replaces(&self, settings: Option<&ContentHash>) -> Result<(), ApprovalError> {
        let (Some(_), Some(before)) = (&self.settings, &self.settings_before) else { return Ok(()) };
        if Some(before) == settings {
            return Ok(());
        }
        let (id, deployment, environment) = (self.id.clone(), self.deployment.clone(), self.environment.clone());
        Err(ApprovalError::Outdated { id, deployment, environment })
    }

    /// Whether it asks for the same as another one.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        (&self.deployment, &self.environment, &self.manifest)
            == (&other.deployment, &other.environment, &other.manifest)
            && (&self.settings, &self.settings_before) == (&other.settings, &other.settings_before)
    }

    /// Whether it can still be decided.
    ///
    /// # Errors
    /// [`ApprovalError::Decided`].
    pub fn is_pending(&self) -> Result<(), ApprovalError> {
        if self.status == ApprovalStatus::Pending {
            return Ok(());
        }
        Err(ApprovalError::Decided { id: self.id.clone(), status: self.status.as_str() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_by(name: &str, key: Option<&str>) -> Approval {
        Approval {
            id: "approval_1".into(),
            status: ApprovalStatus::Pending,
            deployment: "bot".to_owned(),
            environment: "production".to_owned(),
            manifest: ContentHash::of_bytes(b"m"),
            settings: None,
            settings_before: None,
            reason: None,
            created_at: Timestamp::UNIX_EPOCH,
            requested_by: name.to_owned(),
            requested_key: key.map(KeyId::from),
            decided_by: None,
            decided_at: None,
        }
    }

    fn actor(name: &str, key: Option<&str>) -> Actor {
        Actor { key: key.map(KeyId::from), ..Actor::part(name) }
    }

    #[test]
    fn a_second_key_is_another_key() {
        let check = |asked: &Approval, allows: &Actor, expected: bool| {
            assert_eq!(asked.may_approve(allows).is_ok(), expected, "{} / {}", asked.requested_by, allows.name);
        };
        check(&asked_by("ci", Some("key_1")), &actor("ci", Some("key_1")), false);
        check(&asked_by("ci", Some("key_1")), &actor("renamed", Some("key_1")), false);
        check(&asked_by("ci", Some("key_1")), &actor("ci", Some("key_2")), true);
        check(&asked_by("local", None), &actor("local", None), false);
        check(&asked_by("ci", Some("key_1")), &actor("local", None), true);
        check(&asked_by("local", None), &actor("ops", Some("key_2")), true);
        let done = Approval { status: ApprovalStatus::Rejected, ..asked_by("ci", Some("key_1")) };
        assert_eq!(
            done.may_approve(&actor("ops", Some("key_2"))).unwrap_err().to_string(),
            "the promotion approval_1 is rejected already"
        );
    }
}
