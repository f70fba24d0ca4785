//! Statements over lists of rows: INSERTs of many rows, and queries that look many up.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

/// Most rows of one statement: enough to make its overhead vanish, few enough for the limits on parameters
/// (32,766 for SQLite, 65,535 for PostgreSQL).
const MOST_ROWS: usize = 128;

/// An INSERT, or another statement over a list of rows, which is written when their number is known.
pub(crate) struct Insert {
    /// Up to `VALUES`, that included.
    pub(crate) head: &'static str,
    /// Values of a row.
    pub(crate) columns: usize,
    /// Behind the rows.
    pub(crate) tail: &'static str,
}

impl Insert {
    /// The text for so many rows. PostgreSQL needs numbers; SQLite looks numbered parameters up by name, one after the
    /// other, which takes longer than the insert.
    ///
    /// SQLite is told that a row which is refused need not take back the rows before it: whoever inserts gives the transaction
    /// up then. To be able to, it would first copy every page that the statement changes into a file.
    pub(crate) fn text(&self, rows: usize, numbered: bool) -> String {
        let mut sql = String::with_capacity(self.head.len() + self.tail.len() + rows * self.columns * 6 + 16);
        match self.head.strip_prefix("INSERT ") {
            Some(into) if !numbered => sql.extend(["INSERT OR FAIL ", into]),
            _ => sql.push_str(self.head),
        }
        for row in 0..rows {
            sql.push_str(if row == 0 { " (" } else { ", (" });
            for column in 0..self.columns {
                let comma = if column == 0 { "" } else { "," };
                let written = if numbered {
                    write!(sql, "{comma}${}", row * self.columns + column + 1)
                } else {
                    write!(sql, "{comma}?")
                };
                debug_assert!(written.is_ok(), "a String takes any text");
            }
            sql.push(')');
        }
        sql.push(' ');
        sql.push_str(self.tail);
        sql
    }
}

/// Texts of an INSERT that were written already, by the binary logarithm of their number of rows: for SQLite, and for PostgreSQL.
pub(crate) struct Texts([[OnceLock<Arc<str>>; LENGTHS]; 2]);

/// Numbers of rows that a piece may have.
const LENGTHS: usize = MOST_ROWS.ilog2() as usize + 1;

impl Texts {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self([const { [const { OnceLock::new() }; LENGTHS] }; 2])
    }

    /// The text for as many rows as a piece has, see [`pieces`]. All are of one INSERT.
    pub(crate) fn get(&self, insert: &Insert, rows: usize, numbered: bool) -> Arc<str> {
        debug_assert!(rows.is_power_of_two(), "{rows} rows are no piece");
        let kept = &self.0[usize::from(numbered)][rows.ilog2() as usize];
        kept.get_or_init(|| insert.text(rows, numbered).into()).clone()
    }
}

/// Cuts rows into pieces whose lengths are powers of two, so that a handful of prepared statements serves any number.
pub(crate) fn pieces<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let longest = rows.len().min(MOST_ROWS);
        let (piece, rest) = rows.split_at((longest > 0).then(|| 1 << longest.ilog2())?);
        rows = rest;
        Some(piece)
    })
}

/// `insert_rows!(tx, INSERT, &rows, |row| row.a, row.b)`: inserts all rows, answers with the number that were inserted.
macro_rules! insert_rows {
    ($tx:expr, $insert:expr, $rows:expr, |$row:ident| $($bind:expr),+ $(,)?) => {
        async {
            static TEXTS: $crate::bulk::Texts = $crate::bulk::Texts::new();
            let mut inserted = 0;
            for piece in $crate::bulk::pieces($rows) {
                let done = match $tx.raw() {
                    $crate::db::Raw::Sqlite(c) => {
                        let mut query = sqlx::query(sqlx::AssertSqlSafe(TEXTS.get(&$insert, piece.len(), false)));
                        for $row in piece {
                            query = query$(.bind($bind))+;
                        }
                        query.execute(c).await.map(|done| done.rows_affected())
                    }
                    $crate::db::Raw::Postgres(c) => {
                        let mut query = sqlx::query(sqlx::AssertSqlSafe(TEXTS.get(&$insert, piece.len(), true)));
                        for $row in piece {
                            query = query$(.bind($bind))+;
                        }
                        query.execute(c).await.map(|done| done.rows_affected())
                    }
                };
                inserted += done.map_err($crate::StoreError::from)?;
            }
            Ok::<u64, $crate::StoreError>(inserted)
        }
    };
}

