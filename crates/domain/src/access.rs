//! Who may do what: roles, keys, projects, and the record of changes.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{KeyId, ProjectId};
use crate::limits::Limits;

/// What a key allows. Each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = KeyRole)] // The roles of messages have the same name.
pub enum Role {
    /// Calls deployments, asks which variant a unit gets, and sends feedback: what an application needs. It reads nothing of others.
    Caller,
    /// Reads.
    Viewer,
    /// Changes prompts, datasets and runs.
    Editor,
    /// Moves live traffic and schedules.
    Operator,
    /// Manages keys, projects and retention.
    Admin,
}

impl Role {
    /// All roles, the weakest first.
    pub const ALL: [Self; 5] = [Self::Caller, Self::Viewer, Self::Editor, Self::Operator, Self::Admin];

    /// The role's name, as it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role: expected caller, viewer, editor, operator or admin")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// A key of the API, without its secret: that is shown once, when the key is made, and only its hash is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// What people call it.
    pub name: String,
    /// The project whose rows it reaches.
    pub project: ProjectId,
    /// What it allows.
    pub role: Role,
    /// The beginning of the secret, by which people recognise it.
    pub prefix: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it stops working; null: never.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default)]
    pub revoked_at: Option<Timestamp>,
    /// When it was used last, within a minute.
    #[serde(default)]
    pub last_used_at: Option<Timestamp>,
    /// What may be spent with it at the gateway.
    #[serde(default)]
    pub limits: Limits,
}

impl ApiKey {
    /// Whether it works at this time.
    pub fn works_at(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// A project: a tenant. No key reaches the rows of another project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Project {
    /// Its id, which keys name.
    pub id: ProjectId,
    /// What people call it.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Who does something, as records of changes name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The name of the key, `local` for the command line on its own store, or a part of llmops, such as `scheduler`.
    pub name: String,
    /// The key, where there is one.
    pub key: Option<KeyId>,
    /// The request that carried it.
    pub request_id: Option<String>,
}

impl Actor {
    /// The command line on its own store, or a program that embeds llmops.
    pub fn local() -> Self {
        Self::part("local")
    }

    /// A part of llmops that acts by itself.
    pub fn part(name: &str) -> Self {
        Self { name: name.to_owned(), key: None, request_id: None }
    }
}

/// The record of one change of configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditRecord {
    /// Its number; later changes have higher ones.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// The name of the key, `local`, or the part of llmops that did it.
    pub actor: String,
    /// The key.
    #[serde(default)]
    pub key: Option<KeyId>,
    /// What was done: `prompt.activated`, `key.revoked` …
    pub action: String,
    /// What it was done to: `support-bot@1.2.0` …
    pub target: String,
    /// How it was before; null: it was not there.
    #[serde(default)]
    pub before: Value,
    /// How it is since; null: it is gone.
    #[serde(default)]
    pub after: Value,
    /// The request that did it, as in `x-request-id` and in the log.
    #[serde(default)]
    pub request_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_and_read_back() {
        for pair in Role::ALL.windows(2) {
            assert!(pair[0] < pair[1]);
        }
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert_eq!(
            "root".parse::<Role>().unwrap_err().to_string(),
            "`root` is no role: expected caller, viewer, editor, operator or admin"
        );
    }

    #[test]
    fn a_key_works_until_it_expires_or_is_revoked() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let key = ApiKey {
            id: KeyId("key_1".to_owned()),
            name: "ci".to_owned(),
            project: ProjectId::default_project(),
            role: Role::Editor,
            prefix: "llmops_abcdef".to_owned(),
            created_at: at(0),
            created_by: "local".to_owned(),
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
            limits: Limits::default(),
        };
        assert!(key.works_at(at(10)));
        let expiring = ApiKey { expires_at: Some(at(10)), ..key.clone() };
        assert!(expiring.works_at(at(9)) && !expiring.works_at(at(10)));
        assert!(!ApiKey { revoked_at: Some(at(1)), ..key }.works_at(at(2)));
    }
}
