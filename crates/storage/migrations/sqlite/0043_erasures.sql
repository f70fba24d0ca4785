-- Who was erased, by the SHA-256 of the id and by the clusters of canaries' pairs, and when: records and pairs of before that
-- come later are not kept.
CREATE TABLE erasures (
    project_id TEXT NOT NULL,
    user_hash  TEXT NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (project_id, user_hash)
) WITHOUT ROWID;
CREATE INDEX erasures_at ON erasures (project_id, at);

-- Sums of nothing, left by erasures, still had the names of their slices.
DELETE FROM feedback_sums WHERE requests <= 0;
