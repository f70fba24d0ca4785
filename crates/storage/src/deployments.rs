//! Deployments: pointers to manifests, and every change of them.

use std::collections::BTreeSet;

use llmops_domain::approval::Approval;
use llmops_domain::canary::Canary;
use llmops_domain::deployment::{Deployment, DeploymentChange, DeploymentSettings};
use llmops_domain::id::ProjectId;
use serde_json::{Map, Value, json};
use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};

use crate::audit::{Change, record};
use crate::db::{Tx, big, check_name, count, decode, encode, execute, fetch, hash_of_text, micros, prose, row, time};
use crate::{Store, StoreError};

/// A query for deployments: what comes before their columns, and what comes behind.
macro_rules! select {
    ($before:literal, $behind:literal) => {
        concat!(
            "SELECT ",
            $before,
            "name, environment, manifest, revision, safe_mode, settings, created_at, updated_at, updated_by \
             FROM deployments ",
            $behind
        )
    };
}

row! {
    struct DeploymentRow {
        name: String,
        environment: String,
        manifest: String,
        revision: i64,
        safe_mode: bool,
        settings: String,
        created_at: i64,
        updated_at: i64,
        updated_by: Option<String>,
    }
}

impl DeploymentRow {
    fn into_deployment(self) -> Result<Deployment, StoreError> {
        Ok(Deployment {
            manifest: hash_of_text(&self.manifest)?,
            revision: count(self.revision)?,
            settings: decode("a deployment's settings", &self.settings)?,
            created_at: time(self.created_at)?,
            updated_at: time(self.updated_at)?,
            name: self.name,
            environment: self.environment,
            safe_mode: self.safe_mode,
            updated_by: self.updated_by,
        })
    }
}

struct OwnedRow {
    project_id: String,
    row: DeploymentRow,
}

impl<'r, R: Row> FromRow<'r, R> for OwnedRow
where
    DeploymentRow: FromRow<'r, R>,
    &'static str: ColumnIndex<R>,
    String: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self { project_id: row.try_get("project_id")?, row: DeploymentRow::from_row(row)? })
    }
}

row! {
    struct ChangeRow {
        revision: i64,
        action: String,
        from_manifest: Option<String>,
        to_manifest: String,
        at: i64,
        by_whom: Option<String>,
        reason: Option<String>,
    }
}

impl ChangeRow {
    fn into_change(self) -> Result<DeploymentChange, StoreError> {
        let action = serde_json::from_value(serde_json::Value::String(self.action));
        Ok(DeploymentChange {
            revision: count(self.revision)?,
            action: action.map_err(|e| StoreError::Corrupt(format!("a deployment's change: {e}")))?,
            from: self.from_manifest.as_deref().map(hash_of_text).transpose()?,
            to: hash_of_text(&self.to_manifest)?,
            at: time(self.at)?,
            by: self.by_whom,
            reason: self.reason,
        })
    }
}

