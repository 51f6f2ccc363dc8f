//! The whole system through its front door: real processes, real ports, real kills.
//!
//! A cluster is twelve processes and a machine may have two cores, so tests take turns ([`stage`]): one cluster for those
//! that leave it in peace, one for those that break it and mend it again, and whoever needs another gets the stage empty.

mod apart;
mod claims;
mod feeds;
mod load;
mod moves;
mod nodes;
mod peace;
mod stage;
mod storm;
