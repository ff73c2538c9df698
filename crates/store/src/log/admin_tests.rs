//! Groups and streams that clients change, beside attempts that write them; expiry; watches.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fornada_core::text::Text;
use fornada_core::time::Timestamp;
use fornada_engine::port::log::{
    Direction, Error, GroupSettings, LogAdmin as _, LogReader as _, LogWriter as _, ReadRequest, StreamName,
};

use super::LogDirectory;
use super::tests::{EVERYTHING, Line, append, files, follow, lines, logs, name, read, scope};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// When the tests are: events of 1970 have expired, those at [`FRESH`] have not.
const NOW: Timestamp = Timestamp(100 * DAY_MS as u64);
const FRESH: i64 = 99 * DAY_MS + 1;

fn numbered(from: i64, count: usize) -> Vec<Line> {
    (from..).take(count).map(|n| (n, format!("line {n}"))).collect()
}

fn put(logs: &LogDirectory, name: &StreamName, lines: &[Line]) -> Result<u64, Error> {
    let events: Vec<_> = lines.iter().map(|(at, line)| (*at, line.as_bytes())).collect();
    logs.put(name, &events)
}

fn stream_names(logs: &LogDirectory) -> Vec<Text> {
    logs.stream_names(&scope(), "g", "", None).unwrap()
}

/// A group whose events stay one day.
fn retain_one_day(logs: &LogDirectory) {
    logs.set_retention(&scope(), "g", Some(1), NOW).unwrap();
}

#[test]
fn groups_are_made_described_and_deleted() {
    let (dir, logs) = logs(1 << 20);
    let long = "long".repeat(120);
    let settings = GroupSettings { retention_days: None, class: Some("INFREQUENT_ACCESS".into()) };
    for group in ["g", long.as_str()] {
        assert!(matches!(logs.settings(&scope(), group), Err(Error::NoSuchGroup)));
        assert!(matches!(logs.set_retention(&scope(), group, Some(1), NOW), Err(Error::NoSuchGroup)));
        assert!(matches!(logs.delete_group(&scope(), group), Err(Error::NoSuchGroup)));
        assert!(matches!(logs.create_stream(&name(group, "s"), NOW), Err(Error::NoSuchGroup)));
        assert!(matches!(put(&logs, &name(group, "s"), &numbered(0, 1)), Err(Error::NoSuchGroup)));
        logs.create_group(&scope(), group, settings.clone(), NOW).unwrap();
        let again = logs.create_group(&scope(), group, settings.clone(), NOW);
        assert!(matches!(again, Err(Error::GroupExists)));
        let [info] = &logs.groups(&scope()).unwrap()[..] else { panic!("one group") };
        assert_eq!((&*info.group, info.created_at, info.stored_bytes), (group, NOW.as_millis(), 0));
        assert_eq!(info.settings, settings);
        logs.set_retention(&scope(), group, Some(7), NOW).unwrap();
        logs.set_retention(&scope(), group, None, NOW).unwrap();
        assert_eq!(logs.settings(&scope(), group).unwrap(), settings);
        append(&mut *logs.open(name(group, "s")), &numbered(0, 3));
        logs.delete_group(&scope(), group).unwrap();
        assert!(logs.groups(&scope()).unwrap().is_empty());
        assert!(matches!(logs.read(&name(group, "s"), &EVERYTHING), Err(Error::NoSuchGroup)));
    }
    append(&mut *logs.open(name("g", "s")), &numbered(0, 1));
    let made_by_a_line = logs.create_group(&scope(), "g", settings, NOW);
    assert!(matches!(made_by_a_line, Err(Error::GroupExists)));

    let folder = logs.group_path(&scope(), "g");
    let cut_short = folder.with_file_name(".deleted-1");
    fs::rename(&folder, &cut_short).unwrap();
    assert!(logs.groups(&scope()).unwrap().is_empty());
    logs.expire(NOW).unwrap();
    assert!(!cut_short.exists(), "expiry finishes what a crash cut short");
    assert!(dir.path().join("logs").exists());
}

