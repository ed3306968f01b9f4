-- Where runs wait and are leased changes often and is small: it has a table of its own, so that a lease does not write a run's
-- payloads again. `runs.queue` still tells which runs have a row here.

CREATE TABLE queue (
    run         TEXT NOT NULL PRIMARY KEY,
    integration TEXT NOT NULL,
    -- The priority, 0 before 1 before 2; and the client, for turns.
    rank        INTEGER NOT NULL,
    lane        TEXT NOT NULL,
    not_before  INTEGER NOT NULL,
    lease_until INTEGER,
    -- Grows with each lease: who holds an older one has lost the run. In `runs` it is what it was when the run last left.
    fence       INTEGER NOT NULL,
    tries       INTEGER NOT NULL,
    first_try   INTEGER,
    cancel      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO queue (run, integration, rank, lane, not_before, lease_until, fence, tries, first_try, cancel)
    SELECT id, queue, coalesce(rank, 1), coalesce(lane, client, '-'), coalesce(not_before, 0), lease_until, fence, tries,
    first_try, cancel FROM runs WHERE queue IS NOT NULL ORDER BY id;

CREATE INDEX queue_due ON queue (integration, rank, lane, not_before, run) WHERE lease_until IS NULL;
CREATE INDEX queue_leased ON queue (lease_until) WHERE lease_until IS NOT NULL;

DROP INDEX runs_due;
DROP INDEX runs_leased;
ALTER TABLE runs DROP COLUMN rank;
ALTER TABLE runs DROP COLUMN lane;
ALTER TABLE runs DROP COLUMN not_before;
ALTER TABLE runs DROP COLUMN lease_until;
ALTER TABLE runs DROP COLUMN tries;
ALTER TABLE runs DROP COLUMN first_try;
ALTER TABLE runs DROP COLUMN cancel;

-- Every run that is queued is accepted first: those are found in the queue.
DROP INDEX runs_unusual;
CREATE INDEX runs_unusual ON runs (status, id) WHERE status NOT IN ('accepted', 'running', 'succeeded');

-- Of a run or an event there are few attempts: they are put in order when they are asked for.
DROP INDEX attempts_run;
CREATE INDEX attempts_run ON attempts (run);
DROP INDEX attempts_correlation;
CREATE INDEX attempts_correlation ON attempts (correlation_id);
