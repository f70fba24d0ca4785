-- Candidates on live traffic: each a document, with the columns that it is found by.

CREATE TABLE canaries (
    key         INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id  TEXT NOT NULL REFERENCES projects (project_id),
    id          TEXT NOT NULL,
    deployment  TEXT NOT NULL,
    environment TEXT NOT NULL,
    status      TEXT NOT NULL,
    revision    BIGINT NOT NULL,
    document    TEXT NOT NULL
);
CREATE UNIQUE INDEX canaries_id ON canaries (project_id, id);
-- One at a time: two candidates would spoil each other's comparison.
CREATE UNIQUE INDEX canaries_live ON canaries (project_id, deployment, environment)
    WHERE status NOT IN ('promoted', 'aborted', 'concluded');

-- What its pairs add up to. It is written in the transaction that settles a pair.
CREATE TABLE canary_evidence (
    canary_key BIGINT PRIMARY KEY REFERENCES canaries (key) ON DELETE CASCADE,
    project_id TEXT NOT NULL,
    document   TEXT NOT NULL
);

-- What the pairs of one user or session add up to.
CREATE TABLE canary_clusters (
    canary_key BIGINT NOT NULL REFERENCES canaries (key) ON DELETE CASCADE,
    cluster    TEXT NOT NULL,
    project_id TEXT NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (canary_key, cluster)
) WITHOUT ROWID;

-- USD by the hour since 1970.
CREATE TABLE canary_spending (
    canary_key BIGINT NOT NULL REFERENCES canaries (key) ON DELETE CASCADE,
    hour       BIGINT NOT NULL,
    project_id TEXT NOT NULL,
    usd        DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (canary_key, hour)
) WITHOUT ROWID;

-- Requests that were drawn and made no pair, by reason.
CREATE TABLE canary_skips (
    canary_key BIGINT NOT NULL REFERENCES canaries (key) ON DELETE CASCADE,
    reason     TEXT NOT NULL,
    project_id TEXT NOT NULL,
    skipped    BIGINT NOT NULL,
    PRIMARY KEY (canary_key, reason)
) WITHOUT ROWID;

-- What users saw at each stage of the exposure.
CREATE TABLE canary_stages (
    canary_key BIGINT NOT NULL REFERENCES canaries (key) ON DELETE CASCADE,
    stage      BIGINT NOT NULL,
    project_id TEXT NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (canary_key, stage)
) WITHOUT ROWID;

-- Every decision with what it was made from.
CREATE TABLE canary_decisions (
    canary_key BIGINT NOT NULL REFERENCES canaries (key) ON DELETE CASCADE,
    number     BIGINT NOT NULL,
    project_id TEXT NOT NULL,
    at         BIGINT NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (canary_key, number)
) WITHOUT ROWID;
