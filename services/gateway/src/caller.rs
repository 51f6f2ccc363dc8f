//! On whose behalf a neighbour or a store is asked: what travels with every call.

use tonic::Request;
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

impl Caller {
    /// A message with the client's key beside it.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(api_key) = &self.api_key {
            let key = api_key.clone();
            request.metadata_mut().insert(API_KEY_HEADER, key);
        }
        request
    }
}
