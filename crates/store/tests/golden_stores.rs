//! Stores as each version of the tables was really written, by the release of its time: every later one opens them.
//!
//! `golden/store-v<version>.db` is the store of a server that was killed with jobs in every status, arrays, nodes, and every
//! kind of resource that the release knew; the `.txt` beside it has what it listed then. A new version of the tables adds
//! a pair, and changes none.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use fornada_core::arn::Scope;
use fornada_core::state::State;
use fornada_engine::port::store::{JobIndex, JobQuery, ServiceJobQuery, Store};
use fornada_store::finding::{Findings, Severity};
use fornada_store::sqlite::{self, Counts, Snapshot, SqliteIndex, SqliteStore, Use};
use rusqlite::Connection;

const VERSIONS: [i32; 3] = [1, 2, 3];

fn golden(version: i32, extension: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/store-v{version}.{extension}"))
}

/// A golden store where it may be changed.
fn copy(version: i32) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    fs::copy(golden(version, "db"), &path).unwrap();
    (dir, path)
}

fn version_of(path: &Path) -> i32 {
    Connection::open(path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

/// Every row of every table, to see whether anything changed.
fn content(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    let mut tables = connection.prepare(sql).unwrap();
    let tables: Vec<String> =
        tables.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let mut content = Vec::new();
    for table in tables {
        let mut rows = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = rows.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            (0..columns)
                .map(|column| row.get::<_, rusqlite::types::Value>(column))
                .collect::<Result<Vec<_>, _>>()
        };
        content.extend(rows.query_map([], row).unwrap().map(|row| format!("{table} {:?}", row.unwrap())));
    }
    content
}

/// Names and statuses of all jobs, as the golden list has them.
fn listed(path: &Path) -> String {
    let index = SqliteIndex::new(path);
    let scope = Scope { account: "000000000000".into(), region: "us-east-1".into() };
    let mut jobs = Vec::new();
    for queue in ["default", "fairq", "off"].map(|name| scope.resolve("job-queue", name)) {
        let query = JobQuery { queue, filters: Vec::new(), before_sequence: None, limit: 100 };
        let page = index.list_jobs(&query).unwrap();
        jobs.extend(page.jobs.iter().map(|job| format!("{} {}\n", job.name, job.execution.status)));
    }
    for queue in ["training", "shared"].map(|name| scope.resolve("job-queue", name)) {
        let query = ServiceJobQuery { queue, status: None, filter: None, before_sequence: None, limit: 100 };
        let found = index.list_service_jobs(&query).unwrap();
        jobs.extend(found.iter().map(|job| format!("{} {}\n", job.name, job.status)));
    }
    jobs.sort_unstable();
    jobs.concat()
}

fn check(path: &Path) -> (Counts, Findings) {
    let mut findings = Findings::default();
    let snapshot = Snapshot::open(path, Use::AtRest).unwrap();
    (sqlite::check(&snapshot, &mut findings), findings)
}

#[test]
fn each_version_opens_migrates_once_and_recovers() {
    for version in VERSIONS {
        let (_dir, path) = copy(version);
        assert_eq!(version_of(&path), version);
        let (mut store, is_new) = SqliteStore::open(&path).unwrap();
        assert!(!is_new);
        State::recover(store.load().unwrap()).check();
        drop(store);
        assert_eq!(listed(&path), fs::read_to_string(golden(version, "txt")).unwrap(), "version {version}");

        let (migrated, content_before) = (version_of(&path), content(&path));
        drop(SqliteStore::open(&path).unwrap());
        assert_eq!(
            (version_of(&path), content(&path)),
            (migrated, content_before),
            "a second time changes nothing"
        );
        let (_, findings) = check(&path);
        assert_eq!(findings.finish(), []);
    }
}

#[test]
fn a_check_of_an_older_version_says_so_and_changes_nothing() {
    for version in VERSIONS {
        let (_dir, path) = copy(version);
        let before = fs::read(&path).unwrap();
        let (counts, findings) = check(&path);
        assert!(!findings.has_fault());
        let jobs = fs::read_to_string(golden(version, "txt")).unwrap().lines().count();
        assert_eq!(usize::try_from(counts.jobs + counts.service_jobs).unwrap(), jobs);
        assert!(counts.resources > 8 && counts.children > 8, "{counts:?}");
        let is_old = findings.finish().iter().any(|finding| {
            finding.severity == Severity::Note
                && finding.problem == format!("has version {version} of the tables")
        });
        drop(SqliteStore::open(&path).unwrap());
        assert_eq!(is_old, version_of(&path) != version);
        let (_dir, path) = copy(version);
        check(&path);
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "and leaves no file behind");
    }
}

#[test]
fn a_copy_is_the_store_and_private() {
    use std::os::unix::fs::PermissionsExt;
    for version in VERSIONS {
        let (dir, path) = copy(version);
        let to = dir.path().join("copy.db");
        let mut steps = Vec::new();
        let snapshot = Snapshot::open(&path, Use::Live).unwrap();
        let bytes = snapshot.copy_to(&to, &mut |done, of| steps.push((done, of))).unwrap();
        assert_eq!(steps.last(), Some(&(bytes, bytes)));
        assert_eq!(content(&to), content(&path));
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(snapshot.copy_to(&to, &mut |_, _| ()).is_err(), "nothing is overwritten");
    }
}
