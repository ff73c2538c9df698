//! Jobs that really ran, as `aws batch describe-jobs` prints them: when they came, what they asked for, how long they took.
//!
//! Files may hold one answer (`{"jobs": […]}`), a list of jobs, or either on each line. A job goes to the queue of its name,
//! or to the only queue that there is. Children of arrays and nodes are told by their ids, and only say how long they took.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, anyhow};
use fornada_api::offline::{self, Kind};
use fornada_core::time::Timestamp;
use fornada_sim::workload::{After, AfterKind, Behaviour, Template};
use serde_json::{Deserializer, Map, Value, json};

use super::jobs::{Jobs, fixed_seconds};

/// Members of a job's `container` that make up its shape.
const SHAPE: [&str; 3] = ["resourceRequirements", "vcpus", "memory"];

/// A job of a file.
#[derive(Debug)]
struct Recorded {
    path: String,
    id: String,
    created_at: u64,
    /// Milliseconds that the last attempt took; `None` when it never ran.
    took: Option<u64>,
    job: Value,
}

/// All jobs of all files, in the order in which they were submitted.
#[derive(Debug, Default)]
pub(super) struct Export {
    jobs: Vec<Recorded>,
    /// How long children took: by id of the parent, then by index.
    children: HashMap<String, BTreeMap<usize, u64>>,
}

/// Reads files of names and texts.
pub(super) fn read(files: &[(String, String)]) -> Result<Export> {
    let mut export = Export::default();
    for (file, text) in files {
        for value in Deserializer::from_str(text).into_iter::<Value>() {
            let value =
                value.with_context(|| format!("{file} is not JSON as aws batch describe-jobs prints it"))?;
            let jobs = match value {
                Value::Object(mut map) if map.contains_key("jobs") => map.remove("jobs").unwrap_or_default(),
                other => other,
            };
            let jobs = match jobs {
                Value::Array(jobs) => jobs,
                one => vec![one],
            };
            for job in jobs {
                let path = format!("{file}: jobs[{}]", export.jobs.len());
                export.take(path, job)?;
            }
        }
    }
    export.jobs.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    Ok(export)
}

impl Export {
    fn take(&mut self, path: String, job: Value) -> Result<()> {
        let id = job["jobId"].as_str().ok_or_else(|| anyhow!("{path}.jobId is required"))?.to_owned();
        let started = job["startedAt"].as_u64().filter(|at| *at > 0);
        let took = started.zip(job["stoppedAt"].as_u64()).map(|(from, to)| to.saturating_sub(from));
        if let Some((parent, index)) = id.split_once(':') {
            if let (Ok(index), Some(took)) = (index.parse(), took) {
                self.children.entry(parent.to_owned()).or_default().insert(index, took);
            }
            return Ok(());
        }
        if id.contains('#') {
            return Ok(()); // a node: its parent says how long all took
        }
        let created_at = job["createdAt"].as_u64().ok_or_else(|| anyhow!("{path}.createdAt is required"))?;
        self.jobs.push(Recorded { path, id, created_at, took, job });
        Ok(())
    }

    /// When the first of them was submitted.
    pub(super) fn begin(&self) -> Option<u64> {
        self.jobs.first().map(|job| job.created_at)
    }

    /// Adds the jobs that ran; those that never did would say nothing about how long they take.
    pub(super) fn add_to(self, all: &mut Jobs<'_>) -> Result<()> {
        let mut definitions: HashMap<String, String> = HashMap::new();
        let mut templates: HashMap<String, usize> = HashMap::new();
        for recorded in self.jobs {
            let children = self.children.get(&recorded.id);
            if recorded.took.is_none() && children.is_none() {
                continue;
            }
            let template = template(&recorded, children, &templates, &mut definitions, all)?;
            templates.insert(recorded.id, all.push(template));
        }
        Ok(())
    }
}