/// `fetch_rows!(conn, Row, QUERY, &rows, |row| row.a, row.b)`: runs a query over all rows and answers with everything it found.
/// Such a query begins with `SELECT … FROM (VALUES` and goes on behind the list with `) AS v …`, where both dialects name the
/// columns of the list column1, column2 …; or it inserts the rows and ends with `RETURNING …`.
macro_rules! fetch_rows {
    ($conn:expr, $found:ty, $query:expr, $rows:expr, |$row:ident| $($bind:expr),+ $(,)?) => {
        async {
            static TEXTS: $crate::bulk::Texts = $crate::bulk::Texts::new();
            let mut found: Vec<$found> = Vec::new();
            for piece in $crate::bulk::pieces($rows) {
                let done = match $conn.raw() {
                    $crate::db::Raw::Sqlite(c) => {
                        let text = sqlx::AssertSqlSafe(TEXTS.get(&$query, piece.len(), false));
                        let mut query = sqlx::query_as::<_, $found>(text);
                        for $row in piece {
                            query = query$(.bind($bind))+;
                        }
                        query.fetch_all(c).await
                    }
                    $crate::db::Raw::Postgres(c) => {
                        let text = sqlx::AssertSqlSafe(TEXTS.get(&$query, piece.len(), true));
                        let mut query = sqlx::query_as::<_, $found>(text);
                        for $row in piece {
                            query = query$(.bind($bind))+;
                        }
                        query.fetch_all(c).await
                    }
                };
                found.extend(done.map_err($crate::StoreError::from)?);
            }
            Ok::<Vec<$found>, $crate::StoreError>(found)
        }
    };
}

pub(crate) use {fetch_rows, insert_rows};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{execute, fetch};

    #[test]
    fn writes_rows() {
        let insert = Insert { head: "INSERT INTO t (a, b) VALUES", columns: 2, tail: "ON CONFLICT DO NOTHING" };
        assert_eq!(insert.text(2, true), "INSERT INTO t (a, b) VALUES ($1,$2), ($3,$4) ON CONFLICT DO NOTHING");
        assert_eq!(insert.text(1, false), "INSERT OR FAIL INTO t (a, b) VALUES (?,?) ON CONFLICT DO NOTHING");
        let texts = Texts::new();
        for (rows, numbered) in [(1, false), (1, true), (2, true), (MOST_ROWS, true), (1, false), (MOST_ROWS, true)] {
            assert_eq!(&*texts.get(&insert, rows, numbered), insert.text(rows, numbered));
        }
    }

    #[tokio::test]
    async fn a_refused_row_leaves_none_behind() {
        const REFUSING: Insert = Insert { head: "INSERT INTO refusing (number) VALUES", columns: 1, tail: "" };
        let store = crate::Store::in_memory().await.unwrap();
        let mut tx = store.write().await.unwrap();
        execute!(tx, "CREATE TABLE refusing (number BIGINT NOT NULL CHECK (number > 0))").unwrap();
        tx.commit().await.unwrap();
        let mut inserted = Vec::new();
        for numbers in [&[1_i64, 2, -3, 4][..], &[5, 6]] {
            let mut tx = store.write().await.unwrap();
            let done = insert_rows!(tx, REFUSING, numbers, |number| *number).await;
            inserted.push(done.clone().ok());
            // As every caller does, by `?`.
            if done.is_ok() { tx.commit().await.unwrap() } else { drop(tx) }
        }
        let mut conn = store.read().await.unwrap();
        let kept = fetch!(fetch_all, conn, (i64,), "SELECT number FROM refusing ORDER BY number").unwrap();
        assert_eq!((inserted, kept), (vec![None, Some(2)], vec![(5,), (6,)]));
    }

    #[test]
    fn cuts_into_powers_of_two() {
        let lengths = |n: usize| pieces(&vec![0; n]).map(<[i32]>::len).collect::<Vec<_>>();
        assert_eq!(lengths(0), [0; 0]);
        assert_eq!(lengths(1), [1]);
        assert_eq!(lengths(7), [4, 2, 1]);
        assert_eq!(lengths(300), [128, 128, 32, 8, 4]);
    }
}
