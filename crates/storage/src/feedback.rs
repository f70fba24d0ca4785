//! Feedback: rows, the opinion on each answer, and sums over opinions, kept up to date in one transaction.

/// The order of records of a trace, which are called `n`: those of chats first, the newest before others. Feedback is on what
/// was said, and an application that looks something up first has an embedding in the same trace. Which door it was stands at
/// the beginning of the document.
macro_rules! chats_first {
    () => {
        r#"CASE WHEN substr(n.document, 1, 200) LIKE '%"door":"embeddings"%' THEN 1 ELSE 0 END, n.id DESC"#
    };
}

mod erase;
mod join;

use std::collections::BTreeMap;

use jiff::Timestamp;
use llmops_domain::feedback::{
    Feedback, FeedbackBody, FeedbackContext, FeedbackFilter, FeedbackTally, Opinion, Sentiment, slices,
};
use llmops_domain::id::{self, FeedbackId, ProjectId};
use llmops_domain::record::RequestRecord;

use crate::db::{MICROS_PER_DAY, Tx, check_name, decode, encode, execute, fetch, micros, row};
use crate::records::readable;
use crate::{Store, StoreError};

/// What became of feedback that was submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredFeedback {
    /// It is new.
    New(FeedbackId),
    /// The same was there before, under this id.
    Duplicate(FeedbackId),
    /// Its key belongs to other feedback.
    Clash(FeedbackId),
}

/// The opinion on one answer, as it is stored.
#[derive(Default)]
struct Subject {
    opinion: Opinion,
    context: Option<FeedbackContext>,
}

/// Sums by deployment (empty: all), slice and day.
type Sums = BTreeMap<(String, String, i64), FeedbackTally>;

impl Subject {
    /// Adds what it counts for to the sums; `sign` takes it back.
    fn add_to(&self, sums: &mut Sums, sign: impl Fn(FeedbackTally) -> FeedbackTally) {
        let Some(first_at) = self.opinion.first_at else { return };
        let tally = sign(self.opinion.tally());
        let day = micros(first_at).div_euclid(MICROS_PER_DAY);
        let own = self.context.as_ref().and_then(|context| context.deployment.clone());
        for slice in slices(self.context.as_ref()) {
            for deployment in [Some(String::new()), own.clone()].into_iter().flatten() {
                let sum = sums.entry((deployment, slice.clone(), day)).or_default();
                *sum = sum.plus(tally);
            }
        }
    }
}

/// Whose opinion it is.
struct Name<'a> {
    project: &'a ProjectId,
    subject: &'a str,
}

row! {
    struct SubjectRow {
        opinion: String,
        context: Option<String>,
    }
}

impl SubjectRow {
    fn into_subject(self) -> Result<Subject, StoreError> {
        let context = self.context.as_deref().map(|text| decode("what feedback is about", text)).transpose()?;
        Ok(Subject { opinion: decode("an opinion", &self.opinion)?, context })
    }
}

row! {
    struct FeedbackRow {
        document: String,
        context: Option<String>,
    }
}

impl FeedbackRow {
    fn into_feedback(self) -> Result<Feedback, StoreError> {
        let mut feedback: Feedback = decode("feedback", &self.document)?;
        feedback.context = self.context.as_deref().map(|text| decode("what feedback is about", text)).transpose()?;
        Ok(feedback)
    }
}

fn sentiment_number(sentiment: Sentiment) -> i64 {
    match sentiment {
        Sentiment::Negative => -1,
        Sentiment::Neutral => 0,
        Sentiment::Positive => 1,
    }
}

impl Store {
    /// Stores feedback with what is known of the answers, and answers for each in the order given. On return it is on disk,
    /// and so are the sums.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: submit again; what has a key counts once.
    pub async fn add_feedback(
        &self,
        project: &ProjectId,
        feedback: &[Feedback],
    ) -> Result<Vec<StoredFeedback>, StoreError> {
        crate::db::retry_taken(|| self.try_add_feedback(project, feedback)).await
    }

