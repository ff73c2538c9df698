//! Where attempts run.

use fornada_core::attempt::Action;

/// Carries actions out, and reports what it sees through [`crate::Handle::observe`].
///
/// Actions are keyed by attempt and may come again: starting what was started, stopping what was stopped and forgetting
/// what was forgotten do nothing. Actions that cannot be delivered may be dropped: on the next
/// [`fornada_core::attempt::Observation::Connected`] the engine compares and asks again.
pub trait Backend: Send {
    /// Takes actions, in order, without waiting for them.
    fn perform(&self, actions: Vec<Action>);
}
