-- Runs that nobody waits for are executed by and by, at the integration whose turn it is.

-- The step of the operation that a run in the background is alone about.
ALTER TABLE runs ADD COLUMN part INTEGER;
-- Where it waits or is executed; NULL: it is over, or its caller waits.
ALTER TABLE runs ADD COLUMN queue TEXT;
-- The priority, 0 before 1 before 2; and the client, for turns.
ALTER TABLE runs ADD COLUMN rank INTEGER;
ALTER TABLE runs ADD COLUMN lane TEXT;
ALTER TABLE runs ADD COLUMN not_before INTEGER;
ALTER TABLE runs ADD COLUMN lease_until INTEGER;
-- Grows with each lease: who holds an older one has lost the run.
ALTER TABLE runs ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN first_try INTEGER;
ALTER TABLE runs ADD COLUMN cancel INTEGER NOT NULL DEFAULT 0;

CREATE INDEX runs_due ON runs (queue, rank, lane, not_before, id) WHERE queue IS NOT NULL AND lease_until IS NULL;
CREATE INDEX runs_leased ON runs (lease_until) WHERE lease_until IS NOT NULL;

DROP INDEX runs_unfinished;
CREATE INDEX runs_unfinished ON runs (id) WHERE finished_at IS NULL AND queue IS NULL;
