//! What can go wrong with the store, in the few ways that a caller treats differently.

use std::sync::Arc;

use llmops_domain::id::ProjectId;
use llmops_domain::run::InvalidTransition;
use sqlx::error::DatabaseError;

/// A failed operation of the store.
///
/// It can be cloned because one failed commit answers everybody who waited for it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// There is no such row in this project.
    #[error("there is no {what} `{id}`")]
    NotFound {
        /// The kind of thing, as people call it: `run`, `prompt`, `dataset version` …
        what: &'static str,
        /// What was asked for.
        id: String,
    },
    /// A short id or hash fits several rows.
    #[error("`{prefix}` fits several {what}s: write more of it")]
    Ambiguous {
        /// The kind of thing.
        what: &'static str,
        /// What was asked for.
        prefix: String,
    },
    /// The change contradicts what is stored.
    #[error("{0}")]
    Conflict(String),
    /// The shard was given to another owner after its lease ran out, or is complete.
    #[error("the lease on shard {shard} was lost")]
    LeaseLost {
        /// The shard's index in its run.
        shard: u32,
    },
    /// The run's status forbids the change.
    #[error(transparent)]
    Transition(#[from] InvalidTransition),
    /// The value cannot be stored: NaN, a NUL character in a name.
    #[error("{0}")]
    Invalid(String),
    /// The database cannot be reached, is locked or out of space. The same call may succeed later.
    #[error("the store is unavailable: {0}")]
    Unavailable(#[source] Arc<sqlx::Error>),
    /// The file or database cannot be opened as a store.
    #[error("{0}")]
    Open(String),
    /// A stored value cannot be read back.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// Any other error of the database.
    #[error("the database refused: {0}")]
    Db(#[source] Arc<sqlx::Error>),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(Arc::new(error)),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Corrupt(error.to_string()),
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default().into_owned();
                if database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
                    Self::from_postgres(&code, error)
                } else {
                    Self::from_sqlite(&code, error)
                }
            }
            _ => Self::Db(Arc::new(error)),
        }
    }
}

impl StoreError {
    /// Classes 08 (connection), 53 (out of resources), 57 (stopped by the operator), 40 (deadlock, serialization).
    fn from_postgres(code: &str, error: sqlx::Error) -> Self {
        // Texts of PostgreSQL hold no NUL, and it has no other way to say so.
        if code == "22021" || code == "22P05" {
            return Self::Invalid("a text contains a NUL character, or bytes that are no text: remove them".to_owned());
        }
        match code.get(..2) {
            Some("08" | "53" | "57" | "40") => Self::Unavailable(Arc::new(error)),
            Some("XX") => Self::Corrupt(error.to_string()),
            _ => Self::Db(Arc::new(error)),
        }
    }

    fn from_sqlite(code: &str, error: sqlx::Error) -> Self {
        match sqlite_kind(code) {
            // busy, locked, read-only, I/O, full, cannot open
            Some(5 | 6 | 8 | 10 | 13 | 14) => Self::Unavailable(Arc::new(error)),
            // corrupt, not a database
            Some(11 | 26) => Self::Corrupt(error.to_string()),
            _ => Self::Db(Arc::new(error)),
        }
    }

    /// What keeps SQLite from its file, where that is what is wrong: nobody mends it by waiting.
    pub fn file_trouble(&self) -> Option<&'static str> {
        let Self::Unavailable(error) = self else { return None };
        let error = error.as_database_error()?;
        if error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
            return None;
        }
        match sqlite_kind(&error.code()?)? {
            8 => Some("its file is read-only"),
            10 => Some("its disk does not read or write"),
            13 => Some("its disk is full"),
            14 => Some("its file cannot be opened"),
            _ => None,
        }
    }

    /// Whether the same call may succeed later: the store is away, and was not closed by us.
    pub(crate) fn may_pass(&self) -> bool {
        let closed = |e: &sqlx::Error| matches!(e, sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed);
        matches!(self, Self::Unavailable(error) if !closed(error))
    }

    pub(crate) fn not_found(what: &'static str, id: impl Into<String>) -> Self {
        Self::NotFound { what, id: id.into() }
    }

    pub(crate) fn ambiguous(what: &'static str, prefix: impl Into<String>) -> Self {
        Self::Ambiguous { what, prefix: prefix.into() }
    }

    /// A row that points to a project that does not exist.
    pub(crate) fn of_project(self, project: &ProjectId) -> Self {
        match &self {
            Self::Db(error) if error.as_database_error().is_some_and(DatabaseError::is_foreign_key_violation) => {
                Self::not_found("project", project.as_str())
            }
            _ => self,
        }
    }

    /// Whether a unique constraint refused the row.
    pub(crate) fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Db(error) if error.as_database_error().is_some_and(DatabaseError::is_unique_violation))
    }
}

/// The low byte of SQLite's extended code is the kind of error.
fn sqlite_kind(code: &str) -> Option<u32> {
    Some(code.parse::<u32>().ok()? & 0xFF)
}
