//! Bringing the tables up to date: numbered texts, each applied once, all that are missing in one transaction.

use crate::StoreError;
use crate::db::{Pools, Raw, Tx, execute, fetch, micros};

/// A migration: its number, its name and its text per dialect.
struct Migration {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

/// A row of the list: its number, and the name of the pair of files without their ending.
macro_rules! migration {
    ($version:literal, $file:literal) => {
        Migration {
            version: $version,
            name: $file,
            sqlite: include_str!(concat!("../migrations/sqlite/", $file, ".sql")),
            postgres: include_str!(concat!("../migrations/postgres/", $file, ".sql")),
        }
    };
}

const MIGRATIONS: &[Migration] = &[
    migration!(1, "0001_spine"),
    migration!(2, "0002_events"),
    migration!(3, "0003_alerts"),
    migration!(4, "0004_calibrations"),
    migration!(5, "0005_models"),
    migration!(6, "0006_jobs"),
    migration!(7, "0007_schedules"),
    migration!(8, "0008_deployments"),
    migration!(9, "0009_experiments"),
    migration!(10, "0010_access"),
    migration!(11, "0011_observations"),
    migration!(12, "0012_operations"),
    migration!(14, "0014_experiment_reviews"),
    migration!(15, "0015_observation_partitions"),
    migration!(16, "0016_canaries"),
    migration!(17, "0017_shadow_pairs"),
    migration!(18, "0018_spending"),
    migration!(20, "0020_feedback"),
    migration!(21, "0021_review"),
    migration!(30, "0030_traffic"),
    migration!(31, "0031_records_by_row"),
    migration!(32, "0032_find_records"),
    migration!(33, "0033_deleted_prompts"),
    migration!(34, "0034_gate_verdicts"),
    migration!(35, "0035_observation_tallies"),
    migration!(38, "0038_held_alerts"),
    migration!(40, "0040_what_came_of_calls"),
    migration!(42, "0042_release_arms"),
    migration!(43, "0043_erasures"),
    migration!(44, "0044_added_samples"),
];

/// Marks a SQLite file as ours (`PRAGMA application_id`): the letters "llmo".
pub(crate) const APPLICATION_ID: i64 = 0x6C6C_6D6F;

/// Any number that other programs are unlikely to lock: the letters "llmops".
const LOCK: i64 = 0x6C6C_6D6F_7073;

/// Applies the migrations that the database lacks.
pub(crate) async fn migrate(pools: &Pools) -> Result<(), StoreError> {
    if let Pools::Sqlite { .. } = pools
        && is_current(pools).await?
    {
        return Ok(());
    }
    let mut tx = begin(pools).await?;
    match &mut tx {
        Tx::Sqlite(_) => claim_file(&mut tx).await?,
        // Replicas that start together migrate one after the other.
        Tx::Postgres(_) => {
            fetch!(fetch_all, tx, (), "SELECT pg_advisory_xact_lock($1)", LOCK)?;
        }
    }
    let table = "CREATE TABLE IF NOT EXISTS llmops_schema \
                 (version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)";
    execute!(tx, table).map_err(|e| match e {
        StoreError::Db(e) => {
            StoreError::Open(format!("cannot create tables (does the search_path name a schema?): {e}"))
        }
        other => other,
    })?;
    let applied = fetch!(fetch_all, tx, (i64,), "SELECT version FROM llmops_schema")?;
    refuse_newer(applied.iter().map(|(version,)| *version).max().unwrap_or(0))?;
    // One by one: a number that was taken early may be older than one that was applied first.
    for migration in MIGRATIONS.iter().filter(|m| !applied.contains(&(m.version,))) {
        apply(&mut tx, migration).await?;
    }
    tx.commit().await
}

/// A process that migrates the same file may take longer than others wait for a lock.
async fn begin(pools: &Pools) -> Result<Tx, StoreError> {
    for _ in 0..3 {
        match pools.write().await {
            Err(error) if error.is_locked() => {}
            done => return done,
        }
    }
    pools.write().await
}

/// The tables, in the order in which they are made: those that others refer to come first.
pub(crate) fn tables() -> Vec<&'static str> {
    tables_of(MIGRATIONS.iter().map(|migration| migration.sqlite))
}

fn tables_of(texts: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut tables = vec!["llmops_schema"];
    for line in texts.flat_map(str::lines) {
        let words: Vec<&str> = line.split([' ', '(', ';']).filter(|word| !word.is_empty()).collect();
        match *words.as_slice() {
            ["CREATE", "TABLE", name, ..] => tables.push(name),
            ["DROP", "TABLE", name, ..] => tables.retain(|table| *table != name),
            ["ALTER", "TABLE", name, "RENAME", "TO", new] => {
                tables.iter_mut().filter(|table| **table == name).for_each(|table| *table = new);
            }
            _ => {}
        }
    }
    tables
}

