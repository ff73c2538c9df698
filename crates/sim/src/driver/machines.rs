//! The machines of a simulation: attempts that start, run for as long as their work takes, and end.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use fornada_core::attempt::{AttemptReport, Launch, Observation, Outcome, Usage};
use fornada_core::id::AttemptId;
use fornada_core::text::Text;
use fornada_core::time::Timestamp;

use crate::driver::Options;
use crate::journal::{AttemptEnd, AttemptFacts};
use crate::random::{Draw, millis};
use crate::workload::Course;

/// From so many milliseconds on, what was asked to stop is killed. Source: Amazon ECS, `ECS_CONTAINER_STOP_TIMEOUT`.
const KILL_AFTER: u64 = 30_000;
/// Source: AWS Batch User Guide, troubleshooting: container reason of a killed container.
const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";

/// What happens to an attempt, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Started(u32),
    Exited(u32),
}

/// A machine by number.
#[derive(Debug)]
struct Slot {
    id: Text,
    speed: f64,
    unbounded: bool,
    live: BTreeSet<u32>,
}

/// What an attempt is of, and how it goes.
pub(super) struct Play {
    /// Number of its unit.
    pub(super) unit: usize,
    /// Whether its unit is known by it.
    pub(super) leads: bool,
    pub(super) course: Course,
}

pub(super) struct Machines {
    options: Options,
    slots: Vec<Slot>,
    numbers: HashMap<Text, u32>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    /// By number: what the engine calls it.
    ids: Vec<AttemptId>,
    /// Those that have not ended.
    live: HashMap<AttemptId, u32>,
    /// All that were ever placed, ended or not; of those that live, the end is when they will.
    log: Vec<AttemptFacts>,
}

impl Machines {
    pub(super) fn new(options: &Options) -> Machines {
        Machines {
            options: options.clone(),
            slots: Vec::new(),
            numbers: HashMap::new(),
            events: BinaryHeap::new(),
            sequence: 0,
            ids: Vec::new(),
            live: HashMap::new(),
            log: Vec::new(),
        }
    }

    /// A machine that is there, or will be.
    pub(super) fn add(&mut self, id: &Text, kind: &str, unbounded: bool) {
        let number = u32::try_from(self.slots.len()).expect("fewer than 2^32 machines");
        if self.numbers.insert(id.clone(), number).is_none() {
            let family = kind.split_once('.').map_or(kind, |(family, _)| family);
            let of =
                |name: &str| self.options.speeds.iter().find(|(of, _)| of == name).map(|(_, speed)| *speed);
            let speed = of(kind).or_else(|| of(family)).unwrap_or(1.0);
            self.slots.push(Slot { id: id.clone(), speed, unbounded, live: BTreeSet::new() });
        }
    }

    /// All machines that were ever there, by number.
    pub(super) fn all(&self) -> impl Iterator<Item = &Text> {
        self.slots.iter().map(|slot| &slot.id)
    }

    pub(super) fn next_event(&self) -> Option<Timestamp> {
        self.events.peek().map(|Reverse((at, ..))| Timestamp(*at))
    }

    /// Starts an attempt; one that was started before goes on as it does.
    pub(super) fn start(&mut self, launch: &Launch, play: Play, now: Timestamp) -> bool {
        if self.live.contains_key(&launch.attempt) {
            return false;
        }
        let number = u32::try_from(self.log.len()).expect("fewer than 2^32 attempts");
        let instance = self.numbers[&launch.instance_id];
        let slot = &mut self.slots[instance as usize];
        slot.live.insert(number);
        let mut draw = Draw::new(self.options.seed, &[7, u64::from(number)]);
        let delay =
            if slot.unbounded { self.options.unbounded_start_delay } else { self.options.start_delay };
        let started_at = now.0 + delay.sample_millis(&mut draw);
        #[expect(clippy::cast_precision_loss, reason = "no run takes 2^52 ms")]
        let ended_at = started_at + millis(play.course.millis as f64 / 1000.0 / slot.speed);
        let narrow = |amount: u64| u32::try_from(amount).unwrap_or(u32::MAX);
        self.log.push(AttemptFacts {
            unit: narrow(play.unit as u64),
            instance,
            placed_at: now.0,
            started_at: Some(started_at),
            ended_at,
            milli_vcpus: narrow(launch.resources.milli_vcpus),
            memory_mib: narrow(launch.resources.memory_mib),
            end: match play.course.out_of_memory {
                true => AttemptEnd::OutOfMemory,
                false => AttemptEnd::Exit(play.course.exit_code),
            },
            leads: play.leads,
        });
        self.ids.push(launch.attempt);
        self.live.insert(launch.attempt, number);
        self.schedule(started_at, Event::Started(number));
        self.schedule(ended_at, Event::Exited(number));
        true
    }

