-- Keys, sessions of the dashboard, the record of changes, answers kept for repeated requests.

CREATE TABLE api_keys (
    id           TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    project_id   TEXT COLLATE "C" NOT NULL REFERENCES projects (project_id),
    name         TEXT COLLATE "C" NOT NULL,
    role         TEXT COLLATE "C" NOT NULL,
    prefix       TEXT COLLATE "C" NOT NULL,
    -- SHA-256 of the secret, which is nowhere.
    hash         BYTEA NOT NULL UNIQUE,
    created_at   BIGINT NOT NULL,
    created_by   TEXT COLLATE "C" NOT NULL,
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
    hash       BYTEA PRIMARY KEY NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (project_id),
    key_id     TEXT COLLATE "C" NOT NULL REFERENCES api_keys (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_end ON sessions (expires_at);

CREATE TABLE audit (
    key        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (project_id),
    at         BIGINT NOT NULL,
    actor      TEXT COLLATE "C" NOT NULL,
    key_id     TEXT COLLATE "C",
    action     TEXT COLLATE "C" NOT NULL,
    target     TEXT COLLATE "C" NOT NULL,
    before     TEXT COLLATE "C" NOT NULL,
    after      TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C"
);
CREATE INDEX audit_project ON audit (project_id, key);

CREATE TABLE idempotency (
    project_id   TEXT COLLATE "C" NOT NULL REFERENCES projects (project_id),
    -- Whose request it was: a key's id, or `local`.
    caller       TEXT COLLATE "C" NOT NULL,
    key          TEXT COLLATE "C" NOT NULL,
    -- SHA-256 of method, path, query and body.
    request      BYTEA NOT NULL,
    expires_at   BIGINT NOT NULL,
    -- Who works on it is taken for dead after this time.
    locked_until BIGINT NOT NULL,
    -- The answer, once there is one.
    status       BIGINT,
    content_type TEXT COLLATE "C",
    body         BYTEA,
    PRIMARY KEY (project_id, caller, key)
);
CREATE INDEX idempotency_end ON idempotency (expires_at);
