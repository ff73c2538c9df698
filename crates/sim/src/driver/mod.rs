//! Virtual time: turns at the times at which something happens, and nothing in between.
//!
//! A turn takes all that happens at its time: submissions, what machines and the cloud report, timers. What it decides is
//! carried out at once; changes are looked at for how jobs end, and dropped. One event costs O(log events) here, whatever there
//! is besides.

mod machines;

use std::collections::HashMap;

use fornada_core::arn::Scope;
use fornada_core::attempt::{Action, Host, Launch, Observation};
use fornada_core::id::{JobId, Member, Uuid};
use fornada_core::instance::Provision;
use fornada_core::job::depends_on::Dependency;
use fornada_core::job::{Job, JobStatus};
use fornada_core::record::{Change, Record};
use fornada_core::refusal::Refusal;
use fornada_core::state::State;
use fornada_core::text::Text;
use fornada_core::time::Timestamp;
use fornada_core::turn::{Decision, Turn};
use fornada_engine::port::provisioner::Provisioner;

use crate::cloud::SimulatedCloud;
use crate::journal::{InstanceEnd, InstanceFacts, JobFacts, Journal, UnitFacts};
use crate::random::{Distribution, Draw};
use crate::workload::{AfterKind, Workload};
use machines::{Machines, Play};

/// Once nothing runs and nothing is submitted any more, what still waits is given so long to begin: a day.
const PATIENCE: u64 = 24 * 3_600_000;
/// After the last job, instances are given so long to be returned: an hour.
const TAIL: u64 = 3_600_000;
/// Turns between two reports of progress.
const PROGRESS_EVERY: u64 = 4096;

/// A machine that is there by itself.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What the engine is told of it.
    pub host: Host,
    /// What the report calls it.
    pub kind: Text,
    /// It stands for a service without bounds, such as Fargate: it is never idle or full.
    pub unbounded: bool,
}

/// How attempts start and stop, everywhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Of all chance.
    pub seed: u64,
    /// Nothing is simulated after this time.
    pub until: Option<Timestamp>,
    /// Seconds from placing an attempt until its process runs, on an instance.
    pub start_delay: Distribution,
    /// The same on a machine without bounds: Fargate launches a machine of its own for each task.
    pub unbounded_start_delay: Distribution,
    /// Seconds from asking an attempt to stop until it has; from 30 on it is killed.
    pub stop_delay: Distribution,
    /// By instance type or family: how fast it is, 1 being ordinary.
    pub speeds: Vec<(String, f64)>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            seed: 1,
            until: None,
            start_delay: Distribution::Fixed(2.0),
            unbounded_start_delay: Distribution::Uniform(20.0, 40.0),
            stop_delay: Distribution::Fixed(1.0),
            speeds: Vec::new(),
        }
    }
}

/// How far a simulation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Virtual time since its beginning, in milliseconds.
    pub elapsed: u64,
    /// Jobs that have ended, array parents counted once.
    pub ended: usize,
}

/// Why a simulation came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a job is refused")]
pub struct Refused {
    /// Index of the template that it is of.
    pub template: usize,
    /// Why.
    pub refusal: Refusal,
}

/// What is to be simulated.
pub struct Simulation<'a> {
    /// Where the jobs go: with queues, environments and definitions, configured, and without jobs.
    pub state: State,
    /// Whose they are.
    pub scope: Scope,
    /// The jobs.
    pub workload: &'a Workload,
    /// Machines that are there by themselves.
    pub machines: Vec<Machine>,
    /// Where environments that scale get theirs.
    pub cloud: SimulatedCloud,
    /// When it begins.
    pub begin: Timestamp,
    /// The rest.
    pub options: Options,
}

