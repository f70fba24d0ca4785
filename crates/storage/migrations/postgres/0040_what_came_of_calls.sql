-- What came of calls, so that shares leave out those that were refused and those whose callers left. Of hours before, nobody knows:
-- they count as they did.
ALTER TABLE traffic_hours ADD COLUMN refused BIGINT NOT NULL DEFAULT 0;
ALTER TABLE traffic_hours ADD COLUMN cancelled BIGINT NOT NULL DEFAULT 0;
ALTER TABLE traffic_hours ADD COLUMN answered BIGINT NOT NULL DEFAULT 0;
UPDATE traffic_hours SET answered = calls - failed;

-- What each key spent by hour: where a limit begins that is set in the middle of its window.
CREATE TABLE key_hours (
    project_id TEXT NOT NULL,
    hour       BIGINT NOT NULL,
    key_id     TEXT NOT NULL,
    calls      BIGINT NOT NULL,
    tokens     BIGINT NOT NULL,
    cost       DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (project_id, hour, key_id)
);
