//! Streams against a plain list of events, and against broken and hostile files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fornada_core::arn::Scope;
use fornada_engine::port::log::{
    Direction, Error, LogEvent, LogReader as _, LogWriter as _, Page, ReadRequest, StreamName, StreamWriter,
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::LogDirectory;
use super::segment::MESSAGE_MAX;

pub(super) const EVERYTHING: ReadRequest = ReadRequest {
    from: None,
    direction: Direction::Forward,
    start_time: None,
    end_time: None,
    max_events: usize::MAX,
    max_bytes: usize::MAX,
};

pub(super) type Line = (i64, String);

pub(super) fn scope() -> Scope {
    Scope { region: "us-east-1".into(), account: "000000000000".into() }
}

pub(super) fn name(group: &str, stream: &str) -> StreamName {
    StreamName { scope: scope(), group: group.into(), stream: stream.into() }
}

pub(super) fn logs(segment_max: u64) -> (TempDir, LogDirectory) {
    let dir = tempfile::tempdir().unwrap();
    let mut logs = LogDirectory::open(dir.path().join("logs")).unwrap();
    logs.segment_max = segment_max;
    (dir, logs)
}

pub(super) fn append(writer: &mut dyn StreamWriter, lines: &[Line]) {
    let events: Vec<_> = lines.iter().map(|(at, message)| (*at, message.as_bytes())).collect();
    writer.append(&events).unwrap();
}

pub(super) fn lines(events: &[LogEvent]) -> Vec<Line> {
    events.iter().map(|event| (event.timestamp, event.message.clone())).collect()
}

pub(super) fn read(logs: &LogDirectory, name: &StreamName, request: &ReadRequest) -> Page {
    logs.read(name, request).unwrap()
}

/// Follows pages until a token repeats; asserts that each page keeps its bounds and order.
pub(super) fn follow(logs: &LogDirectory, name: &StreamName, mut request: ReadRequest) -> Vec<LogEvent> {
    let mut all = Vec::new();
    loop {
        let page = read(logs, name, &request);
        // The first event looked at always fits.
        let sizes = || page.events.iter().map(|event| event.message.len());
        let bytes = sizes().sum::<usize>() - sizes().max().unwrap_or(0);
        assert!(page.events.len() <= request.max_events);
        assert!(bytes <= request.max_bytes);
        assert!(page.next_backward <= page.next_forward);
        assert!(page.events.is_sorted_by(|a, b| a.position < b.position && a.timestamp <= b.timestamp));
        let next = match request.direction {
            Direction::Forward => {
                all.extend(page.events);
                page.next_forward
            }
            Direction::Backward => {
                all.splice(0..0, page.events);
                page.next_backward
            }
        };
        if request.from == Some(next) {
            return all;
        }
        request.from = Some(next);
    }
}

fn batches() -> impl Strategy<Value = Vec<Vec<Line>>> {
    let line = (0..3i64, "[a-zé]{0,12}|x{100,140}");
    prop::collection::vec((any::<bool>(), prop::collection::vec(line, 1..12)), 0..10).prop_map(|batches| {
        let mut now = 1_000;
        let batch = |(_, lines): (bool, Vec<Line>)| {
            lines
                .into_iter()
                .map(|(step, message)| {
                    now += step;
                    (now, message)
                })
                .collect()
        };
        batches.into_iter().map(batch).collect()
    })
}

proptest! {
    #[test]
    fn pages_neither_skip_nor_repeat(
        batches in batches(),
        segment_max in prop_oneof![Just(1u64), 100..600u64, Just(1 << 20)],
        reopen in any::<bool>(),
        max_events in 1..9usize,
        max_bytes in 0..200usize,
        start_time in prop::option::of(998..1_040i64),
        end_time in prop::option::of(998..1_040i64),
        backward in any::<bool>(),
        from in prop::option::of(0..8_000u64),
    ) {
        let (_dir, logs) = logs(segment_max);
        let name = name("/aws/batch/job", "train/default/1");
        let mut writer = logs.open(name.clone());
        for batch in &batches {
            if reopen {
                writer = logs.open(name.clone());
            }
            append(&mut *writer, batch);
        }
        let model: Vec<Line> = batches.concat();
        if model.is_empty() {
            prop_assert!(matches!(logs.read(&name, &EVERYTHING), Err(Error::NoSuchGroup)));
            return Ok(());
        }
        let all = read(&logs, &name, &EVERYTHING).events;
        prop_assert_eq!(&lines(&all), &model);

        // A filtered walk in pages, from anywhere, is the same part of the model.
        let direction = if backward { Direction::Backward } else { Direction::Forward };
        let request = ReadRequest { from, direction, start_time, end_time, max_events, max_bytes };
        // Positions between two boundaries count as the earlier one.
        let settled = from.map(|from| read(&logs, &name, &ReadRequest { from: Some(from), max_events: 0, ..EVERYTHING }).next_forward);
        let want: Vec<LogEvent> = all.iter().filter(|event| {
            start_time.is_none_or(|start| event.timestamp >= start)
                && end_time.is_none_or(|end| event.timestamp < end)
                && settled.is_none_or(|from| (event.position >= from) != backward)
        }).cloned().collect();
        prop_assert_eq!(follow(&logs, &name, request.clone()), want.clone());

        // Both ways out of one page, with it, are everything.
        let page = read(&logs, &name, &ReadRequest { start_time: None, end_time: None, ..request.clone() });
        let before = ReadRequest { from: Some(page.next_backward), direction: Direction::Backward, ..EVERYTHING };
        let after = ReadRequest { from: Some(page.next_forward), direction: Direction::Forward, ..EVERYTHING };
        prop_assert_eq!([follow(&logs, &name, before), page.events, follow(&logs, &name, after)].concat(), all.clone());

        let info = logs.stream_info(&name, None).unwrap();
        prop_assert_eq!(info.created_at, model[0].0);
        prop_assert_eq!(info.first_event_at, Some(model[0].0));
        prop_assert_eq!(info.last_event_at, model.last().map(|line| line.0));
        prop_assert_eq!(logs.groups(&scope()).unwrap()[0].stored_bytes >= info.stored_bytes, true);

        // The end stays where it is, and shows what comes later.
        let end = ReadRequest { from: Some(read(&logs, &name, &EVERYTHING).next_forward), ..EVERYTHING };
        let page = read(&logs, &name, &end);
        prop_assert_eq!((page.events.len(), Some(page.next_forward)), (0, end.from));
        let later = vec![(5_000, "later".to_owned())];
        append(&mut *writer, &later);
        prop_assert_eq!(lines(&read(&logs, &name, &end).events), later);
    }

    #[test]
    fn garbage_is_never_more_than_missing_events(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..6),
        backward in any::<bool>(),
        start in 0..30i64,
        from in prop::option::of(any::<u64>()),
    ) {
        let (_dir, logs) = logs(150);
        let name = name("g", "s");
        let model: Vec<Line> = (0..30).map(|n| (n, format!("line {n}"))).collect();
        append(&mut *logs.open(name.clone()), &model);
        let files = files(&logs, &name);
        for (file, offset, byte) in flips {
            let path = file.get(&files);
            let mut bytes = fs::read(path).unwrap();
            let offset = offset.index(bytes.len());
            bytes[offset] = byte;
            fs::write(path, bytes).unwrap();
        }
        let direction = if backward { Direction::Backward } else { Direction::Forward };
        if let Ok(page) = logs.read(&name, &ReadRequest { from, direction, ..EVERYTHING }) {
            prop_assert!(lines(&page.events).iter().all(|line| model.contains(line)));
        }
        if let Ok(page) = logs.read(&name, &ReadRequest { direction, ..EVERYTHING }) {
            let (start_time, end_time) = (Some(start), Some(start + 10));
            let filtered = read(&logs, &name, &ReadRequest { direction, start_time, end_time, ..EVERYTHING });
            let mut want = lines(&page.events);
            want.retain(|line| (start..start + 10).contains(&line.0));
            prop_assert_eq!(lines(&filtered.events), want, "times are found around unreadable segments");
        }
        let later = vec![(100, "later".to_owned())];
        append(&mut *logs.open(name.clone()), &later);
        let last = ReadRequest { direction: Direction::Backward, max_events: 1, ..EVERYTHING };
        prop_assert_eq!(lines(&read(&logs, &name, &last).events), later);
    }
}

