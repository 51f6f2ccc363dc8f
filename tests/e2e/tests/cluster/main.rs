//! The whole system through its front door: real processes, real ports, real kills.
//!
//! A cluster is twelve processes and a machine may have two cores, so tests take turns ([`stage`]): one cluster for those
//! that leave it in peace, one for those that break it and mend it again, and whoever needs another gets the stage empty.

mod claims;
mod drained;
mod input;
mod killed;
mod load;
mod nodes;
mod quiet;
mod recorder;
mod sidecars;
mod single;
mod stage;
mod strangers;
mod survivor;
mod traced;
mod up;
mod water;
mod wires;
