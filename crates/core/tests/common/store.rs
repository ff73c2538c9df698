//! A store of encoded records: what a crash leaves behind is what was encoded, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fornada_core::history::PastJob;
use fornada_core::id::Uuid;
use fornada_core::record::{Change, Key, Loaded, Record};

#[derive(Clone, Default)]
pub struct Store {
    bodies: BTreeMap<Key, Vec<u8>>,
}

impl Store {
    pub fn commit(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Put(record) => {
                    self.bodies.insert(key(&record), encode(&record));
                }
                Change::Delete(key) => {
                    self.bodies.remove(&key); // it may have come and gone within one turn
                }
            }
        }
    }

    pub fn records(&self) -> Vec<Record> {
        self.bodies.iter().map(|(key, body)| decode(key, body)).collect()
    }

    /// What a server reads when it starts: ended jobs are left where they are.
    pub fn loaded(&self) -> Loaded {
        let mut loaded = Loaded::default();
        let mut ended = BTreeSet::new();
        for record in self.records() {
            if let Record::Job(job) = &record {
                loaded.next_sequence = loaded.next_sequence.max(job.sequence + 1);
                loaded.latest = loaded.latest.max(job.execution.stopped_at.unwrap_or_default());
                if job.execution.status.is_terminal() {
                    ended.insert(job.id);
                    continue;
                }
            }
            if let Record::ServiceJob(job) = &record {
                loaded.next_sequence = loaded.next_sequence.max(job.sequence + 1);
                loaded.latest = loaded.latest.max(job.stopped_at.unwrap_or_default());
                if job.status.is_terminal() {
                    continue;
                }
            }
            loaded.records.push(record);
        }
        let is_left = |record: &Record| !matches!(record, Record::Child(job, ..) if ended.contains(job));
        loaded.records.retain(is_left);
        loaded
    }

    /// A job with its children or nodes, or a service job.
    pub fn past(&self, job: Uuid) -> Option<PastJob> {
        let key = Key::Job(job);
        let Some(body) = self.bodies.get(&key) else {
            let key = Key::ServiceJob(job);
            let Record::ServiceJob(job) = decode(&key, self.bodies.get(&key)?) else {
                unreachable!("by its key")
            };
            return Some(PastJob::ServiceJob(job));
        };
        let Record::Job(record) = decode(&key, body) else { unreachable!("by its key") };
        let members = self.bodies.range(Key::Child(job, 0)..=Key::Child(job, u32::MAX));
        let members = members.map(|(key, body)| match decode(key, body) {
            Record::Child(_, number, member) => (number, member),
            _ => unreachable!("by its key"),
        });
        Some(PastJob::Job(record, members.collect()))
    }

    pub fn len(&self) -> usize {
        self.bodies.len()
    }
}

pub fn key(record: &Record) -> Key {
    match record {
        Record::ComputeEnvironment(ce) => Key::ComputeEnvironment(ce.arn.clone()),
        Record::JobQueue(queue) => Key::JobQueue(queue.arn.clone()),
        Record::JobDefinition(definition) => Key::JobDefinition(definition.family_arn(), definition.revision),
        Record::Job(job) => Key::Job(job.id),
        Record::Child(job, index, _) => Key::Child(*job, *index),
        Record::Instance(host) => Key::Instance(host.instance_id.clone()),
        Record::SchedulingPolicy(policy) => Key::SchedulingPolicy(policy.arn.clone()),
        Record::ConsumableResource(resource) => Key::ConsumableResource(resource.arn.clone()),
        Record::ServiceEnvironment(environment) => Key::ServiceEnvironment(environment.arn.clone()),
        Record::QuotaShare(share) => Key::QuotaShare(share.arn.clone()),
        Record::ServiceJob(job) => Key::ServiceJob(job.id),
        Record::Share(queue, share, _) => Key::Share(queue.clone(), share.clone()),
        Record::Event(event) => Key::Event(event.number),
    }
}

pub fn encode(record: &Record) -> Vec<u8> {
    let body = match record {
        Record::ComputeEnvironment(ce) => minicbor::to_vec(&**ce),
        Record::JobQueue(queue) => minicbor::to_vec(&**queue),
        Record::JobDefinition(definition) => minicbor::to_vec(&**definition),
        Record::Job(job) => minicbor::to_vec(&**job),
        Record::Child(_, _, child) => minicbor::to_vec(&**child),
        Record::Instance(host) => minicbor::to_vec(&**host),
        Record::SchedulingPolicy(policy) => minicbor::to_vec(&**policy),
        Record::ConsumableResource(resource) => minicbor::to_vec(&**resource),
        Record::ServiceEnvironment(environment) => minicbor::to_vec(&**environment),
        Record::QuotaShare(share) => minicbor::to_vec(&**share),
        Record::ServiceJob(job) => minicbor::to_vec(&**job),
        Record::Share(_, _, past) => minicbor::to_vec(&**past),
        Record::Event(event) => minicbor::to_vec(&**event),
    };
    body.expect("memory takes everything")
}

pub fn decode(key: &Key, body: &[u8]) -> Record {
    fn read<'b, T: minicbor::Decode<'b, ()>>(body: &'b [u8]) -> Arc<T> {
        Arc::new(minicbor::decode(body).expect("it reads what it wrote"))
    }
    match key {
        Key::ComputeEnvironment(_) => Record::ComputeEnvironment(read(body)),
        Key::JobQueue(_) => Record::JobQueue(read(body)),
        Key::JobDefinition(..) => Record::JobDefinition(read(body)),
        Key::Job(_) => Record::Job(read(body)),
        Key::Child(job, index) => Record::Child(*job, *index, read(body)),
        Key::Instance(_) => Record::Instance(read(body)),
        Key::SchedulingPolicy(_) => Record::SchedulingPolicy(read(body)),
        Key::ConsumableResource(_) => Record::ConsumableResource(read(body)),
        Key::ServiceEnvironment(_) => Record::ServiceEnvironment(read(body)),
        Key::QuotaShare(_) => Record::QuotaShare(read(body)),
        Key::ServiceJob(_) => Record::ServiceJob(read(body)),
        Key::Share(queue, share) => Record::Share(queue.clone(), share.clone(), read(body)),
        Key::Event(_) => Record::Event(read(body)),
    }
}
