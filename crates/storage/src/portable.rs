//! A store as files: one of JSON lines for each table. It moves an installation between SQLite and PostgreSQL, or to another
//! machine.
//!
//! The list of tables follows from the migrations, so that a new one cannot be forgotten. What a process needs for a while
//! only is left out.

use futures::TryStreamExt as _;
use serde_json::{Map, Value};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _};

use crate::db::{Conn, Raw, Tx, count, execute, fetch};
use crate::migrate;
use crate::{Store, StoreError};

/// Tables that hold what a process needs for a while: queued work, sessions, answers kept for repetitions, caches.
const PASSING: [&str; 6] = ["llmops_schema", "jobs", "leases", "sessions", "idempotency", "response_cache"];
/// Tables that have rows from the beginning.
const SEEDED: [&str; 4] = ["projects", "event_sequence", "access_version", "llmops_schema"];
/// Values in one statement: fewer than either database allows.
const VALUES: usize = 20_000;
/// Rows in one statement.
const ROWS: usize = 200;

/// How a column is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Int,
    Real,
    Bool,
    /// Hex digits.
    Bytes,
}

/// A table and its columns.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    columns: Vec<(String, Kind)>,
}

/// A store that is read at one time, whatever is written meanwhile.
pub struct Export {
    conn: Conn,
    /// The tables, in an order in which they can be filled.
    pub tables: Vec<Table>,
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export").field("tables", &self.tables).finish_non_exhaustive()
    }
}

/// A store that is filled; nothing is in it before [`Restore::finish`].
pub struct Restore {
    tx: Tx,
    /// The tables, in an order in which they can be filled.
    pub tables: Vec<Table>,
}

impl std::fmt::Debug for Restore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restore").field("tables", &self.tables).finish_non_exhaustive()
    }
}

/// Reads a value of a row, by the kind of its column.
macro_rules! read {
    ($name:ident, $row:ty) => {
        fn $name(row: &$row, at: usize, kind: Kind) -> Result<Value, sqlx::Error> {
            Ok(match kind {
                Kind::Text => row.try_get_unchecked::<Option<String>, _>(at)?.into(),
                Kind::Int => row.try_get_unchecked::<Option<i64>, _>(at)?.into(),
                Kind::Real => row.try_get_unchecked::<Option<f64>, _>(at)?.into(),
                Kind::Bool => row.try_get_unchecked::<Option<bool>, _>(at)?.into(),
                Kind::Bytes => row.try_get_unchecked::<Option<Vec<u8>>, _>(at)?.map(hex::encode).into(),
            })
        }
    };
}
read!(read_sqlite, SqliteRow);
read!(read_postgres, PgRow);

/// Runs an insertion with the values of some rows, column by column.
macro_rules! insert {
    ($conn:expr, $sql:expr, $table:expr, $rows:expr) => {{
        let mut query = sqlx::query(AssertSqlSafe($sql));
        for row in $rows {
            for (name, kind) in &$table.columns {
                let value = row.get(name).unwrap_or(&Value::Null);
                let wrong = || StoreError::Invalid(format!("{}.{name}: {value} is no {kind:?}", $table.name));
                query = match kind {
                    _ if value.is_null() && *kind == Kind::Text => query.bind(None::<String>),
                    _ if value.is_null() && *kind == Kind::Int => query.bind(None::<i64>),
                    _ if value.is_null() && *kind == Kind::Real => query.bind(None::<f64>),
                    _ if value.is_null() && *kind == Kind::Bool => query.bind(None::<bool>),
                    _ if value.is_null() => query.bind(None::<Vec<u8>>),
                    Kind::Text => query.bind(value.as_str().ok_or_else(wrong)?.to_owned()),
                    Kind::Int => query.bind(value.as_i64().ok_or_else(wrong)?),
                    Kind::Real => query.bind(value.as_f64().ok_or_else(wrong)?),
                    Kind::Bool => query.bind(value.as_bool().ok_or_else(wrong)?),
                    Kind::Bytes => query.bind(value.as_str().and_then(|t| hex::decode(t).ok()).ok_or_else(wrong)?),
                };
            }
        }
        query.execute($conn).await.map(drop).map_err(StoreError::from)
    }};
}

