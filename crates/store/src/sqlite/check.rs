//! Looking whether a store is as it should be: the file, each record, what records say of each other, and the state that a
//! server would recover from them.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use fornada_core::arn::Arn;
use fornada_core::event::Event;
use fornada_core::id::Uuid;
use fornada_core::instance::Instance;
use fornada_core::job::{Execution, Job};
use fornada_core::resource::compute_environment::ComputeEnvironment;
use fornada_core::resource::consumable_resource::ConsumableResource;
use fornada_core::resource::job_definition::JobDefinition;
use fornada_core::resource::job_queue::JobQueue;
use fornada_core::resource::quota_share::QuotaShare;
use fornada_core::resource::scheduling_policy::SchedulingPolicy;
use fornada_core::resource::service_environment::ServiceEnvironment;
use fornada_core::schedule::Past;
use fornada_core::service_job::ServiceJob;
use fornada_core::state::State;
use fornada_core::time::Timestamp;
use rusqlite::{Connection, Row};

use super::write::{event_key, kind};
use super::{Failure, Snapshot, load, record, schema};
use crate::finding::Findings;

const RESTORE: &str = "restore the data directory from a backup (fornada restore)";
const REPORT: &str = "this is a bug of Fornada: keep a backup of the directory as it is, and report it";
const PLACE: &str = "store.db";

/// How many records were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Queues, environments, definitions and the like.
    pub resources: u64,
    /// Jobs, an array counted once.
    pub jobs: u64,
    /// Children of arrays that have started, and nodes that were placed.
    pub children: u64,
    /// Service jobs.
    pub service_jobs: u64,
}

/// Checks everything, and goes on after a fault as far as that makes sense. Panics of the state's own check are caught; the
/// caller decides whether the panic hook may print them.
pub fn check(snapshot: &Snapshot, findings: &mut Findings) -> Counts {
    let mut counts = Counts::default();
    if snapshot.version() < schema::VERSION {
        let problem = format!("has version {} of the tables", snapshot.version());
        findings.note(PLACE, problem, "the next start of the server brings it up to date by itself");
    }
    if let Err(error) = check_records(snapshot, findings, &mut counts) {
        findings.fault(PLACE, format!("cannot be read to its end ({error})"), RESTORE);
    }
    counts
}

fn check_records(snapshot: &Snapshot, findings: &mut Findings, counts: &mut Counts) -> Result<(), Failure> {
    let connection = snapshot.current()?;
    let mut statement = connection.prepare("PRAGMA integrity_check(20)")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let found: String = row.get(0)?;
        if found != "ok" {
            findings.fault(
                PLACE,
                format!("fails SQLite's integrity check: {}", found.replace('\n', "; ")),
                RESTORE,
            );
        }
    }
    let mut check = Check { findings, counts, known: Known::default() };
    check.resources(&connection)?;
    check.queues();
    check.jobs(&connection)?;
    check.children(&connection)?;
    check.service_jobs(&connection)?;
    if !findings.has_fault() {
        check_state(&connection, findings);
    }
    Ok(())
}

/// Recovers the state as a server would, and has it check itself.
fn check_state(connection: &Connection, findings: &mut Findings) {
    let recover = || load::load(connection).map(|loaded| State::recover(loaded).check());
    match catch_unwind(AssertUnwindSafe(recover)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => findings.fault(PLACE, format!("cannot be loaded ({error})"), RESTORE),
        Err(panic) => {
            findings.fault(PLACE, format!("the state does not add up: {}", message(&*panic)), REPORT)
        }
    }
}

/// What a panic said, in one line.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").replace('\n', " ")
}

/// What records may refer to.
#[derive(Default)]
struct Known {
    environments: HashSet<Arn>,
    service_environments: HashSet<Arn>,
    policies: HashSet<Arn>,
    definitions: HashSet<Arn>,
    consumables: HashSet<Arn>,
    instances: HashSet<Arn>,
    queues: Vec<std::sync::Arc<JobQueue>>,
    shares: Vec<std::sync::Arc<QuotaShare>>,
    /// Shares of fair-share queues whose use is remembered, and their queues.
    remembered: Vec<(Arn, Arn)>,
    queue_names: HashSet<Arn>,
    /// How many children or nodes a job may have.
    parents: HashMap<Uuid, u32>,
}

struct Check<'a> {
    findings: &'a mut Findings,
    counts: &'a mut Counts,
    known: Known,
}

