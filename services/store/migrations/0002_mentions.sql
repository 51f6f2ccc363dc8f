-- Schema 2: claims by the source or the predicate alone (docs/adr/0010-questions-without-a-subject.md).

-- Where a source or a predicate is mentioned: two lines a claim, newest first. Keys may collide: whoever reads a line looks at
-- the record behind it.
CREATE TABLE mention (
    key         INTEGER NOT NULL, -- first 8 bytes of BLAKE3 of 'source' || x'00' || uri, or of 'predicate' || x'00' || predicate
    minus_at_ms INTEGER NOT NULL, -- -asserted_at, so that all columns ascend
    sequence    INTEGER NOT NULL,
    PRIMARY KEY (key, minus_at_ms, sequence)
) STRICT, WITHOUT ROWID;

-- One row while records of schema 1 are not in `mention` yet: those behind `through`. They are entered before the store serves.
CREATE TABLE mention_backlog (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    through  INTEGER NOT NULL
) STRICT;

INSERT INTO mention_backlog (only_row, through)
SELECT 1, 0 WHERE EXISTS (SELECT 1 FROM record);

PRAGMA user_version = 2;
