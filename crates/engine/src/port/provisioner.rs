//! Where instances come from.

use fornada_core::instance::Provision;

/// Launches and terminates instances for environments that scale, and reports what becomes of them as observations
/// ([`fornada_core::attempt::Observation`]: `Connected`, `LaunchFailed`, `Interrupted`, `Terminated`, and `Instances` when it
/// has (re)connected).
///
/// What is asked for is keyed by instance and may come again: launching what was launched and terminating what is gone do
/// nothing. What cannot be delivered may be dropped: on the next `Instances` the engine compares and asks again.
///
/// A launch that comes again after the instance has failed or gone is answered again, with the same; the termination of an
/// instance that is not known is answered with `Terminated`. `Instances` is a barrier, as `Connected` is of a machine: it
/// arrives before anything that is said of an instance launched later. Notices that still hold are said again after it.
pub trait Provisioner: Send {
    /// Takes what is asked for, in order, without waiting for it.
    fn perform(&mut self, provisions: Vec<Provision>);
}
