//! The hypothetical part of a file: environments, policies, queues and definitions, created as a server would create them.

use anyhow::{Result, anyhow, bail};
use fornada_api::offline::{self, Kind};
use fornada_core::arn::Scope;
use fornada_core::attempt::Host;
use fornada_core::id::TaskId;
use fornada_core::quantity::Resources;
use fornada_core::scale::instance_type;
use fornada_core::state::{Settings, State};
use fornada_core::time::Timestamp;
use fornada_core::turn::Turn;
use fornada_sim::driver::Machine;
use serde_json::{Value, json};

use super::value::{Fields, Place, check_members};

/// Far more than any simulation asks for, and far from the end of the numbers.
const UNBOUNDED: Resources = Resources { milli_vcpus: 1 << 40, memory_mib: 1 << 40, gpus: 0 };

/// A state that is being set up.
pub(super) struct Setup {
    pub(super) state: State,
    pub(super) scope: Scope,
    pub(super) begin: Timestamp,
    /// Machines that are there by themselves.
    pub(super) machines: Vec<Machine>,
    /// Names of the queues, and whether each is of Fargate.
    pub(super) queues: Vec<(String, bool)>,
    fargate: Vec<String>,
    seed: u128,
}

impl Setup {
    /// Creates everything that the file names but its jobs.
    pub(super) fn read(file: &mut Fields, begin: Timestamp, settings: Settings) -> Result<Setup> {
        let scope = Scope { region: "us-east-1".into(), account: "000000000000".into() };
        let mut setup = Setup {
            state: State::default(),
            scope,
            begin,
            machines: Vec::new(),
            queues: Vec::new(),
            fargate: Vec::new(),
            seed: 0,
        };
        setup.state.configure(settings);
        let mut has_unmanaged = false;
        for place in list(file, "computeEnvironments")? {
            has_unmanaged |= setup.environment(place)?;
        }
        for place in list(file, "schedulingPolicies")? {
            setup.create(Kind::SchedulingPolicy, &place.path, place.value)?;
        }
        for place in list(file, "consumableResources")? {
            setup.create(Kind::ConsumableResource, &place.path, place.value)?;
        }
        setup.settle();
        for place in list(file, "jobQueues")? {
            setup.queue(place)?;
        }
        setup.settle();
        for place in list(file, "jobDefinitions")? {
            setup.definition(place)?;
        }
        setup.own_machines(file.take("unmanaged"), has_unmanaged)?;
        if setup.queues.is_empty() {
            bail!("jobQueues is required: jobs go to a queue");
        }
        Ok(setup)
    }

    /// Creates one resource.
    pub(super) fn create(&mut self, kind: Kind, path: &str, request: Value) -> Result<()> {
        check_members(path, kind.shape(), &request)?;
        self.seed += 1;
        let mut turn = Turn::begin(&mut self.state, self.begin, self.seed);
        let created = offline::create(&mut turn, &self.scope, kind, request);
        drop(turn.finish());
        created.map_err(|message| anyhow!("{path}: {message}"))
    }

    /// Lets what is being created become VALID.
    fn settle(&mut self) {
        while let Some(at) = self.state.next_timer().filter(|at| at.0 < self.begin.0 + 60_000) {
            self.begin = self.begin.max(at);
            self.seed += 1;
            drop(Turn::begin(&mut self.state, at, self.seed).finish());
        }
    }

    /// Creates an environment, with what does not matter to a simulation filled in; returns whether it is UNMANAGED.
    fn environment(&mut self, place: Place) -> Result<bool> {
        let mut given = place.fields()?;
        let is_unmanaged = given.get("type").and_then(Value::as_str) == Some("UNMANAGED");
        if is_unmanaged {
            given.default("serviceRole", json!("arn:aws:iam::000000000000:role/AWSBatchServiceRole"));
        } else {
            given.default("type", json!("MANAGED"));
            let mut resources = given.required("computeResources")?.fields()?;
            let kind = resources.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
            resources.default("subnets", json!(["subnet-00000000000000000"]));
            match kind.as_str() {
                "ECS_MANAGED_INSTANCES" => {
                    bail!(
                        "{}.type: environments of ECS managed instances cannot be simulated",
                        resources.path
                    )
                }
                "FARGATE" | "FARGATE_SPOT" => {
                    resources.default("securityGroupIds", json!(["sg-00000000000000000"]));
                    let name =
                        given.get("computeEnvironmentName").and_then(Value::as_str).unwrap_or_default();
                    self.fargate.push(name.to_owned());
                }
                _ => {
                    resources.default("minvCpus", json!(0));
                    resources.default("instanceTypes", json!(["optimal"]));
                    resources.default("instanceRole", json!("ecsInstanceRole"));
                    resources.default("securityGroupIds", json!(["sg-00000000000000000"]));
                }
            }
            given.default("computeResources", resources.rest());
        }
        let path = given.path.clone();
        self.create(Kind::ComputeEnvironment, &path, given.rest())?;
        Ok(is_unmanaged)
    }

