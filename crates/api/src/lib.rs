//! The HTTP surface of Fornada: signatures, routing, decoding, operations, encoding.
//!
//! A request passes [`server`] (connections, limits), [`front`] (id, signature, which service), then [`batch`] or [`logs`]
//! (which operation, decoding by the service model) or [`extensions`], and ends in one function per operation. That function checks what the
//! model cannot, calls the engine, and builds the answer. [`error`] has the only place where refusals become AWS's words.

#![forbid(unsafe_code)]

pub mod access_keys;
mod admission;
pub mod app;
pub mod batch;
mod connections;
pub mod defaults;
pub mod error;
pub mod extensions;
pub mod front;
pub mod limits;
pub mod logs;
mod metrics;
pub mod offline;
pub mod server;
pub mod sigv4;
