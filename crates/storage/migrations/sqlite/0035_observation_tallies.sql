-- How many units have a value, for ordinal metrics: a row for each value, so that a batch of observations writes those alone that
-- it changes. What older versions kept in the sums moves here when the sums change next.
CREATE TABLE observation_tallies (
    experiment_key BIGINT NOT NULL REFERENCES experiments (key) ON DELETE CASCADE,
    slice          TEXT NOT NULL,
    variant        BIGINT NOT NULL,
    metric         TEXT NOT NULL,
    project_id     TEXT NOT NULL,
    value          DOUBLE PRECISION NOT NULL,
    units          BIGINT NOT NULL,
    PRIMARY KEY (experiment_key, slice, variant, metric, value)
) WITHOUT ROWID;
-- Those that nothing is left of are deleted at once.
CREATE INDEX observation_tallies_gone ON observation_tallies (experiment_key) WHERE units <= 0;
