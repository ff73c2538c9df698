//! The life of one attempt: its containers, started and stopped as [`Task`] says, and what is reported of them.

use std::sync::Arc;
use std::time::Duration;

use fornada_core::attempt::{AttemptReport, ContainerOutcome, Launch, LaunchContainer, Outcome, Usage};
use fornada_core::id::AttemptId;
use fornada_core::task::TaskKind;
use fornada_core::text::Text;
use fornada_core::time::Timestamp;
use fornada_engine::port::log::LogWriter;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use crate::cgroup::Group;
use crate::container::{Container, End};
use crate::metadata::Metadata;
use crate::process::{Context, Prepared, Process, Refusal};
use crate::spawner::Spawner;
use crate::task::Task;

/// What attempts of one node share.
pub(crate) struct Host {
    pub(crate) context: Arc<Context>,
    pub(crate) spawner: Spawner,
    pub(crate) logs: Arc<dyn LogWriter>,
    pub(crate) metadata: Metadata,
    /// Where output is read and written, apart from the loop: a slow disk delays only other output.
    pub(crate) output: tokio::runtime::Handle,
    /// How much of it may be kept of each container, in bytes.
    pub(crate) log_bytes_max: u64,
    /// Ended cgroups, to be removed.
    pub(crate) ended: std::sync::mpsc::Sender<Group>,
    /// Between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
}

/// What an attempt tells its node.
pub(crate) enum Event {
    Started(AttemptId, Timestamp),
    Exited(AttemptReport),
}

/// Runs one attempt to its end. `stop` is notified to stop it, at any time, any number of times.
pub(crate) async fn run(
    host: Arc<Host>,
    launch: Arc<Launch>,
    stop: Arc<Notify>,
    events: mpsc::UnboundedSender<Event>,
) {
    host.metadata.insert(launch.clone());
    let report = match prepare(&host, &launch, &stop).await {
        Ok(prepared) => Course::new(&host, &launch, prepared, &events).run(&stop).await,
        Err(reason) => unprepared(&launch, reason),
    };
    host.metadata.remove(launch.task_id);
    let (context, task) = (host.context.clone(), launch.task_id);
    // Nobody waits for it: a job may leave many files behind, and the disk may be slow.
    tokio::task::spawn_blocking(move || context.traces.remove(&task.to_string()));
    let _ = events.send(Event::Exited(report));
}

/// What is needed before the first process, or why there will be none.
async fn prepare(host: &Host, launch: &Arc<Launch>, stop: &Notify) -> Result<Prepared, Option<Text>> {
    if !Prepared::is_needed(launch) {
        return Ok(Prepared::default());
    }
    let prepare = {
        let launch = launch.clone();
        move |context: &_| Prepared::new(context, &launch)
    };
    match host.spawner.run(stop.notified(), prepare).await {
        Some(prepared) => prepared.map_err(|refusal| Some(refusal.0.into())),
        None => Err(None),
    }
}

/// No container of the attempt started, all for the same reason.
fn unprepared(launch: &Launch, reason: Option<Text>) -> AttemptReport {
    let containers = vec![Part { reason: reason.clone(), ..Part::default() }; launch.containers.len()];
    let outcome = Outcome { containers: outcomes(launch, &containers), ..Outcome::without_process(reason) };
    AttemptReport { attempt: launch.attempt, started_at: None, ended: Some((crate::now(), outcome)) }
}

/// What is known of one container.
#[derive(Clone, Default)]
struct Part {
    started: bool,
    exit_code: Option<i32>,
    reason: Option<Text>,
    usage: Usage,
}

/// What happened to one container.
enum Step {
    Started(Process),
    /// `None`: it was told to stop before.
    NotStarted(Option<Refusal>),
    Ended(End),
}

/// An attempt on its way.
struct Course<'a> {
    host: &'a Arc<Host>,
    launch: &'a Arc<Launch>,
    events: &'a mpsc::UnboundedSender<Event>,
    prepared: Arc<Prepared>,
    task: Task,
    parts: Vec<Part>,
    /// What goes on, each with the index of its container.
    steps: JoinSet<(usize, Step)>,
    stopper: watch::Sender<bool>,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
}

