-- Times are milliseconds since the Unix epoch. BLOBs but digests are sealed.

CREATE TABLE runs (
    id              TEXT NOT NULL PRIMARY KEY,
    client          TEXT,
    operation       TEXT NOT NULL,
    version         INTEGER NOT NULL,
    correlation_id  TEXT NOT NULL,
    trace           TEXT NOT NULL,
    priority        TEXT NOT NULL,
    status          TEXT NOT NULL,
    revision        INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    finished_at     INTEGER,
    -- The digest of the idempotency key and of where it holds, while it holds.
    claim           BLOB UNIQUE,
    fingerprint     BLOB,
    claim_retention INTEGER,
    claim_until     INTEGER,
    configuration   BLOB NOT NULL,
    input           BLOB NOT NULL,
    -- How it stands, and the requests that may have been sent.
    state           BLOB,
    answer_status   INTEGER,
    answer          BLOB
) STRICT;

CREATE INDEX runs_unfinished ON runs (id) WHERE finished_at IS NULL;
CREATE INDEX runs_correlation ON runs (correlation_id);
CREATE INDEX runs_unusual ON runs (status, id) WHERE status NOT IN ('running', 'succeeded');

-- The files that runs began with, by their digest.
CREATE TABLE configurations (
    id      BLOB NOT NULL PRIMARY KEY,
    kept_at INTEGER NOT NULL,
    files   BLOB NOT NULL
) STRICT;

-- A proof of each key that has sealed anything here.
CREATE TABLE seals (
    key    TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;

-- Written to find out whether it can be.
CREATE TABLE checks (at INTEGER NOT NULL) STRICT;
INSERT INTO checks (at) VALUES (0);
