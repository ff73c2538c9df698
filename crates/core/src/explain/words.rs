//! The words of explanations: short plain sentences in AWS's terms, without a full stop.

use crate::arn::name_of;
use crate::explain::{Awaited, Cause, Condition, Decision, HeldBack, Past, Running, Verdict, Waits, facts};
use crate::id::JobId;
use crate::job::array::{ARRAY_CHILD_JOB_FAILED, StatusCounts};
use crate::job::depends_on::DEPENDENT_JOB_FAILED;
use crate::job::{Execution, Job, JobStatus, StopCause};
use crate::quantity::Resources;
use crate::state::State;
use crate::text::Text;

/// Enough of an id to tell it from the others.
const SHORT_ID: usize = 8;

/// `1234abcd`, `1234abcd:7`: the beginning of an id, with the part of the job that is meant.
pub(super) fn short(id: JobId) -> String {
    let text = id.to_string();
    format!("{}{}", &text[..SHORT_ID], &text[36..])
}

/// `8 vCPUs`, `0.25 vCPUs`, `1 vCPU`, from thousandths.
fn vcpus(milli: u64) -> String {
    format!("{} vCPU{}", number(milli), if milli == 1000 { "" } else { "s" })
}

fn number(milli: u64) -> String {
    let text = format!("{}.{:03}", milli / 1000, milli % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `job "align" (1234abcd, RUNNING)`.
pub(super) fn job(awaited: &Awaited) -> String {
    let Awaited { id, name, status, .. } = awaited;
    format!("job \"{name}\" ({}, {})", short(*id), status.as_str())
}

pub(super) fn awaited(awaited: &Awaited) -> Text {
    let job = job(awaited);
    match (awaited.condition, awaited.children) {
        (Condition::Succeeds, None) => format!("Waiting for {job}"),
        (Condition::Ends, None) => format!("Waiting for the end of {job}"),
        (Condition::Succeeds | Condition::Ends | Condition::ChildByChild, Some((ended, size))) => {
            format!("Waiting for array {job}: {ended} of {size} children have ended")
        }
        (Condition::ChildByChild, None) => format!("Waiting for the children of {job}"),
    }
    .into()
}

pub(super) fn waits(state: &State, id: JobId, waits: &Waits) -> Text {
    let job = &state.jobs[&id.job];
    match waits {
        Waits::Pass => "Waiting for the next scheduling pass".into(),
        Waits::Turn { first, .. } => format!("Waiting for the turn of share \"{}\"", first.identifier).into(),
        Waits::Capacity => capacity(state, job, "Waiting for capacity"),
        Waits::AllNodes(nodes) => {
            capacity(state, job, &format!("Waiting for capacity for all {nodes} nodes at once"))
        }
        Waits::Never(reason) => reason.clone(),
        Waits::Consumable { arn, needed, left, held } => {
            let name = name_of(arn);
            format!("Waiting for consumable resource \"{name}\": needs {needed}, {left} left, {held} held by others")
                .into()
        }
        Waits::Ahead { job, name, because, .. } => match because {
            HeldBack::StrictOrder => format!("Waiting behind job \"{name}\" ({})", short(*job)),
            HeldBack::ReservedStart(_) => {
                format!(
                    "Waiting so as not to delay job \"{name}\" ({}), whose start is reserved",
                    short(*job)
                )
            }
        }
        .into(),
        Waits::Nodes => "Waiting for the main node".into(),
    }
}

/// Names the environment that comes closest: the first that would take the job but for its size.
fn capacity(state: &State, job: &Job, begin: &str) -> Text {
    let environments = facts::environments(state, job);
    let is_open = |verdict: &Verdict| {
        !matches!(
            verdict,
            Verdict::Disabled
                | Verdict::NotValid(..)
                | Verdict::WrongPlatform
                | Verdict::WrongArchitecture
                | Verdict::AboveCeiling(_)
                | Verdict::TooLarge { .. }
        )
    };
    let closest = environments.iter().find(|(_, verdict)| is_open(verdict)).or(environments.first());
    let Some((arn, verdict)) = closest else {
        return "The job queue has no compute environment".into();
    };
    let name = format!("compute environment \"{}\"", name_of(arn));
    let says = self::verdict(verdict);
    match verdict {
        Verdict::Disabled | Verdict::NotValid(..) => format!("C{} {says}", &name[1..]),
        Verdict::AtCeiling { .. } => {
            format!("{begin}: needs {}, {name} {says}", vcpus(job.resources.milli_vcpus))
        }
        Verdict::NoRoom { need, free } => {
            let (needed, left) = short_of(need, free);
            match needed.is_empty() {
                true => format!("{begin}: {name} has no instance with room"),
                false => format!("{begin}: needs {needed}, {name} has {left} free"),
            }
        }
        Verdict::Room
        | Verdict::WrongPlatform
        | Verdict::WrongArchitecture
        | Verdict::AboveCeiling(_)
        | Verdict::NoInstance
        | Verdict::TooLarge { .. }
        | Verdict::Launching(..)
        | Verdict::LaunchFailed(_) => format!("{begin}: {name} {says}"),
    }
    .into()
}

/// What an environment says to a job, after its name: `is DISABLED`.
pub fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Room => "has room".to_owned(),
        Verdict::Disabled => "is DISABLED".to_owned(),
        Verdict::NotValid(status, reason) => format!("is {}: {reason}", status.as_str()),
        Verdict::WrongPlatform => "is of another platform than the job".to_owned(),
        Verdict::WrongArchitecture => "has no instance of the job's architecture".to_owned(),
        Verdict::AboveCeiling(max) => format!("allows at most {} (maxvCpus)", vcpus(*max)),
        Verdict::AtCeiling { used, max } => {
            format!("uses {} of its {} (maxvCpus)", number(*used), vcpus(*max))
        }
        Verdict::NoInstance => "has no instance connected".to_owned(),
        Verdict::NoRoom { need, free } => match short_of(need, free) {
            (needed, _) if needed.is_empty() => "has no instance with room".to_owned(),
            (needed, left) => format!("has {left} free, {needed} needed"),
        },
        Verdict::TooLarge { need, largest } => {
            let (needed, most) = short_of(need, largest);
            format!("has instances of {most} at most, {needed} needed")
        }
        Verdict::Launching(1, _) => "is launching an instance".to_owned(),
        Verdict::Launching(count, _) => format!("is launching {count} instances"),
        Verdict::LaunchFailed(reason) => format!("could not launch an instance: {reason}"),
    }
}

