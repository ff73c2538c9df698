//! The end: the faults stop, what is broken is repaired, and everything must come to rest.

use std::sync::Arc;

use fornada_core::id::JobId;
use fornada_core::record::{Key, Record};
use fornada_core::text::Text;

use crate::build::consumable_arn;
use crate::checks;
use crate::client::COUNTER;
use crate::world::{Event, World};

/// Steps after which something is wrong.
const STEPS_MAX: u32 = 200_000;
/// Virtual time after which something is wrong: thirty days.
const PATIENCE: u64 = 30 * 24 * 3_600_000;

impl World<'_> {
    pub fn end(&mut self) {
        self.trace.note(self.now, format_args!("the faults stop"));
        self.plan.heal();
        self.door.open(|outside| {
            outside.is_full = false;
            outside.power = None;
        });
        // A clock that is behind what was decided by it would only take its time.
        self.clock_offset = self.clock_offset.max(7_200_000);
        if self.server.is_none() {
            self.boot();
            self.door.open(|outside| outside.power = None);
        }
        self.forget_calls();
        self.repair_machines();
        // An environment that is being changed takes no other change, and that may take as long as its jobs.
        for round in 0..40 {
            if !self.make_amends(round < 4) {
                break;
            }
            self.work_off(5000 << (round / 4));
        }
        self.come_to_rest();
        self.check_rest();
    }

    /// Whether there was anything to set right.
    fn make_amends(&mut self, all_else: bool) -> bool {
        let all = self.ledger.records();
        let (mut queues, mut environments) = (Vec::new(), Vec::new());
        for record in all {
            match record {
                Record::JobQueue(queue) => queues.push(Arc::clone(queue)),
                Record::ComputeEnvironment(ce) => environments.push(Arc::clone(ce)),
                _ => {}
            }
        }
        let mut calls = self.client.amends(&queues, &environments);
        if all_else {
            calls.extend(self.client.supplies(&self.plan));
        }
        let any = !calls.is_empty();
        calls.into_iter().for_each(|call| self.call(call));
        any
    }

    /// All machines are up, two of them large enough for anything.
    fn repair_machines(&mut self) {
        let names: Vec<Text> = self.machines.keys().cloned().collect();
        for name in names {
            let Some(machine) = self.machines.get(&name) else { continue };
            if machine.is_closing && machine.is_up {
                self.machine_is_gone(&name);
            }
            if self.machines.get(&name).is_some_and(|machine| !machine.is_up && !machine.is_managed) {
                self.later(1, Event::MachineRecovers(name.clone()));
            }
            self.later(2, Event::Connect(name));
        }
        self.add_machine(98, 32, 4);
        self.add_machine(99, 32, 4);
    }

    fn come_to_rest(&mut self) {
        let until = self.now + PATIENCE;
        for _ in 0..STEPS_MAX {
            self.set_clock();
            let may_settle = self.server.as_ref().is_some_and(|server| server.may_settle());
            let may_decide = self.server.as_ref().is_some_and(|server| server.may_decide());
            if !may_settle && !may_decide && self.next_time().is_none() {
                return;
            }
            assert!(self.now < until, "LIVENESS: not at rest after thirty days");
            self.step();
        }
        panic!("LIVENESS: not at rest after {STEPS_MAX} steps");
    }

    fn check_rest(&mut self) {
        let server = self.server.as_ref().expect("it stays");
        let state = server.state();
        state.check();
        checks::same(state, &self.ledger);
        self.told.rest(state.events_waiting());
        for record in self.ledger.records() {
            let unfinished = match record {
                Record::Job(job) if !job.execution.status.is_terminal() => Some(JobId::whole(job.id)),
                Record::Child(job, number, child) if !child.status.is_terminal() => {
                    Some(self.ledger.member(*job, *number))
                }
                Record::ServiceJob(job) if !job.status.is_terminal() => Some(JobId::whole(job.id)),
                _ => None,
            };
            if let Some(id) = unfinished {
                let why = state.explain(id, state.latest()).map(|it| it.summary);
                let environments: Vec<_> = state.compute_environments().values().collect();
                let queues: Vec<_> = state.job_queues().values().collect();
                panic!("LIVENESS: {id} has not ended: {why:?}, {record:?}, {queues:?}, {environments:?}");
            }
        }
        assert_eq!(state.running_attempts(), 0, "REST: attempts are booked");
        for instance in state.instance_uses() {
            assert_eq!(instance.used, Default::default(), "REST: {} is in use", instance.record.instance_id);
        }
        for arn in state.compute_environments().keys() {
            assert_eq!(state.environment_usage(arn), Default::default(), "REST: {arn} is in use");
        }
        for arn in state.service_environments().keys() {
            assert_eq!(state.service_environment_usage(arn).total(), 0, "REST: {arn} is in use");
        }
        for resource in state.consumable_resources().values() {
            assert_eq!(state.consumables_in_use(resource), 0, "REST: {} is held", resource.arn);
        }
        for (name, machine) in &self.machines {
            let known: Vec<_> = machine.known().collect();
            assert!(known.is_empty(), "REST: {name} still knows {known:?}");
        }
        assert!(self.live.is_empty(), "REST: processes live: {:?}", self.live);
        let is_instance = |record: &&Record| matches!(record, Record::Instance(it) if it.managed.is_some());
        let known: Vec<&Record> = self.ledger.records().filter(is_instance).collect();
        let live = self.cloud.live();
        assert!(
            live.is_empty() && known.is_empty(),
            "REST: in the cloud are left {live:?}; records: {known:?}"
        );
        for known in &self.client.jobs {
            assert!(self.ledger.job(known.id).is_some(), "ACKNOWLEDGED: {} is gone", known.id);
        }
        for id in &self.client.training {
            assert!(self.ledger.service_job(*id).is_some(), "ACKNOWLEDGED: {id} is gone");
        }
        self.check_tokens();
    }

    /// A call that was made again with its token had its effect once.
    fn check_tokens(&self) {
        let mut tokens: Vec<&Text> = self
            .ledger
            .records()
            .filter_map(|record| match record {
                Record::ServiceJob(job) => job.client_token.as_ref(),
                _ => None,
            })
            .collect();
        let jobs = tokens.len();
        tokens.sort_unstable();
        tokens.dedup();
        assert_eq!(tokens.len(), jobs, "TOKEN: two service jobs of one token");
        let counter = self.ledger.get(&Key::ConsumableResource(consumable_arn(COUNTER)));
        let Some(Record::ConsumableResource(counter)) = counter else { panic!("the counter stays") };
        let (least, most) = (self.client.acknowledged.len() as u64, self.client.tokens.len() as u64);
        let total = counter.total;
        assert!((least..=most).contains(&total), "TOKEN: {total} changes of {most}, {least} acknowledged");
    }
}
