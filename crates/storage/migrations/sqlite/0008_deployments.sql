-- Named pointers to manifests. The pointer and its history change in one transaction.

CREATE TABLE deployments (
    project_id  TEXT NOT NULL REFERENCES projects (project_id),
    name        TEXT NOT NULL,
    environment TEXT NOT NULL,
    manifest    TEXT NOT NULL,
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
    key           INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id    TEXT NOT NULL REFERENCES projects (project_id),
    name          TEXT NOT NULL,
    environment   TEXT NOT NULL,
    revision      BIGINT NOT NULL,
    action        TEXT NOT NULL,
    from_manifest TEXT,
    to_manifest   TEXT NOT NULL,
    at            BIGINT NOT NULL,
    by_whom       TEXT,
    reason        TEXT
);
CREATE UNIQUE INDEX deployment_changes_revision ON deployment_changes (project_id, name, environment, revision);

-- What the gateway keeps of its calls. Ids begin with the time, so their order is that of time.
CREATE TABLE request_records (
    project_id    TEXT NOT NULL,
    id            TEXT NOT NULL,
    at            BIGINT NOT NULL,
    deployment    TEXT,
    environment   TEXT,
    manifest      TEXT,
    model         TEXT NOT NULL,
    outcome       TEXT NOT NULL,
    user_id       TEXT,
    session       TEXT,
    soft_failures BIGINT NOT NULL,
    document      TEXT NOT NULL,
    PRIMARY KEY (project_id, id)
) WITHOUT ROWID;
CREATE INDEX request_records_at ON request_records (at);
CREATE INDEX request_records_user ON request_records (project_id, user_id) WHERE user_id IS NOT NULL;
