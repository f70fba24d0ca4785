//! Incidents, and what happened around them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use llmops_domain::id::{self, IncidentId, ProjectId};
use llmops_domain::incident::{Incident, IncidentFilter};
use llmops_domain::record::RequestRecord;
use llmops_domain::traffic::TrafficSums;

use crate::audit::{Change, record};
use crate::db::{MICROS_PER_HOUR, check_name, count, decode, encode, execute, fetch, micros, row, time, without_nul};
use crate::records::readable;
use crate::{Store, StoreError};

/// Calls that failed: see [`CallOutcome::is_failure`](llmops_domain::record::CallOutcome::is_failure).
macro_rules! failed {
    () => {
        "outcome NOT IN ('ok', 'cancelled', 'refused')"
    };
}

/// Whole answers of a model, without those of the cache.
macro_rules! answered {
    () => {
        "outcome = 'ok' AND document NOT LIKE '%\"cached\":true%'"
    };
}

/// Calls of a deployment in one hour. The sums are those of traffic that calls add up to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HourOfCalls {
    /// The beginning of the hour.
    pub at: Timestamp,
    /// What came of them, without costs and tokens.
    pub sums: TrafficSums,
}

/// Calls of a deployment in one environment, from a time on and before another.
#[derive(Debug, Clone, Copy)]
pub struct CallsOf<'a> {
    /// The deployment.
    pub deployment: &'a str,
    /// The environment.
    pub environment: &'a str,
    /// The manifest that answered, by its whole hash; absent: any.
    pub manifest: Option<&'a str>,
    /// At or after.
    pub from: Timestamp,
    /// Before.
    pub until: Timestamp,
}

impl CallsOf<'_> {
    /// The id that comes before those of the first calls: ids begin with the time.
    fn first_id(&self) -> String {
        id::request(self.from.as_millisecond(), 0)
    }
}

row! {
    struct CallsRow {
        hour: i64,
        calls: i64,
        refused: i64,
        cancelled: i64,
        answered: i64,
        failed: i64,
        soft_failed: i64,
    }
}

impl CallsRow {
    fn into_hour(self) -> Result<HourOfCalls, StoreError> {
        let sums = TrafficSums {
            calls: count(self.calls)?,
            refused: count(self.refused)?,
            cancelled: count(self.cancelled)?,
            answered: count(self.answered)?,
            failed: count(self.failed)?,
            soft_failed: count(self.soft_failed)?,
            ..TrafficSums::default()
        };
        Ok(HourOfCalls { at: time(self.hour * MICROS_PER_HOUR)?, sums })
    }
}

impl Store {
    /// Stores a new incident, and records that it was opened.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when one is open for the deployment.
    pub async fn open_incident(&self, project: &ProjectId, incident: &Incident) -> Result<(), StoreError> {
        check_name("the deployment's name", &incident.deployment)?;
        let sql = "INSERT INTO incidents (project_id, id, deployment, environment, opened_at, document) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let mut tx = self.write().await?;
        let opened = execute!(
            tx,
            sql,
            project.as_str(),
            incident.id.as_str(),
            &incident.deployment,
            &incident.environment,
            micros(incident.opened_at),
            document(incident)?
        );
        if let Err(error) = opened {
            tx.rollback().await?;
            let (name, environment) = (&incident.deployment, &incident.environment);
            return Err(if error.is_unique_violation() {
                StoreError::Conflict(format!("an incident is open for {name} in {environment} already"))
            } else {
                error.of_project(project)
            });
        }
        let change = Change::new("incident.opened", incident.id.as_str()).after(serde_json::json!({
            "deployment": incident.deployment, "environment": incident.environment, "title": incident.title,
        }));
        record(&mut tx, self.actor(), project, &change).await?;
        tx.commit().await
    }

