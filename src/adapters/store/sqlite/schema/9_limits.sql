-- What of limits outlives the process: what is reserved of quotas, who is to be left alone, what was learned.

CREATE TABLE limits (
    -- `integration/NAME` or `group/NAME`.
    owner  TEXT NOT NULL,
    -- Empty: the whole integration.
    name   TEXT NOT NULL,
    -- The digest of the budget's key; empty where there is one for all.
    key    BLOB NOT NULL,
    -- From then on it tells nothing any more.
    until  INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (owner, name, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX limits_until ON limits (until);

-- When a server was last seen alive that used limits, and whether it ended in order then.
CREATE TABLE life (
    id    INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    at    INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    -- Until when nobody knows what was taken.
    untold_until INTEGER
) STRICT;
