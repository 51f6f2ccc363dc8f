//! On whose behalf a store is asked: what travels with every call.

use tonic::metadata::{Ascii, MetadataValue};

use sidecar::trace::Context;

/// Metadata key of the client's API key, on every hop.
pub const API_KEY_HEADER: &str = "x-api-key";

/// The client of a request. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// The client's key, as sent.
    pub api_key: Option<MetadataValue<Ascii>>,
    /// The trace that the request belongs to.
    pub trace: Option<Context>,
    /// Its id as the client sees it: 32 hex digits.
    pub trace_id: String,
}
