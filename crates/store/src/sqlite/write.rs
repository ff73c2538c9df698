//! What a commit does to the tables.

use fornada_core::job::Job;
use fornada_core::record::{Change, Key, Record};
use fornada_core::resource::consumable_resource::Consumable;
use fornada_core::service_job::ServiceJob;
use fornada_core::time::Timestamp;
use rusqlite::{Transaction, params};

use super::record;

/// The kinds of rows in `resource`. Numbers are never reused.
pub(super) mod kind {
    pub(in super::super) const COMPUTE_ENVIRONMENT: u8 = 1;
    pub(in super::super) const JOB_QUEUE: u8 = 2;
    pub(in super::super) const JOB_DEFINITION: u8 = 3;
    pub(in super::super) const INSTANCE: u8 = 4;
    pub(in super::super) const SCHEDULING_POLICY: u8 = 5;
    pub(in super::super) const CONSUMABLE_RESOURCE: u8 = 6;
    pub(in super::super) const SERVICE_ENVIRONMENT: u8 = 7;
    pub(in super::super) const QUOTA_SHARE: u8 = 8;
    pub(in super::super) const SHARE: u8 = 9;
    pub(in super::super) const EVENT: u8 = 10;
}

pub(super) fn write(transaction: &Transaction<'_>, change: &Change) -> rusqlite::Result<()> {
    let put_resource = |kind: u8, key: &str, body: Vec<u8>| {
        let sql = "INSERT INTO resource (kind, key, body) VALUES (?1, ?2, ?3)
                   ON CONFLICT DO UPDATE SET body = excluded.body";
        transaction.prepare_cached(sql)?.execute(params![kind, key, body]).map(drop)
    };
    match change {
        Change::Put(Record::ComputeEnvironment(ce)) => {
            put_resource(kind::COMPUTE_ENVIRONMENT, &ce.arn, record::encode(&**ce))
        }
        Change::Put(Record::JobQueue(queue)) => {
            put_resource(kind::JOB_QUEUE, &queue.arn, record::encode(&**queue))
        }
        Change::Put(Record::JobDefinition(definition)) => {
            put_resource(kind::JOB_DEFINITION, &definition.arn, record::encode(&**definition))
        }
        Change::Put(Record::Instance(host)) => {
            put_resource(kind::INSTANCE, &host.instance_id, record::encode(&**host))
        }
        Change::Put(Record::SchedulingPolicy(policy)) => {
            put_resource(kind::SCHEDULING_POLICY, &policy.arn, record::encode(&**policy))
        }
        Change::Put(Record::ConsumableResource(resource)) => {
            put_resource(kind::CONSUMABLE_RESOURCE, &resource.arn, record::encode(&**resource))
        }
        Change::Put(Record::Job(job)) => put_job(transaction, job),
        Change::Put(Record::Child(job, number, child)) => {
            let sql = "INSERT INTO child (job, number, body) VALUES (?1, ?2, ?3)
                       ON CONFLICT DO UPDATE SET body = excluded.body";
            let row = params![job.as_bytes(), number, record::encode(&**child)];
            transaction.prepare_cached(sql)?.execute(row).map(drop)
        }
        Change::Put(Record::ServiceEnvironment(environment)) => {
            put_resource(kind::SERVICE_ENVIRONMENT, &environment.arn, record::encode(&**environment))
        }
        Change::Put(Record::QuotaShare(share)) => {
            put_resource(kind::QUOTA_SHARE, &share.arn, record::encode(&**share))
        }
        Change::Put(Record::ServiceJob(job)) => put_service_job(transaction, job),
        Change::Put(Record::Share(queue, share, past)) => {
            put_resource(kind::SHARE, &share_key(queue, share), record::encode(&**past))
        }
        Change::Put(Record::Event(event)) => {
            put_resource(kind::EVENT, &event_key(event.number), record::encode(&**event))
        }
        Change::Delete(key) => delete(transaction, key),
    }
}

