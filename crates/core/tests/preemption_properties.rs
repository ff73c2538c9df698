//! Whatever happens to a queue with quota shares: limits hold, nobody gives way in vain, and lenders get back their own.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use fornada_core::id::{JobId, Uuid};
use fornada_core::resource::quota_share::{QuotaShareUpdate, Sharing};
use fornada_core::service_job::capacity::Instances;
use fornada_core::service_job::submit::ServiceSubmission;
use fornada_core::service_job::{PreemptionKind, ServiceJob, ServiceJobStatus};
use proptest::prelude::*;

use common::build::quota_share;
use common::service::{QUEUE, limits, training};
use common::{Lost, World, queue_arn, scope};

const UNITS: [&str; 2] = ["ml.a", "ml.b"];
const SHARES: [(&str, Sharing, [u32; 2]); 4] = [
    ("blue", Sharing::LendAndBorrow(None), [3, 1]),
    ("green", Sharing::LendAndBorrow(Some(50)), [2, 1]),
    ("red", Sharing::Lend, [3, 1]),
    ("reserved", Sharing::Reserve, [1, 1]),
];

#[derive(Clone, Debug)]
enum Step {
    Train { share: usize, need: [u32; 2], priority: u32, retries: Option<i32> },
    Start(usize),
    End(usize, i32),
    Terminate(usize),
    Priority(usize, u32),
    Lower(usize, u32),
    Crash(u8),
    RestartMachine,
    Disconnect,
    Connect,
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let need = prop_oneof![3 => (1..4_u32).prop_map(|a| [a, 0]), 1 => (0..3_u32, 1..3_u32).prop_map(|(a, b)| [a, b])];
    let train = (0..SHARES.len(), need, 0..3_u32, prop_oneof![3 => Just(None), 1 => (0..3).prop_map(Some)]);
    prop_oneof![
        12 => train.prop_map(|(share, need, priority, retries)| Step::Train { share, need, priority, retries }),
        3 => any::<usize>().prop_map(Step::Start),
        5 => (any::<usize>(), 0..2).prop_map(|(which, code)| Step::End(which, code)),
        1 => any::<usize>().prop_map(Step::Terminate),
        2 => (any::<usize>(), 0..3_u32).prop_map(|(which, priority)| Step::Priority(which, priority)),
        1 => (0..SHARES.len(), 0..2_u32).prop_map(|(share, by)| Step::Lower(share, by)),
        1 => (0..2_u8).prop_map(Step::Crash),
        1 => Just(Step::RestartMachine),
        1 => Just(Step::Disconnect),
        2 => Just(Step::Connect),
        2 => Just(Step::Settle),
    ]
}

/// The world, and what is known of it without looking into it.
struct Queue {
    world: World,
    jobs: Vec<Uuid>,
    /// Own limits of each share.
    own: [[u32; 2]; 4],
}

type Held = BTreeMap<&'static str, [u64; 2]>;

impl Queue {
    fn new() -> Queue {
        let own = SHARES.map(|(_, _, own)| own);
        let sum = |unit: usize| own.iter().map(|own| own[unit]).sum();
        let mut world =
            World::with_service_policy(&[(UNITS[0], sum(0)), (UNITS[1], sum(1))], quota_share("p"));
        for (name, sharing, [a, b]) in SHARES {
            world.create_share(name, sharing, &[(UNITS[0], a), (UNITS[1], b)]);
            let in_share_preemption = Some(name != "red");
            world.update_share(name, QuotaShareUpdate { in_share_preemption, ..QuotaShareUpdate::default() });
        }
        Queue { world, jobs: Vec::new(), own }
    }

    fn jobs(&self) -> impl Iterator<Item = &ServiceJob> {
        self.jobs.iter().map(|&id| self.world.service_job(id))
    }

    /// What jobs that are placed hold, without those that are being stopped where `soon` is said.
    fn held(&self, soon: bool) -> Held {
        let mut held: Held = SHARES.iter().map(|&(name, ..)| (name, [0; 2])).collect();
        let placed = self.jobs().filter(|job| job.status.is_placed() && !(soon && stops(job)));
        placed.for_each(|job| add(&mut held, job));
        held
    }

