//! Erasing what a user said, and what was said of the user's answers.

use jiff::Timestamp;
use llmops_domain::feedback::{Feedback, FeedbackTally, Opinion};
use llmops_domain::id::ProjectId;
use llmops_domain::review::ReviewItem;

use super::{Name, Subject, Sums, apply, lock, put};
use crate::db::{Tx, decode, encode, execute, fetch};
use crate::{Store, StoreError};

impl Store {
    /// Deletes what a user said, what was said of the user's answers, and the review items about them. What others said of
    /// others' answers stays. Sums forget what is deleted. Answers with the numbers of feedback and items.
    pub async fn erase_feedback_of_user(&self, project: &ProjectId, user: &str) -> Result<(u64, u64), StoreError> {
        let mut tx = self.write().await?;
        let sql = "SELECT subject FROM feedback_subjects WHERE project_id = $1 AND user_id = $2 \
                   UNION SELECT subject FROM feedback WHERE project_id = $1 AND user_id = $2 ORDER BY 1";
        let subjects = fetch!(fetch_all, tx, (String,), sql, project.as_str(), user)?;
        let (mut sums, mut erased, mut items) = (Sums::new(), 0, 0);
        for (subject,) in &subjects {
            let name = Name { project, subject };
            let Some(known) = lock(&mut tx, &name).await? else { continue };
            known.add_to(&mut sums, FeedbackTally::negated);
            let context = known.context.as_ref();
            let request = context.map_or_else(|| subject.clone(), |context| context.request_id.clone());
            if context.is_some_and(|context| context.user.as_deref() == Some(user)) {
                let sql = "DELETE FROM feedback WHERE project_id = $1 AND subject = $2";
                erased += execute!(tx, sql, project.as_str(), subject)?;
                let sql = "DELETE FROM feedback_subjects WHERE project_id = $1 AND subject = $2";
                execute!(tx, sql, project.as_str(), subject)?;
                let sql = "DELETE FROM review_items WHERE project_id = $1 AND request_id = $2";
                items += execute!(tx, sql, project.as_str(), &request)?;
            } else {
                let sql = "SELECT COUNT(*) FROM feedback WHERE project_id = $1 AND subject = $2 AND user_id = $3 \
                           AND (sentiment < 0 OR corrected)";
                let (queued,) = fetch!(fetch_one, tx, (i64,), sql, project.as_str(), subject, user)?;
                let sql = "DELETE FROM feedback WHERE project_id = $1 AND subject = $2 AND user_id = $3";
                erased += execute!(tx, sql, project.as_str(), subject, user)?;
                forget(&mut tx, &name, known, &mut sums).await?;
                if queued > 0 {
                    items += forget_words(&mut tx, project, &format!("request/{request}")).await?;
                }
            }
        }
        items +=
            execute!(tx, "DELETE FROM review_items WHERE project_id = $1 AND user_id = $2", project.as_str(), user)?;
        let touched: Vec<_> = sums.keys().cloned().collect();
        apply(&mut tx, project, sums).await?;
        // A sum of nothing says what its slice is called, and a tag may name the user.
        for (deployment, slice, day) in touched {
            let sql = "DELETE FROM feedback_sums WHERE project_id = $1 AND deployment = $2 AND slice = $3 AND day = $4 \
                       AND requests <= 0";
            execute!(tx, sql, project.as_str(), &deployment, &slice, day)?;
        }
        tx.commit().await?;
        Ok((erased, items))
    }
}

/// Makes the opinion on an answer from what is left of the feedback on it.
async fn forget(tx: &mut Tx, name: &Name<'_>, known: Subject, sums: &mut Sums) -> Result<(), StoreError> {
    let sql = "SELECT document FROM feedback WHERE project_id = $1 AND subject = $2 ORDER BY id";
    let left = fetch!(fetch_all, tx, (String,), sql, name.project.as_str(), name.subject)?;
    if left.is_empty() {
        let sql = "DELETE FROM feedback_subjects WHERE project_id = $1 AND subject = $2";
        execute!(tx, sql, name.project.as_str(), name.subject)?;
        return Ok(());
    }
    let mut opinion = Opinion::default();
    for (document,) in &left {
        opinion = opinion.with(&decode::<Feedback>("feedback", document)?);
    }
    let next = Subject { opinion, ..known };
    next.add_to(sums, |tally| tally);
    put(tx, name, &next, Timestamp::UNIX_EPOCH).await?;
    // The review queue hears of it again: the item held the words of all.
    let sql = "UPDATE feedback SET settled = FALSE WHERE project_id = $1 AND subject = $2";
    execute!(tx, sql, name.project.as_str(), name.subject)?;
    Ok(())
}

/// Takes what users said of an answer out of the review queue; answers with the number of items that are deleted by that.
/// What nobody has decided on is made again by the feedback that is left; decisions stay.
async fn forget_words(tx: &mut Tx, project: &ProjectId, origin: &str) -> Result<u64, StoreError> {
    let sql = "DELETE FROM review_items WHERE project_id = $1 AND origin = $2 AND status = 'open' \
               AND reason IN ('low_rating', 'correction')";
    let deleted = execute!(tx, sql, project.as_str(), origin)?;
    let sql = "SELECT document FROM review_items WHERE project_id = $1 AND origin = $2";
    if let Some((text,)) = fetch!(fetch_optional, tx, (String,), sql, project.as_str(), origin)? {
        let item = decode::<ReviewItem>("a review item", &text)?.without_words();
        let sql = "UPDATE review_items SET document = $3 WHERE project_id = $1 AND origin = $2";
        execute!(tx, sql, project.as_str(), origin, encode("a review item", &item)?)?;
    }
    Ok(deleted)
}
