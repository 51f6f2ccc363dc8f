//! Seeded simulation of a cluster, on the real pure crates: `shard` for placement and for the rule of completeness, `merkle` for
//! what a store holds. Nodes, gateways, repair, network and clocks are small models that follow docs/adr/0008-completeness.md;
//! time is virtual, and one seed gives one history.
//!
//! A history has writes with stand-ins and late replies, lost messages, cuts in one or both directions, crashes, wiped disks,
//! frozen nodes that go on where they stopped, views that differ, and a node that joins. In all of it one thing must hold: an
//! answer that is `complete` through T holds every record acknowledged before T. And once the faults end, every record that
//! anybody has is on all its owners, and these hold the same.
//!
//! A [`Story`] is a history whose steps are told, for what chance hardly ever brings together.
//!
//! [`Broken`] breaks one rule at a time: the tests see that each of them is needed, and that the simulation would notice.

mod changes;
mod copies;
mod disk;
mod faults;
mod gateway;
mod homecoming;
mod network;
mod node;
mod oracle;
mod plan;
mod random;
mod repair;
mod story;
mod watch;
mod world;

pub use oracle::{Summary, Violation};
pub use plan::Broken;
pub use story::Story;

/// Plays the history of a seed. `Err`: what was promised did not hold.
pub fn run(seed: u64, broken: Broken) -> Result<Summary, Box<Violation>> {
    world::World::new(seed, broken).run()
}

/// Plays a story as a seed has it. `Err`: what was promised did not hold.
pub fn tell(story: Story, seed: u64, broken: Broken) -> Result<Summary, Box<Violation>> {
    world::World::told(story, seed, broken).run()
}
