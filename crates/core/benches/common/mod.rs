//! A site that grows with its jobs: 1,000 shapes, and an instance for every 100 jobs, as large as 100 average jobs need.
#![allow(dead_code, unreachable_pub, reason = "shared by two benches, neither of which uses all of it")]

use fornada_core::arn::Scope;
use fornada_core::attempt::{Host, Observation};
use fornada_core::container::{ContainerOverrides, ContainerTemplate, Requirements};
use fornada_core::id::TaskId;
use fornada_core::job::submit::Submission;
use fornada_core::job::workload::Overrides;
use fornada_core::quantity::Resources;
use fornada_core::resource::compute_environment::{self, Platform};
use fornada_core::resource::job_definition::JobDefinition;
use fornada_core::resource::job_queue;
use fornada_core::resource::scheduling_policy::{self, FairShare, Kind};
use fornada_core::resource::tags::Tags;
use fornada_core::state::State;
use fornada_core::task::{NodeRange, NodesTemplate, TaskKind, TaskTemplate};
use fornada_core::text::Document;
use fornada_core::time::Timestamp;
use fornada_core::turn::{Decision, Turn};

pub const SHAPES: usize = 1000;
pub const SHARES: usize = 500;
pub const GANG: usize = 4;

/// Of [`SHAPES`] shapes: 1 to 4 vCPUs, and 1 to 250 steps of memory.
pub fn shape(number: usize) -> Requirements {
    let (vcpus, steps) = (number % 4 + 1, number / 4 % 250 + 1);
    Requirements { milli_vcpus: Some(1000 * vcpus as u64), memory_mib: Some(64 * steps as u64), gpus: None }
}

/// Room for 100 average jobs, and a third more, so that all find room.
const INSTANCE: Resources = Resources { milli_vcpus: 333_000, memory_mib: 1_070_000, gpus: 0 };

pub struct Site {
    pub state: State,
    now: u64,
    turns: u128,
}

pub fn scope() -> Scope {
    Scope { region: "us-east-1".into(), account: "000000000000".into() }
}

impl Site {
    /// Queues `fifo` and `fair` with one environment and no instances, definitions `single` and `gang`.
    pub fn new() -> Site {
        let mut site = Site { state: State::default(), now: 1_000_000_000, turns: 0 };
        let environment = compute_environment::Specification {
            arn: scope().resolve("compute-environment", "ce"),
            platform: Platform::Ec2,
            enabled: true,
            max_vcpus: None,
            scaling: None,
            document: Document::default(),
        };
        let policy = scheduling_policy::Specification {
            arn: scope().resolve("scheduling-policy", "policy"),
            kind: Kind::FairShare(FairShare::default()),
            document: Document::default(),
        };
        let queue = |name, policy| job_queue::Specification {
            arn: scope().resolve("job-queue", name),
            enabled: true,
            priority: 1,
            environments: vec![scope().resolve("compute-environment", "ce")],
            scheduling_policy: policy,
            service_environment: None,
            document: Document::default(),
        };
        let (fifo, fair) = (queue("fifo", None), queue("fair", Some(policy.arn.clone())));
        site.turn(|turn| {
            turn.create_compute_environment(environment, Tags::new()).expect("a new name");
            turn.create_scheduling_policy(policy, Tags::new()).expect("a new name");
            turn.register_job_definition(&scope(), "single", definition());
            turn.register_job_definition(&scope(), "gang", gang());
        });
        site.settle();
        site.turn(|turn| {
            turn.create_job_queue(fifo, Tags::new()).expect("a new name");
            turn.create_job_queue(fair, Tags::new()).expect("a new name");
        });
        site.settle();
        site
    }

    /// Lets what was created become VALID.
    fn settle(&mut self) {
        self.now += 60_000;
        self.turn(|_| ());
    }