    /// Changes an open incident as it is now, in one transaction: of several people who write at once, each one's words
    /// stay. Closing it is recorded.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such an incident; [`StoreError::Conflict`] when it is closed.
    pub async fn change_incident(
        &self,
        project: &ProjectId,
        id: &IncidentId,
        change: impl FnOnce(&mut Incident) + Send,
    ) -> Result<Incident, StoreError> {
        let mut tx = self.write().await?;
        let sql = tx.dialect(
            "SELECT document FROM incidents WHERE project_id = $1 AND id = $2",
            "SELECT document FROM incidents WHERE project_id = $1 AND id = $2 FOR UPDATE",
        );
        let row = fetch!(fetch_optional, tx, (String,), sql, project.as_str(), id.as_str())?;
        let (text,) = row.ok_or_else(|| StoreError::not_found("incident", id.as_str()))?;
        let mut incident: Incident = decode("an incident", &text)?;
        if incident.closed_at.is_some() {
            return Err(StoreError::Conflict(format!("the incident {id} is closed")));
        }
        change(&mut incident);
        let sql = "UPDATE incidents SET closed_at = $3, document = $4 WHERE project_id = $1 AND id = $2";
        let closed_at = incident.closed_at.map(micros);
        execute!(tx, sql, project.as_str(), id.as_str(), closed_at, document(&incident)?)?;
        if incident.closed_at.is_some() {
            let change = Change::new("incident.closed", incident.id.as_str())
                .after(serde_json::json!({"resolution": incident.resolution, "dataset": incident.dataset}));
            record(&mut tx, self.actor(), project, &change).await?;
        }
        tx.commit().await?;
        Ok(incident)
    }

    /// Takes what users said of a user's answers, and what the user said, out of the post-mortems of a project: `(user, cluster)` as
    /// for [`is_call_of`](Self::is_call_of). Answers with the number of post-mortems that had such words. It finds whose
    /// words they are by feedback and records, so it comes before these are deleted.
    pub async fn erase_words_of_incidents(
        &self,
        project: &ProjectId,
        (user, cluster): (&str, &str),
    ) -> Result<u64, StoreError> {
        let sql = "SELECT id, document FROM incidents WHERE project_id = $1 AND closed_at IS NOT NULL ORDER BY id";
        let mut conn = self.read().await?;
        let closed = fetch!(fetch_all, conn, (String, String), sql, project.as_str())?;
        drop(conn);
        let mut changed = 0;
        for (id, text) in closed {
            let mut incident: Incident = decode("an incident", &text)?;
            let mut theirs = BTreeSet::new();
            for subject in incident.subjects_of_complaints() {
                if self.is_call_of(project, &subject, (user, cluster)).await?
                    || self.is_said_by(project, &subject, user).await?
                {
                    theirs.insert(subject);
                }
            }
            if incident.forget_complaints(&theirs) {
                let sql = "UPDATE incidents SET document = $3 WHERE project_id = $1 AND id = $2";
                let mut tx = self.write().await?;
                execute!(tx, sql, project.as_str(), &id, document(&incident)?)?;
                tx.commit().await?;
                changed += 1;
            }
        }
        Ok(changed)
    }

    /// Whether feedback on an answer is a user's, or on a user's answer. The subject is a request's id, or `trace:` and a trace's.
    async fn is_said_by(&self, project: &ProjectId, subject: &str, user: &str) -> Result<bool, StoreError> {
        let sql = "SELECT CAST(COUNT(*) AS BIGINT) FROM feedback_subjects s WHERE s.project_id = $1 \
                   AND (s.subject = $2 OR s.request_id = $2 OR s.trace_id = $4) AND (s.user_id = $3 OR EXISTS \
                   (SELECT 1 FROM feedback f WHERE f.project_id = $1 AND f.subject = s.subject AND f.user_id = $3))";
        let trace = subject.strip_prefix("trace:");
        let mut conn = self.read().await?;
        let (subjects,) = fetch!(fetch_one, conn, (i64,), sql, project.as_str(), subject, user, trace)?;
        Ok(subjects > 0)
    }

