//! Copies of a SQLite store, made while it is in use.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::db::Pools;
use crate::{Store, StoreError};

/// What is known of a copy that was looked through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The number of its newest migration.
    pub schema: i64,
    /// Bytes of the file.
    pub bytes: u64,
}

impl Store {
    /// Whether the store is a SQLite file.
    pub fn is_sqlite(&self) -> bool {
        matches!(self.pools(), Pools::Sqlite { .. })
    }

    /// Copies the store as it is at one moment into a new file, without keeping anybody from writing, and looks the copy
    /// through: every page and index, every reference between rows.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] for PostgreSQL, whose own tools make better copies, and when the file exists;
    /// [`StoreError::Corrupt`] when the copy is damaged: the store itself is then.
    pub async fn back_up(&self, file: &Path) -> Result<Backup, StoreError> {
        let Pools::Sqlite { read, .. } = self.pools() else {
            return Err(StoreError::Conflict("only SQLite stores are copied".to_owned()));
        };
        if file.exists() {
            return Err(StoreError::Conflict(format!("{} exists already", file.display())));
        }
        let path = file.to_str().ok_or_else(|| StoreError::Invalid("the file's name is no text".to_owned()))?;
        // The pool's connections may not write, not even another file.
        let mut options = (*read.connect_options()).clone();
        options = options.pragma("query_only", "OFF").disable_statement_logging();
        let mut conn = options.connect().await?;
        sqlx::query("VACUUM INTO $1").bind(path).execute(&mut conn).await?;
        conn.close().await?;
        check_backup(file).await
    }
}

/// Looks a copy through.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is damaged, [`StoreError::Open`] when it is no store.
pub async fn check_backup(file: &Path) -> Result<Backup, StoreError> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true).disable_statement_logging();
    let mut conn = options.connect().await?;
    let (verdict,): (String,) = sqlx::query_as("PRAGMA integrity_check(1)").fetch_one(&mut conn).await?;
    if verdict != "ok" {
        return Err(StoreError::Corrupt(format!("{}: {verdict}", file.display())));
    }
    let strays: Vec<(String,)> =
        sqlx::query_as("SELECT \"table\" FROM pragma_foreign_key_check").fetch_all(&mut conn).await?;
    if let Some((table,)) = strays.first() {
        return Err(StoreError::Corrupt(format!("{}: rows of `{table}` refer to nothing", file.display())));
    }
    let schema = schema_of(&mut conn).await?;
    conn.close().await?;
    let bytes = std::fs::metadata(file).map_err(|e| StoreError::Open(e.to_string()))?.len();
    Ok(Backup { schema, bytes })
}

async fn schema_of(conn: &mut SqliteConnection) -> Result<i64, StoreError> {
    let (id,): (i64,) = sqlx::query_as("PRAGMA application_id").fetch_one(&mut *conn).await?;
    if id != crate::migrate::APPLICATION_ID {
        return Err(StoreError::Open("the file is no store of llmops".to_owned()));
    }
    let (schema,): (i64,) = sqlx::query_as(crate::migrate::APPLIED).fetch_one(&mut *conn).await?;
    Ok(schema)
}
