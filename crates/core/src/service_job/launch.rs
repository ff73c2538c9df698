//! From a placement to what the backend is told: training job, environment, log stream.
//!
//! Source: Amazon SageMaker Developer Guide, how SageMaker runs your training image, and log groups; API reference,
//! CreateTrainingJob.

use crate::arn::{Arn, Scope, name_of};
use crate::attempt::{Action, Launch, LaunchContainer};
use crate::container;
use crate::id::{AttemptId, TaskId};
use crate::instance::Instance;
use crate::quantity::Resources;
use crate::service_job::{ServiceJob, ServicePlacement};
use crate::task::TaskKind;
use crate::text::{Document, Text};
use crate::turn::Turn;

/// Where training jobs write.
pub const LOG_GROUP: &str = "/aws/sagemaker/TrainingJobs";

impl ServiceJob {
    /// Name of the training job that an attempt stands for: `AWSBatch{jobName}{attempt id}`.
    pub fn training_job_name(&self, task_id: TaskId) -> Text {
        format!("AWSBatch{}{task_id}", self.name).into()
    }

    /// `{training job name}/algo-1-{epoch seconds}`.
    fn log_stream(&self, task_id: TaskId) -> Text {
        let seconds = self.scheduled_at.unwrap_or_default().0 / 1000;
        format!("{}/algo-1-{seconds}", self.training_job_name(task_id)).into()
    }

    fn launch(&self, placement: &ServicePlacement, attempt: AttemptId, host: &Instance) -> Launch {
        let (scope, name) = (self.scope(), self.training_job_name(placement.task_id));
        let mut environment = self.training.environment.clone();
        let own = [
            ("TRAINING_JOB_NAME".into(), name.clone()),
            ("TRAINING_JOB_ARN".into(), training_job_arn(&scope, &name)),
        ];
        container::set_all(&mut environment, &own);
        let resources = Resources { gpus: 0, ..host.capacity }; // no share of the machine is set apart for it
        let container = LaunchContainer {
            name: "default".into(),
            image: self.training.image.clone(),
            entry_point: Vec::new(),
            command: self.training.command.clone(),
            environment,
            secrets: Vec::new(),
            resources,
            log_group: LOG_GROUP.into(),
            log_stream: self.log_stream(placement.task_id),
            essential: true,
            depends_on: Vec::new(),
            init: false,
        };
        Launch {
            attempt,
            task_id: placement.task_id,
            scope,
            job_name: self.name.clone(),
            kind: TaskKind::Container,
            containers: vec![container],
            resources,
            properties: Document::default(),
            cluster: name_of(&placement.environment).into(),
            incarnation: host.incarnation,
            address: None,
            instance_id: host.instance_id.clone(),
        }
    }
}

/// `arn:…:sagemaker:…:training-job/{name}`.
pub fn training_job_arn(scope: &Scope, name: &str) -> Arn {
    scope.arn("sagemaker", &format!("training-job/{name}"))
}

impl Turn<'_> {
    /// Tells the backend to run the current attempt. May be told again: the backend starts it once.
    pub(super) fn start_service_job(&mut self, attempt: AttemptId) {
        let Some(job) = self.state.service_jobs.current(attempt) else { return };
        let Some(placement) = job.placement.as_deref() else { return };
        let host = &self.state.instances.get(&placement.instance_id);
        let host = &host.expect("attempts are placed on instances that are known").record;
        let launch = job.launch(placement, attempt, host);
        self.act(Action::Start(Box::new(launch)));
    }
}
