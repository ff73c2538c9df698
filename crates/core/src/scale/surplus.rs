//! Which idle instances to give back, and when to look again.
//!
//! What must hold: whole instances go or stay; none goes before its delay is over, nor below the floor; none that could go stays.
//!
//! Source: AWS Batch API reference, ComputeScalingPolicy; AWS Batch User Guide, Compute environment parameters (`minvCpus`).

use std::cmp::Reverse;

use super::Scaling;
use crate::text::Text;
use crate::time::Timestamp;

/// Milliseconds that an idle instance is kept for the next job where no `minScaleDownDelayMinutes` is set, or where it does not
/// apply. Our choice: AWS publishes none, and five minutes are less than it costs to wait for a new instance twice.
pub const IDLE_DELAY_MS: u64 = 5 * 60 * 1000;

/// A ready instance on which nothing runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idle {
    /// Its id.
    pub instance_id: Text,
    /// Of its type.
    pub vcpus: u32,
    /// When its last attempt ended, or when it connected if it never had one.
    pub idle_since: Timestamp,
    /// Whether it ever had an attempt: `minScaleDownDelayMinutes` counts from the end of one.
    pub used: bool,
}

/// What to give back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surplus {
    /// Ids of the instances to terminate now, the least useful first.
    pub terminate: Vec<Text>,
    /// When the delay of the next one is over that could go then; `None` when only another event can change anything.
    pub look_again: Option<Timestamp>,
}

/// Decides which of `idle` to terminate at `now`.
///
/// `total_vcpus` is what the environment has, busy and launching instances included; `floor_vcpus` is what it must keep: the
/// greater of `minvCpus` and what the work that waits still needs. The largest instances go first, for what is kept above the
/// floor costs least then; of equals, those that have been idle for longest.
///
/// Instances that are to be replaced do not belong here: they go as soon as they are idle.
pub fn surplus(
    scaling: &Scaling,
    mut idle: Vec<Idle>,
    total_vcpus: u64,
    floor_vcpus: u64,
    now: Timestamp,
) -> Surplus {
    idle.sort_by(|a, b| {
        let usefulness = |one: &Idle| (Reverse(one.vcpus), one.idle_since);
        usefulness(a).cmp(&usefulness(b)).then_with(|| a.instance_id.cmp(&b.instance_id))
    });
    let (mut surplus, mut spare) = (Surplus::default(), total_vcpus.saturating_sub(floor_vcpus));
    let (due, later): (Vec<_>, Vec<_>) = idle.into_iter().partition(|one| one.due(scaling) <= now);
    for one in due {
        if let Some(rest) = spare.checked_sub(one.vcpus.into()) {
            spare = rest;
            surplus.terminate.push(one.instance_id);
        }
    }
    let could_go = later.iter().filter(|one| u64::from(one.vcpus) <= spare);
    surplus.look_again = could_go.map(|one| one.due(scaling)).min();
    surplus
}

impl Idle {
    /// When it may go.
    fn due(&self, scaling: &Scaling) -> Timestamp {
        let minutes = scaling.scale_down_delay_minutes.filter(|_| self.used);
        self.idle_since.plus_millis(minutes.map_or(IDLE_DELAY_MS, |minutes| u64::from(minutes) * 60_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::Market;
    use crate::scale::AllocationStrategy;
    use crate::scale::tests::scaling;
    use proptest::prelude::*;

    const MINUTE: u64 = 60_000;

    fn idle(id: &str, vcpus: u32, since_minute: u64) -> Idle {
        Idle { instance_id: id.into(), vcpus, idle_since: Timestamp(since_minute * MINUTE), used: true }
    }

    fn at(
        scaling: &Scaling,
        idle: &[Idle],
        total: u64,
        floor: u64,
        minute: u64,
    ) -> (Vec<String>, Option<u64>) {
        let Surplus { terminate, look_again } =
            surplus(scaling, idle.to_vec(), total, floor, Timestamp(minute * MINUTE));
        (terminate.into_iter().map(String::from).collect(), look_again.map(|at| at.0 / MINUTE))
    }

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn idle_instances_go_after_their_delay_but_not_below_the_floor() {
        let own = scaling(Market::OnDemand, AllocationStrategy::BestFit, &["m6i"]);
        let all = [idle("a", 2, 0), idle("b", 8, 1), idle("c", 4, 9)];
        assert_eq!(at(&own, &all, 14, 0, 4), (vec![], Some(5)));
        assert_eq!(at(&own, &all, 14, 0, 6), (ids(&["b", "a"]), Some(14)));
        assert_eq!(at(&own, &all, 14, 0, 14), (ids(&["b", "c", "a"]), None));
        // The largest first: 4 vCPUs are kept, not 14.
        assert_eq!(at(&own, &all, 14, 4, 14), (ids(&["b", "a"]), None));
        // Busy ones count for the floor; one that no floor allows to go needs no timer.
        assert_eq!(at(&own, &all, 30, 30, 14), (vec![], None));
        assert_eq!(at(&own, &all, 30, 27, 14), (ids(&["a"]), None));
        assert_eq!(at(&own, &all, 14, 11, 6), (ids(&["a"]), None));
    }

    /// Source: AWS Batch API reference, ComputeScalingPolicy: the delay counts from the end of the last job.
    #[test]
    fn a_delay_of_the_caller_holds_for_instances_that_had_a_job() {
        let delayed = Scaling {
            scale_down_delay_minutes: Some(20),
            ..scaling(Market::OnDemand, AllocationStrategy::BestFit, &["m6i"])
        };
        let unused = Idle { used: false, ..idle("b", 2, 0) };
        let all = [idle("a", 2, 0), unused];
        assert_eq!(at(&delayed, &all, 4, 0, 5), (ids(&["b"]), Some(20)));
        assert_eq!(at(&delayed, &all, 4, 0, 20), (ids(&["a", "b"]), None));
    }

    proptest! {
        #[test]
        fn nothing_goes_too_early_or_below_the_floor_and_nothing_stays_that_could_go(
            given in prop::collection::vec((1u32..64, 0u64..12), 0..12),
            (busy, floor, minute) in (0u64..64, 0u64..400, 0u64..20),
        ) {
            let own = scaling(Market::OnDemand, AllocationStrategy::BestFit, &["m6i"]);
            let all: Vec<Idle> =
                given.iter().enumerate().map(|(n, (vcpus, since))| idle(&n.to_string(), *vcpus, *since)).collect();
            let total = busy + all.iter().map(|one| u64::from(one.vcpus)).sum::<u64>();
            let (gone, again) = at(&own, &all, total, floor, minute);
            let (went, stay): (Vec<_>, Vec<_>) =
                all.iter().partition(|one| gone.iter().any(|id| one.instance_id == **id));
            let kept = total - went.iter().map(|one| u64::from(one.vcpus)).sum::<u64>();
            prop_assert!(went.is_empty() || kept >= floor);
            prop_assert!(went.iter().all(|one| one.idle_since.0 / MINUTE + 5 <= minute));
            let removable = stay.iter().filter(|one| kept >= floor + u64::from(one.vcpus));
            let next = removable.map(|one| one.idle_since.0 / MINUTE + 5).min();
            prop_assert_eq!(again, next);
            prop_assert!(next.is_none_or(|next| next > minute));
        }
    }
}
