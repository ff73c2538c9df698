//! Builders with defaults that suit most tests: `job("a").vcpus(2).after([b]).array(8).attempts(3)`.

use fornada_core::arn::{Arn, Scope};
use fornada_core::container::{ContainerOverrides, ContainerTemplate, Requirements};
use fornada_core::id::JobId;
use fornada_core::job::depends_on::Dependency;
use fornada_core::job::retry::{EvaluateOnExit, RetryAction, RetryStrategy};
use fornada_core::job::submit::Submission;
use fornada_core::job::workload::Overrides;
use fornada_core::resource::compute_environment::{self as ce, Platform};
use fornada_core::resource::consumable_resource::Consumable;
use fornada_core::resource::job_definition::JobDefinition;
use fornada_core::resource::job_queue;
use fornada_core::resource::scheduling_policy::{self, FairShare, Kind};
use fornada_core::resource::tags::Tags;
use fornada_core::task::{NodeRange, NodesTemplate, TaskKind, TaskTemplate};
use fornada_core::text::Document;
use fornada_core::time::Timestamp;

pub fn scope() -> Scope {
    Scope { region: "us-east-1".into(), account: "000000000000".into() }
}

pub fn child(array: JobId, index: u32) -> JobId {
    JobId::child(array.job, index)
}

pub fn queue_arn(name: &str) -> Arn {
    scope().resolve("job-queue", name)
}

pub fn environment_arn(name: &str) -> Arn {
    scope().resolve("compute-environment", name)
}

pub fn policy_arn(name: &str) -> Arn {
    scope().resolve("scheduling-policy", name)
}

pub fn consumable_arn(name: &str) -> Arn {
    scope().resolve("consumable-resource", name)
}

