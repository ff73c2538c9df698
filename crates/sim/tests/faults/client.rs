//! Clients: which calls they make, and what they were told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fornada_core::arn::Arn;
use fornada_core::id::{JobId, Member, Uuid};
use fornada_core::instance::Market;
use fornada_core::job::JobStatus;
use fornada_core::job::depends_on::Dependency;
use fornada_core::job::retry::{EvaluateOnExit, RetryAction, RetryStrategy};
use fornada_core::resource::Status;
use fornada_core::resource::compute_environment::{self as ce, ComputeEnvironment};
use fornada_core::resource::consumable_resource::Change;
use fornada_core::resource::job_queue::{JobQueue, TimeLimit};
use fornada_core::resource::quota_share::{QuotaShare, QuotaShareUpdate, Sharing};
use fornada_core::resource::scheduling_policy::Kind;
use fornada_core::resource::tags::Tags;
use fornada_core::scale::{AllocationStrategy, Scaling};
use fornada_core::service_job::TrainingJob;
use fornada_core::service_job::capacity::{CapacityLimit, Instances};
use fornada_core::service_job::submit::ServiceSubmission;
use fornada_core::text::Text;
use fornada_core::time::Timestamp;

use crate::build::{
    consumable_arn, definition, environment, environment_arn, fair_share, job, multinode, policy_arn, queue,
    queue_arn, quota_share, scope, tags,
};
use crate::calls::Call;
use crate::dice::Dice;
use crate::plan::Plan;

pub const PLAIN: [&str; 3] = ["ce-a", "ce-b", "ce-c"];
pub const FLEETS: [&str; 2] = ["fleet-a", "fleet-b"];
/// Container queues: two FIFO, one fair-share, one that is not there at first.
pub const QUEUES: [&str; 4] = ["q", "low", "fair", "late"];
pub const CONSUMABLES: [&str; 2] = ["licence", "credit"];
/// Only ever added to, each time with a token of its own.
pub const COUNTER: &str = "counter";
pub const TRAINING: &str = "training";
pub const UNITS: [&str; 2] = ["ml.a", "ml.b"];
pub const SHARES: [&str; 3] = ["blue", "green", "red"];

/// A job that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub id: Uuid,
    /// Children or nodes; 0 for a single job.
    pub size: u32,
    pub is_array: bool,
}

#[derive(Default)]
pub struct Client {
    pub jobs: Vec<Known>,
    pub training: Vec<Uuid>,
    /// The latest that was read of each job.
    pub seen: BTreeMap<JobId, (JobStatus, usize)>,
    /// Tokens of changes of [`COUNTER`]: all, and those that were acknowledged.
    pub tokens: BTreeSet<Text>,
    pub acknowledged: BTreeSet<Text>,
    numbers: u64,
}

pub fn service_environment_arn() -> Arn {
    scope().resolve("service-environment", "se")
}

pub fn share_arn(name: &str) -> Arn {
    format!("{}/quota-share/{name}", queue_arn(TRAINING)).into()
}

pub fn limits(a: u32, b: u32) -> Vec<CapacityLimit> {
    UNITS.iter().zip([a, b]).map(|(&unit, max)| CapacityLimit { unit: unit.into(), max }).collect()
}

fn fleet(name: &str, dice: &mut Dice) -> ce::Specification {
    let (market, strategy) = dice.pick(&[
        (Market::OnDemand, AllocationStrategy::BestFit),
        (Market::OnDemand, AllocationStrategy::BestFitProgressive),
        (Market::Spot, AllocationStrategy::SpotCapacityOptimized),
        (Market::Spot, AllocationStrategy::SpotPriceCapacityOptimized),
    ]);
    let min_vcpus = dice.pick(&[0, 0, 2]);
    let scaling = Scaling {
        market,
        strategy,
        instance_types: ["m6i.large", "c6i.2xlarge", "g4dn.xlarge"].map(Text::from).into(),
        min_vcpus,
        desired_vcpus: min_vcpus,
        bid_percentage: None,
        scale_down_delay_minutes: dice.chance(0.3).then_some(20),
        terminate_jobs_on_update: dice.chance(0.5),
        job_execution_timeout_minutes: 30,
        generation: 0,
    };
    ce::Specification { scaling: Some(Box::new(scaling)), ..environment(name).max_vcpus(16).0 }
}

