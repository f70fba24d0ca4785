//! Canaries: each a document, with its sums, its log of decisions, and what it spent.

use std::collections::BTreeMap;

use jiff::Timestamp;
use llmops_domain::canary::{Canary, Evidence, LoggedDecision, SkipReason, StageEvidence};
use llmops_domain::id::{CanaryId, ProjectId};

use crate::audit::{Change, record};
use crate::db::{
    MICROS_PER_HOUR, Tx, big, check_name, count, decode, encode, execute, fetch, fitting, micros, prefix_end,
};
use crate::{Store, StoreError};

/// Canaries of a page where the caller names no limit, and the most of one.
const MOST_CANARIES: u32 = 500;
/// A step of a canary: written whole or not at all.
#[derive(Debug, Clone)]
pub struct CanaryStep<'a> {
    /// The canary as it is from now on; its revision follows the one that is stored.
    pub canary: &'a Canary,
    /// The decision that led here, for the log. Its number is given by the store.
    pub decision: Option<&'a LoggedDecision>,
    /// For the record of changes.
    pub audit: Option<Change>,
}

/// What a canary has added up to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CanarySums {
    /// Its pairs.
    pub evidence: Evidence,
    /// USD in the present hour.
    pub spent_this_hour: f64,
    /// Requests that were drawn and made no pair, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Pairs that wait.
    pub waiting: u64,
    /// What users saw at the stages so far.
    pub stages: BTreeMap<u64, StageEvidence>,
}

/// The hour of a time, counted since 1970.
pub(crate) fn hour(at: Timestamp) -> i64 {
    micros(at).div_euclid(MICROS_PER_HOUR)
}

/// The key of a canary, for tables that belong to it.
pub(crate) async fn key_of(tx: &mut Tx, project: &ProjectId, id: &CanaryId) -> Result<i64, StoreError> {
    let sql = "SELECT key FROM canaries WHERE project_id = $1 AND id = $2";
    let found = fetch!(fetch_optional, tx, (i64,), sql, project.as_str(), id.as_str())?;
    Ok(found.ok_or_else(|| StoreError::not_found("canary", id.as_str()))?.0)
}

impl Store {
    /// Stores a new canary, with empty sums.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the deployment has one that is not over.
    pub async fn create_canary(&self, project: &ProjectId, canary: &Canary) -> Result<(), StoreError> {
        check_name("the deployment's name", &canary.deployment)?;
        check_name("the environment", &canary.environment)?;
        let document = encode("the canary", canary)?;
        let sql = "INSERT INTO canaries (project_id, id, deployment, environment, status, revision, document) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING key";
        let mut tx = self.write().await?;
        let inserted = fetch!(
            fetch_one,
            tx,
            (i64,),
            sql,
            project.as_str(),
            canary.id.as_str(),
            &canary.deployment,
            &canary.environment,
            canary.state.as_str(),
            big(canary.revision),
            &document
        );
        let (key,) = inserted.map_err(|error| match error {
            taken if taken.is_unique_violation() => StoreError::Conflict(format!(
                "{} has a canary that is not over: abort it first (llmops canary abort {})",
                canary.place(),
                canary.deployment
            )),
            other => other.of_project(project),
        })?;
        let empty = encode("a canary's sums", &Evidence::default())?;
        let sql = "INSERT INTO canary_evidence (canary_key, project_id, document) VALUES ($1, $2, $3)";
        execute!(tx, sql, key, project.as_str(), &empty)?;
        let made = Change::new("canary.created", canary.place()).after(serde_json::json!({
            "canary": canary.id, "candidate": canary.candidate, "dry_run": canary.dry_run, "policy": canary.policy,
        }));
        record(&mut tx, self.actor(), project, &made).await?;
        tx.commit().await
    }

