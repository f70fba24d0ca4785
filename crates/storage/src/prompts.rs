//! The prompt registry: immutable versions, exactly one of each name active.

use llmops_domain::event::Event;
use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_domain::judge::BUILTIN_PREFIX;
use llmops_domain::prompt::{PromptSelector, PromptStatus, PromptVersion};
use semver::Version;

use crate::audit::{Change, record};
use crate::db::{
    Conn, Tx, check_hash_prefix, check_name, decode, encode, fetch, micros, only, prefix_end, retry_taken, row, time,
};
use crate::{Store, StoreError, events};

/// What became of a push.
#[derive(Debug, Clone, PartialEq)]
pub enum CreatedPrompt {
    /// A new version, as it is stored: the first version of a name is active.
    Created(PromptVersion),
    /// The same content was there already, perhaps under another number.
    Existing(PromptVersion),
}

impl CreatedPrompt {
    /// The stored version.
    pub fn into_version(self) -> PromptVersion {
        match self {
            Self::Created(version) | Self::Existing(version) => version,
        }
    }
}

/// The active version before and after an activation.
#[derive(Debug, Clone, PartialEq)]
pub struct Activation {
    /// Active until now.
    pub before: PromptVersion,
    /// Active from now on; equal to `before` when nothing changed.
    pub after: PromptVersion,
}

row! {
    struct PromptRow {
        status: String,
        is_active: bool,
        created_at: i64,
        document: String,
    }
}

impl PromptRow {
    fn into_version(self) -> Result<PromptVersion, StoreError> {
        let version: PromptVersion = decode("a prompt version", &self.document)?;
        let status = serde_json::Value::String(self.status);
        Ok(PromptVersion {
            status: serde_json::from_value(status)
                .map_err(|e| StoreError::Corrupt(format!("a prompt's status: {e}")))?,
            is_active: self.is_active,
            created_at: time(self.created_at)?,
            ..version
        })
    }
}

fn status_name(status: PromptStatus) -> &'static str {
    match status {
        PromptStatus::Draft => "draft",
        PromptStatus::Staging => "staging",
        PromptStatus::Production => "production",
    }
}

impl Store {
    /// Stores a version. The same content under any number is the version that is there already.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the number is taken by other content, or was before that was deleted.
    pub async fn create_prompt(
        &self,
        project: &ProjectId,
        prompt: &PromptVersion,
    ) -> Result<CreatedPrompt, StoreError> {
        check_name("the prompt's name", &prompt.name)?;
        let document = encode("the prompt", prompt)?;
        retry_taken(|| self.insert_prompt(project, prompt, &document)).await.map_err(|e| e.of_project(project))
    }

    async fn insert_prompt(
        &self,
        project: &ProjectId,
        prompt: &PromptVersion,
        document: &str,
    ) -> Result<CreatedPrompt, StoreError> {
        let mut tx = self.write().await?;
        let (id, name, number) = (project.as_str(), &prompt.name, prompt.version.to_string());
        let same = "SELECT status, is_active, created_at, document FROM prompt_versions \
                    WHERE project_id = $1 AND name = $2 AND hash = $3";
        if let Some(row) = fetch!(fetch_optional, tx, PromptRow, same, id, name, prompt.hash.as_str())? {
            return Ok(CreatedPrompt::Existing(row.into_version()?));
        }
        let taken = "SELECT hash FROM prompt_versions WHERE project_id = $1 AND name = $2 AND version = $3";
        if let Some((hash,)) = fetch!(fetch_optional, tx, (String,), taken, id, name, &number)? {
            return Err(StoreError::Conflict(format!(
                "{name}@{number} exists with other content ({}): give the new content another version",
                hash.get(..12).unwrap_or(&hash)
            )));
        }
        let (first, end) = references(name);
        let gone = read_deleted(fetch!(fetch_all, tx, (String,), DELETED, id, first, end)?)?;
        if let Some((_, hash)) = gone.iter().find(|(gone, hash)| *gone == prompt.version && *hash != prompt.hash) {
            return Err(StoreError::Conflict(format!(
                "{name}@{number} had other content ({}) before it was deleted: give the new content another version",
                hash.short()
            )));
        }
        let insert = "INSERT INTO prompt_versions \
                      (project_id, name, version, hash, status, is_active, created_at, document) \
                      SELECT $1, $2, $3, $4, $5, \
                      NOT EXISTS (SELECT 1 FROM prompt_versions WHERE project_id = $1 AND name = $2), $6, $7 \
                      RETURNING status, is_active, created_at, document";
        let (hash, status, at) = (prompt.hash.as_str(), status_name(prompt.status), micros(prompt.created_at));
        let row = fetch!(fetch_one, tx, PromptRow, insert, id, name, &number, hash, status, at, document)?;
        let created = row.into_version()?;
        let change = Change::new("prompt.created", reference(&created)).after(summary(&created));
        self.tell(tx, project, &change, (&created, "created")).await?;
        Ok(CreatedPrompt::Created(created))
    }

