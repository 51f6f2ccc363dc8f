//! The records that a lens weighs.

use std::ops::Deref;

use assertion::{Assertion, Content, Record};

/// A record that is an assertion.
#[derive(Debug, Clone)]
pub(crate) struct Claim(Record);

impl Claim {
    pub(crate) fn of(record: &Record) -> Option<Claim> {
        record.assertion().is_some().then(|| Claim(record.clone()))
    }

    /// What it says.
    pub(crate) fn said(&self) -> &Assertion {
        match self.0.content() {
            Content::Assertion(claim) => claim,
            _ => unreachable!("a claim is made of assertions only"),
        }
    }

    /// The record.
    pub(crate) fn record(&self) -> &Record {
        &self.0
    }
}

impl Deref for Claim {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.0
    }
}
