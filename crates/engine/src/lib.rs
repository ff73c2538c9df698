//! The loop that owns the state, and the ports through which it meets the world.
//!
//! Four steps, always in this order:
//!
//! 1. **Stamp.** Commands, observations and timers enter one bounded queue; a turn takes all that wait, with the time and
//!    a random seed for fresh ids.
//! 2. **Decide.** `fornada-core` applies them to the state and places jobs. Pure.
//! 3. **Commit.** The changed records of the turn go to the [`port::store::Store`] in one durable transaction, while the
//!    next turn is already being decided.
//! 4. **Act.** Only then are replies given actions handed to the [`port::backend::Backend`], and events to
//!    the [`port::event::EventSink`].
//!
//! A read takes part in a turn like everything else, so its answer waits for the commit in flight: nobody is ever shown
//! what a crash could take back. If a commit fails, the engine stops; starting again is the recovery.

#![forbid(unsafe_code)]

mod handle;
mod metrics;
pub mod port;
mod run;
pub mod step;

pub use handle::{Handle, Unavailable};
pub use metrics::Metrics;
pub use run::{Engine, Fatal, Ports};
