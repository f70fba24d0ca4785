-- Observations by month, so that old ones are dropped and not deleted row by row. TimescaleDB does the same by itself.
-- Which observation is the same as another is looked up before the insert, under a lock; the key must hold the time.
ALTER TABLE observations RENAME TO observations_before;
CREATE TABLE observations_by_time (
    unit_key   BIGINT NOT NULL,
    digest     BIGINT NOT NULL,
    project_id TEXT NOT NULL,
    metric     TEXT NOT NULL,
    value      DOUBLE PRECISION NOT NULL,
    at         BIGINT NOT NULL
);
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'timescaledb') THEN
        ALTER TABLE observations_by_time RENAME TO observations;
        ALTER TABLE observations ADD CONSTRAINT observations_key PRIMARY KEY (unit_key, digest, at);
        -- Thirty days in microseconds.
        PERFORM create_hypertable('observations', 'at', chunk_time_interval => 2592000000000::BIGINT);
    ELSE
        CREATE TABLE observations (LIKE observations_by_time) PARTITION BY RANGE (at);
        ALTER TABLE observations ADD CONSTRAINT observations_key PRIMARY KEY (unit_key, digest, at);
        CREATE TABLE observations_default PARTITION OF observations DEFAULT;
        DROP TABLE observations_by_time;
    END IF;
END
$$;
INSERT INTO observations (unit_key, digest, project_id, metric, value, at)
    SELECT unit_key, digest, project_id, metric, value, at FROM observations_before;
DROP TABLE observations_before;
