//! What recovery reads: every resource, and the jobs that have not ended, with their children and nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use fornada_core::id::Uuid;
use fornada_core::job::{Execution, Job, JobStatus};
use fornada_core::record::{Loaded, Record};
use fornada_core::service_job::{ServiceJob, ServiceJobStatus};
use fornada_core::time::Timestamp;
use minicbor::Decode;
use rusqlite::{Connection, params};

use super::write::kind;
use super::{Failure, record};

pub(super) fn load(connection: &Connection) -> Result<Loaded, Failure> {
    let mut records = resources(connection)?;
    let live = JobStatus::ALL.into_iter().filter(|status| !status.is_terminal()).map(|status| status as u8);
    for job in jobs::<Job>(connection, "job", &live.collect::<Vec<_>>())? {
        if job.array.is_some() || job.nodes.is_some() {
            let members = members(connection, job.id)?.into_iter();
            records.extend(members.map(|(number, member)| Record::Child(job.id, number, member)));
        }
        records.push(Record::Job(job));
    }
    let live = ServiceJobStatus::ALL.into_iter().filter(|status| !status.is_terminal());
    let live: Vec<u8> = live.map(|status| status as u8).collect();
    records.extend(jobs::<ServiceJob>(connection, "service_job", &live)?.into_iter().map(Record::ServiceJob));
    let newest = |column: &str, table: &str| -> rusqlite::Result<Option<i64>> {
        let sql = format!("SELECT max({column}) FROM {table} WHERE {column} IS NOT NULL");
        connection.query_row(&sql, [], |row| row.get(0))
    };
    let newest_sequence = newest("sequence", "job")?.max(newest("sequence", "service_job")?);
    let latest = newest("stopped_at", "job")?.max(newest("stopped_at", "service_job")?);
    Ok(Loaded {
        records,
        next_sequence: newest_sequence.map_or(0, |sequence| sequence.cast_unsigned() + 1),
        latest: Timestamp(latest.map_or(0, i64::cast_unsigned)),
    })
}

/// The children or nodes of a job that have records, by number.
pub(super) fn members(connection: &Connection, job: Uuid) -> Result<BTreeMap<u32, Arc<Execution>>, Failure> {
    let mut statement = connection.prepare_cached("SELECT number, body FROM child WHERE job = ?1")?;
    let mut rows = statement.query([job.as_bytes()])?;
    let mut members = BTreeMap::new();
    while let Some(row) = rows.next()? {
        members.insert(row.get(0)?, record::decode(row.get_ref(1)?.as_blob()?)?);
    }
    Ok(members)
}

/// Jobs in any of these statuses, found by the index of each queue: those that have ended are not even looked at.
fn jobs<T: for<'b> Decode<'b, ()>>(
    connection: &Connection,
    table: &str,
    statuses: &[u8],
) -> Result<Vec<Arc<T>>, Failure> {
    // One step in the index for each queue, however many jobs it has.
    let queues = format!(
        "WITH RECURSIVE known (queue) AS (
             SELECT min(queue) FROM {table}
             UNION ALL
             SELECT (SELECT min(queue) FROM {table} WHERE queue > known.queue) FROM known
             WHERE known.queue IS NOT NULL
         )
         SELECT queue FROM known WHERE queue IS NOT NULL"
    );
    let queues: Vec<String> =
        connection.prepare(&queues)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let of = format!("SELECT body FROM {table} WHERE queue = ?1 AND status = ?2 ORDER BY sequence");
    let mut statement = connection.prepare(&of)?;
    let mut jobs = Vec::new();
    for queue in &queues {
        for status in statuses {
            let mut rows = statement.query(params![queue, status])?;
            while let Some(row) = rows.next()? {
                jobs.push(record::decode(row.get_ref(0)?.as_blob()?)?);
            }
        }
    }
    Ok(jobs)
}

fn resources(connection: &Connection) -> Result<Vec<Record>, Failure> {
    let mut records = Vec::new();
    let mut statement = connection.prepare("SELECT kind, body, key FROM resource")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let body = row.get_ref(1)?.as_blob()?;
        records.push(match row.get(0)? {
            kind::COMPUTE_ENVIRONMENT => Record::ComputeEnvironment(record::decode(body)?),
            kind::JOB_QUEUE => Record::JobQueue(record::decode(body)?),
            kind::JOB_DEFINITION => Record::JobDefinition(record::decode(body)?),
            kind::INSTANCE => Record::Instance(record::decode(body)?),
            kind::SCHEDULING_POLICY => Record::SchedulingPolicy(record::decode(body)?),
            kind::CONSUMABLE_RESOURCE => Record::ConsumableResource(record::decode(body)?),
            kind::SERVICE_ENVIRONMENT => Record::ServiceEnvironment(record::decode(body)?),
            kind::QUOTA_SHARE => Record::QuotaShare(record::decode(body)?),
            kind::SHARE => {
                let key = row.get_ref(2)?.as_str()?;
                let (queue, share) = key.split_once(' ').ok_or(record::Unreadable::Key)?;
                Record::Share(queue.into(), share.into(), record::decode(body)?)
            }
            kind::EVENT => Record::Event(record::decode(body)?),
            other => return Err(record::Unreadable::Kind(other).into()),
        });
    }
    Ok(records)
}
