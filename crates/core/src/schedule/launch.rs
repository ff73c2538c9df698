//! From a placement to what the backend is told: command, environment, log stream, ARNs.
//!
//! Source: AWS Batch User Guide, job environment variables; Amazon ECS task metadata; awslogs log driver.

use crate::arn::{Scope, name_of};
use crate::attempt::{Action, Launch};
use crate::container;
use crate::id::{JobId, Member, TaskId};
use crate::job::{Job, Placement};
use crate::resource::job_definition::JobDefinition;
use crate::text::Text;
use crate::turn::Turn;

/// Where output goes unless `logConfiguration` says otherwise.
pub const DEFAULT_LOG_GROUP: &str = "/aws/batch/job";

/// Characters of the definition's name that a log stream name may hold.
const LOG_STREAM_PREFIX_MAX: usize = 200;

/// The log group of a definition's jobs.
pub fn log_group(definition: &JobDefinition) -> Text {
    definition.container.log_group.clone().unwrap_or_else(|| DEFAULT_LOG_GROUP.into())
}

/// `{prefix}/default/{task id}`; the prefix is the definition's name unless `awslogs-stream-prefix` says otherwise.
pub fn log_stream(definition: &JobDefinition, task_id: TaskId) -> Text {
    let prefix = definition.container.log_stream_prefix.as_deref().unwrap_or_else(|| {
        let name = definition.name(); // ASCII by its pattern
        &name[..name.len().min(LOG_STREAM_PREFIX_MAX)]
    });
    format!("{prefix}/default/{task_id}").into()
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
        let mut container =
            container::effective(&definition.container, job.overrides.as_deref(), &job.parameters)
                .expect("parameters were checked when the job was submitted");
        container::set_all(&mut container.environment, &batch_variables(&job, id, attempt.number, placement));
        let incarnation = self.state.instances.get(&placement.instance_id).map(|i| i.record.incarnation);
        let environment = self.state.compute_environments.get(&placement.compute_environment);
        let launch = Launch {
            attempt,
            task_id: placement.task_id,
            scope: job.scope(),
            job_name: job.name.clone(),
            image: container.image,
            command: container.command,
            environment: container.environment,
            resources: job.resources,
            log_group: log_group(definition),
            log_stream: log_stream(definition, placement.task_id),
            container_properties: definition.container_properties.clone(),
            cluster: environment.map(|ce| ce.cluster()).unwrap_or_default(),
            incarnation: incarnation.expect("attempts are placed on instances that are known"),
        };
        self.act(Action::Start(Box::new(launch)));
    }
}

/// The variables that AWS Batch sets in every container; they win over everything.
fn batch_variables(job: &Job, id: JobId, attempt: u32, placement: &Placement) -> Vec<(Text, Text)> {
    let mut variables: Vec<(Text, Text)> = vec![
        ("AWS_BATCH_JOB_ID".into(), id.to_string().into()),
        ("AWS_BATCH_JOB_ATTEMPT".into(), attempt.to_string().into()),
        ("AWS_BATCH_JQ_NAME".into(), name_of(&job.queue).into()),
        ("AWS_BATCH_CE_NAME".into(), name_of(&placement.compute_environment).into()),
    ];
    if let (Member::Index(index), Some(array)) = (id.member, &job.array) {
        variables.push(("AWS_BATCH_JOB_ARRAY_INDEX".into(), index.to_string().into()));
        variables.push(("AWS_BATCH_JOB_ARRAY_SIZE".into(), array.size.to_string().into()));
    }
    variables
}