    /// The canary with this id, or with this beginning of an id that fits no other, else that of this deployment: the one
    /// that is not over, else the newest.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] or [`StoreError::Ambiguous`].
    pub async fn get_canary(&self, project: &ProjectId, name: &str, environment: &str) -> Result<Canary, StoreError> {
        check_name("the canary", name)?;
        let mut conn = self.read().await?;
        if name.starts_with("canary_") {
            let sql =
                "SELECT document FROM canaries WHERE project_id = $1 AND id >= $2 AND id < $3 ORDER BY id LIMIT 2";
            let rows = fetch!(fetch_all, conn, (String,), sql, project.as_str(), name, prefix_end(name))?;
            let found = rows.iter().map(|(d,)| decode("a canary", d)).collect::<Result<Vec<Canary>, _>>()?;
            if let Some(canary) = fitting(found, |canary| canary.id.as_str() == name, "canary", name)? {
                return Ok(canary);
            }
        }
        let sql = "SELECT document FROM canaries WHERE project_id = $1 AND deployment = $2 AND environment = $3 \
                   ORDER BY CASE WHEN status IN ('promoted', 'aborted', 'concluded') THEN 1 ELSE 0 END, key DESC LIMIT 1";
        let row = fetch!(fetch_optional, conn, (String,), sql, project.as_str(), name, environment)?;
        let (document,) = row.ok_or_else(|| StoreError::not_found("canary", name))?;
        decode("a canary", &document)
    }