    async fn try_add_feedback(
        &self,
        project: &ProjectId,
        feedback: &[Feedback],
    ) -> Result<Vec<StoredFeedback>, StoreError> {
        // Subjects in one order, because replicas lock them.
        let mut order: Vec<(String, usize)> = feedback.iter().enumerate().map(|(i, f)| (f.subject(), i)).collect();
        order.sort();
        let mut stored = vec![None; feedback.len()];
        let mut sums = Sums::new();
        let mut tx = self.write().await?;
        for (subject, i) in order {
            check_name("the request's id", &subject)?;
            let one = &feedback[i];
            let name = Name { project, subject: &subject };
            stored[i] = Some(match insert(&mut tx, &name, one).await? {
                StoredFeedback::New(id) => {
                    count_one(&mut tx, &name, one, &mut sums).await?;
                    StoredFeedback::New(id)
                }
                known => known,
            });
        }
        apply(&mut tx, project, sums).await?;
        tx.commit().await?;
        Ok(stored.into_iter().flatten().collect())
    }

    /// Feedback, newest first.
    pub async fn list_feedback(
        &self,
        project: &ProjectId,
        filter: &FeedbackFilter,
        limit: u32,
    ) -> Result<Vec<Feedback>, StoreError> {
        let sql = "SELECT f.document, s.context FROM feedback f \
                   JOIN feedback_subjects s ON s.project_id = f.project_id AND s.subject = f.subject \
                   WHERE f.project_id = $1 AND ($2 IS NULL OR s.deployment = $2) \
                   AND ($3 IS NULL OR s.request_id = $3) AND ($4 IS NULL OR f.sentiment = $4) \
                   AND ($5 IS NULL OR f.corrected = $5) AND f.at >= $6 AND f.at < $7 AND ($8 IS NULL OR f.id < $8) \
                   ORDER BY f.id DESC LIMIT $9";
        let mut conn = self.read().await?;
        let rows = fetch!(
            fetch_all,
            conn,
            FeedbackRow,
            sql,
            project.as_str(),
            filter.deployment.as_deref(),
            filter.request_id.as_deref(),
            filter.sentiment.map(sentiment_number),
            filter.corrected,
            filter.start_time.map_or(i64::MIN, micros),
            filter.end_time.map_or(i64::MAX, micros),
            filter.cursor.as_deref(),
            i64::from(limit)
        )?;
        rows.into_iter().map(FeedbackRow::into_feedback).collect()
    }

    /// One piece of feedback by its id.
    pub async fn get_feedback(&self, project: &ProjectId, id: &str) -> Result<Feedback, StoreError> {
        let sql = "SELECT f.document, s.context FROM feedback f \
                   JOIN feedback_subjects s ON s.project_id = f.project_id AND s.subject = f.subject \
                   WHERE f.project_id = $1 AND f.id = $2";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, FeedbackRow, sql, project.as_str(), id)?;
        row.ok_or_else(|| StoreError::not_found("feedback", id))?.into_feedback()
    }

    /// The opinion on an answer, by [`Feedback::subject`]; nothing where nobody said anything.
    pub async fn opinion(&self, project: &ProjectId, subject: &str) -> Result<Option<Opinion>, StoreError> {
        let sql = "SELECT opinion, context FROM feedback_subjects WHERE project_id = $1 AND subject = $2";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, SubjectRow, sql, project.as_str(), subject)?;
        Ok(row.map(SubjectRow::into_subject).transpose()?.map(|subject| subject.opinion))
    }

    /// Sums by slice of one kind (`prompt`, `tag`; `all` for the whole), over the days from `days.0` to `days.1`
    /// inclusive (days since 1970, UTC), of one deployment or of all; with `by_day`, each day apart.
    pub async fn feedback_sums(
        &self,
        project: &ProjectId,
        deployment: Option<&str>,
        kind: &str,
        days: (i64, i64),
    ) -> Result<Vec<(String, i64, FeedbackTally)>, StoreError> {
        let (from, to) = if kind == "all" {
            ("all".to_owned(), "all\u{1}".to_owned())
        } else {
            (format!("{kind}/"), crate::db::prefix_end(&format!("{kind}/")))
        };
        let sql = "SELECT slice, day, requests, thumbs, ups, rated, rating_sum, rating_squares, corrections, comments \
                   FROM feedback_sums WHERE project_id = $1 AND deployment = $2 AND slice >= $3 AND slice < $4 \
                   AND day >= $5 AND day <= $6 AND requests > 0 ORDER BY slice, day";
        let mut conn = self.read().await?;
        let (project, deployment) = (project.as_str(), deployment.unwrap_or_default());
        let rows = fetch!(fetch_all, conn, SumRow, sql, project, deployment, &from, &to, days.0, days.1)?;
        Ok(rows.into_iter().map(SumRow::into_parts).collect())
    }

    /// The record that is meant by a trace: the newest of a chat, or else the newest.
    pub async fn record_of_trace(&self, project: &ProjectId, trace: &str) -> Result<Option<RequestRecord>, StoreError> {
        let sql = concat!(
            "SELECT id, document FROM request_records n WHERE project_id = $1 AND trace_id = $2 ORDER BY ",
            chats_first!(),
            " LIMIT 1"
        );
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, (String, String), sql, project.as_str(), trace)?;
        Ok(row.and_then(|(id, document)| readable(&id, &document)))
    }

    /// Feedback with a context that experiments and the review queue have not heard of, in all projects.
    pub async fn unsettled_feedback(&self, limit: u32) -> Result<Vec<(ProjectId, Feedback)>, StoreError> {
        let sql = "SELECT f.project_id, f.document, s.context FROM feedback f \
                   JOIN feedback_subjects s ON s.project_id = f.project_id AND s.subject = f.subject \
                   WHERE NOT f.settled AND s.context IS NOT NULL ORDER BY f.id LIMIT $1";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String, String, Option<String>), sql, i64::from(limit))?;
        let read = |(project, document, context): (String, String, Option<String>)| {
            Ok((ProjectId(project), FeedbackRow { document, context }.into_feedback()?))
        };
        rows.into_iter().map(read).collect()
    }

    /// Notes that experiments and the review queue have heard of feedback.
    pub async fn settle_feedback(&self, project: &ProjectId, ids: &[FeedbackId]) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        for id in ids {
            let sql = "UPDATE feedback SET settled = TRUE WHERE project_id = $1 AND id = $2";
            execute!(tx, sql, project.as_str(), id.as_str())?;
        }
        tx.commit().await
    }
}

