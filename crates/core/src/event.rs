//! Events: each change of a job's status, for whoever wants to know of it without asking.
//!
//! A durable outbox: an event is committed in the same transaction as the change that it tells of, handed out when both are
//! durable, and deleted when whoever took it says that it has it ([`Turn::delivered`]). What was not deleted is handed out
//! again after each start ([`Turn::resume`]), so that each event arrives at least once, and those of a job in their order.
//!
//! Jobs, array parents and children have events; a child from the moment it has a record of its own. Nodes and service jobs
//! have none.

use std::collections::BTreeMap;
use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::arn::{Arn, Scope};
use crate::id::JobId;
use crate::job::{Attempt, JobStatus};
use crate::record::Key;
use crate::state::State;
use crate::text::Text;
use crate::time::Timestamp;
use crate::turn::Turn;

/// Events that wait at most. When there are more, nobody has taken any for long: the oldest are given up.
pub const WAITING_MAX: usize = 100_000;

/// A job as it was when its status had changed.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Event {
    /// Greater than that of every event before it.
    #[n(0)]
    pub number: u64,
    /// The job, or the child of an array.
    #[n(1)]
    pub job: JobId,
    /// What it is now.
    #[n(2)]
    pub status: JobStatus,
    /// When that was decided.
    #[n(3)]
    pub at: Timestamp,
    /// `jobName`.
    #[n(4)]
    pub name: Text,
    /// ARN of its queue.
    #[n(5)]
    pub queue: Arn,
    /// ARN of its definition, with revision.
    #[n(6)]
    pub definition: Arn,
    /// Why it is there; `None` when there is nothing to say.
    #[n(7)]
    pub status_reason: Option<Text>,
    /// Time of submission.
    #[n(8)]
    pub created_at: Timestamp,
    /// Start of the current, or the last, attempt.
    #[n(9)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[n(10)]
    pub stopped_at: Option<Timestamp>,
    /// Attempts that have ended, oldest first.
    #[n(11)]
    pub attempts: Box<[Attempt]>,
}

impl Event {
    /// Account and region of the job.
    ///
    /// # Panics
    /// When the queue's ARN is not one; a job is only made with the ARN of a queue that exists.
    pub fn scope(&self) -> Scope {
        Scope::of(&self.queue).expect("a job's queue is named by an ARN")
    }

    /// `arn:…:job/{id}`.
    pub fn job_arn(&self) -> Arn {
        self.scope().arn("batch", &format!("job/{}", self.job))
    }
}

/// Events on their way out.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// By number. The newest stays when it was delivered: the numbers go on from it.
    events: BTreeMap<u64, Arc<Event>>,
    /// The greatest number that was delivered since the start.
    delivered: u64,
    /// Given up since the start.
    dropped: u64,
}

impl Outbox {
    /// One that the store had.
    pub(crate) fn recover(&mut self, event: Arc<Event>) {
        self.events.insert(event.number, event);
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Arc<Event>> {
        self.events.get(&number)
    }

    /// The newest event is durable until there is a newer one, so no number is ever given twice. That they follow the time
    /// keeps them apart from those that were given after a backup was made, once it has been restored.
    fn next_number(&self, now: Timestamp) -> u64 {
        let newest = self.events.last_key_value().map_or(0, |(&number, _)| number);
        now.0.saturating_mul(1 << 20).max(newest + 1)
    }
}

impl State {
    /// The events that the store holds: those that wait, and the newest in any case.
    pub fn events(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.outbox.events.values()
    }

    /// How many events were not delivered yet.
    pub fn events_waiting(&self) -> usize {
        let oldest = self.outbox.events.first_key_value();
        let is_kept = oldest.is_some_and(|(&number, _)| number <= self.outbox.delivered);
        self.outbox.events.len() - usize::from(is_kept)
    }

    /// How many events were given up since the start, because too many waited.
    pub fn events_dropped(&self) -> u64 {
        self.outbox.dropped
    }
}

impl Turn<'_> {
    /// A job or child has another status: whoever wants to know of it will.
    pub(crate) fn note_status(&mut self, id: JobId) {
        if !self.state.settings.events {
            return;
        }
        let (job, execution) = self.state.find(id).expect("what changed exists");
        let outbox = &mut self.state.outbox;
        let number = outbox.next_number(self.now);
        let event = Arc::new(Event {
            number,
            job: id,
            status: execution.status,
            at: self.now,
            name: job.name.clone(),
            queue: job.queue.clone(),
            definition: job.definition.clone(),
            status_reason: execution.status_reason.clone(),
            created_at: execution.created_at,
            started_at: execution.started_at,
            stopped_at: execution.stopped_at,
            attempts: execution.attempts.clone(),
        });
        outbox.events.insert(number, Arc::clone(&event));
        let given_up = if outbox.events.len() > WAITING_MAX { outbox.events.pop_first() } else { None };
        if let Some((oldest, _)) = given_up {
            outbox.dropped += 1;
            self.touch(Key::Event(oldest));
        }
        self.touch(Key::Event(number));
        self.events.push(event);
    }

    /// What waits is handed out again: it may not have arrived.
    pub(crate) fn resume_events(&mut self) {
        if self.state.settings.events {
            self.events.extend(self.state.outbox.events.values().cloned());
        }
    }

    /// All events up to this number have arrived where they were to go.
    pub fn delivered(&mut self, up_to: u64) {
        let outbox = &mut self.state.outbox;
        outbox.delivered = outbox.delivered.max(up_to);
        let mut gone = Vec::new();
        while outbox.events.len() > 1
            && let Some(oldest) = outbox.events.first_entry().filter(|oldest| *oldest.key() <= up_to)
        {
            gone.push(Key::Event(oldest.remove_entry().0));
        }
        gone.into_iter().for_each(|key| self.touch(key));
    }
}