/// The files of a stream, oldest first.
pub(super) fn files(logs: &LogDirectory, name: &StreamName) -> Vec<PathBuf> {
    let path = logs.stream_path(name);
    path.bases().unwrap().into_iter().map(|base| path.segment(base)).filter(|path| path.exists()).collect()
}

#[test]
fn a_torn_write_ends_the_stream_and_the_next_writer_goes_on() {
    let (_dir, logs) = logs(1 << 20);
    let name = name("g", "torn");
    let model: Vec<Line> = (0..3).map(|n| (n, format!("line {n}"))).collect();
    let mut writer = logs.open(name.clone());
    append(&mut *writer, &model[..2]);
    let kept = fs::read(&files(&logs, &name)[0]).unwrap().len();
    append(&mut *writer, &model[2..]);
    drop(writer);
    let whole = fs::read(&files(&logs, &name)[0]).unwrap();
    for size in 0..whole.len() {
        let first = files(&logs, &name).remove(0);
        let _ = fs::remove_dir_all(first.with_extension("segments"));
        fs::write(&first, &whole[..size]).unwrap();
        let readable = if size >= kept { &model[..2] } else { &model[..usize::from(size >= kept - 26)] };
        let end = match logs.read(&name, &EVERYTHING) {
            Ok(page) => {
                assert_eq!(lines(&page.events), readable, "{size}");
                let backward = ReadRequest { direction: Direction::Backward, ..EVERYTHING };
                assert_eq!(lines(&read(&logs, &name, &backward).events), readable, "{size}");
                Some(page.next_forward)
            }
            Err(error) => {
                assert!(matches!(error, Error::NoSuchStream) && readable.is_empty(), "{size}: {error}");
                None
            }
        };
        let later: Vec<Line> = (5..7).map(|n| (n, format!("later {n}"))).collect();
        append(&mut *logs.open(name.clone()), &later[..1]);
        append(&mut *logs.open(name.clone()), &later[1..]);
        for direction in [Direction::Forward, Direction::Backward] {
            let all = follow(&logs, &name, ReadRequest { direction, max_events: 1, ..EVERYTHING });
            assert_eq!(lines(&all), [readable, &later].concat(), "{size}");
        }
        let followed = ReadRequest { from: end, ..EVERYTHING };
        assert!(lines(&read(&logs, &name, &followed).events).ends_with(&later), "{size}");
        assert!(files(&logs, &name).len() <= 2, "{size}: the new segment is used again");
    }
}