pub(super) fn put_job(transaction: &Transaction<'_>, job: &Job) -> rusqlite::Result<()> {
    let sql = "INSERT INTO job (sequence, id, queue, status, name, definition, created_at, stopped_at, body)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
               ON CONFLICT (sequence) DO UPDATE
               SET status = excluded.status, stopped_at = excluded.stopped_at, body = excluded.body";
    let sequence = job.sequence.cast_signed();
    let row = params![
        sequence,
        job.id.as_bytes(),
        job.queue.as_str(),
        job.execution.status as u8,
        job.name.as_str(),
        job.definition.as_str(),
        job.execution.created_at.as_millis(),
        job.execution.stopped_at.map(Timestamp::as_millis),
        record::encode(job),
    ];
    transaction.prepare_cached(sql)?.execute(row)?;
    for Consumable { arn, .. } in job.consumables.iter().flatten() {
        let sql = "INSERT OR IGNORE INTO consumer (resource, sequence) VALUES (?1, ?2)";
        transaction.prepare_cached(sql)?.execute(params![arn.as_str(), sequence])?;
    }
    Ok(())
}

pub(super) fn put_service_job(transaction: &Transaction<'_>, job: &ServiceJob) -> rusqlite::Result<()> {
    let sql = "INSERT INTO service_job
               (sequence, id, queue, status, name, share_identifier, quota_share, created_at, stopped_at, body)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
               ON CONFLICT (sequence) DO UPDATE
               SET status = excluded.status, stopped_at = excluded.stopped_at, body = excluded.body";
    let row = params![
        job.sequence.cast_signed(),
        job.id.as_bytes(),
        job.queue.as_str(),
        job.status as u8,
        job.name.as_str(),
        job.share_identifier.as_deref(),
        job.quota_share.as_deref(),
        job.created_at.as_millis(),
        job.stopped_at.map(Timestamp::as_millis),
        record::encode(job),
    ];
    transaction.prepare_cached(sql)?.execute(row).map(drop)
}

/// Neither part has a space in it.
fn share_key(queue: &str, share: &str) -> String {
    format!("{queue} {share}")
}

/// In the order of the numbers, all of which have this many digits or fewer.
pub(super) fn event_key(number: u64) -> String {
    format!("{number:020}")
}

fn delete(transaction: &Transaction<'_>, key: &Key) -> rusqlite::Result<()> {
    let resource = |kind: u8, key: &str| {
        let sql = "DELETE FROM resource WHERE kind = ?1 AND key = ?2";
        transaction.prepare_cached(sql)?.execute(params![kind, key]).map(drop)
    };
    match key {
        Key::ComputeEnvironment(arn) => resource(kind::COMPUTE_ENVIRONMENT, arn),
        Key::JobQueue(arn) => resource(kind::JOB_QUEUE, arn),
        Key::JobDefinition(arn, revision) => resource(kind::JOB_DEFINITION, &format!("{arn}:{revision}")),
        Key::Instance(id) => resource(kind::INSTANCE, id),
        Key::SchedulingPolicy(arn) => resource(kind::SCHEDULING_POLICY, arn),
        Key::ConsumableResource(arn) => resource(kind::CONSUMABLE_RESOURCE, arn),
        Key::Job(id) => {
            transaction.prepare_cached("DELETE FROM job WHERE id = ?1")?.execute([id.as_bytes()]).map(drop)
        }
        Key::Child(job, number) => {
            let sql = "DELETE FROM child WHERE job = ?1 AND number = ?2";
            transaction.prepare_cached(sql)?.execute(params![job.as_bytes(), number]).map(drop)
        }
        Key::ServiceEnvironment(arn) => resource(kind::SERVICE_ENVIRONMENT, arn),
        Key::QuotaShare(arn) => resource(kind::QUOTA_SHARE, arn),
        Key::Share(queue, share) => resource(kind::SHARE, &share_key(queue, share)),
        Key::Event(number) => resource(kind::EVENT, &event_key(*number)),
        Key::ServiceJob(id) => {
            let sql = "DELETE FROM service_job WHERE id = ?1";
            transaction.prepare_cached(sql)?.execute([id.as_bytes()]).map(drop)
        }
    }
}
