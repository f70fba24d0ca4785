//! Evaluation runs: creation, status, tags, progress.

mod verdicts;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use llmops_domain::event::RunNews;
use llmops_domain::id::{ProjectId, RunId};
use llmops_domain::run::{EvaluationFilter, EvaluationRun, Progress, RunResults, RunStatus};

use crate::audit::{Change, record};
use crate::bulk::{Insert, fetch_rows, insert_rows};
use crate::db::{
    Conn, Tx, big, check_name, count, decode, encode, execute, fetch, micros, prefix_end, prose, row, time,
};
use crate::{Store, StoreError, alerts, events};

/// Runs of a page where the filter names no limit.
const DEFAULT_LIMIT: u32 = 50;
/// Most runs of a page.
const MOST_RUNS: u32 = 1000;

/// The runs of a filter, by the dialect's way to ask for the version of their prompt, which stands in their documents only.
macro_rules! list_runs {
    ($version:literal) => {
        concat!(
            "SELECT key, status, error, total, done, errored, cost, start_time, end_time, document, results, verdict \
             FROM runs WHERE project_id = $1 \
             AND ($2 IS NULL OR prompt_name = $2) AND ($3 IS NULL OR model_name = $3) \
             AND ($4 IS NULL OR dataset = $4) AND ($5 IS NULL OR suite = $5) AND ($6 IS NULL OR status = $6) \
             AND ($7 IS NULL OR EXISTS \
                 (SELECT 1 FROM run_tags t WHERE t.run_key = runs.key AND t.name = $7 AND t.value = $8)) \
             AND created_at >= $9 AND created_at < $10 AND ($11 IS NULL OR id < $11) \
             AND ($13 IS NULL OR ",
            $version,
            ") ORDER BY id DESC LIMIT $12"
        )
    };
}

const INSERT_SHARDS: Insert = Insert {
    head: "INSERT INTO shards (run_key, shard, project_id, start_pair, end_pair) VALUES",
    columns: 5,
    tail: "",
};

/// Names a run inside the store, for the calls that are made once per batch or shard. Found with [`Store::run_key`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunKey {
    pub(crate) key: i64,
    /// Trials per sample: pair `i` is sample `i / repeat`, trial `i % repeat`.
    pub(crate) repeat: u32,
    pub(crate) project: Arc<str>,
}

impl RunKey {
    /// The run's project.
    pub fn project(&self) -> ProjectId {
        ProjectId(self.project.as_ref().to_owned())
    }
}

/// A change of a run's status, made only when the run still has the status that the caller saw.
#[derive(Debug, Clone, Copy)]
pub struct StatusChange<'a> {
    /// The status the caller saw.
    pub from: RunStatus,
    /// The new status.
    pub to: RunStatus,
    /// When. Becomes `start_time` on the first step to running and `end_time` on a step to a final status.
    pub at: Timestamp,
    /// Why the run failed. A step to running clears the one before.
    pub error: Option<&'a str>,
    /// The aggregated results. A step to running clears those before.
    pub results: Option<&'a RunResults>,
}

row! {
    struct RunRow {
        key: i64,
        status: String,
        error: Option<String>,
        total: i64,
        done: i64,
        errored: i64,
        cost: f64,
        start_time: Option<i64>,
        end_time: Option<i64>,
        document: String,
        results: Option<String>,
        verdict: Option<String>,
    }
}

impl RunRow {
    fn into_run(self, tags: BTreeMap<String, String>) -> Result<EvaluationRun, StoreError> {
        let run: EvaluationRun = decode("a run", &self.document)?;
        Ok(EvaluationRun {
            status: self.status.parse().map_err(StoreError::Corrupt)?,
            error: self.error,
            tags,
            results: self.results.map(|text| decode("results of a run", &text)).transpose()?,
            gate: self.verdict.map(|text| decode("the verdict on a run", &text)).transpose()?,
            progress: progress_of((self.total, self.done, self.errored, self.cost))?,
            start_time: self.start_time.map(time).transpose()?,
            end_time: self.end_time.map(time).transpose()?,
            ..run
        })
    }
}

fn progress_of((total, done, errored, cost): (i64, i64, i64, f64)) -> Result<Progress, StoreError> {
    Ok(Progress { total: count(total)?, done: count(done)?, errored: count(errored)?, cost })
}

fn parse_tag(tag: &str) -> Result<(&str, &str), StoreError> {
    check_name("the tag", tag)?;
    match tag.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name, value)),
        _ => Err(StoreError::Invalid(format!("`{tag}` is no tag: write key=value"))),
    }
}