#[test]
fn the_oldest_segments_may_be_deleted() {
    let (_dir, logs) = logs(100);
    let name = name("g", "old");
    let model: Vec<Line> = (0..20).map(|n| (n, format!("line {n}"))).collect();
    append(&mut *logs.open(name.clone()), &model[..10]);
    append(&mut *logs.open(name.clone()), &model[10..]);
    let before = read(&logs, &name, &EVERYTHING).events;
    for path in &files(&logs, &name)[..4] {
        fs::remove_file(path).unwrap();
    }
    let after = read(&logs, &name, &EVERYTHING).events;
    assert!(!after.is_empty() && after.len() < before.len() && before.ends_with(&after), "positions stay");
    assert_eq!(logs.stream_info(&name, None).unwrap().created_at, 0);
    assert_eq!(logs.stream_names(&scope(), "g", "", None).unwrap(), ["old"]);
    let from_deleted = ReadRequest { from: Some(before[2].position), ..EVERYTHING };
    assert_eq!(read(&logs, &name, &from_deleted).events, after);

    // What is left still tells a new writer when the stream began, and that its clock is late.
    append(&mut *logs.open(name.clone()), &[(5, "late".to_owned())]);
    let kept = files(&logs, &name);
    for path in &kept[..kept.len() - 1] {
        fs::remove_file(path).unwrap();
    }
    let info = logs.stream_info(&name, None).unwrap();
    assert_eq!((info.created_at, info.last_event_at), (0, Some(19)));
}

#[test]
fn unreadable_bytes_hide_no_more_than_they_must() {
    let (_dir, logs) = logs(300);
    let name = name("g", "damaged");
    let model: Vec<Line> = (10..50).map(|n| (n, format!("line {n}"))).collect();
    append(&mut *logs.open(name.clone()), &model);
    let second = &files(&logs, &name)[1];
    let mut bytes = fs::read(second).unwrap();
    let middle = bytes.len() - 4 * 27 - 10;
    bytes[middle] ^= 1;
    fs::write(second, bytes).unwrap();
    let missing = |direction| {
        let seen = lines(&follow(&logs, &name, ReadRequest { direction, max_events: 3, ..EVERYTHING }));
        assert!(seen.is_sorted() && seen.iter().all(|line| model.contains(line)));
        model.len() - seen.len()
    };
    assert_eq!(missing(Direction::Backward), 1, "only the damaged event");
    assert_eq!(missing(Direction::Forward), 5, "and those after it in its segment");
}