impl Simulation<'_> {
    /// Simulates until every job has ended and every instance was returned, or nothing will ever happen any more.
    ///
    /// # Errors
    /// A job that its queue does not accept.
    pub fn run(self, progress: &mut dyn FnMut(Progress)) -> Result<Journal, Refused> {
        let machines = Machines::new(&self.options);
        let mut run = Run {
            arrivals: arrivals(self.workload),
            next_arrival: 0,
            ids: vec![None; self.workload.jobs()],
            numbers: HashMap::with_capacity(self.workload.jobs()),
            machines,
            draw: Draw::new(self.options.seed, &[6]),
            ended: 0,
            last_progress: self.begin.0,
            journal: Journal {
                begin: self.begin.0,
                end: self.begin.0,
                jobs: vec![JobFacts::default(); self.workload.jobs()],
                units: vec![UnitFacts::default(); self.workload.units()],
                ..Journal::default()
            },
            simulation: self,
        };
        let hosts = std::mem::take(&mut run.simulation.machines);
        run.connect(hosts);
        while let Some(now) = run.next_time() {
            run.turn(now)?;
            if run.journal.turns.is_multiple_of(PROGRESS_EVERY) {
                progress(Progress { elapsed: now.0 - run.journal.begin, ended: run.ended });
            }
        }
        Ok(run.close())
    }
}

/// Times of submission and numbers of jobs, in the order in which they are submitted.
fn arrivals(workload: &Workload) -> Vec<(Timestamp, u32)> {
    let mut all = Vec::with_capacity(workload.jobs());
    for template in workload.templates() {
        for at in &template.arrivals {
            all.push((*at, u32::try_from(all.len()).expect("fewer than 2^32 jobs")));
        }
    }
    let mut job = 0;
    for (index, template) in workload.templates().iter().enumerate() {
        for nth in 0..template.arrivals.len() {
            let targets = template.after.iter().filter(|after| after.kind != AfterKind::Sequential);
            let latest =
                targets.flat_map(|after| workload.targets(index, nth, *after)).map(|target| all[target].0);
            all[job].0 = latest.fold(all[job].0, Timestamp::max);
            job += 1;
        }
    }
    all.sort_unstable();
    all
}

struct Run<'a> {
    simulation: Simulation<'a>,
    arrivals: Vec<(Timestamp, u32)>,
    next_arrival: usize,
    /// By number of the job.
    ids: Vec<Option<Uuid>>,
    numbers: HashMap<Uuid, u32>,
    machines: Machines,
    draw: Draw,
    ended: usize,
    /// When something was last submitted, or an attempt last moved.
    last_progress: u64,
    journal: Journal,
}