row! {
    struct SumRow {
        slice: String,
        day: i64,
        requests: i64,
        thumbs: i64,
        ups: i64,
        rated: i64,
        rating_sum: f64,
        rating_squares: f64,
        corrections: i64,
        comments: i64,
    }
}

impl SumRow {
    fn into_parts(self) -> (String, i64, FeedbackTally) {
        let tally = FeedbackTally {
            requests: self.requests,
            thumbs: self.thumbs,
            ups: self.ups,
            rated: self.rated,
            rating_sum: self.rating_sum,
            rating_squares: self.rating_squares,
            corrections: self.corrections,
            comments: self.comments,
        };
        (self.slice, self.day, tally)
    }
}

/// Inserts a row of feedback, unless its key is known.
async fn insert(tx: &mut Tx, name: &Name<'_>, feedback: &Feedback) -> Result<StoredFeedback, StoreError> {
    let project = name.project.as_str();
    if let Some(key) = &feedback.body.idempotency_key {
        let sql = "SELECT id, document FROM feedback WHERE project_id = $1 AND idempotency_key = $2";
        if let Some((id, document)) = fetch!(fetch_optional, tx, (String, String), sql, project, key)? {
            let known: Feedback = decode("feedback", &document)?;
            let id = FeedbackId(id);
            let same = known.body == feedback.body;
            return Ok(if same { StoredFeedback::Duplicate(id) } else { StoredFeedback::Clash(id) });
        }
    }
    let row = Feedback { context: None, ..feedback.clone() };
    let user = feedback.body.user.as_deref().or_else(|| feedback.context.as_ref()?.user.as_deref());
    let sql = "INSERT INTO feedback (project_id, id, subject, idempotency_key, user_id, at, sentiment, corrected, settled, \
               document) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, FALSE, $9)";
    execute!(
        tx,
        sql,
        project,
        feedback.id.as_str(),
        name.subject,
        feedback.body.idempotency_key.as_deref(),
        user,
        micros(feedback.at),
        feedback.sentiment.map(sentiment_number),
        feedback.body.correction.is_some(),
        encode("feedback", &row)?
    )
    .map_err(|e| e.of_project(name.project))?;
    Ok(StoredFeedback::New(feedback.id.clone()))
}

