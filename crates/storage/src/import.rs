//! Imports: the samples of a version are staged in batches, then made a version at once.

use std::collections::{BTreeMap, HashSet};

use futures::TryStreamExt as _;
use jiff::SignedDuration;
use llmops_domain::dataset::{DatasetType, DatasetVersion, Sample};
use llmops_domain::event::Event;
use llmops_domain::hash::ContentHash;
use llmops_domain::id::{DatasetId, ProjectId};
use sha2::{Digest, Sha256};

use crate::audit::{Change, record};
use crate::bulk::{Insert, insert_rows};
use crate::datasets::{VERSION, VersionRow};
use crate::db::{Pools, Raw, Tx, check_name, encode, execute, fetch, hash_bytes, micros, prose};
use crate::{Store, StoreError, events};

/// Samples of one commit: many, because each commit writes most pages of the index of hashes.
const BATCH_ROWS: usize = 8192;
/// Bytes of one commit, where samples are large.
const BATCH_BYTES: usize = 8 << 20;
/// An import without a commit for so long was killed.
const STALE: SignedDuration = SignedDuration::from_hours(1);
/// Rows deleted per transaction, so that other writers get their turn.
const DELETE_ROWS: i64 = 50_000;

const VERSION_HASH: &str = "SELECT hash FROM dataset_versions WHERE key = $1";
const INSERT_SAMPLES: Insert =
    Insert { head: "INSERT INTO samples (project_id, hash, body) VALUES", columns: 3, tail: "ON CONFLICT DO NOTHING" };
const INSERT_MEMBERS: Insert = Insert {
    head: "INSERT INTO dataset_version_samples (version_key, ordinal, project_id, sample_id, category, hash) VALUES",
    columns: 6,
    tail: "",
};

/// Which version must be the dataset's newest when another one takes its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Replaces {
    /// Whichever is.
    #[default]
    Any,
    /// None: the dataset must not exist.
    Nothing,
    /// This one.
    Version(ContentHash),
}

/// An import under way. Nothing of it is visible before [`Import::finish`]; dropping it removes what was staged.
#[derive(Debug)]
pub struct Import {
    store: Store,
    project: ProjectId,
    name: String,
    kind: DatasetType,
    description: Option<String>,
    replaces: Replaces,
    key: i64,
    /// Samples committed so far.
    committed: i64,
    categories: BTreeMap<String, u64>,
    batch: Vec<Staged>,
    batch_bytes: usize,
    /// Whether nothing is staged any more.
    over: bool,
}

/// A sample as its row.
#[derive(Debug)]
struct Staged {
    ordinal: i64,
    sample_id: String,
    category: String,
    hash: Vec<u8>,
    body: String,
}

impl Store {
    /// Begins to import a version of a dataset, which is created (or its type and description changed) at the end.
    pub async fn begin_import(
        &self,
        project: &ProjectId,
        name: &str,
        kind: DatasetType,
        description: Option<&str>,
    ) -> Result<Import, StoreError> {
        check_name("the dataset name", name)?;
        let now = micros(llmops_domain::clock::now());
        let mut tx = self.write().await?;
        let sql = "INSERT INTO dataset_versions (project_id, created_at, touched_at) VALUES ($1, $2, $2) RETURNING key";
        let (key,) = fetch!(fetch_one, tx, (i64,), sql, project.as_str(), now).map_err(|e| e.of_project(project))?;
        tx.commit().await?;
        Ok(Import {
            store: self.clone(),
            project: project.clone(),
            name: name.to_owned(),
            kind,
            description: description.map(prose),
            replaces: Replaces::Any,
            key,
            committed: 0,
            categories: BTreeMap::new(),
            batch: Vec::new(),
            batch_bytes: 0,
            over: false,
        })
    }

    /// Removes what killed imports left.
    pub(crate) async fn remove_stale_imports(&self) -> Result<(), StoreError> {
        let before = micros(llmops_domain::clock::now() - STALE);
        let sql = "SELECT key FROM dataset_versions WHERE dataset_id IS NULL AND touched_at < $1";
        let stale = {
            let mut conn = self.pools().write_conn().await?;
            fetch!(fetch_all, conn, (i64,), sql, before)?
        };
        for (key,) in stale {
            remove_staged(self.pools(), key).await?;
        }
        Ok(())
    }
}

