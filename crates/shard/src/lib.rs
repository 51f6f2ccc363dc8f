//! Members, shards, placement and the completeness rule.
