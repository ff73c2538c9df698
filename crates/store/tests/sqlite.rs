//! The embedded store on a real disk, also a full one.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use fornada_core::arn::Scope;
use fornada_core::event::Event;
use fornada_core::history::PastJob;
use fornada_core::id::{JobId, Uuid};
use fornada_core::instance::Instance;
use fornada_core::job::{ArrayProperties, Execution, Job, JobStatus};
use fornada_core::quantity::Resources;
use fornada_core::record::{Change, Key, Record};
use fornada_core::resource::compute_environment::ComputeEnvironment;
use fornada_core::resource::consumable_resource::ConsumableResource;
use fornada_core::resource::job_definition::JobDefinition;
use fornada_core::resource::job_queue::JobQueue;
use fornada_core::resource::quota_share::QuotaShare;
use fornada_core::resource::scheduling_policy::SchedulingPolicy;
use fornada_core::resource::service_environment::ServiceEnvironment;
use fornada_core::service_job::{ServiceJob, ServiceJobStatus};
use fornada_core::text::Text;
use fornada_core::time::Timestamp;
use fornada_engine::port::store::{
    DefinitionFilter, Expired, JobFilter, JobIndex, JobQuery, Pattern, ServiceJobFilter, ServiceJobQuery,
    Store,
};
use fornada_store::sqlite::{SqliteIndex, SqliteStore};
use rusqlite::Connection;

/// A record with every member set: the golden form that `fornada-core` keeps of it.
fn golden<T: for<'b> minicbor::Decode<'b, ()>>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../core/tests/golden/{name}.v1.hex"));
    let digits = fs::read_to_string(&path).unwrap().replace('\n', "");
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    let body: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
    minicbor::decode(&body).unwrap()
}

/// A job that was submitted as number `sequence`, and has not ended.
fn job(sequence: u64) -> Job {
    let golden: Job = golden("job_consumables");
    let execution = Execution { status: JobStatus::Runnable, stopped_at: None, ..golden.execution.clone() };
    Job { sequence, id: Uuid::from_u128(u128::from(sequence) + 1), execution, array: None, ..golden }
}

/// The same, ended at a time.
fn ended(sequence: u64, at: u64) -> Job {
    let live = job(sequence);
    let execution =
        Execution { status: JobStatus::Succeeded, stopped_at: Some(Timestamp(at)), ..live.execution.clone() };
    Job { execution, ..live }
}

/// The parent of two children.
fn array(sequence: u64, status: JobStatus) -> Job {
    let live = job(sequence);
    let properties = ArrayProperties { size: 2, fate: None, ended: None };
    let stopped_at = status.is_terminal().then_some(Timestamp(50));
    let execution = Execution { status, stopped_at, ..live.execution.clone() };
    Job { array: Some(Box::new(properties)), execution, ..live }
}

fn put(job: Job) -> Change {
    Change::Put(Record::Job(Arc::new(job)))
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path).unwrap().0
}

fn temporary() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    (dir, path)
}

/// Records in a form that can be compared, in whatever order they came.
fn sorted(records: &[Record]) -> Vec<String> {
    let mut all: Vec<String> = records.iter().map(|record| format!("{record:?}")).collect();
    all.sort_unstable();
    all
}

/// The jobs in the store.
fn sequences(store: &mut SqliteStore) -> Vec<u64> {
    let sequence = |record: &Record| match record {
        Record::Job(job) => job.sequence,
        other => panic!("{other:?}"),
    };
    store.load().unwrap().records.iter().map(sequence).collect()
}

