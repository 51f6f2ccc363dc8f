-- Schema 1: records with their provenance, two ways to find them, and the roots of the trees.
--
-- `place` and `topic` are what indexes on `record` would be, written as tables: an index repeats its columns in the row, and
-- id, subject and predicate are in the canonical bytes already (docs/adr/0004-storage.md has the figures).

-- Who this store is. One row.
CREATE TABLE store (
    only_row         INTEGER PRIMARY KEY CHECK (only_row = 1),
    store_id         BLOB    NOT NULL CHECK (length(store_id) = 16), -- random, made with the database
    num_shards       INTEGER NOT NULL CHECK (num_shards BETWEEN 1 AND 1024), -- fixed for its life; also the number of the global shard
    cluster_id       TEXT,             -- NULL until a cluster is adopted, then never changed
    counts_as_absent INTEGER NOT NULL CHECK (counts_as_absent IN (0, 1)), -- 1: may hold a fraction of what was acknowledged
    created_at_ms    INTEGER NOT NULL  -- Unix milliseconds
) STRICT;

-- What is kept. Rows are written in arrival order and not changed, but for redaction.
CREATE TABLE record (
    sequence        INTEGER PRIMARY KEY, -- arrival order; never given twice, see shard.last_sequence
    id_head         INTEGER NOT NULL,    -- first 4 bytes of the id: shows a damaged row without looking up its place
    canonical       BLOB,                -- canonical bytes, BLAKE3 of which is the id; NULL: redacted
    received_at_ms  INTEGER NOT NULL,    -- Unix milliseconds by this node's clock
    arrival         INTEGER NOT NULL CHECK (arrival IN (0, 1)), -- 0: a gateway sent it, 1: repair brought it
    origin_store    BLOB,                -- repaired rows: the store it was copied from, 16 bytes; else NULL: this store
    origin_sequence INTEGER,             -- repaired rows: its sequence there; else NULL: `sequence`
    trace_id        BLOB                 -- 16 bytes: trace of the write that brought it into the cluster; NULL: none
) STRICT;

-- Which ids are here: the set that the trees are built over.
CREATE TABLE place (
    shard    INTEGER NOT NULL, -- store.num_shards: the global shard
    id       BLOB    NOT NULL, -- 32 bytes
    sequence INTEGER NOT NULL,
    PRIMARY KEY (shard, id)
) STRICT, WITHOUT ROWID;

-- What the records are about.
CREATE TABLE topic (
    kind      INTEGER NOT NULL, -- 0 assertion, 1 vote, 2 epoch, 3 source
    subject   TEXT    NOT NULL, -- subject; of an epoch its name, of a source its uri
    predicate TEXT    NOT NULL, -- predicate; of a vote the assertion's id; else empty
    at_ms     INTEGER NOT NULL, -- asserted_at, voted_at, started_at, recorded_at
    sequence  INTEGER NOT NULL,
    PRIMARY KEY (kind, subject, predicate, at_ms, sequence)
) STRICT, WITHOUT ROWID;

-- What a shard's tree comes to. Written in the transaction that writes the records, so that a start scans nothing.
CREATE TABLE shard (
    shard         INTEGER PRIMARY KEY,
    root          BLOB    NOT NULL CHECK (length(root) = 32),
    ids           INTEGER NOT NULL, -- how many
    last_sequence INTEGER NOT NULL  -- the highest ever given in this shard, deleted rows included
) STRICT;

-- Records whose bytes were dropped on every node. The id stays in `place` and in the tree.
CREATE TABLE redaction (
    sequence       INTEGER PRIMARY KEY,
    shard          INTEGER NOT NULL,
    id             BLOB    NOT NULL,
    redacted_at_ms INTEGER NOT NULL,
    reason         TEXT    NOT NULL
) STRICT;

-- Rows whose bytes no longer hash to their id, moved here out of `record`, `place` and `topic`, so that the id can be
-- fetched again.
CREATE TABLE quarantine (
    sequence      INTEGER PRIMARY KEY,
    shard         INTEGER NOT NULL,
    id            BLOB    NOT NULL,
    canonical     BLOB,             -- as it was found
    noticed_at_ms INTEGER NOT NULL,
    reason        TEXT    NOT NULL
) STRICT;

-- For people with the sqlite3 shell: SELECT * FROM readable WHERE canonical ->> 'subject' = 'cas:7732-18-5';
CREATE VIEW readable AS
SELECT record.sequence, place.shard, lower(hex(place.id)) AS id, CAST(record.canonical AS TEXT) AS canonical,
       datetime(record.received_at_ms / 1000, 'unixepoch') AS received_at, lower(hex(record.trace_id)) AS trace_id
FROM place JOIN record USING (sequence);

PRAGMA user_version = 1;
