-- Request records in the order in which they come. Sorted by their key, a document of a kilobyte took a page of its own.

CREATE TABLE request_records_by_row (
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
    trace_id      TEXT,
    PRIMARY KEY (project_id, id)
);
INSERT INTO request_records_by_row (project_id, id, at, deployment, environment, manifest, model, outcome, user_id, session,
    soft_failures, document, trace_id)
SELECT project_id, id, at, deployment, environment, manifest, model, outcome, user_id, session, soft_failures, document, trace_id
FROM request_records ORDER BY project_id, id;
DROP TABLE request_records;
ALTER TABLE request_records_by_row RENAME TO request_records;
CREATE INDEX request_records_at ON request_records (at);
CREATE INDEX request_records_user ON request_records (project_id, user_id) WHERE user_id IS NOT NULL;
CREATE INDEX request_records_trace ON request_records (project_id, trace_id) WHERE trace_id IS NOT NULL;
CREATE INDEX request_records_soft ON request_records (project_id, id) WHERE soft_failures > 0;
