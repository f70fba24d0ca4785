-- Answers that a person should look at. The same origin again is the same item.
CREATE TABLE review_items (
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (project_id),
    id         TEXT COLLATE "C" NOT NULL,
    reason     TEXT COLLATE "C" NOT NULL,
    origin     TEXT COLLATE "C" NOT NULL,
    status     TEXT COLLATE "C" NOT NULL,
    deployment TEXT COLLATE "C",
    user_id    TEXT COLLATE "C",
    request_id TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    document   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project_id, id)
);
CREATE UNIQUE INDEX review_items_origin ON review_items (project_id, origin);
CREATE INDEX review_items_status ON review_items (project_id, status, id);
CREATE INDEX review_items_request ON review_items (project_id, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX review_items_user ON review_items (project_id, user_id) WHERE user_id IS NOT NULL;

-- How far what is collected in the background has been looked through.
CREATE TABLE review_cursors (
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (project_id),
    source     TEXT COLLATE "C" NOT NULL,
    position   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project_id, source)
);

-- Few calls fail softly, and they are looked for in the order of their ids.
CREATE INDEX request_records_soft ON request_records (project_id, id) WHERE soft_failures > 0;

-- A deployment that nobody may promote to while something is looked into, and what was seen meanwhile.
CREATE TABLE incidents (
    project_id  TEXT COLLATE "C" NOT NULL REFERENCES projects (project_id),
    id          TEXT COLLATE "C" NOT NULL,
    deployment  TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    opened_at   BIGINT NOT NULL,
    closed_at   BIGINT,
    document    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project_id, id)
);
CREATE UNIQUE INDEX incidents_open ON incidents (project_id, deployment, environment) WHERE closed_at IS NULL;

-- A manifest on its way to production, step by step.
CREATE TABLE releases (
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (project_id),
    id         TEXT COLLATE "C" NOT NULL,
    deployment TEXT COLLATE "C" NOT NULL,
    status     TEXT COLLATE "C" NOT NULL,
    revision   BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    document   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project_id, id)
);
CREATE UNIQUE INDEX releases_open ON releases (project_id, deployment) WHERE status = 'open';

-- Promotions that wait for a second key.
CREATE TABLE approvals (
    project_id  TEXT COLLATE "C" NOT NULL REFERENCES projects (project_id),
    id          TEXT COLLATE "C" NOT NULL,
    deployment  TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    status      TEXT COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL,
    document    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project_id, id)
);
CREATE UNIQUE INDEX approvals_pending ON approvals (project_id, deployment, environment) WHERE status = 'pending';
