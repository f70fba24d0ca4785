CREATE TABLE experiments (
    key        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (project_id),
    id         TEXT NOT NULL,
    -- What feature-flag clients ask for.
    flag_key   TEXT NOT NULL,
    status     TEXT NOT NULL,
    revision   BIGINT NOT NULL,
    document   TEXT NOT NULL
);
CREATE UNIQUE INDEX experiments_id ON experiments (project_id, id);
CREATE UNIQUE INDEX experiments_live ON experiments (project_id, flag_key) WHERE status IN ('running', 'paused');
-- What replicas poll to hear of changes.
CREATE INDEX experiments_revision ON experiments (project_id, revision);

-- The first exposure of each unit: it keeps the unit's variant, and is counted once.
CREATE TABLE experiment_units (
    experiment_key BIGINT NOT NULL,
    unit           TEXT NOT NULL,
    project_id     TEXT NOT NULL,
    variant        BIGINT NOT NULL,
    epoch          BIGINT NOT NULL,
    at             BIGINT NOT NULL,
    segments       TEXT NOT NULL,
    PRIMARY KEY (experiment_key, unit)
);

-- Units by the allocation that held, variant and day (days since 1970, UTC).
CREATE TABLE experiment_exposures (
    experiment_key BIGINT NOT NULL REFERENCES experiments (key) ON DELETE CASCADE,
    epoch          BIGINT NOT NULL,
    variant        BIGINT NOT NULL,
    day            BIGINT NOT NULL,
    project_id     TEXT NOT NULL,
    units          BIGINT NOT NULL,
    PRIMARY KEY (experiment_key, epoch, variant, day)
);
