-- Schema 8: a store knows with how many copies records were acknowledged that it may lack (docs/adr/0013-homecoming.md).

ALTER TABLE store ADD COLUMN replication_factor INTEGER NOT NULL DEFAULT 0; -- as told last; 0: never

PRAGMA user_version = 8;
