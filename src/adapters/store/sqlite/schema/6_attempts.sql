-- What became of attempts: no promise, and let go of under pressure.

CREATE TABLE attempts (
    id             TEXT NOT NULL PRIMARY KEY,
    at             INTEGER NOT NULL,
    run            TEXT NOT NULL,
    integration    TEXT NOT NULL,
    endpoint       TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    outcome        TEXT NOT NULL,
    -- 0: there was no whole answer.
    status         INTEGER NOT NULL,
    record         BLOB NOT NULL
) STRICT;

CREATE INDEX attempts_run ON attempts (run, id);
CREATE INDEX attempts_correlation ON attempts (correlation_id, id);
CREATE INDEX attempts_endpoint ON attempts (integration, endpoint, outcome, id);