#[test]
fn names_stay_in_their_folder_and_are_found_again() {
    let (dir, logs) = logs(1 << 20);
    let long = "/long".repeat(100);
    let names =
        ["", ".", "..", "../../../../escaped", "/etc/passwd", "a", "a.log", "a.segments", &long, "ünï"];
    for group in names {
        for stream in names {
            append(&mut *logs.open(name(group, stream)), &[(7, format!("{group}|{stream}"))]);
        }
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    let groups = logs.groups(&scope()).unwrap();
    assert_eq!(groups.iter().map(|group| &*group.group).collect::<Vec<_>>(), sorted);
    assert!(groups.iter().all(|group| group.created_at > 1_700_000_000_000 && group.stored_bytes > 400));
    for group in names {
        assert_eq!(logs.stream_names(&scope(), group, "", None).unwrap(), sorted);
        assert_eq!(logs.stream_names(&scope(), group, "/l", None).unwrap(), [long.as_str()]);
        for stream in names {
            let events = read(&logs, &name(group, stream), &EVERYTHING).events;
            assert_eq!(lines(&events), [(7, format!("{group}|{stream}"))]);
        }
    }
    let other = Scope { account: "..".into(), ..scope() };
    assert!(logs.groups(&other).unwrap().is_empty());
    assert!(matches!(logs.stream_names(&other, "a", "", None), Err(Error::NoSuchGroup)));
    assert!(matches!(logs.stream_info(&name("b", "a"), None), Err(Error::NoSuchGroup)));
    assert!(matches!(logs.stream_info(&name("a", "b"), None), Err(Error::NoSuchStream)));
    assert!(logs.open(name("a", &"x".repeat(3_000))).append(&[(0, b"")]).is_err());
    let mode = fs::metadata(dir.path().join("logs")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn nothing_is_on_disk_before_the_first_event_and_odd_lines_are_kept() {
    let (_dir, logs) = logs(1 << 20);
    let name = name("g", "s");
    let mut writer = logs.open(name.clone());
    writer.append(&[]).unwrap();
    assert!(logs.groups(&scope()).unwrap().is_empty());
    let long = "x".repeat(MESSAGE_MAX + 5);
    writer.append(&[(9, b""), (3, b"\xff\n\0"), (10, long.as_bytes())]).unwrap();
    let want = [
        (9, String::new()),
        (9, "\u{fffd}\n\0".to_owned()),
        (10, "x".repeat(MESSAGE_MAX)),
        (10, "xxxxx".to_owned()),
    ];
    for direction in [Direction::Forward, Direction::Backward] {
        let all = follow(&logs, &name, ReadRequest { direction, max_events: 2, max_bytes: 1, ..EVERYTHING });
        assert!(lines(&all) == want);
    }
}

#[test]
fn a_printed_record_is_not_taken_for_one() {
    let (_dir, logs) = logs(1 << 20);
    append(&mut *logs.open(name("g", "source")), &[(1, "forged".to_owned())]);
    let source = fs::read(&files(&logs, &name("g", "source"))[0]).unwrap();
    let record = &source[source.len() - 26..];
    let name = name("g", "s");
    logs.open(name.clone()).append(&[(1, record)]).unwrap();
    let inside = read(&logs, &name, &EVERYTHING).next_forward - 4;
    let request = ReadRequest { from: Some(inside), direction: Direction::Backward, ..EVERYTHING };
    assert!(read(&logs, &name, &request).events.is_empty(), "the position counts as the one before the line");
}

#[test]
fn a_reader_beside_the_writer_sees_every_line_once() {
    let (_dir, logs) = logs(4_000);
    let name = name("g", "live");
    let model: Vec<Line> = (0..20_000).map(|n| (n / 7, format!("line {n}"))).collect();
    append(&mut *logs.open(name.clone()), &model[..1]);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = logs.open(name.clone());
            for batch in model[1..].chunks(37) {
                append(&mut *writer, batch);
            }
            done.store(true, Ordering::Release);
        });
        let (mut seen, mut request) = (Vec::new(), EVERYTHING);
        loop {
            let done = done.load(Ordering::Acquire);
            let tail = ReadRequest { direction: Direction::Backward, max_events: 10, ..EVERYTHING };
            let tail = lines(&read(&logs, &name, &tail).events);
            assert!(
                model.windows(tail.len()).any(|window| window == tail),
                "the newest page is a piece of the stream"
            );
            let page = read(&logs, &name, &request);
            seen.extend(lines(&page.events));
            if done && request.from == Some(page.next_forward) {
                break;
            }
            request.from = Some(page.next_forward);
        }
        assert!(seen == model);
    });
}
