//! Releases, and promotions that wait for a second key.

use llmops_domain::approval::{Approval, ApprovalStatus};
use llmops_domain::canary::StageEvidence;
use llmops_domain::id::{ProjectId, ReleaseId};
use llmops_domain::release::{Release, ReleaseFilter};

use crate::audit::{Change, record};
use crate::db::{Tx, big, check_name, decode, encode, execute, fetch, micros};
use crate::{Store, StoreError};

impl Store {
    /// Asks for a second key: the promotion that waited for this deployment before is superseded.
    pub async fn put_approval(&self, project: &ProjectId, approval: &Approval) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let sql = "SELECT document FROM approvals WHERE project_id = $1 AND deployment = $2 AND environment = $3 \
                   AND status = 'pending'";
        let (name, environment) = (&approval.deployment, &approval.environment);
        if let Some((text,)) = fetch!(fetch_optional, tx, (String,), sql, project.as_str(), name, environment)? {
            let mut before: Approval = decode("an approval", &text)?;
            before.status = ApprovalStatus::Superseded;
            let sql = "UPDATE approvals SET status = 'superseded', document = $3 WHERE project_id = $1 AND id = $2";
            execute!(tx, sql, project.as_str(), before.id.as_str(), encode("an approval", &before)?)?;
        }
        let sql = "INSERT INTO approvals (project_id, id, deployment, environment, status, created_at, document) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        execute!(
            tx,
            sql,
            project.as_str(),
            approval.id.as_str(),
            name,
            environment,
            approval.status.as_str(),
            micros(approval.created_at),
            encode("an approval", approval)?
        )
        .map_err(|e| e.of_project(project))?;
        let change = Change::new("approval.requested", approval.id.as_str())
            .after(serde_json::json!({"deployment": name, "environment": environment, "manifest": approval.manifest}));
        record(&mut tx, self.actor(), project, &change).await?;
        tx.commit().await
    }

    /// The promotion of a deployment that waits for a second key.
    pub async fn find_pending_approval(
        &self,
        project: &ProjectId,
        deployment: &str,
        environment: &str,
    ) -> Result<Option<Approval>, StoreError> {
        let sql = "SELECT document FROM approvals WHERE project_id = $1 AND deployment = $2 AND environment = $3 \
                   AND status = 'pending'";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, (String,), sql, project.as_str(), deployment, environment)?;
        row.map(|(text,)| decode("an approval", &text)).transpose()
    }

    /// One promotion by its id, or by a beginning of it that fits no other.
    pub async fn get_approval(&self, project: &ProjectId, id: &str) -> Result<Approval, StoreError> {
        check_name("the approval's id", id)?;
        let sql = "SELECT document FROM approvals WHERE project_id = $1 AND id >= $2 AND id < $3 ORDER BY id LIMIT 2";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String,), sql, project.as_str(), id, crate::db::prefix_end(id))?;
        let (text,) = crate::db::only(rows, "approval", id)?;
        decode("an approval", &text)
    }

    /// Promotions, the newest first, before the id `before`.
    pub async fn list_approvals(
        &self,
        project: &ProjectId,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError> {
        let sql = "SELECT document FROM approvals WHERE project_id = $1 AND ($2 IS NULL OR id < $2) \
                   ORDER BY id DESC LIMIT $3";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String,), sql, project.as_str(), before, i64::from(limit))?;
        rows.iter().map(|(text,)| decode("an approval", text)).collect()
    }

    /// Writes the decision on a promotion that waits, and records it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody was first.
    pub async fn decide_approval(&self, project: &ProjectId, approval: &Approval) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        self.write_decision(&mut tx, project, approval).await?;
        tx.commit().await
    }

    pub(crate) async fn write_decision(
        &self,
        tx: &mut Tx,
        project: &ProjectId,
        approval: &Approval,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE approvals SET status = $3, document = $4 WHERE project_id = $1 AND id = $2 \
                   AND status = 'pending'";
        let (id, status) = (approval.id.as_str(), approval.status.as_str());
        if execute!(tx, sql, project.as_str(), id, status, encode("an approval", approval)?)? == 0 {
            return Err(StoreError::Conflict(format!("somebody decided on {id} just now")));
        }
        let change = Change::new("approval.decided", id)
            .before(serde_json::json!({"status": ApprovalStatus::Pending}))
            .after(serde_json::json!({"status": status, "deployment": approval.deployment}));
        record(tx, self.actor(), project, &change).await
    }

    /// Writes a release as it is now. `revision` counts its changes: the first makes it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody changed it since it was read, or another one is open for the deployment.
    pub async fn put_release(&self, project: &ProjectId, release: &Release) -> Result<(), StoreError> {
        check_name("the deployment's name", &release.deployment)?;
        let sql = "INSERT INTO releases (project_id, id, deployment, status, revision, created_at, document) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (project_id, id) DO UPDATE SET \
                   status = excluded.status, revision = excluded.revision, document = excluded.document \
                   WHERE releases.revision = excluded.revision - 1";
        let mut tx = self.write().await?;
        let written = execute!(
            tx,
            sql,
            project.as_str(),
            release.id.as_str(),
            &release.deployment,
            release.status.as_str(),
            big(release.revision),
            micros(release.created_at),
            encode("a release", release)?
        );
        match written {
            Ok(0) => return Err(StoreError::Conflict(format!("somebody changed {} just now", release.id))),
            Ok(_) => {}
            Err(error) if error.is_unique_violation() => {
                tx.rollback().await?;
                return Err(StoreError::Conflict(format!("a release of {} is on its way", release.deployment)));
            }
            Err(error) => return Err(error.of_project(project)),
        }
        let change = Change::new("release.moved", format!("{} of {}", release.id, release.deployment)).after(
            serde_json::json!({
                "step": release.step, "status": release.status, "manifest": release.manifest,
                "event": release.history.last().map(|event| serde_json::json!({
                    "step": event.step, "kind": event.kind, "text": event.text,
                })),
            }),
        );
        record(&mut tx, self.actor(), project, &change).await?;
        tx.commit().await
    }

    /// The release that is open for a deployment.
    pub async fn find_open_release(
        &self,
        project: &ProjectId,
        deployment: &str,
    ) -> Result<Option<Release>, StoreError> {
        let sql = "SELECT document FROM releases WHERE project_id = $1 AND deployment = $2 AND status = 'open'";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, (String,), sql, project.as_str(), deployment)?;
        row.map(|(text,)| decode("a release", &text)).transpose()
    }

    /// The releases of all projects that are on their way.
    pub async fn open_releases(&self) -> Result<Vec<(ProjectId, Release)>, StoreError> {
        let sql = "SELECT project_id, document FROM releases WHERE status = 'open' ORDER BY project_id, id";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String, String), sql)?;
        rows.into_iter().map(|(project, text)| Ok((ProjectId(project), decode("a release", &text)?))).collect()
    }

    /// What the users of a release's experiment saw, in both arms; nothing yet where nobody was answered.
    pub async fn release_arms(&self, project: &ProjectId, id: &ReleaseId) -> Result<StageEvidence, StoreError> {
        let sql = "SELECT document FROM release_arms WHERE project_id = $1 AND release_id = $2";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, (String,), sql, project.as_str(), id.as_str())?;
        row.map_or_else(|| Ok(StageEvidence::default()), |(text,)| decode("a release's sums", &text))
    }

    /// Adds what the users of a release's experiment saw. Where there is no such release, nothing is added.
    pub async fn merge_release_arms(
        &self,
        project: &ProjectId,
        id: &ReleaseId,
        seen: &StageEvidence,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        // Whoever adds to the same release waits here.
        let sql = tx.dialect(
            "SELECT id FROM releases WHERE project_id = $1 AND id = $2",
            "SELECT id FROM releases WHERE project_id = $1 AND id = $2 FOR UPDATE",
        );
        if fetch!(fetch_optional, tx, (String,), sql, project.as_str(), id.as_str())?.is_none() {
            return tx.rollback().await;
        }
        let sql = "SELECT document FROM release_arms WHERE project_id = $1 AND release_id = $2";
        let mut sums: StageEvidence = match fetch!(fetch_optional, tx, (String,), sql, project.as_str(), id.as_str())? {
            Some((text,)) => decode("a release's sums", &text)?,
            None => StageEvidence::default(),
        };
        sums.merge(seen);
        let sql = "INSERT INTO release_arms (project_id, release_id, document) VALUES ($1, $2, $3) \
                   ON CONFLICT (project_id, release_id) DO UPDATE SET document = excluded.document";
        execute!(tx, sql, project.as_str(), id.as_str(), encode("a release's sums", &sums)?)?;
        tx.commit().await
    }

    /// A release by its id.
    pub async fn get_release(&self, project: &ProjectId, id: &str) -> Result<Release, StoreError> {
        let sql = "SELECT document FROM releases WHERE project_id = $1 AND id = $2";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, (String,), sql, project.as_str(), id)?;
        let (text,) = row.ok_or_else(|| StoreError::not_found("release", id))?;
        decode("a release", &text)
    }

    /// Releases, the newest first.
    pub async fn list_releases(
        &self,
        project: &ProjectId,
        filter: &ReleaseFilter,
        limit: u32,
    ) -> Result<Vec<Release>, StoreError> {
        let sql = "SELECT document FROM releases WHERE project_id = $1 AND ($2 IS NULL OR id < $2) \
                   AND ($3 IS NULL OR deployment = $3) AND ($4 IS NULL OR (status = 'open') = $4) \
                   ORDER BY id DESC LIMIT $5";
        let mut conn = self.read().await?;
        let (cursor, deployment) = (filter.cursor.as_deref(), filter.deployment.as_deref());
        let rows = fetch!(
            fetch_all,
            conn,
            (String,),
            sql,
            project.as_str(),
            cursor,
            deployment,
            filter.open,
            i64::from(limit)
        )?;
        rows.iter().map(|(text,)| decode("a release", text)).collect()
    }
}
