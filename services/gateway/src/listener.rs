//! The two HTTP listeners: what they serve, and what every request passes on its way in and out.

mod layers;
mod routes;
mod server;

pub use layers::cors;
pub use routes::{cluster_router, public_router};
pub use server::serve;