impl Store {
    /// Stores a new run with its shards: ranges `[start, end)` of pair indices, where pair `i` is sample `i / repeat`, trial
    /// `i % repeat`. Progress starts at nothing done; `run.progress.total` is kept.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the id is taken.
    pub async fn create_run(
        &self,
        project: &ProjectId,
        run: &EvaluationRun,
        shards: &[(u64, u64)],
    ) -> Result<RunKey, StoreError> {
        let mut tx = self.write().await?;
        let key = insert_run(&mut tx, project, run).await.map_err(|e| match e {
            e if e.is_unique_violation() => StoreError::Conflict(format!("run `{}` exists already", run.id)),
            e => e.of_project(project),
        })?;
        for (name, value) in &run.tags {
            insert_tag(&mut tx, (key, project), (name, value), run.created_at).await?;
        }
        let shards: Vec<(i64, i64, i64)> =
            shards.iter().zip(0..).map(|(&(start, end), i)| (i, big(start), big(end))).collect();
        let id = project.as_str();
        insert_rows!(tx, INSERT_SHARDS, &shards, |shard| key, shard.0, id, shard.1, shard.2).await?;
        tx.commit().await?;
        Ok(RunKey { key, repeat: run.spec.repeat.max(1), project: project.as_str().into() })
    }

