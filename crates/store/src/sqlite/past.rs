//! Jobs that have ended: found by id, and deleted when they expire.

use std::sync::Arc;

use fornada_core::history::{PastExecution, PastJob};
use fornada_core::id::{JobId, Member, Uuid};
use fornada_core::job::Job;
use fornada_core::time::Timestamp;
use fornada_engine::port::store::Expired;
use minicbor::Decode;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{Failure, load, record};

/// Rows that are deleted in one transaction, for some milliseconds of which the engine's commits wait.
const ROWS_AT_ONCE: u32 = 1000;

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

/// Deletes some of the jobs that ended before a time; when there are none left, gives some of the free space back to the
/// file system.
pub(super) fn expire(connection: &mut Connection, ended_before: Timestamp) -> Result<Expired, Failure> {
    let mut expired = Expired::default();
    for table in ["job", "service_job"] {
        let (jobs, rows) = expire_some(connection, table, ended_before)?;
        expired.jobs += jobs;
        expired.may_go_on |= rows > 0;
    }
    if !expired.may_go_on {
        let before = free_pages(connection)?;
        give_back(connection)?;
        expired.may_go_on = free_pages(connection)? < before;
    }
    Ok(expired)
}

fn free_pages(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "freelist_count", |row| row.get(0))
}

fn give_back(connection: &Connection) -> rusqlite::Result<()> {
    let mut step = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES_AT_ONCE})"))?;
    let mut pages = step.query([])?;
    while pages.next()?.is_some() {} // one row a page
    Ok(())
}

/// Deletes up to [`ROWS_AT_ONCE`]; a job goes when its children are gone. Says how many jobs, and how many rows.
fn expire_some(connection: &mut Connection, table: &str, before: Timestamp) -> Result<(u64, u32), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let sql = format!("SELECT sequence, id FROM {table} WHERE stopped_at < ?1 ORDER BY stopped_at LIMIT ?2");
    let expired: Vec<(i64, Vec<u8>)> = transaction
        .prepare_cached(&sql)?
        .query_map(params![before.as_millis(), ROWS_AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let (mut jobs, mut rows) = (0, 0);
    for (sequence, id) in &expired {
        let left = ROWS_AT_ONCE.saturating_sub(rows);
        if left == 0 {
            break;
        }
        if table == "job" {
            let sql = "DELETE FROM child WHERE job = ?1
                       AND number IN (SELECT number FROM child WHERE job = ?1 LIMIT ?2)";
            let children = count(transaction.prepare_cached(sql)?.execute(params![id, left])?);
            rows += children;
            if children == left {
                break; // there may be more of them
            }
            transaction.prepare_cached("DELETE FROM consumer WHERE sequence = ?1")?.execute([sequence])?;
        }
        let sql = format!("DELETE FROM {table} WHERE sequence = ?1");
        rows += count(transaction.prepare_cached(&sql)?.execute([sequence])?);
        jobs += 1;
    }
    transaction.commit()?;
    Ok((jobs, rows))
}

fn count(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}
