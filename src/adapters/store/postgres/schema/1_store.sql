-- Times are milliseconds since the Unix epoch. BYTEAs but digests are sealed, and so never worth compressing.

CREATE TABLE runs (
    id              text COLLATE "C" NOT NULL PRIMARY KEY,
    client          text,
    operation       text NOT NULL,
    version         bigint NOT NULL,
    correlation_id  text NOT NULL,
    trace           text NOT NULL,
    priority        text NOT NULL,
    status          text NOT NULL,
    revision        bigint NOT NULL,
    created_at      bigint NOT NULL,
    finished_at     bigint,
    -- The digest of the idempotency key and of where it holds, while it holds.
    claim           bytea UNIQUE,
    fingerprint     bytea,
    claim_retention bigint,
    claim_until     bigint,
    configuration   bytea NOT NULL,
    input           bytea NOT NULL,
    -- How it stands, and the requests that may have been sent.
    state           bytea,
    answer_status   bigint,
    answer          bytea,
    -- The step of the operation that a run in the background is alone about.
    part            bigint,
    -- Where it waits or is executed; NULL: it is over, or its caller waits.
    queue           text COLLATE "C",
    -- The priority, 0 before 1 before 2; and the client, for turns.
    rank            bigint,
    lane            text COLLATE "C",
    not_before      bigint,
    lease_until     bigint,
    -- Grows with each lease: who holds an older one has lost the run.
    fence           bigint NOT NULL DEFAULT 0,
    tries           bigint NOT NULL DEFAULT 0,
    first_try       bigint,
    cancel          boolean NOT NULL DEFAULT false,
    -- Whether its caller was told where to look, and did not wait.
    is_async        boolean NOT NULL DEFAULT false,
    -- Whether a person has said that it has failed: it is no dead letter for that again.
    resolved        boolean NOT NULL DEFAULT false
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX runs_unfinished ON runs (id) WHERE finished_at IS NULL AND queue IS NULL;
CREATE INDEX runs_correlation ON runs (correlation_id);
CREATE INDEX runs_unusual ON runs (status, id) WHERE status NOT IN ('running', 'succeeded');
CREATE INDEX runs_due ON runs (queue, rank, lane, not_before, id) WHERE queue IS NOT NULL AND lease_until IS NULL;
CREATE INDEX runs_leased ON runs (lease_until) WHERE lease_until IS NOT NULL;

-- Runs that a person has to look at: in doubt, or tried as often as they may be.
CREATE TABLE dead_letters (
    run         text COLLATE "C" NOT NULL PRIMARY KEY,
    integration text NOT NULL,
    operation   text NOT NULL,
    step        text,
    class       text NOT NULL,
    code        text NOT NULL,
    died_at     bigint NOT NULL
);

CREATE INDEX dead_letters_groups ON dead_letters (integration, operation, class, code);

-- The files that runs began with, by their digest.
CREATE TABLE configurations (
    id      bytea NOT NULL PRIMARY KEY,
    kept_at bigint NOT NULL,
    files   bytea NOT NULL
);

-- A proof of each key that has sealed anything here.
CREATE TABLE seals (
    key    text NOT NULL PRIMARY KEY,
    sealed bytea NOT NULL
);

-- What operators have said that holds until they say otherwise, and who has said what.
CREATE TABLE control (
    key   text COLLATE "C" NOT NULL PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE audit (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       bigint NOT NULL,
    operator text,
    action   text NOT NULL,
    subject  text NOT NULL,
    reason   text
);

-- Written to find out whether it can be.
CREATE TABLE checks (at bigint NOT NULL);
INSERT INTO checks (at) VALUES (0);

-- Whose the database is: grows with each server that takes it.
CREATE TABLE owner (epoch bigint NOT NULL);
INSERT INTO owner (epoch) VALUES (0);

-- Nothing is written by a server that the database was taken from. Who takes it waits for what is being written.
CREATE FUNCTION own(mine bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(4851453741532);
    IF (SELECT epoch FROM owner) <> mine THEN
        RAISE EXCEPTION 'another server has taken the database' USING ERRCODE = 'CW001';
    END IF;
END
$$;

ALTER TABLE runs ALTER COLUMN input SET STORAGE EXTERNAL, ALTER COLUMN state SET STORAGE EXTERNAL,
    ALTER COLUMN answer SET STORAGE EXTERNAL;
ALTER TABLE configurations ALTER COLUMN files SET STORAGE EXTERNAL;