impl Store {
    /// One deployment; nothing where there is none of that name in that environment.
    pub async fn find_deployment(
        &self,
        project: &ProjectId,
        name: &str,
        environment: &str,
    ) -> Result<Option<Deployment>, StoreError> {
        let sql = select!("", "WHERE project_id = $1 AND name = $2 AND environment = $3");
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, DeploymentRow, sql, project.as_str(), name, environment)?;
        row.map(DeploymentRow::into_deployment).transpose()
    }

    /// Deployments by name and environment, after the pair `after`.
    pub async fn list_deployments(
        &self,
        project: &ProjectId,
        after: Option<(&str, &str)>,
        limit: u32,
    ) -> Result<Vec<Deployment>, StoreError> {
        let sql =
            select!("", "WHERE project_id = $1 AND (name, environment) > ($2, $3) ORDER BY name, environment LIMIT $4");
        let (name, environment) = after.unwrap_or(("", ""));
        let mut conn = self.read().await?;
        let (project, limit) = (project.as_str(), i64::from(limit));
        let rows = fetch!(fetch_all, conn, DeploymentRow, sql, project, name, environment, limit)?;
        rows.into_iter().map(DeploymentRow::into_deployment).collect()
    }

    /// The deployments of all projects, as gateways need them.
    pub async fn all_deployments(&self) -> Result<Vec<(ProjectId, Deployment)>, StoreError> {
        let sql = select!("project_id, ", "ORDER BY project_id, name, environment");
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, OwnedRow, sql)?;
        rows.into_iter().map(|row| Ok((ProjectId(row.project_id), row.row.into_deployment()?))).collect()
    }

    /// A number that grows with every change of what gateways answer from, in any project; 0 before the first.
    pub async fn deployments_revision(&self) -> Result<i64, StoreError> {
        // Revisions of canaries only rise, so their sum does.
        let sql = "SELECT COALESCE(MAX(key), 0) + (SELECT COALESCE(CAST(SUM(revision) AS BIGINT), 0) FROM canaries) \
                   FROM deployment_changes";
        let mut conn = self.read().await?;
        Ok(fetch!(fetch_one, conn, (i64,), sql)?.0)
    }

    /// Every change of a deployment, oldest first.
    pub async fn deployment_history(
        &self,
        project: &ProjectId,
        name: &str,
        environment: &str,
    ) -> Result<Vec<DeploymentChange>, StoreError> {
        let sql = "SELECT revision, action, from_manifest, to_manifest, at, by_whom, reason FROM deployment_changes \
                   WHERE project_id = $1 AND name = $2 AND environment = $3 ORDER BY revision";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, ChangeRow, sql, project.as_str(), name, environment)?;
        rows.into_iter().map(ChangeRow::into_change).collect()
    }

    /// Writes a deployment as it is after `change`, and the change. The first change makes it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody else changed it since it was read.
    pub async fn change_deployment(
        &self,
        project: &ProjectId,
        deployment: &Deployment,
        change: &DeploymentChange,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        self.write_change(&mut tx, project, (deployment, change)).await?;
        tx.commit().await
    }

    /// The same, and takes the candidate of a canary away from users by a step, where one shows it to them: both or neither.
    /// Answers with what the canary is since.
    ///
    /// # Errors
    /// The same.
    pub async fn change_deployment_and_canary(
        &self,
        project: &ProjectId,
        (deployment, change): (&Deployment, &DeploymentChange),
        step: impl Fn(&Canary) -> Option<Canary> + Send,
    ) -> Result<Option<Canary>, StoreError> {
        let mut tx = self.write().await?;
        self.write_change(&mut tx, project, (deployment, change)).await?;
        let place = (project, deployment.name.as_str(), deployment.environment.as_str());
        let hidden = self.hide_candidate(&mut tx, place, step).await?;
        tx.commit().await?;
        Ok(hidden)
    }

    /// The same, for a promotion that waited for a second key: the decision that allows it is written with it, or neither is.
    ///
    /// # Errors
    /// The same, also when somebody else decided on the promotion.
    pub async fn change_approved_deployment(
        &self,
        project: &ProjectId,
        (deployment, change): (&Deployment, &DeploymentChange),
        approval: &Approval,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        self.write_decision(&mut tx, project, approval).await?;
        self.write_change(&mut tx, project, (deployment, change)).await?;
        tx.commit().await
    }

    async fn write_change(
        &self,
        tx: &mut Tx,
        project: &ProjectId,
        (deployment, change): (&Deployment, &DeploymentChange),
    ) -> Result<(), StoreError> {
        check_name("the deployment's name", &deployment.name)?;
        check_name("the environment", &deployment.environment)?;
        let settings = encode("the deployment's settings", &deployment.settings)?;
        let (name, environment) = (&deployment.name, &deployment.environment);
        let sql = select!("", "WHERE project_id = $1 AND name = $2 AND environment = $3");
        let before = fetch!(fetch_optional, tx, DeploymentRow, sql, project.as_str(), name, environment)?;
        let before = before.map(DeploymentRow::into_deployment).transpose()?;
        let sql = "INSERT INTO deployments (project_id, name, environment, manifest, revision, safe_mode, settings, \
                   created_at, updated_at, updated_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
                   ON CONFLICT (project_id, name, environment) DO UPDATE SET manifest = excluded.manifest, \
                   revision = excluded.revision, safe_mode = excluded.safe_mode, settings = excluded.settings, \
                   updated_at = excluded.updated_at, updated_by = excluded.updated_by \
                   WHERE deployments.revision = excluded.revision - 1";
        let written = execute!(
            tx,
            sql,
            project.as_str(),
            name,
            environment,
            deployment.manifest.as_str(),
            big(deployment.revision),
            deployment.safe_mode,
            &settings,
            micros(deployment.created_at),
            micros(deployment.updated_at),
            deployment.updated_by.as_deref()
        )
        .map_err(|e| e.of_project(project))?;
        if written == 0 {
            return Err(StoreError::Conflict(format!("{name} in {environment} was changed by somebody else just now")));
        }
        let sql = "INSERT INTO deployment_changes (project_id, name, environment, revision, action, from_manifest, \
                   to_manifest, at, by_whom, reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let action = serde_json::to_value(change.action).ok().and_then(|v| v.as_str().map(str::to_owned));
        execute!(
            tx,
            sql,
            project.as_str(),
            name,
            environment,
            big(change.revision),
            action.unwrap_or_default(),
            change.from.as_ref().map(llmops_domain::hash::ContentHash::as_str),
            change.to.as_str(),
            micros(change.at),
            change.by.as_deref(),
            change.reason.as_deref().map(prose)
        )?;
        let (was, is) = differences(before.as_ref(), deployment);
        let moved =
            Change::new("deployment.moved", format!("{name} in {environment}")).before(was).after(with_why(is, change));
        record(tx, self.actor(), project, &moved).await
    }
}

/// What of a deployment a change replaces, and by what. Of the settings, these are the fields that differ; of a new deployment,
/// those that are not as they are by default.
fn differences(before: Option<&Deployment>, after: &Deployment) -> (Option<Value>, Map<String, Value>) {
    let defaults = DeploymentSettings::default();
    let (was, is) = (fields(before.map_or(&defaults, |before| &before.settings)), fields(&after.settings));
    let differs = |name: &&String| was.get(*name) != is.get(*name);
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).filter(differs).collect();
    let chosen = |from: &Map<String, Value>| -> Map<String, Value> {
        names.iter().map(|name| ((*name).clone(), from.get(*name).cloned().unwrap_or_default())).collect()
    };
    let switched = before.map_or(after.safe_mode, |before| before.safe_mode != after.safe_mode);
    let shown = |deployment: &Deployment, settings: Map<String, Value>| {
        let mut shown = Map::from_iter([("manifest".to_owned(), json!(deployment.manifest))]);
        if switched {
            shown.insert("safe_mode".to_owned(), deployment.safe_mode.into());
        }
        if !settings.is_empty() {
            shown.insert("settings".to_owned(), settings.into());
        }
        shown
    };
    (before.map(|before| shown(before, chosen(&was)).into()), shown(after, chosen(&is)))
}

fn fields(settings: &DeploymentSettings) -> Map<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

fn with_why(mut after: Map<String, Value>, change: &DeploymentChange) -> Map<String, Value> {
    after.insert("action".to_owned(), json!(change.action));
    after.insert("reason".to_owned(), json!(change.reason));
    after
}
