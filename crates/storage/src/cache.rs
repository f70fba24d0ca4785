//! The response cache: answers by the hash of what was asked.

use std::collections::{BTreeMap, HashMap};

use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;

use crate::bulk::{Insert, insert_rows};
use crate::db::{Conn, Raw, Tx, big, fetch, hash_bytes, micros};
use crate::{CacheLimits, Store, StoreError};

/// Keys of one look-up. Fewer are filled up, so that one prepared statement serves any number.
const LOOKED_UP: usize = 64;

/// An answer as its row.
pub(crate) struct CacheRow {
    project: String,
    hash: Vec<u8>,
    created_at: i64,
    /// Bytes, not text: an answer may hold NUL.
    pub(crate) body: Vec<u8>,
    /// Whether it takes the place of an answer that is there.
    replaces: bool,
}

impl Store {
    /// The cached answers for many keys; keys without one are left out.
    pub async fn cache_get_many(
        &self,
        project: &ProjectId,
        keys: &[ContentHash],
    ) -> Result<HashMap<ContentHash, String>, StoreError> {
        let mut found = HashMap::new();
        let hashes = keys.iter().map(hash_bytes).collect::<Result<Vec<_>, _>>()?;
        let mut conn = self.read().await?;
        for (keys, hashes) in keys.chunks(LOOKED_UP).zip(hashes.chunks(LOOKED_UP)) {
            for (hash, body) in fetch_many(&mut conn, project, hashes).await? {
                let body = String::from_utf8(body).map_err(|e| StoreError::Corrupt(format!("a cached answer: {e}")))?;
                if let Some(at) = hashes.iter().position(|known| *known == hash) {
                    found.insert(keys[at].clone(), body);
                }
            }
        }
        Ok(found)
    }

    /// Hands an answer to the writer, which stores it with the next commit. Waits only while the writer's queue is full.
    /// The first answer of a key stays. A write that fails is logged; the cache is allowed to forget.
    pub async fn cache_put(&self, project: &ProjectId, key: &ContentHash, body: String) {
        self.cache_write(project, key, body, false).await;
    }

    /// Like [`cache_put`](Self::cache_put), but what was known of the key goes.
    pub async fn cache_replace(&self, project: &ProjectId, key: &ContentHash, body: String) {
        self.cache_write(project, key, body, true).await;
    }

    async fn cache_write(&self, project: &ProjectId, key: &ContentHash, body: String, replaces: bool) {
        match hash_bytes(key) {
            Ok(hash) => {
                let (project, created_at) = (project.0.clone(), micros(llmops_domain::clock::now()));
                self.queue().cache(CacheRow { project, hash, created_at, body: body.into_bytes(), replaces }).await;
            }
            Err(error) => tracing::warn!(%error, "an answer was not cached"),
        }
    }
}

async fn fetch_many(
    conn: &mut Conn,
    project: &ProjectId,
    hashes: &[Vec<u8>],
) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
    let Some(last) = hashes.last() else { return Ok(Vec::new()) };
    let places: Vec<String> = (0..LOOKED_UP).map(|i| format!("${}", i + 2)).collect();
    let sql = format!("SELECT hash, body FROM response_cache WHERE project_id = $1 AND hash IN ({})", places.join(","));
    let filled = hashes.iter().chain(std::iter::repeat(last)).take(LOOKED_UP);
    let rows = match conn.raw() {
        Raw::Sqlite(c) => {
            let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(project.as_str());
            filled.fold(query, sqlx::query::QueryAs::bind).fetch_all(c).await
        }
        Raw::Postgres(c) => {
            let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(project.as_str());
            filled.fold(query, sqlx::query::QueryAs::bind).fetch_all(c).await
        }
    };
    Ok(rows?)
}

const INSERT: Insert = Insert {
    head: "INSERT INTO response_cache (project_id, hash, created_at, body) VALUES",
    columns: 4,
    tail: "ON CONFLICT DO NOTHING",
};

