//! Record model, canonical bytes and content ids.
