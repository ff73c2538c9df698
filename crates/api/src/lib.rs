//! The HTTP surface of Fornada: signatures, routing, decoding, operations, encoding.
#![forbid(unsafe_code)]

pub mod access_keys;
pub mod server;
pub mod sigv4;
