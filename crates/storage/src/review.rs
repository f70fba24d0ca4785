//! The review queue: items, each once, and the decision on each, once.

use jiff::Timestamp;
use llmops_domain::id::ProjectId;
use llmops_domain::record::RequestRecord;
use llmops_domain::review::{ReviewFilter, ReviewItem, ReviewReason, ReviewStatus};

use crate::audit::{Change, record};
use crate::db::{check_name, count, decode, encode, execute, fetch, micros, without_nul};
use crate::records::readable;
use crate::{Store, StoreError};

impl Store {
    /// Adds an item to the queue. The same origin again is the item that exists; while nobody has decided on it, it takes
    /// up what was seen now. Answers with the item and whether it is new.
    pub async fn add_review(&self, project: &ProjectId, item: &ReviewItem) -> Result<(ReviewItem, bool), StoreError> {
        let new = &item.item;
        check_name("the origin", &new.origin)?;
        let mut tx = self.write().await?;
        let sql = "INSERT INTO review_items (project_id, id, reason, origin, status, deployment, user_id, request_id, \
                   created_at, document) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
        let added = execute!(
            tx,
            sql,
            project.as_str(),
            item.id.as_str(),
            new.reason.as_str(),
            &new.origin,
            item.status.as_str(),
            new.deployment.as_deref(),
            new.user.as_deref(),
            new.request_id.as_deref(),
            micros(item.created_at),
            document(item)?
        )
        .map_err(|e| e.of_project(project))?;
        if added > 0 {
            tx.commit().await?;
            return Ok((item.clone(), true));
        }
        let sql = tx.dialect(
            "SELECT document FROM review_items WHERE project_id = $1 AND origin = $2",
            "SELECT document FROM review_items WHERE project_id = $1 AND origin = $2 FOR UPDATE",
        );
        let (text,) = fetch!(fetch_one, tx, (String,), sql, project.as_str(), &new.origin)?;
        let known: ReviewItem = decode("a review item", &text)?;
        let next = known.clone().seen_again(new);
        if next != known {
            let sql = "UPDATE review_items SET reason = $3, document = $4 WHERE project_id = $1 AND id = $2";
            execute!(tx, sql, project.as_str(), next.id.as_str(), next.item.reason.as_str(), document(&next)?)?;
        }
        tx.commit().await?;
        Ok((next, false))
    }

    /// Items, the newest first.
    pub async fn list_reviews(
        &self,
        project: &ProjectId,
        filter: &ReviewFilter,
        limit: u32,
    ) -> Result<Vec<ReviewItem>, StoreError> {
        let sql = "SELECT document FROM review_items WHERE project_id = $1 AND ($2 IS NULL OR status = $2) \
                   AND ($3 IS NULL OR reason = $3) AND ($4 IS NULL OR deployment = $4) AND ($5 IS NULL OR id < $5) \
                   ORDER BY id DESC LIMIT $6";
        let mut conn = self.read().await?;
        let rows = fetch!(
            fetch_all,
            conn,
            (String,),
            sql,
            project.as_str(),
            filter.status.map(ReviewStatus::as_str),
            filter.reason.map(ReviewReason::as_str),
            filter.deployment.as_deref(),
            filter.cursor.as_deref(),
            i64::from(limit)
        )?;
        rows.iter().map(|(text,)| decode("a review item", text)).collect()
    }