/// Asks for the newest migration that a database has; 0: it has none.
pub(crate) const APPLIED: &str = "SELECT COALESCE(MAX(version), 0) FROM llmops_schema";

/// What opening a database would do to its tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The newest migration that the database has; 0: it is new.
    pub applied: i64,
    /// The migrations that it lacks, by number and name.
    pub pending: Vec<(i64, &'static str)>,
}

impl Plan {
    /// # Errors
    /// [`StoreError::Open`] when the database is newer than this program.
    pub(crate) fn after(applied: i64) -> Result<Self, StoreError> {
        refuse_newer(applied)?;
        let pending = MIGRATIONS.iter().filter(|m| m.version > applied).map(|m| (m.version, m.name));
        Ok(Self { applied, pending: pending.collect() })
    }
}

/// The newest version that this program knows.
pub(crate) fn newest() -> i64 {
    MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0)
}

fn refuse_newer(applied: i64) -> Result<(), StoreError> {
    if applied > newest() {
        return Err(StoreError::Open(format!(
            "the database has schema {applied} and was made by a newer version of llmops; this one knows schema {}: \
             install the newer version",
            newest()
        )));
    }
    Ok(())
}

async fn apply(tx: &mut Tx, migration: &Migration) -> Result<(), StoreError> {
    match tx.raw() {
        Raw::Sqlite(conn) => sqlx::raw_sql(migration.sqlite).execute(conn).await.map(drop),
        Raw::Postgres(conn) => sqlx::raw_sql(migration.postgres).execute(conn).await.map(drop),
    }
    .map_err(|e| {
        if StoreError::needs_writing(&e) {
            return e.into();
        }
        StoreError::Open(format!("migration {} ({}) failed: {e}", migration.version, migration.name))
    })?;
    let sql = "INSERT INTO llmops_schema (version, name, applied_at) VALUES ($1, $2, $3)";
    execute!(tx, sql, migration.version, migration.name, micros(llmops_domain::clock::now()))?;
    Ok(())
}

/// Whether a SQLite file is ours and up to date, without taking the write lock.
async fn is_current(pools: &Pools) -> Result<bool, StoreError> {
    let mut conn = pools.write_conn().await?;
    let (id,) = fetch!(fetch_one, conn, (i64,), "PRAGMA application_id")?;
    if id != APPLICATION_ID {
        return Ok(false);
    }
    let applied = fetch!(fetch_all, conn, (i64,), "SELECT version FROM llmops_schema")?;
    refuse_newer(applied.iter().map(|(version,)| *version).max().unwrap_or(0))?;
    Ok(MIGRATIONS.iter().all(|migration| applied.contains(&(migration.version,))))
}

/// Marks a new file as ours and refuses the file of another program.
async fn claim_file(tx: &mut Tx) -> Result<(), StoreError> {
    let (id,) = fetch!(fetch_one, tx, (i64,), "PRAGMA application_id")?;
    if id == APPLICATION_ID {
        return Ok(());
    }
    let (tables,) = fetch!(fetch_one, tx, (i64,), "SELECT COUNT(*) FROM sqlite_master")?;
    if id != 0 || tables != 0 {
        return Err(StoreError::Open(
            "the file is the SQLite database of another program: name another file".to_owned(),
        ));
    }
    execute!(tx, "PRAGMA application_id = 1819045231")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_rise() {
        assert!(MIGRATIONS.is_sorted_by(|a, b| a.version < b.version));
    }

    #[test]
    fn every_file_is_listed() {
        for dialect in ["sqlite", "postgres"] {
            let folder = format!("{}/migrations/{dialect}", env!("CARGO_MANIFEST_DIR"));
            let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
            let mut files: Vec<_> = files.collect();
            files.sort_unstable();
            let listed: Vec<_> = MIGRATIONS.iter().map(|migration| format!("{}.sql", migration.name)).collect();
            assert_eq!(files, listed, "{dialect}");
        }
    }

    #[test]
    fn tables_follow_the_texts() {
        let texts = [
            "CREATE TABLE a (x BIGINT);\nCREATE TABLE b (",
            "CREATE TABLE c (x BIGINT);\nDROP TABLE a;\nALTER TABLE c RENAME TO a;\nALTER TABLE b ADD COLUMN y TEXT;",
        ];
        assert_eq!(tables_of(texts.into_iter()), ["llmops_schema", "b", "a"]);
    }

    #[test]
    fn application_id_is_what_the_statement_sets() {
        assert_eq!(APPLICATION_ID, 1_819_045_231);
    }
}
