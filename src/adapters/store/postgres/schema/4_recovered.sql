-- Whether the run was under way when a server's life ended, and another life went on with it.
ALTER TABLE runs ADD COLUMN recovered boolean NOT NULL DEFAULT false;
CREATE INDEX runs_recovered ON runs (id) WHERE recovered;
