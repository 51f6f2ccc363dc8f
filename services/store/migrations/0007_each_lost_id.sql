-- Schema 7: a row of quarantine for each id that is waited for: damage may have led two ids to one row (docs/adr/0014-scrub.md).

ALTER TABLE quarantine RENAME TO quarantine_by_row;

CREATE TABLE quarantine (
    shard         INTEGER NOT NULL,
    id            BLOB    NOT NULL,
    sequence      INTEGER NOT NULL, -- of the row that it had
    canonical     BLOB,             -- as it was found
    noticed_at_ms INTEGER NOT NULL,
    reason        TEXT    NOT NULL,
    healed_at_ms  INTEGER,          -- when a good copy of the record came again; NULL: it is still waited for
    PRIMARY KEY (shard, id, sequence)
) STRICT;

INSERT INTO quarantine (shard, id, sequence, canonical, noticed_at_ms, reason, healed_at_ms)
SELECT shard, id, sequence, canonical, noticed_at_ms, reason, healed_at_ms FROM quarantine_by_row;

DROP TABLE quarantine_by_row;

PRAGMA user_version = 7;
