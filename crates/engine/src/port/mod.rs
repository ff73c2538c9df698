//! Ports: what the engine needs of the world, as traits. Adapters live in crates of their own.

pub mod log;
