-- Schema 3: epochs by what they supersede (docs/adr/0012-what-bears-on-an-answer.md).

-- Which epochs name another one: a line for each that a record of kind 2 has in `supersedes`.
CREATE TABLE supersession (
    epoch    BLOB    NOT NULL CHECK (length(epoch) = 32), -- the id that is named, whether or not its record is here
    at_ms    INTEGER NOT NULL, -- started_at of the epoch that names it
    sequence INTEGER NOT NULL, -- of the epoch that names it
    PRIMARY KEY (epoch, at_ms, sequence)
) STRICT, WITHOUT ROWID;

-- Those that are here already. A damaged row has no lines: it is no answer, and comes again when repair has fetched a good copy.
INSERT OR IGNORE INTO supersession (epoch, at_ms, sequence)
SELECT unhex(named.value), topic.at_ms, topic.sequence
FROM topic
CROSS JOIN record ON record.sequence = topic.sequence
CROSS JOIN json_each(
    CASE WHEN json_valid(CAST(record.canonical AS TEXT)) THEN CAST(record.canonical AS TEXT) ELSE '{}' END,
    '$.supersedes') AS named
WHERE topic.kind = 2 AND length(unhex(named.value)) = 32;

PRAGMA user_version = 3;
