-- Named pointers to manifests. The pointer and its history change in one transaction.

CREATE TABLE deployments (
    project_id  TEXT COLLATE "C" NOT NULL REFERENCES projects (project_id),
    name        TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    manifest    TEXT COLLATE "C" NOT NULL,
    revision    BIGINT NOT NULL,
    safe_mode   BOOLEAN NOT NULL,
    settings    TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    updated_by  TEXT,
    PRIMARY KEY (project_id, name, environment)
);

-- `key` counts up over all projects: gateways look for a larger one than they know.
CREATE TABLE deployment_changes (
    key           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id    TEXT COLLATE "C" NOT NULL REFERENCES projects (project_id),
    name          TEXT COLLATE "C" NOT NULL,
    environment   TEXT COLLATE "C" NOT NULL,
    revision      BIGINT NOT NULL,
    action        TEXT COLLATE "C" NOT NULL,
    from_manifest TEXT COLLATE "C",
    to_manifest   TEXT COLLATE "C" NOT NULL,
    at            BIGINT NOT NULL,
    by_whom       TEXT,
    reason        TEXT
);
CREATE UNIQUE INDEX deployment_changes_revision ON deployment_changes (project_id, name, environment, revision);

-- What the gateway keeps of its calls. Ids begin with the time, so their order is that of time.
-- Parts by time, so that what is too old goes part by part; rows of no part go into the default one.
CREATE TABLE request_records (
    project_id    TEXT COLLATE "C" NOT NULL,
    id            TEXT COLLATE "C" NOT NULL,
    at            BIGINT NOT NULL,
    deployment    TEXT COLLATE "C",
    environment   TEXT COLLATE "C",
    manifest      TEXT COLLATE "C",
    model         TEXT COLLATE "C" NOT NULL,
    outcome       TEXT COLLATE "C" NOT NULL,
    user_id       TEXT COLLATE "C",
    session       TEXT COLLATE "C",
    soft_failures BIGINT NOT NULL,
    document      TEXT NOT NULL,
    PRIMARY KEY (project_id, id, at)
) PARTITION BY RANGE (at);
CREATE TABLE request_records_default PARTITION OF request_records DEFAULT;
CREATE INDEX request_records_at ON request_records (at);
CREATE INDEX request_records_user ON request_records (project_id, user_id) WHERE user_id IS NOT NULL;
