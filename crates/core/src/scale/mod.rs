//! Compute environments that scale: which instances to launch for the jobs that wait, and which to give back.
//!
//! | question | file |
//! |---|---|
//! | what instance types are there | [`instance_type`], `catalogue` |
//! | which ones may an environment launch, in which order | [`select`], [`spot`] |
//! | how many of which for all that waits | [`plan`] |
//! | what waits that no instance has room for | `demand` |
//! | which idle ones go, and when | [`surplus`] |
//! | the fleet of an environment: launching, replacing, terminating, and what becomes of it | `fleet` |
//! | what provisioners report | `observe` |

#[rustfmt::skip]
mod catalogue;
mod demand;
pub(crate) mod fleet;
pub mod instance_type;
mod observe;
pub mod plan;
pub mod select;
pub mod spot;
pub mod surplus;

use minicbor::{Decode, Encode};

use crate::instance::Market;
use crate::text::Text;

/// How a managed environment of EC2 instances scales. Its ceiling is [`max_vcpus`].
///
/// Source: AWS Batch API reference, ComputeResource, UpdatePolicy and ComputeScalingPolicy.
///
/// [`max_vcpus`]: crate::resource::compute_environment::ComputeEnvironment::max_vcpus
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Scaling {
    /// `type`: EC2 or SPOT.
    #[n(0)]
    pub market: Market,
    /// `allocationStrategy`; BEST_FIT when none was given.
    #[n(1)]
    pub strategy: AllocationStrategy,
    /// `instanceTypes`: types, families, `optimal`, `default_x86_64`, `default_arm64`; in the order given.
    #[n(2)]
    pub instance_types: Vec<Text>,
    /// `minvCpus`.
    #[n(3)]
    pub min_vcpus: u32,
    /// `desiredvCpus`, as asked for with the latest change; `minvCpus` when that did not ask for any. So many vCPUs are
    /// launched once, whatever waits.
    #[n(4)]
    pub desired_vcpus: u32,
    /// `bidPercentage` of the on-demand price, 1..=100 and more; `None` is 100.
    #[n(5)]
    pub bid_percentage: Option<u32>,
    /// `minScaleDownDelayMinutes`; `None` when it is not set.
    #[n(6)]
    pub scale_down_delay_minutes: Option<u32>,
    /// `terminateJobsOnUpdate`.
    #[n(7)]
    pub terminate_jobs_on_update: bool,
    /// `jobExecutionTimeoutMinutes`, 1..=7200.
    #[n(8)]
    pub job_execution_timeout_minutes: u32,
    /// Counts infrastructure updates: instances of an earlier generation are replaced.
    #[n(9)]
    pub generation: u32,
}

/// `allocationStrategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub enum AllocationStrategy {
    /// The cheapest type that the job fits on, and no other.
    #[default]
    #[n(0)]
    BestFit,
    /// Types that are large enough, the lowest price per vCPU first.
    #[n(1)]
    BestFitProgressive,
    /// As the former, in the order of `instanceTypes`.
    #[n(2)]
    BestFitProgressiveOrdered,
    /// The spot pool that is least likely to be interrupted.
    #[n(3)]
    SpotCapacityOptimized,
    /// The spot pool that is cheap and unlikely to be interrupted.
    #[n(4)]
    SpotPriceCapacityOptimized,
    /// Capacity first, the order of `instanceTypes` as a hint.
    #[n(5)]
    SpotCapacityOptimizedPrioritized,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An environment that scales as little says.
    pub(super) fn scaling(market: Market, strategy: AllocationStrategy, instance_types: &[&str]) -> Scaling {
        Scaling {
            market,
            strategy,
            instance_types: instance_types.iter().map(|one| (*one).into()).collect(),
            min_vcpus: 0,
            desired_vcpus: 0,
            bid_percentage: None,
            scale_down_delay_minutes: None,
            terminate_jobs_on_update: false,
            job_execution_timeout_minutes: 30,
            generation: 0,
        }
    }
}
