//! Ports: what the engine needs of the world, as traits. Adapters live in crates of their own.

pub mod backend;
pub mod clock;
pub mod event;
pub mod log;
pub mod provisioner;
pub mod store;
