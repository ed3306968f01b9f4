-- A run is written once, when it is accepted. How it stands goes with it, until it has ended and nobody can take it up again;
-- how it ended is written when it has. So nothing large is written twice, and no row grows.

CREATE TABLE progress (
    run        TEXT NOT NULL PRIMARY KEY,
    -- 'ended': a dead letter, which can be taken up again.
    status     TEXT NOT NULL,
    -- Whether its caller waits, or waited when it began: it is not queued, and has not ended.
    waited_for INTEGER NOT NULL,
    -- Whether a person has said that the run has failed: it is no dead letter for that again.
    resolved   INTEGER NOT NULL DEFAULT 0,
    revision   INTEGER NOT NULL,
    -- How it stands, and the requests that may have been sent.
    state      BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE ends (
    run           TEXT NOT NULL PRIMARY KEY,
    status        TEXT NOT NULL,
    at            INTEGER NOT NULL,
    -- The fence under which it ended.
    fence         INTEGER NOT NULL,
    -- How long its key is kept.
    claim_until   INTEGER,
    answer_status INTEGER,
    answer        BLOB
) STRICT;

INSERT INTO progress (run, status, waited_for, resolved, revision, state)
    SELECT id, CASE WHEN finished_at IS NULL THEN status ELSE 'ended' END, finished_at IS NULL AND queue IS NULL, resolved,
    revision, coalesce(state, x'') FROM runs
    WHERE finished_at IS NULL OR (state IS NOT NULL AND id IN (SELECT run FROM dead_letters)) ORDER BY id;

INSERT INTO ends (run, status, at, fence, claim_until, answer_status, answer)
    SELECT id, status, finished_at, fence, claim_until, answer_status, answer FROM runs
    WHERE finished_at IS NOT NULL ORDER BY id;

CREATE TABLE accepted (
    id              TEXT NOT NULL PRIMARY KEY,
    client          TEXT,
    operation       TEXT NOT NULL,
    version         INTEGER NOT NULL,
    correlation_id  TEXT NOT NULL,
    trace           TEXT NOT NULL,
    priority        TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    -- The step of the operation that a run in the background is alone about.
    part            INTEGER,
    -- Whether the run's caller was told where to look, and did not wait.
    is_async        INTEGER NOT NULL,
    -- Whether the run was under way when a server's life ended, and another life went on with it.
    recovered       INTEGER NOT NULL DEFAULT 0,
    -- The digest of the idempotency key and of where it holds, while it holds.
    claim           BLOB UNIQUE,
    fingerprint     BLOB,
    claim_retention INTEGER,
    configuration   BLOB NOT NULL,
    input           BLOB NOT NULL
) STRICT;

INSERT INTO accepted (id, client, operation, version, correlation_id, trace, priority, created_at, part, is_async, recovered,
    claim, fingerprint, claim_retention, configuration, input)
    SELECT id, client, operation, version, correlation_id, trace, priority, created_at, part, is_async, recovered,
    claim, fingerprint, claim_retention, configuration, input FROM runs ORDER BY id;

DROP TABLE runs;
ALTER TABLE accepted RENAME TO runs;
CREATE INDEX runs_correlation ON runs (correlation_id);
CREATE INDEX runs_recovered ON runs (id) WHERE recovered = 1;
CREATE INDEX progress_waited_for ON progress (run) WHERE waited_for;
CREATE INDEX progress_waiting ON progress (run) WHERE status = 'waiting';
CREATE INDEX ends_unusual ON ends (status, run) WHERE status <> 'succeeded';
