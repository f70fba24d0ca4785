-- Samples that llmops put into datasets by itself: a version built from a file may lack them.
CREATE TABLE added_samples (
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (project_id),
    dataset    TEXT COLLATE "C" NOT NULL,
    sample_id  TEXT COLLATE "C" NOT NULL,
    body       TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project_id, dataset, sample_id)
);
