//! Adapters that keep things on disk.
//!
//! [`log`]: the output of jobs.

#![forbid(unsafe_code)]

pub mod log;
