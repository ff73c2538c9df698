//! Events of changes of status, and somebody who takes them, acknowledges them late, and may be gone before.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use fornada_core::event::Event;
use fornada_core::id::{JobId, Member};
use fornada_core::job::{JobStatus, Transition};
use fornada_core::record::{Change, Key, Record};

use crate::dice::Dice;
use crate::ledger::Ledger;

pub struct Told {
    /// Whether anybody wants to know.
    pub is_on: bool,
    /// Its own, so that the rest of the world goes its way.
    dice: Dice,
    /// Every event that was ever durable, by number.
    durable: BTreeMap<u64, Arc<Event>>,
    /// What the newest durable event of each job says.
    last: BTreeMap<JobId, JobStatus>,
    /// All events up to this number were delivered.
    delivered: u64,
    /// The newest that came since the last acknowledgement.
    arrived: Option<u64>,
}

impl Told {
    pub fn new(seed: u64) -> Told {
        let mut dice = Dice::new(seed, 3);
        let is_on = dice.chance(0.7);
        Told { is_on, dice, durable: BTreeMap::new(), last: BTreeMap::new(), delivered: 0, arrived: None }
    }

    /// These changes are durable, and in the ledger: every change of status has its event, and no event goes undelivered.
    pub fn commit(&mut self, ledger: &Ledger, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Put(Record::Event(event)) => self.record(event),
                Change::Delete(Key::Event(number)) => {
                    assert!(*number <= self.delivered, "EVENT: {number} is deleted before it was delivered");
                }
                Change::Put(_) | Change::Delete(_) => {}
            }
        }
        for change in changes {
            let (id, status) = match change {
                Change::Put(Record::Job(job)) => (JobId::whole(job.id), job.execution.status),
                Change::Put(Record::Child(job, number, child)) => {
                    (ledger.member(*job, *number), child.status)
                }
                Change::Put(_) | Change::Delete(_) => continue,
            };
            if self.is_on && !matches!(id.member, Member::Node(_)) {
                assert_eq!(self.last.get(&id), Some(&status), "EVENT: of {id} the newest says otherwise");
            }
        }
    }

    fn record(&mut self, event: &Arc<Event>) {
        assert!(self.is_on, "EVENT: nobody wants to know of {event:?}");
        let newest = self.durable.last_key_value().map_or(0, |(&number, _)| number);
        assert!(event.number > newest, "EVENT: number {} after {newest}", event.number);
        let befores = match (self.last.insert(event.job, event.status), event.job.member) {
            (Some(before), _) => vec![before],
            (None, Member::Index(_)) => vec![JobStatus::Pending, JobStatus::Runnable],
            (None, Member::Whole | Member::Node(_)) => Vec::new(),
        };
        let mut moves =
            befores.iter().flat_map(|&from| Transition::ALL.into_iter().filter_map(move |t| t.from(from)));
        let is_legal = moves.any(|to| to == event.status)
            || (befores.is_empty() && event.status == JobStatus::Submitted);
        assert!(is_legal, "EVENT: {} after {befores:?}", event.status);
        self.durable.insert(event.number, Arc::clone(event));
    }

    /// It comes for the first time in its turn, or again.
    pub fn deliver(&mut self, event: &Arc<Event>) {
        let durable = self.durable.get(&event.number);
        assert_eq!(durable, Some(event), "EVENT: it is delivered, and is not durable");
        if event.number > self.delivered {
            let next = self.durable.range((Bound::Excluded(self.delivered), Bound::Unbounded)).next();
            assert_eq!(next.map(|(&number, _)| number), Some(event.number), "EVENT: one was left out");
            self.delivered = event.number;
        }
        self.arrived = Some(event.number);
    }

    /// What came since the last call will be acknowledged in so many milliseconds.
    pub fn acknowledge(&mut self) -> Option<(u64, u64)> {
        let arrived = self.arrived.take()?;
        let delay = if self.dice.chance(0.5) { self.dice.below(3) } else { self.dice.millis(1, 600_000) };
        Some((delay, arrived))
    }

    /// Everything was delivered.
    pub fn rest(&self, waiting: usize) {
        let newest = self.durable.last_key_value().map_or(0, |(&number, _)| number);
        assert_eq!((self.delivered, waiting), (newest, 0), "REST: events wait");
    }
}