    /// The version that the selector names.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or [`StoreError::Ambiguous`] for a hash prefix that fits several versions.
    pub async fn get_prompt(
        &self,
        project: &ProjectId,
        name: &str,
        selector: &PromptSelector,
    ) -> Result<PromptVersion, StoreError> {
        let mut conn = self.read().await?;
        let row = match selector {
            PromptSelector::Active => active_row(&mut conn, project, name).await?,
            PromptSelector::Version(version) => version_row(&mut conn, project, name, version).await?,
            PromptSelector::Hash(prefix) => hash_row(&mut conn, project, name, prefix).await?,
        };
        row.into_version()
    }

    /// The version with exactly this content.
    pub async fn prompt_by_hash(
        &self,
        project: &ProjectId,
        name: &str,
        hash: &ContentHash,
    ) -> Result<Option<PromptVersion>, StoreError> {
        let sql = "SELECT status, is_active, created_at, document FROM prompt_versions \
                   WHERE project_id = $1 AND name = $2 AND hash = $3";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, PromptRow, sql, project.as_str(), name, hash.as_str())?;
        row.map(PromptRow::into_version).transpose()
    }

    /// All versions of a name, highest semantic version first; empty when there is no such prompt.
    pub async fn list_prompt_versions(
        &self,
        project: &ProjectId,
        name: &str,
    ) -> Result<Vec<PromptVersion>, StoreError> {
        let sql =
            "SELECT status, is_active, created_at, document FROM prompt_versions WHERE project_id = $1 AND name = $2";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, PromptRow, sql, project.as_str(), name)?;
        let mut versions = rows.into_iter().map(PromptRow::into_version).collect::<Result<Vec<_>, _>>()?;
        versions.sort_by(|a, b| b.version.cmp(&a.version));
        Ok(versions)
    }

    /// Versions of a name that were deleted, with what they held: a number never stands for two contents.
    pub async fn deleted_prompt_versions(
        &self,
        project: &ProjectId,
        name: &str,
    ) -> Result<Vec<(Version, ContentHash)>, StoreError> {
        let mut conn = self.read().await?;
        let (first, end) = references(name);
        read_deleted(fetch!(fetch_all, conn, (String,), DELETED, project.as_str(), first, end)?)
    }

    /// The active versions, by name, of names behind `after`.
    pub async fn list_prompts(
        &self,
        project: &ProjectId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<PromptVersion>, StoreError> {
        let sql = "SELECT status, is_active, created_at, document FROM prompt_versions \
                   WHERE project_id = $1 AND is_active AND name > $2 ORDER BY name LIMIT $3";
        let mut conn = self.read().await?;
        let after = after.unwrap_or_default();
        let rows = fetch!(fetch_all, conn, PromptRow, sql, project.as_str(), after, i64::from(limit))?;
        rows.into_iter().map(PromptRow::into_version).collect()
    }

    /// Makes a version the active one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn activate_prompt(
        &self,
        project: &ProjectId,
        name: &str,
        version: &Version,
    ) -> Result<Activation, StoreError> {
        retry_taken(|| self.move_active(project, name, version, None)).await
    }

    /// The same, if another version is active still.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] when `from` is not active any more.
    pub async fn activate_prompt_from(
        &self,
        project: &ProjectId,
        name: &str,
        version: &Version,
        from: &Version,
    ) -> Result<Activation, StoreError> {
        retry_taken(|| self.move_active(project, name, version, Some(from))).await
    }

    async fn move_active(
        &self,
        project: &ProjectId,
        name: &str,
        version: &Version,
        from: Option<&Version>,
    ) -> Result<Activation, StoreError> {
        let mut tx = self.write().await?;
        let id = project.as_str();
        lock_prompt(&mut tx, project, name).await?;
        let off = "UPDATE prompt_versions SET is_active = FALSE WHERE project_id = $1 AND name = $2 AND is_active \
                   RETURNING status, is_active, created_at, document";
        let before = fetch!(fetch_optional, tx, PromptRow, off, id, name)?;
        let on = "UPDATE prompt_versions SET is_active = TRUE WHERE project_id = $1 AND name = $2 AND version = $3 \
                  RETURNING status, is_active, created_at, document";
        let after = fetch!(fetch_optional, tx, PromptRow, on, id, name, version.to_string())?;
        let (Some(before), Some(after)) = (before, after) else {
            tx.rollback().await?;
            return Err(StoreError::not_found("prompt version", format!("{name}@{version}")));
        };
        let before = PromptVersion { is_active: true, ..before.into_version()? };
        let after = after.into_version()?;
        if from.is_some_and(|from| *from != before.version) {
            tx.rollback().await?;
            return Err(StoreError::Conflict(format!("{name}@{} is the active version now", before.version)));
        }
        if before.version == after.version {
            tx.commit().await?;
        } else {
            let change = Change::new("prompt.activated", name).before(summary(&before)).after(summary(&after));
            self.tell(tx, project, &change, (&after, "activated")).await?;
        }
        Ok(Activation { before, after })
    }

    /// Deletes a version.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] for the active version; [`StoreError::NotFound`].
    pub async fn delete_prompt(&self, project: &ProjectId, name: &str, version: &Version) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        lock_prompt(&mut tx, project, name).await?;
        let sql = "DELETE FROM prompt_versions WHERE project_id = $1 AND name = $2 AND version = $3 AND NOT is_active \
                   RETURNING status, is_active, created_at, document";
        let deleted = fetch!(fetch_optional, tx, PromptRow, sql, project.as_str(), name, version.to_string())?;
        if let Some(row) = deleted {
            // The whole version: it is nowhere else from now on.
            let version = row.into_version()?;
            let change = Change::new("prompt.deleted", reference(&version)).before(&version);
            return self.tell(tx, project, &change, (&version, "deleted")).await;
        }
        tx.rollback().await?;
        // Absent, or active: reading it tells.
        self.get_prompt(project, name, &PromptSelector::Version(version.clone())).await?;
        Err(StoreError::Conflict(format!("{name}@{version} is the active version: activate another one first")))
    }

    /// Ends a transaction that changed a version: with the record of the change, and the event that tells of it.
    async fn tell(
        &self,
        mut tx: Tx,
        project: &ProjectId,
        change: &Change,
        (version, action): (&PromptVersion, &str),
    ) -> Result<(), StoreError> {
        record(&mut tx, self.actor(), project, change).await?;
        // Nobody did anything: each build brings its own.
        if version.name.starts_with(BUILTIN_PREFIX) {
            return tx.commit().await;
        }
        let event = Event::Prompt {
            prompt: version.name.clone(),
            version: version.version.to_string(),
            action: action.to_owned(),
        };
        events::append(&mut tx, project, llmops_domain::clock::now(), &event).await?;
        tx.commit().await?;
        self.tell_events();
        Ok(())
    }
}

