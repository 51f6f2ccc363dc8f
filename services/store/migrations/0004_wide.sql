-- Schema 4: a store that was not one of the holders of everything must not take itself for one when members become fewer
-- (docs/adr/0013-homecoming.md).

ALTER TABLE store ADD COLUMN wide INTEGER NOT NULL DEFAULT 0 CHECK (wide IN (0, 1)); -- 1: there were more members than copies since it last held everything

PRAGMA user_version = 4;
