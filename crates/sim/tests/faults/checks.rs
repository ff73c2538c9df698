//! What must always hold, said without looking into the engine.

use std::collections::BTreeMap;

use fornada_core::arn::Arn;
use fornada_core::attempt::{Action, Launch};
use fornada_core::id::{AttemptId, JobId, Member};
use fornada_core::instance::Managed;
use fornada_core::job::depends_on::Dependency;
use fornada_core::job::{Execution, JobStatus, Transition};
use fornada_core::quantity::Resources;
use fornada_core::record::{Change, Key, Record};
use fornada_core::resource::Status;
use fornada_core::resource::quota_share::{QuotaShare, Sharing};
use fornada_core::scale::instance_type;
use fornada_core::service_job::{ServiceJobStatus, ServiceTransition};
use fornada_core::state::State;

use crate::client::UNITS;
use crate::ledger::Ledger;

/// Whether a reader may see `to` after `from`: in one turn several moves may be made.
pub fn may_follow(from: JobStatus, to: JobStatus) -> bool {
    let mut reached = vec![from];
    let mut next = 0;
    while let Some(&status) = reached.get(next) {
        let moves = Transition::ALL.into_iter().filter_map(|transition| transition.from(status));
        let new: Vec<JobStatus> = moves.filter(|status| !reached.contains(status)).collect();
        reached.extend(new);
        next += 1;
    }
    reached.contains(&to)
}

/// The same for service jobs.
fn may_follow_in_service(from: ServiceJobStatus, to: ServiceJobStatus) -> bool {
    let mut reached = vec![from];
    let mut next = 0;
    while let Some(&status) = reached.get(next) {
        let moves = ServiceTransition::ALL.into_iter().filter_map(|transition| transition.from(status));
        let new: Vec<ServiceJobStatus> = moves.filter(|status| !reached.contains(status)).collect();
        reached.extend(new);
        next += 1;
    }
    reached.contains(&to)
}

/// What is durable changes: every move is legal, what has ended stays as it is, nothing is beyond its limit that was not before.
pub fn commit(ledger: &mut Ledger, changes: &[Change]) {
    for change in changes {
        check_change(ledger, change);
    }
    let before = Usage::of(ledger);
    changes.iter().for_each(|change| ledger.apply(change));
    Usage::of(ledger).check(&before, ledger);
}

fn check_change(ledger: &Ledger, change: &Change) {
    match change {
        Change::Put(Record::Job(job)) => {
            let id = JobId::whole(job.id);
            if let Some(before) = ledger.job(job.id) {
                check_move(id, &before.execution, &job.execution);
                assert_eq!(before.sequence, job.sequence, "RECORD: {id} has another place in the order");
            }
        }
        Change::Put(Record::Child(job, number, child)) => {
            let id = ledger.member(*job, *number);
            let is_settled = matches!(id.member, Member::Index(_)) || ledger.is_over(JobId::whole(*job));
            if let Some(before) = ledger.execution(id).filter(|_| is_settled) {
                check_move(id, before, child);
            }
        }
        Change::Put(Record::ServiceJob(job)) => {
            if let Some(before) = ledger.service_job(job.id) {
                let (from, to) = (before.status, job.status);
                assert!(
                    may_follow_in_service(from, to),
                    "STATUS: service job {} from {from} to {to}",
                    job.id
                );
                let is_same =
                    from == to && before.attempts == job.attempts && before.stopped_at == job.stopped_at;
                assert!(
                    !from.is_terminal() || is_same,
                    "FINAL: service job {} changed after its end",
                    job.id
                );
            }
        }
        Change::Delete(key @ (Key::Job(_) | Key::Child(..) | Key::ServiceJob(_))) => {
            panic!("RECORD: {key:?} is deleted")
        }
        Change::Put(_) | Change::Delete(_) => {}
    }
}

fn check_move(id: JobId, before: &Execution, after: &Execution) {
    let (from, to) = (before.status, after.status);
    assert!(may_follow(from, to), "STATUS: {id} from {from} to {to}");
    assert!(
        !from.is_terminal() || before == after,
        "FINAL: {id} changed after its end: {before:?}, {after:?}"
    );
    assert!(
        after.attempts.starts_with(&before.attempts),
        "ATTEMPTS: {id} lost an attempt: {before:?}, {after:?}"
    );
}