/// A later form of a record, and its key. A new kind of record does not compile here.
fn successor(record: &Record) -> (Record, Key) {
    let starting = |execution: &Execution| Execution { status: JobStatus::Starting, ..execution.clone() };
    match record {
        Record::ComputeEnvironment(ce) => {
            let next = ComputeEnvironment { enabled: !ce.enabled, ..(**ce).clone() };
            (Record::ComputeEnvironment(Arc::new(next)), Key::ComputeEnvironment(ce.arn.clone()))
        }
        Record::JobQueue(queue) => {
            let next = JobQueue { priority: queue.priority + 1, ..(**queue).clone() };
            (Record::JobQueue(Arc::new(next)), Key::JobQueue(queue.arn.clone()))
        }
        Record::JobDefinition(definition) => {
            let next = JobDefinition { active: !definition.active, ..(**definition).clone() };
            let key = Key::JobDefinition(definition.family_arn(), definition.revision);
            (Record::JobDefinition(Arc::new(next)), key)
        }
        Record::Job(job) => {
            let next = Job { execution: starting(&job.execution), ..(**job).clone() };
            (Record::Job(Arc::new(next)), Key::Job(job.id))
        }
        Record::Child(parent, index, child) => {
            (Record::Child(*parent, *index, Arc::new(starting(child))), Key::Child(*parent, *index))
        }
        Record::Instance(host) => {
            let next = Instance { capacity: Resources::default(), ..(**host).clone() };
            (Record::Instance(Arc::new(next)), Key::Instance(host.instance_id.clone()))
        }
        Record::SchedulingPolicy(policy) => {
            let next = SchedulingPolicy { version: policy.version + 1, ..(**policy).clone() };
            (Record::SchedulingPolicy(Arc::new(next)), Key::SchedulingPolicy(policy.arn.clone()))
        }
        Record::ConsumableResource(resource) => {
            let next = ConsumableResource { total: resource.total + 1, ..(**resource).clone() };
            (Record::ConsumableResource(Arc::new(next)), Key::ConsumableResource(resource.arn.clone()))
        }
        Record::ServiceEnvironment(environment) => {
            let next = ServiceEnvironment { enabled: !environment.enabled, ..(**environment).clone() };
            let key = Key::ServiceEnvironment(environment.arn.clone());
            (Record::ServiceEnvironment(Arc::new(next)), key)
        }
        Record::QuotaShare(share) => {
            let next = QuotaShare { enabled: !share.enabled, ..(**share).clone() };
            (Record::QuotaShare(Arc::new(next)), Key::QuotaShare(share.arn.clone()))
        }
        Record::ServiceJob(job) => {
            let next = ServiceJob { status: ServiceJobStatus::Starting, ..(**job).clone() };
            (Record::ServiceJob(Arc::new(next)), Key::ServiceJob(job.id))
        }
        Record::Share(queue, share, _) => (record.clone(), Key::Share(queue.clone(), share.clone())),
        Record::Event(event) => {
            let next = Event { status: JobStatus::Succeeded, ..(**event).clone() };
            (Record::Event(Arc::new(next)), Key::Event(event.number))
        }
    }
}

#[test]
fn every_kind_of_record_is_kept_replaced_and_deleted() {
    let (_dir, path) = temporary();
    let array = array(8, JobStatus::Pending);
    let records = vec![
        Record::ComputeEnvironment(Arc::new(golden("compute_environment"))),
        Record::JobQueue(Arc::new(golden("job_queue"))),
        Record::JobDefinition(Arc::new(golden("job_definition"))),
        Record::Child(array.id, 9999, Arc::new(golden("child"))),
        Record::Job(Arc::new(array)),
        Record::Instance(Arc::new(golden("instance"))),
        Record::SchedulingPolicy(Arc::new(golden("scheduling_policy"))),
        Record::ConsumableResource(Arc::new(golden("consumable_resource"))),
        Record::ServiceEnvironment(Arc::new(golden("service_environment"))),
        Record::QuotaShare(Arc::new(golden("quota_share"))),
        Record::ServiceJob(Arc::new(ServiceJob {
            stopped_at: None,
            status: ServiceJobStatus::Runnable,
            ..golden("service_job")
        })),
        Record::Share(scope().resolve("job-queue", "q"), "s".into(), Arc::new(golden("share"))),
        Record::Event(Arc::new(golden("event"))),
    ];
    let (mut successors, keys): (Vec<Record>, Vec<Key>) = records.iter().map(successor).unzip();
    for records in [&records, &successors] {
        let changes: Vec<Change> = records.iter().cloned().map(Change::Put).collect();
        open(&path).commit(&changes).unwrap();
        assert_eq!(sorted(&open(&path).load().unwrap().records), sorted(records));
    }
    for key in keys {
        successors.remove(0);
        // Deleting what is not there does no harm.
        open(&path).commit(&[Change::Delete(key.clone()), Change::Delete(key.clone())]).unwrap();
        assert_eq!(sorted(&open(&path).load().unwrap().records), sorted(&successors), "{key:?}");
    }
}

