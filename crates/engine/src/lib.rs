//! The loop that owns the state, and the ports through which it meets the world.
//!
//! Four steps, always in this order: *stamp* (time and ids), *decide* (pure, in `fornada-core`), *commit* (one durable
//! transaction a batch), *act* (replies, then actions). See `docs/architecture.md`.

#![forbid(unsafe_code)]

pub mod port;