fn reference(version: &PromptVersion) -> String {
    format!("{}@{}", version.name, version.version)
}

/// What a record of changes says of a version that can be looked up.
fn summary(version: &PromptVersion) -> serde_json::Value {
    serde_json::json!({"version": version.version, "hash": version.hash, "is_active": version.is_active})
}

/// Lets one transaction at a time move the active mark of a prompt. SQLite has one writer anyway.
async fn lock_prompt(tx: &mut Tx, project: &ProjectId, name: &str) -> Result<(), StoreError> {
    let sql = tx.dialect(
        "SELECT version FROM prompt_versions WHERE project_id = $1 AND name = $2",
        "SELECT version FROM prompt_versions WHERE project_id = $1 AND name = $2 ORDER BY version FOR UPDATE",
    );
    fetch!(fetch_all, tx, (String,), sql, project.as_str(), name).map(drop)
}

/// What the record of changes says of deleted versions of a name, whose references are from `$2` to `$3`. There is an index for it.
const DELETED: &str = "SELECT before FROM audit WHERE project_id = $1 AND action = 'prompt.deleted' \
                       AND target >= $2 AND target < $3";

/// Between what the references to versions of a name are.
fn references(name: &str) -> (String, String) {
    let first = format!("{name}@");
    let end = prefix_end(&first);
    (first, end)
}

