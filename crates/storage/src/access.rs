//! Keys, projects and sessions of the dashboard.

use jiff::Timestamp;
use llmops_domain::access::{ApiKey, Project, Role};
use llmops_domain::id::{KeyId, ProjectId};
use llmops_domain::limits::Limits;

use crate::audit::{Change, record};
use crate::db::{Tx, check_name, decode, encode, execute, fetch, micros, row, time};
use crate::news::tell;
use crate::{Store, StoreError};

/// The topic of the news about keys.
const TOPIC: &str = "access";

/// SHA-256 of a secret.
pub type SecretHash = [u8; 32];

/// A key with the hash of its secret.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredKey {
    /// The key.
    pub key: ApiKey,
    /// SHA-256 of its secret.
    pub hash: SecretHash,
}

row! {
    struct KeyRow {
        id: String,
        project_id: String,
        name: String,
        role: String,
        prefix: String,
        hash: Vec<u8>,
        created_at: i64,
        created_by: String,
        expires_at: Option<i64>,
        revoked_at: Option<i64>,
        last_used_at: Option<i64>,
        limits: String,
    }
}

impl KeyRow {
    fn into_stored(self) -> Result<StoredKey, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt(format!("the {what} of the key {}", self.id));
        let role: Role = self.role.parse().map_err(|_| corrupt("role"))?;
        let hash = self.hash.try_into().map_err(|_| StoreError::Corrupt("a key's hash".to_owned()))?;
        let key = ApiKey {
            id: KeyId(self.id),
            name: self.name,
            project: ProjectId(self.project_id),
            role,
            prefix: self.prefix,
            created_at: time(self.created_at)?,
            created_by: self.created_by,
            expires_at: self.expires_at.map(time).transpose()?,
            revoked_at: self.revoked_at.map(time).transpose()?,
            last_used_at: self.last_used_at.map(time).transpose()?,
            limits: decode("a key's limits", &self.limits)?,
        };
        Ok(StoredKey { key, hash })
    }
}

row! {
    struct ProjectRow {
        project_id: String,
        name: String,
        created_at: i64,
    }
}

impl ProjectRow {
    fn into_project(self) -> Result<Project, StoreError> {
        Ok(Project { id: ProjectId(self.project_id), name: self.name, created_at: time(self.created_at)? })
    }
}