/// What there is before the faults begin.
pub fn furniture(plan: &Plan, dice: &mut Dice) -> Vec<Vec<Call>> {
    let mut first = vec![
        Call::Register("d", Box::new(definition())),
        Call::Register("2-nodes", Box::new(multinode(2, 1))),
        Call::Register("3-nodes", Box::new(multinode(3, 0))),
        Call::CreateConsumable(consumable_arn("licence"), true, 3),
        Call::CreateConsumable(consumable_arn("credit"), false, 40),
        Call::CreateConsumable(consumable_arn(COUNTER), true, 0),
        Call::CreatePolicy(fair_share("p", &[("a", 5_000)])),
        Call::CreatePolicy(quota_share("quota")),
    ];
    first.extend(PLAIN.map(|name| Call::CreateEnvironment(environment(name).max_vcpus(dice.small(2, 12)).0)));
    first.extend(FLEETS.map(|name| Call::CreateEnvironment(fleet(name, dice))));
    let mut second = Vec::new();
    let limit = TimeLimit { reason: "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY".into(), max_seconds: 600 };
    for (name, mut given) in [
        ("q", queue("q").priority(5)),
        ("low", queue("low").priority(1)),
        ("fair", queue("fair").priority(3).policy("p")),
    ] {
        given.0.environments = any_environments(plan, dice);
        given.0.time_limits = (name == "low").then(|| vec![limit.clone()]);
        second.push(Call::CreateQueue(given.0));
    }
    let mut third = Vec::new();
    if plan.service {
        let capacity = if dice.chance(0.5) {
            limits(6, 3)
        } else {
            vec![CapacityLimit { unit: "NUM_INSTANCES".into(), max: 5 }]
        };
        let has_shares = capacity.len() > 1;
        first.push(Call::CreateServiceEnvironment(service_environment_arn(), capacity));
        let mut given = queue(TRAINING);
        given.0.service_environment = Some(service_environment_arn());
        given.0.scheduling_policy = has_shares.then(|| policy_arn("quota"));
        second.push(Call::CreateQueue(given.0));
        if has_shares {
            third.extend(SHARES.map(|name| create_share(name, dice)));
        }
    }
    vec![first, second, third]
}

/// One to three, in any order.
fn any_environments(plan: &Plan, dice: &mut Dice) -> Vec<Arn> {
    let mut names: Vec<&str> = PLAIN.to_vec();
    if plan.scale {
        names.extend(FLEETS);
    }
    let count = 1 + dice.index(3);
    (0..count).map(|_| environment_arn(names.remove(dice.index(names.len())))).collect()
}

fn create_share(name: &str, dice: &mut Dice) -> Call {
    Call::CreateShare(Box::new(QuotaShare {
        arn: share_arn(name),
        queue: queue_arn(TRAINING),
        enabled: true,
        status: Status::Creating,
        limits: limits(2, 1),
        sharing: any_sharing(dice),
        in_share_preemption: dice.chance(0.5),
        tags: Tags::new(),
        created_at: Timestamp::default(),
    }))
}

fn any_sharing(dice: &mut Dice) -> Sharing {
    dice.pick(&[
        Sharing::Reserve,
        Sharing::Lend,
        Sharing::LendAndBorrow(None),
        Sharing::LendAndBorrow(Some(50)),
    ])
}

impl Client {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub fn next_call(&mut self, plan: &Plan, dice: &mut Dice) -> Call {
        match dice.below(100) {
            0..38 => self.submit(plan, dice),
            38..48 if plan.service => self.train(dice),
            38..58 => self.about_jobs(dice),
            58..70 => self.describe(dice),
            70..80 => self.about_environments(plan, dice),
            80..88 => self.about_queues(plan, dice),
            88..94 => self.about_consumables(dice),
            _ if plan.service && dice.chance(0.7) => self.about_services(dice),
            _ => self.about_the_rest(dice),
        }
    }

