-- What operators have said that holds until they say otherwise, and who has said what.

CREATE TABLE control (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE audit (
    id       INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    operator TEXT,
    action   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    reason   TEXT
) STRICT;
