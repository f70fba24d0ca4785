-- Samples that llmops put into datasets by itself: a version built from a file may lack them.
CREATE TABLE added_samples (
    project_id TEXT NOT NULL REFERENCES projects (project_id),
    dataset    TEXT NOT NULL,
    sample_id  TEXT NOT NULL,
    body       TEXT NOT NULL,
    PRIMARY KEY (project_id, dataset, sample_id)
) WITHOUT ROWID;
