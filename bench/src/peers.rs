//! What runs beside us in the same command: the limits of the machine, and another system.

pub mod etcd;
pub mod loopback;
pub mod sqlite;