    /// The key of a run, by its whole id.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn run_key(&self, project: &ProjectId, id: &RunId) -> Result<RunKey, StoreError> {
        let sql = "SELECT key, repeat FROM runs WHERE project_id = $1 AND id = $2";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, (i64, i64), sql, project.as_str(), id.as_str())?;
        let (key, repeat) = row.ok_or_else(|| StoreError::not_found("run", id.as_str()))?;
        Ok(RunKey { key, repeat: count(repeat)?, project: project.as_str().into() })
    }

    /// A run by its id or a beginning of it that fits no other run.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] or [`StoreError::Ambiguous`].
    pub async fn get_run(&self, project: &ProjectId, id: &str) -> Result<EvaluationRun, StoreError> {
        if id.is_empty() {
            return Err(StoreError::not_found("run", id));
        }
        let sql = "SELECT id, key FROM runs WHERE project_id = $1 AND id >= $2 AND id < $3 ORDER BY id LIMIT 2";
        let mut conn = self.read().await?;
        let found = fetch!(fetch_all, conn, (String, i64), sql, project.as_str(), id, prefix_end(id))?;
        match found.as_slice() {
            [] => Err(StoreError::not_found("run", id)),
            [(whole, _), _] if whole != id => Err(StoreError::ambiguous("run", id)),
            [(_, key), ..] => run_by_key(&mut conn, *key).await,
        }
    }

    /// Runs, newest first; at most `filter.limit` (default 50, at most 1,000).
    pub async fn list_runs(
        &self,
        project: &ProjectId,
        filter: &EvaluationFilter,
    ) -> Result<Vec<EvaluationRun>, StoreError> {
        let (tag, value) = filter.tag.as_deref().map(parse_tag).transpose()?.unzip();
        let mut conn = self.read().await?;
        let sql = conn.dialect(
            list_runs!("json_extract(document, '$.prompt_version') = $13"),
            // Text with a NUL character is no JSON to PostgreSQL. The first field of this name is the run's own.
            list_runs!(r#"substring(document from '"prompt_version":("[^"]*"|null)') = '"' || $13 || '"'"#),
        );
        let rows = fetch!(
            fetch_all,
            conn,
            RunRow,
            sql,
            project.as_str(),
            filter.prompt_name.as_deref(),
            filter.model_name.as_deref(),
            filter.dataset.as_deref(),
            filter.suite.as_deref(),
            filter.status.map(RunStatus::as_str),
            tag,
            value,
            filter.start_time.map_or(i64::MIN, micros),
            filter.end_time.map_or(i64::MAX, micros),
            filter.before.as_ref().map(RunId::as_str),
            i64::from(filter.limit.unwrap_or(DEFAULT_LIMIT).min(MOST_RUNS)),
            filter.prompt_version.as_deref()
        )?;
        let mut tags = tags_of(&mut conn, &rows).await?;
        rows.into_iter()
            .map(|row| {
                let tags = tags.remove(&row.key).unwrap_or_default();
                row.into_run(tags)
            })
            .collect()
    }

    /// Changes a run's status and answers with the run as it is then.
    ///
    /// # Errors
    /// [`StoreError::Transition`] when the step is not allowed; [`StoreError::Conflict`] when the run no longer has the status
    /// `change.from`; [`StoreError::NotFound`].
    pub async fn update_run_status(
        &self,
        project: &ProjectId,
        id: &RunId,
        change: StatusChange<'_>,
    ) -> Result<EvaluationRun, StoreError> {
        change.from.transition(change.to)?;
        let starts = change.to == RunStatus::Running;
        let results = change.results.filter(|_| !starts).map(|r| encode("the results of the run", r)).transpose()?;
        let sql = "UPDATE runs SET status = $4, error = $5, results = $6, \
                   start_time = CASE WHEN $7 THEN COALESCE(start_time, $9) ELSE start_time END, \
                   end_time = CASE WHEN $8 THEN $9 ELSE NULL END \
                   WHERE project_id = $1 AND id = $2 AND status = $3";
        let mut tx = self.write().await?;
        let changed = execute!(
            tx,
            sql,
            project.as_str(),
            id.as_str(),
            change.from.as_str(),
            change.to.as_str(),
            change.error.filter(|_| !starts).map(prose),
            results.as_deref(),
            starts,
            change.to.is_final(),
            micros(change.at)
        )?;
        if changed == 1 {
            tell(&mut tx, project, id, change).await?;
        }
        tx.commit().await?;
        self.tell_events();
        let run = self.get_run(project, id.as_str()).await?;
        if changed == 0 {
            return Err(StoreError::Conflict(format!("run `{id}` is {} by now, not {}", run.status, change.from)));
        }
        Ok(run)
    }

    /// Sets a tag, written `key=value`; a tag of the same key is replaced.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a tag without `=`; [`StoreError::NotFound`].
    pub async fn tag_run(&self, project: &ProjectId, id: &RunId, tag: &str, at: Timestamp) -> Result<(), StoreError> {
        let tag = parse_tag(tag)?;
        let run = self.run_key(project, id).await?;
        let mut tx = self.write().await?;
        insert_tag(&mut tx, (run.key, project), tag, at).await?;
        tx.commit().await
    }

    /// Tags a run as the baseline of its dataset, and records which one was it before.
    ///
    /// # Errors
    /// Those of [`Store::tag_run`].
    pub async fn promote_baseline(
        &self,
        project: &ProjectId,
        run: &EvaluationRun,
        tag: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let before = self.latest_baseline(project, &run.dataset, tag).await?;
        let key = self.run_key(project, &run.id).await?;
        let mut tx = self.write().await?;
        insert_tag(&mut tx, (key.key, project), parse_tag(tag)?, at).await?;
        let change = Change::new("baseline.promoted", &run.dataset)
            .before(before.map(|run| serde_json::json!({"run": run.id})))
            .after(serde_json::json!({"run": run.id, "status": run.status}));
        record(&mut tx, self.actor(), project, &change).await?;
        tx.commit().await
    }

    /// The run of this dataset that was given the tag (`env=production`) last.
    pub async fn latest_baseline(
        &self,
        project: &ProjectId,
        dataset: &str,
        tag: &str,
    ) -> Result<Option<EvaluationRun>, StoreError> {
        let (name, value) = parse_tag(tag)?;
        let sql = "SELECT r.key FROM run_tags t JOIN runs r ON r.key = t.run_key \
                   WHERE t.project_id = $1 AND t.name = $2 AND t.value = $3 AND r.dataset = $4 \
                   ORDER BY t.tagged_at DESC, r.key DESC LIMIT 1";
        let mut conn = self.read().await?;
        match fetch!(fetch_optional, conn, (i64,), sql, project.as_str(), name, value, dataset)? {
            Some((key,)) => Ok(Some(run_by_key(&mut conn, key).await?)),
            None => Ok(None),
        }
    }

    /// The run's status, and the USD that its judges have spent, in all processes that work on it.
    pub async fn run_status(&self, run: &RunKey) -> Result<(RunStatus, f64), StoreError> {
        let mut conn = self.read().await?;
        let sql = "SELECT status, judge_cost FROM runs WHERE key = $1";
        let (status, judge_cost) = fetch!(fetch_one, conn, (String, f64), sql, run.key)?;
        Ok((status.parse().map_err(StoreError::Corrupt)?, judge_cost))
    }

    /// Running runs of all projects on whose shards nobody holds a lease: their workers have died, or none has come yet.
    pub async fn orphaned_runs(&self, now: Timestamp) -> Result<Vec<(ProjectId, RunId)>, StoreError> {
        let sql = "SELECT project_id, id FROM runs WHERE status = 'running' AND NOT EXISTS \
                   (SELECT 1 FROM shards s WHERE s.run_key = runs.key AND NOT s.done AND s.lease_until > $1) \
                   ORDER BY key LIMIT 1000";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String, String), sql, micros(now))?;
        Ok(rows.into_iter().map(|(project, run)| (ProjectId(project), RunId(run))).collect())
    }

    /// How far a run is. Cheap: the counters are kept with each commit.
    pub async fn progress(&self, run: &RunKey) -> Result<Progress, StoreError> {
        let sql = "SELECT total, done, errored, cost FROM runs WHERE key = $1";
        let mut conn = self.read().await?;
        progress_of(fetch!(fetch_one, conn, (i64, i64, i64, f64), sql, run.key)?)
    }
}