impl Check<'_> {
    fn resources(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare("SELECT kind, key, body FROM resource")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.counts.resources += 1;
            let key: String = row.get(1)?;
            if let Some(names) = self.resource(row, &key)?
                && *names != *key
            {
                self.findings.fault(key, format!("its record is that of {names}"), RESTORE);
            }
        }
        Ok(())
    }

    /// Reads one record and remembers it; returns the key that it should have.
    fn resource(&mut self, row: &Row<'_>, key: &str) -> rusqlite::Result<Option<Arn>> {
        let known = &mut self.known;
        let body = row.get_ref(2)?.as_blob()?;
        let kind: u8 = row.get(0)?;
        let mut read = || -> Result<Arn, record::Unreadable> {
            let (set, key) = match kind {
                kind::COMPUTE_ENVIRONMENT => {
                    (&mut known.environments, record::decode::<ComputeEnvironment>(body)?.arn.clone())
                }
                kind::JOB_QUEUE => {
                    let queue = record::decode::<JobQueue>(body)?;
                    known.queues.push(queue.clone());
                    (&mut known.queue_names, queue.arn.clone())
                }
                kind::JOB_DEFINITION => {
                    (&mut known.definitions, record::decode::<JobDefinition>(body)?.arn.clone())
                }
                kind::INSTANCE => {
                    (&mut known.instances, record::decode::<Instance>(body)?.instance_id.clone())
                }
                kind::SCHEDULING_POLICY => {
                    (&mut known.policies, record::decode::<SchedulingPolicy>(body)?.arn.clone())
                }
                kind::CONSUMABLE_RESOURCE => {
                    (&mut known.consumables, record::decode::<ConsumableResource>(body)?.arn.clone())
                }
                kind::SERVICE_ENVIRONMENT => {
                    (&mut known.service_environments, record::decode::<ServiceEnvironment>(body)?.arn.clone())
                }
                kind::QUOTA_SHARE => {
                    let share = record::decode::<QuotaShare>(body)?;
                    known.shares.push(share.clone());
                    return Ok(share.arn.clone());
                }
                kind::SHARE => {
                    let (queue, _) = key.split_once(' ').ok_or(record::Unreadable::Key)?;
                    known.remembered.push((key.into(), queue.into()));
                    return record::decode::<Past>(body).map(|_| key.into());
                }
                kind::EVENT => {
                    let event: std::sync::Arc<Event> = record::decode(body)?;
                    return Ok(event_key(event.number).into()); // the job may have expired
                }
                other => return Err(record::Unreadable::Kind(other)),
            };
            set.insert(key.clone());
            Ok(key)
        };
        match read() {
            Ok(key) => Ok(Some(key)),
            Err(error) => {
                self.unreadable(key.to_owned(), &error);
                Ok(None)
            }
        }
    }

    fn unreadable(&mut self, place: String, error: &record::Unreadable) {
        let advice = match error {
            record::Unreadable::Version(_) | record::Unreadable::Kind(_) => {
                "use the newer release of Fornada that wrote it"
            }
            record::Unreadable::Empty | record::Unreadable::Key | record::Unreadable::Damaged(_) => RESTORE,
        };
        self.findings.fault(place, error.to_string(), advice);
    }

    /// One record refers to another that must be there.
    fn refers(findings: &mut Findings, place: &str, what: &str, to: &Arn, known: &HashSet<Arn>) {
        if !known.contains(to) {
            findings.fault(place, format!("its {what} {to} does not exist"), RESTORE);
        }
    }

    fn queues(&mut self) {
        let Known { queues, shares, environments, service_environments, policies, queue_names, .. } =
            &self.known;
        for queue in queues {
            let findings = &mut *self.findings;
            for environment in &queue.environments {
                Self::refers(findings, &queue.arn, "compute environment", environment, environments);
            }
            if let Some(environment) = &queue.service_environment {
                Self::refers(findings, &queue.arn, "service environment", environment, service_environments);
            }
            if let Some(policy) = &queue.scheduling_policy {
                Self::refers(findings, &queue.arn, "scheduling policy", policy, policies);
            }
        }
        for (share, queue) in &self.known.remembered {
            Self::refers(self.findings, share, "job queue", queue, queue_names);
        }
        for share in shares {
            Self::refers(self.findings, &share.arn, "job queue", &share.queue, queue_names);
        }
    }

    fn jobs(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let columns = "sequence, id, queue, status, name, definition, created_at, body, stopped_at";
        let mut statement = connection.prepare(&format!("SELECT {columns} FROM job ORDER BY sequence"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.counts.jobs += 1;
            let place = place("job", row)?;
            let job: std::sync::Arc<Job> = match record::decode(row.get_ref(7)?.as_blob()?) {
                Ok(job) => job,
                Err(error) => {
                    self.unreadable(place, &error);
                    continue;
                }
            };
            let agrees = row.get_ref(0)?.as_i64()? == job.sequence.cast_signed()
                && row.get_ref(1)?.as_blob()? == job.id.as_bytes()
                && row.get_ref(2)?.as_str()? == job.queue.as_str()
                && row.get_ref(3)?.as_i64()? == job.execution.status as i64
                && row.get_ref(4)?.as_str()? == job.name.as_str()
                && row.get_ref(5)?.as_str()? == job.definition.as_str()
                && row.get_ref(6)?.as_i64()? == job.execution.created_at.as_millis()
                && row.get::<_, Option<i64>>(8)? == job.execution.stopped_at.map(Timestamp::as_millis);
            if !agrees {
                self.findings.fault(&place, "its row and its record say different things", RESTORE);
            }
            let array = job.array.as_ref().map(|array| array.size);
            if let Some(size) = array.or(job.nodes.as_ref().map(|nodes| nodes.num_nodes())) {
                self.known.parents.insert(job.id, size);
            }
            if !job.execution.status.is_terminal() {
                self.live_job(&place, &job);
            }
        }
        Ok(())
    }

    /// A job that has ended may outlive its queue, not so one that has yet to run.
    fn live_job(&mut self, place: &str, job: &Job) {
        let Known { queue_names, definitions, consumables, .. } = &self.known;
        Self::refers(self.findings, place, "job queue", &job.queue, queue_names);
        Self::refers(self.findings, place, "job definition", &job.definition, definitions);
        for consumable in job.consumables.iter().flatten() {
            Self::refers(self.findings, place, "consumable resource", &consumable.arn, consumables);
        }
        self.placement(place, &job.execution);
    }

    fn placement(&mut self, place: &str, execution: &Execution) {
        let Known { environments, instances, .. } = &self.known;
        if let Some(at) = &execution.placement {
            Self::refers(self.findings, place, "compute environment", &at.compute_environment, environments);
            Self::refers(self.findings, place, "instance", &at.instance_id, instances);
        }
    }

    fn children(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare("SELECT number, job, body FROM child")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.counts.children += 1;
            let place = format!("{}:{}", place("job", row)?, row.get::<_, u32>(0)?);
            match record::decode::<Execution>(row.get_ref(2)?.as_blob()?) {
                Ok(child) => self.placement(&place, &child),
                Err(error) => self.unreadable(place.clone(), &error),
            }
            let parent = Uuid::from_slice(row.get_ref(1)?.as_blob()?).ok();
            match parent.and_then(|parent| self.known.parents.get(&parent)) {
                Some(&size) if row.get::<_, u32>(0)? < size => {}
                Some(size) => {
                    self.findings.fault(place, format!("its parent has only {size} children"), RESTORE);
                }
                None => self.findings.fault(place, "it has no parent", RESTORE),
            }
        }
        Ok(())
    }

    fn service_jobs(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let columns = "sequence, id, queue, status, name, created_at, body, stopped_at";
        let mut statement =
            connection.prepare(&format!("SELECT {columns} FROM service_job ORDER BY sequence"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.counts.service_jobs += 1;
            let place = place("service job", row)?;
            let job: std::sync::Arc<ServiceJob> = match record::decode(row.get_ref(6)?.as_blob()?) {
                Ok(job) => job,
                Err(error) => {
                    self.unreadable(place, &error);
                    continue;
                }
            };
            let agrees = row.get_ref(0)?.as_i64()? == job.sequence.cast_signed()
                && row.get_ref(1)?.as_blob()? == job.id.as_bytes()
                && row.get_ref(2)?.as_str()? == job.queue.as_str()
                && row.get_ref(3)?.as_i64()? == job.status as i64
                && row.get_ref(4)?.as_str()? == job.name.as_str()
                && row.get_ref(5)?.as_i64()? == job.created_at.as_millis()
                && row.get::<_, Option<i64>>(7)? == job.stopped_at.map(Timestamp::as_millis);
            if !agrees {
                self.findings.fault(&place, "its row and its record say different things", RESTORE);
            }
            if !job.status.is_terminal() {
                Self::refers(self.findings, &place, "job queue", &job.queue, &self.known.queue_names);
            }
            if let Some(at) = &job.placement {
                let Known { service_environments, instances, .. } = &self.known;
                Self::refers(
                    self.findings,
                    &place,
                    "service environment",
                    &at.environment,
                    service_environments,
                );
                Self::refers(self.findings, &place, "instance", &at.instance_id, instances);
            }
        }
        Ok(())
    }
}

/// What people call the record of a row whose second column is the id of a job.
fn place(what: &str, row: &Row<'_>) -> rusqlite::Result<String> {
    let id = row.get_ref(1)?.as_blob()?;
    Ok(match Uuid::from_slice(id) {
        Ok(id) => format!("{what} {id}"),
        Err(_) => format!("{what} number {}", row.get_ref(0)?.as_i64()?),
    })
}
