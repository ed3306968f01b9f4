-- When providers are asked what became of a run in doubt; NULL: none can be, or not any more.
ALTER TABLE dead_letters ADD COLUMN inquire_at INTEGER;
CREATE INDEX dead_letters_inquiries ON dead_letters (inquire_at) WHERE inquire_at IS NOT NULL;
