-- Requests that were answered twice. Ids are those of the requests' records, whose order is that of time.

CREATE TABLE shadow_pairs (
    canary_key BIGINT NOT NULL,
    id         TEXT NOT NULL,
    project_id TEXT NOT NULL,
    at         BIGINT NOT NULL,
    status     TEXT NOT NULL,
    verdict    TEXT,
    cluster    TEXT NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (canary_key, id)
) WITHOUT ROWID;
CREATE INDEX shadow_pairs_waiting ON shadow_pairs (at) WHERE status = 'waiting';
CREATE INDEX shadow_pairs_cluster ON shadow_pairs (project_id, cluster);
