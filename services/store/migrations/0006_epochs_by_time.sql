-- Schema 6: epochs newest first, by a line of `mention` each: a page of them sorted all there are.

-- The key: first 8 bytes of BLAKE3 of 'kind' || x'00' || 'epoch', which SQL cannot compute.
INSERT OR IGNORE INTO mention (key, minus_at_ms, sequence)
SELECT -8304602775009291198, -at_ms, sequence
FROM topic
WHERE kind = 2;

PRAGMA user_version = 6;