    fn submit(&mut self, plan: &Plan, dice: &mut Dice) -> Call {
        let mut submit = job("j").queue(dice.pick(&QUEUES));
        if submit.0.queue.as_str() == "fair" {
            submit = submit.share(dice.pick(&["a", "b"])).priority(dice.small(0, 3));
        }
        submit = match dice.below(10) {
            0..2 => submit.definition(dice.pick(&["2-nodes", "3-nodes"])),
            2..6 => {
                let size = if dice.chance(0.1) { 30 } else { dice.small(2, 6) };
                submit.vcpus(dice.small(1, 2)).array(size)
            }
            _ => submit.vcpus(dice.small(1, 4)),
        };
        if dice.chance(0.03) {
            submit = submit.with(|s| s.definition = "d".into()).gpus(1);
        }
        if dice.chance(0.4) {
            submit = submit.attempts(dice.small(2, 4));
            submit = submit.with(|s| s.retry = s.retry.take().map(|retry| with_rules(retry, dice)));
        }
        if dice.chance(0.25) {
            submit = submit.timeout(dice.small(1, 60).min(plan.longest / 1000 + 1));
        }
        if dice.chance(0.15) {
            submit = submit.needs(dice.pick(&CONSUMABLES), dice.between(1, 3));
        }
        while dice.chance(0.25) && submit.0.depends_on.len() < 3 {
            let on = self.dependency(submit.0.array_size, dice);
            submit = submit.with(|s| s.depends_on.extend(on));
        }
        Call::Submit(Box::new(submit.0))
    }

    fn dependency(&self, size: Option<u32>, dice: &mut Dice) -> Option<Dependency> {
        if size.is_some() && dice.chance(0.3) {
            return Some(Dependency::Sequential);
        }
        let on = *self.jobs.get(dice.index(self.jobs.len()))?;
        let whole = JobId::whole(on.id);
        Some(match dice.below(4) {
            0 if on.is_array && size == Some(on.size) => Dependency::NToN(on.id),
            1 if on.is_array => Dependency::Job(JobId::child(on.id, dice.small(0, on.size - 1))),
            2 => Dependency::AfterAny(whole),
            _ => Dependency::Job(whole),
        })
    }

    /// A job, child or node that was acknowledged; the later ones more often.
    fn any_job(&self, dice: &mut Dice) -> Option<JobId> {
        let length = self.jobs.len();
        let from = if dice.chance(0.6) { length.saturating_sub(6) } else { 0 };
        let on = *self.jobs.get(from + dice.index(length - from))?;
        Some(match (on.size, dice.chance(0.5)) {
            (0, _) | (_, false) => JobId::whole(on.id),
            (size, true) if on.is_array => JobId::child(on.id, dice.small(0, size - 1)),
            (size, true) => JobId::node(on.id, dice.small(0, size - 1)),
        })
    }

    fn about_jobs(&mut self, dice: &mut Dice) -> Call {
        let Some(id) = self.any_job(dice) else { return Call::Register("d", Box::new(definition())) };
        match dice.below(10) {
            0..4 => Call::Cancel(id),
            4..9 => Call::Terminate(id),
            _ => {
                let arn = scope().arn("batch", &format!("job/{}", JobId::whole(id.job)));
                if dice.chance(0.5) {
                    Call::Tag(arn, tags([("k", "v")]))
                } else {
                    Call::Untag(arn, "k".into())
                }
            }
        }
    }

    fn describe(&mut self, dice: &mut Dice) -> Call {
        if !self.training.is_empty() && dice.chance(0.3) {
            return Call::DescribeTraining(self.training[dice.index(self.training.len())]);
        }
        self.any_job(dice).map_or(Call::Tag(queue_arn("q"), tags([("team", "x")])), Call::Describe)
    }

    fn about_environments(&mut self, plan: &Plan, dice: &mut Dice) -> Call {
        let name = if dice.chance(0.5) { dice.pick(&FLEETS) } else { dice.pick(&PLAIN) };
        let arn = environment_arn(name);
        match dice.below(10) {
            0 if FLEETS.contains(&name) => Call::CreateEnvironment(fleet(name, dice)),
            0 => Call::CreateEnvironment(environment(name).max_vcpus(dice.small(1, 12)).0),
            // The first one stays, for what waits at the end.
            1 | 2 if name != PLAIN[0] => Call::DeleteEnvironment(arn),
            _ => Call::UpdateEnvironment {
                arn,
                enabled: dice.chance(0.6),
                max_vcpus: dice.small(0, 20),
                min_vcpus: dice.pick(&[0, 0, 2]),
                replaces: plan.scale && dice.chance(0.2),
                terminates: dice.chance(0.5),
            },
        }
    }

