//! How an environment of EC2 instances scales, from what was asked for.
//!
//! Source: AWS Batch API reference, ComputeResource, ComputeScalingPolicy and UpdatePolicy.

use fornada_core::instance::Market;
use fornada_core::scale::{AllocationStrategy, Scaling};
use fornada_model::batch as model;

/// Source: AWS Batch API reference, UpdatePolicy (`jobExecutionTimeoutMinutes`).
const JOB_EXECUTION_TIMEOUT_MINUTES: u32 = 30;

/// `None` for what has no instances of its own. `resources` have been checked.
pub(super) fn of(
    resources: &model::ComputeResource,
    update_policy: Option<&model::UpdatePolicy>,
    generation: u32,
) -> Option<Scaling> {
    let market = match resources.r#type {
        model::CRType::Ec2 => Market::OnDemand,
        model::CRType::Spot => Market::Spot,
        model::CRType::Fargate | model::CRType::FargateSpot | model::CRType::EcsManagedInstances => {
            return None;
        }
    };
    let amount = |given: Option<i32>| given.and_then(|n| u32::try_from(n).ok());
    let min_vcpus = amount(resources.min_vcpus).unwrap_or(0);
    let policy = resources.scaling_policy.as_ref();
    let timeout = update_policy.and_then(|policy| policy.job_execution_timeout_minutes);
    Some(Scaling {
        market,
        strategy: resources.allocation_strategy.map_or_else(AllocationStrategy::default, strategy),
        instance_types: resources.instance_types.iter().flatten().map(|one| one.as_str().into()).collect(),
        min_vcpus,
        desired_vcpus: amount(resources.desired_vcpus).unwrap_or(min_vcpus),
        // Tools that cannot leave it out send 0.
        bid_percentage: amount(resources.bid_percentage).filter(|percentage| *percentage > 0),
        scale_down_delay_minutes: amount(policy.and_then(|policy| policy.min_scale_down_delay_minutes))
            .filter(|minutes| *minutes > 0),
        terminate_jobs_on_update: update_policy
            .and_then(|policy| policy.terminate_jobs_on_update)
            .unwrap_or(false),
        job_execution_timeout_minutes: timeout
            .and_then(|minutes| u32::try_from(minutes).ok())
            .unwrap_or(JOB_EXECUTION_TIMEOUT_MINUTES),
        generation,
    })
}

fn strategy(given: model::CRAllocationStrategy) -> AllocationStrategy {
    use model::CRAllocationStrategy as From;
    match given {
        From::BestFit => AllocationStrategy::BestFit,
        From::BestFitProgressive => AllocationStrategy::BestFitProgressive,
        From::BestFitProgressiveOrdered => AllocationStrategy::BestFitProgressiveOrdered,
        From::SpotCapacityOptimized => AllocationStrategy::SpotCapacityOptimized,
        From::SpotPriceCapacityOptimized => AllocationStrategy::SpotPriceCapacityOptimized,
        From::SpotCapacityOptimizedPrioritized => AllocationStrategy::SpotCapacityOptimizedPrioritized,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(resources: Value, policy: Value) -> Option<Scaling> {
        let policy: Option<model::UpdatePolicy> = serde_json::from_value(policy).unwrap();
        of(&serde_json::from_value(resources).unwrap(), policy.as_ref(), 3)
    }

    #[test]
    fn members_and_their_defaults() {
        let least = json!({ "type": "EC2", "maxvCpus": 8, "minvCpus": 2, "instanceTypes": ["optimal"] });
        let plain = Scaling {
            market: Market::OnDemand,
            strategy: AllocationStrategy::BestFit,
            instance_types: vec!["optimal".into()],
            min_vcpus: 2,
            desired_vcpus: 2,
            bid_percentage: None,
            scale_down_delay_minutes: None,
            terminate_jobs_on_update: false,
            job_execution_timeout_minutes: 30,
            generation: 3,
        };
        assert_eq!(read(least, Value::Null), Some(plain.clone()));

        let all = json!({ "type": "SPOT", "maxvCpus": 8, "minvCpus": 0, "desiredvCpus": 4, "bidPercentage": 60,
            "instanceTypes": ["r6i", "m6i.large"], "allocationStrategy": "SPOT_PRICE_CAPACITY_OPTIMIZED",
            "scalingPolicy": { "minScaleDownDelayMinutes": 20 } });
        let policy = json!({ "terminateJobsOnUpdate": true, "jobExecutionTimeoutMinutes": 90 });
        let want = Scaling {
            market: Market::Spot,
            strategy: AllocationStrategy::SpotPriceCapacityOptimized,
            instance_types: vec!["r6i".into(), "m6i.large".into()],
            min_vcpus: 0,
            desired_vcpus: 4,
            bid_percentage: Some(60),
            scale_down_delay_minutes: Some(20),
            terminate_jobs_on_update: true,
            job_execution_timeout_minutes: 90,
            ..plain
        };
        assert_eq!(read(all, policy), Some(want));
        for other in ["FARGATE", "FARGATE_SPOT", "ECS_MANAGED_INSTANCES"] {
            assert_eq!(read(json!({ "type": other, "maxvCpus": 8 }), Value::Null), None);
        }
    }
}