#[test]
fn a_transaction_is_all_or_nothing() {
    let (_dir, path) = temporary();
    let mut store = open(&path);
    store.commit(&[put(job(1))]).unwrap();
    // Two jobs of one id cannot be: the second row is refused when the first is written already.
    let twin = Job { sequence: 3, ..job(2) };
    store.commit(&[put(job(2)), put(twin)]).unwrap_err();
    assert_eq!(sequences(&mut store), [1]);
    assert_eq!(sequences(&mut open(&path)), [1]);
}

/// A file system of half a megabyte, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`, and a line that says why, where it cannot be mounted.
    fn mount() -> Option<SmallDisk> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        let done = mount.args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"]).arg(dir.path()).output();
        if !done.as_ref().is_ok_and(|done| done.status.success()) {
            eprintln!("skipped: a full disk takes a tmpfs, which only root can mount: {done:?}");
            return None;
        }
        Some(SmallDisk(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(self.0.path()).status());
    }
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let Some(disk) = SmallDisk::mount() else { return };
    let path = disk.0.path().join("store.db");
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![0; 128 * 1024]).unwrap();
    let mut store = open(&path);
    let mut acknowledged = Vec::new();
    // Each transaction writes two jobs: half of one would show.
    let error = (0..1000).step_by(2).find_map(|sequence| {
        let refused = store.commit(&[put(job(sequence)), put(job(sequence + 1))]).err();
        if refused.is_none() {
            acknowledged.extend([sequence, sequence + 1]);
        }
        refused
    });
    let error = error.expect("the disk is smaller than a thousand jobs").to_string();
    assert!(error.starts_with("the disk is full: free some space") && !error.contains('\n'), "{error}");
    assert!(!acknowledged.is_empty());
    drop(store);

    fs::remove_file(ballast).unwrap();
    let mut store = open(&path);
    assert_eq!(sequences(&mut store), acknowledged, "what was acknowledged, and nothing else");
    store.commit(&[put(job(5000))]).unwrap();
    acknowledged.push(5000);
    assert_eq!(sequences(&mut open(&path)), acknowledged);
}