    /// Canaries, newest first, with a status and an id below `before` where these are given.
    pub async fn list_canaries(
        &self,
        project: &ProjectId,
        status: Option<&str>,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Canary>, StoreError> {
        let sql = "SELECT document FROM canaries WHERE project_id = $1 AND ($2 = '' OR status = $2) \
                   AND ($3 = '' OR id < $3) ORDER BY id DESC LIMIT $4";
        let (status, before) = (status.unwrap_or(""), before.unwrap_or(""));
        let limit = i64::from(limit.min(MOST_CANARIES + 1));
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String,), sql, project.as_str(), status, before, limit)?;
        rows.iter().map(|(document,)| decode("a canary", document)).collect()
    }

    /// The canaries of all projects that something may become due for.
    pub async fn live_canaries(&self) -> Result<Vec<(ProjectId, Canary)>, StoreError> {
        let sql = "SELECT project_id, document FROM canaries \
                   WHERE status IN ('shadowing', 'exposing', 'promoting') ORDER BY key";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String, String), sql)?;
        rows.into_iter().map(|(project, document)| Ok((ProjectId(project), decode("a canary", &document)?))).collect()
    }

    /// Writes a step.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody else took one since the canary was read.
    pub async fn step_canary(&self, project: &ProjectId, step: CanaryStep<'_>) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        self.write_step(&mut tx, project, step).await?;
        tx.commit().await
    }

    /// Takes the candidate of a deployment's canary away from users by a step, where one shows it to them: what it is since.
    pub(crate) async fn hide_candidate(
        &self,
        tx: &mut Tx,
        (project, deployment, environment): (&ProjectId, &str, &str),
        step: impl Fn(&Canary) -> Option<Canary> + Send,
    ) -> Result<Option<Canary>, StoreError> {
        let sql = tx.dialect(
            "SELECT document FROM canaries WHERE project_id = $1 AND deployment = $2 AND environment = $3 \
             AND status = 'exposing'",
            "SELECT document FROM canaries WHERE project_id = $1 AND deployment = $2 AND environment = $3 \
             AND status = 'exposing' FOR UPDATE",
        );
        let row = fetch!(fetch_optional, tx, (String,), sql, project.as_str(), deployment, environment)?;
        let Some((text,)) = row else { return Ok(None) };
        let canary: Canary = decode("a canary", &text)?;
        let Some(next) = step(&canary) else { return Ok(None) };
        let audit = Change::new("canary.decided", canary.place())
            .before(serde_json::json!({"canary": canary.id, "state": canary.state}))
            .after(serde_json::json!({"canary": next.id, "state": next.state, "reason": next.note}));
        self.write_step(tx, project, CanaryStep { canary: &next, decision: None, audit: Some(audit) }).await?;
        Ok(Some(next))
    }

    async fn write_step(&self, tx: &mut Tx, project: &ProjectId, step: CanaryStep<'_>) -> Result<(), StoreError> {
        let canary = step.canary;
        let document = encode("the canary", canary)?;
        let sql = "UPDATE canaries SET status = $3, revision = $4, document = $5 \
                   WHERE project_id = $1 AND id = $2 AND revision = $4 - 1";
        let (id, status, revision) = (canary.id.as_str(), canary.state.as_str(), big(canary.revision));
        if execute!(tx, sql, project.as_str(), id, status, revision, &document)? == 0 {
            return Err(StoreError::Conflict(format!("canary `{id}` was changed in the meantime: read it again")));
        }
        let key = key_of(tx, project, &canary.id).await?;
        if let Some(decision) = step.decision {
            log(tx, project, key, decision).await?;
        }
        if canary.state.is_final() {
            // What waits is not judged any more, and its texts shall not stay.
            let sql = "DELETE FROM shadow_pairs WHERE canary_key = $1 AND status = 'waiting'";
            let dropped = execute!(tx, sql, key)?;
            skip(tx, project, key, (SkipReason::Ended, dropped)).await?;
            execute!(tx, "DELETE FROM canary_clusters WHERE canary_key = $1", key)?;
        }
        if let Some(change) = &step.audit {
            record(tx, self.actor(), project, change).await?;
        }
        Ok(())
    }

    /// Adds a decision to the log.
    pub async fn log_canary_decision(
        &self,
        project: &ProjectId,
        id: &CanaryId,
        decision: &LoggedDecision,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let key = key_of(&mut tx, project, id).await?;
        log(&mut tx, project, key, decision).await?;
        tx.commit().await
    }

    /// Decisions after a number, in order.
    pub async fn list_canary_decisions(
        &self,
        project: &ProjectId,
        id: &CanaryId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<LoggedDecision>, StoreError> {
        let sql = "SELECT d.document FROM canary_decisions AS d JOIN canaries AS c ON c.key = d.canary_key \
                   WHERE c.project_id = $1 AND c.id = $2 AND d.number > $3 ORDER BY d.number LIMIT $4";
        let mut conn = self.read().await?;
        let limit = i64::from(limit);
        let rows = fetch!(fetch_all, conn, (String,), sql, project.as_str(), id.as_str(), big(after), limit)?;
        rows.iter().map(|(document,)| decode("a decision", document)).collect()
    }

    /// What a canary has added up to.
    pub async fn canary_sums(
        &self,
        project: &ProjectId,
        id: &CanaryId,
        now: Timestamp,
    ) -> Result<CanarySums, StoreError> {
        let mut conn = self.read().await?;
        let sql = "SELECT e.canary_key, e.document FROM canary_evidence AS e JOIN canaries AS c ON c.key = e.canary_key \
                   WHERE c.project_id = $1 AND c.id = $2";
        let row = fetch!(fetch_optional, conn, (i64, String), sql, project.as_str(), id.as_str())?;
        let (key, evidence) = row.ok_or_else(|| StoreError::not_found("canary", id.as_str()))?;
        let sql = "SELECT usd FROM canary_spending WHERE canary_key = $1 AND hour = $2";
        let spent = fetch!(fetch_optional, conn, (f64,), sql, key, hour(now))?;
        let sql = "SELECT reason, skipped FROM canary_skips WHERE canary_key = $1 AND skipped > 0";
        let skipped = fetch!(fetch_all, conn, (String, i64), sql, key)?;
        let sql = "SELECT COUNT(*) FROM shadow_pairs WHERE canary_key = $1 AND status = 'waiting'";
        let (waiting,) = fetch!(fetch_one, conn, (i64,), sql, key)?;
        let sql = "SELECT stage, document FROM canary_stages WHERE canary_key = $1";
        let stages = fetch!(fetch_all, conn, (i64, String), sql, key)?;
        Ok(CanarySums {
            evidence: decode("a canary's sums", &evidence)?,
            spent_this_hour: spent.map_or(0.0, |(usd,)| usd),
            skipped: skipped
                .into_iter()
                .map(|(reason, n)| Ok((reason, count(n)?)))
                .collect::<Result<_, StoreError>>()?,
            waiting: count(waiting)?,
            stages: stages
                .into_iter()
                .map(|(stage, text)| Ok((count(stage)?, decode("a stage's sums", &text)?)))
                .collect::<Result<_, StoreError>>()?,
        })
    }

    /// USD that canaries spent in the hour of `now`, by the canary's id.
    pub async fn canary_spending(&self, now: Timestamp) -> Result<BTreeMap<CanaryId, f64>, StoreError> {
        let sql = "SELECT c.id, s.usd FROM canary_spending AS s JOIN canaries AS c ON c.key = s.canary_key \
                   WHERE s.hour = $1";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String, f64), sql, hour(now))?;
        Ok(rows.into_iter().map(|(id, usd)| (CanaryId(id), usd)).collect())
    }

    /// Counts requests that were drawn and made no pair.
    pub async fn skip_shadow_requests(
        &self,
        project: &ProjectId,
        id: &CanaryId,
        skipped: &BTreeMap<SkipReason, u64>,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let key = key_of(&mut tx, project, id).await?;
        for (reason, n) in skipped {
            skip(&mut tx, project, key, (*reason, *n)).await?;
        }
        tx.commit().await
    }

    /// Adds what users saw at a stage.
    pub async fn merge_canary_stage(
        &self,
        project: &ProjectId,
        id: &CanaryId,
        stage: u64,
        seen: &StageEvidence,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let key = key_of(&mut tx, project, id).await?;
        lock(&mut tx, key).await?;
        let sql = "SELECT document FROM canary_stages WHERE canary_key = $1 AND stage = $2";
        let mut sums: StageEvidence = match fetch!(fetch_optional, tx, (String,), sql, key, big(stage))? {
            Some((document,)) => decode("a stage's sums", &document)?,
            None => StageEvidence::default(),
        };
        sums.merge(seen);
        let sql = "INSERT INTO canary_stages (canary_key, stage, project_id, document) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (canary_key, stage) DO UPDATE SET document = excluded.document";
        execute!(tx, sql, key, big(stage), project.as_str(), encode("a stage's sums", &sums)?)?;
        tx.commit().await
    }
}