pub fn tags<const N: usize>(pairs: [(&str, &str); N]) -> Tags {
    pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

/// A definition as its registrant gives it.
pub fn definition() -> JobDefinition {
    JobDefinition {
        arn: Arn::default(),
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

/// 1 vCPU, 1 MiB, command `run`.
pub fn container() -> ContainerTemplate {
    ContainerTemplate {
        image: "host".into(),
        command: vec!["run".into()],
        requirements: Requirements { milli_vcpus: Some(1000), memory_mib: Some(1), gpus: None },
        ..Default::default()
    }
}

/// A definition of this many nodes, led by node `main`: all alike.
pub fn multinode(num_nodes: u32, main_node: u32) -> JobDefinition {
    let task = TaskTemplate {
        kind: TaskKind::Container,
        containers: vec![container()],
        properties: Document::default(),
    };
    let range = NodeRange { target: "0:".into(), first: 0, last: None, task, consumables: None };
    let nodes = NodesTemplate { num_nodes, main_node, ranges: vec![range] };
    JobDefinition { container: None, nodes: Some(Box::new(nodes)), ..definition() }
}

#[derive(Clone, Debug)]
pub struct Submit(pub Submission);

/// One job of definition `d` in queue `q`.
pub fn job(name: &str) -> Submit {
    Submit(Submission { name: name.into(), queue: "q".into(), definition: "d".into(), ..Default::default() })
}

impl Submit {
    pub fn with(mut self, change: impl FnOnce(&mut Submission)) -> Self {
        change(&mut self.0);
        self
    }

    fn requires(self, change: impl FnOnce(&mut Requirements)) -> Self {
        self.with(|s| {
            if !matches!(s.overrides, Overrides::Container(_)) {
                s.overrides = Overrides::Container(ContainerOverrides::default());
            }
            let Overrides::Container(overrides) = &mut s.overrides else { unreachable!("just made") };
            change(&mut overrides.requirements);
        })
    }

    pub fn vcpus(self, vcpus: u32) -> Self {
        self.requires(|r| r.milli_vcpus = Some(u64::from(vcpus) * 1000))
    }

    pub fn memory_mib(self, mib: u64) -> Self {
        self.requires(|r| r.memory_mib = Some(mib))
    }

    pub fn gpus(self, gpus: u32) -> Self {
        self.requires(|r| r.gpus = Some(gpus))
    }

    pub fn definition(self, name: &str) -> Self {
        self.with(|s| s.definition = name.into())
    }

    pub fn queue(self, name: &str) -> Self {
        self.with(|s| s.queue = name.into())
    }

    pub fn array(self, size: u32) -> Self {
        self.with(|s| s.array_size = Some(size))
    }

    pub fn after(self, jobs: impl IntoIterator<Item = JobId>) -> Self {
        self.with(|s| s.depends_on.extend(jobs.into_iter().map(Dependency::Job)))
    }

    pub fn after_any(self, jobs: impl IntoIterator<Item = JobId>) -> Self {
        self.with(|s| s.depends_on.extend(jobs.into_iter().map(Dependency::AfterAny)))
    }

    pub fn n_to_n(self, array: JobId) -> Self {
        self.with(|s| s.depends_on.push(Dependency::NToN(array.job)))
    }

    pub fn sequential(self) -> Self {
        self.with(|s| s.depends_on.push(Dependency::Sequential))
    }

    pub fn attempts(self, attempts: u32) -> Self {
        self.with(|s| s.retry = Some(RetryStrategy { attempts, evaluate_on_exit: Vec::new() }))
    }

    /// After [`Submit::attempts`]: an exit code that is not worth another try.
    pub fn exit_on(self, exit_code: &str) -> Self {
        let rule = EvaluateOnExit {
            on_status_reason: None,
            on_reason: None,
            on_exit_code: Some(exit_code.into()),
            action: RetryAction::Exit,
        };
        self.with(|s| s.retry.get_or_insert_default().evaluate_on_exit.push(rule))
    }

    pub fn share(self, identifier: &str) -> Self {
        self.with(|s| s.share_identifier = Some(identifier.into()))
    }

    pub fn priority(self, priority: u32) -> Self {
        self.with(|s| s.scheduling_priority = Some(priority))
    }

    /// Needs so many of a consumable resource.
    pub fn needs(self, name: &str, quantity: u64) -> Self {
        self.with(|s| {
            let consumable = Consumable { arn: consumable_arn(name), quantity };
            s.consumables.get_or_insert_default().push(consumable);
        })
    }

    pub fn timeout(self, seconds: u32) -> Self {
        self.with(|s| s.timeout_seconds = Some(seconds))
    }
}

#[derive(Clone, Debug)]
pub struct Environment(pub ce::Specification, pub Tags);

/// ENABLED, of type EC2, with room for 256 vCPUs.
pub fn environment(name: &str) -> Environment {
    let given = ce::Specification {
        arn: environment_arn(name),
        platform: Platform::Ec2,
        enabled: true,
        max_vcpus: Some(256),
        scaling: None,
        document: Document::default(),
    };
    Environment(given, Tags::new())
}

impl Environment {
    pub fn max_vcpus(mut self, vcpus: u32) -> Self {
        self.0.max_vcpus = Some(vcpus);
        self
    }

    pub fn disabled(mut self) -> Self {
        self.0.enabled = false;
        self
    }

    pub fn fargate(mut self) -> Self {
        self.0.platform = Platform::Fargate;
        self
    }
}

#[derive(Clone, Debug)]
pub struct Queue(pub job_queue::Specification, pub Tags);

/// ENABLED, of priority 1, without environments.
pub fn queue(name: &str) -> Queue {
    let given = job_queue::Specification {
        arn: queue_arn(name),
        enabled: true,
        priority: 1,
        environments: Vec::new(),
        scheduling_policy: None,
        service_environment: None,
        time_limits: None,
        document: Document::default(),
    };
    Queue(given, Tags::new())
}

impl Queue {
    pub fn priority(mut self, priority: i32) -> Self {
        self.0.priority = priority;
        self
    }

    pub fn environments<const N: usize>(mut self, names: [&str; N]) -> Self {
        self.0.environments = names.map(environment_arn).into();
        self
    }

    pub fn disabled(mut self) -> Self {
        self.0.enabled = false;
        self
    }

    /// Gives up what is stuck for reasons with these codes for so many seconds.
    pub fn time_limits(mut self, limits: &[(&str, u32)]) -> Self {
        let limit = |&(reason, max_seconds): &(&str, u32)| job_queue::TimeLimit {
            reason: reason.into(),
            max_seconds,
        };
        self.0.time_limits = Some(limits.iter().map(limit).collect());
        self
    }

    pub fn policy(mut self, name: &str) -> Self {
        self.0.scheduling_policy = Some(policy_arn(name));
        self
    }
}

/// A fair-share policy with these weights, in ten-thousandths.
pub fn fair_share(name: &str, weights: &[(&str, u32)]) -> scheduling_policy::Specification {
    let weights = weights.iter().map(|&(share, weight)| (share.into(), weight)).collect();
    scheduling_policy::Specification {
        arn: policy_arn(name),
        kind: Kind::FairShare(FairShare { weights, ..FairShare::default() }),
        document: Document::default(),
    }
}

pub fn quota_share(name: &str) -> scheduling_policy::Specification {
    scheduling_policy::Specification { kind: Kind::QuotaShare, ..fair_share(name, &[]) }
}