    /// An attempt is asked to stop: it ends soon, unless it would have ended before.
    pub(super) fn stop(&mut self, attempt: AttemptId, now: Timestamp) {
        let Some(&number) = self.live.get(&attempt) else { return };
        let delay =
            self.options.stop_delay.sample_millis(&mut Draw::new(self.options.seed, &[8, u64::from(number)]));
        let facts = &mut self.log[number as usize];
        let at = now.0 + delay.min(KILL_AFTER);
        if at < facts.ended_at {
            facts.ended_at = at;
            facts.started_at = facts.started_at.filter(|started| *started <= now.0);
            facts.end = AttemptEnd::Stopped(if delay < KILL_AFTER { 143 } else { 137 });
            self.schedule(at, Event::Exited(number));
        }
    }

    /// A machine is gone, and what ran on it.
    pub(super) fn lose(&mut self, id: &Text, now: Timestamp) {
        let Some(&number) = self.numbers.get(id) else { return };
        for number in std::mem::take(&mut self.slots[number as usize].live) {
            self.live.remove(&self.ids[number as usize]);
            self.cut(number, now.0, AttemptEnd::Lost);
        }
    }

    /// What happens next up to `now`, if anything does.
    pub(super) fn happen(&mut self, now: Timestamp) -> Option<Observation> {
        loop {
            if self.events.peek()?.0.0 > now.0 {
                return None;
            }
            let Reverse((at, _, event)) = self.events.pop()?;
            let (Event::Started(number) | Event::Exited(number)) = event;
            let (attempt, facts) = (self.ids[number as usize], &self.log[number as usize]);
            if self.live.get(&attempt) != Some(&number) {
                continue; // it has ended
            }
            match event {
                Event::Started(_) if facts.started_at == Some(at) => {
                    return Some(Observation::Started(attempt, Timestamp(at)));
                }
                Event::Exited(_) if facts.ended_at == at => {
                    let report = report(attempt, facts);
                    self.slots[facts.instance as usize].live.remove(&number);
                    self.live.remove(&attempt);
                    return Some(Observation::Exited(report));
                }
                Event::Started(_) | Event::Exited(_) => {} // it was stopped
            }
        }
    }

    /// All attempts, those that still live being cut off at `end`.
    pub(super) fn close(mut self, end: u64) -> Vec<AttemptFacts> {
        for number in 0..self.log.len() {
            if self.live.contains_key(&self.ids[number]) {
                self.cut(u32::try_from(number).expect("numbers fit"), end, AttemptEnd::Unfinished);
            }
        }
        self.log
    }

    fn cut(&mut self, number: u32, at: u64, end: AttemptEnd) {
        let facts = &mut self.log[number as usize];
        facts.started_at = facts.started_at.filter(|started| *started <= at);
        facts.ended_at = at;
        facts.end = end;
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }
}

fn report(attempt: AttemptId, facts: &AttemptFacts) -> AttemptReport {
    let (exit_code, reason) = match facts.end {
        AttemptEnd::Exit(code) | AttemptEnd::Stopped(code) => (Some(code), None),
        AttemptEnd::OutOfMemory => (Some(137), Some(OUT_OF_MEMORY.into())),
        AttemptEnd::Lost | AttemptEnd::Unfinished => (None, None),
    };
    let exit_code = exit_code.filter(|_| facts.started_at.is_some());
    let outcome = Outcome { exit_code, reason, usage: Usage::default(), containers: None };
    let started_at = facts.started_at.map(Timestamp);
    AttemptReport { attempt, started_at, ended: Some((Timestamp(facts.ended_at), outcome)) }
}