impl Import {
    /// The samples are those of this version, edited, or the first ones: where another one is the dataset's newest when the
    /// import is finished, it is refused instead of undoing what was changed meanwhile.
    pub fn replacing(&mut self, replaces: Replaces) {
        self.replaces = replaces;
    }

    /// Adds samples, each with [`Sample::hash`], in the order they shall have. Slices of any length will do.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a sample id was there already; [`StoreError::Invalid`] for an id or category with a NUL
    /// character. The import cannot be finished then.
    pub async fn push(&mut self, samples: &[(Sample, ContentHash)]) -> Result<(), StoreError> {
        for (sample, hash) in samples {
            let staged = self.stage(sample, hash)?;
            self.batch_bytes += staged.body.len();
            self.batch.push(staged);
            if self.batch.len() >= BATCH_ROWS || self.batch_bytes >= BATCH_BYTES {
                self.commit_batch().await?;
            }
        }
        Ok(())
    }

    fn stage(&mut self, sample: &Sample, hash: &ContentHash) -> Result<Staged, StoreError> {
        let category = sample.category.as_deref().unwrap_or_default();
        check_name("the sample id", &sample.id)?;
        check_name("the category", category)?;
        if let Some(n) = self.categories.get_mut(category) {
            *n += 1;
        } else {
            self.categories.insert(category.to_owned(), 1);
        }
        let body = serde_json::to_string(sample)
            .map_err(|e| StoreError::Invalid(format!("sample `{}` has no JSON form: {e}", sample.id)))?;
        Ok(Staged {
            ordinal: self.committed + i64::try_from(self.batch.len()).unwrap_or(i64::MAX),
            sample_id: sample.id.clone(),
            category: category.to_owned(),
            hash: hash_bytes(hash)?,
            body,
        })
    }

