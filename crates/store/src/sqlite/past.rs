//! Jobs that have ended: found by id, and deleted when they expire.

use std::sync::Arc;

use fornada_core::history::{PastExecution, PastJob};
use fornada_core::id::{JobId, Member, Uuid};
use fornada_core::job::Job;
use fornada_core::time::Timestamp;
use minicbor::Decode;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{Failure, load, record};

/// Jobs that are deleted in one transaction: the engine's commits wait for no more than that.
const JOBS_AT_ONCE: u32 = 100;

/// Pages that are given back in one step, of 4 KiB each.
const PAGES_AT_ONCE: u32 = 1000;

pub(super) fn find(connection: &Connection, id: JobId) -> Result<Option<PastExecution>, Failure> {
    let Some(job) = by_id::<Job>(connection, "job", id.job)? else { return Ok(None) };
    let record = match id.member {
        Member::Whole => None,
        Member::Index(number) | Member::Node(number) => {
            let sql = "SELECT body FROM child WHERE job = ?1 AND number = ?2";
            read(connection, sql, params![id.job.as_bytes(), number])?
        }
    };
    Ok(PastExecution::of(job, id.member, record))
}

pub(super) fn job(connection: &Connection, id: Uuid) -> Result<Option<PastJob>, Failure> {
    if let Some(job) = by_id(connection, "job", id)? {
        return Ok(Some(PastJob::Job(job, load::members(connection, id)?)));
    }
    Ok(by_id(connection, "service_job", id)?.map(PastJob::ServiceJob))
}

fn by_id<T: for<'b> Decode<'b, ()>>(
    connection: &Connection,
    table: &str,
    id: Uuid,
) -> Result<Option<Arc<T>>, Failure> {
    read(connection, &format!("SELECT body FROM {table} WHERE id = ?1"), [id.as_bytes()])
}

fn read<T: for<'b> Decode<'b, ()>>(
    connection: &Connection,
    sql: &str,
    key: impl rusqlite::Params,
) -> Result<Option<Arc<T>>, Failure> {
    let body = |row: &rusqlite::Row<'_>| Ok(row.get_ref(0)?.as_blob().map(record::decode));
    let found = connection.prepare_cached(sql)?.query_row(key, body).optional()?;
    Ok(found.transpose()?.transpose()?)
}

/// Deletes the jobs that ended before a time, and gives the space that is free back to the file system.
pub(super) fn expire(connection: &mut Connection, ended_before: Timestamp) -> Result<u64, Failure> {
    let mut deleted = 0;
    for table in ["job", "service_job"] {
        loop {
            let some = expire_some(connection, table, ended_before)?;
            deleted += some;
            if some == 0 {
                break;
            }
        }
    }
    if deleted == 0 {
        return Ok(0);
    }
    let mut free = u32::MAX;
    loop {
        let mut step = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES_AT_ONCE})"))?;
        let mut pages = step.query([])?;
        while pages.next()?.is_some() {} // one row a page
        let left = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        if left == 0 || left >= free {
            break;
        }
        free = left;
    }
    Ok(deleted)
}

fn expire_some(connection: &mut Connection, table: &str, before: Timestamp) -> Result<u64, Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let sql = format!("SELECT sequence, id FROM {table} WHERE stopped_at < ?1 ORDER BY stopped_at LIMIT ?2");
    let expired: Vec<(i64, Vec<u8>)> = transaction
        .prepare_cached(&sql)?
        .query_map(params![before.as_millis(), JOBS_AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (sequence, id) in &expired {
        if table == "job" {
            transaction.prepare_cached("DELETE FROM child WHERE job = ?1")?.execute([id])?;
            transaction.prepare_cached("DELETE FROM consumer WHERE sequence = ?1")?.execute([sequence])?;
        }
        let sql = format!("DELETE FROM {table} WHERE sequence = ?1");
        transaction.prepare_cached(&sql)?.execute([sequence])?;
    }
    transaction.commit()?;
    Ok(expired.len() as u64)
}
