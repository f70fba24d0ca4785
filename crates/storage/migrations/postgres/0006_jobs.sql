-- Work that any process may take. A job that is taken is due again when its lease ends, so `due_at` serves both; what is
-- done is deleted.
CREATE TABLE jobs (
    -- Names what is to be done: the same work is never queued twice.
    name       TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL,
    body       TEXT NOT NULL,
    due_at     BIGINT NOT NULL,
    owner      TEXT COLLATE "C",
    attempt    BIGINT NOT NULL DEFAULT 0,
    failures   BIGINT NOT NULL DEFAULT 0,
    error      TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX jobs_due ON jobs (due_at, name);

-- Few runs run at a time, and every process looks for those that nobody works on.
CREATE INDEX runs_running ON runs (key) WHERE status = 'running';

-- What the judges of a run have spent, in all processes that work on it: `cost` holds it too.
ALTER TABLE runs ADD COLUMN judge_cost DOUBLE PRECISION NOT NULL DEFAULT 0;