fn read_deleted(rows: Vec<(String,)>) -> Result<Vec<(Version, ContentHash)>, StoreError> {
    #[derive(serde::Deserialize)]
    struct Deleted {
        version: Version,
        hash: ContentHash,
    }
    let read = |(before,): (String,)| decode::<Deleted>("a deleted prompt version", &before);
    rows.into_iter().map(|row| read(row).map(|deleted| (deleted.version, deleted.hash))).collect()
}

async fn active_row(conn: &mut Conn, project: &ProjectId, name: &str) -> Result<PromptRow, StoreError> {
    let sql = "SELECT status, is_active, created_at, document FROM prompt_versions \
               WHERE project_id = $1 AND name = $2 AND is_active";
    let row = fetch!(fetch_optional, conn, PromptRow, sql, project.as_str(), name)?;
    row.ok_or_else(|| StoreError::not_found("prompt", name))
}

async fn version_row(
    conn: &mut Conn,
    project: &ProjectId,
    name: &str,
    version: &Version,
) -> Result<PromptRow, StoreError> {
    let sql = "SELECT status, is_active, created_at, document FROM prompt_versions \
               WHERE project_id = $1 AND name = $2 AND version = $3";
    let row = fetch!(fetch_optional, conn, PromptRow, sql, project.as_str(), name, version.to_string())?;
    row.ok_or_else(|| StoreError::not_found("prompt version", format!("{name}@{version}")))
}

async fn hash_row(conn: &mut Conn, project: &ProjectId, name: &str, prefix: &str) -> Result<PromptRow, StoreError> {
    check_hash_prefix(prefix)?;
    let sql = "SELECT status, is_active, created_at, document FROM prompt_versions \
               WHERE project_id = $1 AND name = $2 AND hash >= $3 AND hash < $4 LIMIT 2";
    let rows = fetch!(fetch_all, conn, PromptRow, sql, project.as_str(), name, prefix, prefix_end(prefix))?;
    only(rows, "prompt version", &format!("{name}@{prefix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn deleted_versions_are_found_by_their_index() {
        let store = Store::in_memory().await.unwrap();
        let mut conn = store.read().await.unwrap();
        let sql = || sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {DELETED}"));
        let (first, end) = references("p");
        let plan = fetch!(fetch_all, conn, (i64, i64, i64, String), sql(), "default", first, end).unwrap();
        assert!(plan.len() == 1 && plan[0].3.contains("audit_deleted_prompts (project_id=? AND target>?"), "{plan:?}");
    }
}
