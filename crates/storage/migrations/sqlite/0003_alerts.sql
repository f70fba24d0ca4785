-- Completed runs whose numbers have not been looked at yet. A row comes with the run's completion, in one transaction.
CREATE TABLE alert_reviews (
    run_key     BIGINT PRIMARY KEY NOT NULL,
    project_id  TEXT NOT NULL REFERENCES projects (project_id),
    run_id      TEXT NOT NULL,
    owner       TEXT,
    lease_until BIGINT NOT NULL
);

-- One open alert for each cause (fingerprint). `severity` is 0 info, 1 warning, 2 critical.
CREATE TABLE alerts (
    project_id   TEXT NOT NULL REFERENCES projects (project_id),
    id           TEXT NOT NULL,
    fingerprint  TEXT NOT NULL,
    scope        TEXT NOT NULL,
    type         TEXT NOT NULL,
    severity     BIGINT NOT NULL,
    source       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    acked_at     BIGINT,
    resolved_at  BIGINT,
    document     TEXT NOT NULL,
    PRIMARY KEY (project_id, id)
);
CREATE UNIQUE INDEX alerts_open ON alerts (project_id, fingerprint) WHERE resolved_at IS NULL;
CREATE INDEX alerts_scope ON alerts (project_id, scope) WHERE resolved_at IS NULL;

-- When channels were last told of a topic, whichever alert it was.
CREATE TABLE alert_topics (
    project_id TEXT NOT NULL REFERENCES projects (project_id),
    topic      TEXT NOT NULL,
    told_at    BIGINT,
    severity   BIGINT,
    PRIMARY KEY (project_id, topic)
);

CREATE TABLE alert_silences (
    project_id TEXT NOT NULL REFERENCES projects (project_id),
    id         TEXT NOT NULL,
    ends_at    BIGINT NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (project_id, id)
);

-- What a channel shall be told with its next message.
CREATE TABLE alert_notices (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL REFERENCES projects (project_id),
    channel    TEXT NOT NULL,
    alert_id   TEXT NOT NULL,
    action     TEXT NOT NULL,
    severity   BIGINT NOT NULL,
    at         BIGINT NOT NULL
);
CREATE INDEX alert_notices_channel ON alert_notices (project_id, channel, severity, seq);

-- When the last message to a channel was put together.
CREATE TABLE channel_states (
    project_id TEXT NOT NULL REFERENCES projects (project_id),
    channel    TEXT NOT NULL,
    composed_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, channel)
);

-- Messages to channels: pending, delivered or dead.
CREATE TABLE deliveries (
    project_id      TEXT NOT NULL REFERENCES projects (project_id),
    id              TEXT NOT NULL,
    channel         TEXT NOT NULL,
    status          TEXT NOT NULL,
    attempt         BIGINT NOT NULL DEFAULT 0,
    next_attempt_at BIGINT NOT NULL,
    owner           TEXT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    give_up_at      BIGINT NOT NULL,
    error           TEXT,
    document        TEXT NOT NULL,
    PRIMARY KEY (project_id, id)
);
CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE status = 'pending';
