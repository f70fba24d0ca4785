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
            // A connection that breaks off while it is made, behind a proxy without a server.
            | sqlx::Error::Protocol(_)
            // A connection whose transactions sqlx has lost count of. It is not used again.
            | sqlx::Error::BeginFailed
            | sqlx::Error::InvalidSavePointStatement
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
    /// Classes 08 (connection), 53 (out of resources), 57 (stopped by the operator), 40 (deadlock, serialization), 28 and 3D (no
    /// entry, no such database: it is being restored or replaced), 55 (not now), and 25006: the server reads only, as one does
    /// that another one has taken over from.
    fn from_postgres(code: &str, error: sqlx::Error) -> Self {
        // Texts of PostgreSQL hold no NUL, and it has no other way to say so.
        if code == "22021" || code == "22P05" {
            return Self::Invalid("a text contains a NUL character, or bytes that are no text: remove them".to_owned());
        }
        match code.get(..2) {
            Some("08" | "28" | "3D" | "40" | "53" | "55" | "57") => Self::Unavailable(Arc::new(error)),
            _ if code == READ_ONLY => Self::Unavailable(Arc::new(error)),
            Some("XX") => Self::Corrupt(error.to_string()),
            _ => Self::Db(Arc::new(error)),
        }
    }

    fn from_sqlite(code: &str, error: sqlx::Error) -> Self {
        match sqlite_kind(code) {
            // busy, locked, no memory, read-only, I/O, full, cannot open
            Some(5 | 6 | 7 | 8 | 10 | 13 | 14) => Self::Unavailable(Arc::new(error)),
            // corrupt, not a database
            Some(11 | 26) => Self::Corrupt(error.to_string()),
            _ => Self::Db(Arc::new(error)),
        }
    }

    /// Whether SQLite may not write its file or cannot open it.
    pub(crate) fn needs_writing(error: &sqlx::Error) -> bool {
        let Some(database) = error.as_database_error() else { return false };
        matches!(database.code().and_then(|code| sqlite_kind(&code)), Some(8 | 14))
    }

    /// Whether what was to be stored is what the database refuses. Else the same would be taken at another time, or by a
    /// database in order.
    pub fn is_of_row(&self) -> bool {
        let error = match self {
            Self::Unavailable(_) | Self::Corrupt(_) | Self::Open(_) => return false,
            Self::Db(error) => error,
            _ => return true,
        };
        let Some(database) = error.as_database_error() else { return matches!(**error, sqlx::Error::Encode(_)) };
        match error_class(error) {
            // cardinality, data, integrity, limits
            Some(class) => matches!(class.as_str(), "21" | "22" | "23" | "54"),
            // too big, constraint, mismatch
            None => matches!(database.code().and_then(|code| sqlite_kind(&code)), Some(18..=20)),
        }
    }

    /// Whether another process keeps SQLite's file to itself.
    pub(crate) fn is_locked(&self) -> bool {
        self.sqlite_trouble().is_some_and(|kind| matches!(kind, 5 | 6))
    }

    /// The kind of error for which SQLite is unavailable.
    fn sqlite_trouble(&self) -> Option<u32> {
        let Self::Unavailable(error) = self else { return None };
        let database = error.as_database_error().filter(|_| error_class(error).is_none())?;
        sqlite_kind(&database.code()?)
    }

    /// Why nobody mends it by waiting, where that is so: SQLite is kept from its file, or PostgreSQL is set to read only.
    pub fn file_trouble(&self) -> Option<&'static str> {
        if let Self::Unavailable(error) = self
            && error.as_database_error().and_then(DatabaseError::code).as_deref() == Some(READ_ONLY)
        {
            return Some("its database takes no changes");
        }
        match self.sqlite_trouble()? {
            READS_ONLY => Some("its file may only be read"),
            10 => Some("its disk does not read or write"),
            13 => Some("its disk is full"),
            14 => Some("its file cannot be opened"),
            _ => None,
        }
    }

    /// Whether SQLite may read its file and not write it.
    pub fn is_read_only(&self) -> bool {
        self.sqlite_trouble() == Some(READS_ONLY)
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

/// SQLite's kind of error for a change of a file that may only be read.
const READS_ONLY: u32 = 8;
/// PostgreSQL's code for a change where only reading is allowed.
const READ_ONLY: &str = "25006";

/// The class of an error of PostgreSQL; none for other errors.
pub(crate) fn error_class(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?.try_downcast_ref::<sqlx::postgres::PgDatabaseError>()?;
    error.code().get(..2).map(str::to_owned)
}

/// The low byte of SQLite's extended code is the kind of error.
fn sqlite_kind(code: &str) -> Option<u32> {
    Some(code.parse::<u32>().ok()? & 0xFF)
}
