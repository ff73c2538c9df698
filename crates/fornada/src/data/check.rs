//! `fornada check`: whether a data directory is as it should be. Nothing is changed.

use std::fmt::Write;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use fornada_api::access_keys::{self, AccessKeys};
use fornada_store::finding::{Finding, Findings, Severity};
use fornada_store::log;
use fornada_store::sqlite::{self, OpenError};
use indicatif::HumanBytes;
use serde_json::json;

use super::{Records, must_be_data_dir};
use crate::cli::args::Output;
use crate::cli::{print, print_json, style};
use crate::serve::data_dir::{self, STORE_FILE};

pub(crate) const EXAMPLES: &str = "\
Examples:
  fornada check
  fornada check --data-dir /backups/monday --output json

One line for each finding, with what to do; the exit code is 0 when there is no fault. A server may run meanwhile.";

const RESTORE: &str = "restore the data directory from a backup (fornada restore)";

/// `fornada check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// What to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// Checks `data_dir`.
pub(crate) fn check(args: &CheckArgs, data_dir: &Path) -> Result<ExitCode> {
    must_be_data_dir(data_dir)?;
    let report = inspect(data_dir);
    match args.output {
        Output::Json => print_json(&report.json())?,
        Output::Table => {
            report.print_findings()?;
            print(&format!("{}\n", report.verdict()))?;
        }
    }
    Ok(if report.has_fault() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What a check has found.
pub(super) struct Report {
    findings: Vec<Finding>,
    records: sqlite::Counts,
    logs: log::check::Counts,
}

/// Looks at everything, whatever it meets.
pub(super) fn inspect(data_dir: &Path) -> Report {
    let mut findings = Findings::default();
    let records = check_records(data_dir, &mut findings);
    if let Err(error) = AccessKeys::load(&data_dir.join(access_keys::FILE_NAME)) {
        findings.fault(access_keys::FILE_NAME, error.to_string(), "restore it, or the clients need new keys");
    }
    let logs = log::check::check(&data_dir::logs(data_dir), &mut findings).unwrap_or_else(|error| {
        findings.fault(
            "logs",
            format!("cannot be read ({error})"),
            "see to the disk and the owner of the files",
        );
        log::check::Counts::default()
    });
    for name in [STORE_FILE, "store.db-wal", "store.db-shm", "logs", "node", "secrets", "secrets.env"] {
        check_mode(data_dir, name, &mut findings);
    }
    check_instance(data_dir, &mut findings);
    Report { findings: findings.finish(), records, logs }
}

fn check_records(data_dir: &Path, findings: &mut Findings) -> sqlite::Counts {
    let records = match Records::open(data_dir) {
        Ok(records) => records,
        Err(error) => {
            let (problem, advice) = match &error {
                OpenError::Newer { found, .. } => (
                    format!("has version {found} of the tables"),
                    "use the newer release of Fornada that wrote it",
                ),
                OpenError::Foreign { .. } => {
                    ("is not a Fornada store, or its first bytes are damaged".into(), RESTORE)
                }
                OpenError::Damaged { source, .. } => (format!("is damaged ({source})"), RESTORE),
                OpenError::Open { source, .. } => (
                    format!("cannot be opened ({source})"),
                    "see to the owner and mode of the file, then check again",
                ),
                OpenError::Create { .. } | OpenError::ReadOnly { .. } | OpenError::Migrate { .. } => {
                    (error.to_string(), RESTORE)
                }
            };
            findings.fault(STORE_FILE, problem, advice);
            return sqlite::Counts::default();
        }
    };
    // The state says what does not add up by panicking; that becomes a finding, and needs no trace.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let counts = sqlite::check(&records.snapshot, findings);
    std::panic::set_hook(hook);
    counts
}

/// What holds output, keys or values of secrets is for the owner alone.
fn check_mode(data_dir: &Path, name: &str, findings: &mut Findings) {
    let mode = match fs::metadata(data_dir.join(name)) {
        Ok(metadata) => metadata.permissions().mode() & 0o777,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            return findings.fault(name, format!("cannot be looked at ({error})"), "see to its owner");
        }
    };
    if mode & 0o077 != 0 {
        let problem = format!("can be read or changed by other users (mode {mode:o})");
        findings.fault(name, problem, "take it from them: chmod go= with its path");
    }
}

/// Attempts are placed on the machine of this name; under another they would wait for it for ever.
fn check_instance(data_dir: &Path, findings: &mut Findings) {
    let is_id = |id: &str| id.trim().strip_prefix("i-").is_some_and(|hex| hex.len() == 17);
    match fs::read_to_string(data_dir::node(data_dir).join("instance")) {
        Ok(id) if is_id(&id) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {} // no node has ever run here
        Ok(_) | Err(_) => findings.fault("node/instance", "does not name the machine", RESTORE),
    }
}

impl Report {
    pub(super) fn has_fault(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Fault)
    }

    /// One line each.
    pub(super) fn print_findings(&self) -> Result<()> {
        let mut text = String::new();
        for Finding { severity, place, problem, advice } in &self.findings {
            let severity = match severity {
                Severity::Fault => style::paint(style::ERROR, "fault"),
                Severity::Note => style::paint(style::DIM, "note"),
            };
            writeln!(text, "{severity} {place}: {problem}; {advice}")?;
        }
        print(&text)
    }

    fn verdict(&self) -> String {
        let faults = self.findings.iter().filter(|finding| finding.severity == Severity::Fault).count();
        let verdict = match faults {
            0 => "ok".to_owned(),
            1 => "1 fault".to_owned(),
            more => format!("{more} faults"),
        };
        let sqlite::Counts { resources, jobs, children, service_jobs } = self.records;
        let log::check::Counts { groups, streams, events, bytes } = self.logs;
        format!(
            "{verdict}: {jobs} jobs, {children} children, {service_jobs} service jobs, {resources} other records; \
             {events} log events ({}) in {streams} streams of {groups} groups",
            HumanBytes(bytes)
        )
    }

    fn json(&self) -> serde_json::Value {
        let findings = self.findings.iter().map(|Finding { severity, place, problem, advice }| {
            let severity = match severity {
                Severity::Fault => "FAULT",
                Severity::Note => "NOTE",
            };
            json!({"severity": severity, "place": place, "problem": problem, "advice": advice})
        });
        let sqlite::Counts { resources, jobs, children, service_jobs } = self.records;
        let log::check::Counts { groups, streams, events, bytes } = self.logs;
        json!({
            "ok": !self.has_fault(),
            "findings": findings.collect::<Vec<_>>(),
            "jobs": jobs, "children": children, "serviceJobs": service_jobs, "otherRecords": resources,
            "logGroups": groups, "logStreams": streams, "logEvents": events, "logBytes": bytes,
        })
    }
}
