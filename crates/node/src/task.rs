//! What is to be done with the containers of one attempt, and which of them decides how it ended. Pure: it is told what
//! happened and says what follows.
//!
//! Init containers run to their end, one after the other, before all others; what a container depends on is waited for;
//! the end of an essential container stops the rest. In a pod no container stops another, and each one counts. What must
//! hold: whatever is told, in whatever order, a task comes to its end once all that it started has ended.
//!
//! Source: AWS Batch API reference, TaskContainerProperties, TaskContainerDependency; Kubernetes, pod lifecycle.

use fornada_core::attempt::LaunchContainer;
use fornada_core::container::Condition;
use fornada_core::task::TaskKind;
use fornada_core::text::Text;

/// The containers of one attempt, known by their index in the launch.
#[derive(Debug)]
pub(crate) struct Task {
    members: Vec<Member>,
    stopping: Option<Cause>,
    /// The first that failed, of those that count.
    failed: Option<usize>,
    /// The first that ended well, of those that count.
    succeeded: Option<usize>,
}

#[derive(Debug)]
struct Member {
    name: Text,
    init: bool,
    /// Its end decides about the attempt.
    counts: bool,
    /// Its end, however, stops the others.
    essential: bool,
    needs: Vec<Need>,
    state: State,
}

#[derive(Debug)]
struct Need {
    on: usize,
    condition: Condition,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// It was given out by [`Task::due`].
    Starting,
    Running,
    /// Its process ended, with this code.
    Ended(i32),
    /// It had no process and will have none.
    Never(Option<Text>),
}

/// Why the containers are stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// An essential container ended, or an init container failed.
    Member,
    /// The attempt was told to stop.
    Request,
}

/// Whether a container may start.
enum Readiness {
    Ready,
    NotYet,
    Never(Text),
}

impl Task {
    pub(crate) fn new(kind: TaskKind, containers: &[LaunchContainer]) -> Task {
        let mut last_init = None;
        let mut broken = Vec::new();
        let member = |(index, container): (usize, &LaunchContainer)| {
            let mut needs = Vec::new();
            needs.extend(last_init.map(|on| Need { on, condition: Condition::Success }));
            if container.init {
                last_init = Some(index);
            }
            for dependency in &container.depends_on {
                match containers.iter().position(|other| other.name == dependency.container) {
                    Some(on) => needs.push(Need { on, condition: dependency.condition }),
                    None => broken
                        .push((index, unresolved(&dependency.container, &container.name, "does not exist"))),
                }
            }
            let is_pod = kind == TaskKind::Eks;
            Member {
                name: container.name.clone(),
                init: container.init,
                counts: container.init || container.essential || is_pod,
                essential: container.essential && !container.init && !is_pod,
                needs,
                state: State::Waiting,
            }
        };
        let members = containers.iter().enumerate().map(member).collect();
        let mut task = Task { members, stopping: None, failed: None, succeeded: None };
        broken.extend(task.circular());
        for (index, reason) in broken {
            task.never(index, Some(reason));
        }
        task
    }

    /// The containers to start now; each is given out once.
    pub(crate) fn due(&mut self) -> Vec<usize> {
        let mut due = Vec::new();
        let mut settled = true;
        // Repeated, because one that never starts decides about those that depend on it.
        while std::mem::take(&mut settled) {
            for index in 0..self.members.len() {
                if self.is_stopping() || self.members[index].state != State::Waiting {
                    continue;
                }
                match self.readiness(&self.members[index]) {
                    Readiness::NotYet => {}
                    Readiness::Ready => {
                        self.members[index].state = State::Starting;
                        due.push(index);
                    }
                    Readiness::Never(reason) => {
                        self.never(index, Some(reason));
                        settled = true;
                    }
                }
            }
        }
        due
    }

    /// The process of a container runs.
    pub(crate) fn started(&mut self, index: usize) {
        self.members[index].state = State::Running;
    }