    /// Creates a queue; its policy may be given by name, and its environments as a list of names.
    fn queue(&mut self, place: Place) -> Result<()> {
        let mut given = place.fields()?;
        given.default("priority", json!(1));
        if let Some(policy) = given.take("schedulingPolicyArn") {
            let arn = self.scope.resolve("scheduling-policy", &policy.text()?);
            given.default("schedulingPolicyArn", json!(arn.as_str()));
        }
        let mut is_fargate = false;
        if let Some(order) = given.take("computeEnvironmentOrder") {
            let mut full = Vec::new();
            for (index, entry) in order.list()?.into_iter().enumerate() {
                let entry = match entry.value {
                    Value::String(name) => json!({ "order": index + 1, "computeEnvironment": name }),
                    other => other,
                };
                is_fargate |= self.fargate.iter().any(|name| entry["computeEnvironment"] == name.as_str());
                full.push(entry);
            }
            given.default("computeEnvironmentOrder", Value::Array(full));
        }
        let name = given.get("jobQueueName").and_then(Value::as_str).unwrap_or_default().to_owned();
        let path = given.path.clone();
        self.create(Kind::JobQueue, &path, given.rest())?;
        self.queues.push((name, is_fargate));
        Ok(())
    }

    fn definition(&mut self, place: Place) -> Result<()> {
        let mut given = place.fields()?;
        given.default("type", json!("container"));
        let path = given.path.clone();
        self.create(Kind::JobDefinition, &path, given.rest())
    }

    /// The machines of UNMANAGED environments, or the one that stands for Fargate.
    fn own_machines(&mut self, given: Option<Place>, has_unmanaged: bool) -> Result<()> {
        let given = match given {
            Some(given) if !has_unmanaged => {
                return Err(given.wrong("is for environments of type UNMANAGED, and there is none"));
            }
            None if has_unmanaged => {
                bail!("unmanaged is required: it says which machines UNMANAGED environments have")
            }
            given => given,
        };
        if has_unmanaged && !self.fargate.is_empty() {
            bail!(
                "computeEnvironments: a simulation has environments of type UNMANAGED or of Fargate, not both"
            );
        }
        if !self.fargate.is_empty() {
            self.machine("Fargate", UNBOUNDED, true);
        }
        let groups = match given {
            Some(given) if given.value.is_array() => given.list()?,
            given => given.into_iter().collect(),
        };
        for group in groups {
            let mut group = group.fields()?;
            let count = group.take("instances").map_or(Ok(1), |count| count.whole(1_000_000))?;
            let (kind, capacity) = machine(&mut group)?;
            group.finish()?;
            (0..count).for_each(|_| self.machine(&kind, capacity, false));
        }
        Ok(())
    }

    fn machine(&mut self, kind: &str, capacity: Resources, unbounded: bool) {
        let host = Host {
            instance_id: format!("i-{:017x}", self.machines.len() + 1).into(),
            incarnation: TaskId(1),
            capacity,
            architecture: None,
        };
        self.machines.push(Machine { host, kind: kind.into(), unbounded });
    }
}

/// One machine: an instance type, or vCPUs, memory and GPUs.
fn machine(group: &mut Fields) -> Result<(String, Resources)> {
    if let Some(place) = group.take("instanceType") {
        let unknown = place.wrong("is an EC2 instance type, such as m6i.large");
        let name = place.text()?;
        let found = instance_type::find(&name).ok_or(unknown)?;
        return Ok((name, found.capacity()));
    }
    let vcpus = group.required("vcpus")?.whole(1_000_000)?;
    let memory_mib = group.required("memory")?.whole(1 << 40)?;
    let gpus = group.take("gpus").map_or(Ok(0), |gpus| gpus.whole(1_000_000))?;
    let gpus = u32::try_from(gpus).unwrap_or(u32::MAX);
    Ok(("unmanaged".to_owned(), Resources { milli_vcpus: vcpus * 1000, memory_mib, gpus }))
}

fn list(file: &mut Fields, name: &str) -> Result<Vec<Place>> {
    file.take(name).map_or(Ok(Vec::new()), Place::list)
}
