//! What was applied last of project folders.

use jiff::Timestamp;
use llmops_domain::apply::{AppliedPiece, PieceKind};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;

use crate::db::{check_name, execute, fetch, hash_of_text, micros, row, time};
use crate::{Store, StoreError};

row! {
    struct Row {
        kind: String,
        name: String,
        hash: String,
        at: i64,
        by_whom: String,
    }
}

impl Store {
    /// Remembers what was applied of a piece; none: the piece is gone.
    pub async fn put_applied(
        &self,
        project: &ProjectId,
        (kind, name): (PieceKind, &str),
        hash: Option<&ContentHash>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        check_name("the name of the piece", name)?;
        let mut tx = self.write().await?;
        if let Some(hash) = hash {
            let sql = "INSERT INTO applied (project_id, kind, name, hash, at, by_whom) VALUES ($1, $2, $3, $4, $5, $6) \
                       ON CONFLICT (project_id, kind, name) DO UPDATE \
                       SET hash = excluded.hash, at = excluded.at, by_whom = excluded.by_whom";
            let (hash, by) = (hash.as_str(), &self.actor().name);
            execute!(tx, sql, project.as_str(), kind.as_str(), name, hash, micros(now), by)
                .map_err(|e| e.of_project(project))?;
        } else {
            let sql = "DELETE FROM applied WHERE project_id = $1 AND kind = $2 AND name = $3";
            execute!(tx, sql, project.as_str(), kind.as_str(), name)?;
        }
        tx.commit().await
    }

    /// What was applied last, by kind and name, behind a kind and name.
    pub async fn list_applied(
        &self,
        project: &ProjectId,
        after: (&str, &str),
        limit: u32,
    ) -> Result<Vec<AppliedPiece>, StoreError> {
        let sql = "SELECT kind, name, hash, at, by_whom FROM applied \
                   WHERE project_id = $1 AND (kind, name) > ($2, $3) ORDER BY kind, name LIMIT $4";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, Row, sql, project.as_str(), after.0, after.1, i64::from(limit))?;
        let piece = |row: Row| {
            let kind = PieceKind::ALL.into_iter().find(|kind| kind.as_str() == row.kind);
            let kind = kind.ok_or_else(|| StoreError::Corrupt(format!("`{}` is no kind of piece", row.kind)))?;
            Ok(AppliedPiece {
                kind,
                name: row.name,
                hash: hash_of_text(&row.hash)?,
                at: time(row.at)?,
                by: row.by_whom,
            })
        };
        rows.into_iter().map(piece).collect()
    }
}