/// The amounts of which there is too little: what is needed of them, and what there is.
fn short_of(need: &Resources, free: &Resources) -> (String, String) {
    let parts = [
        (need.milli_vcpus > free.milli_vcpus).then(|| (vcpus(need.milli_vcpus), number(free.milli_vcpus))),
        (need.memory_mib > free.memory_mib)
            .then(|| (format!("{} MiB", need.memory_mib), free.memory_mib.to_string())),
        (need.gpus > free.gpus).then(|| (format!("{} GPUs", need.gpus), free.gpus.to_string())),
    ];
    let (needed, left): (Vec<String>, Vec<String>) = parts.into_iter().flatten().unzip();
    (needed.join(" and "), left.join(" and "))
}

pub(super) fn running(status: JobStatus, running: &Running) -> Text {
    let Running { environment: Some(environment), instance_id: Some(instance_id), .. } = running else {
        return "Waiting for the other nodes of the attempt to end".into();
    };
    let verb = if status == JobStatus::Starting { "Starting" } else { "Running" };
    let of = match running.attempts_max {
        1 => String::new(),
        max => format!(", attempt {} of {max}", running.attempt),
    };
    let place = format!("on instance {instance_id} of compute environment \"{}\"{of}", name_of(environment));
    match &running.stopping {
        None => format!("{verb} {place}"),
        Some(StopCause::Terminated(reason)) => format!("Being stopped (terminated: {reason}) {place}"),
        Some(StopCause::TimedOut) => format!("Being stopped (timeout) {place}"),
        Some(StopCause::MainNodeEnded) => format!("Being stopped (the main node has ended) {place}"),
    }
    .into()
}

pub(super) fn ended(
    job: &Job,
    id: JobId,
    execution: &Execution,
    members: Option<StatusCounts>,
    attempts: &[Past],
    causes: &[Cause],
) -> Text {
    let reason = execution.status_reason.as_deref().unwrap_or_default();
    let children = members.filter(|_| job.array.is_some());
    let size: u32 = children.iter().flatten().sum();
    if execution.status == JobStatus::Succeeded {
        let attempt = match attempts.len() {
            0 | 1 => String::new(),
            n => format!(" at attempt {n}"),
        };
        return match children {
            Some(_) => format!("All {size} children succeeded").into(),
            None => format!("Succeeded{attempt}").into(),
        };
    }
    if let Some(Past { number, attempt, decision }) = attempts.last() {
        let what =
            what_ended(attempt.outcome.exit_code, attempt.outcome.reason.as_deref(), &attempt.status_reason);
        return match decision {
            Some(Decision::Terminated) => format!("Terminated while it ran: {reason}"),
            Some(Decision::TimedOut) => format!(
                "Stopped: attempt {number} ran longer than its timeout of {} s",
                job.timeout_seconds.unwrap_or_default()
            ),
            Some(Decision::Cancelled) => {
                format!("Attempt {number} failed ({what}); cancelled, so not tried again")
            }
            Some(Decision::Exit(rule)) => {
                format!("Attempt {number} failed ({what}); rule {} of evaluateOnExit says EXIT", rule + 1)
            }
            Some(Decision::UsedUp(1)) => format!("Failed: {what}"),
            Some(Decision::UsedUp(max)) => {
                format!("Attempt {number} of {max} failed ({what}); that was the last")
            }
            Some(Decision::Succeeded | Decision::Retried(_)) | None => format!("Failed: {what}"),
        }
        .into();
    }
    match (reason, causes) {
        (DEPENDENT_JOB_FAILED, [.., root]) => format!("Never ran: {}", cause(root)).into(),
        (ARRAY_CHILD_JOB_FAILED, [first, ..]) if children.is_some() => {
            let failed = children.map_or(0, |counts| counts[JobStatus::Failed as usize]);
            format!("{failed} of {size} children failed, the first: {}", cause(first)).into()
        }
        _ if execution.is_terminated => format!("Terminated before it started: {reason}").into(),
        _ if execution.is_cancelled => format!("Cancelled before it started: {reason}").into(),
        ("", _) => format!("{id} failed").into(),
        _ => reason.into(),
    }
}

/// `job "align" (1234abcd) failed: exit code 3`.
fn cause(cause: &Cause) -> String {
    let reason = cause.status_reason.as_deref().unwrap_or_default();
    let what = what_ended(cause.exit_code, cause.reason.as_deref(), reason);
    format!("job \"{}\" ({}) failed: {what}", cause.name, short(cause.id))
}

/// The container's reason and the exit code say more than the attempt's reason.
fn what_ended(exit_code: Option<i32>, reason: Option<&str>, status_reason: &str) -> String {
    let exit_code = exit_code.map(|code| format!("exit code {code}"));
    let said: Vec<&str> = reason.into_iter().chain(exit_code.as_deref()).collect();
    if said.is_empty() { status_reason.to_owned() } else { said.join(", ") }
}
