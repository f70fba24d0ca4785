-- Times are microseconds since 1970 (UTC). Documents are JSON text. Hashes are 64 hex digits where people look them up
-- by their beginning and 32 bytes where there are millions of them.

CREATE TABLE projects (
    project_id    TEXT PRIMARY KEY NOT NULL,
    name          TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    -- What the response cache of the project holds, kept by the writer.
    cache_entries BIGINT NOT NULL DEFAULT 0,
    cache_bytes   BIGINT NOT NULL DEFAULT 0
);

INSERT INTO projects (project_id, name, created_at) VALUES ('default', 'default', 0);

CREATE TABLE prompt_versions (
    project_id TEXT NOT NULL REFERENCES projects (project_id),
    name       TEXT NOT NULL,
    version    TEXT NOT NULL,
    hash       TEXT NOT NULL,
    status     TEXT NOT NULL,
    is_active  BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (project_id, name, version)
);
CREATE UNIQUE INDEX prompt_versions_hash ON prompt_versions (project_id, name, hash);
CREATE UNIQUE INDEX prompt_versions_active ON prompt_versions (project_id, name) WHERE is_active;

CREATE TABLE manifests (
    project_id TEXT NOT NULL REFERENCES projects (project_id),
    hash       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (project_id, hash)
);

CREATE TABLE datasets (
    project_id      TEXT NOT NULL REFERENCES projects (project_id),
    name            TEXT NOT NULL,
    id              TEXT NOT NULL UNIQUE,
    kind            TEXT NOT NULL,
    description     TEXT,
    current_version BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    PRIMARY KEY (project_id, name)
);

-- A version under import has no dataset yet, and is found by nobody.
CREATE TABLE dataset_versions (
    key          INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id   TEXT NOT NULL REFERENCES projects (project_id),
    dataset_id   TEXT REFERENCES datasets (id),
    hash         TEXT,
    sample_count BIGINT NOT NULL DEFAULT 0,
    categories   TEXT NOT NULL DEFAULT '{}',
    created_at   BIGINT NOT NULL,
    touched_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX dataset_versions_hash ON dataset_versions (dataset_id, hash) WHERE dataset_id IS NOT NULL;
CREATE INDEX dataset_versions_staged ON dataset_versions (touched_at) WHERE dataset_id IS NULL;

CREATE TABLE samples (
    project_id TEXT NOT NULL,
    hash       BLOB NOT NULL,
    body       TEXT NOT NULL,
    PRIMARY KEY (hash, project_id)
);

CREATE TABLE dataset_version_samples (
    version_key BIGINT NOT NULL,
    ordinal     BIGINT NOT NULL,
    project_id  TEXT NOT NULL,
    sample_id   TEXT NOT NULL,
    category    TEXT NOT NULL,
    hash        BLOB NOT NULL,
    PRIMARY KEY (version_key, ordinal)
) WITHOUT ROWID;
CREATE UNIQUE INDEX dataset_version_samples_id ON dataset_version_samples (version_key, sample_id);

CREATE TABLE runs (
    key             INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id      TEXT NOT NULL REFERENCES projects (project_id),
    id              TEXT NOT NULL,
    dataset         TEXT NOT NULL,
    prompt_name     TEXT,
    model_name      TEXT NOT NULL,
    suite           TEXT,
    status          TEXT NOT NULL,
    error           TEXT,
    repeat          BIGINT NOT NULL,
    total           BIGINT NOT NULL,
    done            BIGINT NOT NULL DEFAULT 0,
    errored         BIGINT NOT NULL DEFAULT 0,
    cost            DOUBLE PRECISION NOT NULL DEFAULT 0,
    start_time      BIGINT,
    end_time        BIGINT,
    created_at      BIGINT NOT NULL,
    -- The run as it was created; what changes later stands in the columns.
    document        TEXT NOT NULL,
    results         TEXT
);
CREATE UNIQUE INDEX runs_id ON runs (project_id, id);

CREATE TABLE run_tags (
    run_key    BIGINT NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
    project_id TEXT NOT NULL,
    name       TEXT NOT NULL,
    value      TEXT NOT NULL,
    tagged_at  BIGINT NOT NULL,
    PRIMARY KEY (run_key, name)
) WITHOUT ROWID;
CREATE INDEX run_tags_value ON run_tags (project_id, name, value, tagged_at);

CREATE TABLE shards (
    run_key     BIGINT NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
    shard       BIGINT NOT NULL,
    project_id  TEXT NOT NULL,
    start_pair  BIGINT NOT NULL,
    end_pair    BIGINT NOT NULL,
    done        BOOLEAN NOT NULL DEFAULT FALSE,
    owner       TEXT,
    lease_until BIGINT,
    attempt     BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (run_key, shard)
) WITHOUT ROWID;

-- `passed` is 0 or 1, and null where the pair errored. `measured` is what aggregation reads; `answer`, the larger part,
-- stands last so that it is skipped.
CREATE TABLE results (
    run_key    BIGINT NOT NULL,
    ordinal    BIGINT NOT NULL,
    trial      BIGINT NOT NULL,
    project_id TEXT NOT NULL,
    sample_id  TEXT NOT NULL,
    category   TEXT NOT NULL,
    passed     BIGINT,
    composite  DOUBLE PRECISION,
    measured   TEXT NOT NULL,
    answer     TEXT NOT NULL,
    PRIMARY KEY (run_key, ordinal, trial)
) WITHOUT ROWID;
CREATE INDEX results_sample ON results (run_key, sample_id);

CREATE TABLE response_cache (
    key        INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL,
    hash       BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    body       BLOB NOT NULL
);
CREATE UNIQUE INDEX response_cache_hash ON response_cache (hash, project_id);
CREATE INDEX response_cache_age ON response_cache (project_id, key);
