-- Schema 5: what a scrub found (docs/adr/0014-scrub.md).

-- When a good copy of the record came again; NULL: it is still waited for.
ALTER TABLE quarantine ADD COLUMN healed_at_ms INTEGER;

-- Ids that went without being given up: repair that remembers what was here has to compare anew when this has changed.
ALTER TABLE store ADD COLUMN losses INTEGER NOT NULL DEFAULT 0;

-- When a whole scrub ended last, Unix milliseconds; 0: never.
ALTER TABLE store ADD COLUMN scrubbed_at_ms INTEGER NOT NULL DEFAULT 0;

PRAGMA user_version = 5;
