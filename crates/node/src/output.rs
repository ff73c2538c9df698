//! What a job writes, line by line into its log stream.
//!
//! stdout and stderr are one pipe, as with `2>&1`: lines keep the order in which they were written. Reading waits for the
//! disk, so a job that floods is slowed down by its full pipe and memory stays bounded by one line. Attempts take turns, a full
//! pipe each, and what one may keep on the disk has a bound; beyond it output is read and dropped, so that the job goes on.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;

use fornada_engine::port::log::StreamWriter;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

/// Longer lines are split, in bytes. Source: CloudWatch Logs quotas, 256 KiB an event of which 26 bytes are its head.
const LINE_BYTES_MAX: usize = (256 << 10) - 26;

/// What an event counts besides its message, in bytes; at least what it takes on the disk. Source: CloudWatch Logs quotas.
const EVENT_HEAD_BYTES: u64 = 26;

/// Between two tries to write a log that could not be written, in milliseconds: a disk that is full stays so for a while.
const RETRY_MILLIS: i64 = 1000;

/// Stands in a log for what could not be written to it.
const MISSING: &str = "[fornada] output is missing here: the log could not be written";

/// What is read at once, in bytes: a full pipe.
const READ_BYTES: usize = 64 << 10;

thread_local! {
    /// Shared by all attempts of a thread: one that is silent costs nothing.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Copies at most `bytes_max` until the last holder of the pipe closes it, or `cut` is dropped.
pub(crate) async fn copy(
    pipe: OwnedFd,
    to: Box<dyn StreamWriter>,
    bytes_max: u64,
    mut cut: oneshot::Receiver<()>,
) {
    let mut lines = Lines::new(to, bytes_max);
    let receiver = match pipe::Receiver::from_owned_fd(pipe) {
        Ok(receiver) => receiver,
        Err(error) => return tracing::warn!(%error, "the output of an attempt cannot be read"),
    };
    loop {
        tokio::select! {
            biased;
            ready = receiver.readable() => if ready.is_err() { break },
            _ = &mut cut => break,
        }
        let end = BUFFER.with_borrow_mut(|buffer| match receiver.try_read(buffer) {
            Ok(0) => true,
            Ok(length) => {
                lines.push(&buffer[..length], crate::now().as_millis());
                false
            }
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        });
        if end {
            break;
        }
        // All attempts share one thread, and a pipe that is always full would keep it.
        tokio::task::yield_now().await;
    }
    lines.finish(crate::now().as_millis());
}

/// Cuts bytes into events.
struct Lines {
    to: Box<dyn StreamWriter>,
    /// The beginning of a line whose end was not yet read.
    partial: Vec<u8>,
    /// Time of the last event: the wall clock may be set back, a stream never goes back.
    last: i64,
    /// How much there may be, and how much of that is left.
    bytes_max: u64,
    bytes_left: u64,
    /// Nothing more is written.
    ended: bool,
    /// When writing failed last, and why, unless it has succeeded since. Output is lost meanwhile.
    failed: Option<(i64, String)>,
}

impl Lines {
    fn new(to: Box<dyn StreamWriter>, bytes_max: u64) -> Lines {
        Lines {
            to,
            partial: Vec::new(),
            last: 0,
            bytes_max,
            bytes_left: bytes_max,
            ended: false,
            failed: None,
        }
    }

    fn push(&mut self, bytes: &[u8], now: i64) {
        if self.ended {
            return;
        }
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
            self.partial.extend_from_slice(bytes);
            return self.split(now);
        };
        let (complete, rest) = (&bytes[..end], &bytes[end + 1..]);
        if self.partial.is_empty() {
            self.write(complete, now);
        } else {
            let mut joined = std::mem::take(&mut self.partial);
            joined.extend_from_slice(complete);
            self.write(&joined, now);
        }
        self.partial.extend_from_slice(rest);
    }

    /// Lets go of what is too long to wait for its end.
    fn split(&mut self, now: i64) {
        while self.partial.len() > LINE_BYTES_MAX {
            let rest = self.partial.split_off(cut(&self.partial));
            let piece = std::mem::replace(&mut self.partial, rest);
            self.write(&piece, now);
        }
    }

    /// A line without an end is a line.
    fn finish(&mut self, now: i64) {
        let partial = std::mem::take(&mut self.partial);
        self.write(&partial, now);
        if self.failed.is_some() {
            self.append(&[], now);
        }
    }

    /// Appends complete lines. Empty ones are no events, as with the awslogs driver: CloudWatch Logs takes no empty ones.
    fn write(&mut self, text: &[u8], now: i64) {
        let waits = self.failed.as_ref().is_some_and(|(at, _)| (*at..at + RETRY_MILLIS).contains(&now));
        if self.ended || waits {
            return;
        }
        self.last = self.last.max(now);
        let full = format!(
            "[fornada] The log of this container ends here: it has reached {} MiB (--job-log-max).",
            self.bytes_max >> 20
        );
        let (mut events, mut left, mut ended) = (Vec::new(), self.bytes_left, false);
        'lines: for line in text.split(|byte| *byte == b'\n') {
            let mut line = line.strip_suffix(b"\r").unwrap_or(line);
            while !line.is_empty() {
                let (piece, rest) = line.split_at(cut(line));
                let Some(less) = left.checked_sub(piece.len() as u64 + EVENT_HEAD_BYTES) else {
                    events.push((self.last, full.as_bytes()));
                    ended = true;
                    break 'lines;
                };
                left = less;
                events.push((self.last, piece));
                line = rest;
            }
        }
        // What could not be written does not count, nor has the end been said.
        if !events.is_empty() && self.append(&events, now) {
            (self.bytes_left, self.ended) = (left, ended);
            if ended {
                self.partial = Vec::new();
            }
        }
    }

    /// Appends events, behind one that says so if there should have been others. Says whether they could be written.
    fn append(&mut self, events: &[(i64, &[u8])], now: i64) -> bool {
        let missing = self.failed.as_ref().map(|(_, why)| format!("{MISSING} ({why})"));
        let first = missing.as_ref().map(|text| (self.last, text.as_bytes()));
        let all: Vec<_> = first.into_iter().chain(events.iter().copied()).collect();
        match self.to.append(&all) {
            Ok(()) => self.failed = None,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                let cause = error.source().unwrap_or(error).to_string();
                if self.failed.is_none() {
                    tracing::warn!(%error, cause, "the log of an attempt cannot be written; its output is lost until it can");
                }
                self.failed = Some((now, cause));
            }
        }
        self.failed.is_none()
    }
}

