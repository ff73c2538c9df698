//! Which environments of a queue may take jobs, and which shapes none of them could ever take.
//!
//! An environment takes jobs while it is ENABLED and VALID. One that scales has instances of its own, and their room is its
//! capacity. All others draw on the machines that are there by themselves, so the smaller of `maxvCpus` and what those have
//! is their capacity.
//!
//! Source: AWS Batch User Guide, compute environment order; jobs stuck in RUNNABLE.

use crate::arn::Arn;
use crate::id::{JobId, Member};
use crate::instance::Architecture;
use crate::job::JobStatus;
use crate::quantity::Resources;
use crate::resource::Status;
use crate::resource::compute_environment::ComputeEnvironment;
use crate::schedule::backlog::Backlog;
use crate::schedule::shape::{Shape, ShapeId};
use crate::schedule::share;
use crate::state::State;
use crate::text::Text;

/// The environments' ceilings are too low. Text: AWS Batch User Guide, jobs stuck in RUNNABLE.
pub(crate) const MAX_VCPUS_TOO_LOW: &str = "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue cannot meet the CPU requirement of the job.";
/// No machine is large enough. Text: AWS Batch User Guide, jobs stuck in RUNNABLE.
pub(crate) const REQUIREMENT_TOO_HIGH: &str = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher than that can be met by the CE(s) attached to the job queue.";

/// There is no more of what would have to be launched; the type follows. Text: as the former.
const NO_CAPACITY: &str = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested for instance type ";
/// No environment is usable. Text: as the former.
pub(crate) const INVALID: &str = "ACTION_REQUIRED - CE(s) associated with the job queue are invalid.";

/// Why the head of a queue waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Diagnosis {
    /// For this reason, in AWS's words.
    Stuck(Text),
    /// Launches have failed, and are being tried again.
    Retrying,
    /// For others to end, or for what is being launched.
    Waits,
}

impl ComputeEnvironment {
    /// It takes jobs.
    pub(crate) fn is_open(&self) -> bool {
        self.enabled && matches!(self.status, Status::Valid | Status::Updating)
    }

    /// Thousandths of a vCPU that it may use.
    pub(crate) fn ceiling(&self) -> u64 {
        self.max_vcpus.map_or(u64::MAX, |vcpus| u64::from(vcpus) * 1000)
    }
}

impl State {
    /// Whether an environment has instances of its own, launched for what waits.
    pub(crate) fn scales(&self, ce: &ComputeEnvironment) -> bool {
        self.settings.scale && ce.scaling.is_some()
    }

    /// Thousandths of a vCPU that attempts in an environment may use. One that scales and was lowered under what it has fills
    /// no more than the new ceiling, so that what is beyond it becomes idle; the instance by which launches may exceed the
    /// ceiling is used.
    pub(crate) fn usable(&self, ce: &ComputeEnvironment) -> u64 {
        if !self.scales(ce) {
            return ce.ceiling();
        }
        let beyond = self.instances.staying(&ce.arn).saturating_sub(ce.ceiling());
        if beyond == 0 {
            return u64::MAX;
        }
        let staying = self.instances.of(Some(&ce.arn)).filter(|room| room.stays());
        let is_lowered = staying.map(|room| room.record.capacity.milli_vcpus).all(|vcpus| vcpus <= beyond);
        if is_lowered { ce.ceiling() } else { u64::MAX }
    }

    /// Thousandths of a vCPU that a queue may use while some shares have nothing: all but what its policy reserves for shares
    /// that are not active.
    ///
    /// Source: AWS Batch API reference, FairsharePolicy (computeReservation).
    pub(crate) fn cap(&self, queue: &str, backlog: &Backlog) -> u64 {
        let Some(percent) = self.compute_reservation(queue) else { return u64::MAX };
        let (scaling, fixed): (Vec<_>, Vec<_>) = self.environments_of(queue).partition(|ce| self.scales(ce));
        let sum = |all: Vec<&ComputeEnvironment>| {
            all.into_iter().map(ComputeEnvironment::ceiling).fold(0, u64::saturating_add)
        };
        let machines = sum(fixed).min(self.instances.machines().milli_vcpus);
        share::cap(sum(scaling).saturating_add(machines), percent, backlog.shares().len())
    }

    /// The environments of a queue, in the order in which they are tried.
    pub(crate) fn environments_of(&self, queue: &str) -> impl Iterator<Item = &ComputeEnvironment> {
        let order = self.job_queues.get(queue).map(|queue| queue.environments.as_slice());
        let found = order.unwrap_or_default().iter().filter_map(|arn| self.compute_environments.get(arn));
        found.map(|ce| &**ce)
    }

