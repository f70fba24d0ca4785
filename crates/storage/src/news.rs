//! News between replicas: LISTEN and NOTIFY of PostgreSQL.
//!
//! News can be lost while a connection is being made anew, and SQLite has none: whoever waits for them looks by itself
//! now and then, too.

use sqlx::postgres::PgListener;

use crate::db::{Pools, Tx, fetch};
use crate::{Store, StoreError};

/// What is told about one topic.
#[derive(Debug)]
pub struct News {
    listener: Option<PgListener>,
}

impl News {
    /// Waits for the next news and answers with its text; for ever on SQLite. It can be dropped while it waits.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while the database cannot be reached; the next call tries again.
    pub async fn next(&mut self) -> Result<String, StoreError> {
        match &mut self.listener {
            Some(listener) => Ok(listener.recv().await?.payload().to_owned()),
            None => std::future::pending().await,
        }
    }
}

impl Store {
    /// News about a topic from now on, those of this process too. They take a connection of PostgreSQL's pool.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn news(&self, topic: &str) -> Result<News, StoreError> {
        let Pools::Postgres(pool) = self.pools() else { return Ok(News { listener: None }) };
        let mut conn = self.read().await?;
        let (schema,) = fetch!(fetch_one, conn, (String,), "SELECT current_schema()::text")?;
        drop(conn);
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(&channel(topic, &schema)).await?;
        Ok(News { listener: Some(listener) })
    }
}

/// Installations that share a database have schemas of their own.
fn channel(topic: &str, schema: &str) -> String {
    format!("llmops:{topic}:{schema}")
}

/// Tells the other replicas something when the transaction commits.
pub(crate) async fn tell(tx: &mut Tx, topic: &str, text: &str) -> Result<(), StoreError> {
    if let Tx::Postgres(_) = tx {
        let sql = "SELECT pg_notify('llmops:' || $1 || ':' || current_schema()::text, $2)";
        fetch!(fetch_all, tx, (), sql, topic, text)?;
    }
    Ok(())
}
