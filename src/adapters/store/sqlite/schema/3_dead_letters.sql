-- Runs that a person has to look at: in doubt, or tried as often as they may be.

-- Whether the run's caller was told where to look, and did not wait.
ALTER TABLE runs ADD COLUMN is_async INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET is_async = 1 WHERE rank IS NOT NULL;

CREATE TABLE dead_letters (
    run         TEXT NOT NULL PRIMARY KEY,
    integration TEXT NOT NULL,
    operation   TEXT NOT NULL,
    step        TEXT,
    class       TEXT NOT NULL,
    code        TEXT NOT NULL,
    died_at     INTEGER NOT NULL
) STRICT;

CREATE INDEX dead_letters_groups ON dead_letters (integration, operation, class, code);
