//! Decisions of a batch service, as plain functions of state, input and time.
//!
//! Nothing here reads a clock, draws a random number, or touches a file or socket: the engine stamps time and ids, hands in
//! commands and observations within a [`turn::Turn`], and gets back records to commit and actions to carry out.
//!
//! | folder | holds |
//! |---|---|
//! | [`job`] | the life of a job: statuses, arrays, dependencies, retry, stop |
//! | [`schedule`] | which job starts where, and as what |
//! | [`scale`], [`instance`] | which instances there are, and which ones an environment launches and terminates |
//! | [`explain`] | why a job is where it is, in words and in data |
//! | [`service_job`] | service jobs: the same for training jobs |
//! | [`resource`] | compute environments, job queues, job definitions, scheduling policies, consumable resources, service
//!   environments, quota shares, tags |
//! | [`overview`] | what is in use, and by whom |
//! | [`history`] | jobs that have ended |
//! | [`event`] | what is told of changes of status |
//! | [`state`], [`turn`], [`record`] | the state, a step of it, and what of it is durable |

#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm, clippy::iter_over_hash_type, clippy::float_cmp)]

pub mod arn;
pub mod attempt;
pub mod container;
pub mod event;
pub mod explain;
pub mod history;
pub mod id;
pub mod instance;
pub mod job;
pub mod overview;
pub mod quantity;
pub mod record;
pub mod refusal;
pub mod resource;
pub mod scale;
pub mod schedule;
pub mod service_job;
pub mod state;
pub mod task;
pub mod text;
pub mod time;
pub mod turn;
