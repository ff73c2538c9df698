//! An attempt, running or ended, as Amazon ECS and Kubernetes would name it.

use std::net::Ipv4Addr;

use fornada_core::arn::Arn;
use fornada_core::attempt::{ContainerOutcome, Outcome};
use fornada_core::container::ContainerTemplate;
use fornada_core::id::{TaskId, Uuid};
use fornada_core::job::{Attempt, JobStatus, Placement};
use fornada_core::schedule::{log_stream, task_arn};
use fornada_core::text::Text;
use fornada_model::batch as model;

use super::View;

/// Where an attempt is or was.
pub(super) struct Run<'a> {
    view: &'a View,
    pub(super) environment: &'a Arn,
    pub(super) instance_id: &'a Text,
    task_id: TaskId,
    address: Option<Ipv4Addr>,
    /// Its process was started.
    ran: bool,
    /// `None` while it runs.
    outcome: Option<&'a Outcome>,
}

/// How one container stands.
#[derive(Default)]
pub(super) struct ContainerState {
    pub(super) exit_code: Option<i32>,
    pub(super) reason: Option<String>,
    pub(super) log_stream_name: Option<String>,
}

impl<'a> Run<'a> {
    /// The current attempt, or the last one when none is current.
    pub(super) fn newest(view: &'a View) -> Option<Run<'a>> {
        let execution = &view.execution;
        match (&execution.placement, execution.attempts.last()) {
            (Some(placement), _) => {
                let Placement { compute_environment, instance_id, task_id, stopping: _, address } =
                    &**placement;
                Some(Run {
                    view,
                    environment: compute_environment,
                    instance_id,
                    task_id: *task_id,
                    address: *address,
                    ran: execution.status == JobStatus::Running,
                    outcome: None,
                })
            }
            (None, Some(attempt)) => Some(Run::of(view, attempt)),
            (None, None) => None,
        }
    }

    /// One that has ended.
    pub(super) fn of(view: &'a View, attempt: &'a Attempt) -> Run<'a> {
        Run {
            view,
            environment: &attempt.compute_environment,
            instance_id: &attempt.instance_id,
            task_id: attempt.task_id,
            address: attempt.address,
            ran: attempt.started_at.is_some(),
            outcome: Some(&attempt.outcome),
        }
    }

    fn cluster(&self) -> Text {
        self.view.environments.get(self.environment).map_or_else(|| "default".into(), |ce| ce.cluster())
    }

    pub(super) fn task_arn(&self) -> String {
        task_arn(&self.view.job.scope(), &self.cluster(), self.task_id).into()
    }

    pub(super) fn container_instance_arn(&self) -> String {
        let (cluster, instance) = (self.cluster(), self.instance_id.trim_start_matches("i-"));
        self.view.job.scope().arn("ecs", &format!("container-instance/{cluster}/{instance:0>32}")).into()
    }

    pub(super) fn pod_name(&self) -> String {
        format!("aws-batch.{}", Uuid::from_u128(self.task_id.0).as_hyphenated())
    }

    /// Only nodes have an address of their own.
    pub(super) fn network_interfaces(&self) -> Vec<model::NetworkInterface> {
        let interface = |address: Ipv4Addr| model::NetworkInterface {
            private_ipv4_address: Some(address.to_string()),
            ..Default::default()
        };
        self.address.map(interface).into_iter().collect()
    }

    /// The state of the container with this template. Before anything is known of it alone, it shares that of the attempt.
    pub(super) fn state_of(&self, template: &ContainerTemplate) -> ContainerState {
        let each = self.outcome.and_then(|outcome| outcome.containers.as_deref());
        let (exit_code, reason, started) = match (self.outcome, each) {
            (None, _) => (None, None, self.ran),
            (Some(outcome), None) => (outcome.exit_code, outcome.reason.as_ref(), self.ran),
            (Some(_), Some(each)) => match each.iter().find(|one| *one.name == *template.name()) {
                None => return ContainerState::default(),
                Some(ContainerOutcome { exit_code, reason, started, .. }) => {
                    (*exit_code, reason.as_ref(), *started)
                }
            },
        };
        ContainerState {
            exit_code,
            reason: reason.cloned().map(String::from),
            log_stream_name: started
                .then(|| log_stream(&self.view.definition, template, self.task_id).into()),
        }
    }
}
