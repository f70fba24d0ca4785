-- Sums of request records by hour, kept as the records are written: pages about traffic read these. Hours are counted since
-- 1970; calls without deployment have an empty one.

CREATE TABLE traffic_hours (
    project_id        TEXT NOT NULL,
    hour              BIGINT NOT NULL,
    deployment        TEXT NOT NULL,
    environment       TEXT NOT NULL,
    calls             BIGINT NOT NULL,
    failed            BIGINT NOT NULL,
    soft_failed       BIGINT NOT NULL,
    priced            BIGINT NOT NULL,
    cost              DOUBLE PRECISION NOT NULL,
    prompt_tokens     BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    PRIMARY KEY (project_id, hour, deployment, environment)
) WITHOUT ROWID;

-- Calls by class of latency.
CREATE TABLE traffic_latencies (
    project_id  TEXT NOT NULL,
    hour        BIGINT NOT NULL,
    deployment  TEXT NOT NULL,
    environment TEXT NOT NULL,
    class       BIGINT NOT NULL,
    calls       BIGINT NOT NULL,
    PRIMARY KEY (project_id, hour, deployment, environment, class)
) WITHOUT ROWID;