/// Appends the event of a change that was made.
async fn tell(tx: &mut Tx, project: &ProjectId, id: &RunId, change: StatusChange<'_>) -> Result<(), StoreError> {
    if change.from == change.to {
        return Ok(());
    }
    let sql = "SELECT dataset, prompt_name, model_name, suite FROM runs WHERE project_id = $1 AND id = $2";
    let (dataset, prompt_name, model_name, suite) =
        fetch!(fetch_one, tx, (String, Option<String>, String, Option<String>), sql, project.as_str(), id.as_str())?;
    let news = RunNews {
        run: id.clone(),
        status: change.to,
        suite,
        dataset,
        prompt_name,
        model_name,
        error: change.error.map(prose),
        pass_rate: change.results.map(|results| results.pass_rate),
        overall: change.results.and_then(|results| results.overall),
    };
    if change.to == RunStatus::Completed {
        alerts::request_review(tx, project, id).await?;
    }
    if let Some(event) = news.into_event() {
        events::append(tx, project, change.at, &event).await?;
    }
    Ok(())
}

async fn insert_run(tx: &mut Tx, project: &ProjectId, run: &EvaluationRun) -> Result<i64, StoreError> {
    let prompt = run.prompt_name.as_deref();
    let suite = run.spec.suite.as_deref();
    for (what, name) in [
        ("the run's id", Some(run.id.as_str())),
        ("the dataset's name", Some(&run.dataset)),
        ("the prompt's name", prompt),
        ("the model's name", Some(&run.model_name)),
        ("the suite's name", suite),
    ] {
        check_name(what, name.unwrap_or_default())?;
    }
    let document = encode("the run", &EvaluationRun { results: None, gate: None, ..run.clone() })?;
    let results = run.results.as_ref().map(|results| encode("the results of the run", results)).transpose()?;
    let sql = "INSERT INTO runs (project_id, id, dataset, prompt_name, model_name, suite, status, error, repeat, total, \
               start_time, end_time, created_at, document, results) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) RETURNING key";
    let (key,) = fetch!(
        fetch_one,
        tx,
        (i64,),
        sql,
        project.as_str(),
        run.id.as_str(),
        &run.dataset,
        prompt,
        &run.model_name,
        suite,
        run.status.as_str(),
        run.error.as_deref().map(prose),
        i64::from(run.spec.repeat.max(1)),
        big(run.progress.total),
        run.start_time.map(micros),
        run.end_time.map(micros),
        micros(run.created_at),
        document.as_str(),
        results.as_deref()
    )?;
    Ok(key)
}

async fn insert_tag(
    tx: &mut Tx,
    (run, project): (i64, &ProjectId),
    (name, value): (&str, &str),
    at: Timestamp,
) -> Result<(), StoreError> {
    check_name("the tag", name)?;
    check_name("the tag", value)?;
    let sql = "INSERT INTO run_tags (run_key, project_id, name, value, tagged_at) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (run_key, name) DO UPDATE SET value = excluded.value, tagged_at = excluded.tagged_at";
    execute!(tx, sql, run, project.as_str(), name, value, micros(at))?;
    Ok(())
}

async fn run_by_key(conn: &mut Conn, key: i64) -> Result<EvaluationRun, StoreError> {
    let sql = "SELECT key, status, error, total, done, errored, cost, start_time, end_time, document, results, verdict \
               FROM runs WHERE key = $1";
    let row = fetch!(fetch_one, conn, RunRow, sql, key)?;
    let tags = fetch!(fetch_all, conn, (String, String), "SELECT name, value FROM run_tags WHERE run_key = $1", key)?;
    row.into_run(tags.into_iter().collect())
}

/// The tags of a page of runs, by run.
async fn tags_of(conn: &mut Conn, rows: &[RunRow]) -> Result<BTreeMap<i64, BTreeMap<String, String>>, StoreError> {
    const TAGS: Insert = Insert {
        head: "SELECT t.run_key, t.name, t.value FROM (VALUES",
        columns: 1,
        tail: ") AS v JOIN run_tags AS t ON t.run_key = v.column1",
    };
    let mut tags = BTreeMap::<i64, BTreeMap<String, String>>::new();
    for (run, name, value) in fetch_rows!(conn, (i64, String, String), TAGS, rows, |row| row.key).await? {
        tags.entry(run).or_default().insert(name, value);
    }
    Ok(tags)
}
