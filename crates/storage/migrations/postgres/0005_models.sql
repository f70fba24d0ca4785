-- Scores of models that people set.
CREATE TABLE model_scores (
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (project_id),
    model      TEXT COLLATE "C" NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (project_id, model)
);
