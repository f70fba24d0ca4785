//! Keys, projects, sessions and the record of changes on the wire.

use jiff::Timestamp;
use llmops_domain::access::{ApiKey, Role};
use llmops_domain::id::{KeyId, ProjectId};
use llmops_domain::limits::Limits;
use serde::{Deserialize, Serialize};

/// Makes a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// What people call it: 1 to 128 characters.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// The project whose rows it reaches; absent: that of the caller. Only admins of the project `default` may name
    /// another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectId>,
    /// When it stops working; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What may be spent with it at the gateway.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
}

/// A key that was made, with its secret. The secret is shown this once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CreatedKey {
    /// The key.
    pub key: ApiKey,
    /// What requests send as `Authorization: Bearer …`.
    pub secret: String,
}

/// Which keys to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct KeyQuery {
    /// Of this project; absent: that of the caller. Only admins of the project `default` may name another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Where the page before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items on the page, 1 to 500.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "llmops_domain::page::limit")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

/// Whose key is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct KeyProject {
    /// The key's project; absent: that of the caller. Only admins of the project `default` may name another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

/// Makes a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProject {
    /// Its id, which keys name: 1 to 64 lower-case letters, digits, `-` and `_`.
    #[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")]
    pub id: ProjectId,
    /// What people call it; absent: the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub name: Option<String>,
}

/// Which records of changes to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Of this project; else of that of the caller. Keys of the project `default` reach all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// By whom: the name of a key, `local`, or a part of llmops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What was done: `prompt.activated`, or everything about a noun: `prompt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// What it was done to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// At or after (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// Before (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// Where the page before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items on the page, 1 to 500.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "llmops_domain::page::limit")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

/// Signs in: exchanges a key for a session cookie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The key.
    pub key: String,
}

/// Who the caller is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Session {
    /// The name of the key; `local` where none is needed.
    pub name: String,
    /// The id of the key: several may have one name. Null where none is needed.
    #[serde(default)]
    pub key: Option<KeyId>,
    /// The project whose rows the caller sees.
    pub project: ProjectId,
    /// What the caller may do.
    pub role: Role,
    /// When the session ends; null: the caller sends a key with each request, or needs none.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}