    fn about_queues(&mut self, plan: &Plan, dice: &mut Dice) -> Call {
        let name = dice.pick(&QUEUES);
        let arn = queue_arn(name);
        match dice.below(10) {
            0..3 => {
                let mut given = if name == "fair" { queue(name).policy("p") } else { queue(name) };
                given.0.environments = any_environments(plan, dice);
                Call::CreateQueue(given.0)
            }
            3 | 4 => Call::DeleteQueue(arn),
            _ => Call::UpdateQueue {
                arn,
                enabled: dice.chance(0.6),
                priority: i32::try_from(dice.below(9)).expect("it is small"),
                environments: dice.chance(0.5).then(|| any_environments(plan, dice)),
            },
        }
    }

    fn about_consumables(&mut self, dice: &mut Dice) -> Call {
        if dice.chance(0.4) {
            let token: Text = format!("token-{}", self.number()).into();
            self.tokens.insert(token.clone());
            return Call::UpdateConsumable(consumable_arn(COUNTER), Change::Add(1), Some(token));
        }
        let name = dice.pick(&CONSUMABLES);
        let arn = consumable_arn(name);
        match dice.below(10) {
            0 => Call::DeleteConsumable(arn),
            1 | 2 => Call::CreateConsumable(arn, name == "licence", 3),
            3 | 4 => Call::UpdateConsumable(arn, Change::Add(3), None),
            5 => Call::UpdateConsumable(arn, Change::Remove(1), None),
            _ => Call::UpdateConsumable(arn, Change::Set(dice.between(0, 6)), None),
        }
    }

    fn train(&mut self, dice: &mut Dice) -> Call {
        let need = [dice.small(0, 2), dice.small(0, 1)];
        let need = if need == [0, 0] { [1, 0] } else { need };
        let instances =
            Instances::new(UNITS.iter().zip(need).filter(|(_, n)| *n > 0).map(|(&unit, n)| (unit.into(), n)));
        Call::Train(Box::new(ServiceSubmission {
            name: "fit".into(),
            queue: TRAINING.into(),
            payload: "{}".into(),
            training: TrainingJob {
                image: "host".into(),
                command: vec!["train".into()],
                instances,
                max_runtime_seconds: dice.chance(0.2).then(|| dice.small(1, 30)),
                ..TrainingJob::default()
            },
            retry: dice
                .chance(0.4)
                .then(|| RetryStrategy { attempts: dice.small(1, 3), evaluate_on_exit: Vec::new() }),
            timeout_seconds: dice.chance(0.2).then(|| dice.small(1, 30)),
            client_token: Some(format!("token-{}", self.number()).into()),
            quota_share: dice.chance(0.6).then(|| dice.pick(&SHARES).into()),
            scheduling_priority: dice.chance(0.5).then(|| dice.small(0, 3)),
            preemption_retries: dice.chance(0.3).then(|| i32::try_from(dice.below(3)).expect("it is small")),
            ..ServiceSubmission::default()
        }))
    }

    fn about_services(&mut self, dice: &mut Dice) -> Call {
        let share = dice.pick(&SHARES);
        let some_training = self.training.get(dice.index(self.training.len())).copied();
        match (dice.below(10), some_training) {
            (0..3, Some(id)) => Call::TerminateTraining(id),
            (3 | 4, Some(id)) => Call::Prioritise(id, dice.small(0, 3)),
            (5, _) => create_share(share, dice),
            (6, _) => Call::DeleteShare(share_arn(share)),
            (7, _) => {
                let limits = limits(dice.small(2, 7), dice.small(1, 4));
                Call::UpdateServiceEnvironment(service_environment_arn(), dice.chance(0.8), limits)
            }
            (8, _) => Call::DeleteServiceEnvironment(service_environment_arn()),
            _ => {
                let update = QuotaShareUpdate {
                    enabled: Some(dice.chance(0.6)),
                    limits: dice.chance(0.4).then(|| limits(dice.small(1, 3), 1)),
                    sharing: dice.chance(0.5).then(|| any_sharing(dice)),
                    in_share_preemption: None,
                };
                Call::UpdateShare(share_arn(share), update)
            }
        }
    }

