-- Candidates on live traffic: each a document, with the columns that it is found by.

CREATE TABLE canaries (
    key         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id  TEXT COLLATE "C" NOT NULL REFERENCES projects (project_id),
    id          TEXT COLLATE "C" NOT NULL,
    deployment  TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    status      TEXT COLLATE "C" NOT NULL,
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
    project_id TEXT COLLATE "C" NOT NULL,
    document   TEXT NOT NULL
);

-- What the pairs of one user or session add up to.
CREATE TABLE canary_clusters (
    canary_key BIGINT NOT NULL REFERENCES canaries (key) ON DELETE CASCADE,
    cluster    TEXT COLLATE "C" NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (canary_key, cluster)
);

-- USD by the hour since 1970.
CREATE TABLE canary_spending (
    canary_key BIGINT NOT NULL REFERENCES canaries (key) ON DELETE CASCADE,
    hour       BIGINT NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL,
    usd        DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (canary_key, hour)
);

-- Requests that were drawn and made no pair, by reason.
CREATE TABLE canary_skips (
    canary_key BIGINT NOT NULL REFERENCES canaries (key) ON DELETE CASCADE,
    reason     TEXT COLLATE "C" NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL,
    skipped    BIGINT NOT NULL,
    PRIMARY KEY (canary_key, reason)
);

-- What users saw at each stage of the exposure.
CREATE TABLE canary_stages (
    canary_key BIGINT NOT NULL REFERENCES canaries (key) ON DELETE CASCADE,
    stage      BIGINT NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (canary_key, stage)
);

-- Every decision with what it was made from.
CREATE TABLE canary_decisions (
    canary_key BIGINT NOT NULL REFERENCES canaries (key) ON DELETE CASCADE,
    number     BIGINT NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL,
    at         BIGINT NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (canary_key, number)
);