    /// The rules of quota management, said once more.
    fn allow(&self, held: &Held) -> bool {
        (0..UNITS.len()).all(|unit| {
            let (mut borrowed, mut idle) = (0, 0);
            let each = SHARES.iter().zip(self.own).all(|(&(name, sharing, _), own)| {
                let (held, own) = (held[name][unit], u64::from(own[unit]));
                let (beyond, left) = (held.saturating_sub(own), own.saturating_sub(held));
                borrowed += beyond;
                idle += if sharing == Sharing::Reserve { 0 } else { left };
                match sharing {
                    Sharing::Reserve | Sharing::Lend => beyond == 0,
                    Sharing::LendAndBorrow(percent) => {
                        percent.is_none_or(|percent| beyond * 100 <= own * u64::from(percent))
                    }
                }
            });
            each && borrowed <= idle
        })
    }

    fn stopped(&self) -> BTreeSet<Uuid> {
        self.jobs().filter(|job| stops(job)).map(|job| job.id).collect()
    }

    fn placed(&self) -> BTreeSet<Uuid> {
        self.jobs().filter(|job| job.placement.is_some()).map(|job| job.id).collect()
    }

    fn reclaiming(&self) -> BTreeSet<Uuid> {
        let waits =
            |job: &&ServiceJob| job.status == ServiceJobStatus::Runnable && job.preempts_since.is_some();
        self.jobs().filter(waits).map(|job| job.id).collect()
    }

    fn apply(&mut self, step: &Step) {
        let live = self.world.machine.all_live();
        let pick = |which: usize| live.get(which % live.len().max(1)).copied();
        let any = |which: usize| self.jobs.get(which % self.jobs.len().max(1)).copied();
        let world = &mut self.world;
        match *step {
            Step::Train { share, need, priority, retries } => {
                let mut submission = ServiceSubmission {
                    quota_share: Some(SHARES[share].0.into()),
                    scheduling_priority: Some(priority),
                    preemption_retries: retries,
                    ..training(UNITS[0], 1)
                };
                submission.training.instances = Instances::new(
                    UNITS.iter().zip(need).filter(|(_, n)| *n > 0).map(|(&unit, n)| (unit.into(), n)),
                );
                self.jobs.push(world.train(submission));
            }
            Step::Start(which) => pick(which).into_iter().for_each(|id| world.start(id)),
            Step::End(which, code) => pick(which).into_iter().for_each(|id| world.exit(id, code)),
            Step::Terminate(which) => {
                any(which).into_iter().for_each(|id| world.terminate_training(id, "enough"))
            }
            Step::Priority(which, priority) => {
                if let Some(id) = any(which).filter(|&id| !world.service_status(id).is_terminal()) {
                    world.turn(|turn| turn.update_service_job(&scope(), id, priority)).expect("it is there");
                }
            }
            Step::Lower(share, by) => {
                let (name, _, [a, b]) = SHARES[share];
                let own = [(a - by).max(1), b];
                self.own[share] = own;
                let limits = Some(limits(&[(UNITS[0], own[0]), (UNITS[1], own[1])]));
                world.update_share(name, QuotaShareUpdate { limits, ..QuotaShareUpdate::default() });
            }
            Step::Crash(how) => {
                let before: Vec<ServiceJob> = self.jobs().cloned().collect();
                let lost = if how == 0 { Lost::Nothing } else { Lost::Actions };
                self.world.crash_during(lost, |_| ());
                assert!(self.jobs().eq(&before), "recovered jobs are as they were");
            }
            Step::RestartMachine => world.restart_machine(),
            Step::Disconnect => world.disconnect(),
            Step::Connect => world.connect(),
            Step::Settle => self.settle(),
        }
    }