impl Run<'_> {
    fn connect(&mut self, machines: Vec<Machine>) {
        let mut turn = Turn::begin(&mut self.simulation.state, self.simulation.begin, self.draw.bits());
        for Machine { host, kind, unbounded } in machines {
            let facts = InstanceFacts {
                id: host.instance_id.clone(),
                kind: kind.clone(),
                environment: Text::default(),
                market: None,
                milli_vcpus: if unbounded { 0 } else { host.capacity.milli_vcpus },
                requested_at: self.journal.begin,
                ready_at: Some(self.journal.begin),
                ended_at: None,
                end: InstanceEnd::Running,
                cost: 0,
                cost_on_demand: 0,
            };
            self.machines.add(&host.instance_id, &kind, unbounded);
            self.journal.instances.push(facts);
            turn.observe(Observation::Connected(host, Vec::new()));
        }
        // What was asked for while the state was set up, such as the instances of `minvCpus`, is asked for again.
        turn.observe(Observation::Instances(Vec::new()));
        let decision = turn.finish();
        self.carry_out(decision, self.simulation.begin);
    }

    /// When the next turn is; `None` when it is over.
    fn next_time(&self) -> Option<Timestamp> {
        let arrival = self.arrivals.get(self.next_arrival).map(|(at, _)| *at);
        let moves = [arrival, self.machines.next_event()];
        let others = [self.simulation.cloud.next_event(), self.simulation.state.next_timer()];
        let next = moves.into_iter().chain(others).flatten().min()?.max(Timestamp(self.journal.end));
        let is_quiet = moves == [None, None];
        let idle = next.0.saturating_sub(self.last_progress);
        let all_ended = self.ended == self.ids.len();
        let is_over =
            is_quiet && (idle > PATIENCE || all_ended && (self.simulation.cloud.is_empty() || idle > TAIL));
        let is_late = self.simulation.options.until.is_some_and(|until| next > until);
        (!is_over && !is_late).then_some(next)
    }

    fn turn(&mut self, now: Timestamp) -> Result<(), Refused> {
        self.journal.end = now.0;
        self.journal.turns += 1;
        let mut turn = Turn::begin(&mut self.simulation.state, now, self.draw.bits());
        while let Some(&(at, job)) = self.arrivals.get(self.next_arrival) {
            if at > now {
                break;
            }
            self.next_arrival += 1;
            self.last_progress = now.0;
            let accepted =
                submit(&mut turn, &self.simulation.scope, self.simulation.workload, job, &self.ids)?;
            self.ids[job as usize] = Some(accepted.id);
            self.numbers.insert(accepted.id, job);
            self.journal.jobs[job as usize].submitted_at = Some(now.0);
        }
        while let Some(observation) = self.machines.happen(now) {
            self.last_progress = now.0;
            turn.observe(observation);
        }
        for observation in self.simulation.cloud.advance(now) {
            if let Observation::Terminated(id) = &observation {
                self.machines.lose(id, now);
            }
            turn.observe(observation);
        }
        let decision = turn.finish();
        self.carry_out(decision, now);
        Ok(())
    }

    fn carry_out(&mut self, decision: Decision, now: Timestamp) {
        for change in decision.changes {
            if let Change::Put(record) = change {
                self.note(&record);
            }
        }
        for action in decision.actions {
            match action {
                Action::Start(launch) => self.start(&launch, now),
                Action::Stop(attempt) => self.machines.stop(attempt, now),
                Action::Forget(_) => {}
            }
        }
        for provision in &decision.provisions {
            if let Provision::Launch(request) = provision {
                self.machines.add(&request.instance_id, &request.instance_type, false);
            }
        }
        self.simulation.cloud.perform(decision.provisions);
    }

    fn start(&mut self, launch: &Launch, now: Timestamp) {
        let (id, workload) = (launch.attempt.job, self.simulation.workload);
        let (template, nth) = workload.template_of(self.numbers[&id.job] as usize);
        let span = workload.span(template);
        let index = match id.member {
            Member::Index(index) => index,
            Member::Whole | Member::Node(_) => 0,
        };
        let unit = span.first_unit + nth * span.size + index as usize;
        let leads = leads(&self.simulation.state, id);
        let behaviour = &workload.templates()[template].behaviour;
        let (seed, memory) = (self.simulation.options.seed, launch.resources.memory_mib);
        let course = behaviour.course(seed, unit as u64, index, launch.attempt.number, memory);
        if self.machines.start(launch, Play { unit, leads, course }, now) && leads {
            self.journal.units[unit].attempts += 1;
        }
    }

    /// Notes how far a job or child has come.
    fn note(&mut self, record: &Record) {
        match record {
            Record::Job(job) => self.note_job(job),
            Record::Child(job, index, execution) if execution.status.is_terminal() => {
                let number = self.numbers[job] as usize;
                let (template, nth) = self.simulation.workload.template_of(number);
                let span = self.simulation.workload.span(template);
                if self.simulation.workload.templates()[template].submission.array_size.is_some() {
                    let unit = &mut self.journal.units[span.first_unit + nth * span.size + *index as usize];
                    unit.status = execution.status;
                    unit.ended_at = execution.stopped_at.map(|at| at.0);
                }
            }
            Record::Child(..)
            | Record::ComputeEnvironment(_)
            | Record::JobQueue(_)
            | Record::JobDefinition(_)
            | Record::Instance(_)
            | Record::SchedulingPolicy(_)
            | Record::ConsumableResource(_)
            | Record::ServiceEnvironment(_)
            | Record::QuotaShare(_)
            | Record::ServiceJob(_)
            | Record::Share(..)
            | Record::Event(_) => {}
        }
    }

    fn note_job(&mut self, job: &Job) {
        let number = self.numbers[&job.id] as usize;
        let facts = &mut self.journal.jobs[number];
        let execution = &job.execution;
        facts.status = execution.status;
        facts.reason.clone_from(&execution.status_reason);
        if !execution.status.is_terminal() || facts.ended_at.is_some() {
            return;
        }
        facts.ended_at = execution.stopped_at.map(|at| at.0);
        self.ended += 1;
        self.last_progress = self.journal.end;
        let (template, nth) = self.simulation.workload.template_of(number);
        let span = self.simulation.workload.span(template);
        let first = span.first_unit + nth * span.size;
        // Children that never started have no record, and end as their parent does.
        for unit in &mut self.journal.units[first..first + span.size] {
            if unit.ended_at.is_none() && (job.array.is_none() || execution.status == JobStatus::Failed) {
                unit.status = execution.status;
                unit.ended_at = facts.ended_at;
            }
        }
    }

    /// Why jobs still wait: what the first of each template is told holds for all of them.
    fn note_why_jobs_wait(&mut self) {
        let Simulation { state, workload, .. } = &self.simulation;
        for (index, template) in workload.templates().iter().enumerate() {
            let span = workload.span(index);
            let jobs = span.first_job..span.first_job + template.arrivals.len();
            let mut waiting = jobs.clone().filter_map(|job| {
                let id = self.ids[job]?;
                let first = span.first_unit + (job - span.first_job) * span.size;
                let waits = |unit: &usize| self.journal.units[*unit].ended_at.is_none();
                let unit = (first..first + span.size).find(waits)?;
                let child = |_| JobId::child(id, u32::try_from(unit - first).expect("an index"));
                let id = template.submission.array_size.map_or(JobId::whole(id), child);
                state.waiting_reason(id).filter(|_| state.status_of(id) == Some(JobStatus::Runnable))
            });
            if let Some(reason) = waiting.next() {
                for facts in &mut self.journal.jobs[jobs] {
                    facts.reason.get_or_insert_with(|| reason.clone());
                }
            }
        }
    }

    fn close(mut self) -> Journal {
        self.note_why_jobs_wait();
        let end = self.journal.end;
        let account = self.simulation.cloud.account();
        let mut accounts: HashMap<Text, InstanceFacts> = account
            .into_iter()
            .chain(self.journal.instances)
            .map(|facts| (facts.id.clone(), facts))
            .collect();
        let numbered =
            self.machines.all().map(|id| accounts.remove(id).expect("every machine has an account"));
        self.journal.instances = numbered.collect();
        self.journal.attempts = self.machines.close(end);
        self.journal
    }
}

