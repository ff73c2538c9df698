//! Adapters that keep things on disk.
//!
//! [`sqlite`]: the records of the state. [`log`]: the output of jobs. [`finding`]: what checks of them say.

#![forbid(unsafe_code)]

pub mod file;
pub mod finding;
pub mod log;
pub mod sqlite;
