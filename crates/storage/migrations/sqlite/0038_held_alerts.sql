-- Open alerts that a silence keeps from the channels: until when, and of which topic they are. Null: nothing is held back.
ALTER TABLE alerts ADD COLUMN held_until BIGINT;
ALTER TABLE alerts ADD COLUMN topic TEXT;
CREATE INDEX alerts_held ON alerts (held_until) WHERE resolved_at IS NULL AND held_until IS NOT NULL;