impl Store {
    /// Begins to read the whole store as it is now.
    pub async fn export(&self) -> Result<Export, StoreError> {
        let mut conn = self.read().await?;
        let begin = match &conn {
            Conn::Sqlite(_) => "BEGIN",
            Conn::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        execute!(conn, begin)?;
        let tables = columns(&mut conn).await;
        if tables.is_err() {
            execute!(conn, "ROLLBACK")?;
        }
        Ok(Export { conn, tables: tables? })
    }

    /// Begins to fill an empty store.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is not empty.
    pub async fn restore(&self) -> Result<Restore, StoreError> {
        let tables = columns(&mut self.read().await?).await?;
        let mut tx = self.write().await?;
        for name in migrate::tables().into_iter().filter(|name| !SEEDED.contains(name)) {
            let sql = format!("SELECT 1 AS one FROM {name} LIMIT 1");
            if fetch!(fetch_optional, tx, (i32,), AssertSqlSafe(sql.clone()))?.is_some() {
                return Err(StoreError::Conflict(format!("the store is not empty: it has rows in `{name}`")));
            }
        }
        for table in tables.iter().rev() {
            let sql = format!("DELETE FROM {}", table.name);
            execute!(tx, AssertSqlSafe(sql.clone()))?;
        }
        Ok(Restore { tx, tables })
    }
}

/// The columns of every table, and how they are written.
async fn columns(conn: &mut Conn) -> Result<Vec<Table>, StoreError> {
    let sql = match conn {
        Conn::Sqlite(_) => "SELECT name, lower(type) FROM pragma_table_info($1) ORDER BY cid",
        Conn::Postgres(_) => {
            "SELECT column_name::text, data_type::text FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position"
        }
    };
    let mut tables = Vec::new();
    for name in migrate::tables().into_iter().filter(|name| !PASSING.contains(name)) {
        let rows = fetch!(fetch_all, conn, (String, String), sql, name)?;
        let column = |(column, kind): (String, String)| {
            let kind = match kind.as_str() {
                "text" => Kind::Text,
                "bigint" | "integer" => Kind::Int,
                "double precision" => Kind::Real,
                "boolean" => Kind::Bool,
                "blob" | "bytea" => Kind::Bytes,
                other => return Err(StoreError::Corrupt(format!("{name}.{column} is of the unknown type {other}"))),
            };
            Ok((column, kind))
        };
        tables.push(Table { name, columns: rows.into_iter().map(column).collect::<Result<_, _>>()? });
    }
    Ok(tables)
}

impl Table {
    fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
    }
}

impl Export {
    /// Hands over every row of a table, as an object of its columns.
    pub async fn read<E: From<StoreError>>(
        &mut self,
        table: &Table,
        mut each: impl FnMut(&Value) -> Result<(), E>,
    ) -> Result<u64, E> {
        let sql = format!("SELECT {} FROM {}", table.names(), table.name);
        let mut rows = 0;
        let failed = |e: sqlx::Error| E::from(StoreError::from(e));
        macro_rules! pass_on {
            ($conn:expr, $read:ident) => {{
                let mut found = sqlx::query(AssertSqlSafe(sql)).fetch($conn);
                while let Some(row) = found.try_next().await.map_err(failed)? {
                    let mut object = Map::new();
                    for (at, (name, kind)) in table.columns.iter().enumerate() {
                        object.insert(name.clone(), $read(&row, at, *kind).map_err(failed)?);
                    }
                    each(&Value::Object(object))?;
                    rows += 1;
                }
            }};
        }
        match self.conn.raw() {
            Raw::Sqlite(conn) => pass_on!(conn, read_sqlite),
            Raw::Postgres(conn) => pass_on!(conn, read_postgres),
        }
        Ok(rows)
    }

    /// Ends the reading.
    pub async fn finish(mut self) -> Result<(), StoreError> {
        execute!(self.conn, "ROLLBACK")?;
        Ok(())
    }
}

impl Restore {
    /// Adds rows to a table.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when a value is of another kind than its column.
    pub async fn write(&mut self, table: &Table, rows: &[Value]) -> Result<(), StoreError> {
        let size = (VALUES / table.columns.len().max(1)).clamp(1, ROWS);
        for piece in rows.chunks(size) {
            let mut next = 0;
            let mut row = || {
                let places = table.columns.iter().map(|_| {
                    next += 1;
                    format!("${next}")
                });
                format!("({})", places.collect::<Vec<_>>().join(", "))
            };
            let values = piece.iter().map(|_| row()).collect::<Vec<_>>().join(", ");
            // PostgreSQL numbers rows itself, unless told that these have their numbers.
            let numbered = match &self.tx {
                Tx::Sqlite(_) => "",
                Tx::Postgres(_) => " OVERRIDING SYSTEM VALUE",
            };
            let sql = format!("INSERT INTO {} ({}){numbered} VALUES {values}", table.name, table.names());
            match self.tx.raw() {
                Raw::Sqlite(conn) => insert!(conn, sql, table, piece)?,
                Raw::Postgres(conn) => insert!(conn, sql, table, piece)?,
            }
        }
        Ok(())
    }

    /// Keeps everything, and lets new rows have numbers behind the old ones.
    pub async fn finish(mut self) -> Result<(), StoreError> {
        // The cache was left out.
        execute!(self.tx, "UPDATE projects SET cache_entries = 0, cache_bytes = 0")?;
        if let Tx::Postgres(_) = &self.tx {
            let sql = "SELECT table_name::text, column_name::text FROM information_schema.columns \
                       WHERE table_schema = current_schema() AND is_identity = 'YES'";
            for (table, column) in fetch!(fetch_all, self.tx, (String, String), sql)? {
                let sql = format!(
                    "SELECT setval(pg_get_serial_sequence('{table}', '{column}'), COALESCE(MAX({column}), 1), \
                     MAX({column}) IS NOT NULL) FROM {table}"
                );
                fetch!(fetch_all, self.tx, (i64,), AssertSqlSafe(sql.clone()))?;
            }
            // Units take their numbers by hand.
            let sql =
                "SELECT setval('observed_units_key', COALESCE(MAX(key), 1), MAX(key) IS NOT NULL) FROM observed_units";
            fetch!(fetch_all, self.tx, (i64,), sql)?;
        }
        self.tx.commit().await
    }
}

impl Store {
    /// The number of the newest migration of the store.
    pub async fn schema_version(&self) -> Result<u64, StoreError> {
        let mut conn = self.read().await?;
        let sql = migrate::APPLIED;
        let (version,) = fetch!(fetch_one, conn, (i64,), sql)?;
        count(version)
    }
}
