//! Answers to requests that may be sent again, by the key that the caller gave them.

use jiff::Timestamp;
use llmops_domain::id::ProjectId;

use crate::db::{Tx, count, execute, fetch, micros, row};
use crate::{SecretHash, Store, StoreError};

/// A request that carries a key.
#[derive(Debug, Clone)]
pub struct KeyedRequest {
    /// The project it works in.
    pub project: ProjectId,
    /// Whose it is: keys of different callers are different.
    pub caller: String,
    /// The key.
    pub key: String,
    /// SHA-256 of everything that makes it the same request.
    pub request: SecretHash,
}

/// An answer that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Its HTTP status.
    pub status: u16,
    /// Its type.
    pub content_type: Option<String>,
    /// Its body.
    pub body: Vec<u8>,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nothing: the caller of [`Store::claim_request`] is the one who carries the request out.
    New,
    /// The request was carried out.
    Answered(KeptAnswer),
    /// Somebody is carrying it out.
    Busy,
    /// The key belongs to another request.
    Different,
}

row! {
    struct Row {
        request: Vec<u8>,
        expires_at: i64,
        locked_until: i64,
        status: Option<i64>,
        content_type: Option<String>,
        body: Option<Vec<u8>>,
    }
}

impl Store {
    /// Claims a request for whoever calls first, on any replica. Whoever does not end it until `locked_until` is taken for
    /// dead, and a repetition may carry it out again.
    pub async fn claim_request(
        &self,
        request: &KeyedRequest,
        now: Timestamp,
        locked_until: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Claim, StoreError> {
        let mut tx = self.write().await?;
        let (now, locked, expires) = (micros(now), micros(locked_until), micros(expires_at));
        let (project, caller, key) = (request.project.as_str(), &request.caller, &request.key);
        let insert = "INSERT INTO idempotency (project_id, caller, key, request, expires_at, locked_until) \
                      VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        let made = execute!(tx, insert, project, caller, key, &request.request[..], expires, locked)
            .map_err(|e| e.of_project(&request.project))?;
        if made > 0 {
            tx.commit().await?;
            return Ok(Claim::New);
        }
        let select = tx.dialect(
            "SELECT request, expires_at, locked_until, status, content_type, body FROM idempotency \
             WHERE project_id = $1 AND caller = $2 AND key = $3",
            "SELECT request, expires_at, locked_until, status, content_type, body FROM idempotency \
             WHERE project_id = $1 AND caller = $2 AND key = $3 FOR UPDATE",
        );
        // The row that refused this one may be forgotten meanwhile; without a row no answer would be kept.
        let Some(row) = fetch!(fetch_optional, tx, Row, select, project, caller, key)? else { return Ok(Claim::Busy) };
        let claim = row.claim(request, now)?;
        if claim == Claim::New {
            let update = "UPDATE idempotency SET request = $4, expires_at = $5, locked_until = $6, status = NULL, \
                          content_type = NULL, body = NULL WHERE project_id = $1 AND caller = $2 AND key = $3";
            execute!(tx, update, project, caller, key, &request.request[..], expires, locked)?;
        }
        tx.commit().await?;
        Ok(claim)
    }

    /// Keeps the answer to a claimed request.
    pub async fn keep_answer(&self, request: &KeyedRequest, answer: &KeptAnswer) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let sql = "UPDATE idempotency SET status = $4, content_type = $5, body = $6 \
                   WHERE project_id = $1 AND caller = $2 AND key = $3";
        let (project, caller, key) = (request.project.as_str(), &request.caller, &request.key);
        let status = i64::from(answer.status);
        execute!(tx, sql, project, caller, key, status, answer.content_type.as_deref(), &answer.body[..])?;
        tx.commit().await
    }

    /// Forgets a claimed request that changed nothing.
    pub async fn forget_request(&self, request: &KeyedRequest) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let sql = "DELETE FROM idempotency WHERE project_id = $1 AND caller = $2 AND key = $3 AND status IS NULL";
        execute!(tx, sql, request.project.as_str(), &request.caller, &request.key)?;
        tx.commit().await
    }

    /// Removes what has expired.
    pub async fn remove_expired(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        delete_expired(&mut tx, micros(now)).await?;
        tx.commit().await
    }
}

async fn delete_expired(tx: &mut Tx, now: i64) -> Result<(), StoreError> {
    execute!(tx, "DELETE FROM idempotency WHERE expires_at <= $1", now)?;
    execute!(tx, "DELETE FROM sessions WHERE expires_at <= $1", now)?;
    Ok(())
}

impl Row {
    fn claim(self, request: &KeyedRequest, now: i64) -> Result<Claim, StoreError> {
        if self.expires_at <= now {
            return Ok(Claim::New);
        }
        if self.request != request.request {
            return Ok(Claim::Different);
        }
        match self.status {
            Some(status) => Ok(Claim::Answered(KeptAnswer {
                status: count(status)?,
                content_type: self.content_type,
                body: self.body.unwrap_or_default(),
            })),
            None if self.locked_until > now => Ok(Claim::Busy),
            None => Ok(Claim::New),
        }
    }
}