#[test]
fn a_damaged_group_file_is_an_error_and_no_panic() {
    let (_dir, logs) = logs(1 << 20);
    append(&mut *logs.open(name("g", "s")), &numbered(0, 1));
    retain_one_day(&logs);
    let file = logs.group_path(&scope(), "g").join("group.json");
    let good = fs::read_to_string(&file).unwrap();
    for bad in [String::new(), good.replace(":1,", ":9,"), good.replace('1', "-1"), "{".repeat(1 << 20)] {
        append(&mut *logs.open(name("g", "kept")), &numbered(0, 1));
        fs::write(&file, bad).unwrap();
        assert!(logs.settings(&scope(), "g").is_err());
        assert!(logs.expire(NOW).is_err());
        assert_eq!(stream_names(&logs).last(), Some(&"kept".into()), "nothing is deleted");
    }
}

#[test]
fn whole_segments_expire_oldest_first_and_positions_stay() {
    let (_dir, logs) = logs(200);
    let live = name("g", "live");
    let (old, fresh) = (numbered(0, 40), numbered(FRESH, 3));
    append(&mut *logs.open(live.clone()), &old);
    append(&mut *logs.open(live.clone()), &fresh);
    for stream in ["old", "torn"] {
        append(&mut *logs.open(name("g", stream)), &old);
    }
    logs.create_stream(&name("g", "empty"), Timestamp(5)).unwrap();
    logs.create_stream(&name("g", "new"), NOW).unwrap();
    logs.create_stream(&name("g", "put"), NOW).unwrap();
    put(&logs, &name("g", "put"), &numbered(0, 1)).unwrap();
    assert_eq!(files(&logs, &name("g", "put")).len(), 1, "an empty segment is used");
    append(&mut *logs.open(name("other", "old")), &old);
    let torn = files(&logs, &name("g", "torn")).pop().unwrap();
    fs::write(&torn, b"torn").unwrap();
    let before = read(&logs, &live, &EVERYTHING).events;
    let segments = files(&logs, &live).len();

    assert_eq!(logs.expire(NOW).unwrap(), 0, "no group has a retention");
    retain_one_day(&logs);
    assert_eq!(stream_names(&logs), ["live", "new", "torn"], "what cannot be read goes by the file's time");
    assert_eq!(files(&logs, &name("g", "torn")), [torn]);
    let after = read(&logs, &live, &EVERYTHING).events;
    assert!(before.ends_with(&after) && after.len() >= fresh.len() && files(&logs, &live).len() < segments);
    assert_eq!(logs.stream_info(&live, Some(FRESH)).unwrap().first_event_at, Some(FRESH));

    let later = Timestamp(NOW.0 + 2 * DAY_MS as u64);
    assert!(logs.expire(later).unwrap() > 0);
    assert_eq!(stream_names(&logs), ["torn"]);
    assert!(!logs.stream_path(&live).later().exists());
    assert_eq!(logs.settings(&scope(), "g").unwrap().retention_days, Some(1), "the group stays");
    let others = logs.stream_names(&scope(), "other", "", None).unwrap();
    assert_eq!(others, ["old"], "another group has no retention");
}

#[test]
fn a_stream_that_is_being_written_keeps_its_newest_segment() {
    let (_dir, logs) = logs(200);
    append(&mut *logs.open(name("g", "x")), &numbered(FRESH, 1));
    retain_one_day(&logs);
    let silent = name("g", "silent");
    let mut writer = logs.open(silent.clone());
    append(&mut *writer, &numbered(0, 40));
    assert!(logs.expire(NOW).unwrap() > 0, "older segments go at once");
    assert_eq!(files(&logs, &silent).len(), 1);
    let end = read(&logs, &silent, &EVERYTHING).next_forward;
    append(&mut *writer, &numbered(FRESH, 2));
    let new = read(&logs, &silent, &ReadRequest { from: Some(end), ..EVERYTHING });
    assert_eq!(lines(&new.events), numbered(FRESH, 2));
    drop(writer);
    let over = Timestamp(NOW.0 + 2 * DAY_MS as u64);
    logs.expire(over).unwrap();
    assert!(matches!(logs.read(&silent, &EVERYTHING), Err(Error::NoSuchStream)));
}