#[test]
fn a_file_that_is_not_ours_is_refused_in_one_sentence_and_left_alone() {
    const FOREIGN: &str = "is not a Fornada store";
    const NEWER: &str = "was written by a newer version of Fornada (store version 7, this one reads up to 3): use that version";
    type Write = fn(&Path);
    let cases: [(&str, Write, &str); 4] = [
        (
            "a later version",
            |path| {
                drop(open(path));
                Connection::open(path).unwrap().pragma_update(None, "user_version", 7).unwrap();
            },
            NEWER,
        ),
        (
            "somebody's tables",
            |path| Connection::open(path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap(),
            FOREIGN,
        ),
        (
            "somebody's application id",
            |path| Connection::open(path).unwrap().pragma_update(None, "application_id", 42).unwrap(),
            FOREIGN,
        ),
        ("no database", |path| fs::write(path, "Dear diary, ".repeat(100)).unwrap(), FOREIGN),
    ];
    for (name, write, want) in cases {
        let (_dir, path) = temporary();
        write(&path);
        let before = fs::read(&path).unwrap();
        let error = SqliteStore::open(&path).err().unwrap_or_else(|| panic!("{name} was opened"));
        assert_eq!(error.to_string(), format!("{} {want}", path.display()), "{name}");
        assert_eq!(fs::read(&path).unwrap(), before, "{name}");
    }
}

#[test]
fn a_new_store_is_private_and_known_to_be_new() {
    let is_new = |path: &Path| SqliteStore::open(path).unwrap().1;
    let (_dir, path) = temporary();
    assert!(is_new(&path));
    assert!(!is_new(&path));

    let (_dir, path) = temporary();
    fs::write(&path, "").unwrap();
    assert!(is_new(&path), "an empty file is the trace of a first start that was cut short");
    assert!(!is_new(&path));

    let (_dir, path) = temporary();
    let mut store = open(&path);
    store.commit(&[put(job(1))]).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", path.display());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
}

#[test]
fn a_list_shows_a_commit_as_soon_as_it_is_durable() {
    let (_dir, path) = temporary();
    let mut store = open(&path);
    let index = SqliteIndex::new(&path);
    let query = JobQuery { queue: job(1).queue, ..query() };
    for sequence in 1..=3 {
        store.commit(&[put(job(sequence))]).unwrap();
        let listed = index.list_jobs(&query).unwrap();
        assert_eq!(*listed.jobs[0], job(sequence));
        assert_eq!(listed.jobs.len() as u64, sequence);
    }
}

/// Six jobs of queue `q`, and one of queue `other` after each.
fn listed() -> (tempfile::TempDir, SqliteIndex) {
    use JobStatus::{Failed, Runnable, Running};
    let (dir, path) = temporary();
    let jobs = [
        ("render_1", "cut:1", Running, 100),
        ("renderX1", "cut:2", Running, 200),
        ("RENDER_2", "cut:12", Failed, 300),
        ("100%", "cut-long:1", Runnable, 400),
        ("100x", "Cut:1", Running, 500),
        ("über", "cut_long:1", Running, 600),
    ];
    let rows = (1..).zip(jobs).flat_map(|(number, (name, definition, status, created_at))| {
        let in_queue = |queue, sequence| {
            put(Job {
                name: name.into(),
                queue: scope().resolve("job-queue", queue),
                definition: scope().resolve("job-definition", definition),
                execution: Execution { status, ..Execution::new(Timestamp(created_at)) },
                tags: [("even", if number % 2 == 0 { "yes" } else { "no" }), ("place", &number.to_string())]
                    .map(|(key, value)| (key.into(), value.into()))
                    .into(),
                share_identifier: Some(if number % 3 == 2 { "one" } else { "other" }.into()),
                ..job(sequence)
            })
        };
        [in_queue("q", number * 10), in_queue("other", number * 10 + 1)]
    });
    open(&path).commit(&rows.collect::<Vec<_>>()).unwrap();
    (dir, SqliteIndex::new(&path))
}

fn scope() -> Scope {
    Scope { region: "us-east-1".into(), account: "000000000000".into() }
}

/// All of queue `q`.
fn query() -> JobQuery {
    let queue = scope().resolve("job-queue", "q");
    JobQuery { queue, filters: Vec::new(), before_sequence: None, limit: 100 }
}

fn names(index: &SqliteIndex, query: &JobQuery) -> Vec<Text> {
    index.list_jobs(query).unwrap().jobs.iter().map(|job| job.name.clone()).collect()
}

#[test]
fn jobs_are_listed_newest_first_by_status_and_filter() {
    use JobFilter::{CreatedAfter, CreatedBefore, Definition, Name, Share, Status, Tag};
    let (_dir, index) = listed();
    let definition = |name: &str| scope().resolve("job-definition", name);
    let revision = |name: &str| Some(Definition(DefinitionFilter::Revision(definition(name))));
    let family = |name: &str| Some(Definition(DefinitionFilter::Family(definition(name))));
    let families = |name: &str| Some(Definition(DefinitionFilter::Prefix(definition(name))));
    let exact = |name: &str| Some(Name(Pattern::Exact(name.into())));
    let prefix = |name: &str| Some(Name(Pattern::Prefix(name.into())));
    let before = |at| Some(CreatedBefore(Timestamp(at)));
    let after = |at| Some(CreatedAfter(Timestamp(at)));
    let all = ["über", "100x", "100%", "RENDER_2", "renderX1", "render_1"];
    let cases: [(Option<JobStatus>, Option<JobFilter>, &[&str]); 21] = [
        (None, None, &all),
        (Some(JobStatus::Running), None, &["über", "100x", "renderX1", "render_1"]),
        (Some(JobStatus::Starting), None, &[]),
        (Some(JobStatus::Running), prefix("render"), &["renderX1", "render_1"]),
        (None, exact("render_1"), &["render_1"]),
        (None, exact("Render_2"), &["RENDER_2"]),
        (None, exact("100%"), &["100%"]),
        (None, exact("render"), &[]),
        (None, prefix("render_"), &["RENDER_2", "render_1"]),
        (None, prefix("100%"), &["100%"]),
        (None, prefix("ü"), &["über"]),
        (None, prefix(""), &all),
        (None, prefix("' OR 1=1 --"), &[]),
        (None, revision("cut:1"), &["render_1"]),
        (None, family("cut"), &["RENDER_2", "renderX1", "render_1"]),
        (None, family("cu"), &[]),
        (None, families("cut"), &["über", "100%", "RENDER_2", "renderX1", "render_1"]),
        (None, families("cut_"), &["über"]),
        (None, before(300), &["renderX1", "render_1"]),
        (None, after(500), &["über"]),
        (None, after(u64::MAX), &[]),
    ];
    for (status, filter, want) in cases {
        let status = status.map(|status| Status(vec![status]));
        let query = JobQuery { filters: status.into_iter().chain(filter).collect(), ..query() };
        assert_eq!(names(&index, &query), want, "{query:?}");
    }
    let tag = |key: &str, value: Option<&str>| Tag(vec![(key.into(), value.map(Into::into))]);
    let either = Tag(vec![("even".into(), Some("no".into())), ("place".into(), Some("6".into()))]);
    let prefix = |name: &str| Name(Pattern::Prefix(name.into()));
    let cases: [(Vec<JobFilter>, &[&str]); 10] = [
        (vec![Status(vec![JobStatus::Failed, JobStatus::Runnable])], &["100%", "RENDER_2"]),
        (vec![Status(vec![])], &[]),
        (vec![prefix("render"), CreatedAfter(Timestamp(100)), CreatedBefore(Timestamp(300))], &["renderX1"]),
        (vec![tag("even", None)], &all),
        (vec![tag("even", Some("yes"))], &["über", "100%", "renderX1"]),
        (vec![tag("even", Some("yes")), prefix("render")], &["renderX1"]),
        (vec![tag("Even", None)], &[]),
        (vec![either], &["über", "100x", "RENDER_2", "render_1"]),
        (vec![Share("one".into())], &["100x", "renderX1"]),
        (vec![Share("one".into()), tag("even", Some("yes"))], &["renderX1"]),
    ];
    for (filters, want) in cases {
        let query = JobQuery { filters, ..query() };
        assert_eq!(names(&index, &query), want, "{query:?}");
    }
    let elsewhere = JobQuery { queue: scope().resolve("job-queue", "nowhere"), ..query() };
    assert!(names(&index, &elsewhere).is_empty());
}

#[test]
fn pages_follow_each_other_to_the_end() {
    let (_dir, index) = listed();
    let whole = names(&index, &query());
    for limit in 1..=7 {
        let mut query = JobQuery { limit, ..query() };
        let mut seen = Vec::new();
        loop {
            let page = index.list_jobs(&query).unwrap();
            assert!(page.jobs.len() <= limit as usize);
            seen.extend(page.jobs.iter().map(|job| job.name.clone()));
            query.before_sequence = page.next;
            if page.next.is_none() {
                break;
            }
        }
        assert_eq!(seen, whole, "limit {limit}");
    }
}

#[test]
fn a_page_reads_so_many_jobs_and_no_more() {
    let (_dir, path) = temporary();
    let mut store = open(&path);
    let untagged = (1..=20_005).map(|sequence| put(Job { tags: Default::default(), ..job(sequence) }));
    let changes: Vec<Change> = [put(job(0))].into_iter().chain(untagged).collect();
    store.commit(&changes).unwrap();
    let index = SqliteIndex::new(&path);
    let filters = vec![JobFilter::Tag(vec![("team".into(), None)])];
    let mut query = JobQuery { queue: job(0).queue, filters, ..query() };
    let first = index.list_jobs(&query).unwrap();
    assert_eq!((first.jobs.len(), first.next), (0, Some(6)));
    query.before_sequence = first.next;
    let last = index.list_jobs(&query).unwrap();
    assert_eq!((last.jobs.len(), last.next), (1, None));
}

/// A file as an earlier version wrote it: with its records, and without what came later.
fn of_version(version: i32, records: &[Change]) -> (tempfile::TempDir, PathBuf) {
    let (dir, path) = temporary();
    open(&path).commit(records).unwrap();
    let connection = Connection::open(&path).unwrap();
    let undo = "DROP TABLE consumer;
                DROP INDEX job_by_stop; ALTER TABLE job DROP COLUMN stopped_at;
                DROP INDEX service_job_by_stop; ALTER TABLE service_job DROP COLUMN stopped_at;";
    connection.execute_batch(undo).unwrap();
    if version < 2 {
        connection.execute_batch("DROP TABLE service_job").unwrap();
    }
    connection.pragma_update(None, "user_version", version).unwrap();
    (dir, path)
}

fn pragma(path: &Path, name: &str) -> i32 {
    Connection::open(path).unwrap().pragma_query_value(None, name, |row| row.get(0)).unwrap()
}

#[test]
fn a_store_of_version_1_is_migrated_once_and_keeps_its_records() {
    let records = [put(job(1)), put(job(2))];
    let (_dir, path) = of_version(1, &records);
    assert_eq!(pragma(&path, "user_version"), 1);
    for _ in 0..2 {
        let (mut store, is_new) = SqliteStore::open(&path).unwrap();
        assert!(!is_new);
        assert_eq!((pragma(&path, "user_version"), sequences(&mut store)), (3, vec![1, 2]));
    }
    let job = ServiceJob { status: ServiceJobStatus::Runnable, stopped_at: None, ..golden("service_job") };
    open(&path).commit(&[Change::Put(Record::ServiceJob(Arc::new(job)))]).unwrap();
    assert_eq!(open(&path).load().unwrap().records.len(), 3);

    // A step that fails leaves the store as it was.
    let (_dir, path) = of_version(1, &records);
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE INDEX service_job_by_queue ON job (name)")
        .unwrap();
    assert!(SqliteStore::open(&path).is_err());
    let connection = Connection::open(&path).unwrap();
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'service_job'";
    let made: i32 = connection.query_row(tables, [], |row| row.get(0)).unwrap();
    assert_eq!((made, pragma(&path, "user_version")), (0, 1));
}

/// Children of an array, of which the first succeeded and the second failed.
fn two_children(array: &Job) -> [Change; 2] {
    let child = |status| Execution { status, stopped_at: Some(Timestamp(40)), ..golden("child") };
    let put = |number, status| Change::Put(Record::Child(array.id, number, Arc::new(child(status))));
    [put(0, JobStatus::Succeeded), put(1, JobStatus::Failed)]
}

#[test]
fn a_store_of_version_2_learns_of_its_ended_jobs() {
    let array = array(1, JobStatus::Failed);
    let needs = job(2).consumables.clone().unwrap()[0].arn.clone();
    let mut records: Vec<Change> = two_children(&array).into();
    records.extend([put(array.clone()), put(job(2)), put(ended(3, 70))]);
    let (_dir, path) = of_version(2, &records);
    let loaded = open(&path).load().unwrap();
    assert_eq!(loaded.records.len(), 1);
    assert_eq!((loaded.next_sequence, loaded.latest), (4, Timestamp(70)));
    assert_eq!(pragma(&path, "auto_vacuum"), 2, "space is given back");
    let index = SqliteIndex::new(&path);
    let found = index.find(&[JobId::whole(array.id)]).unwrap();
    assert_eq!(found[0].1.children, Some([0, 0, 0, 0, 0, 1, 1]), "children are counted");
    let consumers = index.list_consumers(&needs, None, 9).unwrap();
    assert_eq!(consumers.iter().map(|job| job.sequence).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(index.list_consumers(&needs, Some(3), 1).unwrap()[0].sequence, 2);
}

#[test]
fn ended_jobs_are_found_but_not_loaded_and_expire() {
    let (_dir, path) = temporary();
    let array = array(1, JobStatus::Failed);
    let mut records: Vec<Change> = two_children(&array).into();
    records.extend([put(array.clone()), put(job(2))]);
    records.extend((3..3000).map(|sequence| put(ended(sequence, 10_000 + sequence))));
    let mut store = open(&path);
    store.commit(&records).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.records.len(), 1);
    assert_eq!((loaded.next_sequence, loaded.latest), (3000, Timestamp(12_999)));

    let index = SqliteIndex::new(&path);
    let nobody = JobId::whole(Uuid::from_u128(0));
    let ids = [JobId::child(array.id, 1), nobody, JobId::child(array.id, 2), JobId::whole(ended(3, 0).id)];
    let found = index.find(&ids).unwrap();
    let found: Vec<(JobId, JobStatus)> = found.iter().map(|(id, it)| (*id, it.execution.status)).collect();
    assert_eq!(found, [(ids[0], JobStatus::Failed), (ids[3], JobStatus::Succeeded)]);
    let past = index.past_jobs(&[array.id, nobody.job]).unwrap();
    assert!(matches!(&past[..], [PastJob::Job(job, members)] if job.id == array.id && members.len() == 2));

    let pages = || pragma(&path, "page_count");
    let before = pages();
    let expire = |before| {
        let steps = std::iter::repeat_with(|| index.expire(Timestamp(before)).unwrap());
        let mut jobs = 0;
        let may_go_on = |step: &Expired| step.may_go_on;
        for step in steps.take_while(may_go_on) {
            jobs += step.jobs;
        }
        jobs
    };
    assert_eq!(expire(12_000), 1998, "the array, and those that ended before");
    assert_eq!(expire(12_000), 0);
    assert!(index.find(&ids).unwrap().is_empty() && index.past_jobs(&[array.id]).unwrap().is_empty());
    assert!(pages() < before / 2, "{before} pages, now {}", pages());
    let left = |table: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        Connection::open(&path).unwrap().query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!((left("job"), left("child"), left("consumer")), (1001, 0, 2002), "one lives, each needs two");
    store.commit(&[put(ended(2, 20_000))]).unwrap(); // the engine's connection goes on
    assert_eq!(expire(u64::MAX >> 1), 1001);
    assert_eq!(open(&path).load().unwrap().records.len(), 0);
}

#[test]
fn service_jobs_are_listed_newest_first_by_status_and_filter() {
    use ServiceJobFilter::{CreatedAfter, CreatedBefore, Name, QuotaShare, ShareIdentifier};
    use ServiceJobStatus::{Failed, Running, Scheduled};
    let (_dir, path) = temporary();
    let jobs = [
        ("fit_1", Running, Some("s"), None, 100),
        ("FIT_2", Failed, None, Some("blue"), 200),
        ("other", Scheduled, Some("s"), None, 300),
    ];
    let rows = (1..).zip(jobs).map(|(sequence, (name, status, share, quota, created_at))| {
        Change::Put(Record::ServiceJob(Arc::new(ServiceJob {
            sequence,
            id: Uuid::from_u128(u128::from(sequence)),
            name: name.into(),
            status,
            share_identifier: share.map(Text::from),
            quota_share: quota.map(Text::from),
            created_at: Timestamp(created_at),
            ..golden("service_job")
        })))
    });
    let mut rows: Vec<Change> = rows.collect();
    let elsewhere = ServiceJob { queue: "elsewhere".into(), sequence: 9, ..golden("service_job") };
    rows.push(Change::Put(Record::ServiceJob(Arc::new(elsewhere))));
    open(&path).commit(&rows).unwrap();
    let index = SqliteIndex::new(&path);
    let all = ServiceJobQuery {
        queue: scope().resolve("job-queue", "q"),
        status: None,
        filter: None,
        before_sequence: None,
        limit: 9,
    };
    let exact = |name: &str| Some(Name(Pattern::Exact(name.into())));
    let prefix = |name: &str| Some(Name(Pattern::Prefix(name.into())));
    let cases: [(Option<ServiceJobStatus>, Option<ServiceJobFilter>, &[&str]); 11] = [
        (None, None, &["other", "FIT_2", "fit_1"]),
        (Some(Running), None, &["fit_1"]),
        (None, exact("Fit_2"), &["FIT_2"]),
        (None, prefix("FIT_"), &["FIT_2", "fit_1"]),
        (None, prefix("f_t"), &[]),
        (None, Some(ShareIdentifier("s".into())), &["other", "fit_1"]),
        (Some(Running), Some(ShareIdentifier("s".into())), &["fit_1"]),
        (None, Some(ShareIdentifier("S".into())), &[]),
        (None, Some(QuotaShare("blue".into())), &["FIT_2"]),
        (None, Some(CreatedBefore(Timestamp(200))), &["fit_1"]),
        (None, Some(CreatedAfter(Timestamp(100))), &["other", "FIT_2"]),
    ];
    for (status, filter, want) in cases {
        let query = ServiceJobQuery { status, filter, ..all.clone() };
        let listed = index.list_service_jobs(&query).unwrap();
        assert_eq!(listed.iter().map(|job| job.name.clone()).collect::<Vec<_>>(), want, "{query:?}");
    }
    let page =
        index.list_service_jobs(&ServiceJobQuery { before_sequence: Some(3), limit: 1, ..all }).unwrap();
    assert_eq!(page.iter().map(|job| job.sequence).collect::<Vec<_>>(), [2]);
}
