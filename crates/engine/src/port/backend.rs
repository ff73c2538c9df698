//! Where attempts run.

use fornada_core::attempt::Action;

/// Carries actions out, and reports what it sees through [`crate::Handle::observe`].
///
/// Actions are keyed by attempt and may come again: starting what was started, stopping what was stopped and forgetting
/// what was forgotten do nothing. Actions that cannot be delivered may be dropped: on the next
/// [`fornada_core::attempt::Observation::Connected`] the engine compares and asks again.
///
/// # What a backend promises
///
/// Safety rests on this, for each machine by itself; nothing is promised between machines.
///
/// - **`Connected` is a barrier.** It is said first on each connection, and says all that the machine runs or was not yet told to
///   forget. Nothing that is said of the machine after it arrives before it. It is said once, and never late.
/// - **What is lost is told again.** `Started` and `Exited` may be lost only with their connection; the next `Connected` then
///   holds what they said.
/// - **`Started` and `Exited` may be repeated, and may be late**, in any order and even after a later `Connected`: an attempt that
///   is over is not looked at again.
/// - **`Disconnected` and `Refused` keep their place** in what is said of the machine. Where there are several machines, `Refused` is
///   said once for each task: it uses up no attempt, so that by the second time the same attempt may be placed elsewhere. What was
///   refused is never run there, whatever arrives later.
/// - **Actions for one machine arrive in order.** One that is repeated arrives beside the first, not after a later one; and
///   nothing that was asked for on an earlier connection arrives after `Connected` was said on the next.
/// - **A stop is final.** An attempt that is stopped before it was started here has ended: it is reported as `Exited` without
///   exit code, and a start that arrives later does nothing.
/// - **An incarnation is one life of the machine.** Under a new one nothing runs that was started under another, and starts that
///   were meant for another are refused.
/// - **Nothing follows `Terminated`** but late repetitions of `Started` and `Exited`: what ran on the instance is gone for good.
pub trait Backend: Send {
    /// Takes actions, in order, without waiting for them.
    fn perform(&self, actions: Vec<Action>);
}