/// Where to end a piece: all of it if short enough, else before a character that would not fit.
fn cut(line: &[u8]) -> usize {
    if line.len() <= LINE_BYTES_MAX {
        return line.len();
    }
    let begins_character = |at: &usize| line[*at] & 0xc0 != 0x80;
    (LINE_BYTES_MAX - 3..=LINE_BYTES_MAX).rev().find(begins_character).unwrap_or(LINE_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fornada_engine::port::log;
    use std::sync::{Arc, Mutex};

    type Events = Arc<Mutex<Vec<(i64, Vec<u8>)>>>;

    struct Fake(Events, usize);

    impl StreamWriter for Fake {
        fn append(&mut self, events: &[(i64, &[u8])]) -> Result<(), log::Error> {
            if self.1 == 0 {
                return Err(log::Error::Io(io::ErrorKind::StorageFull.into()));
            }
            self.1 -= 1;
            self.0.lock().unwrap().extend(events.iter().map(|(at, line)| (*at, line.to_vec())));
            Ok(())
        }
    }

    #[test]
    fn bytes_become_lines() {
        let long = "x".repeat(LINE_BYTES_MAX - 1) + "é";
        struct Case<'a>(&'a str, Vec<&'a str>, Vec<&'a str>);
        let cases = [
            Case("whole lines", vec!["a\nb\n"], vec!["a", "b"]),
            Case("in pieces", vec!["a", "b\nc", "", "d\n", "e"], vec!["ab", "cd", "e"]),
            Case("empty lines and carriage returns", vec!["\n\r\na\r\n\r", "\nb\rc\n"], vec!["a", "b\rc"]),
            Case("nothing", vec![], vec![]),
            Case("split before a character", vec![&long, "z\n"], vec![&long[..LINE_BYTES_MAX - 1], "éz"]),
        ];
        for Case(name, input, want) in cases {
            let events = Events::default();
            let mut lines = Lines::new(Box::new(Fake(events.clone(), usize::MAX)), u64::MAX);
            input.iter().for_each(|piece| lines.push(piece.as_bytes(), 1));
            lines.finish(1);
            let got: Vec<_> = events.lock().unwrap().iter().map(|(_, line)| line.clone()).collect();
            assert!(got.iter().map(Vec::as_slice).eq(want.iter().map(|line| line.as_bytes())), "{name}");
        }
    }

    #[test]
    fn a_flood_without_line_ends_stays_within_a_line() {
        let events = Events::default();
        let mut lines = Lines::new(Box::new(Fake(events.clone(), usize::MAX)), u64::MAX);
        for _ in 0..100 {
            lines.push(&[0xff; READ_BYTES], 1);
            assert!(lines.partial.len() <= LINE_BYTES_MAX);
        }
        lines.finish(1);
        assert_eq!(
            events.lock().unwrap().iter().map(|(_, line)| line.len()).sum::<usize>(),
            100 * READ_BYTES
        );
    }

    #[test]
    fn time_never_goes_back() {
        let events = Events::default();
        let mut lines = Lines::new(Box::new(Fake(events.clone(), usize::MAX)), u64::MAX);
        for (line, now) in [("a\n", 5), ("b\n", 3)] {
            lines.push(line.as_bytes(), now);
        }
        assert_eq!(*events.lock().unwrap(), [(5, b"a".to_vec()), (5, b"b".to_vec())]);
    }

    #[test]
    fn a_log_that_is_full_says_so_and_takes_no_more() {
        for (name, input) in [
            ("in one piece", vec!["12345678901234\n".repeat(10)]),
            ("by lines", vec!["12345678901234\n".to_owned(); 10]),
            ("without line ends", vec!["12345678901234\n".to_owned(), "x".repeat(LINE_BYTES_MAX + 1)]),
        ] {
            let events = Events::default();
            let mut lines = Lines::new(Box::new(Fake(events.clone(), usize::MAX)), 2 * 40 + 39);
            input.iter().for_each(|piece| lines.push(piece.as_bytes(), 1));
            lines.finish(1);
            assert!(lines.partial.is_empty(), "{name}");
            let events = events.lock().unwrap();
            let (last, before) = events.split_last().unwrap();
            assert!(!before.is_empty() && before.iter().all(|(_, line)| line == b"12345678901234"), "{name}");
            assert!(last.1.starts_with(b"[fornada] The log of this container ends here"), "{name}: {last:?}");
        }
    }

    /// Its pipe is full again after each piece that is read of it, until the other one has been heard, which speaks in the midst
    /// of that.
    struct Flood {
        pipe: std::fs::File,
        other: Option<io::PipeWriter>,
        heard: Events,
        left: usize,
    }

    impl StreamWriter for Flood {
        fn append(&mut self, _: &[(i64, &[u8])]) -> Result<(), log::Error> {
            if let Some(mut other) = self.other.take() {
                io::Write::write_all(&mut other, b"a line\n")?;
            }
            if self.heard.lock().unwrap().is_empty() {
                self.left = self.left.checked_sub(1).expect("a flood lets others be heard");
                io::Write::write_all(&mut self.pipe, &[b'x'; READ_BYTES - 1])?;
                io::Write::write_all(&mut self.pipe, b"\n")?;
            }
            Ok(())
        }
    }

    /// A disk that is full for the second to the third try.
    struct Full(Events, usize);

    impl StreamWriter for Full {
        fn append(&mut self, events: &[(i64, &[u8])]) -> Result<(), log::Error> {
            self.1 += 1;
            let left = if (2..=3).contains(&self.1) { 0 } else { usize::MAX };
            Fake(self.0.clone(), left).append(events)
        }
    }

    #[test]
    fn a_flood_lets_others_be_heard() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let heard = Events::default();
            let (flooded, mut floods) = io::pipe().unwrap();
            let (quiet, speaks) = io::pipe().unwrap();
            io::Write::write_all(&mut floods, b"begins\n").unwrap();
            let pipe = OwnedFd::from(floods).into();
            let flood = Flood { pipe, other: Some(speaks), heard: heard.clone(), left: 1000 };
            let (end, is_cut) = oneshot::channel::<()>();
            let (_never, other_is_cut) = oneshot::channel();
            let flood = tokio::spawn(copy(flooded.into(), Box::new(flood), u64::MAX, is_cut));
            copy(quiet.into(), Box::new(Fake(heard.clone(), usize::MAX)), u64::MAX, other_is_cut).await;
            assert_eq!(heard.lock().unwrap().len(), 1);
            drop(end);
            flood.await.unwrap();
        });
    }

    #[test]
    fn a_full_disk_loses_only_output_and_the_log_says_where() {
        let events = Events::default();
        let mut lines = Lines::new(Box::new(Full(events.clone(), 0)), u64::MAX);
        for (line, now) in
            [("a\n", 0), ("b\n", 10), ("c\n", 1009), ("d\n", 1010), ("e\n", 2010), ("f\n", 2011)]
        {
            lines.push(line.as_bytes(), now);
        }
        let missing = format!("{MISSING} (no storage space)");
        let written = |events: &Events| -> Vec<String> {
            events
                .lock()
                .unwrap()
                .iter()
                .map(|(_, line)| String::from_utf8_lossy(line).into_owned())
                .collect()
        };
        assert_eq!(written(&events), ["a", &missing, "e", "f"]);

        // The last chance is the end.
        let events = Events::default();
        let mut lines = Lines::new(Box::new(Full(events.clone(), 0)), u64::MAX);
        for (line, now) in [("a\n", 0), ("b\n", 10), ("c\n", 2000), ("d\n", 2001)] {
            lines.push(line.as_bytes(), now);
        }
        lines.finish(2002);
        assert_eq!(written(&events), ["a", &missing]);
    }
}
