//! The jobs of a file: SubmitJob requests, with when they come, how long they run and how they end.

use std::collections::HashMap;

use anyhow::{Result, anyhow, bail};
use fornada_api::offline::{self, Kind};
use fornada_core::arn::Scope;
use fornada_core::time::Timestamp;
use fornada_sim::random::{Distribution, Draw, millis};
use fornada_sim::workload::{After, AfterKind, Behaviour, Template, Workload};
use serde_json::{Value, json};

use super::setup::Setup;
use super::value::{Fields, Place, check_members};

/// More would not fit into memory.
const JOBS_MAX: u64 = 20_000_000;
/// Definition of jobs that name none: 1 vCPU and 2 GiB, unless they say otherwise.
const DEFINITION: &str = "simulated";
const FARGATE_DEFINITION: &str = "simulated-fargate";

/// Reads the jobs of a file into a workload.
pub(super) struct Jobs<'a> {
    setup: &'a mut Setup,
    seed: u64,
    workload: Workload,
    /// Templates by name.
    names: HashMap<String, usize>,
    implicit: [bool; 2],
}

impl<'a> Jobs<'a> {
    pub(super) fn new(setup: &'a mut Setup, seed: u64) -> Jobs<'a> {
        Jobs { setup, seed, workload: Workload::default(), names: HashMap::new(), implicit: [false; 2] }
    }

    pub(super) fn finish(self) -> Result<Workload> {
        if self.workload.jobs() == 0 {
            bail!("jobs is required: there is nothing to simulate");
        }
        Ok(self.workload)
    }

    /// Adds jobs that are read already, and returns their number among the templates.
    pub(super) fn push(&mut self, template: Template) -> usize {
        self.workload.add(template);
        self.workload.templates().len() - 1
    }

    /// The queue of this name, or the only one; and whether it is of Fargate.
    pub(super) fn queue(&self, name: &str) -> Option<(String, bool)> {
        let queues = &self.setup.queues;
        let only = || if let [only] = &queues[..] { Some(only) } else { None };
        queues.iter().find(|(queue, _)| queue == name).or_else(only).cloned()
    }

    pub(super) fn scope(&self) -> &Scope {
        &self.setup.scope
    }

    pub(super) fn create(&mut self, kind: Kind, path: &str, request: Value) -> Result<()> {
        self.setup.create(kind, path, request)
    }

    /// Adds an entry of `jobs`.
    pub(super) fn add(&mut self, place: Place) -> Result<()> {
        let mut given = place.fields()?;
        let path = given.path.clone();
        let arrivals = self.arrivals(&mut given)?;
        let behaviour = behaviour(&mut given)?;
        let after = self.dependencies(&mut given)?;
        let name = match given.take("name").or_else(|| given.take("jobName")) {
            Some(name) => name.text()?,
            None => bail!("{path}.jobName is required"),
        };
        self.short_forms(&mut given, &name)?;
        let request = given.rest();
        check_members(&path, offline::submission_shape(), &request)?;
        let submission =
            offline::submission(&self.setup.scope, request).map_err(|error| anyhow!("{path}: {error}"))?;
        let index = self.workload.templates().len();
        if self.names.insert(name.clone(), index).is_some() {
            bail!("{path}.jobName: there is another job {name} above");
        }
        self.workload.add(Template { submission, after, behaviour, arrivals });
        Ok(())
    }

    /// Turns the short forms of job files into members of SubmitJob.
    fn short_forms(&mut self, given: &mut Fields, name: &str) -> Result<()> {
        given.default("jobName", json!(name));
        if let Some(queue) = given.take("queue") {
            given.default("jobQueue", json!(queue.text()?));
        }
        if let [(only, _)] = &self.setup.queues[..] {
            given.default("jobQueue", json!(only));
        }
        let queue = given.get("jobQueue").and_then(Value::as_str).unwrap_or_default();
        let Some((_, is_fargate)) = self.setup.queues.iter().find(|(name, _)| name == queue).cloned() else {
            bail!("{}.jobQueue names one of jobQueues", given.path);
        };
        let definition = if is_fargate { FARGATE_DEFINITION } else { DEFINITION };
        if given.get("jobDefinition").is_none()
            && !std::mem::replace(&mut self.implicit[usize::from(is_fargate)], true)
        {
            self.setup.create(Kind::JobDefinition, "jobs", implicit_definition(definition, is_fargate))?;
        }
        given.default("jobDefinition", json!(definition));
        if let Some(size) = given.take("array") {
            given.default("arrayProperties", json!({ "size": size.value }));
        }
        if let Some(attempts) = given.take("attempts") {
            given.default("retryStrategy", json!({ "attempts": attempts.value }));
        }
        let mut requirements = Vec::new();
        for (member, kind) in [("vcpus", "VCPU"), ("memory", "MEMORY"), ("gpus", "GPU")] {
            if let Some(place) = given.take(member) {
                requirements.push(json!({ "type": kind, "value": place.text()? }));
            }
        }
        if !requirements.is_empty() {
            given.default("containerOverrides", json!({ "resourceRequirements": requirements }));
        }
        Ok(())
    }

    /// When the jobs of an entry are submitted.
    fn arrivals(&self, given: &mut Fields) -> Result<Vec<Timestamp>> {
        let begin = self.setup.begin.0;
        let first = given.take("submitAt").map_or(Ok(begin), |at| at.time(begin))?;
        let count = given.take("count").map(|count| count.whole(JOBS_MAX)).transpose()?;
        let every = given.take("every").map(|every| every.seconds()).transpose()?;
        let lasts = given.take("for").map(|lasts| lasts.seconds()).transpose()?.map(millis);
        let is_poisson = match given.take("arrival") {
            None => false,
            Some(place) => match place.value.as_str() {
                Some("poisson") => true,
                Some("regular") => false,
                _ => return Err(place.wrong("is regular or poisson")),
            },
        };
        let path = &given.path;
        let count = match (count, lasts, every) {
            (None, None, _) => 1,
            (Some(count), ..) => count,
            (None, Some(_), Some(every)) if every > 0.0 => JOBS_MAX,
            (None, Some(_), _) => bail!("{path}.for needs every: the time between two jobs"),
        };
        if is_poisson && every.is_none() {
            bail!("{path}.arrival needs every: the mean time between two jobs");
        }
        let mut draw = Draw::new(self.seed, &[9, self.workload.templates().len() as u64]);
        let (mut at, mut arrivals) = (0.0, Vec::new());
        for _ in 0..count {
            let offset = millis(at);
            if lasts.is_some_and(|lasts| offset >= lasts) {
                break;
            }
            arrivals.push(Timestamp(first + offset));
            let every = every.unwrap_or(0.0);
            at += if is_poisson { draw.exponential(every) } else { every };
        }
        Ok(arrivals)
    }

    fn dependencies(&self, given: &mut Fields) -> Result<Vec<After>> {
        let Some(place) = given.take("dependsOn") else { return Ok(Vec::new()) };
        place.list()?.into_iter().map(|place| self.dependency(place)).collect()
    }

    /// `other`, `{job: other, type: N_TO_N}` or `{type: SEQUENTIAL}`.
    fn dependency(&self, place: Place) -> Result<After> {
        let path = place.path.clone();
        let (name, kind) = match place.value {
            Value::String(name) => (Some(name), None),
            _ => {
                let mut fields = place.fields()?;
                let name =
                    fields.take("job").or_else(|| fields.take("jobId")).map(Place::text).transpose()?;
                let kind = fields.take("type").map(Place::text).transpose()?;
                fields.finish()?;
                (name, kind)
            }
        };
        let kind = match kind.as_deref() {
            None => AfterKind::Success,
            Some("N_TO_N") => AfterKind::NToN,
            Some("AFTER_ANY") => AfterKind::End,
            Some("SEQUENTIAL") => AfterKind::Sequential,
            Some(_) => bail!("{path}.type is N_TO_N, SEQUENTIAL or AFTER_ANY"),
        };
        if kind == AfterKind::Sequential {
            return Ok(After { template: 0, kind });
        }
        let name = name.ok_or_else(|| anyhow!("{path}.job is required: the name of a job above"))?;
        let template = self.names.get(&name).copied();
        let template = template.ok_or_else(|| anyhow!("{path}: there is no job {name} above"))?;
        Ok(After { template, kind })
    }
}

fn behaviour(given: &mut Fields) -> Result<Behaviour> {
    let mut behaviour = Behaviour::default();
    if let Some(place) = given.take("runTime") {
        behaviour.run_time = place.distribution(Place::seconds)?;
    } else {
        bail!("{}.runTime is required: seconds, a duration, or a distribution", given.path);
    }
    if let Some(place) = given.take("failureProbability") {
        behaviour.failure_probability = place.probability()?;
    }
    if let Some(place) = given.take("exitCode") {
        behaviour.exit_code = i32::try_from(place.whole(255)?).unwrap_or(1);
    }
    behaviour.memory_used =
        given.take("memoryUsed").map(|place| place.distribution(Place::amount)).transpose()?;
    Ok(behaviour)
}

fn implicit_definition(name: &str, is_fargate: bool) -> Value {
    let requirements = json!([{ "type": "VCPU", "value": "1" }, { "type": "MEMORY", "value": "2048" }]);
    let mut container = json!({ "image": "host", "resourceRequirements": requirements });
    let mut definition = json!({ "jobDefinitionName": name, "type": "container" });
    if is_fargate {
        container["executionRoleArn"] = json!("arn:aws:iam::000000000000:role/simulated");
        definition["platformCapabilities"] = json!(["FARGATE"]);
    }
    definition["containerProperties"] = container;
    definition
}

/// Fixed, for what takes a while in the data of others.
pub(super) fn fixed_seconds(milliseconds: u64) -> Distribution {
    #[expect(clippy::cast_precision_loss, reason = "no run takes 2^52 ms")]
    let seconds = milliseconds as f64 / 1000.0;
    Distribution::Fixed(seconds)
}