/// What is let out belongs to what is durable.
pub fn action(ledger: &Ledger, action: &Action) {
    match action {
        Action::Start(launch) => check_start(ledger, launch),
        Action::Stop(attempt) if ledger.current(attempt.job) == Some(*attempt) => {
            assert!(is_stopping(ledger, *attempt), "ACTION: {attempt} is stopped, and no record says why");
        }
        Action::Stop(_) => {}
        Action::Forget(attempt) => {
            let is_current = ledger.current(attempt.job) == Some(*attempt);
            let is_node = matches!(attempt.job.member, Member::Node(_)); // its place may be held for another start
            assert!(!is_current || is_node, "ACTION: {attempt} is forgotten before its end is durable");
        }
    }
}

/// An attempt that lives and was not told to stop need not be.
pub fn may_go_on(ledger: &Ledger, attempt: AttemptId) {
    assert_eq!(
        ledger.current(attempt.job),
        Some(attempt),
        "STOP: {attempt} lives, is over, and was not told to stop"
    );
    assert!(!is_stopping(ledger, attempt), "STOP: {attempt} is to be stopped, and was not told");
}

fn is_stopping(ledger: &Ledger, attempt: AttemptId) -> bool {
    match ledger.service_job(attempt.job.job) {
        Some(job) => job.placement.as_ref().is_some_and(|p| p.stopping.is_some() || p.preemption.is_some()),
        None => ledger.placement(attempt.job).is_some_and(|placement| placement.stopping.is_some()),
    }
}

/// The number of attempts of a job that have ended.
fn ended(ledger: &Ledger, id: JobId) -> usize {
    match ledger.service_job(id.job) {
        Some(job) => {
            let preempted = job.preemptions.as_ref().map_or(0, |all| all.count);
            job.attempts.len() + usize::try_from(preempted).expect("they are few")
        }
        None => ledger.execution(id).map_or(0, |execution| execution.attempts.len()),
    }
}

fn check_start(ledger: &Ledger, launch: &Launch) {
    let attempt = launch.attempt;
    if ledger.current(attempt.job) != Some(attempt) {
        // It may have ended within the same turn; then the machine knows of it.
        let is_past = ended(ledger, attempt.job) >= attempt.number as usize;
        assert!(is_past, "ACTION: {attempt} starts, and no record says so");
        return;
    }
    if let Some(placement) = ledger.placement(attempt.job) {
        assert_eq!(placement.task_id, launch.task_id, "ACTION: {attempt} starts as another task");
        assert_eq!(placement.instance_id, launch.instance_id, "ACTION: {attempt} starts elsewhere");
        check_dependencies(ledger, attempt.job);
    }
}

fn check_dependencies(ledger: &Ledger, id: JobId) {
    let Some(job) = ledger.job(id.job) else { return };
    let must = |on: JobId, ok: fn(JobStatus) -> bool| {
        let status = ledger.status(on).unwrap_or(JobStatus::Pending);
        assert!(ok(status), "DEPENDENCY: {id} starts while {on} is {status}");
    };
    let succeeded = |status| status == JobStatus::Succeeded;
    for dependency in &job.depends_on {
        match (*dependency, id.member) {
            (Dependency::Job(on), _) => must(on, succeeded),
            (Dependency::AfterAny(on), _) => must(on, JobStatus::is_terminal),
            (Dependency::NToN(on), Member::Index(index)) => must(JobId::child(on, index), succeeded),
            (Dependency::Sequential, Member::Index(index)) if index > 0 => {
                must(JobId::child(id.job, index - 1), succeeded);
            }
            (Dependency::NToN(_) | Dependency::Sequential, _) => {}
        }
    }
}

/// A machine takes an attempt: it is the one that the records want there.
pub fn accepted(ledger: &Ledger, attempt: AttemptId, machine: &str) {
    assert!(!ledger.is_over(attempt.job), "ENDED: a process of {attempt} starts, though its job has ended");
    assert_eq!(
        ledger.current(attempt.job),
        Some(attempt),
        "ENDED: a process of {attempt} starts, which is over"
    );
    let wanted = match ledger.service_job(attempt.job.job) {
        Some(job) => job.placement.as_ref().map(|placement| placement.instance_id.clone()),
        None => ledger.placement(attempt.job).map(|placement| placement.instance_id.clone()),
    };
    assert_eq!(wanted.as_deref(), Some(machine), "PLACE: {attempt} starts elsewhere");
}

