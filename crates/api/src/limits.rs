//! How much a client may ask for in one request. The defaults are AWS Batch's own; an operator may choose others.

use std::ops::RangeInclusive;
use std::str::FromStr;

/// Limits that are a matter of configuration.
///
/// Source: AWS Batch User Guide, service quotas; API reference, DescribeJobs, ListJobs, JobTimeout, NodeProperties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries of `dependsOn`.
    pub dependencies: u32,
    /// Children of an array.
    pub array_size: u32,
    /// Nodes of a multi-node job.
    pub nodes: u32,
    /// Least `attemptDurationSeconds`.
    pub timeout_seconds_min: u32,
    /// KiB of a SubmitJob request.
    pub submit_job_kib: u32,
    /// KiB of a RegisterJobDefinition request.
    pub register_job_definition_kib: u32,
    /// Ids in a DescribeJobs request.
    pub describe_jobs: u32,
    /// Jobs in a page of ListJobs.
    pub list_jobs: u32,
    /// Jobs in a page of ListJobs with filters.
    pub list_jobs_filtered: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            dependencies: 20,
            array_size: 10_000,
            nodes: 1000,
            timeout_seconds_min: 60,
            submit_job_kib: 30,
            register_job_definition_kib: 24,
            describe_jobs: 100,
            list_jobs: 1000,
            list_jobs_filtered: 100,
        }
    }
}

/// Why limits could not be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseLimitsError {
    /// Not `NAME=NUMBER`, or no such name.
    #[error(
        "expected NAME=NUMBER, NAME being dependencies, array-size, nodes, timeout-seconds-min, submit-job-kib, \
         register-job-definition-kib, describe-jobs, list-jobs or list-jobs-filtered, not `{0}`"
    )]
    Part(String),
    /// Not a number, or one out of range.
    #[error("{name} is a whole number from {} to {}, not `{value}`", range.start(), range.end())]
    Value {
        /// Which limit.
        name: String,
        /// What was given.
        value: String,
        /// What it may be.
        range: RangeInclusive<u32>,
    },
}

/// `array-size=50000,dependencies=100`; what is not named is AWS Batch's own.
impl FromStr for Limits {
    type Err = ParseLimitsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut limits = Limits::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let bad = || ParseLimitsError::Part(part.to_owned());
            let (name, value) = part.split_once('=').ok_or_else(bad)?;
            let (limit, range) = limits.named(name).ok_or_else(bad)?;
            let number = value.parse().ok().filter(|number| range.contains(number));
            *limit = number.ok_or_else(|| ParseLimitsError::Value {
                name: name.to_owned(),
                value: value.to_owned(),
                range,
            })?;
        }
        Ok(limits)
    }
}

impl Limits {
    /// The limit of that name, and what the server can bear.
    fn named(&mut self, name: &str) -> Option<(&mut u32, RangeInclusive<u32>)> {
        Some(match name {
            "dependencies" => (&mut self.dependencies, 0..=1000),
            "array-size" => (&mut self.array_size, 2..=1_000_000),
            "nodes" => (&mut self.nodes, 1..=10_000),
            "timeout-seconds-min" => (&mut self.timeout_seconds_min, 1..=60),
            "submit-job-kib" => (&mut self.submit_job_kib, 1..=1024),
            "register-job-definition-kib" => (&mut self.register_job_definition_kib, 1..=1024),
            "describe-jobs" => (&mut self.describe_jobs, 1..=10_000),
            "list-jobs" => (&mut self.list_jobs, 1..=10_000),
            "list-jobs-filtered" => (&mut self.list_jobs_filtered, 1..=10_000),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_by_name_within_what_the_server_can_bear() {
        let aws = Limits::default;
        for (text, want) in [
            ("", aws()),
            ("array-size=50000, dependencies=100", Limits { array_size: 50_000, dependencies: 100, ..aws() }),
            (
                "timeout-seconds-min=1,describe-jobs=1",
                Limits { timeout_seconds_min: 1, describe_jobs: 1, ..aws() },
            ),
        ] {
            assert_eq!(text.parse(), Ok(want), "{text}");
        }
        for bad in
            ["array-size", "arrays=5", "array-size=1", "array-size=x", "submit-job-kib=1025", "nodes=-1"]
        {
            let fault = bad.parse::<Limits>().unwrap_err().to_string();
            assert!(fault.contains(bad.split('=').next_back().unwrap()), "{fault}");
        }
    }
}