/// Attempts write old and new lines, over and over from the beginning of their streams, while everything expires that can.
#[test]
fn expiry_beside_writers_loses_no_fresh_line() {
    let (_dir, logs) = logs(300);
    append(&mut *logs.open(name("g", "x")), &numbered(FRESH, 1));
    retain_one_day(&logs);
    let done = AtomicBool::new(false);
    thread::scope(|threads| {
        let expiry = threads.spawn(|| {
            let mut freed = 0;
            while !done.load(Ordering::Acquire) {
                freed += logs.expire(NOW).unwrap();
            }
            freed
        });
        for round in 0..150 {
            for writer in 0..3 {
                let name = name("g", &format!("{writer}"));
                // The stream may be deleted between these two, and begin anew with the fresh lines.
                append(&mut *logs.open(name.clone()), &numbered(0, 1 + round % 25));
                let fresh = numbered(FRESH + i64::try_from(round).unwrap(), 5);
                let mut attempt = logs.open(name.clone());
                fresh.iter().for_each(|line| append(&mut *attempt, std::slice::from_ref(line)));
                drop(attempt);
                let tail = ReadRequest { direction: Direction::Backward, max_events: 5, ..EVERYTHING };
                assert_eq!(lines(&read(&logs, &name, &tail).events), fresh);
                fs::remove_file(files(&logs, &name).pop().unwrap()).unwrap();
                for left in files(&logs, &name) {
                    let _ = fs::remove_file(left);
                }
            }
        }
        done.store(true, Ordering::Release);
        assert!(expiry.join().unwrap() > 0, "something did expire");
    });
}

#[test]
fn clients_put_events_at_the_same_time_and_none_is_lost() {
    let (_dir, logs) = logs(4_000);
    logs.create_group(&scope(), "g", GroupSettings::default(), NOW).unwrap();
    let shared = name("g", "shared");
    assert!(matches!(put(&logs, &shared, &numbered(0, 1)), Err(Error::NoSuchStream)));
    logs.create_stream(&shared, NOW).unwrap();
    assert!(matches!(logs.create_stream(&shared, NOW), Err(Error::StreamExists)));
    put(&logs, &name("g", "shared"), &[]).unwrap();
    let info = logs.stream_info(&shared, None).unwrap();
    assert_eq!((info.created_at, info.last_event_at), (NOW.as_millis(), None));
    thread::scope(|threads| {
        for client in 0..4 {
            let (logs, shared) = (&logs, &shared);
            threads.spawn(move || {
                for batch in 0..50 {
                    let at = FRESH + i64::from(batch);
                    let lines: Vec<_> =
                        (0..5).map(|n| (at, format!("{client} {:04}", batch * 5 + n))).collect();
                    put(logs, shared, &lines).unwrap();
                }
            });
        }
    });
    let all = lines(&follow(&logs, &shared, ReadRequest { max_events: 100, ..EVERYTHING }));
    assert_eq!(all.len(), 1000);
    for client in 0..4 {
        let of_client: Vec<_> =
            all.iter().map(|line| &line.1).filter(|line| line.starts_with(&format!("{client} "))).collect();
        assert_eq!(of_client.len(), 250);
        assert!(of_client.is_sorted(), "batches of one client stay in order");
    }
    let end = put(&logs, &shared, &numbered(FRESH + 50, 1)).unwrap();
    assert_eq!(end, read(&logs, &shared, &EVERYTHING).next_forward);
}