/// Inserts answers and says how many had none before.
pub(crate) async fn insert(tx: &mut Tx, rows: &[&CacheRow]) -> Result<u64, StoreError> {
    insert_rows!(tx, INSERT, rows, |row| &row.project, &row.hash, row.created_at, &row.body).await
}

/// Deletes what these answers take the place of, and takes it off the counters.
pub(crate) async fn make_place(tx: &mut Tx, rows: &[&CacheRow]) -> Result<(), StoreError> {
    let mut gone = BTreeMap::<&str, (i64, i64)>::new();
    for row in rows.iter().filter(|row| row.replaces) {
        let sql =
            "DELETE FROM response_cache WHERE hash = $1 AND project_id = $2 RETURNING CAST(LENGTH(body) AS BIGINT)";
        if let Some((bytes,)) = fetch!(fetch_optional, tx, (i64,), sql, &row.hash, &row.project)? {
            let (entries, sum) = gone.entry(&row.project).or_default();
            *entries -= 1;
            *sum -= bytes;
        }
    }
    for (project, gone) in gone {
        count(tx, project, gone).await?;
    }
    Ok(())
}

/// In the order of the index: neighbours share pages, and replicas lock in one order.
pub(crate) fn sort(rows: &mut [&CacheRow]) {
    rows.sort_by(|a, b| (&a.hash, &a.project).cmp(&(&b.hash, &b.project)));
}

/// Adds new answers to the counters of their projects, and lets the oldest go where a project has more than its limits.
pub(crate) async fn count_new(tx: &mut Tx, limits: CacheLimits, rows: &[&CacheRow]) -> Result<(), StoreError> {
    let mut added = BTreeMap::<&str, (i64, i64)>::new();
    for row in rows {
        let (entries, bytes) = added.entry(&row.project).or_default();
        *entries += 1;
        *bytes += i64::try_from(row.body.len()).unwrap_or(i64::MAX);
    }
    for (project, added) in added {
        let (entries, bytes) = count(tx, project, added).await?;
        if entries > big(limits.max_entries) || bytes > big(limits.max_bytes) {
            evict(tx, project, limits, (entries, bytes)).await?;
        }
    }
    Ok(())
}

/// Adds to what a project's cache holds and answers with the sum.
async fn count(tx: &mut Tx, project: &str, (entries, bytes): (i64, i64)) -> Result<(i64, i64), StoreError> {
    let sql = "UPDATE projects SET cache_entries = cache_entries + $2, cache_bytes = cache_bytes + $3 \
               WHERE project_id = $1 RETURNING cache_entries, cache_bytes";
    let row = fetch!(fetch_optional, tx, (i64, i64), sql, project, entries, bytes)?;
    row.ok_or_else(|| StoreError::not_found("project", project))
}

/// Deletes the oldest answers down to nine tenths of the limits, so that it does not happen with every commit.
async fn evict(
    tx: &mut Tx,
    project: &str,
    limits: CacheLimits,
    (mut entries, mut bytes): (i64, i64),
) -> Result<(), StoreError> {
    let nine_tenths = |most: u64| big(most - most / 10);
    let (most_entries, most_bytes) = (nine_tenths(limits.max_entries), nine_tenths(limits.max_bytes));
    while entries > 0 && (entries > most_entries || bytes > most_bytes) {
        // At least a hundredth at a time; as many as the entries ask for, when they do.
        let step = (entries - most_entries).max(entries / 100).max(1);
        let sql = "DELETE FROM response_cache WHERE key IN \
                   (SELECT key FROM response_cache WHERE project_id = $1 ORDER BY key LIMIT $2) \
                   RETURNING CAST(LENGTH(body) AS BIGINT)";
        let gone = fetch!(fetch_all, tx, (i64,), sql, project, step)?;
        let freed = (big(gone.len() as u64), gone.iter().map(|(bytes,)| bytes).sum::<i64>());
        if freed.0 == 0 {
            // The counters were wrong; the table is empty.
            count(tx, project, (-entries, -bytes)).await?;
            return Ok(());
        }
        (entries, bytes) = count(tx, project, (-freed.0, -freed.1)).await?;
    }
    Ok(())
}