/// What attempts hold.
#[derive(Default)]
struct Usage {
    environments: BTreeMap<Arn, Resources>,
    consumables: BTreeMap<Arn, u64>,
    services: BTreeMap<Arn, [u64; UNITS.len()]>,
    shares: BTreeMap<Arn, [u64; UNITS.len()]>,
}

impl Usage {
    fn of(ledger: &Ledger) -> Usage {
        let mut usage = Usage::default();
        for id in ledger.placed() {
            if let Some(job) = ledger.service_job(id.job) {
                let Some(placement) = &job.placement else { continue };
                let held = UNITS.map(|unit| job.training.instances.in_unit(unit));
                let accounts = [
                    usage.services.entry(placement.environment.clone()).or_default(),
                    usage.shares.entry(job.quota_share_arn().unwrap_or_default()).or_default(),
                ];
                for account in accounts {
                    account.iter_mut().zip(held).for_each(|(sum, held)| *sum += held);
                }
                continue;
            }
            let (Some(job), Some(placement)) = (ledger.job(id.job), ledger.placement(id)) else { continue };
            let resources = job.resources_of(id.member);
            usage.environments.entry(placement.compute_environment.clone()).or_default().reserve(&resources);
            for held in job.held_consumables(id.member) {
                *usage.consumables.entry(held.arn.clone()).or_default() += held.quantity;
            }
        }
        usage
    }

    /// Whoever has more than before has no more than it may.
    fn check(&self, before: &Usage, ledger: &Ledger) {
        for (arn, used) in &self.environments {
            let earlier = before.environments.get(arn).copied().unwrap_or_default();
            let Some(Record::ComputeEnvironment(ce)) = ledger.get(&Key::ComputeEnvironment(arn.clone()))
            else {
                panic!("BOOKS: {arn} is used, and does not exist");
            };
            let ceiling = match (ce.max_vcpus, &ce.scaling) {
                (None, _) => u64::MAX,
                (Some(max), None) => u64::from(max),
                // Its instances may be more, by less than one.
                (Some(max), Some(_)) => u64::from(max).max(fleet_vcpus(ledger, arn)),
            };
            let is_within =
                used.milli_vcpus <= ceiling.saturating_mul(1000) || used.milli_vcpus <= earlier.milli_vcpus;
            assert!(is_within, "BOOKS: {arn} uses {} milli-vCPUs of {ceiling} vCPUs", used.milli_vcpus);
        }
        for (arn, &held) in &self.consumables {
            let earlier = before.consumables.get(arn).copied().unwrap_or_default();
            if let Some(Record::ConsumableResource(resource)) =
                ledger.get(&Key::ConsumableResource(arn.clone()))
            {
                let is_within = !resource.replenishable || held <= resource.total || held <= earlier;
                assert!(is_within, "BOOKS: {held} of {arn} are held, of {}", resource.total);
            }
        }
        for (arn, held) in &self.services {
            let earlier = before.services.get(arn).copied().unwrap_or_default();
            let Some(Record::ServiceEnvironment(environment)) =
                ledger.get(&Key::ServiceEnvironment(arn.clone()))
            else {
                panic!("BOOKS: {arn} is used, and does not exist");
            };
            for limit in &environment.limits {
                let of = |held: [u64; UNITS.len()]| match UNITS.iter().position(|unit| *limit.unit == **unit)
                {
                    Some(unit) => held[unit],
                    None => held.iter().sum(),
                };
                let is_within = of(*held) <= u64::from(limit.max) || of(*held) <= of(earlier);
                assert!(is_within, "BOOKS: {arn} has {} of {limit:?}", of(*held));
            }
        }
        let shares: Vec<&QuotaShare> = ledger.records().filter_map(as_share).collect();
        let may_judge = shares.iter().all(|share| share.enabled && share.status == Status::Valid);
        if may_judge && allow(&shares, &before.shares) {
            assert!(
                allow(&shares, &self.shares),
                "BOOKS: quota shares hold more than they may: {:?}",
                self.shares
            );
        }
    }
}

fn as_share(record: &Record) -> Option<&QuotaShare> {
    if let Record::QuotaShare(share) = record { Some(share) } else { None }
}

