//! What happened, for people and for comparing two runs of a seed; and how much of what.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{Arguments, Write};

/// So much is shown of what happened before a failure.
const SHOWN: usize = 120;

#[derive(Default)]
pub struct Trace {
    lines: VecDeque<String>,
    hash: u64,
    counts: BTreeMap<String, u64>,
    line: String,
}

impl Trace {
    pub fn note(&mut self, now: u64, what: Arguments<'_>) {
        self.line.clear();
        write!(self.line, "{:>12.3} s  {what}", f64::from(u32::try_from(now).unwrap_or(u32::MAX)) / 1000.0)
            .expect("memory takes everything");
        self.hash = fornada_sim::random::key(&self.line) ^ self.hash.rotate_left(7);
        let line =
            if self.lines.len() < SHOWN { String::new() } else { self.lines.pop_front().unwrap_or_default() };
        self.lines.push_back(std::mem::replace(&mut self.line, line));
    }

    pub fn count(&mut self, what: &str, number: u64) {
        match self.counts.get_mut(what) {
            Some(count) => *count += number,
            None => drop(self.counts.insert(what.to_owned(), number)),
        }
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn counts(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }

    pub fn last_lines(&self) -> String {
        self.lines.iter().fold(String::new(), |text, line| text + line + "\n")
    }
}
