//! Simulations: the decisions of `fornada-core` in virtual time, on machines and a cloud that are made up.
//!
//! The same code decides as in a server; only the world around it is simulated. [`driver`] takes a [`workload`] and a state
//! with its queues and environments, and plays both against the machines there are and against [`cloud`], from which
//! environments that scale launch theirs. The [`journal`] holds what happened, and [`report`] what that means.
//!
//! Everything follows from the input and one seed: the same again gives the same, byte for byte.

#![forbid(unsafe_code)]

pub mod cloud;
pub mod driver;
pub mod journal;
pub mod random;
pub mod report;
pub mod workload;
