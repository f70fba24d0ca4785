//! Who was erased: records and pairs of before that come later, from another replica or out of a file, are not kept.

use std::collections::BTreeMap;

use jiff::Timestamp;
use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;

use crate::db::{Tx, execute, fetch, micros, prose};
use crate::{RecordRow, Store, StoreError};

impl Store {
    /// Remembers by the SHA-256 of the id, and by the clusters of canaries' pairs, which are hashes too, that a user is erased. On
    /// return, records and pairs from before `at` that are stored by anybody from now on are not kept, and those that were being
    /// stored meanwhile are there to be deleted.
    pub async fn remember_erasure(
        &self,
        project: &ProjectId,
        (user, clusters): (&str, &[String]),
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        if let Tx::Postgres(_) = tx {
            // Waits for transactions that have looked for erasures already.
            execute!(tx, "LOCK TABLE request_records, shadow_pairs IN SHARE MODE")?;
        }
        let sql = "INSERT INTO erasures (project_id, user_hash, at) VALUES ($1, $2, $3) \
                   ON CONFLICT (project_id, user_hash) DO UPDATE SET at = excluded.at WHERE erasures.at < excluded.at";
        let user = hash_of(&prose(user));
        for hash in clusters.iter().chain([&user]) {
            execute!(tx, sql, project.as_str(), hash, micros(at))?;
        }
        tx.commit().await
    }
}

/// The hash by which a user is remembered. Who is named by a hash already keeps it.
fn hash_of(user: &str) -> String {
    let is_hash = ContentHash::parse(user).is_some();
    if is_hash { user.to_owned() } else { ContentHash::of_bytes(user.as_bytes()).to_string() }
}

/// Deletes those of some rows that are of users who were erased after them. The rows are in the store already: whoever erases
/// meanwhile waits for this transaction, or is seen here.
pub(crate) async fn forget_erased(tx: &mut Tx, rows: &[&RecordRow]) -> Result<(), StoreError> {
    let mut since: BTreeMap<&str, i64> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.user().is_some()) {
        since.entry(row.project()).and_modify(|at| *at = row.at().min(*at)).or_insert(row.at());
    }
    for (project, at) in since {
        let sql = "SELECT user_hash, at FROM erasures WHERE project_id = $1 AND at >= $2";
        let erased: BTreeMap<String, i64> =
            fetch!(fetch_all, tx, (String, i64), sql, project, at)?.into_iter().collect();
        if erased.is_empty() {
            continue;
        }
        for row in rows.iter().filter(|row| row.project() == project) {
            let Some(user) = row.user() else { continue };
            if erased.get(&hash_of(user)).is_some_and(|at| row.at() <= *at) {
                let sql = "DELETE FROM request_records WHERE project_id = $1 AND id = $2";
                execute!(tx, sql, project, row.id())?;
            }
        }
    }
    Ok(())
}