/// Moves the opinion on an answer on, and notes what that changes in the sums.
async fn count_one(tx: &mut Tx, name: &Name<'_>, one: &Feedback, sums: &mut Sums) -> Result<(), StoreError> {
    begin(tx, name, &one.body, one.at).await?;
    let known = lock(tx, name).await?.unwrap_or_default();
    known.add_to(sums, FeedbackTally::negated);
    let context = known.context.or_else(|| one.context.clone());
    let next = Subject { opinion: known.opinion.with(one), context };
    next.add_to(sums, |tally| tally);
    put(tx, name, &next, arrived(one)).await
}

/// When feedback came, which may be long after it was said.
fn arrived(one: &Feedback) -> Timestamp {
    let millis = id::millis_of(one.id.as_str()).and_then(|millis| Timestamp::from_millisecond(millis).ok());
    millis.map_or(one.at, |millis| millis.max(one.at))
}

/// Makes the row of an answer before it is read, so that two who are first wait for each other.
async fn begin(tx: &mut Tx, name: &Name<'_>, body: &FeedbackBody, at: Timestamp) -> Result<(), StoreError> {
    let sql = "INSERT INTO feedback_subjects (project_id, subject, request_id, trace_id, first_at, opinion) \
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    execute!(
        tx,
        sql,
        name.project.as_str(),
        name.subject,
        body.request_id.as_deref(),
        body.trace_id.as_deref(),
        micros(at),
        encode("an opinion", &Opinion::default())?
    )?;
    Ok(())
}

/// Reads the opinion on an answer and keeps others from changing it.
async fn lock(tx: &mut Tx, name: &Name<'_>) -> Result<Option<Subject>, StoreError> {
    let sql = tx.dialect(
        "SELECT opinion, context FROM feedback_subjects WHERE project_id = $1 AND subject = $2",
        "SELECT opinion, context FROM feedback_subjects WHERE project_id = $1 AND subject = $2 FOR UPDATE",
    );
    let row = fetch!(fetch_optional, tx, SubjectRow, sql, name.project.as_str(), name.subject)?;
    row.map(SubjectRow::into_subject).transpose()
}

/// Writes what is thought of an answer. Where it has no record yet, it waits for one since the last word `came`.
async fn put(tx: &mut Tx, name: &Name<'_>, subject: &Subject, came: Timestamp) -> Result<(), StoreError> {
    let context = subject.context.as_ref();
    let first_at = subject.opinion.first_at.unwrap_or(Timestamp::UNIX_EPOCH);
    let first_at = if context.is_none() { first_at.max(came) } else { first_at };
    let sql = "UPDATE feedback_subjects SET opinion = $3, context = $4, first_at = $5, deployment = $6, \
               user_id = COALESCE($7, user_id), request_id = COALESCE(request_id, $8) \
               WHERE project_id = $1 AND subject = $2";
    execute!(
        tx,
        sql,
        name.project.as_str(),
        name.subject,
        encode("an opinion", &subject.opinion)?,
        context.map(|context| encode("what feedback is about", context)).transpose()?,
        micros(first_at),
        context.and_then(|context| context.deployment.as_deref()),
        context.and_then(|context| context.user.as_deref()),
        context.map(|context| context.request_id.as_str())
    )?;
    Ok(())
}

/// Adds to the sums, in one order, because replicas lock them.
async fn apply(tx: &mut Tx, project: &ProjectId, sums: Sums) -> Result<(), StoreError> {
    let sql = "INSERT INTO feedback_sums (project_id, deployment, slice, day, requests, thumbs, ups, rated, rating_sum, \
               rating_squares, corrections, comments) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
               ON CONFLICT (project_id, deployment, slice, day) DO UPDATE SET \
               requests = feedback_sums.requests + excluded.requests, thumbs = feedback_sums.thumbs + excluded.thumbs, \
               ups = feedback_sums.ups + excluded.ups, rated = feedback_sums.rated + excluded.rated, \
               rating_sum = feedback_sums.rating_sum + excluded.rating_sum, \
               rating_squares = feedback_sums.rating_squares + excluded.rating_squares, \
               corrections = feedback_sums.corrections + excluded.corrections, \
               comments = feedback_sums.comments + excluded.comments";
    for ((deployment, slice, day), sum) in sums {
        if sum == FeedbackTally::default() {
            continue;
        }
        execute!(
            tx,
            sql,
            project.as_str(),
            &deployment,
            &slice,
            day,
            sum.requests,
            sum.thumbs,
            sum.ups,
            sum.rated,
            sum.rating_sum,
            sum.rating_squares,
            sum.corrections,
            sum.comments
        )?;
    }
    Ok(())
}