/// Keeps others from changing a canary's sums until the transaction ends, and answers with what they are.
pub(crate) async fn lock(tx: &mut Tx, key: i64) -> Result<Evidence, StoreError> {
    let sql = tx.dialect(
        "SELECT document FROM canary_evidence WHERE canary_key = $1",
        "SELECT document FROM canary_evidence WHERE canary_key = $1 FOR UPDATE",
    );
    let (document,) = fetch!(fetch_one, tx, (String,), sql, key)?;
    decode("a canary's sums", &document)
}

/// Counts requests that were drawn and made no pair.
pub(crate) async fn skip(
    tx: &mut Tx,
    project: &ProjectId,
    key: i64,
    (reason, n): (SkipReason, u64),
) -> Result<(), StoreError> {
    let sql = "INSERT INTO canary_skips (canary_key, reason, project_id, skipped) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (canary_key, reason) DO UPDATE SET skipped = canary_skips.skipped + excluded.skipped";
    execute!(tx, sql, key, reason.as_str(), project.as_str(), big(n))?;
    Ok(())
}

async fn log(tx: &mut Tx, project: &ProjectId, key: i64, decision: &LoggedDecision) -> Result<(), StoreError> {
    lock(tx, key).await?;
    let sql = "SELECT COALESCE(MAX(number), 0) + 1 FROM canary_decisions WHERE canary_key = $1";
    let (number,) = fetch!(fetch_one, tx, (i64,), sql, key)?;
    let numbered = LoggedDecision { number: count(number)?, ..decision.clone() };
    let document = encode("the decision", &numbered)?;
    let sql = "INSERT INTO canary_decisions (canary_key, number, project_id, at, document) VALUES ($1, $2, $3, $4, $5)";
    execute!(tx, sql, key, number, project.as_str(), micros(decision.at), &document)?;
    Ok(())
}