/// Whether an attempt is the one that its unit is known by.
fn leads(state: &State, id: JobId) -> bool {
    match id.member {
        Member::Whole | Member::Index(_) => true,
        Member::Node(node) => {
            let nodes = state.job(id.job).and_then(|job| job.nodes.as_ref());
            nodes.is_some_and(|nodes| nodes.main_node == node)
        }
    }
}

/// Submits a job, with the ids of those that it waits for.
fn submit(
    turn: &mut Turn<'_>,
    scope: &Scope,
    workload: &Workload,
    job: u32,
    ids: &[Option<Uuid>],
) -> Result<std::sync::Arc<Job>, Refused> {
    let (index, nth) = workload.template_of(job as usize);
    let template = &workload.templates()[index];
    let mut submission = template.submission.clone();
    for after in &template.after {
        if after.kind == AfterKind::Sequential {
            submission.depends_on.push(Dependency::Sequential);
            continue;
        }
        for target in workload.targets(index, nth, *after) {
            let id = ids[target].expect("what others wait for is submitted before them");
            submission.depends_on.push(match after.kind {
                AfterKind::Success | AfterKind::Sequential => Dependency::Job(JobId::whole(id)),
                AfterKind::End => Dependency::AfterAny(JobId::whole(id)),
                AfterKind::NToN => Dependency::NToN(id),
            });
        }
    }
    turn.submit_job(scope, submission).map_err(|refusal| Refused { template: index, refusal })
}

impl Default for JobFacts {
    fn default() -> Self {
        JobFacts { status: JobStatus::Submitted, reason: None, submitted_at: None, ended_at: None }
    }
}

impl Default for UnitFacts {
    fn default() -> Self {
        UnitFacts { status: JobStatus::Submitted, ended_at: None, attempts: 0 }
    }
}

#[cfg(test)]
mod tests;