    /// A container that was to start has no process. `by_itself`: not because it was told to stop.
    pub(crate) fn not_started(&mut self, index: usize, reason: Option<Text>, by_itself: bool) {
        if by_itself {
            self.never(index, reason);
        } else {
            self.members[index].state = State::Never(reason);
        }
    }

    /// The process of a container ended. `by_itself`: before it was told to stop.
    pub(crate) fn ended(&mut self, index: usize, exit_code: i32, by_itself: bool) {
        self.members[index].state = State::Ended(exit_code);
        if by_itself || self.stopping == Some(Cause::Request) {
            self.count(index, exit_code == 0);
        }
    }

    /// The attempt is to stop, in whatever state it is.
    pub(crate) fn stop(&mut self) {
        self.stopping.get_or_insert(Cause::Request);
    }

    /// Nothing more starts, and all that runs has to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// The container whose exit code and reason are those of the attempt; `None` when there is no container.
    pub(crate) fn decides(&self) -> Option<usize> {
        // Told to stop before it came to those that count: the attempt did not do its work.
        let missing = |member: &Member| member.counts && member.state != State::Ended(0);
        let undone = || {
            let requested = self.stopping == Some(Cause::Request);
            self.members.iter().position(missing).filter(|_| requested)
        };
        let any = || (!self.members.is_empty()).then_some(0);
        self.failed.or_else(undone).or(self.succeeded).or_else(any)
    }

    /// Why a container never had a process, if it is known.
    pub(crate) fn reason(&self, index: usize) -> Option<Text> {
        match &self.members[index].state {
            State::Never(reason) => reason.clone(),
            _ => None,
        }
    }

    fn readiness(&self, member: &Member) -> Readiness {
        let mut readiness = Readiness::Ready;
        for Need { on, condition } in &member.needs {
            let other = &self.members[*on];
            let never = |why| Readiness::Never(unresolved(&other.name, &member.name, why));
            match (&other.state, condition) {
                (State::Running | State::Ended(_), Condition::Start)
                | (State::Ended(_), Condition::Complete)
                | (State::Ended(0), Condition::Success) => {}
                (State::Ended(_), Condition::Success) => return never("did not exit successfully"),
                (State::Never(_), _) => return never("did not start"),
                (State::Waiting | State::Starting | State::Running, _) => readiness = Readiness::NotYet,
            }
        }
        readiness
    }

    fn never(&mut self, index: usize, reason: Option<Text>) {
        self.members[index].state = State::Never(reason);
        self.count(index, false);
    }

    /// What the end of a container means for the attempt.
    fn count(&mut self, index: usize, success: bool) {
        let member = &self.members[index];
        if !member.counts {
            return;
        }
        let decided = if success { &mut self.succeeded } else { &mut self.failed };
        decided.get_or_insert(index);
        if member.essential || (member.init && !success) {
            self.stopping.get_or_insert(Cause::Member);
        }
    }

    /// Those that depend on each other in a circle, and those that depend on them.
    fn circular(&self) -> Vec<(usize, Text)> {
        let mut in_order = vec![false; self.members.len()];
        let next = |in_order: &[bool]| {
            let is_free = |member: &Member| member.needs.iter().all(|need| in_order[need.on]);
            self.members.iter().enumerate().position(|(index, member)| !in_order[index] && is_free(member))
        };
        while let Some(index) = next(&in_order) {
            in_order[index] = true;
        }
        let rest = self.members.iter().enumerate().filter(|(index, _)| !in_order[*index]);
        let reason = |member: &Member| {
            let first = member.needs.iter().find(|need| !in_order[need.on]).map(|need| need.on);
            let other = first.map_or("", |on| &self.members[on].name);
            unresolved(other, &member.name, "is part of a circle")
        };
        rest.map(|(index, member)| (index, reason(member))).collect()
    }
}

/// In the words of the Amazon ECS agent.
fn unresolved(dependency: &str, target: &str, why: &str) -> Text {
    format!(
        "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency [{dependency}] for \
         target [{target}] as dependency {why}."
    )
    .into()
}

#[cfg(test)]
mod tests;
