//! What every service needs and none is about: settings, telemetry, health, shutdown, and the assembly of gRPC and metrics
//! listeners. Nothing in here knows what a record is.

pub mod boot;
pub mod clock;
pub mod grpc;
pub mod health;
pub mod metrics;
pub mod settings;
mod shutdown;
pub mod spans;
pub mod tasks;
pub mod telemetry;
pub mod trace;

pub use settings::{Loopback, Settings};
pub use shutdown::Shutdown;