    /// A turn, to its end.
    pub fn turn<R>(&mut self, decide: impl FnOnce(&mut Turn<'_>) -> R) -> (R, Decision) {
        self.now += 1;
        self.turns += 1;
        let mut turn = Turn::begin(&mut self.state, Timestamp(self.now), self.turns);
        let result = decide(&mut turn);
        (result, turn.finish())
    }

    /// Submits jobs, in turns of 10,000.
    pub fn submit(&mut self, jobs: impl IntoIterator<Item = Submission>) {
        let mut jobs = jobs.into_iter().peekable();
        while jobs.peek().is_some() {
            self.turn(|turn| {
                for job in jobs.by_ref().take(10_000) {
                    turn.submit_job(&scope(), job).expect("the job is sound");
                }
            });
        }
    }

    /// Instances for so many jobs. Nothing is placed there yet: the turn is left open for [`Site::assign`].
    pub fn connect_for(&mut self, jobs: usize) {
        self.turns += 1;
        let mut turn = Turn::begin(&mut self.state, Timestamp(self.now), self.turns);
        (0..jobs.div_ceil(100)).for_each(|number| connect(&mut turn, number, INSTANCE));
    }

    /// One pass; how many jobs and children got room.
    pub fn assign(&mut self) -> usize {
        self.state.assign(Timestamp(self.now)).len()
    }
}

pub fn connect(turn: &mut Turn<'_>, number: usize, capacity: Resources) {
    let instance_id = format!("i-{number:017x}").as_str().into();
    let host = Host { instance_id, incarnation: TaskId(1), capacity, architecture: None };
    turn.observe(Observation::Connected(host, Vec::new()));
}

fn container() -> ContainerTemplate {
    ContainerTemplate {
        image: "host".into(),
        command: vec!["true".into()],
        requirements: Requirements { milli_vcpus: Some(1000), memory_mib: Some(1024), gpus: None },
        ..Default::default()
    }
}

fn definition() -> JobDefinition {
    JobDefinition {
        arn: Default::default(),
        revision: 0,
        active: true,
        container: Some(container()),
        parameters: Default::default(),
        retry: None,
        timeout_seconds: None,
        propagate_tags: None,
        scheduling_priority: None,
        fargate: false,
        legacy_requirements: false,
        tags: Tags::new(),
        document: Document::default(),
        created_at: Timestamp::default(),
        container_properties: Document::default(),
        task: None,
        nodes: None,
        managed_instances: None,
        consumables: None,
        architecture: None,
    }
}

/// [`GANG`] nodes, all alike.
fn gang() -> JobDefinition {
    let task = TaskTemplate {
        kind: TaskKind::Container,
        containers: vec![container()],
        properties: Document::default(),
    };
    let range = NodeRange { target: "0:".into(), first: 0, last: None, task, consumables: None };
    let nodes = NodesTemplate {
        num_nodes: u32::try_from(GANG).expect("a gang is small"),
        main_node: 0,
        ranges: vec![range],
    };
    JobDefinition { container: None, nodes: Some(Box::new(nodes)), ..definition() }
}

/// A job as the definition has it.
pub fn plain(queue: &str) -> Submission {
    Submission {
        name: "bench".into(),
        queue: queue.into(),
        definition: "single".into(),
        ..Default::default()
    }
}

/// The same in another shape.
pub fn shaped(queue: &str, requirements: Requirements) -> Submission {
    let overrides = Overrides::Container(ContainerOverrides { requirements, ..Default::default() });
    Submission { overrides, ..plain(queue) }
}

/// The first `count` jobs of a FIFO queue: neighbours differ in shape.
pub fn fifo(count: usize) -> impl Iterator<Item = Submission> {
    (0..count).map(|n| shaped("fifo", shape(n * 7919 % SHAPES)))
}

/// The same in [`SHARES`] shares.
pub fn fair(count: usize) -> impl Iterator<Item = Submission> {
    (0..count).map(|n| Submission {
        share_identifier: Some(format!("share{}", n / 7 % SHARES).as_str().into()),
        ..shaped("fair", shape(n * 7919 % SHAPES))
    })
}
