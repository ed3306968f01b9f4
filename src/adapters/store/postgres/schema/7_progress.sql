-- A run is written once, when it is accepted. How it stands goes with it, until it has ended and nobody can take it up again;
-- how it ended is written when it has. So nothing large is written twice, and no row of a run's own leaves an older one behind.

-- All runs are looked at, however many there are.
SET LOCAL statement_timeout TO 0;
SET LOCAL enable_seqscan TO on;

CREATE TABLE progress (
    run        text COLLATE "C" NOT NULL PRIMARY KEY,
    -- 'ended': a dead letter, which can be taken up again.
    status     text NOT NULL,
    -- Whether its caller waits, or waited when it began: it is not queued, and has not ended.
    waited_for boolean NOT NULL,
    -- Whether a person has said that the run has failed: it is no dead letter for that again.
    resolved   boolean NOT NULL DEFAULT false,
    revision   bigint NOT NULL,
    -- How it stands, and the requests that may have been sent.
    state      bytea NOT NULL
-- Rows come and go: what they leave is cleared away soon.
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.05, autovacuum_analyze_threshold = 1000);

CREATE TABLE ends (
    run           text COLLATE "C" NOT NULL PRIMARY KEY,
    status        text NOT NULL,
    at            bigint NOT NULL,
    -- The fence under which it ended.
    fence         bigint NOT NULL,
    -- How long its key is kept.
    claim_until   bigint,
    answer_status bigint,
    answer        bytea
);

ALTER TABLE progress ALTER COLUMN state SET STORAGE EXTERNAL;
ALTER TABLE ends ALTER COLUMN answer SET STORAGE EXTERNAL;

INSERT INTO progress (run, status, waited_for, resolved, revision, state)
    SELECT id, CASE WHEN finished_at IS NULL THEN status ELSE 'ended' END, finished_at IS NULL AND queue IS NULL, resolved,
    revision, coalesce(state, '') FROM runs
    WHERE finished_at IS NULL OR (state IS NOT NULL AND id IN (SELECT run FROM dead_letters)) ORDER BY id;

INSERT INTO ends (run, status, at, fence, claim_until, answer_status, answer)
    SELECT id, status, finished_at, fence, claim_until, answer_status, answer FROM runs
    WHERE finished_at IS NOT NULL ORDER BY id;

DROP INDEX runs_unfinished, runs_unusual;
ALTER TABLE runs DROP COLUMN status, DROP COLUMN revision, DROP COLUMN finished_at, DROP COLUMN claim_until, DROP COLUMN state,
    DROP COLUMN answer_status, DROP COLUMN answer, DROP COLUMN queue, DROP COLUMN fence, DROP COLUMN resolved;
ALTER TABLE runs RESET (fillfactor);
CREATE INDEX progress_waited_for ON progress (run) WHERE waited_for;
CREATE INDEX progress_waiting ON progress (run) WHERE status = 'waiting';
CREATE INDEX ends_unusual ON ends (status, run) WHERE status <> 'succeeded';
