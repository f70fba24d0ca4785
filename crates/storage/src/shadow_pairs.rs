//! Pairs of a canary: they wait with what was asked, and are settled once, together with the canary's sums.

use jiff::Timestamp;
use llmops_domain::canary::{ClusterTotals, Evidence, PairStatus, PairVerdict, ShadowPair, SkipReason};
use llmops_domain::id::{CanaryId, ProjectId};

use crate::canaries::{hour, key_of, lock, skip};
use crate::db::{Tx, check_name, decode, encode, execute, fetch, micros, without_nul};
use crate::{Store, StoreError};

/// Which pairs are meant. Everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PairFilter {
    /// With this verdict.
    pub verdict: Option<PairVerdict>,
    /// In this status.
    pub status: Option<PairStatus>,
    /// Only pairs with a larger id.
    pub after: Option<String>,
}

/// A pair that was settled.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// The pair, with its number.
    pub pair: ShadowPair,
    /// What the canary's pairs add up to, this one included.
    pub evidence: Evidence,
}

impl Store {
    /// Keeps pairs that wait. Those that are there already stay as they are; those of a canary that is over are left
    /// out, and so are those of users who were erased meanwhile.
    pub async fn put_shadow_pairs(
        &self,
        project: &ProjectId,
        canary: &CanaryId,
        pairs: &[ShadowPair],
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO shadow_pairs (canary_key, id, project_id, at, status, verdict, cluster, document) \
                   SELECT key, $3, $1, $4, $5, NULL, $6, $7 FROM canaries \
                   WHERE project_id = $1 AND id = $2 AND status NOT IN ('promoted', 'aborted', 'concluded') \
                   AND NOT EXISTS (SELECT 1 FROM erasures WHERE project_id = $1 AND user_hash = $6 AND at >= $4) \
                   ON CONFLICT DO NOTHING";
        let mut tx = self.write().await?;
        for pair in pairs {
            check_name("the pair's id", &pair.id)?;
            execute!(
                tx,
                sql,
                project.as_str(),
                canary.as_str(),
                &pair.id,
                micros(pair.at),
                pair.status.as_str(),
                &pair.cluster,
                document(pair)?
            )?;
        }
        tx.commit().await
    }

