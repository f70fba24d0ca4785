-- What people say of answers. Feedback with the same subject (a request's id, or a trace's) is about one answer; the opinion
-- on it is kept beside its context, and sums count opinions.

CREATE TABLE feedback (
    project_id      TEXT COLLATE "C" NOT NULL REFERENCES projects (project_id),
    id              TEXT COLLATE "C" NOT NULL,
    subject         TEXT COLLATE "C" NOT NULL,
    idempotency_key TEXT COLLATE "C",
    user_id         TEXT COLLATE "C",
    at              BIGINT NOT NULL,
    -- -1 negative, 0 neutral, 1 positive, null where it does not say.
    sentiment       BIGINT,
    corrected       BOOLEAN NOT NULL,
    -- Whether experiments and the review queue have heard of it.
    settled         BOOLEAN NOT NULL,
    document        TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project_id, id)
);
CREATE UNIQUE INDEX feedback_key ON feedback (project_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX feedback_subject ON feedback (project_id, subject, id);
CREATE INDEX feedback_user ON feedback (project_id, user_id) WHERE user_id IS NOT NULL;
CREATE INDEX feedback_unsettled ON feedback (project_id, subject) WHERE NOT settled;

CREATE TABLE feedback_subjects (
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (project_id),
    subject    TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C",
    trace_id   TEXT COLLATE "C",
    deployment TEXT COLLATE "C",
    user_id    TEXT COLLATE "C",
    first_at   BIGINT NOT NULL,
    opinion    TEXT COLLATE "C" NOT NULL,
    -- What the record says of the answer; null while there is no record.
    context    TEXT COLLATE "C",
    PRIMARY KEY (project_id, subject)
);
CREATE INDEX feedback_subjects_waiting ON feedback_subjects (first_at) WHERE context IS NULL;
CREATE INDEX feedback_subjects_user ON feedback_subjects (project_id, user_id) WHERE user_id IS NOT NULL;

-- Sums over opinions by deployment (empty: all), slice (`all`, `prompt/NAME@VERSION` …) and day (days since 1970, UTC).
CREATE TABLE feedback_sums (
    project_id     TEXT COLLATE "C" NOT NULL,
    deployment     TEXT COLLATE "C" NOT NULL,
    slice          TEXT COLLATE "C" NOT NULL,
    day            BIGINT NOT NULL,
    requests       BIGINT NOT NULL,
    thumbs         BIGINT NOT NULL,
    ups            BIGINT NOT NULL,
    rated          BIGINT NOT NULL,
    rating_sum     DOUBLE PRECISION NOT NULL,
    rating_squares DOUBLE PRECISION NOT NULL,
    corrections    BIGINT NOT NULL,
    comments       BIGINT NOT NULL,
    PRIMARY KEY (project_id, deployment, slice, day)
);

-- Calls that belong to a trace of the application's.
ALTER TABLE request_records ADD COLUMN trace_id TEXT COLLATE "C";
CREATE INDEX request_records_trace ON request_records (project_id, trace_id) WHERE trace_id IS NOT NULL;
