-- Work that one process at a time does for all: who does it, and until when it is taken for alive.
CREATE TABLE leases (
    name  TEXT PRIMARY KEY NOT NULL,
    owner TEXT NOT NULL,
    until BIGINT NOT NULL
);

-- What is deleted by age.
CREATE INDEX audit_at ON audit (at);
CREATE INDEX schedule_firings_at ON schedule_firings (fire_at);
CREATE INDEX deliveries_ended ON deliveries (updated_at) WHERE status <> 'pending';

-- What `llmops apply` last brought here, by the hash of its content: whoever applies again sees what was edited elsewhere.
CREATE TABLE applied (
    project_id TEXT NOT NULL REFERENCES projects (project_id),
    kind       TEXT NOT NULL,
    name       TEXT NOT NULL,
    hash       TEXT NOT NULL,
    at         BIGINT NOT NULL,
    by_whom    TEXT NOT NULL,
    PRIMARY KEY (project_id, kind, name)
);
