//! Multi-node parallel jobs: one parent, and nodes that run side by side, led by the main node.
//!
//! All nodes are placed at once or none ([`crate::schedule`]). The main node starts first; when it runs, so may the others.
//! A node that ends by itself does not matter to the rest. The end of the main node is the end of the attempt: the others
//! are stopped, and when the last of them is gone the parent takes the main node's verdict, or all nodes begin anew.
//!
//! | parent | main node | other nodes |
//! |---|---|---|
//! | up to RUNNABLE | as the parent, without a record | the same |
//! | STARTING | STARTING | RUNNABLE, with their place held |
//! | RUNNING | RUNNING, then its verdict | STARTING, RUNNING, then by exit code |
//! | SUCCEEDED, FAILED | the same | SUCCEEDED or FAILED |
//!
//! Source: AWS Batch User Guide, multi-node parallel jobs (job lifecycle, environment variables).

use std::collections::BTreeMap;
use std::sync::Arc;

use minicbor::{Decode, Encode};
use uuid::Uuid;

use crate::attempt::Outcome;
use crate::container::ContainerOverrides;
use crate::id::{AttemptId, JobId};
use crate::job::observe::FAILED_TO_START;
use crate::job::{Attempt, Execution, Job, JobStatus, Placement, StopCause, Transition};
use crate::quantity::Resources;
use crate::record::Key;
use crate::text::Text;
use crate::time::Timestamp;
use crate::turn::Turn;

/// What makes a job multi-node.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Nodes {
    /// Index of the node whose end is the end of the job.
    #[n(0)]
    pub main_node: u32,
    /// Ascending; together they are nodes 0 to the last.
    #[n(1)]
    pub groups: Vec<NodeGroup>,
    /// `nodePropertyOverrides`: by index of the definition's range.
    #[n(2)]
    pub overrides: Vec<(u32, Vec<ContainerOverrides>)>,
}

/// Consecutive nodes that run the same.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct NodeGroup {
    /// How many.
    #[n(0)]
    pub count: u32,
    /// Index of the range of the definition that describes them.
    #[n(1)]
    pub range: u32,
    /// What each of them may use.
    #[n(2)]
    pub resources: Resources,
}

impl Nodes {
    /// How many nodes there are.
    pub fn num_nodes(&self) -> u32 {
        self.groups.iter().map(|group| group.count).sum()
    }

    /// The group of a node; `None` when there is no such node.
    pub fn group(&self, node: u32) -> Option<&NodeGroup> {
        let mut next = 0;
        self.groups.iter().find(|group| {
            next += group.count;
            node < next
        })
    }

    /// What each node needs, from node 0 on.
    pub fn needs(&self) -> Vec<Resources> {
        let each = |group: &NodeGroup| std::iter::repeat_n(group.resources, group.count as usize);
        self.groups.iter().flat_map(each).collect()
    }

    /// What the submission changes of the containers of a range.
    pub fn overrides_of(&self, range: u32) -> &[ContainerOverrides] {
        self.overrides.iter().find(|(of, _)| *of == range).map_or(&[], |(_, overrides)| overrides)
    }
}

/// The nodes of one job that have a record of their own; the others are where their parent is.
#[derive(Clone, Debug, Default)]
pub struct Gang {
    pub(crate) nodes: BTreeMap<u32, Arc<Execution>>,
}

impl Gang {
    /// A node as it stands; `None` when there is no such node.
    pub fn node(&self, job: &Job, node: u32) -> Option<Arc<Execution>> {
        job.nodes.as_ref()?.group(node)?;
        let recorded = self.nodes.get(&node).cloned();
        Some(
            recorded
                .unwrap_or_else(|| Arc::new(Execution { attempts: Box::default(), ..job.execution.clone() })),
        )
    }

    /// Whether some node has a place.
    fn is_placed(&self) -> bool {
        self.nodes.values().any(|node| node.placement.is_some())
    }
}

