//! Searching jobs: what ListJobs needs, by index, over durable rows.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fornada_core::job::{Job, JobStatus};
use fornada_engine::port::store::{DefinitionFilter, Error, JobFilter, JobIndex, JobPage, JobQuery, Pattern};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::record;

/// Connections that are kept for reuse; more are opened when more readers come at once.
const IDLE_MAX: usize = 8;

/// Jobs that are read for one page; where filters on their bodies leave out more, the page is the shorter.
const EXAMINED_MAX: u32 = 20_000;

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
    fn list_jobs(&self, query: &JobQuery) -> Result<JobPage, Error> {
        let (sql, values) = statement(query);
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let read = |connection: &Connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params_from_iter(values))?;
            let mut page = JobPage::default();
            let (mut examined, mut last) = (0, None);
            while let Some(row) = rows.next()? {
                if page.jobs.len() >= limit || examined == EXAMINED_MAX {
                    page.next = last;
                    break;
                }
                let job: Arc<Job> = record::decode(row.get_ref(0)?.as_blob()?)?;
                (examined, last) = (examined + 1, Some(job.sequence));
                if query.filters.iter().all(|filter| holds(filter, &job)) {
                    page.jobs.push(job);
                }
            }
            Ok(page)
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
    if let Some(sequence) = query.before_sequence {
        and("sequence < ?", vec![Value::Integer(sequence.cast_signed())]);
    }
    for filter in &query.filters {
        match filter {
            JobFilter::Status(one) if one.len() == 1 => and("status = ?", one.iter().map(status).collect()),
            // The plus keeps to the index that is in order of submission already.
            JobFilter::Status(any) => {
                let marks = vec!["?"; any.len()].join(", ");
                and(&format!("+status IN ({marks})"), any.iter().map(status).collect());
            }
            JobFilter::Name(Pattern::Exact(name)) => and("name = ?", vec![text(name)]),
            JobFilter::Name(Pattern::Prefix(prefix)) => {
                and("substr(name, 1, ?) = ? COLLATE NOCASE", starts_with(prefix));
            }
            JobFilter::Definition(DefinitionFilter::Revision(arn)) => and("definition = ?", vec![text(arn)]),
            JobFilter::Definition(DefinitionFilter::Family(family)) => {
                and("substr(definition, 1, ?) = ?", starts_with(&format!("{family}:")));
            }
            JobFilter::Definition(DefinitionFilter::Prefix(prefix)) => {
                and("substr(definition, 1, ?) = ?", starts_with(prefix));
            }
            JobFilter::CreatedBefore(at) => and("created_at < ?", vec![Value::Integer(at.as_millis())]),
            JobFilter::CreatedAfter(at) => and("created_at > ?", vec![Value::Integer(at.as_millis())]),
            JobFilter::Share(_) | JobFilter::Tag(_) => {} // in the body
        }
    }
    let reads_bodies = |filter: &JobFilter| matches!(filter, JobFilter::Share(_) | JobFilter::Tag(_));
    let most = if query.filters.iter().any(reads_bodies) { EXAMINED_MAX } else { query.limit };
    sql.push_str(" ORDER BY sequence DESC LIMIT ?");
    values.push(Value::Integer(i64::from(most) + 1)); // one more says whether there is another page
    (sql, values)
}

/// What only the body of a record tells; the rest was asked of the rows.
fn holds(filter: &JobFilter, job: &Job) -> bool {
    match filter {
        JobFilter::Share(share) => job.share_identifier.as_ref() == Some(share),
        JobFilter::Tag(any) => any.iter().any(|(key, value)| {
            let found = job.tags.get(key);
            found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        }),
        JobFilter::Status(_)
        | JobFilter::Name(_)
        | JobFilter::Definition(_)
        | JobFilter::CreatedBefore(_)
        | JobFilter::CreatedAfter(_) => true,
    }
}

fn status(status: &JobStatus) -> Value {
    Value::Integer(i64::from(*status as u8))
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Values for `substr(column, 1, ?) = ?`. Not LIKE: names may hold `_`, which it takes for any letter.
fn starts_with(prefix: &str) -> Vec<Value> {
    vec![Value::Integer(i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX)), text(prefix)]
}