/// The rules of quota management, said once more.
fn allow(shares: &[&QuotaShare], held: &BTreeMap<Arn, [u64; UNITS.len()]>) -> bool {
    (0..UNITS.len()).all(|unit| {
        let (mut borrowed, mut idle) = (0, 0);
        let each = shares.iter().all(|share| {
            let held = held.get(&share.arn).map_or(0, |held| held[unit]);
            let own = share.limits.iter().find(|limit| *limit.unit == *UNITS[unit]);
            let own = own.map_or(0, |limit| u64::from(limit.max));
            let (beyond, left) = (held.saturating_sub(own), own.saturating_sub(held));
            borrowed += beyond;
            idle += if share.sharing == Sharing::Reserve { 0 } else { left };
            match share.sharing {
                Sharing::Reserve | Sharing::Lend => beyond == 0,
                Sharing::LendAndBorrow(percent) => {
                    percent.is_none_or(|percent| beyond * 100 <= own * u64::from(percent))
                }
            }
        });
        each && borrowed <= idle
    })
}

/// vCPUs of the instances of an environment, coming and going ones too.
fn fleet_vcpus(ledger: &Ledger, environment: &Arn) -> u64 {
    let managed = ledger.records().filter_map(|record| match record {
        Record::Instance(instance) => instance.managed.as_deref(),
        _ => None,
    });
    let vcpus =
        |managed: &Managed| instance_type::find(&managed.instance_type).map_or(0, |found| found.vcpus.into());
    managed.filter(|managed| managed.compute_environment == *environment).map(vcpus).sum()
}

/// The state is what was committed. Jobs that have ended need not be in memory.
pub fn same(state: &State, ledger: &Ledger) {
    let mut found = 0;
    for record in ledger.records() {
        found += 1;
        let is_same = match record {
            Record::ComputeEnvironment(ce) => state.compute_environments().get(&ce.arn) == Some(ce),
            Record::JobQueue(queue) => state.job_queues().get(&queue.arn) == Some(queue),
            Record::JobDefinition(definition) => state.job_definition(&definition.arn) == Some(definition),
            Record::SchedulingPolicy(policy) => state.scheduling_policies().get(&policy.arn) == Some(policy),
            Record::ConsumableResource(resource) => {
                state.consumable_resources().get(&resource.arn) == Some(resource)
            }
            Record::ServiceEnvironment(it) => state.service_environments().get(&it.arn) == Some(it),
            Record::QuotaShare(share) => state.quota_shares().get(&share.arn) == Some(share),
            Record::ServiceJob(job) => {
                state.service_job(job.id).map_or(job.status.is_terminal(), |it| it == job)
            }
            Record::Job(job) => state.job(job.id).map_or(job.execution.status.is_terminal(), |it| it == job),
            Record::Child(job, number, child) => {
                let id = ledger.member(*job, *number);
                state.find(id).map_or(ledger.is_over(JobId::whole(*job)), |(_, it)| it == *child)
            }
            Record::Instance(instance) => state.instance_uses().any(|it| it.record == *instance),
            Record::Share(queue, share, _) => {
                state.share_usage(queue).iter().any(|usage| usage.identifier == *share)
            }
            Record::Event(event) => state.events().any(|it| it == event),
        };
        assert!(is_same, "STORE: the state differs from what is durable: {record:?}");
    }
    assert_eq!(found, ledger.len());
    let is_instance = |record: &&Record| matches!(record, Record::Instance(_));
    assert_eq!(
        state.instance_uses().count(),
        ledger.records().filter(is_instance).count(),
        "STORE: instances"
    );
    let resources = state.compute_environments().len()
        + state.job_queues().len()
        + state.scheduling_policies().len()
        + state.consumable_resources().len()
        + state.service_environments().len()
        + state.quota_shares().len();
    let is_resource = |record: &&Record| {
        matches!(
            record,
            Record::ComputeEnvironment(_)
                | Record::JobQueue(_)
                | Record::SchedulingPolicy(_)
                | Record::ConsumableResource(_)
                | Record::ServiceEnvironment(_)
                | Record::QuotaShare(_)
        )
    };
    assert_eq!(
        resources,
        ledger.records().filter(is_resource).count(),
        "STORE: resources that are not durable"
    );
    let events = ledger.records().filter(|record| matches!(record, Record::Event(_))).count();
    assert_eq!(state.events().count(), events, "STORE: events");
    let jobs = ledger.records().filter(|record| matches!(record, Record::Job(_))).count();
    assert!(state.job_counts().iter().sum::<u32>() as usize <= jobs, "STORE: jobs that are not durable");
}
