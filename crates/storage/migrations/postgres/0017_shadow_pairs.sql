-- Requests that were answered twice. Ids are those of the requests' records, whose order is that of time.
-- Parts by time, so that what is too old goes part by part; rows of no part go into the default one.

CREATE TABLE shadow_pairs (
    canary_key BIGINT NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL,
    at         BIGINT NOT NULL,
    status     TEXT COLLATE "C" NOT NULL,
    verdict    TEXT COLLATE "C",
    cluster    TEXT COLLATE "C" NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (canary_key, id, at)
) PARTITION BY RANGE (at);
CREATE TABLE shadow_pairs_default PARTITION OF shadow_pairs DEFAULT;
CREATE INDEX shadow_pairs_waiting ON shadow_pairs (at) WHERE status = 'waiting';
CREATE INDEX shadow_pairs_cluster ON shadow_pairs (project_id, cluster);
