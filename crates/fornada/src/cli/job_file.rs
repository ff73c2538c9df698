//! The file that `fornada submit -f` reads: jobs with AWS's names for everything, and each other's names in
//! `dependsOn`. `docs/job-files.md` describes it for those who write one.
//!
//! YAML is read by serde-saphyr: it is kept (serde_yaml and its forks have had no release for years), never panics on
//! broken input, bounds what a file may expand to, and says where a mistake is. JSON is YAML, so one reader does for
//! both. A member that is not known here is an error, since it is more likely a slip than a wish to be ignored.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

/// A graph of jobs.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct JobFile {
    /// The queue of jobs that name none.
    #[serde(default = "default_queue")]
    pub(crate) queue: String,
    pub(crate) jobs: Vec<Job>,
}

/// One job; `image` and `jobDefinition` exclude each other, and one of them is required.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Job {
    /// Unique in the file; becomes the job's name.
    pub(crate) name: String,
    pub(crate) queue: Option<String>,
    pub(crate) image: Option<String>,
    /// Name, name:revision or ARN of a definition that exists.
    pub(crate) job_definition: Option<String>,
    pub(crate) command: Option<Vec<String>>,
    pub(crate) vcpus: Option<f64>,
    /// MiB.
    pub(crate) memory: Option<u32>,
    pub(crate) gpus: Option<u32>,
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    /// The size of an array job.
    pub(crate) array: Option<i32>,
    #[serde(default)]
    pub(crate) parameters: BTreeMap<String, String>,
    /// Short for a retry strategy with this many attempts and nothing else.
    pub(crate) attempts: Option<i32>,
    pub(crate) retry_strategy: Option<RetryStrategy>,
    /// Seconds that one attempt may take.
    pub(crate) timeout: Option<i32>,
    #[serde(default)]
    pub(crate) depends_on: Vec<Dependency>,
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) share_identifier: Option<String>,
    pub(crate) scheduling_priority_override: Option<i32>,
}

/// As in AWS's RetryStrategy.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RetryStrategy {
    pub(crate) attempts: Option<i32>,
    #[serde(default)]
    pub(crate) evaluate_on_exit: Vec<EvaluateOnExit>,
}

/// As in AWS's EvaluateOnExit; the server checks patterns and actions.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EvaluateOnExit {
    pub(crate) on_status_reason: Option<String>,
    pub(crate) on_reason: Option<String>,
    pub(crate) on_exit_code: Option<String>,
    pub(crate) action: String,
}

/// What a job waits for: `other`, `{job: other, type: N_TO_N}` or `{type: SEQUENTIAL}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) job: Option<String>,
    pub(crate) kind: Option<DependencyKind>,
}

/// As in AWS's ArrayJobDependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum DependencyKind {
    #[serde(rename = "N_TO_N")]
    NToN,
    #[serde(rename = "SEQUENTIAL")]
    Sequential,
}

/// Why a text is not a job file.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ParseError(String);

impl JobFile {
    /// Reads YAML or JSON; what the jobs say about each other is checked by [`super::job_graph`].
    pub(crate) fn parse(text: &str) -> Result<JobFile, ParseError> {
        serde_saphyr::from_str(text).map_err(|error| ParseError(error.without_snippet().to_string()))
    }
}

fn default_queue() -> String {
    "default".to_owned()
}

/// By hand rather than `#[serde(untagged)]`, whose errors do not say what is wrong.
impl<'de> Deserialize<'de> for Dependency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Members {
            job: Option<String>,
            r#type: Option<DependencyKind>,
        }

        struct NameOrMembers;

        impl<'de> Visitor<'de> for NameOrMembers {
            type Value = Dependency;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a job, or job and type")
            }

            fn visit_str<E>(self, name: &str) -> Result<Dependency, E> {
                Ok(Dependency { job: Some(name.to_owned()), kind: None })
            }

            // A job may be called 1.
            fn visit_u64<E>(self, name: u64) -> Result<Dependency, E> {
                Ok(Dependency { job: Some(name.to_string()), kind: None })
            }

            fn visit_i64<E>(self, name: i64) -> Result<Dependency, E> {
                Ok(Dependency { job: Some(name.to_string()), kind: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Dependency, A::Error> {
                let Members { job, r#type } = Members::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Dependency { job, kind: r#type })
            }
        }

        deserializer.deserialize_any(NameOrMembers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_reads_as_meant() {
        let file = JobFile::parse(
            "
jobs:
  - name: split
    image: host
    command: [python3, split.py, 8, Ref::corpus]
    parameters: {corpus: texts}
  - name: count
    queue: fast
    image: busybox:1.36
    vcpus: 0.5
    memory: 256
    environment: {DEBUG: true, LEVEL: 3, EMPTY: ''}
    array: 8
    retryStrategy: {attempts: 3, evaluateOnExit: [{onExitCode: 1*, action: RETRY}]}
    timeout: 600
    dependsOn: [split, {job: split, type: N_TO_N}, {type: SEQUENTIAL}, 1]
  - {name: 1, jobDefinition: 'merge:2', attempts: 2, tags: {team: a}}
",
        )
        .expect("a good file");
        assert_eq!(file.queue, "default");
        let [split, count, one] = &file.jobs[..] else { panic!("three jobs") };
        assert_eq!(
            split.command.as_deref(),
            Some(&["python3", "split.py", "8", "Ref::corpus"].map(String::from)[..])
        );
        assert_eq!((count.queue.as_deref(), count.vcpus, count.memory), (Some("fast"), Some(0.5), Some(256)));
        let environment: Vec<_> = count.environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(environment, [("DEBUG", "true"), ("EMPTY", ""), ("LEVEL", "3")]);
        let dependency = |job: Option<&str>, kind| Dependency { job: job.map(Into::into), kind };
        assert_eq!(
            count.depends_on,
            [
                dependency(Some("split"), None),
                dependency(Some("split"), Some(DependencyKind::NToN)),
                dependency(None, Some(DependencyKind::Sequential)),
                dependency(Some("1"), None),
            ]
        );
        assert_eq!((one.name.as_str(), one.job_definition.as_deref()), ("1", Some("merge:2")));
    }

    #[test]
    fn json_is_read_too() {
        let file =
            JobFile::parse(r#"{"queue": "q", "jobs": [{"name": "a", "image": "host", "dependsOn": []}]}"#)
                .expect("a good file");
        assert_eq!((file.queue.as_str(), file.jobs[0].image.as_deref()), ("q", Some("host")));
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let cases = [
            ("jobs: [{name: a, image: host, comand: [x]}]", "comand"),
            ("jobs: [{image: host}]", "name"),
            ("jobs:\n  - name: a\n    array: many\n", "line 3"),
            ("jobs: [{name: a, dependsOn: [{job: b, type: SOMETIMES}]}]", "SOMETIMES"),
            ("jobs: [{name: a, dependsOn: [[b]]}]", "the name of a job"),
            ("jobs: [", "line 1"),
            ("", ""),
        ];
        for (text, want) in cases {
            let error = JobFile::parse(text).expect_err(text).to_string();
            assert!(error.contains(want) && !error.contains('\n'), "{text:?} gave {error:?}");
        }
    }
}
