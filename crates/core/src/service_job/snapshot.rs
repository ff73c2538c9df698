//! What GetJobQueueSnapshot says of a queue of service jobs.
//!
//! Source: AWS Batch API reference, GetJobQueueSnapshot.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use crate::arn::Arn;
use crate::resource::scheduling_policy::PolicyKind;
use crate::schedule::usage;
use crate::service_job::ServiceJob;
use crate::service_job::capacity::{Instances, by_type};
use crate::service_job::index::ServiceBacklog;
use crate::state::State;
use crate::text::Text;

/// Jobs at the front of a queue. Source: AWS Batch API reference, FrontOfQueueDetail.
const FRONT_MAX: usize = 100;

/// Instances by unit.
pub type Usage = Vec<(Text, u64)>;

/// The front of a queue, and what its jobs hold.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The first RUNNABLE jobs in the order in which they would start.
    pub front: Vec<Arc<ServiceJob>>,
    /// The first RUNNABLE job of each quota share, if it has one; `None` where there are no quota shares.
    pub front_of_shares: Option<BTreeMap<Text, Option<Arc<ServiceJob>>>>,
    /// Held by jobs that are SCHEDULED, STARTING or RUNNING.
    pub usage: Usage,
    /// The same by share identifier or quota share; empty for a FIFO queue.
    pub usage_by_share: Vec<(Text, Usage)>,
    /// Share identifiers with jobs that have not ended, or quota shares with such jobs; 0 for a FIFO queue.
    pub active_shares: usize,
    /// What the shares are.
    pub kind: PolicyKind,
}

impl State {
    /// The snapshot of a queue of service jobs; `None` when there is no such queue.
    pub fn service_queue_snapshot(&self, queue: &Arn) -> Option<Snapshot> {
        let environment = self.job_queues.get(queue)?.service_environment.as_ref()?;
        let limits = self.service_environments.get(environment).map(|e| e.limits.as_slice());
        let limits = limits.unwrap_or_default();
        let kind = self.policy_kind(queue);
        let nothing = ServiceBacklog::default();
        let backlog = self.service_jobs.backlogs.get(queue).unwrap_or(&nothing);
        let first = |share: &str| {
            let job = backlog.lanes.get(share)?.values().next()?;
            self.service_job(*job).cloned()
        };
        let shares = self.quota_shares_of(queue).map(|share| (share.name().into(), first(share.name())));
        let mut held = Instances::default();
        backlog.in_use.values().for_each(|lane| held.add(lane));
        let by_share = backlog.in_use.iter().filter(|_| kind != PolicyKind::Fifo);
        Some(Snapshot {
            front: self.front(queue, backlog),
            front_of_shares: (kind == PolicyKind::QuotaShare).then(|| shares.collect()),
            usage: limits.iter().map(|limit| (limit.unit.clone(), held.in_unit(&limit.unit))).collect(),
            usage_by_share: by_share
                .map(|(name, lane)| (name.clone(), lane.usage(by_type(limits))))
                .collect(),
            active_shares: if kind == PolicyKind::Fifo { 0 } else { backlog.live.len() },
            kind,
        })
    }

    /// The first jobs as the scheduling pass would take them, if there were room for all.
    fn front(&self, queue: &Arn, backlog: &ServiceBacklog) -> Vec<Arc<ServiceJob>> {
        let job = |id: &Uuid| self.service_job(*id).cloned();
        let lane = |(name, weight): (Text, u32)| {
            let jobs = backlog.lanes.get(&name).into_iter().flat_map(|jobs| jobs.values().take(FRONT_MAX));
            (backlog.held(&name), weight, jobs.filter_map(job).collect::<VecDeque<_>>())
        };
        let mut lanes: Vec<_> = self.lane_weights(queue).into_iter().map(lane).collect();
        let mut front = Vec::new();
        while front.len() < FRONT_MAX {
            let heads = lanes.iter_mut().filter(|(_, _, jobs)| !jobs.is_empty());
            let next = heads.min_by_key(|(held, weight, jobs)| {
                (usage(*held, *weight), jobs.front().map(|job| job.sequence))
            });
            let Some((held, _, jobs)) = next else { break };
            let Some(job) = jobs.pop_front() else { break };
            *held += job.training.instances.total();
            front.push(job);
        }
        front
    }
}