    /// One item by its id, or by a beginning of it that fits no other.
    pub async fn get_review(&self, project: &ProjectId, id: &str) -> Result<ReviewItem, StoreError> {
        check_name("the item's id", id)?;
        let sql =
            "SELECT document FROM review_items WHERE project_id = $1 AND id >= $2 AND id < $3 ORDER BY id LIMIT 2";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String,), sql, project.as_str(), id, crate::db::prefix_end(id))?;
        let (text,) = crate::db::only(rows, "review item", id)?;
        decode("a review item", &text)
    }

    /// Writes the decision on an item that nobody has decided on, and records it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody was first.
    pub async fn decide_review(&self, project: &ProjectId, item: &ReviewItem) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let sql = "UPDATE review_items SET status = $3, document = $4 \
                   WHERE project_id = $1 AND id = $2 AND status = 'open'";
        let changed = execute!(tx, sql, project.as_str(), item.id.as_str(), item.status.as_str(), document(item)?)?;
        if changed == 0 {
            return Err(StoreError::Conflict(format!("somebody decided on {} just now", item.id)));
        }
        let decision = item.decision.as_ref();
        let change = Change::new("review.decided", item.id.as_str())
            .before(serde_json::json!({"status": ReviewStatus::Open}))
            .after(serde_json::json!({
                "status": item.status,
                "dataset": decision.and_then(|decision| decision.dataset.as_deref()),
                "sample": decision.and_then(|decision| decision.sample.as_ref()).map(|sample| sample.id.as_str()),
            }));
        record(&mut tx, self.actor(), project, &change).await?;
        tx.commit().await
    }

    /// Open items of one reason, of one deployment or of all.
    pub async fn count_open_reviews(
        &self,
        project: &ProjectId,
        reason: Option<ReviewReason>,
        deployment: Option<&str>,
    ) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) FROM review_items WHERE project_id = $1 AND status = 'open' \
                   AND ($2 IS NULL OR reason = $2) AND ($3 IS NULL OR deployment = $3)";
        let mut conn = self.read().await?;
        let reason = reason.map(ReviewReason::as_str);
        let (open,) = fetch!(fetch_one, conn, (i64,), sql, project.as_str(), reason, deployment)?;
        count(open)
    }

    /// Notes which version of the dataset has the sample of a decision.
    pub async fn complete_review(&self, project: &ProjectId, item: &ReviewItem) -> Result<(), StoreError> {
        let sql = "UPDATE review_items SET document = $3 WHERE project_id = $1 AND id = $2";
        let mut tx = self.write().await?;
        execute!(tx, sql, project.as_str(), item.id.as_str(), document(item)?)?;
        tx.commit().await
    }

    /// The projects, each with how far `source` has been looked through.
    pub async fn review_cursors(&self, source: &str) -> Result<Vec<(ProjectId, String)>, StoreError> {
        let sql = "SELECT p.project_id, COALESCE(c.position, '') FROM projects p \
                   LEFT JOIN review_cursors c ON c.project_id = p.project_id AND c.source = $1 ORDER BY 1";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String, String), sql, source)?;
        Ok(rows.into_iter().map(|(project, position)| (ProjectId(project), position)).collect())
    }

    /// Records with soft failures behind a record's id and before a time, in the order of their ids, without those that cannot
    /// be read.
    pub async fn soft_failures_after(
        &self,
        project: &ProjectId,
        after: &str,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<RequestRecord>, StoreError> {
        let sql = "SELECT id, document FROM request_records WHERE project_id = $1 AND soft_failures > 0 AND id > $2 \
                   AND at < $3 ORDER BY id LIMIT $4";
        let (project, until) = (project.as_str(), micros(until));
        let (mut after, mut records) = (after.to_owned(), Vec::new());
        let mut conn = self.read().await?;
        // An empty answer says that there are no more: one where none can be read must not say so.
        while records.is_empty() {
            let rows = fetch!(fetch_all, conn, (String, String), sql, project, &after, until, i64::from(limit))?;
            let Some((last, _)) = rows.last() else { break };
            after.clone_from(last);
            records.extend(rows.iter().filter_map(|(id, document)| readable(id, document)));
        }
        Ok(records)
    }

    /// Notes how far a project has been looked through.
    pub async fn move_review_cursor(
        &self,
        project: &ProjectId,
        source: &str,
        position: &str,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO review_cursors (project_id, source, position) VALUES ($1, $2, $3) \
                   ON CONFLICT (project_id, source) DO UPDATE SET position = excluded.position \
                   WHERE review_cursors.position < excluded.position";
        let mut tx = self.write().await?;
        execute!(tx, sql, project.as_str(), source, position)?;
        tx.commit().await
    }
}

fn document(item: &ReviewItem) -> Result<String, StoreError> {
    encode("a review item", item).map(|text| without_nul(&text).into_owned())
}
