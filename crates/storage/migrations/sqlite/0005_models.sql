-- Scores of models that people set.
CREATE TABLE model_scores (
    project_id TEXT NOT NULL REFERENCES projects (project_id),
    model      TEXT NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (project_id, model)
);
