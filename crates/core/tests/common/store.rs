//! A store of encoded records: what a crash leaves behind is what was encoded, and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use fornada_core::record::Key;
use fornada_core::record::{Change, Record};

#[derive(Default)]
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
    }
}
