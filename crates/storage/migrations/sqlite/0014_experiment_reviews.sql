-- When an experiment is looked at next: for a winner, a wrong split, a broken guardrail, a better allocation. Of several
-- processes the one that moves the time on looks.
ALTER TABLE experiments ADD COLUMN review_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX experiments_review ON experiments (review_at) WHERE status <> 'draft';

-- The allocation under which a unit came, where its exposure tells; -1 where nothing does.
ALTER TABLE observed_units ADD COLUMN epoch BIGINT NOT NULL DEFAULT -1;

-- Questions about experiments that are answered from the rows, in the background.
CREATE TABLE experiment_questions (
    project_id     TEXT NOT NULL REFERENCES projects (project_id),
    id             TEXT NOT NULL,
    experiment_key BIGINT NOT NULL REFERENCES experiments (key) ON DELETE CASCADE,
    status         TEXT NOT NULL,
    document       TEXT NOT NULL,
    PRIMARY KEY (project_id, id)
);
CREATE INDEX experiment_questions_experiment ON experiment_questions (experiment_key, id);
CREATE INDEX experiment_questions_open ON experiment_questions (id) WHERE status = 'open';
