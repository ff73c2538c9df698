//! What a check of stored data has found.

use std::collections::BTreeMap;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something is lost or wrong, and somebody has to do something.
    Fault,
    /// Worth knowing; nothing is lost that was promised.
    Note,
}

/// One thing that a check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// File or record that it is about.
    pub place: String,
    /// What is wrong with it, without a full stop.
    pub problem: String,
    /// What to do about it, without a full stop.
    pub advice: &'static str,
}

/// Findings of one kind that are told one by one; the rest are counted.
const SHOWN_MAX: usize = 20;

/// Collects findings. A store in which every record is damaged makes a short list all the same.
#[derive(Debug, Default)]
pub struct Findings {
    list: Vec<Finding>,
    /// How often each advice was given beside a severity: the kind of a finding.
    counts: BTreeMap<(Severity, &'static str), usize>,
}

impl Findings {
    /// Adds a fault.
    pub fn fault(&mut self, place: impl Into<String>, problem: impl Into<String>, advice: &'static str) {
        self.add(Severity::Fault, place.into(), problem.into(), advice);
    }

    /// Adds a note.
    pub fn note(&mut self, place: impl Into<String>, problem: impl Into<String>, advice: &'static str) {
        self.add(Severity::Note, place.into(), problem.into(), advice);
    }

    fn add(&mut self, severity: Severity, place: String, problem: String, advice: &'static str) {
        let count = self.counts.entry((severity, advice)).or_default();
        *count += 1;
        if *count <= SHOWN_MAX {
            self.list.push(Finding { severity, place, problem, advice });
        }
    }

    /// Whether there is any fault.
    pub fn has_fault(&self) -> bool {
        self.counts.keys().any(|(severity, _)| *severity == Severity::Fault)
    }

    /// All of them, in the order in which they were found; of each kind at most 20, then how many more.
    pub fn finish(mut self) -> Vec<Finding> {
        for ((severity, advice), count) in self.counts {
            if count > SHOWN_MAX {
                let place = format!("{} more", count - SHOWN_MAX);
                self.list.push(Finding { severity, place, problem: "as above".into(), advice });
            }
        }
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_of_a_kind_are_counted() {
        let mut findings = Findings::default();
        assert!(!findings.has_fault());
        for number in 0..=SHOWN_MAX {
            findings.note(format!("{number}"), "torn", "nothing");
        }
        assert!(!findings.has_fault());
        findings.fault("x", "gone", "restore it");
        assert!(findings.has_fault());
        let list = findings.finish();
        assert_eq!(list.len(), SHOWN_MAX + 2);
        assert_eq!(list.last().unwrap().place, "1 more");
    }
}
