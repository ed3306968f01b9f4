-- Whether a person has said that the run has failed: it is no dead letter for that again.
ALTER TABLE runs ADD COLUMN resolved INTEGER NOT NULL DEFAULT 0;
