//! Searching jobs: what ListJobs and ListServiceJobs need, by index, over durable rows, so that a long list of ended jobs
//! costs the engine nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fornada_core::job::Job;
use fornada_core::service_job::ServiceJob;
use fornada_core::time::Timestamp;
use fornada_engine::port::store::{
    DefinitionFilter, Error, JobFilter, JobIndex, JobQuery, Pattern, ServiceJobFilter, ServiceJobQuery,
};
use minicbor::Decode;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::record;

/// Connections that are kept for reuse; more are opened when more readers come at once.
const IDLE_MAX: usize = 8;

/// The searching side. Any number of readers at once.
pub struct SqliteIndex {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl SqliteIndex {
    /// Reads from the store at `path`, which exists.
    pub fn new(path: &Path) -> SqliteIndex {
        SqliteIndex { path: path.to_owned(), idle: Mutex::new(Vec::new()) }
    }

    fn with_connection<R>(&self, read: impl FnOnce(&Connection) -> Result<R, Failure>) -> Result<R, Failure> {
        let idle = || self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let connection = match idle().pop() {
            Some(connection) => connection,
            None => Connection::open_with_flags(
                &self.path,
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?,
        };
        let result = read(&connection);
        let mut idle = idle();
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        result
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl SqliteIndex {
    fn list<T: for<'b> Decode<'b, ()>>(&self, select: Select) -> Result<Vec<Arc<T>>, Error> {
        let Select { sql, values } = select;
        let read = |connection: &Connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params_from_iter(values))?;
            let mut records = Vec::new();
            while let Some(row) = rows.next()? {
                records.push(record::decode(row.get_ref(0)?.as_blob()?)?);
            }
            Ok(records)
        };
        self.with_connection(read).map_err(|source| Error { what: "cannot list jobs".into(), source })
    }
}

impl JobIndex for SqliteIndex {
    fn list_jobs(&self, query: &JobQuery) -> Result<Vec<Arc<Job>>, Error> {
        let JobQuery { queue, status, filter, before_sequence, limit } = query;
        let mut select = Select::from("job", queue);
        select.status(status.map(|status| status as u8));
        match filter {
            None => {}
            Some(JobFilter::Name(pattern)) => select.name(pattern),
            Some(JobFilter::Definition(DefinitionFilter::Revision(arn))) => {
                select.and("definition = ?", vec![text(arn)]);
            }
            Some(JobFilter::Definition(DefinitionFilter::Family(family))) => {
                select.and("substr(definition, 1, ?) = ?", starts_with(&format!("{family}:")));
            }
            Some(JobFilter::Definition(DefinitionFilter::Prefix(prefix))) => {
                select.and("substr(definition, 1, ?) = ?", starts_with(prefix));
            }
            Some(JobFilter::CreatedBefore(at)) => select.created("<", *at),
            Some(JobFilter::CreatedAfter(at)) => select.created(">", *at),
        }
        self.list(select.page(*before_sequence, *limit))
    }

    fn list_service_jobs(&self, query: &ServiceJobQuery) -> Result<Vec<Arc<ServiceJob>>, Error> {
        let ServiceJobQuery { queue, status, filter, before_sequence, limit } = query;
        let mut select = Select::from("service_job", queue);
        select.status(status.map(|status| status as u8));
        match filter {
            None => {}
            Some(ServiceJobFilter::Name(pattern)) => select.name(pattern),
            Some(ServiceJobFilter::ShareIdentifier(share)) => {
                select.and("share_identifier = ?", vec![text(share)]);
            }
            Some(ServiceJobFilter::QuotaShare(share)) => select.and("quota_share = ?", vec![text(share)]),
            Some(ServiceJobFilter::CreatedBefore(at)) => select.created("<", *at),
            Some(ServiceJobFilter::CreatedAfter(at)) => select.created(">", *at),
        }
        self.list(select.page(*before_sequence, *limit))
    }
}

/// A query of one queue's rows, condition by condition.
struct Select {
    sql: String,
    values: Vec<Value>,
}

impl Select {
    fn from(table: &str, queue: &str) -> Select {
        Select { sql: format!("SELECT body FROM {table} WHERE queue = ?"), values: vec![text(queue)] }
    }

    fn and(&mut self, condition: &str, with: Vec<Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.extend(with);
    }

    fn status(&mut self, status: Option<u8>) {
        if let Some(status) = status {
            self.and("status = ?", vec![Value::Integer(status.into())]);
        }
    }

    fn name(&mut self, pattern: &Pattern) {
        match pattern {
            Pattern::Exact(name) => self.and("name = ?", vec![text(name)]),
            Pattern::Prefix(prefix) => self.and("substr(name, 1, ?) = ? COLLATE NOCASE", starts_with(prefix)),
        }
    }

    fn created(&mut self, order: &str, at: Timestamp) {
        self.and(&format!("created_at {order} ?"), vec![Value::Integer(at.as_millis())]);
    }

    fn page(mut self, before_sequence: Option<u64>, limit: u32) -> Select {
        if let Some(sequence) = before_sequence {
            self.and("sequence < ?", vec![Value::Integer(sequence.cast_signed())]);
        }
        self.sql.push_str(" ORDER BY sequence DESC LIMIT ?");
        self.values.push(Value::Integer(i64::from(limit)));
        self
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Values for `substr(column, 1, ?) = ?`. Not LIKE: names may hold `_`, which it takes for any letter.
fn starts_with(prefix: &str) -> Vec<Value> {
    vec![Value::Integer(i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX)), text(prefix)]
}
