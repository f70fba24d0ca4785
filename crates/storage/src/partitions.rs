//! Tables that PostgreSQL keeps by month: the months to come are made ahead, and months that are too old are dropped whole. SQLite
//! has one table, and TimescaleDB makes its own parts.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use sqlx::AssertSqlSafe;

use crate::db::{Pools, Tx, execute, fetch, micros};
use crate::{Store, StoreError};

/// Months beyond the present one that are made ahead.
const AHEAD: i32 = 2;
/// Rows that are deleted at a time where there are no parts.
const BATCH: i64 = 10_000;

/// How a table is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// In one piece.
    Whole,
    /// By month.
    ByMonth,
    /// By TimescaleDB.
    Hypertable,
}

/// A month as the table of its rows is named, and the first moment of it and of the next.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Month {
    name: String,
    from: i64,
    to: i64,
}

impl Month {
    fn of(date: Date) -> Result<Self, StoreError> {
        let no_such = |e: jiff::Error| StoreError::Invalid(format!("{date} is no month that can be kept: {e}"));
        let first = date.first_of_month();
        let next = first.checked_add(1.month()).map_err(no_such)?;
        let moment = |date: Date| date.to_zoned(TimeZone::UTC).map(|zoned| micros(zoned.timestamp())).map_err(no_such);
        let name = format!("observations_{:04}_{:02}", first.year(), first.month());
        Ok(Self { name, from: moment(first)?, to: moment(next)? })
    }

    /// Of the name of a part; none of other tables.
    fn named(name: &str) -> Option<Self> {
        let (year, month) = name.strip_prefix("observations_")?.split_once('_')?;
        let date = Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok()?;
        Self::of(date).ok().filter(|month| month.name == name)
    }
}

async fn kept(tx: &mut Tx) -> Result<Kept, StoreError> {
    if let Tx::Sqlite(_) = tx {
        return Ok(Kept::Whole);
    }
    let sql = "SELECT CAST(relkind AS TEXT) FROM pg_class WHERE oid = CAST('observations' AS regclass)";
    let (kind,) = fetch!(fetch_one, tx, (String,), sql)?;
    if kind == "p" {
        return Ok(Kept::ByMonth);
    }
    let sql = "SELECT COUNT(*) FROM pg_extension WHERE extname = 'timescaledb'";
    let (extensions,) = fetch!(fetch_one, tx, (i64,), sql)?;
    Ok(if extensions > 0 { Kept::Hypertable } else { Kept::Whole })
}

impl Store {
    /// Makes the parts for observations of this month and the next two, where PostgreSQL keeps them by month. Answers with the
    /// names of those that are new.
    pub async fn make_observation_parts(&self, now: Timestamp) -> Result<Vec<String>, StoreError> {
        let mut made = Vec::new();
        if !matches!(self.pools(), Pools::Postgres(_)) {
            return Ok(made);
        }
        let today = TimeZone::UTC.to_datetime(now).date().first_of_month();
        for ahead in 0..=AHEAD {
            let date = today.checked_add(ahead.months()).map_err(|e| StoreError::Invalid(e.to_string()))?;
            let month = Month::of(date)?;
            let mut tx = self.write().await?;
            // Replicas make them one after the other.
            fetch!(fetch_all, tx, (), "SELECT pg_advisory_xact_lock(1819045233)")?;
            let exists = "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass($1)";
            let (known,) = fetch!(fetch_one, tx, (i64,), exists, month.name.as_str())?;
            if known > 0 || kept(&mut tx).await? != Kept::ByMonth {
                tx.rollback().await?;
                continue;
            }
            // What came before there were parts stays where it is until it is too old.
            let older =
                "SELECT COUNT(*) FROM (SELECT 1 FROM observations_default WHERE at >= $1 AND at < $2 LIMIT 1) AS o";
            let (older,) = fetch!(fetch_one, tx, (i64,), older, month.from, month.to)?;
            if older > 0 {
                tx.rollback().await?;
                continue;
            }
            let Month { name, from, to } = &month;
            let sql = format!("CREATE TABLE {name} PARTITION OF observations FOR VALUES FROM ({from}) TO ({to})");
            execute!(tx, AssertSqlSafe(sql.clone()))?;
            tx.commit().await?;
            made.push(month.name);
        }
        Ok(made)
    }

    /// Forgets the observations before a time: whole months are dropped, single rows deleted in batches. Results stay, because they
    /// rest on sums; questions see what is left, and what was forgotten and is sent again counts again. Answers with the
    /// number of rows that were deleted one by one, and the parts that were dropped.
    pub async fn expire_observations(&self, before: Timestamp) -> Result<(u64, Vec<String>), StoreError> {
        let before = micros(before);
        let mut tx = self.write().await?;
        let how = kept(&mut tx).await?;
        let mut dropped = Vec::new();
        if how == Kept::Hypertable {
            let sql =
                "SELECT CAST(c AS TEXT) FROM drop_chunks(CAST('observations' AS regclass), older_than => $1) AS c";
            dropped.extend(fetch!(fetch_all, tx, (String,), sql, before)?.into_iter().map(|(name,)| name));
        }
        if how == Kept::ByMonth {
            let sql = "SELECT CAST(c.relname AS TEXT) FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid \
                       WHERE i.inhparent = CAST('observations' AS regclass) ORDER BY c.relname";
            let parts = fetch!(fetch_all, tx, (String,), sql)?;
            let months = parts.into_iter().filter_map(|(name,)| Month::named(&name));
            for Month { name, .. } in months.filter(|month| month.to <= before) {
                execute!(tx, AssertSqlSafe(format!("ALTER TABLE observations DETACH PARTITION {name}")))?;
                execute!(tx, AssertSqlSafe(format!("DROP TABLE {name}")))?;
                dropped.push(name);
            }
        }
        tx.commit().await?;
        let mut deleted = 0;
        loop {
            let mut tx = self.write().await?;
            let sql = "DELETE FROM observations WHERE at < $1 AND (unit_key, digest) IN \
                       (SELECT unit_key, digest FROM observations WHERE at < $1 LIMIT $2)";
            let rows = execute!(tx, sql, before, BATCH)?;
            tx.commit().await?;
            deleted += rows;
            if rows == 0 {
                return Ok((deleted, dropped));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months() {
        let month = Month::of(jiff::civil::date(2026, 12, 31)).unwrap();
        assert_eq!(
            (month.name.as_str(), month.from, month.to),
            ("observations_2026_12", 1_796_083_200_000_000, 1_798_761_600_000_000)
        );
        assert_eq!(Month::named("observations_2026_12"), Some(month));
        for other in ["observations_default", "observations_2026_13", "observations_2026_1", "results_2026_12"] {
            assert_eq!(Month::named(other), None, "{other}");
        }
    }
}
