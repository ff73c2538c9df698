//! Searching jobs: what ListJobs needs, by index, over durable rows.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fornada_core::job::Job;
use fornada_engine::port::store::{DefinitionFilter, Error, JobFilter, JobIndex, JobQuery, Pattern};
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

impl JobIndex for SqliteIndex {
    fn list_jobs(&self, query: &JobQuery) -> Result<Vec<Arc<Job>>, Error> {
        let (sql, values) = statement(query);
        let read = |connection: &Connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params_from_iter(values))?;
            let mut jobs = Vec::new();
            while let Some(row) = rows.next()? {
                jobs.push(record::decode(row.get_ref(0)?.as_blob()?)?);
            }
            Ok(jobs)
        };
        self.with_connection(read).map_err(|source| Error { what: "cannot list jobs".into(), source })
    }
}

fn statement(query: &JobQuery) -> (String, Vec<Value>) {
    let mut sql = String::from("SELECT body FROM job WHERE queue = ?");
    let mut values: Vec<Value> = vec![Value::Text(query.queue.as_str().to_owned())];
    let mut and = |condition: &str, with: Vec<Value>| {
        sql.push_str(" AND ");
        sql.push_str(condition);
        values.extend(with);
    };
    if let Some(status) = query.status {
        and("status = ?", vec![Value::Integer(i64::from(status as u8))]);
    }
    if let Some(sequence) = query.before_sequence {
        and("sequence < ?", vec![Value::Integer(sequence.cast_signed())]);
    }
    match &query.filter {
        None => {}
        Some(JobFilter::Name(Pattern::Exact(name))) => and("name = ?", vec![text(name)]),
        Some(JobFilter::Name(Pattern::Prefix(prefix))) => {
            and("substr(name, 1, ?) = ? COLLATE NOCASE", starts_with(prefix));
        }
        Some(JobFilter::Definition(DefinitionFilter::Revision(arn))) => {
            and("definition = ?", vec![text(arn)])
        }
        Some(JobFilter::Definition(DefinitionFilter::Family(family))) => {
            and("substr(definition, 1, ?) = ?", starts_with(&format!("{family}:")));
        }
        Some(JobFilter::Definition(DefinitionFilter::Prefix(prefix))) => {
            and("substr(definition, 1, ?) = ?", starts_with(prefix));
        }
        Some(JobFilter::CreatedBefore(at)) => and("created_at < ?", vec![Value::Integer(at.as_millis())]),
        Some(JobFilter::CreatedAfter(at)) => and("created_at > ?", vec![Value::Integer(at.as_millis())]),
    }
    sql.push_str(" ORDER BY sequence DESC LIMIT ?");
    values.push(Value::Integer(i64::from(query.limit)));
    (sql, values)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Values for `substr(column, 1, ?) = ?`. Not LIKE: names may hold `_`, which it takes for any letter.
fn starts_with(prefix: &str) -> Vec<Value> {
    vec![Value::Integer(i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX)), text(prefix)]
}