impl Turn<'_> {
    /// All nodes have a place: the main node starts.
    pub(crate) fn place_gang(&mut self, job: Uuid, placements: Vec<Placement>) {
        let main = self.main_of(job);
        for (node, placement) in (0..).zip(placements) {
            let id = JobId::node(job, node);
            self.settle_in(id, placement);
        }
        self.transition(JobId::whole(job), Transition::Place, None);
        self.transition(main, Transition::Place, None);
        self.start(main);
    }

    /// A node runs. With the main node the job runs.
    pub(crate) fn node_started(&mut self, id: JobId, started_at: Timestamp) {
        let parent = JobId::whole(id.job);
        if id != self.main_of(id.job) {
            return;
        }
        self.execution_mut(parent, |execution| execution.started_at = Some(started_at));
        self.transition(parent, Transition::Start, None);
    }

    /// The main node runs: so may the others.
    pub(crate) fn start_other_nodes(&mut self, id: JobId) {
        let runs = |(_, main): &(Arc<Job>, Arc<Execution>)| {
            let is_stopping = main.placement.as_ref().is_none_or(|placement| placement.stopping.is_some());
            main.status == JobStatus::Running && !is_stopping
        };
        if id != self.main_of(id.job) || !self.state.find(id).as_ref().is_some_and(runs) {
            return;
        }
        for other in self.nodes_that(id.job, is_held) {
            self.transition(other, Transition::Place, None);
            self.start(other);
        }
    }

    /// The attempt of a node is over, with this verdict if it is the main one.
    pub(crate) fn node_ended(&mut self, id: JobId, ended: Attempt, verdict: (Transition, Option<Text>)) {
        let is_main = id == self.main_of(id.job);
        let stopped_at = ended.stopped_at;
        let (transition, reason) = match verdict {
            (Transition::Retry, _) if !is_main => (Transition::Fail, Some(ended.status_reason.clone())),
            verdict => verdict,
        };
        self.execution_mut(id, |execution| {
            execution.record(ended.clone());
            execution.placement = None;
            execution.stopped_at = (transition != Transition::Retry).then_some(stopped_at);
        });
        self.transition(id, transition, reason);
        if is_main {
            self.job_mut(id.job).execution.record(ended);
            self.end_other_nodes(id.job);
        }
        self.gang_may_have_ended(id.job);
    }

    /// The main node's attempt is over: those that wait for it never start, those that run are stopped.
    fn end_other_nodes(&mut self, job: Uuid) {
        for other in self.nodes_that(job, is_held) {
            let placement = self.give_back(other);
            let ended = Attempt {
                task_id: placement.task_id,
                compute_environment: placement.compute_environment,
                instance_id: placement.instance_id,
                started_at: None,
                stopped_at: self.now,
                status_reason: FAILED_TO_START.into(),
                outcome: Outcome::without_process(None),
                address: placement.address,
            };
            self.execution_mut(other, |execution| execution.record(ended));
            self.fail(other, FAILED_TO_START.into());
        }
        self.stop_nodes(job, &StopCause::MainNodeEnded);
    }

    /// Asks the backends to stop every node that is starting or running.
    pub(crate) fn stop_nodes(&mut self, job: Uuid, cause: &StopCause) {
        for node in self.nodes_that(job, |node| node.placement.is_some() && !is_held(node)) {
            self.stop_attempt(node, cause.clone());
        }
    }

    /// Gives the verdict, or lets all nodes begin anew, once none is left.
    fn gang_may_have_ended(&mut self, job: Uuid) {
        let parent = JobId::whole(job);
        let main = self.main_of(job);
        let still_runs = self.state.gangs.get(&job).is_some_and(Gang::is_placed);
        let is_placed =
            matches!(self.state.status_of(parent), Some(JobStatus::Starting | JobStatus::Running));
        if still_runs || !is_placed {
            return;
        }
        let (record, execution) = self.state.find(main).expect("the main node of a job exists");
        if execution.status == JobStatus::Succeeded || execution.status == JobStatus::Failed {
            let transition =
                if execution.status == JobStatus::Succeeded { Transition::Succeed } else { Transition::Fail };
            self.execution_mut(parent, |whole| whole.stopped_at = execution.stopped_at);
            return self.transition(parent, transition, execution.status_reason.clone());
        }
        // A node's end is that of its attempt: another attempt of the job is another life for each node.
        for node in 0..record.nodes.as_ref().map_or(0, |nodes| nodes.num_nodes()) {
            self.execution_mut(JobId::node(job, node), |execution| {
                *execution = Execution {
                    status: JobStatus::Runnable,
                    attempts: std::mem::take(&mut execution.attempts),
                    ..Execution::new(execution.created_at)
                };
            });
        }
        self.execution_mut(parent, |whole| whole.started_at = None);
        self.transition(parent, Transition::Retry, None);
    }

    /// The main node was not started and will not be: the job goes back to its place in the queue, and no attempt is used.
    pub(crate) fn gang_refused(&mut self, job: Uuid) {
        let record = Arc::clone(&self.state.jobs[&job]);
        for node in self.nodes_that(job, |node| node.placement.is_some()) {
            self.give_back(node);
            self.refund_consumables(record.held_consumables(node.member));
        }
        self.transition(self.main_of(job), Transition::Retry, None);
        self.transition(JobId::whole(job), Transition::Retry, None);
    }

    /// Ends a job whose main node waits for the rest of an attempt to be gone before the next one.
    pub(crate) fn stop_between_attempts(&mut self, job: Uuid, reason: &Text) -> bool {
        let main = self.main_of(job);
        let waits = self.state.find(main).is_some_and(|(_, execution)| {
            execution.status == JobStatus::Runnable && execution.placement.is_none()
        });
        if waits {
            self.fail(main, reason.clone());
        }
        waits
    }

    /// The parent has ended: so have its nodes.
    pub(crate) fn end_nodes(&mut self, job: Uuid, reason: Option<&Text>) {
        for node in self.nodes_that(job, |node| !node.status.is_terminal()) {
            self.transition(node, Transition::Fail, reason.cloned());
        }
    }

    /// Whether `attempt` is that of a node whose place is held while the main node starts.
    pub(crate) fn is_held(&self, attempt: AttemptId) -> bool {
        self.state.find(attempt.job).is_some_and(|(_, execution)| is_held(&execution))
    }

    /// Takes a node's place away.
    fn give_back(&mut self, id: JobId) -> Placement {
        let (attempt, placement) = self.execution_mut(id, |execution| {
            let attempt = execution.current_attempt(id);
            (attempt, execution.placement.take())
        });
        let (Some(attempt), Some(placement)) = (attempt, placement) else {
            unreachable!("only a node with a place gives it back");
        };
        self.release(&placement, attempt);
        *placement
    }

    fn nodes_that(&self, job: Uuid, which: impl Fn(&Execution) -> bool) -> Vec<JobId> {
        let nodes = self.state.gangs.get(&job).into_iter().flat_map(|gang| &gang.nodes);
        nodes.filter(|(_, node)| which(node)).map(|(&node, _)| JobId::node(job, node)).collect()
    }

    /// The main node of a multi-node job.
    fn main_of(&self, job: Uuid) -> JobId {
        let nodes = self.state.jobs[&job].nodes.as_ref().expect("asked of multi-node jobs only");
        JobId::node(job, nodes.main_node)
    }

    /// The record of a node for changing; made on first use. Changes of status go through [`Turn::transition`].
    pub(crate) fn node_mut<R>(
        &mut self,
        job: Uuid,
        node: u32,
        change: impl FnOnce(&mut Execution) -> R,
    ) -> R {
        let parent = Arc::clone(&self.state.jobs[&job]);
        let gang = self.state.gangs.entry(job).or_default();
        let mut execution = gang.node(&parent, node).expect("a changed node exists");
        let result = change(Arc::make_mut(&mut execution));
        gang.nodes.insert(node, execution);
        self.touch(Key::Child(job, node));
        result
    }
}

/// Placed, and waiting for the main node to run.
fn is_held(node: &Execution) -> bool {
    node.status == JobStatus::Runnable && node.placement.is_some()
}
