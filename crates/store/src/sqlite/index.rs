//! Searching jobs: what the lists of jobs need, and who names one that has ended. By index, over durable rows, so that a long
//! list of ended jobs costs the engine nothing.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fornada_core::history::{PastExecution, PastJob};
use fornada_core::id::{JobId, Uuid};
use fornada_core::job::{Job, JobStatus};
use fornada_core::service_job::ServiceJob;
use fornada_core::time::Timestamp;
use fornada_engine::port::store::{
    DefinitionFilter, Error, Expired, JobFilter, JobIndex, JobPage, JobQuery, Pattern, ServiceJobFilter,
    ServiceJobQuery,
};
use minicbor::Decode;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::{Failure, past, record, schema};

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

impl SqliteIndex {
    /// Reads what `select` finds, in order, until `take` has had enough.
    fn read<T: for<'b> Decode<'b, ()>>(
        &self,
        Select { sql, values }: Select,
        mut take: impl FnMut(Arc<T>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let read = |connection: &Connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params_from_iter(values))?;
            while let Some(row) = rows.next()? {
                if take(record::decode(row.get_ref(0)?.as_blob()?)?).is_break() {
                    break;
                }
            }
            Ok(())
        };
        self.with_connection(read).map_err(|source| Error { what: "cannot list jobs".into(), source })
    }
}

impl JobIndex for SqliteIndex {
    fn list_jobs(&self, query: &JobQuery) -> Result<JobPage, Error> {
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let mut page = JobPage::default();
        let (mut examined, mut last) = (0, None);
        self.read(jobs(query), |job: Arc<Job>| {
            if page.jobs.len() >= limit || examined == EXAMINED_MAX {
                page.next = last;
                return ControlFlow::Break(());
            }
            (examined, last) = (examined + 1, Some(job.sequence));
            if query.filters.iter().all(|filter| holds(filter, &job)) {
                page.jobs.push(job);
            }
            ControlFlow::Continue(())
        })?;
        Ok(page)
    }

    fn list_service_jobs(&self, query: &ServiceJobQuery) -> Result<Vec<Arc<ServiceJob>>, Error> {
        let mut found = Vec::new();
        self.read(service_jobs(query), |job| {
            found.push(job);
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    fn list_consumers(
        &self,
        resource: &str,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Arc<Job>>, Error> {
        let sql = "SELECT body FROM consumer JOIN job USING (sequence)
                   WHERE resource = ? AND sequence < ? ORDER BY sequence DESC LIMIT ?";
        let before = before.map_or(i64::MAX, u64::cast_signed);
        let values = vec![text(resource), Value::Integer(before), Value::Integer(i64::from(limit))];
        let mut found = Vec::new();
        self.read(Select { sql: sql.to_owned(), values }, |job| {
            found.push(job);
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    fn find(&self, ids: &[JobId]) -> Result<Vec<(JobId, PastExecution)>, Error> {
        let found = self.with_connection(|connection| {
            let one = |&id| Ok(past::find(connection, id)?.map(|found| (id, found)));
            ids.iter().filter_map(|id| one(id).transpose()).collect()
        });
        found.map_err(|source| Error { what: "cannot read jobs that have ended".into(), source })
    }

    fn past_jobs(&self, ids: &[Uuid]) -> Result<Vec<PastJob>, Error> {
        let found = self.with_connection(|connection| {
            ids.iter().filter_map(|&id| past::job(connection, id).transpose()).collect()
        });
        found.map_err(|source| Error { what: "cannot read jobs that have ended".into(), source })
    }

    fn expire(&self, ended_before: Timestamp) -> Result<Expired, Error> {
        let expire = || {
            let mut connection = Connection::open_with_flags(
                &self.path,
                OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?;
            schema::configure(&connection)?;
            past::expire(&mut connection, ended_before)
        };
        expire().map_err(|source| Error { what: "cannot delete jobs that have expired".into(), source })
    }
}

fn jobs(query: &JobQuery) -> Select {
    let mut select = Select::from("job", &query.queue, query.before_sequence);
    for filter in &query.filters {
        match filter {
            JobFilter::Status(one) if one.len() == 1 => {
                select.and("status = ?", one.iter().map(status).collect());
            }
            // The plus keeps to the index that is in order of submission already.
            JobFilter::Status(any) => {
                let marks = vec!["?"; any.len()].join(", ");
                select.and(&format!("+status IN ({marks})"), any.iter().map(status).collect());
            }
            JobFilter::Name(pattern) => select.name(pattern),
            JobFilter::Definition(DefinitionFilter::Revision(arn)) => {
                select.and("definition = ?", vec![text(arn)]);
            }
            JobFilter::Definition(DefinitionFilter::Family(family)) => {
                select.and("substr(definition, 1, ?) = ?", starts_with(&format!("{family}:")));
            }
            JobFilter::Definition(DefinitionFilter::Prefix(prefix)) => {
                select.and("substr(definition, 1, ?) = ?", starts_with(prefix));
            }
            JobFilter::CreatedBefore(at) => select.created("<", *at),
            JobFilter::CreatedAfter(at) => select.created(">", *at),
            JobFilter::Share(_) | JobFilter::Tag(_) => {} // in the body
        }
    }
    let reads_bodies = |filter: &JobFilter| matches!(filter, JobFilter::Share(_) | JobFilter::Tag(_));
    let most = if query.filters.iter().any(reads_bodies) { EXAMINED_MAX } else { query.limit };
    select.newest_first(i64::from(most) + 1) // one more says whether there is another page
}

fn service_jobs(query: &ServiceJobQuery) -> Select {
    let ServiceJobQuery { queue, status, filter, before_sequence, limit } = query;
    let mut select = Select::from("service_job", queue, *before_sequence);
    if let Some(status) = status {
        select.and("status = ?", vec![Value::Integer(i64::from(*status as u8))]);
    }
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
    select.newest_first(i64::from(*limit))
}

/// A query of one queue's rows, condition by condition.
struct Select {
    sql: String,
    values: Vec<Value>,
}

impl Select {
    fn from(table: &str, queue: &str, before_sequence: Option<u64>) -> Select {
        let sql = format!("SELECT body FROM {table} WHERE queue = ?");
        let mut select = Select { sql, values: vec![text(queue)] };
        if let Some(sequence) = before_sequence {
            select.and("sequence < ?", vec![Value::Integer(sequence.cast_signed())]);
        }
        select
    }

    fn and(&mut self, condition: &str, with: Vec<Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.extend(with);
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

    fn newest_first(mut self, most: i64) -> Select {
        self.sql.push_str(" ORDER BY sequence DESC LIMIT ?");
        self.values.push(Value::Integer(most));
        self
    }
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
