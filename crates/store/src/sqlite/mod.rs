//! Records in SQLite: the embedded store.
//!
//! One row a record, with the few columns that people search by, and the record itself as a versioned body ([`record`]).
//! WAL with `synchronous=FULL`: a commit is on disk when it returns. One connection writes, others read; a reader sees only
//! what is committed.

mod index;
mod record;

use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fornada_core::record::Key;
use fornada_core::record::{Change, Record};
use fornada_engine::port::store::{Error, Store};
use rusqlite::{Connection, OpenFlags, Transaction, params};

pub use index::SqliteIndex;

/// Says "this is a Fornada store" in the file's header ("Forn").
const APPLICATION_ID: i32 = 0x466f_726e;

/// Version of the tables: how many steps of [`SCHEMA`] a store has taken. Newer ones are refused.
const SCHEMA_VERSION: i32 = 2;

/// A new store takes every step, an older one those that it lacks.
const SCHEMA: [&str; 2] = [RECORDS_AND_JOBS, SERVICE_JOBS];

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

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else's file.
    #[error("{} is not a Fornada store", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Written by a later release.
    #[error("{} was written by a newer version of Fornada (store version {found}, this one reads up to {SCHEMA_VERSION}): use that version", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i32,
    },
    /// SQLite opens it all the same, and fails at the first commit.
    #[error("{} is read-only: make it writable and start again", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be created.
    #[error("cannot create {}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file cannot be opened or read.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}

/// The writing side.
pub struct SqliteStore {
    connection: Connection,
}

impl SqliteStore {
    /// Opens the store in `path`, creating it (mode 0600) when it is not there. Says whether it was created.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path) -> Result<(SqliteStore, bool), OpenError> {
        let created = match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(_) => true,
            Err(exists) if exists.kind() == std::io::ErrorKind::AlreadyExists => false,
            Err(source) => return Err(OpenError::Create { path: path.to_owned(), source }),
        };
        let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => OpenError::Foreign { path: path.to_owned() },
            _ => OpenError::Open { path: path.to_owned(), source },
        };
        let mut connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(failed)?;
        if connection.is_readonly("main").map_err(failed)? {
            return Err(OpenError::ReadOnly { path: path.to_owned() });
        }
        let mut created = created;
        match pragma(&connection, "application_id").map_err(failed)? {
            APPLICATION_ID => match pragma(&connection, "user_version").map_err(failed)? {
                found @ 1..=SCHEMA_VERSION => migrate(&mut connection, found).map_err(failed)?,
                found => return Err(OpenError::Newer { path: path.to_owned(), found }),
            },
            // An empty file is the trace of a first start that was cut short.
            0 if is_empty(&connection).map_err(failed)? => {
                created = true;
                configure(&connection).map_err(failed)?;
                migrate(&mut connection, 0).map_err(failed)?;
            }
            _ => return Err(OpenError::Foreign { path: path.to_owned() }),
        }
        configure(&connection).map_err(failed)?;
        for suffix in ["-wal", "-shm"] {
            let mut side = path.as_os_str().to_owned();
            side.push(suffix);
            drop(fs::set_permissions(side, fs::Permissions::from_mode(0o600))); // they inherit it; older ones may not have
        }
        Ok((SqliteStore { connection }, created))
    }
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Takes the steps that a store of version `found` lacks, all or none.
fn migrate(connection: &mut Connection, found: i32) -> rusqlite::Result<()> {
    if found == SCHEMA_VERSION {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for step in SCHEMA.iter().skip(usize::try_from(found).unwrap_or_default()) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

/// The kinds of rows in `resource`. Numbers are never reused.
mod kind {
    pub(super) const COMPUTE_ENVIRONMENT: u8 = 1;
    pub(super) const JOB_QUEUE: u8 = 2;
    pub(super) const JOB_DEFINITION: u8 = 3;
    pub(super) const INSTANCE: u8 = 4;
    pub(super) const SCHEDULING_POLICY: u8 = 5;
    pub(super) const CONSUMABLE_RESOURCE: u8 = 6;
    pub(super) const SERVICE_ENVIRONMENT: u8 = 7;
    pub(super) const QUOTA_SHARE: u8 = 8;
}

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Vec<Record>, Error> {
        load(&self.connection).map_err(|source| Error { what: "cannot read the records".into(), source })
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), Error> {
        let result = self.connection.transaction().and_then(|transaction| {
            changes.iter().try_for_each(|change| write(&transaction, change))?;
            transaction.commit()
        });
        result.map_err(|source| Error { what: what_failed(&source), source: source.into() })
    }
}

/// The sentence an operator needs; a full disk is the one that every machine meets some day.
fn what_failed(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => {
            "the disk is full: free some space and start again; nothing that was acknowledged is lost".into()
        }
        Some(rusqlite::ErrorCode::ReadOnly) => "the store is read-only".into(),
        _ => format!("the store cannot be written ({error})"),
    }
}

fn write(transaction: &Transaction<'_>, change: &Change) -> rusqlite::Result<()> {
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
        Change::Put(Record::Job(job)) => {
            let sql = "INSERT INTO job (sequence, id, queue, status, name, definition, created_at, body)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                       ON CONFLICT (sequence) DO UPDATE SET status = excluded.status, body = excluded.body";
            let row = params![
                job.sequence.cast_signed(),
                job.id.as_bytes(),
                job.queue.as_str(),
                job.execution.status as u8,
                job.name.as_str(),
                job.definition.as_str(),
                job.execution.created_at.as_millis(),
                record::encode(&**job),
            ];
            transaction.prepare_cached(sql)?.execute(row).map(drop)
        }
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
        Change::Put(Record::ServiceJob(job)) => {
            let sql = "INSERT INTO service_job
                       (sequence, id, queue, status, name, share_identifier, quota_share, created_at, body)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                       ON CONFLICT (sequence) DO UPDATE SET status = excluded.status, body = excluded.body";
            let row = params![
                job.sequence.cast_signed(),
                job.id.as_bytes(),
                job.queue.as_str(),
                job.status as u8,
                job.name.as_str(),
                job.share_identifier.as_deref(),
                job.quota_share.as_deref(),
                job.created_at.as_millis(),
                record::encode(&**job),
            ];
            transaction.prepare_cached(sql)?.execute(row).map(drop)
        }
        Change::Delete(key) => delete(transaction, key),
    }
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
        Key::ServiceJob(id) => {
            let sql = "DELETE FROM service_job WHERE id = ?1";
            transaction.prepare_cached(sql)?.execute([id.as_bytes()]).map(drop)
        }
    }
}

fn load(connection: &Connection) -> Result<Vec<Record>, Box<dyn std::error::Error + Send + Sync>> {
    let mut records = Vec::new();
    let mut statement = connection.prepare("SELECT kind, body FROM resource")?;
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
            other => return Err(record::Unreadable::Kind(other).into()),
        });
    }
    let mut statement = connection.prepare("SELECT body FROM job ORDER BY sequence")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        records.push(Record::Job(record::decode(row.get_ref(0)?.as_blob()?)?));
    }
    let mut statement = connection.prepare("SELECT body FROM service_job ORDER BY sequence")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        records.push(Record::ServiceJob(record::decode(row.get_ref(0)?.as_blob()?)?));
    }
    let mut statement = connection.prepare("SELECT job, number, body FROM child")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let job = fornada_core::id::Uuid::from_slice(row.get_ref(0)?.as_blob()?)?;
        records.push(Record::Child(job, row.get(1)?, record::decode(row.get_ref(2)?.as_blob()?)?));
    }
    Ok(records)
}
