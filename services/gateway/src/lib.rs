//! The clients' door: HTTP API, routing by shard, fan-out.