impl<'a> Course<'a> {
    fn new(
        host: &'a Arc<Host>,
        launch: &'a Arc<Launch>,
        prepared: Prepared,
        events: &'a mpsc::UnboundedSender<Event>,
    ) -> Course<'a> {
        Course {
            host,
            launch,
            events,
            prepared: Arc::new(prepared),
            task: Task::new(launch.kind, &launch.containers),
            parts: vec![Part::default(); launch.containers.len()],
            steps: JoinSet::new(),
            stopper: watch::Sender::new(false),
            started_at: None,
            ended_at: None,
        }
    }

    async fn run(mut self, stop: &Notify) -> AttemptReport {
        loop {
            for index in self.task.due() {
                let container = self.container(index);
                self.steps.spawn(async move {
                    let step = match container.start().await {
                        Some(Ok(process)) => Step::Started(process),
                        Some(Err(refusal)) => Step::NotStarted(Some(refusal)),
                        None => Step::NotStarted(None),
                    };
                    (index, step)
                });
            }
            if self.task.is_stopping() {
                self.stopper.send_replace(true);
            }
            if self.steps.is_empty() {
                return self.report();
            }
            tokio::select! {
                Some(step) = self.steps.join_next() => match step {
                    Ok((index, step)) => self.on_step(index, step),
                    Err(error) => tracing::error!(%error, "a container was lost"),
                },
                () = stop.notified() => self.task.stop(),
            }
        }
    }

    fn container(&self, index: usize) -> Container {
        Container {
            host: self.host.clone(),
            launch: self.launch.clone(),
            prepared: self.prepared.clone(),
            index,
            stop: self.stopper.subscribe(),
        }
    }

    fn on_step(&mut self, index: usize, step: Step) {
        let part = &mut self.parts[index];
        match step {
            Step::Started(process) => {
                let at = process.started_at;
                part.started = true;
                self.task.started(index);
                self.host.metadata.started(self.launch.task_id, index, at);
                if self.started_at.is_none() {
                    self.started_at = Some(at);
                    let _ = self.events.send(Event::Started(self.launch.attempt, at));
                }
                let container = self.container(index);
                self.steps.spawn(async move { (index, Step::Ended(container.live(process).await)) });
            }
            Step::NotStarted(refusal) => {
                let by_itself = refusal.is_some();
                self.task.not_started(index, refusal.map(|refusal| refusal.0.into()), by_itself);
            }
            Step::Ended(End { at, exit_code, reason, usage, by_itself }) => {
                *part = Part { started: true, exit_code: Some(exit_code), reason, usage };
                self.ended_at = self.ended_at.max(Some(at));
                self.task.ended(index, exit_code, by_itself);
                self.host.metadata.ended(self.launch.task_id, index, at, exit_code);
            }
        }
    }

    fn report(mut self) -> AttemptReport {
        for (index, part) in self.parts.iter_mut().enumerate() {
            part.reason = part.reason.take().or_else(|| self.task.reason(index));
        }
        let decides = self.task.decides().map(|index| self.parts[index].clone()).unwrap_or_default();
        let outcome = Outcome {
            exit_code: decides.exit_code,
            reason: decides.reason,
            usage: self.usage(),
            containers: outcomes(self.launch, &self.parts),
        };
        if let Some(group) = self.prepared.group() {
            let _ = self.host.ended.send(group.clone());
        }
        let ended_at = self.ended_at.unwrap_or_else(crate::now);
        AttemptReport {
            attempt: self.launch.attempt,
            started_at: self.started_at,
            ended: Some((ended_at, outcome)),
        }
    }

    /// The time of all containers. Their peaks need not have come together, so the sum of those says nothing.
    fn usage(&self) -> Usage {
        let each = || self.parts.iter().map(|part| part.usage);
        let peak = self.prepared.group().and_then(Group::peak_memory_bytes);
        Usage {
            peak_memory_bytes: peak.or(each().map(|usage| usage.peak_memory_bytes).max()).unwrap_or(0),
            cpu_time_millis: each().map(|usage| usage.cpu_time_millis).sum(),
        }
    }
}

/// Of each container, if the job was described by containers.
fn outcomes(launch: &Launch, parts: &[Part]) -> Option<Vec<ContainerOutcome>> {
    let outcome = |(container, part): (&LaunchContainer, &Part)| ContainerOutcome {
        name: container.name.clone(),
        exit_code: part.exit_code,
        reason: part.reason.clone(),
        started: part.started,
    };
    let all = || launch.containers.iter().zip(parts).map(outcome).collect();
    (launch.kind != TaskKind::Container).then(all)
}
