-- Where runs wait and are leased changes often and is small: it has a table of its own, so that a lease writes neither a run nor
-- its indexes again. `runs.queue` still tells which runs have a row here.

-- All runs are looked at, however many there are.
SET LOCAL statement_timeout TO 0;
SET LOCAL enable_seqscan TO on;

CREATE TABLE queue (
    run         text COLLATE "C" NOT NULL PRIMARY KEY,
    integration text COLLATE "C" NOT NULL,
    -- The priority, 0 before 1 before 2; and the client, for turns.
    rank        bigint NOT NULL,
    lane        text COLLATE "C" NOT NULL,
    not_before  bigint NOT NULL,
    lease_until bigint,
    -- Grows with each lease: who holds an older one has lost the run. In `runs` it is what it was when the run last left.
    fence       bigint NOT NULL,
    tries       bigint NOT NULL,
    first_try   bigint,
    cancel      boolean NOT NULL
-- Rows come and go: what they leave is cleared away soon, and how many there are is known.
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.05, autovacuum_analyze_threshold = 1000);

INSERT INTO queue (run, integration, rank, lane, not_before, lease_until, fence, tries, first_try, cancel)
    SELECT id, queue, coalesce(rank, 1), coalesce(lane, client, '-'), coalesce(not_before, 0), lease_until, fence, tries,
    first_try, cancel FROM runs WHERE queue IS NOT NULL ORDER BY id;

CREATE INDEX queue_due ON queue (integration, rank, lane, not_before, run) WHERE lease_until IS NULL;
CREATE INDEX queue_leased ON queue (lease_until) WHERE lease_until IS NOT NULL;

DROP INDEX runs_due, runs_leased;
ALTER TABLE runs DROP COLUMN rank, DROP COLUMN lane, DROP COLUMN not_before, DROP COLUMN lease_until, DROP COLUMN tries,
    DROP COLUMN first_try, DROP COLUMN cancel;

-- Every run that is queued is accepted first: those are found in the queue.
DROP INDEX runs_unusual;
CREATE INDEX runs_unusual ON runs (status, id) WHERE status NOT IN ('accepted', 'running', 'succeeded');

-- Of a run or an event there are few attempts: they are put in order when they are asked for.
DROP INDEX attempts_run;
CREATE INDEX attempts_run ON attempts (run);
DROP INDEX attempts_correlation;
CREATE INDEX attempts_correlation ON attempts (correlation_id);
