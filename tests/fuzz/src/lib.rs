//! Hostile bytes for everything that reads what others sent.
//!
//! A [`Target`] is one reader: it takes any bytes and fails when a promise about them breaks, which is more than that nothing
//! panics. What is taken is in its one form, has its one id and keeps its limits; what is decoded encodes to the same again;
//! what is refused is refused with words, by a process that goes on.
//!
//! `cargo test -p fuzz` replays the saved [`corpus`] of every target, and [`mutate`]s it the same way every time.
//! `tests/fuzz/run.sh` lets libFuzzer look for minutes, guided by what the code does.

pub mod bodies;
pub mod corpus;
pub mod messages;
pub mod mutate;
pub mod node;
pub mod records;
pub mod texts;

/// Something that reads bytes from outside.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name of its corpus.
    pub name: &'static str,
    /// Inputs that get it somewhere: what it takes, and what it once should not have taken.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Reads, and panics when a promise is broken.
    pub check: fn(&[u8]),
    /// Mutations of a replay. Those that go through a store cost more.
    pub mutations: usize,
}

/// All of them.
pub fn targets() -> Vec<Target> {
    [
        records::targets(),
        texts::targets(),
        bodies::targets(),
        messages::targets(),
    ]
    .concat()
}
