CREATE TABLE schedules (
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (project_id),
    name       TEXT COLLATE "C" NOT NULL,
    -- Who keeps it: people over the API, or a configuration file.
    origin     TEXT COLLATE "C" NOT NULL,
    document   TEXT NOT NULL,
    -- The firing it waits for; null while it is paused, or where there is none any more.
    next_at    BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, name)
);
CREATE INDEX schedules_next ON schedules (next_at) WHERE next_at IS NOT NULL;

-- One row a firing, whatever came of it: the key is what makes it happen once.
CREATE TABLE schedule_firings (
    project_id TEXT COLLATE "C" NOT NULL,
    schedule   TEXT COLLATE "C" NOT NULL,
    fire_at    BIGINT NOT NULL,
    due_at     BIGINT NOT NULL,
    status     TEXT COLLATE "C" NOT NULL,
    run_id     TEXT COLLATE "C",
    note       TEXT,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, schedule, fire_at),
    FOREIGN KEY (project_id, schedule) REFERENCES schedules (project_id, name) ON DELETE CASCADE
);
CREATE INDEX schedule_firings_due ON schedule_firings (due_at) WHERE status = 'due';