    /// The incident that is open for a deployment.
    pub async fn find_open_incident(
        &self,
        project: &ProjectId,
        deployment: &str,
        environment: &str,
    ) -> Result<Option<Incident>, StoreError> {
        let sql = "SELECT document FROM incidents WHERE project_id = $1 AND deployment = $2 AND environment = $3 \
                   AND closed_at IS NULL";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, (String,), sql, project.as_str(), deployment, environment)?;
        row.map(|(text,)| decode("an incident", &text)).transpose()
    }

    /// One incident by its id, or by a beginning of it that fits no other.
    pub async fn get_incident(&self, project: &ProjectId, id: &str) -> Result<Incident, StoreError> {
        check_name("the incident's id", id)?;
        let sql = "SELECT document FROM incidents WHERE project_id = $1 AND id >= $2 AND id < $3 ORDER BY id LIMIT 2";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String,), sql, project.as_str(), id, crate::db::prefix_end(id))?;
        let (text,) = crate::db::only(rows, "incident", id)?;
        decode("an incident", &text)
    }

    /// Incidents, the newest first.
    pub async fn list_incidents(
        &self,
        project: &ProjectId,
        filter: &IncidentFilter,
        limit: u32,
    ) -> Result<Vec<Incident>, StoreError> {
        let sql = "SELECT document FROM incidents WHERE project_id = $1 AND ($2 IS NULL OR id < $2) \
                   AND ($3 IS NULL OR deployment = $3) AND ($4 IS NULL OR environment = $4) \
                   AND ($5 IS NULL OR (closed_at IS NULL) = $5) ORDER BY id DESC LIMIT $6";
        let mut conn = self.read().await?;
        let rows = fetch!(
            fetch_all,
            conn,
            (String,),
            sql,
            project.as_str(),
            filter.cursor.as_deref(),
            filter.deployment.as_deref(),
            filter.environment.as_deref(),
            filter.open,
            i64::from(limit)
        )?;
        rows.iter().map(|(text,)| decode("an incident", text)).collect()
    }

    /// The calls of a deployment by the hour.
    pub async fn calls_by_hour(&self, project: &ProjectId, of: CallsOf<'_>) -> Result<Vec<HourOfCalls>, StoreError> {
        let sql = concat!(
            "SELECT at / $6 AS hour, COUNT(*) AS calls, COUNT(CASE WHEN outcome = 'refused' THEN 1 END) AS refused, \
             COUNT(CASE WHEN outcome = 'cancelled' THEN 1 END) AS cancelled, COUNT(CASE WHEN ",
            answered!(),
            " THEN 1 END) AS answered, COUNT(CASE WHEN ",
            failed!(),
            " THEN 1 END) AS failed, COUNT(CASE WHEN soft_failures > 0 AND ",
            answered!(),
            " THEN 1 END) AS soft_failed FROM request_records \
             WHERE project_id = $1 AND id >= $2 AND deployment = $3 AND environment = $4 AND at < $5 \
             AND ($7 IS NULL OR manifest = $7) GROUP BY 1 ORDER BY 1"
        );
        let mut conn = self.read().await?;
        let rows = fetch!(
            fetch_all,
            conn,
            CallsRow,
            sql,
            project.as_str(),
            of.first_id(),
            of.deployment,
            of.environment,
            micros(of.until),
            MICROS_PER_HOUR,
            of.manifest
        )?;
        rows.into_iter().map(CallsRow::into_hour).collect()
    }

    /// Calls of a deployment that failed, by protocol or by content, the newest first, with ids below `before`. What the gateway
    /// refused says nothing of the deployment, and is not among them.
    pub async fn failed_calls(
        &self,
        project: &ProjectId,
        of: CallsOf<'_>,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<RequestRecord>, StoreError> {
        let sql = concat!(
            "SELECT id, document FROM request_records WHERE project_id = $1 AND id >= $2 AND deployment = $3 \
             AND environment = $4 AND at < $5 AND ($7 IS NULL OR manifest = $7) AND ($8 IS NULL OR id < $8) AND ((soft_failures > 0 AND outcome = 'ok') OR ",
            failed!(),
            ") ORDER BY id DESC LIMIT $6"
        );
        let mut conn = self.read().await?;
        let rows = fetch!(
            fetch_all,
            conn,
            (String, String),
            sql,
            project.as_str(),
            of.first_id(),
            of.deployment,
            of.environment,
            micros(of.until),
            i64::from(limit),
            of.manifest,
            before
        )?;
        Ok(rows.iter().filter_map(|(id, document)| readable(id, document)).collect())
    }
}

fn document(incident: &Incident) -> Result<String, StoreError> {
    encode("an incident", incident).map(|text| without_nul(&text).into_owned())
}
