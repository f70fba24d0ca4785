-- Judges compared with people. A judge is the hash of its model, prompt and options.
CREATE TABLE judge_calibrations (
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (project_id),
    id         TEXT COLLATE "C" NOT NULL,
    judge_hash TEXT COLLATE "C" NOT NULL,
    metric     TEXT COLLATE "C" NOT NULL,
    run_id     TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (project_id, id)
);
CREATE INDEX judge_calibrations_judge ON judge_calibrations (project_id, judge_hash, id);
CREATE INDEX judge_calibrations_run ON judge_calibrations (project_id, run_id, id);
