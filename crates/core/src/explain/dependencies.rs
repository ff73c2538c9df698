//! Dependencies of a job that waits, and what failed before one that never ran.

use crate::id::{JobId, Member};
use crate::job::array::ARRAY_CHILD_JOB_FAILED;
use crate::job::depends_on::{DEPENDENT_JOB_FAILED, Dependency};
use crate::job::{Job, JobStatus};
use crate::state::State;
use crate::text::Text;

/// A chain of failures is followed so far.
const CAUSES_MAX: usize = 100;

/// A dependency that is not met yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// The job, child or array that is waited for.
    pub id: JobId,
    /// Its name.
    pub name: Text,
    /// Where it is.
    pub status: JobStatus,
    /// What must become of it.
    pub condition: Condition,
    /// Of an array: how many of its children have ended, and how many there are.
    pub children: Option<(u32, u32)>,
}

/// What must become of a dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It must succeed.
    Succeeds,
    /// It must end, well or badly.
    Ends,
    /// Each of its children lets the child of the same index go.
    ChildByChild,
}

/// Something that failed, and took others along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The job or child.
    pub id: JobId,
    /// Its name.
    pub name: Text,
    /// Its status reason.
    pub status_reason: Option<Text>,
    /// Exit code of its last attempt.
    pub exit_code: Option<i32>,
    /// Container reason of its last attempt.
    pub reason: Option<Text>,
}

/// What the job or child still waits for, in the order given.
pub(super) fn unmet(state: &State, job: &Job, member: Member) -> Vec<Awaited> {
    let awaited = job.depends_on.iter().filter_map(|dependency| {
        let (id, condition) = target(job, dependency, member)?;
        let status = state.status_of(id)?; // one that is no longer on record had ended
        let met = match condition {
            Condition::Succeeds => status == JobStatus::Succeeded,
            Condition::Ends | Condition::ChildByChild => status.is_terminal(),
        };
        let name = state.jobs[&id.job].name.clone();
        (!met).then(|| Awaited { id, name, status, condition, children: ended_children(state, id) })
    });
    awaited.collect()
}

/// What a dependency means for the job as a whole, or for one child.
fn target(job: &Job, dependency: &Dependency, member: Member) -> Option<(JobId, Condition)> {
    match (*dependency, member) {
        (Dependency::Job(id), _) => Some((id, Condition::Succeeds)),
        (Dependency::AfterAny(id), _) => Some((id, Condition::Ends)),
        (Dependency::NToN(on), Member::Index(index)) => Some((JobId::child(on, index), Condition::Succeeds)),
        (Dependency::NToN(on), _) => Some((JobId::whole(on), Condition::ChildByChild)),
        (Dependency::Sequential, Member::Index(index)) => {
            Some((JobId::child(job.id, index.checked_sub(1)?), Condition::Succeeds))
        }
        (Dependency::Sequential, _) => None,
    }
}

fn ended_children(state: &State, id: JobId) -> Option<(u32, u32)> {
    let counts = state.status_summary(id.job).filter(|_| id.member == Member::Whole)?;
    let ended = counts[JobStatus::Succeeded as usize] + counts[JobStatus::Failed as usize];
    Some((ended, counts.iter().sum()))
}

/// What failed before a job or child that failed with its dependencies, or a parent that failed with a child: the nearest
/// first, the root cause last.
pub(super) fn causes(state: &State, id: JobId) -> Vec<Cause> {
    let mut causes: Vec<Cause> = Vec::new();
    let mut at = id;
    while let Some(next) = cause_of(state, at).filter(|_| causes.len() < CAUSES_MAX) {
        let Some((job, execution)) = state.find(next) else { break };
        let outcome = execution.last_outcome();
        causes.push(Cause {
            id: next,
            name: job.name.clone(),
            status_reason: execution.status_reason.clone(),
            exit_code: outcome.and_then(|outcome| outcome.exit_code),
            reason: outcome.and_then(|outcome| outcome.reason.clone()),
        });
        at = next;
    }
    causes
}

fn cause_of(state: &State, id: JobId) -> Option<JobId> {
    let (job, execution) = state.find(id).filter(|(_, e)| e.status == JobStatus::Failed)?;
    match execution.status_reason.as_deref()? {
        ARRAY_CHILD_JOB_FAILED if id.member == Member::Whole => failed_child(state, id, u32::MAX),
        DEPENDENT_JOB_FAILED => job.depends_on.iter().find_map(|dependency| match (dependency, id.member) {
            // The first that failed took all after it along.
            (Dependency::Sequential, Member::Index(index)) => failed_child(state, id, index),
            (Dependency::AfterAny(_), _) => None,
            (Dependency::Job(_) | Dependency::NToN(_) | Dependency::Sequential, member) => {
                let (on, _) = target(&job, dependency, member)?;
                (state.status_of(on) == Some(JobStatus::Failed)).then_some(on)
            }
        }),
        _ => None,
    }
}

/// The first child before `end` that failed by itself.
fn failed_child(state: &State, array: JobId, end: u32) -> Option<JobId> {
    let children = &state.arrays.get(&array.job)?.children;
    let failed = children.range(..end).find(|(_, child)| child.status == JobStatus::Failed);
    failed.map(|(&index, _)| JobId::child(array.job, index))
}