    async fn commit_batch(&mut self) -> Result<(), StoreError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut tx = self.store.write().await?;
        if let Err(error) = self.write_batch(&mut tx).await {
            tx.rollback().await?;
            return Err(if error.is_unique_violation() { self.name_duplicate(error).await? } else { error });
        }
        tx.commit().await?;
        self.committed += i64::try_from(self.batch.len()).unwrap_or(i64::MAX);
        self.batch.clear();
        self.batch_bytes = 0;
        Ok(())
    }

    async fn write_batch(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let project = self.project.as_str();
        let members = &self.batch;
        insert_rows!(
            tx,
            INSERT_MEMBERS,
            members,
            |row| self.key,
            row.ordinal,
            project,
            &row.sample_id,
            &row.category,
            &row.hash
        )
        .await?;
        // In the order of the index: neighbours share pages, and concurrent imports lock in one order.
        let mut by_hash: Vec<&Staged> = self.batch.iter().collect();
        by_hash.sort_unstable_by(|a, b| a.hash.cmp(&b.hash));
        insert_rows!(tx, INSERT_SAMPLES, &by_hash, |row| project, &row.hash, &row.body).await?;
        let sql = "UPDATE dataset_versions SET sample_count = sample_count + $2, touched_at = $3 \
                   WHERE key = $1 AND dataset_id IS NULL AND touched_at >= 0";
        let added = i64::try_from(self.batch.len()).unwrap_or(i64::MAX);
        match execute!(tx, sql, self.key, added, micros(llmops_domain::clock::now()))? {
            0 => Err(was_removed()),
            _ => Ok(()),
        }
    }

    /// Finds the sample id that the database refused.
    async fn name_duplicate(&self, error: StoreError) -> Result<StoreError, StoreError> {
        let mut seen = HashSet::new();
        let mut conn = self.store.read().await?;
        for row in &self.batch {
            let sql = "SELECT ordinal FROM dataset_version_samples WHERE version_key = $1 AND sample_id = $2";
            let stored = fetch!(fetch_optional, conn, (i64,), sql, self.key, &row.sample_id)?;
            if stored.is_some() || !seen.insert(&row.sample_id) {
                return Ok(StoreError::Conflict(format!(
                    "sample id `{}` occurs twice: ids are unique in a dataset version",
                    row.sample_id
                )));
            }
        }
        Ok(error)
    }

    /// Makes the samples a version and the dataset's newest. True when the version is new; when the same samples were
    /// imported before, that version becomes the newest again and the staged rows are dropped.
    ///
    /// # Errors
    /// Those of [`Import::push`] for the last batch; [`StoreError::Conflict`] when it is [`replacing`](Import::replacing) a
    /// version that is not the newest any more.
    pub async fn finish(mut self) -> Result<(DatasetVersion, bool), StoreError> {
        self.commit_batch().await?;
        let hash = self.hash_of_set().await?;
        let (row, created) = crate::db::retry_taken(|| self.publish(&hash)).await?;
        if !created {
            remove_staged(self.store.pools(), self.key).await?;
        }
        self.over = true;
        Ok((row.into_version()?, created))
    }

    /// [`ContentHash::of_set`] of the staged hashes, sorted by the database.
    async fn hash_of_set(&self) -> Result<ContentHash, StoreError> {
        let sql = "SELECT hash FROM dataset_version_samples WHERE version_key = $1 ORDER BY hash";
        let mut digest = Sha256::new();
        let mut first = true;
        let mut add = |(hash,): (Vec<u8>,)| {
            if !std::mem::take(&mut first) {
                digest.update(b"\n");
            }
            digest.update(hex::encode(hash));
        };
        let mut conn = self.store.read().await?;
        match conn.raw() {
            Raw::Sqlite(c) => {
                let mut rows = sqlx::query_as(sql).bind(self.key).fetch(c);
                while let Some(row) = rows.try_next().await? {
                    add(row);
                }
            }
            Raw::Postgres(c) => {
                let mut rows = sqlx::query_as(sql).bind(self.key).fetch(c);
                while let Some(row) = rows.try_next().await? {
                    add(row);
                }
            }
        }
        let text = hex::encode(digest.finalize());
        ContentHash::parse(&text).ok_or_else(|| StoreError::Corrupt(text))
    }

    /// Points the dataset to the staged version, or to the version that is the same.
    async fn publish(&self, hash: &ContentHash) -> Result<(VersionRow, bool), StoreError> {
        let now = micros(llmops_domain::clock::now());
        let mut tx = self.store.write().await?;
        let sql = tx.dialect(
            "SELECT id, current_version FROM datasets WHERE project_id = $1 AND name = $2",
            "SELECT id, current_version FROM datasets WHERE project_id = $1 AND name = $2 FOR UPDATE",
        );
        let dataset = fetch!(fetch_optional, tx, (String, i64), sql, self.project.as_str(), &self.name)?;
        let before = match &dataset {
            Some((_, current)) => {
                fetch!(fetch_optional, tx, (Option<String>,), VERSION_HASH, *current)?.and_then(|(hash,)| hash)
            }
            None => None,
        };
        if let Err(changed) = self.check_replaced(before.as_deref()) {
            tx.rollback().await?;
            return Err(changed);
        }
        let (id, current) = match dataset {
            Some((id, current)) => (id, Some(current)),
            None => (self.insert_dataset(&mut tx, now).await?, None),
        };
        let sql = "SELECT key FROM dataset_versions WHERE dataset_id = $1 AND hash = $2";
        let same = fetch!(fetch_optional, tx, (i64,), sql, &id, hash.as_str())?;
        if same.is_none() {
            self.name_version(&mut tx, &id, hash, now).await?;
        }
        let key = same.map_or(self.key, |(key,)| key);
        let sql = "UPDATE datasets SET kind = $2, description = COALESCE($3, description), current_version = $4, \
                   updated_at = CASE WHEN $5 THEN updated_at ELSE $6 END WHERE id = $1";
        let description = self.description.as_deref();
        execute!(tx, sql, &id, self.kind.as_str(), description, key, current == Some(key), now)?;
        let row = fetch!(fetch_one, tx, VersionRow, VERSION, key)?;
        if current != Some(key) {
            let change = Change::new("dataset.imported", &self.name)
                .before(before.map(|hash| serde_json::json!({"version": hash})))
                .after(serde_json::json!({"version": hash, "created": same.is_none()}));
            record(&mut tx, self.store.actor(), &self.project, &change).await?;
            let event = Event::Dataset { dataset: self.name.clone(), version: hash.as_str().to_owned() };
            events::append(&mut tx, &self.project, llmops_domain::clock::now(), &event).await?;
        }
        tx.commit().await?;
        self.store.tell_events();
        Ok((row, same.is_none()))
    }

    fn check_replaced(&self, current: Option<&str>) -> Result<(), StoreError> {
        let expected = match &self.replaces {
            Replaces::Any => return Ok(()),
            Replaces::Nothing => None,
            Replaces::Version(edited) => Some(edited.as_str()),
        };
        if current == expected {
            return Ok(());
        }
        let short = |hash: Option<&'_ str>| hash.map_or("none", |hash| hash.get(..12).unwrap_or(hash)).to_owned();
        Err(StoreError::Conflict(format!(
            "the dataset `{}` was changed meanwhile: its version is {}, not {}; nothing was written",
            self.name,
            short(current),
            short(expected)
        )))
    }

    async fn insert_dataset(&self, tx: &mut Tx, now: i64) -> Result<String, StoreError> {
        let id = DatasetId::new(now / 1000, rand::random());
        let sql = "INSERT INTO datasets (project_id, name, id, kind, current_version, created_at, updated_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $6)";
        execute!(tx, sql, self.project.as_str(), &self.name, id.as_str(), self.kind.as_str(), self.key, now)?;
        Ok(id.0)
    }

    async fn name_version(&self, tx: &mut Tx, dataset: &str, hash: &ContentHash, now: i64) -> Result<(), StoreError> {
        let sql = "UPDATE dataset_versions SET dataset_id = $2, hash = $3, categories = $4, created_at = $5 \
                   WHERE key = $1 AND dataset_id IS NULL AND touched_at >= 0";
        let categories = encode("the categories", &self.categories)?;
        match execute!(tx, sql, self.key, dataset, hash.as_str(), categories, now)? {
            0 => Err(was_removed()),
            _ => Ok(()),
        }
    }

    /// Removes what was staged. Dropping the import does the same in the background.
    ///
    /// # Errors
    /// When the store is unavailable; the rows go the next time the store is opened, an hour later or more.
    pub async fn abort(mut self) -> Result<(), StoreError> {
        self.over = true;
        remove_staged(self.store.pools(), self.key).await
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        // Without a runtime, the rows go the next time the store is opened, an hour later or more.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (pools, key) = (self.store.pools().clone(), self.key);
            runtime.spawn(async move {
                if let Err(error) = remove_staged(&pools, key).await {
                    tracing::warn!(%error, "the rows of an abandoned import stay until the store is opened again");
                }
            });
        }
    }
}

