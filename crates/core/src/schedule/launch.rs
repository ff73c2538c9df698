//! From a placement to what the backend is told: command, environment, log stream, ARNs.
//!
//! Source: AWS Batch User Guide, job environment variables; Amazon ECS task metadata; awslogs log driver.

use crate::arn::{Scope, name_of};
use crate::attempt::{Action, Launch, LaunchContainer};
use crate::container::{self, Container, ContainerTemplate};
use crate::id::{JobId, Member, TaskId};
use crate::job::{Job, Placement};
use crate::resource::job_definition::JobDefinition;
use crate::task::TaskKind;
use crate::text::Text;
use crate::turn::Turn;

/// Where output goes unless `logConfiguration` says otherwise.
pub const DEFAULT_LOG_GROUP: &str = "/aws/batch/job";

/// Characters of the definition's name that a log stream name may hold.
const LOG_STREAM_PREFIX_MAX: usize = 200;

/// Where a container's output goes.
pub fn log_group(container: &ContainerTemplate) -> Text {
    container.log_group.clone().unwrap_or_else(|| DEFAULT_LOG_GROUP.into())
}

/// `{prefix}/{container}/{task id}`; the prefix is the definition's name unless `awslogs-stream-prefix` says otherwise, and
/// the only container of a job is called `default`.
pub fn log_stream(definition: &JobDefinition, container: &ContainerTemplate, task_id: TaskId) -> Text {
    let prefix = container.log_stream_prefix.as_deref().unwrap_or_else(|| {
        let name = definition.name(); // ASCII by its pattern
        &name[..name.len().min(LOG_STREAM_PREFIX_MAX)]
    });
    format!("{prefix}/{}/{task_id}", container.name()).into()
}

/// ARN of the ECS task that an attempt stands for.
pub fn task_arn(scope: &Scope, cluster: &str, task_id: TaskId) -> Text {
    scope.arn("ecs", &format!("task/{cluster}/{task_id}"))
}

impl Turn<'_> {
    /// Tells the backend to run the current attempt of a placed job. May be told again: the backend starts it once.
    pub(crate) fn start(&mut self, id: JobId) {
        let Some((job, execution)) = self.state.find(id) else { return };
        let (Some(placement), Some(attempt)) = (&execution.placement, execution.current_attempt(id)) else {
            return;
        };
        let definition =
            self.state.job_definition(&job.definition).expect("definitions outlive the jobs that use them");
        let (task, overrides) = job.task(definition, id.member).expect("what is placed has something to run");
        let variables = self.batch_variables(&job, id, attempt.number, placement, task.kind);
        let effective = task
            .effective(overrides, &job.parameters)
            .expect("parameters were checked when the job was submitted");
        let containers = task.containers.iter().zip(effective).map(|(template, container)| {
            let Container { image, entry_point, command, mut environment, resources } = container;
            container::set_all(&mut environment, &variables);
            LaunchContainer {
                name: template.name().into(),
                image,
                entry_point,
                command,
                environment,
                secrets: template.secrets.clone().unwrap_or_default(),
                resources,
                log_group: log_group(template),
                log_stream: log_stream(definition, template, placement.task_id),
                essential: template.is_essential(),
                depends_on: template.role.as_ref().map(|role| role.depends_on.clone()).unwrap_or_default(),
                init: template.role.as_ref().is_some_and(|role| role.init),
            }
        });
        let incarnation = self.state.instances.get(&placement.instance_id).map(|i| i.record.incarnation);
        let environment = self.state.compute_environments.get(&placement.compute_environment);
        let launch = Launch {
            attempt,
            task_id: placement.task_id,
            scope: job.scope(),
            job_name: job.name.clone(),
            kind: task.kind,
            containers: containers.collect(),
            resources: job.resources_of(id.member),
            properties: task.properties.clone(),
            cluster: environment.map(|ce| ce.cluster()).unwrap_or_default(),
            incarnation: incarnation.expect("attempts are placed on instances that are known"),
            address: placement.address,
            instance_id: placement.instance_id.clone(),
        };
        self.act(Action::Start(Box::new(launch)));
    }

    /// The variables that AWS Batch sets in every container; they win over everything.
    fn batch_variables(
        &self,
        job: &Job,
        id: JobId,
        attempt: u32,
        placement: &Placement,
        kind: TaskKind,
    ) -> Vec<(Text, Text)> {
        let mut variables: Vec<(Text, Text)> = Vec::new();
        let mut set = |name: &str, value: String| variables.push((name.into(), value.into()));
        set("AWS_BATCH_JOB_ID", id.to_string());
        set("AWS_BATCH_JOB_ATTEMPT", attempt.to_string());
        set("AWS_BATCH_JQ_NAME", name_of(&job.queue).to_owned());
        set("AWS_BATCH_CE_NAME", name_of(&placement.compute_environment).to_owned());
        if let (Member::Index(index), Some(array)) = (id.member, &job.array) {
            set("AWS_BATCH_JOB_ARRAY_INDEX", index.to_string());
            set("AWS_BATCH_JOB_ARRAY_SIZE", array.size.to_string());
        }
        if let (Member::Node(node), Some(nodes)) = (id.member, &job.nodes) {
            set("AWS_BATCH_JOB_MAIN_NODE_INDEX", nodes.main_node.to_string());
            set("AWS_BATCH_JOB_NODE_INDEX", node.to_string());
            set("AWS_BATCH_JOB_NUM_NODES", nodes.num_nodes().to_string());
            let main = self.state.find(JobId::node(job.id, nodes.main_node));
            let address = main.and_then(|(_, main)| main.placement.as_ref()?.address);
            if let Some(address) = address.filter(|_| node != nodes.main_node) {
                set("AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS", address.to_string());
            }
        }
        if kind == TaskKind::Eks {
            set("AWS_BATCH_JOB_KUBERNETES_NODE_UID", placement.instance_id.to_string());
        }
        variables
    }
}
