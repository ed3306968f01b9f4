-- What became of attempts: no promise, and let go of under pressure.

CREATE TABLE attempts (
    id             text COLLATE "C" NOT NULL PRIMARY KEY,
    at             bigint NOT NULL,
    run            text NOT NULL,
    integration    text NOT NULL,
    endpoint       text NOT NULL,
    correlation_id text NOT NULL,
    outcome        text NOT NULL,
    -- 0: there was no whole answer.
    status         bigint NOT NULL,
    record         bytea NOT NULL
);

ALTER TABLE attempts ALTER COLUMN record SET STORAGE EXTERNAL;
CREATE INDEX attempts_run ON attempts (run, id);
CREATE INDEX attempts_correlation ON attempts (correlation_id, id);
CREATE INDEX attempts_endpoint ON attempts (integration, endpoint, outcome, id);