fn was_removed() -> StoreError {
    StoreError::Conflict("the import stood still for more than an hour and was removed: import again".to_owned())
}

/// Deletes the rows of an unfinished version in steps. The mark comes first: whatever interrupts the deletion, the import
/// cannot be finished any more, and the next opening of the store goes on with it. The bodies stay, to be used by the next
/// import: other versions may share them.
async fn remove_staged(pools: &Pools, key: i64) -> Result<(), StoreError> {
    let mut tx = pools.write().await?;
    let marked =
        execute!(tx, "UPDATE dataset_versions SET touched_at = -1 WHERE key = $1 AND dataset_id IS NULL", key)?;
    let sql = "SELECT COALESCE(MAX(ordinal), -1) FROM dataset_version_samples WHERE version_key = $1";
    let (last,) = fetch!(fetch_one, tx, (i64,), sql, key)?;
    tx.commit().await?;
    if marked == 0 {
        return Ok(());
    }
    let mut end = 0;
    while end <= last {
        end += DELETE_ROWS;
        let mut tx = pools.write().await?;
        execute!(tx, "DELETE FROM dataset_version_samples WHERE version_key = $1 AND ordinal < $2", key, end)?;
        tx.commit().await?;
    }
    let mut tx = pools.write().await?;
    execute!(tx, "DELETE FROM dataset_versions WHERE key = $1", key)?;
    tx.commit().await
}
