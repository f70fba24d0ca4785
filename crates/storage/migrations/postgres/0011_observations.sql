-- What was observed of the units of experiments. Sums are kept as observations arrive, so that results never scan rows.

-- Keys of units come in blocks, so that a batch is one statement.
CREATE SEQUENCE observed_units_key;

-- A unit with what it counts with: per metric the number and sum of its observations, and when it was first seen.
CREATE TABLE observed_units (
    key            BIGINT PRIMARY KEY,
    experiment_key BIGINT NOT NULL REFERENCES experiments (key) ON DELETE CASCADE,
    unit           TEXT NOT NULL,
    project_id     TEXT NOT NULL,
    variant        BIGINT NOT NULL,
    -- Seen in several variants: it counts for none.
    several        BIGINT NOT NULL,
    segments       TEXT NOT NULL,
    state          BYTEA NOT NULL
);
CREATE UNIQUE INDEX observed_units_unit ON observed_units (experiment_key, unit);

-- The digest is that of what makes an observation the same as another: its key, or else its time and value.
CREATE TABLE observations (
    unit_key   BIGINT NOT NULL,
    digest     BIGINT NOT NULL,
    project_id TEXT NOT NULL,
    metric     TEXT NOT NULL,
    value      DOUBLE PRECISION NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (unit_key, digest)
);

-- Sums over units: of all ('all'), of a segment, of the units that entered on a day, and sketches of random parts.
CREATE TABLE observation_sums (
    experiment_key BIGINT NOT NULL REFERENCES experiments (key) ON DELETE CASCADE,
    slice          TEXT NOT NULL,
    variant        BIGINT NOT NULL,
    metric         TEXT NOT NULL,
    project_id     TEXT NOT NULL,
    state          BYTEA NOT NULL,
    PRIMARY KEY (experiment_key, slice, variant, metric)
);
