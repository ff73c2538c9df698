//! Logs that are whole, cut short and damaged; and copies of logs that are being written.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fornada_core::time::Timestamp;
use fornada_engine::port::log::{LogAdmin as _, LogReader as _, LogWriter as _};

use super::tests::{EVERYTHING, Line, append, files, follow, lines, logs, name, scope};
use super::{LogDirectory, check, copy};
use crate::finding::{Finding, Findings, Severity};

fn numbered(count: usize) -> Vec<Line> {
    (0..).take(count).map(|n| (n, format!("line {n}"))).collect()
}

fn checked(logs: &LogDirectory) -> (check::Counts, Vec<Finding>) {
    let mut findings = Findings::default();
    let counts = check::check(logs.path(), &mut findings).unwrap();
    (counts, findings.finish())
}

/// A stream of several segments, and its files.
fn stream() -> (tempfile::TempDir, LogDirectory, Vec<PathBuf>) {
    let (dir, logs) = logs(400);
    append(&mut *logs.open(name("g", "s")), &numbered(45));
    let files = files(&logs, &name("g", "s"));
    assert!(files.len() > 3);
    (dir, logs, files)
}

#[test]
fn whole_logs_are_counted() {
    let (_dir, logs, segments) = stream();
    logs.set_retention(&scope(), "g", Some(3653), Timestamp(1)).unwrap();
    logs.create_stream(&name("g", "empty"), Timestamp(1)).unwrap();
    append(&mut *logs.open(name("/aws/batch/job", &"x".repeat(400))), &numbered(1));
    fs::create_dir_all(logs.path().join("a/b/.deleted-1/x.segments")).unwrap();
    let (counts, findings) = checked(&logs);
    assert_eq!(findings, []);
    assert_eq!((counts.groups, counts.streams, counts.events), (2, 3, 46));
    assert!(counts.bytes > 400 * segments.len() as u64 / 2);
}

/// What a crash leaves is a note, whatever was cut; the writer goes on after it, and it stays a note.
#[test]
fn every_cut_of_the_newest_segment_is_a_note() {
    let (_dir, logs, segments) = stream();
    let newest = segments.last().unwrap();
    let whole = fs::read(newest).unwrap();
    let boundaries = {
        let mut at: Vec<usize> = vec![0];
        for cut in 1..whole.len() {
            fs::write(newest, &whole[..cut]).unwrap();
            let (_, findings) = checked(&logs);
            match &findings[..] {
                [] => at.push(cut),
                [finding] => assert_eq!(finding.severity, Severity::Note, "cut at {cut}: {finding:?}"),
                more => panic!("cut at {cut}: {more:?}"),
            }
        }
        at
    };
    assert!(boundaries.len() > 2, "some cuts fall between two lines");

    fs::write(newest, &whole[..whole.len() - 3]).unwrap();
    append(&mut *logs.open(name("g", "s")), &[(90, "after the crash".into())]);
    let (_, findings) = checked(&logs);
    assert_eq!(findings.iter().map(|finding| finding.severity).collect::<Vec<_>>(), [Severity::Note]);

    // A power failure may leave the length of a write and none of its bytes.
    let newest = files(&logs, &name("g", "s")).pop().unwrap();
    let file = OpenOptions::new().append(true).open(&newest).unwrap();
    file.set_len(file.metadata().unwrap().len() + 200_000).unwrap();
    let (_, findings) = checked(&logs);
    assert!(findings.iter().all(|finding| finding.severity == Severity::Note), "{findings:?}");
    assert_eq!(findings.len(), 2);
}

/// Whichever byte of a segment with others after it is changed: it is found, and the place is named.
#[test]
fn every_changed_byte_of_an_older_segment_is_a_fault() {
    let (_dir, logs, segments) = stream();
    let segment = &segments[1];
    let whole = fs::read(segment).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(segment, &damaged).unwrap();
        let (_, findings) = checked(&logs);
        let [finding] = &findings[..] else { panic!("byte {at}: {findings:?}") };
        let place = segment.strip_prefix(logs.path()).unwrap().display().to_string();
        assert_eq!(
            (finding.severity, &finding.place),
            (Severity::Fault, &format!("logs/{place}")),
            "byte {at}"
        );
    }
}

#[test]
fn cut_missing_and_foreign_segments_are_faults() {
    let (_dir, logs, segments) = stream();
    let whole = fs::read(&segments[1]).unwrap();
    let faults = || checked(&logs).1.iter().filter(|f| f.severity == Severity::Fault).count();
    fs::write(&segments[1], &whole[..whole.len() / 2]).unwrap();
    assert_eq!(faults(), 1, "cut");
    fs::remove_file(&segments[1]).unwrap();
    assert_eq!(faults(), 1, "gone from the middle");
    fs::write(&segments[1], &whole).unwrap();
    assert_eq!(faults(), 0);
    fs::remove_file(&segments[0]).unwrap();
    assert_eq!(faults(), 0, "retention deletes the oldest");
    fs::copy(&segments[2], segments[0].with_file_name("t.log")).unwrap();
    assert_eq!(faults(), 1, "a segment under another name");
}

/// Jobs write and retention deletes while copies are made; each copy is whole, and ends no earlier than the call.
#[test]
fn copies_beside_writers_are_whole() {
    let (dir, logs) = logs(300);
    let done = AtomicBool::new(false);
    append(&mut *logs.open(name("g", "s")), &numbered(1));
    thread::scope(|threads| {
        let writer = threads.spawn(|| {
            let mut stream = logs.open(name("g", "s"));
            let mut at = 1;
            while !done.load(Ordering::Acquire) {
                append(&mut *stream, &[(at, format!("line {at}"))]);
                at += 1;
                if at % 500 == 0 {
                    let bound = at - 400;
                    logs.expire_group(&logs.group_path(&scope(), "g"), bound).unwrap();
                }
            }
        });
        for round in 0..60 {
            let written = logs.stream_info(&name("g", "s"), None).unwrap().last_event_at.unwrap();
            let to = dir.path().join(format!("copy-{round}"));
            let copied = copy::copy(logs.path(), &to, &mut |_| ()).unwrap();
            let of_copy = LogDirectory::open(to.clone()).unwrap();
            let (counts, findings) = checked(&of_copy);
            assert!(findings.iter().all(|f| f.severity == Severity::Note), "{findings:?}");
            assert_eq!(counts.bytes, copied.bytes);
            let read = lines(&follow(&of_copy, &name("g", "s"), EVERYTHING));
            let numbers: Vec<i64> = read.iter().map(|line| line.0).collect();
            assert!(numbers.windows(2).all(|two| two[0] + 1 == two[1]), "no line is missing in the middle");
            assert!(numbers.last().unwrap() >= &written, "what was there at the call is there");
            fs::remove_dir_all(to).unwrap();
        }
        done.store(true, Ordering::Release);
        writer.join().unwrap();
    });
}