    /// Why none of a queue's environments, were they all empty and open, could take a shape; `None` when one could.
    pub(crate) fn never_fits(&self, queue: &Arn, shape: &Shape) -> Option<&'static str> {
        let mut environments = self.environments_of(queue).peekable();
        environments.peek()?;
        let mut reason = MAX_VCPUS_TOO_LOW;
        for ce in environments {
            if shape.need.milli_vcpus > ce.ceiling() {
                continue;
            }
            if self.could_take(ce, shape) {
                return None;
            }
            reason = REQUIREMENT_TOO_HIGH;
        }
        Some(reason)
    }

    /// Why a job or child is stuck, in AWS's words: one that can never fit, or the head of a queue that cannot take it now
    /// for another reason than that others run. `None` for any other.
    pub fn blocked_reason(&self, id: JobId) -> Option<Text> {
        let job = self.jobs.get(&id.job)?;
        let is_waiting = match self.status_of(id)? {
            JobStatus::Runnable => true,
            // The parent of an array stands for its children.
            JobStatus::Pending => self.arrays.get(&id.job).is_some_and(|array| array.runnable_count() > 0),
            JobStatus::Submitted
            | JobStatus::Starting
            | JobStatus::Running
            | JobStatus::Succeeded
            | JobStatus::Failed => false,
        };
        let shape = self.shapes.find(&Shape::of(job)).filter(|_| is_waiting)?;
        if let Some(reason) = self.backlogs.get(&job.queue)?.never.get(&shape) {
            return Some((*reason).into());
        }
        let is_head = |head: &JobId| *head == id || (head.job == id.job && id.member == Member::Whole);
        self.head_of(&job.queue).filter(is_head)?;
        match self.diagnose(&job.queue, shape) {
            Diagnosis::Stuck(reason) => Some(reason),
            Diagnosis::Retrying | Diagnosis::Waits => None,
        }
    }

    /// The job or child that has to wait first in a queue; in strict order, also one that can never fit.
    pub(crate) fn head_of(&self, queue: &str) -> Option<JobId> {
        let (job, _) = self.backlogs.get(queue)?.blocked?;
        match self.arrays.get(&job) {
            Some(array) => array.next_runnable().map(|index| JobId::child(job, index)),
            None => {
                let id = JobId::whole(job);
                (self.status_of(id)? == JobStatus::Runnable).then_some(id)
            }
        }
    }

    /// Why the head of a queue waits, if it is of this shape.
    pub(crate) fn diagnose(&self, queue: &Arn, shape: ShapeId) -> Diagnosis {
        if let Some(reason) = self.backlogs.get(queue).and_then(|backlog| backlog.never.get(&shape)) {
            return Diagnosis::Stuck((*reason).into());
        }
        let mut environments = self.environments_of(queue).peekable();
        if environments.peek().is_none() || !self.consumables_available(&self.shapes.get(shape).consumables) {
            return Diagnosis::Waits;
        }
        if self.environments_of(queue).all(|ce| ce.status == Status::Invalid) {
            return Diagnosis::Stuck(INVALID.into());
        }
        let shape = self.shapes.get(shape);
        let mut short_of = None;
        let mut is_retrying = false;
        for ce in environments.filter(|ce| ce.is_open() && self.could_take(ce, shape)) {
            match self.is_short_of(ce, shape) {
                Some(instance_type) => short_of = short_of.or(Some(instance_type)),
                None if self.scales(ce) && self.launches_fail(ce) && self.is_coming(ce, shape) => {
                    is_retrying = true;
                }
                None => return Diagnosis::Waits,
            }
        }
        match short_of {
            _ if is_retrying => Diagnosis::Retrying,
            Some(of) => Diagnosis::Stuck(format!("{NO_CAPACITY}[{}]", of.as_str()).into()),
            None => Diagnosis::Waits,
        }
    }

    /// Whether an environment could take a shape if it were empty.
    fn could_take(&self, ce: &ComputeEnvironment, shape: &Shape) -> bool {
        let fits =
            if self.scales(ce) { self.could_launch_for(ce, shape) } else { self.machines_could(shape) };
        shape.need.milli_vcpus <= ce.ceiling() && fits
    }

    /// Whether the machines that are there by themselves could take a shape if they were empty. With none connected there is
    /// nothing to measure it against.
    fn machines_could(&self, shape: &Shape) -> bool {
        let machines = || self.instances.of(None).filter(|room| room.connected).map(|room| &room.record);
        if machines().next().is_none() {
            return true;
        }
        let mut all = Resources::default();
        machines().for_each(|machine| all.reserve(&machine.capacity));
        let fits_somewhere = |part: &Resources| {
            machines().any(|machine| {
                machine.capacity.covers(part)
                    && Architecture::serves(machine.architecture, shape.architecture)
            })
        };
        all.covers(&shape.need) && shape.parts().all(|(part, _)| fits_somewhere(&part))
    }
}
