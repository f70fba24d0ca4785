-- What happened, in the order in which it was committed. The next id comes from a row that each writer locks last, so that
-- no event becomes visible after one with a higher id.

CREATE TABLE event_sequence (
    singleton BIGINT PRIMARY KEY NOT NULL CHECK (singleton = 1),
    last      BIGINT NOT NULL
);
INSERT INTO event_sequence (singleton, last) VALUES (1, 0);

CREATE TABLE events (
    id         BIGINT PRIMARY KEY NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (project_id),
    type       TEXT COLLATE "C" NOT NULL,
    at         BIGINT NOT NULL,
    document   TEXT NOT NULL
);
CREATE INDEX events_project ON events (project_id, id);
CREATE INDEX events_at ON events (at);
