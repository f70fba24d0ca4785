-- What the gate said of a run last: the verdict with its rules and checks.
ALTER TABLE runs ADD COLUMN verdict TEXT;