    /// One pair; nothing where there is none of this id.
    pub async fn find_shadow_pair(
        &self,
        project: &ProjectId,
        canary: &CanaryId,
        id: &str,
    ) -> Result<Option<ShadowPair>, StoreError> {
        let sql = "SELECT p.document FROM shadow_pairs AS p JOIN canaries AS c ON c.key = p.canary_key \
                   WHERE c.project_id = $1 AND c.id = $2 AND p.id = $3";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, (String,), sql, project.as_str(), canary.as_str(), id)?;
        row.map(|(document,)| decode("a pair", &document)).transpose()
    }

    /// Settles a pair and adds it to the canary's sums, in one transaction. Nothing happens, and nothing is answered, where
    /// it was settled before; nor where its canary is over, but then what it cost is counted, for it is spent. A pair that
    /// never waited in the store is settled too.
    pub async fn settle_shadow_pair(
        &self,
        project: &ProjectId,
        canary: &CanaryId,
        pair: &ShadowPair,
        now: Timestamp,
    ) -> Result<Option<Settled>, StoreError> {
        let mut tx = self.write().await?;
        let key = key_of(&mut tx, project, canary).await?;
        let mut evidence = lock(&mut tx, key).await?;
        let sql = "SELECT COUNT(*) FROM canaries WHERE key = $1 AND status IN ('promoted', 'aborted', 'concluded')";
        let (over,) = fetch!(fetch_one, tx, (i64,), sql, key)?;
        let sql = "SELECT COUNT(*) FROM shadow_pairs WHERE canary_key = $1 AND id = $2 AND status <> 'waiting'";
        let (before,) = fetch!(fetch_one, tx, (i64,), sql, key, &pair.id)?;
        if before > 0 {
            tx.rollback().await?;
            return Ok(None);
        }
        if over > 0 {
            evidence.spent += pair.spent();
            write_sums(&mut tx, key, &evidence).await?;
            spend(&mut tx, project, key, (pair, now)).await?;
            tx.commit().await?;
            return Ok(None);
        }
        let pair = ShadowPair { number: Some(evidence.asked + 1), ..pair.clone() };
        let sql = tx.dialect(
            "INSERT INTO shadow_pairs (canary_key, id, project_id, at, status, verdict, cluster, document) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (canary_key, id) DO UPDATE SET \
             status = excluded.status, verdict = excluded.verdict, document = excluded.document",
            "INSERT INTO shadow_pairs (canary_key, id, project_id, at, status, verdict, cluster, document) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (canary_key, id, at) DO UPDATE SET \
             status = excluded.status, verdict = excluded.verdict, document = excluded.document",
        );
        execute!(
            tx,
            sql,
            key,
            &pair.id,
            project.as_str(),
            micros(pair.at),
            pair.status.as_str(),
            pair.verdict.map(PairVerdict::as_str),
            &pair.cluster,
            document(&pair)?
        )?;
        // Whoever was erased while it was judged is in the sums alone.
        let sql = "DELETE FROM shadow_pairs WHERE canary_key = $1 AND id = $2 AND EXISTS \
                   (SELECT 1 FROM erasures WHERE project_id = $3 AND user_hash = $4 AND at >= $5)";
        execute!(tx, sql, key, &pair.id, project.as_str(), &pair.cluster, micros(pair.at))?;
        add_up(&mut tx, project, key, (&pair, &mut evidence), now).await?;
        tx.commit().await?;
        Ok(Some(Settled { pair, evidence }))
    }

    /// Takes back a pair that waits, and counts why.
    pub async fn drop_shadow_pair(
        &self,
        project: &ProjectId,
        canary: &CanaryId,
        id: &str,
        reason: SkipReason,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let key = key_of(&mut tx, project, canary).await?;
        let sql = "DELETE FROM shadow_pairs WHERE canary_key = $1 AND id = $2 AND status = 'waiting'";
        let dropped = execute!(tx, sql, key, id)?;
        skip(&mut tx, project, key, (reason, dropped)).await?;
        tx.commit().await
    }

    /// Pairs of a canary by id, which is the order of time.
    pub async fn list_shadow_pairs(
        &self,
        project: &ProjectId,
        canary: &CanaryId,
        filter: &PairFilter,
        limit: u32,
    ) -> Result<Vec<ShadowPair>, StoreError> {
        let sql = "SELECT p.document FROM shadow_pairs AS p JOIN canaries AS c ON c.key = p.canary_key \
                   WHERE c.project_id = $1 AND c.id = $2 AND p.id > $3 AND ($4 = '' OR p.verdict = $4) \
                   AND ($5 = '' OR p.status = $5) ORDER BY p.id LIMIT $6";
        let mut conn = self.read().await?;
        let rows = fetch!(
            fetch_all,
            conn,
            (String,),
            sql,
            project.as_str(),
            canary.as_str(),
            filter.after.as_deref().unwrap_or(""),
            filter.verdict.map_or("", PairVerdict::as_str),
            filter.status.map_or("", PairStatus::as_str),
            i64::from(limit)
        )?;
        rows.iter().map(|(document,)| decode("a pair", document)).collect()
    }

    /// Pairs of all projects that have waited since before a time: whoever was to answer them may be gone.
    pub async fn waiting_shadow_pairs(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<(ProjectId, CanaryId, String)>, StoreError> {
        let sql = "SELECT c.project_id, c.id, p.id FROM shadow_pairs AS p JOIN canaries AS c ON c.key = p.canary_key \
                   WHERE p.status = 'waiting' AND p.at < $1 AND c.status IN ('shadowing', 'exposing') \
                   ORDER BY p.at LIMIT $2";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String, String, String), sql, micros(before), i64::from(limit))?;
        Ok(rows.into_iter().map(|(project, canary, id)| (ProjectId(project), CanaryId(canary), id)).collect())
    }

    /// Deletes the pairs of one user or session, and the review items about them. Answers with the numbers of both. The sums,
    /// which name nobody, stay.
    pub async fn erase_shadow_pairs(&self, project: &ProjectId, cluster: &str) -> Result<(u64, u64), StoreError> {
        let mut tx = self.write().await?;
        let sql = "DELETE FROM review_items WHERE project_id = $1 AND request_id IN \
                   (SELECT id FROM shadow_pairs WHERE project_id = $1 AND cluster = $2)";
        let items = execute!(tx, sql, project.as_str(), cluster)?;
        let sql = "DELETE FROM shadow_pairs WHERE project_id = $1 AND cluster = $2";
        let pairs = execute!(tx, sql, project.as_str(), cluster)?;
        tx.commit().await?;
        Ok((pairs, items))
    }
}

/// Adds a settled pair to its canary's sums.
async fn add_up(
    tx: &mut Tx,
    project: &ProjectId,
    key: i64,
    (pair, evidence): (&ShadowPair, &mut Evidence),
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "SELECT document FROM canary_clusters WHERE canary_key = $1 AND cluster = $2";
    let mut cluster: ClusterTotals = match fetch!(fetch_optional, tx, (String,), sql, key, &pair.cluster)? {
        Some((document,)) => decode("a cluster's sums", &document)?,
        None => ClusterTotals::default(),
    };
    evidence.add(&mut cluster, pair);
    let sql = "INSERT INTO canary_clusters (canary_key, cluster, project_id, document) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (canary_key, cluster) DO UPDATE SET document = excluded.document";
    execute!(tx, sql, key, &pair.cluster, project.as_str(), encode("a cluster's sums", &cluster)?)?;
    write_sums(tx, key, evidence).await?;
    spend(tx, project, key, (pair, now)).await
}

async fn write_sums(tx: &mut Tx, key: i64, evidence: &Evidence) -> Result<(), StoreError> {
    let sql = "UPDATE canary_evidence SET document = $2 WHERE canary_key = $1";
    execute!(tx, sql, key, encode("a canary's sums", evidence)?)?;
    Ok(())
}

/// Counts what a pair cost in the hour of now.
async fn spend(
    tx: &mut Tx,
    project: &ProjectId,
    key: i64,
    (pair, now): (&ShadowPair, Timestamp),
) -> Result<(), StoreError> {
    let sql = "INSERT INTO canary_spending (canary_key, hour, project_id, usd) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (canary_key, hour) DO UPDATE SET usd = canary_spending.usd + excluded.usd";
    execute!(tx, sql, key, hour(now), project.as_str(), pair.spent())?;
    Ok(())
}

fn document(pair: &ShadowPair) -> Result<String, StoreError> {
    encode("a pair", pair).map(|text| without_nul(&text).into_owned())
}
