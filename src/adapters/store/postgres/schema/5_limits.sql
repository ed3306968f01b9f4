-- What of limits outlives the process: what is reserved of quotas, who is to be left alone, what was learned.

CREATE TABLE limits (
    -- `integration/NAME` or `group/NAME`.
    owner  text COLLATE "C" NOT NULL,
    -- Empty: the whole integration.
    name   text COLLATE "C" NOT NULL,
    -- The digest of the budget's key; empty where there is one for all.
    key    bytea NOT NULL,
    -- From then on it tells nothing any more.
    until  bigint NOT NULL,
    record text NOT NULL,
    PRIMARY KEY (owner, name, key)
);

CREATE INDEX limits_until ON limits (until);

-- When a server was last seen alive that used limits, and whether it ended in order then.
CREATE TABLE life (
    id    bigint NOT NULL PRIMARY KEY CHECK (id = 1),
    at    bigint NOT NULL,
    ended boolean NOT NULL,
    -- Until when nobody knows what was taken.
    untold_until bigint
);
