-- What may be spent with a key, as JSON.
ALTER TABLE api_keys ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';

-- What keys and deployments spent in the windows of their limits, by all replicas; slices that a replica has leased count
-- as spent.
CREATE TABLE spending (
    project_id TEXT NOT NULL REFERENCES projects (project_id),
    spender    TEXT NOT NULL,
    what       TEXT NOT NULL,
    start_at   BIGINT NOT NULL,
    end_at     BIGINT NOT NULL,
    spent      BIGINT NOT NULL,
    PRIMARY KEY (project_id, spender, what, start_at)
) WITHOUT ROWID;

-- Calls of deployments by the minute, and how many of them failed softly.
CREATE TABLE call_counts (
    project_id  TEXT NOT NULL REFERENCES projects (project_id),
    deployment  TEXT NOT NULL,
    environment TEXT NOT NULL,
    minute      BIGINT NOT NULL,
    calls       BIGINT NOT NULL,
    soft_failed BIGINT NOT NULL,
    PRIMARY KEY (project_id, deployment, environment, minute)
) WITHOUT ROWID;