#[test]
fn a_client_cannot_write_where_an_attempt_writes() {
    let (_dir, logs) = logs(100);
    let stream = name("g", "attempt");
    let mut attempt = logs.open(stream.clone());
    for n in 0..20 {
        append(&mut *attempt, &numbered(n, 1));
        assert!(matches!(put(&logs, &stream, &numbered(n, 1)), Err(Error::StreamInUse)), "{n}");
        assert!(matches!(logs.create_stream(&stream, NOW), Err(Error::StreamExists)));
    }
    assert!(files(&logs, &stream).len() > 3, "also across segments");
    drop(attempt);
    put(&logs, &stream, &numbered(20, 1)).unwrap();
    assert_eq!(lines(&read(&logs, &stream, &EVERYTHING).events), numbered(0, 21));
    let again = &mut *logs.open(stream.clone());
    append(again, &numbered(21, 1));
    assert_eq!(lines(&read(&logs, &stream, &EVERYTHING).events), numbered(0, 22));
}

#[test]
fn streams_that_ended_before_a_time_are_left_out_unopened() {
    let (_dir, logs) = logs(200);
    let names = ["ahead", "long", "old", "recent"].map(|stream| name("g", stream));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let now = i64::try_from(now).unwrap();
    let set_back = |path: &Path| {
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(60)).unwrap();
    };
    append(&mut *logs.open(names[0].clone()), &[(now + DAY_MS, "of a clock that is ahead".to_owned())]);
    append(&mut *logs.open(names[1].clone()), &numbered(0, 20));
    append(&mut *logs.open(names[1].clone()), &[(now, "line".to_owned())]);
    let long = files(&logs, &names[1]);
    long[..long.len() - 1].iter().for_each(|path| set_back(path));
    append(&mut *logs.open(names[2].clone()), &numbered(0, 1));
    set_back(&files(&logs, &names[2])[0]);
    append(&mut *logs.open(names[3].clone()), &[(now, "line".to_owned())]);
    let since = |since| logs.stream_names(&scope(), "g", "", Some(since)).unwrap();
    assert_eq!(since(0), ["ahead", "long", "old", "recent"]);
    assert_eq!(since(now), ["ahead", "long", "recent"]);
    assert_eq!(since(now + DAY_MS), ["ahead"]);
    assert!(since(now + 2 * DAY_MS).is_empty());
}

#[test]
fn a_watch_tells_which_streams_grow() {
    let (_dir, logs) = logs(200);
    let (first, second, other) = (name("g", "first"), name("g", &"second".repeat(60)), name("h", "other"));
    let mut writer = logs.open(first.clone());
    append(&mut *writer, &numbered(0, 30));
    append(&mut *logs.open(other.clone()), &numbered(0, 1));
    assert!(matches!(logs.watch(&scope(), &["nowhere".into()]), Err(Error::NoSuchGroup)));
    let (mut watch, ends) = logs.watch(&scope(), &["g".into()]).unwrap();
    let mut changed = || watch.changed().unwrap().into_iter().collect::<Vec<_>>();
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[&first], read(&logs, &first, &EVERYTHING).next_forward, "the end is known unread");
    assert!(changed().is_empty());
    append(&mut *logs.open(other), &numbered(1, 1));
    read(&logs, &first, &EVERYTHING);
    assert!(changed().is_empty(), "neither another group nor a reader");
    append(&mut *writer, &numbered(30, 1));
    assert_eq!(changed(), std::slice::from_ref(&first), "a later segment");
    for n in 0..30 {
        append(&mut *logs.open(second.clone()), &numbered(n, 1));
        assert_eq!(changed(), std::slice::from_ref(&second), "from the first line over all segments");
    }
    let new = ReadRequest { from: Some(ends[&first]), ..EVERYTHING };
    assert_eq!(lines(&read(&logs, &first, &new).events), numbered(30, 1));
    let mut second_watch = logs.watch(&scope(), &["g".into(), "h".into()]).unwrap().0;
    logs.delete_group(&scope(), "g").unwrap();
    assert!(matches!(second_watch.changed(), Err(Error::NoSuchGroup)));
    let mut stopped = logs.watch(&scope(), &["h".into()]).unwrap().0;
    logs.stop_watching();
    assert!(matches!(stopped.changed(), Err(Error::Stopping)));
}
