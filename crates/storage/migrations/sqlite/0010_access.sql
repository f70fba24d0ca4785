-- Keys, sessions of the dashboard, the record of changes, answers kept for repeated requests.

CREATE TABLE api_keys (
    id           TEXT PRIMARY KEY NOT NULL,
    project_id   TEXT NOT NULL REFERENCES projects (project_id),
    name         TEXT NOT NULL,
    role         TEXT NOT NULL,
    prefix       TEXT NOT NULL,
    -- SHA-256 of the secret, which is nowhere.
    hash         BLOB NOT NULL UNIQUE,
    created_at   BIGINT NOT NULL,
    created_by   TEXT NOT NULL,
    expires_at   BIGINT,
    revoked_at   BIGINT,
    last_used_at BIGINT
);
CREATE INDEX api_keys_project ON api_keys (project_id, id);

-- Counts up with every change of keys: whoever keeps a copy of them looks here whether it is old.
CREATE TABLE access_version (
    only_row BOOLEAN PRIMARY KEY NOT NULL CHECK (only_row),
    version  BIGINT NOT NULL
);
INSERT INTO access_version (only_row, version) VALUES (TRUE, 0);

CREATE TABLE sessions (
    -- SHA-256 of the token in the cookie.
    hash       BLOB PRIMARY KEY NOT NULL,
    project_id TEXT NOT NULL REFERENCES projects (project_id),
    key_id     TEXT NOT NULL REFERENCES api_keys (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_end ON sessions (expires_at);

CREATE TABLE audit (
    key        INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL REFERENCES projects (project_id),
    at         BIGINT NOT NULL,
    actor      TEXT NOT NULL,
    key_id     TEXT,
    action     TEXT NOT NULL,
    target     TEXT NOT NULL,
    before     TEXT NOT NULL,
    after      TEXT NOT NULL,
    request_id TEXT
);
CREATE INDEX audit_project ON audit (project_id, key);

CREATE TABLE idempotency (
    project_id   TEXT NOT NULL REFERENCES projects (project_id),
    -- Whose request it was: a key's id, or `local`.
    caller       TEXT NOT NULL,
    key          TEXT NOT NULL,
    -- SHA-256 of method, path, query and body.
    request      BLOB NOT NULL,
    expires_at   BIGINT NOT NULL,
    -- Who works on it is taken for dead after this time.
    locked_until BIGINT NOT NULL,
    -- The answer, once there is one.
    status       BIGINT,
    content_type TEXT,
    body         BLOB,
    PRIMARY KEY (project_id, caller, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_end ON idempotency (expires_at);