    /// Everything that is being stopped ends, and nothing else.
    fn settle(&mut self) {
        self.world.connect();
        let mut rounds = 0;
        loop {
            let stopped = self.stopped();
            if stopped.is_empty() {
                break;
            }
            for id in stopped {
                assert!(
                    self.world.machine.is_stopping(JobId::whole(id)),
                    "{id} is to be stopped, but nobody was told"
                );
                self.world.end(id, 143);
            }
            rounds += 1;
            assert!(rounds <= self.jobs.len(), "capacity goes to and fro");
        }
        let held = self.held(false);
        let front = self
            .world
            .state
            .service_queue_snapshot(&queue_arn(QUEUE))
            .expect("the queue is there")
            .front_of_shares
            .expect("it is there");
        for (&(name, ..), own) in SHARES.iter().zip(self.own) {
            let Some(job) = &front[name] else { continue };
            let mut after = held.clone();
            add(&mut after, job);
            let is_own = (0..UNITS.len()).all(|unit| {
                after[name][unit] <= u64::from(own[unit]) || after[name][unit] == held[name][unit]
            });
            assert!(!is_own, "{name} waits for what is its own");
            assert!(!self.allow(&after), "{name} waits, though there is room");
        }
    }
}

fn stops(job: &ServiceJob) -> bool {
    job.placement
        .as_ref()
        .is_some_and(|placement| placement.stopping.is_some() || placement.preemption.is_some())
}

fn add(held: &mut Held, job: &ServiceJob) {
    let held = held.get_mut(job.quota_share.as_deref().expect("it draws on a share")).expect("it is there");
    held.iter_mut().zip(UNITS).for_each(|(held, unit)| *held += job.training.instances.in_unit(unit));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn limits_hold_and_nobody_gives_way_in_vain(steps in proptest::collection::vec(step(), 1..60)) {
        let mut queue = Queue::new();
        for step in steps {
            queue.world.now += 1;
            let (within, stopped, reclaiming) = (queue.allow(&queue.held(false)), queue.stopped(), queue.reclaiming());
            let placed = queue.placed();
            queue.apply(&step);
            let lowered = matches!(step, Step::Lower(..));
            prop_assert!(!within || lowered || queue.allow(&queue.held(false)), "more is held than may be");

            if lowered || matches!(step, Step::Settle) || !within {
                continue;
            }
            let victims: Vec<_> = queue.stopped().difference(&stopped).copied().collect();
            let kind = |id: &Uuid| queue.world.service_job(*id).placement.as_ref()?.preemption;
            let kinds: Vec<PreemptionKind> = victims.iter().filter_map(kind).map(|preemption| preemption.kind).collect();
            let winners: Vec<_> = queue.reclaiming().difference(&reclaiming).copied().collect();
            let mut after = queue.held(true);
            winners.iter().for_each(|&id| add(&mut after, queue.world.service_job(id)));
            prop_assert!(winners.is_empty() || queue.allow(&after), "those who let others stop will fit");
            let again = queue.reclaiming().intersection(&reclaiming).count();
            // Or has it by now: what was on its way to another, who gets what comes back.
            let starts = queue.placed().difference(&placed).count();
            prop_assert!(kinds.is_empty() || winners.len() + again + starts > 0, "somebody gets it");
            // Where it is clear who is stopped for whom: one less would not do.
            let is_clear = stopped.is_empty() && winners.len() == 1 && again == 0;
            if is_clear && kinds.len() == victims.len() && kinds.iter().all(|kind| *kind == kinds[0]) {
                for victim in &victims {
                    let mut without = after.clone();
                    add(&mut without, queue.world.service_job(*victim));
                    prop_assert!(!queue.allow(&without), "{victim} gives way in vain");
                }
            }
        }
        queue.settle();
        queue.world.run_everything();
        for job in queue.jobs() {
            let never = job.status_reason.as_deref().is_some_and(|reason| reason.starts_with("MISCONFIGURATION:"));
            prop_assert!(job.status.is_terminal() || never, "{} is {}", job.id, job.status);
        }
        prop_assert_eq!(queue.world.state.running_attempts(), 0);
    }
}
