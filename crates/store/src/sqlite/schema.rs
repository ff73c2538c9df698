//! The tables, and how a store of an earlier release gets them.

use std::sync::Arc;
use std::time::Duration;

use fornada_core::job::Job;
use fornada_core::job::array::Array;
use fornada_core::service_job::ServiceJob;
use rusqlite::{Connection, Transaction};

use super::{Failure, load, record, write};

/// Says "this is a Fornada store" in the file's header ("Forn").
pub(super) const APPLICATION_ID: i32 = 0x466f_726e;

/// Version of the tables: how many of [`STEPS`] a store has taken. Newer ones are refused.
pub(super) const VERSION: i32 = 3;

/// A new store takes every step, an older one those that it lacks: tables first, then what the rows that are there need.
const STEPS: [(&str, Fill); 3] =
    [(RECORDS_AND_JOBS, nothing), (SERVICE_JOBS, nothing), (ENDED_JOBS, fill_ended_jobs)];

/// Since this version a file gives the space of deleted rows back.
const RETURNS_SPACE: i32 = 3;

/// The write-ahead log is cut to this many bytes when it has grown beyond them.
const JOURNAL_BYTES: i64 = 64 << 20;

/// Two connections write, the engine's and that of expiry, which takes small steps: a writer waits rather than fails.
const WRITER_WAITS: Duration = Duration::from_secs(60);

type Fill = fn(&Transaction<'_>) -> Result<(), Failure>;

/// `sequence` is the order of submission and the key, so that new jobs are appended and lists are read in one sweep.
const RECORDS_AND_JOBS: &str = "
    CREATE TABLE resource (
        kind INTEGER NOT NULL,
        key TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (kind, key)
    ) WITHOUT ROWID;
    CREATE TABLE job (
        sequence INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE,
        queue TEXT NOT NULL,
        status INTEGER NOT NULL,
        name TEXT NOT NULL COLLATE NOCASE,
        definition TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        body BLOB NOT NULL
    );
    CREATE INDEX job_by_queue ON job (queue, sequence);
    CREATE INDEX job_by_queue_and_status ON job (queue, status, sequence);
    CREATE TABLE child (
        job BLOB NOT NULL,
        number INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (job, number)
    ) WITHOUT ROWID;
";

/// Since version 2. Service jobs could be listed from the state, but a list that looks for few among many would hold up the
/// engine; so they have rows with what people search by, as jobs have.
const SERVICE_JOBS: &str = "
    CREATE TABLE service_job (
        sequence INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE,
        queue TEXT NOT NULL,
        status INTEGER NOT NULL,
        name TEXT NOT NULL COLLATE NOCASE,
        share_identifier TEXT,
        quota_share TEXT,
        created_at INTEGER NOT NULL,
        body BLOB NOT NULL
    );
    CREATE INDEX service_job_by_queue ON service_job (queue, sequence);
    CREATE INDEX service_job_by_queue_and_status ON service_job (queue, status, sequence);
";

/// Since version 3. Ended jobs are not loaded, and expire by the time of their end; who needs a consumable resource is found
/// here, ended or not.
const ENDED_JOBS: &str = "
    ALTER TABLE job ADD COLUMN stopped_at INTEGER;
    CREATE INDEX job_by_stop ON job (stopped_at) WHERE stopped_at IS NOT NULL;
    ALTER TABLE service_job ADD COLUMN stopped_at INTEGER;
    CREATE INDEX service_job_by_stop ON service_job (stopped_at) WHERE stopped_at IS NOT NULL;
    CREATE TABLE consumer (
        resource TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (resource, sequence)
    ) WITHOUT ROWID;
    CREATE INDEX consumer_by_job ON consumer (sequence);
";

fn nothing(_: &Transaction<'_>) -> Result<(), Failure> {
    Ok(())
}

/// Gives the jobs of an older store what their rows lack. An ended array counts its children once and for all.
fn fill_ended_jobs(transaction: &Transaction<'_>) -> Result<(), Failure> {
    let mut statement = transaction.prepare("SELECT body FROM job ORDER BY sequence")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut job: Arc<Job> = record::decode(row.get_ref(0)?.as_blob()?)?;
        if job.execution.status.is_terminal() && job.array.is_some() {
            let counts = Array::recover(load::members(transaction, job.id)?).summary(&job);
            if let Some(array) = &mut Arc::make_mut(&mut job).array {
                array.ended = Some(Box::new(counts));
            }
        }
        write::put_job(transaction, &job)?;
    }
    let mut statement = transaction.prepare("SELECT body FROM service_job ORDER BY sequence")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let job: Arc<ServiceJob> = record::decode(row.get_ref(0)?.as_blob()?)?;
        write::put_service_job(transaction, &job)?;
    }
    Ok(())
}

pub(super) fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

pub(super) fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_BYTES)?;
    connection.busy_timeout(WRITER_WAITS)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Takes the steps that a store of version `found` lacks, all or none.
pub(super) fn migrate(connection: &mut Connection, found: i32) -> Result<(), Failure> {
    let lacks = usize::try_from(found).unwrap_or_default();
    if lacks >= STEPS.len() {
        return Ok(());
    }
    if found > 0 {
        tracing::info!(from = found, to = VERSION, "bringing the store up to date");
    }
    if found < RETURNS_SPACE {
        // The setting is for new files, and for those that are written anew: by way of a file, for they may be larger than memory.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "temp_store", "FILE")?;
        connection.execute_batch("VACUUM")?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
    }
    let transaction = connection.transaction()?;
    for (tables, _) in &STEPS[lacks..] {
        transaction.execute_batch(tables)?;
    }
    for (_, fill) in &STEPS[lacks..] {
        fill(&transaction)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}
