//! How fast job output is written and read: `cargo run --release -p fornada-store --example log_speed [DIR]`.
//!
//! Writes about 300 MB below DIR (default: the current folder) and removes them.

use std::error::Error;
use std::time::Instant;

use fornada_core::arn::Scope;
use fornada_engine::port::log::{Direction, LogReader, LogWriter, ReadRequest, StreamName};
use fornada_store::log::LogDirectory;

const LINES: usize = 1 << 20;
const STREAMS: usize = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir_in(std::env::args().nth(1).as_deref().unwrap_or("."))?;
    let logs = LogDirectory::open(dir.path().join("logs"))?;
    let scope = Scope { region: "us-east-1".into(), account: "000000000000".into() };
    let name =
        |stream: String| StreamName { scope: scope.clone(), group: "/job".into(), stream: stream.into() };
    let line = "x".repeat(100);

    for batch in [1, 64] {
        let name = name(format!("lines/{batch}"));
        let events = vec![(1, line.as_bytes()); batch];
        let start = Instant::now();
        let mut writer = LogWriter::open(&logs, name.clone());
        for _ in 0..LINES / batch {
            writer.append(&events)?;
        }
        report(&format!("lines written, {batch} a call"), LINES, start);
        for direction in [Direction::Forward, Direction::Backward] {
            let start = Instant::now();
            report(
                &format!("lines read {direction:?}, 10,000 a page"),
                count(&logs, &name, direction)?,
                start,
            );
        }
    }

    let name = |n: usize| name(format!("job/default/{n:032x}"));
    let start = Instant::now();
    for n in 0..STREAMS {
        LogWriter::open(&logs, name(n)).append(&[(1, line.as_bytes())])?;
    }
    report("streams of one line written", STREAMS, start);
    let start = Instant::now();
    for n in 0..STREAMS {
        logs.stream_info(&name(n), None)?;
    }
    report("streams described", STREAMS, start);
    let start = Instant::now();
    report("streams listed", logs.stream_names(&scope, "/job", "", None)?.len(), start);
    Ok(())
}

fn report(what: &str, count: usize, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!("{:>10.0}/s {what} ({count} in {seconds:.2} s)", count as f64 / seconds);
}

/// Reads a stream to its other end.
fn count(logs: &LogDirectory, name: &StreamName, direction: Direction) -> Result<usize, Box<dyn Error>> {
    let mut request = ReadRequest {
        from: None,
        direction,
        start_time: None,
        end_time: None,
        max_events: 10_000,
        max_bytes: 1 << 20,
    };
    let mut count = 0;
    loop {
        let page = logs.read(name, &request)?;
        count += page.events.len();
        let next = match direction {
            Direction::Forward => page.next_forward,
            Direction::Backward => page.next_backward,
        };
        if request.from.replace(next) == Some(next) {
            return Ok(count);
        }
    }
}