fn template(
    recorded: &Recorded,
    children: Option<&BTreeMap<usize, u64>>,
    templates: &HashMap<String, usize>,
    definitions: &mut HashMap<String, String>,
    all: &mut Jobs<'_>,
) -> Result<Template> {
    let Recorded { path, job, took, created_at, .. } = recorded;
    let last = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
    let queue = last(job["jobQueue"].as_str().unwrap_or_default());
    let (queue, is_fargate) = all.queue(&queue).with_context(|| {
        format!("{path}.jobQueue: jobQueues has no {queue}, and more than one queue to choose from")
    })?;
    let mut request = json!({
        "jobName": job["jobName"].as_str().unwrap_or("job"),
        "jobQueue": queue,
        "jobDefinition": definition(path, job, is_fargate, definitions, all)?,
    });
    for member in ["retryStrategy", "timeout", "arrayProperties", "schedulingPriority", "shareIdentifier"] {
        let Some(value) = job.get(member).filter(|value| !value.is_null()) else { continue };
        match member {
            "arrayProperties" => {
                if let Some(size) = value.get("size") {
                    request[member] = json!({ "size": size });
                }
            }
            "schedulingPriority" | "shareIdentifier" if job["shareIdentifier"].is_null() => {}
            "schedulingPriority" => request["schedulingPriorityOverride"] = value.clone(),
            _ => request[member] = value.clone(),
        }
    }
    let submission = offline::submission(all.scope(), request).map_err(|error| anyhow!("{path}: {error}"))?;
    let depends_on = job["dependsOn"].as_array().map(Vec::as_slice).unwrap_or_default();
    let after = depends_on.iter().filter_map(|on| {
        let kind = match on["type"].as_str() {
            Some("SEQUENTIAL") => return Some(After { template: 0, kind: AfterKind::Sequential }),
            Some("N_TO_N") => AfterKind::NToN,
            _ => AfterKind::Success,
        };
        let target = on["jobId"].as_str()?.split(':').next()?;
        Some(After { template: *templates.get(target)?, kind }) // one that is not in the files has ended
    });
    let size = submission.array_size.unwrap_or(0) as usize;
    let mut times = vec![None; size];
    let children = children.into_iter().flatten().filter(|(index, _)| **index < size);
    let mut sum: (u64, u64) = (0, 0);
    for (index, took) in children {
        times[*index] = Some(*took);
        sum = (sum.0 + took, sum.1 + 1);
    }
    let mean = sum.0.checked_div(sum.1).or(*took).unwrap_or_default();
    let failed = job["status"] == "FAILED" && size == 0;
    let exit_code = job["container"]["exitCode"].as_i64().and_then(|code| i32::try_from(code).ok());
    let behaviour = Behaviour {
        run_time: fixed_seconds(mean),
        recorded: times,
        exit_code: if failed { exit_code.filter(|code| *code != 0).unwrap_or(1) } else { 0 },
        ..Behaviour::default()
    };
    Ok(Template { submission, after: after.collect(), behaviour, arrivals: vec![Timestamp(*created_at)] })
}

/// The name of a definition of the shape that a job had, made when it is the first.
fn definition(
    path: &str,
    job: &Value,
    is_fargate: bool,
    definitions: &mut HashMap<String, String>,
    all: &mut Jobs<'_>,
) -> Result<String> {
    let mut request = match job.get("nodeProperties").filter(|nodes| nodes.is_object()) {
        Some(nodes) => {
            let ranges = nodes["nodeRangeProperties"].as_array().map(Vec::as_slice).unwrap_or_default();
            let ranges = ranges.iter().map(
                |range| json!({ "targetNodes": range["targetNodes"], "container": container(&range["container"]) }),
            );
            let ranges: Vec<Value> = ranges.collect();
            json!({ "type": "multinode", "nodeProperties": { "numNodes": nodes["numNodes"],
                "mainNode": nodes["mainNode"], "nodeRangeProperties": ranges } })
        }
        None => json!({ "type": "container", "containerProperties": container(&job["container"]) }),
    };
    if is_fargate {
        request["platformCapabilities"] = json!(["FARGATE"]);
        request["containerProperties"]["executionRoleArn"] =
            json!("arn:aws:iam::000000000000:role/simulated");
    }
    let key = request.to_string();
    if let Some(name) = definitions.get(&key) {
        return Ok(name.clone());
    }
    let name = format!("recorded-{}", definitions.len() + 1);
    request["jobDefinitionName"] = json!(name);
    all.create(Kind::JobDefinition, path, request)?;
    definitions.insert(key, name.clone());
    Ok(name)
}

/// What of a container says how large it is.
fn container(given: &Value) -> Value {
    let mut container = Map::from_iter([("image".to_owned(), json!("host"))]);
    for member in SHAPE {
        let found =
            given.get(member).filter(|value| !value.is_null() && **value != json!(0) && **value != json!([]));
        if let Some(value) = found {
            container.insert(member.to_owned(), value.clone());
        }
    }
    let named = |kind: &str| {
        let list = given["resourceRequirements"].as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().any(|requirement| requirement["type"] == kind)
    };
    for (member, kind) in [("vcpus", "VCPU"), ("memory", "MEMORY")] {
        if named(kind) {
            container.remove(member);
        }
    }
    Value::Object(container)
}
