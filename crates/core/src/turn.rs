//! One turn of the engine: inputs are applied to the state, then jobs are placed; what changed and what follows is data.
//!
//! ```text
//! Turn::begin(state, now, seed) → commands and observations → Turn::finish → Decision { changes, actions, … }
//! ```
//!
//! A turn never fails: a command that cannot be carried out is refused by its own result and changes nothing.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use crate::attempt::{Action, Launch};
use crate::event::Event;
use crate::id::{AttemptId, Fresh, JobId, Member};
use crate::instance::Provision;
use crate::job::depends_on::Ended;
use crate::job::{Execution, Job, JobStatus, Transition};
use crate::record::{Change, Key};
use crate::state::{State, Timer};
use crate::text::Text;
use crate::time::Timestamp;

/// What a turn decided.
#[derive(Debug, Default)]
pub struct Decision {
    /// Records to commit, each once, in their final form.
    pub changes: Vec<Change>,
    /// What backends must do, once the changes are durable; in order.
    pub actions: Vec<Action>,
    /// What a provisioner must do, once the changes are durable; in order.
    pub provisions: Vec<Provision>,
    /// What is to be told, once the changes are durable; in order.
    pub events: Vec<Arc<Event>>,
}

/// A turn in progress.
pub struct Turn<'a> {
    /// What is decided about.
    pub(crate) state: &'a mut State,
    /// The time of everything that happens in this turn.
    pub(crate) now: Timestamp,
    /// Source of new ids.
    pub(crate) fresh: Fresh,
    /// Ended in this turn, and not yet seen by what depends on it.
    pub(crate) ended: VecDeque<Ended>,
    pub(crate) events: Vec<Arc<Event>>,
    touched: BTreeSet<Key>,
    actions: Vec<Action>,
    provisions: Vec<Provision>,
}

impl<'a> Turn<'a> {
    /// Starts a turn at `now`; `seed` is 128 random bits for the ids that it makes.
    pub fn begin(state: &'a mut State, now: Timestamp, seed: u128) -> Self {
        let now = now.max(state.latest); // a clock that was set back does not turn history around
        state.latest = now;
        Turn {
            state,
            now,
            fresh: Fresh::new(seed),
            ended: VecDeque::new(),
            events: Vec::new(),
            touched: BTreeSet::new(),
            actions: Vec::new(),
            provisions: Vec::new(),
        }
    }

    /// The state as it stands within this turn.
    pub fn state(&self) -> &State {
        self.state
    }

    /// Fires due timers, lets dependents react, places jobs, and closes the turn.
    pub fn finish(mut self) -> Decision {
        while let Some(timer) = self.state.take_due_timer(self.now) {
            match timer {
                Timer::Settle(arn) => self.settle(&arn),
                Timer::AttemptTimeout(attempt) => self.attempt_timed_out(attempt),
                Timer::ServiceJobTimeout(attempt) => self.service_job_timed_out(attempt),
                Timer::Scale(environment) => self.state.fleet_due(&environment),
                Timer::TimeLimit => self.state.schedule_due = true, // the pass looks
                Timer::ShareDecay(queue, share) => self.state.forget_share(&queue, &share),
            }
        }
        self.settle_dependents();
        self.schedule();
        let shares = std::mem::take(&mut self.state.shares_changed);
        self.touched.extend(shares.into_iter().map(|(queue, share)| Key::Share(queue, share)));
        let state = &*self.state;
        let changes = self.touched.into_iter().map(|key| match state.record(&key) {
            Some(record) => Change::Put(record),
            None => Change::Delete(key),
        });
        let changes = changes.collect();
        self.state.let_go();
        Decision { changes, actions: self.actions, provisions: self.provisions, events: self.events }
    }

    /// Whether a record of this job changed in this turn.
    pub(crate) fn has_touched(&self, job: Uuid) -> bool {
        let of = |key| self.touched.contains(&key);
        let mut members = self.touched.range(Key::Child(job, 0)..=Key::Child(job, u32::MAX));
        of(Key::Job(job)) || of(Key::ServiceJob(job)) || members.next().is_some()
    }

    /// Notes that a record changed.
    pub(crate) fn touch(&mut self, key: Key) {
        self.touched.insert(key);
    }

    /// Lets a backend do something once this turn is durable.
    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// A start that this turn has decided on is void: of this attempt, or of any node of the same job. Nobody has heard of it.
    pub(crate) fn take_back_starts(&mut self, job: Uuid, attempt: AttemptId) {
        let is_void = |launch: &Launch| {
            let of = launch.attempt;
            of == attempt || (of.job.job == job && matches!(of.job.member, Member::Node(_)))
        };
        self.actions.retain(|action| !matches!(action, Action::Start(launch) if is_void(launch)));
    }

    /// Lets a provisioner do something once this turn is durable.
    pub(crate) fn provision(&mut self, provision: Provision) {
        self.provisions.push(provision);
    }

    /// A job's record, for changing. Changes of status go through [`Turn::transition`].
    pub(crate) fn job_mut(&mut self, job: Uuid) -> &mut Job {
        self.touched.insert(Key::Job(job));
        Arc::make_mut(self.state.jobs.get_mut(&job).expect("a changed job exists"))
    }

    /// The moving part of a job or child, for changing.
    pub(crate) fn execution_mut<R>(&mut self, id: JobId, change: impl FnOnce(&mut Execution) -> R) -> R {
        match id.member {
            Member::Index(index) => self.child_mut(id.job, index, change),
            Member::Node(node) => self.node_mut(id.job, node, change),
            Member::Whole => change(&mut self.job_mut(id.job).execution),
        }
    }

    /// The one door through which a status changes: checks that the move is legal and keeps every index in step.
    ///
    /// # Panics
    /// When the move is not legal: whoever decided it was wrong about the state.
    pub(crate) fn transition(&mut self, id: JobId, transition: Transition, reason: Option<Text>) {
        let now = self.now;
        let why = reason.clone();
        let (from, to) = self.execution_mut(id, |execution| {
            let from = execution.status;
            let to = transition.from(from);
            let to = to.unwrap_or_else(|| panic!("{id}: {transition:?} is not legal in {from}"));
            execution.status = to;
            execution.status_reason = reason;
            if to.is_terminal() {
                execution.stopped_at.get_or_insert(now);
            }
            (from, to)
        });
        match id.member {
            Member::Whole => {
                let queue = &self.state.jobs[&id.job].queue;
                let counts =
                    self.state.job_counts.get_mut(queue).expect("a job is counted from its submission on");
                counts[from as usize] -= 1;
                counts[to as usize] = counts[to as usize].saturating_add(1); // of ends, since the start
            }
            Member::Index(_) => {}
            Member::Node(_) => return, // queues and dependents know its parent only
        }
        self.note_status(id);
        match to {
            JobStatus::Runnable => self.state.sync_backlog(id.job),
            // What starts was taken out of its queue when it got room.
            JobStatus::Submitted | JobStatus::Pending | JobStatus::Starting | JobStatus::Running => {}
            JobStatus::Succeeded | JobStatus::Failed => {
                self.state.sync_backlog(id.job);
                if id.member == Member::Whole {
                    self.job_ended(id.job);
                    self.end_nodes(id.job, why.as_ref());
                    self.state.remember(id.job);
                }
                self.ended.push_back(Ended::One(id));
            }
        }
    }

    /// Fails a job or child for good.
    pub(crate) fn fail(&mut self, id: JobId, reason: Text) {
        self.transition(id, Transition::Fail, Some(reason));
    }
}
