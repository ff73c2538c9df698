//! A migration that is cut short, at each of its steps: by an error, and by the death of the process.

use std::fs;
use std::path::{Path, PathBuf};

use fornada_engine::port::store::Store;
use rusqlite::{Connection, OpenFlags};

use super::SqliteStore;
use super::schema::{self, migrate, pragma};

fn golden(version: i32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/store-v{version}.db"))
}

/// Every older version, as a store in a directory of its own.
fn older() -> impl Iterator<Item = (i32, tempfile::TempDir, PathBuf)> {
    (1..schema::VERSION).map(|version| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        fs::copy(golden(version), &path).unwrap();
        (version, dir, path)
    })
}

/// A connection that writes pages to the disk as soon as it has changed them, so that a cut shows what it leaves.
fn connect(path: &Path) -> Connection {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    connection.pragma_update(None, "cache_size", 1).unwrap();
    connection
}

/// The version, the tables and indexes, and how many rows of jobs there are.
fn summary(path: &Path) -> (i32, Vec<String>, u32) {
    let connection = Connection::open(path).unwrap();
    let mut names = connection.prepare("SELECT name FROM sqlite_schema ORDER BY name").unwrap();
    let names = names.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let jobs = connection.query_row("SELECT count(*) FROM job", [], |row| row.get(0)).unwrap();
    (pragma(&connection, "user_version").unwrap(), names, jobs)
}

#[test]
fn a_migration_that_fails_at_any_operation_leaves_the_old_version_whole() {
    for (version, _dir, path) in older() {
        let before = summary(&path);
        let (mut failures, mut cuts) = (0, 0);
        loop {
            let mut connection = connect(&path);
            let mut left = failures;
            let interrupt = move || {
                left -= 1;
                left < 0
            };
            connection.progress_handler(1, Some(interrupt)).unwrap();
            let migrated = migrate(&mut connection, version);
            connection.progress_handler(0, None::<fn() -> bool>).unwrap();
            drop(connection);
            // The last operations come after the commit.
            if migrated.is_ok() || summary(&path).0 == schema::VERSION {
                break;
            }
            assert_eq!(summary(&path), before, "cut at operation {failures}");
            cuts += 1;
            failures += 1 + failures / 16; // later ones are many, and alike
        }
        assert!(cuts > 20, "only {cuts} operations were cut");
        let (found, tables, jobs) = summary(&path);
        assert_eq!((found, jobs), (schema::VERSION, before.2));
        assert!(before.1.iter().all(|table| tables.contains(table)));
    }
}

/// What the disk holds at each operation is what a process that is killed there leaves behind: the next start finds the old
/// version whole, and migrates it.
#[test]
fn a_migration_that_is_killed_at_any_operation_begins_again() {
    for (version, dir, path) in older() {
        let before = summary(&path);
        let mut connection = connect(&path);
        let (from, moments) = (dir.path().to_owned(), dir.path().join("moments"));
        let mut moment = 0;
        let (files, to) = (from.clone(), moments.clone());
        let copy = move || {
            let to = to.join(format!("{moment:06}"));
            fs::create_dir_all(&to).unwrap();
            for name in ["store.db", "store.db-wal"] {
                // The memory of the index of the log (-shm) dies with the last process.
                let _ = fs::copy(files.join(name), to.join(name));
            }
            moment += 1;
            false
        };
        connection.progress_handler(60, Some(copy)).unwrap();
        migrate(&mut connection, version).unwrap();
        connection.progress_handler(0, None::<fn() -> bool>).unwrap();
        let after = summary(&path);

        let mut moments: Vec<_> = fs::read_dir(moments).unwrap().map(|entry| entry.unwrap().path()).collect();
        moments.sort();
        assert!(moments.len() > 10, "{} moments", moments.len());
        for moment in moments {
            let store = moment.join("store.db");
            let found = summary(&store);
            assert!(found == before || found == after, "{}: {found:?}", moment.display());
            SqliteStore::open(&store).unwrap().0.load().unwrap();
            assert_eq!(summary(&store), after, "{}", moment.display());
        }
    }
}