    fn about_the_rest(&mut self, dice: &mut Dice) -> Call {
        match dice.below(8) {
            0 => Call::Deregister(format!("d:{}", dice.below(4) + 1)),
            1 => Call::Register(dice.pick(&["d", "2-nodes"]), Box::new(definition())),
            2 => Call::Register("2-nodes", Box::new(multinode(2, dice.small(0, 1)))),
            3 => Call::DeletePolicy(policy_arn("p")),
            4 => Call::CreatePolicy(fair_share("p", &[])),
            5 => Call::Untag(queue_arn("q"), "team".into()),
            _ => {
                let mut policy = fair_share("p", &[("a", dice.small(1, 90_000))]);
                if let Kind::FairShare(fair) = &mut policy.kind {
                    fair.compute_reservation = dice.chance(0.5).then_some(40);
                    fair.decay_seconds = dice.chance(0.5).then_some(600);
                }
                Call::UpdatePolicy(policy)
            }
        }
    }

    /// Sets right whatever keeps jobs from ending.
    pub fn amends(&self, queues: &[Arc<JobQueue>], environments: &[Arc<ComputeEnvironment>]) -> Vec<Call> {
        let mut calls = Vec::new();
        let first = vec![environment_arn(PLAIN[0])];
        let is_right = |queue: &JobQueue| queue.enabled && queue.environments == first;
        let wrong = |queue: &&Arc<JobQueue>| queue.service_environment.is_none() && !is_right(queue);
        // Queues first: they take environments that are VALID only.
        for queue in queues.iter().filter(wrong) {
            let (arn, environments) = (queue.arn.clone(), Some(first.clone()));
            calls.push(Call::UpdateQueue { arn, enabled: true, priority: 1, environments });
        }
        let is_right = |ce: &ComputeEnvironment| {
            let least = ce.scaling.as_ref().map_or(0, |scaling| scaling.min_vcpus);
            ce.enabled && ce.max_vcpus == Some(64) && least == 0
        };
        for ce in environments.iter().filter(|ce| !is_right(ce)) {
            let arn = ce.arn.clone();
            let (replaces, terminates) = (false, false);
            calls.push(Call::UpdateEnvironment {
                arn,
                enabled: true,
                max_vcpus: 64,
                min_vcpus: 0,
                replaces,
                terminates,
            });
        }
        calls
    }

    /// More than enough of everything that jobs wait for.
    pub fn supplies(&self, plan: &Plan) -> Vec<Call> {
        let mut calls = Vec::new();
        for name in CONSUMABLES {
            calls.push(Call::CreateConsumable(consumable_arn(name), name == "licence", 1000));
            calls.push(Call::UpdateConsumable(consumable_arn(name), Change::Set(1000), None));
        }
        if plan.service {
            calls.push(Call::CreateServiceEnvironment(service_environment_arn(), limits(1000, 1000)));
            calls.push(Call::UpdateServiceEnvironment(service_environment_arn(), true, limits(1000, 1000)));
            for name in SHARES {
                let (enabled, limits, sharing) = (Some(true), Some(limits(100, 100)), Some(Sharing::Reserve));
                let update = QuotaShareUpdate { enabled, limits, sharing, in_share_preemption: Some(false) };
                calls.push(Call::UpdateShare(share_arn(name), update));
            }
        }
        calls
    }

    pub fn learn(&mut self, job: Known) {
        self.jobs.push(job);
    }

    /// Whether somebody may have been told of it.
    pub fn knows(&self, id: JobId) -> bool {
        let is_it = |known: &Known| known.id == id.job && (id.member == Member::Whole || known.size > 0);
        self.jobs.iter().any(is_it)
    }
}

fn with_rules(mut retry: RetryStrategy, dice: &mut Dice) -> RetryStrategy {
    let rule = |on_exit_code: Option<&str>, on_status_reason: Option<&str>, action| EvaluateOnExit {
        on_status_reason: on_status_reason.map(Text::from),
        on_reason: None,
        on_exit_code: on_exit_code.map(Text::from),
        action,
    };
    if dice.chance(0.5) {
        retry.evaluate_on_exit.push(rule(Some("13"), None, RetryAction::Exit));
    }
    if dice.chance(0.3) {
        retry.evaluate_on_exit.push(rule(None, Some("Host EC2*"), RetryAction::Retry));
        retry.evaluate_on_exit.push(rule(Some("*"), None, RetryAction::Exit));
    }
    retry
}
