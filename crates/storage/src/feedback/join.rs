//! Feedback that came before its record: found, and joined with it.

use jiff::Timestamp;
use llmops_domain::feedback::{Feedback, FeedbackBody, FeedbackContext, FeedbackTally};
use llmops_domain::id::ProjectId;
use llmops_domain::record::RequestRecord;

use super::{MICROS_PER_DAY, Name, Sums, apply, begin, lock, put};
use crate::db::{Tx, decode, encode, execute, fetch, micros};
use crate::records::readable;
use crate::{Store, StoreError};

impl Store {
    /// Answers that feedback came about since `since`, before their record was there, and whose record is there now,
    /// in all projects. Of several records of a trace it is the one that [`Store::record_of_trace`] finds.
    pub async fn feedback_to_join(
        &self,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<(ProjectId, String, RequestRecord)>, StoreError> {
        let sql = concat!(
            "SELECT s.project_id, s.subject, r.id, r.document FROM feedback_subjects s JOIN request_records r ",
            "ON r.project_id = s.project_id AND r.id = s.request_id ",
            "WHERE s.context IS NULL AND s.first_at >= $1 AND s.request_id IS NOT NULL ",
            "UNION ALL SELECT s.project_id, s.subject, r.id, r.document FROM feedback_subjects s JOIN request_records r ",
            "ON r.project_id = s.project_id AND r.trace_id = s.trace_id AND r.id = (SELECT n.id ",
            "FROM request_records n WHERE n.project_id = s.project_id AND n.trace_id = s.trace_id ORDER BY ",
            chats_first!(),
            " LIMIT 1) WHERE s.context IS NULL AND s.first_at >= $1 AND s.request_id IS NULL LIMIT $2"
        );
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String, String, String, String), sql, micros(since), i64::from(limit))?;
        let read = |(project, subject, id, document): (String, String, String, String)| {
            Some((ProjectId(project), subject, readable(&id, &document)?))
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Answers that were said something of on these days (inclusive, days since 1970, UTC) and that have no record.
    pub async fn count_unjoined_feedback(&self, project: &ProjectId, days: (i64, i64)) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) FROM feedback_subjects WHERE project_id = $1 AND context IS NULL AND first_at >= $2 \
                   AND first_at < $3";
        let of = |day: i64| day.saturating_mul(MICROS_PER_DAY);
        let mut conn = self.read().await?;
        let (count,) =
            fetch!(fetch_one, conn, (i64,), sql, project.as_str(), of(days.0), of(days.1.saturating_add(1)))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Says what an answer was, once its record is there; the sums follow. What was said of its trace joins what was said of
    /// its request, so that the answer counts once. An answer that has a context keeps it. With `hides_users`, those who said
    /// something are kept by the SHA-256 of their ids.
    pub async fn join_feedback(
        &self,
        project: &ProjectId,
        subject: &str,
        context: &FeedbackContext,
        hides_users: bool,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let (waiting, whole) = (Name { project, subject }, Name { project, subject: &context.request_id });
        let body = FeedbackBody { request_id: Some(context.request_id.clone()), ..FeedbackBody::default() };
        // In the order in which feedback locks them.
        if whole.subject < waiting.subject {
            begin(&mut tx, &whole, &body, Timestamp::UNIX_EPOCH).await?;
            lock(&mut tx, &whole).await?;
        }
        let Some(joined) = lock(&mut tx, &waiting).await?.filter(|known| known.context.is_none()) else {
            return Ok(());
        };
        let mut sums = Sums::new();
        joined.add_to(&mut sums, FeedbackTally::negated);
        let mut next = joined;
        if whole.subject != waiting.subject {
            begin(&mut tx, &whole, &body, Timestamp::UNIX_EPOCH).await?;
            let known = lock(&mut tx, &whole).await?.unwrap_or_default();
            known.add_to(&mut sums, FeedbackTally::negated);
            next.opinion = known.opinion.merged(&next.opinion);
            next.context = known.context;
            let sql = "UPDATE feedback SET subject = $3 WHERE project_id = $1 AND subject = $2";
            execute!(tx, sql, project.as_str(), waiting.subject, whole.subject)?;
            let sql = "DELETE FROM feedback_subjects WHERE project_id = $1 AND subject = $2";
            execute!(tx, sql, project.as_str(), waiting.subject)?;
        }
        next.context.get_or_insert_with(|| context.clone());
        next.add_to(&mut sums, |tally| tally);
        put(&mut tx, &whole, &next, Timestamp::UNIX_EPOCH).await?;
        if hides_users {
            hash_users(&mut tx, &whole).await?;
        }
        apply(&mut tx, project, sums).await?;
        tx.commit().await
    }
}

/// Puts hashes in the place of those who said something of an answer.
async fn hash_users(tx: &mut Tx, name: &Name<'_>) -> Result<(), StoreError> {
    let sql = "SELECT id, document FROM feedback WHERE project_id = $1 AND subject = $2 AND user_id IS NOT NULL";
    let project = name.project.as_str();
    for (id, document) in fetch!(fetch_all, tx, (String, String), sql, project, name.subject)? {
        let mut feedback: Feedback = decode("feedback", &document)?;
        feedback.hash_user();
        let sql =
            "UPDATE feedback SET user_id = COALESCE($3, user_id), document = $4 WHERE project_id = $1 AND id = $2";
        let document = encode("feedback", &feedback)?;
        execute!(tx, sql, project, &id, feedback.body.user.as_deref(), document)?;
    }
    Ok(())
}