impl Store {
    /// Stores a key.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such project; [`StoreError::Conflict`] when the secret is taken.
    pub async fn create_key(&self, stored: &StoredKey) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        changed(&mut tx).await?;
        self.insert_key(&mut tx, stored).await?;
        tx.commit().await
    }

    /// Stores the first key of an installation. False: it has keys already, and nothing was stored.
    pub async fn create_first_key(&self, stored: &StoredKey) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        // It locks the row, so that of replicas that start together one makes the key.
        changed(&mut tx).await?;
        let (keys,) = fetch!(fetch_one, tx, (i64,), "SELECT COUNT(*) FROM api_keys")?;
        if keys > 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        self.insert_key(&mut tx, stored).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn insert_key(&self, tx: &mut Tx, stored: &StoredKey) -> Result<(), StoreError> {
        let key = &stored.key;
        check_name("the key's name", &key.name)?;
        let sql = "INSERT INTO api_keys \
                   (id, project_id, name, role, prefix, hash, created_at, created_by, expires_at, limits) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let limits = encode("a key's limits", &key.limits)?;
        execute!(
            tx,
            sql,
            key.id.as_str(),
            key.project.as_str(),
            &key.name,
            key.role.as_str(),
            &key.prefix,
            &stored.hash[..],
            micros(key.created_at),
            &key.created_by,
            key.expires_at.map(micros),
            &*limits
        )
        .map_err(|e| {
            if e.is_unique_violation() {
                return StoreError::Conflict("a key with this secret exists already".to_owned());
            }
            e.of_project(&key.project)
        })?;
        let change = Change::new("key.created", key.id.as_str()).after(key);
        record(tx, self.actor(), &key.project, &change).await
    }

    /// Keys of a project in the order of their making, behind the id `after`.
    pub async fn list_keys(
        &self,
        project: &ProjectId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ApiKey>, StoreError> {
        let sql = "SELECT * FROM api_keys WHERE project_id = $1 AND id > $2 ORDER BY id LIMIT $3";
        let mut conn = self.read().await?;
        let (project, after) = (project.as_str(), after.unwrap_or_default());
        let rows = fetch!(fetch_all, conn, KeyRow, sql, project, after, i64::from(limit))?;
        rows.into_iter().map(|row| Ok(row.into_stored()?.key)).collect()
    }

    /// One key.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn get_key(&self, project: &ProjectId, id: &str) -> Result<ApiKey, StoreError> {
        let sql = "SELECT * FROM api_keys WHERE project_id = $1 AND id = $2";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, KeyRow, sql, project.as_str(), id)?;
        Ok(row.ok_or_else(|| StoreError::not_found("key", id))?.into_stored()?.key)
    }

    /// Makes a key useless, and answers with it. A revoked key stays as it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn revoke_key(&self, project: &ProjectId, id: &KeyId, at: Timestamp) -> Result<ApiKey, StoreError> {
        let mut tx = self.write().await?;
        changed(&mut tx).await?;
        let get = "SELECT * FROM api_keys WHERE project_id = $1 AND id = $2";
        let row = fetch!(fetch_optional, tx, KeyRow, get, project.as_str(), id.as_str())?;
        let before = row.ok_or_else(|| StoreError::not_found("key", id.as_str()))?.into_stored()?.key;
        if before.revoked_at.is_some() {
            tx.rollback().await?;
            return Ok(before);
        }
        execute!(tx, "UPDATE api_keys SET revoked_at = $1 WHERE id = $2", micros(at), id.as_str())?;
        execute!(tx, "DELETE FROM sessions WHERE key_id = $1", id.as_str())?;
        let after = ApiKey { revoked_at: Some(at), ..before.clone() };
        let change = Change::new("key.revoked", id.as_str()).before(&before).after(&after);
        record(&mut tx, self.actor(), project, &change).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// Sets what may be spent with a key, and answers with it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn limit_key(&self, project: &ProjectId, id: &str, limits: &Limits) -> Result<ApiKey, StoreError> {
        let mut tx = self.write().await?;
        changed(&mut tx).await?;
        let get = "SELECT * FROM api_keys WHERE project_id = $1 AND id = $2";
        let row = fetch!(fetch_optional, tx, KeyRow, get, project.as_str(), id)?;
        let before = row.ok_or_else(|| StoreError::not_found("key", id))?.into_stored()?.key;
        let text = encode("a key's limits", limits)?;
        execute!(tx, "UPDATE api_keys SET limits = $1 WHERE id = $2", &*text, id)?;
        let after = ApiKey { limits: limits.clone(), ..before.clone() };
        let change = Change::new("key.limited", id).before(&before).after(&after);
        record(&mut tx, self.actor(), project, &change).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// The key with this hash, whether it works or not.
    pub async fn key_by_hash(&self, hash: &SecretHash) -> Result<Option<ApiKey>, StoreError> {
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, KeyRow, "SELECT * FROM api_keys WHERE hash = $1", &hash[..])?;
        row.map(|row| Ok(row.into_stored()?.key)).transpose()
    }

    /// All keys that are not revoked, of all projects, and the version of this state.
    pub async fn live_keys(&self) -> Result<(i64, Vec<StoredKey>), StoreError> {
        // The version first: what changes after it is read again.
        let version = self.access_version().await?;
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, KeyRow, "SELECT * FROM api_keys WHERE revoked_at IS NULL")?;
        Ok((version, rows.into_iter().map(KeyRow::into_stored).collect::<Result<_, _>>()?))
    }

    /// Counts up with every change of keys.
    pub async fn access_version(&self) -> Result<i64, StoreError> {
        let mut conn = self.read().await?;
        Ok(fetch!(fetch_one, conn, (i64,), "SELECT version FROM access_version")?.0)
    }

    /// News about changes of keys.
    pub async fn access_news(&self) -> Result<crate::News, StoreError> {
        self.news(TOPIC).await
    }

    /// Notes when keys were used last.
    pub async fn touch_keys(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        // In one order, because replicas lock the rows.
        let mut uses: Vec<_> = uses.iter().collect();
        uses.sort();
        let mut tx = self.write().await?;
        let sql = "UPDATE api_keys SET last_used_at = $1 \
                   WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $1)";
        for (id, at) in uses {
            execute!(tx, sql, micros(*at), id.as_str())?;
        }
        tx.commit().await
    }

    /// Makes a project.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it exists.
    pub async fn create_project(&self, project: &Project) -> Result<(), StoreError> {
        check_name("the project id", project.id.as_str())?;
        check_name("the project name", &project.name)?;
        let mut tx = self.write().await?;
        let sql = "INSERT INTO projects (project_id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let made = execute!(tx, sql, project.id.as_str(), &project.name, micros(project.created_at))?;
        if made == 0 {
            tx.rollback().await?;
            return Err(StoreError::Conflict(format!("the project `{}` exists already", project.id)));
        }
        let change = Change::new("project.created", project.id.as_str()).after(project);
        record(&mut tx, self.actor(), &project.id, &change).await?;
        tx.commit().await
    }

    /// Projects by id, behind the id `after`.
    pub async fn list_projects(&self, after: Option<&str>, limit: u32) -> Result<Vec<Project>, StoreError> {
        let sql = "SELECT project_id, name, created_at FROM projects WHERE project_id > $1 \
                   ORDER BY project_id LIMIT $2";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, ProjectRow, sql, after.unwrap_or_default(), i64::from(limit))?;
        rows.into_iter().map(ProjectRow::into_project).collect()
    }

    /// One project.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn get_project(&self, id: &ProjectId) -> Result<Project, StoreError> {
        let sql = "SELECT project_id, name, created_at FROM projects WHERE project_id = $1";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, ProjectRow, sql, id.as_str())?;
        row.ok_or_else(|| StoreError::not_found("project", id.as_str()))?.into_project()
    }

    /// Begins a session of the dashboard.
    pub async fn create_session(&self, hash: &SecretHash, key: &ApiKey, until: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let now = llmops_domain::clock::now();
        execute!(tx, "DELETE FROM sessions WHERE expires_at <= $1", micros(now))?;
        let sql = "INSERT INTO sessions (hash, project_id, key_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)";
        let (project, id) = (key.project.as_str(), key.id.as_str());
        execute!(tx, sql, &hash[..], project, id, micros(now), micros(until))?;
        tx.commit().await
    }

    /// The key that a session works with, and when the session ends.
    pub async fn session(&self, hash: &SecretHash, now: Timestamp) -> Result<Option<(ApiKey, Timestamp)>, StoreError> {
        let mut conn = self.read().await?;
        let sql = "SELECT key_id, expires_at FROM sessions WHERE hash = $1 AND expires_at > $2";
        let Some((id, until)) = fetch!(fetch_optional, conn, (String, i64), sql, &hash[..], micros(now))? else {
            return Ok(None);
        };
        let row = fetch!(fetch_optional, conn, KeyRow, "SELECT * FROM api_keys WHERE id = $1", id)?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some((row.into_stored()?.key, time(until)?)))
    }

    /// Ends a session.
    pub async fn delete_session(&self, hash: &SecretHash) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        execute!(tx, "DELETE FROM sessions WHERE hash = $1", &hash[..])?;
        tx.commit().await
    }
}

/// Counts the version of the keys up, and tells the other replicas.
async fn changed(tx: &mut Tx) -> Result<(), StoreError> {
    execute!(tx, "UPDATE access_version SET version = version + 1")?;
    tell(tx, TOPIC, "").await
}
