//! The calls of clients, as data: they can be made again.

use fornada_core::arn::Arn;
use fornada_core::id::{JobId, Uuid};
use fornada_core::job::JobStatus;
use fornada_core::job::depends_on::Dependency;
use fornada_core::job::submit::Submission;
use fornada_core::refusal::Refusal;
use fornada_core::resource::compute_environment as ce;
use fornada_core::resource::consumable_resource;
use fornada_core::resource::job_definition::JobDefinition;
use fornada_core::resource::job_queue;
use fornada_core::resource::quota_share::{QuotaShare, QuotaShareUpdate};
use fornada_core::resource::scheduling_policy;
use fornada_core::resource::tags::Tags;
use fornada_core::service_job::ServiceJobStatus;
use fornada_core::service_job::capacity::CapacityLimit;
use fornada_core::service_job::submit::ServiceSubmission;
use fornada_core::text::Text;
use fornada_core::time::Timestamp;
use fornada_core::turn::Turn;

use crate::build::scope;

#[derive(Clone, Debug)]
pub enum Call {
    CreateEnvironment(ce::Specification),
    /// `None` keeps what it scales like.
    UpdateEnvironment {
        arn: Arn,
        enabled: bool,
        max_vcpus: u32,
        min_vcpus: u32,
        replaces: bool,
        terminates: bool,
    },
    DeleteEnvironment(Arn),
    CreateQueue(job_queue::Specification),
    UpdateQueue {
        arn: Arn,
        enabled: bool,
        priority: i32,
        environments: Option<Vec<Arn>>,
    },
    DeleteQueue(Arn),
    CreatePolicy(scheduling_policy::Specification),
    UpdatePolicy(scheduling_policy::Specification),
    DeletePolicy(Arn),
    Register(&'static str, Box<JobDefinition>),
    Deregister(String),
    Submit(Box<Submission>),
    Cancel(JobId),
    Terminate(JobId),
    Tag(Arn, Tags),
    Untag(Arn, Text),
    CreateConsumable(Arn, bool, u64),
    UpdateConsumable(Arn, consumable_resource::Change, Option<Text>),
    DeleteConsumable(Arn),
    CreateServiceEnvironment(Arn, Vec<CapacityLimit>),
    UpdateServiceEnvironment(Arn, bool, Vec<CapacityLimit>),
    DeleteServiceEnvironment(Arn),
    CreateShare(Box<QuotaShare>),
    UpdateShare(Arn, QuotaShareUpdate),
    DeleteShare(Arn),
    Train(Box<ServiceSubmission>),
    TerminateTraining(Uuid),
    Prioritise(Uuid, u32),
    Describe(JobId),
    DescribeTraining(Uuid),
}

/// What a client is told.
#[derive(Clone, Debug)]
pub enum Reply {
    Done,
    Refused(Refusal),
    /// Jobs that it is about are not in memory.
    Absent(Vec<Uuid>),
    /// The new job: its id, how many children or nodes it has, and whether it is an array.
    Submitted(Uuid, u32, bool),
    Training(Uuid),
    /// Status, and number of attempts that ended; `None` when there is no such job.
    Job(JobId, Option<(JobStatus, usize)>),
    TrainingJob(Uuid, Option<(ServiceJobStatus, usize)>),
}

impl Call {
    /// The operation.
    pub fn name(&self) -> &'static str {
        match self {
            Call::CreateEnvironment(_) => "CreateComputeEnvironment",
            Call::UpdateEnvironment { .. } => "UpdateComputeEnvironment",
            Call::DeleteEnvironment(_) => "DeleteComputeEnvironment",
            Call::CreateQueue(_) => "CreateJobQueue",
            Call::UpdateQueue { .. } => "UpdateJobQueue",
            Call::DeleteQueue(_) => "DeleteJobQueue",
            Call::CreatePolicy(_) => "CreateSchedulingPolicy",
            Call::UpdatePolicy(_) => "UpdateSchedulingPolicy",
            Call::DeletePolicy(_) => "DeleteSchedulingPolicy",
            Call::Register(..) => "RegisterJobDefinition",
            Call::Deregister(_) => "DeregisterJobDefinition",
            Call::Submit(_) => "SubmitJob",
            Call::Cancel(_) => "CancelJob",
            Call::Terminate(_) => "TerminateJob",
            Call::Tag(..) => "TagResource",
            Call::Untag(..) => "UntagResource",
            Call::CreateConsumable(..) => "CreateConsumableResource",
            Call::UpdateConsumable(..) => "UpdateConsumableResource",
            Call::DeleteConsumable(_) => "DeleteConsumableResource",
            Call::CreateServiceEnvironment(..) => "CreateServiceEnvironment",
            Call::UpdateServiceEnvironment(..) => "UpdateServiceEnvironment",
            Call::DeleteServiceEnvironment(_) => "DeleteServiceEnvironment",
            Call::CreateShare(_) => "CreateQuotaShare",
            Call::UpdateShare(..) => "UpdateQuotaShare",
            Call::DeleteShare(_) => "DeleteQuotaShare",
            Call::Train(_) => "SubmitServiceJob",
            Call::TerminateTraining(_) => "TerminateServiceJob",
            Call::Prioritise(..) => "UpdateServiceJob",
            Call::Describe(_) => "DescribeJobs",
            Call::DescribeTraining(_) => "DescribeServiceJob",
        }
    }

    /// What it is about, in short.
    pub fn detail(&self) -> String {
        match self {
            Call::Submit(given) => format!(
                "{} in {}, array {:?}, needs {:?}, after {:?}, retry {:?}, timeout {:?}",
                given.definition,
                given.queue,
                given.array_size,
                given.consumables.as_ref().map(|all| all.iter().map(|one| one.quantity).collect::<Vec<_>>()),
                given.depends_on,
                given.retry.as_ref().map(|retry| retry.attempts),
                given.timeout_seconds
            ),
            Call::Cancel(id) | Call::Terminate(id) | Call::Describe(id) => id.to_string(),
            Call::TerminateTraining(id) | Call::Prioritise(id, _) | Call::DescribeTraining(id) => {
                id.to_string()
            }
            Call::Train(given) => format!("share {:?}, {:?}", given.quota_share, given.training.instances),
            Call::CreateEnvironment(given) => given.arn.to_string(),
            Call::CreateQueue(given) => given.arn.to_string(),
            Call::CreatePolicy(given) | Call::UpdatePolicy(given) => given.arn.to_string(),
            Call::Register(name, _) => (*name).to_owned(),
            Call::CreateShare(given) => given.arn.to_string(),
            other => format!("{other:?}"),
        }
    }

    /// The jobs that it names and has to know.
    fn jobs(&self) -> Vec<Uuid> {
        match self {
            Call::Submit(given) => given.depends_on.iter().filter_map(Dependency::target).collect(),
            Call::Train(given) => {
                let token = given.client_token.as_deref();
                token.map(|token| ServiceSubmission::id(&scope(), token)).into_iter().collect()
            }
            Call::Describe(id) => vec![id.job],
            Call::DescribeTraining(id) | Call::Prioritise(id, _) => vec![*id],
            Call::Tag(arn, _) | Call::Untag(arn, _) => {
                let job = arn.rsplit_once("job/").and_then(|(_, id)| id.parse::<JobId>().ok());
                job.map(|id| id.job).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Carries it out within a turn, if all jobs that it is about are there.
    pub fn apply(self, turn: &mut Turn<'_>) -> Reply {
        let absent: Vec<Uuid> = self.jobs().into_iter().filter(|&job| !turn.state().knows(job)).collect();
        if absent.is_empty() { self.carry_out(turn) } else { Reply::Absent(absent) }
    }

    /// Carries it out within a turn.
    pub fn carry_out(self, turn: &mut Turn<'_>) -> Reply {
        let result = match self {
            Call::CreateEnvironment(given) => turn.create_compute_environment(given, Tags::new()),
            Call::UpdateEnvironment { arn, enabled, max_vcpus, min_vcpus, replaces, terminates } => {
                let Some(ce) = turn.state().compute_environments().get(&arn).cloned() else {
                    return Reply::Refused(Refusal::NoSuchResource { arn });
                };
                let scaling = ce.scaling.clone().map(|mut scaling| {
                    (scaling.min_vcpus, scaling.desired_vcpus) = (min_vcpus, min_vcpus);
                    scaling.generation += u32::from(replaces);
                    scaling.terminate_jobs_on_update = terminates;
                    scaling
                });
                let given = ce::Specification {
                    arn,
                    platform: ce.platform,
                    enabled,
                    max_vcpus: ce.max_vcpus.map(|_| max_vcpus),
                    scaling,
                    document: ce.document.clone(),
                };
                turn.update_compute_environment(given, ce.version)
            }
            Call::DeleteEnvironment(arn) => turn.delete_compute_environment(&arn),
            Call::CreateQueue(given) => turn.create_job_queue(given, Tags::new()),
            Call::UpdateQueue { arn, enabled, priority, environments } => {
                let Some(queue) = turn.state().job_queues().get(&arn).cloned() else {
                    return Reply::Refused(Refusal::NoSuchResource { arn });
                };
                let given = job_queue::Specification {
                    arn,
                    enabled,
                    priority,
                    environments: environments.unwrap_or_else(|| queue.environments.clone()),
                    scheduling_policy: queue.scheduling_policy.clone(),
                    service_environment: queue.service_environment.clone(),
                    time_limits: queue.time_limits.clone(),
                    document: queue.document.clone(),
                };
                turn.update_job_queue(given, queue.version)
            }
            Call::DeleteQueue(arn) => turn.delete_job_queue(&arn),
            Call::CreatePolicy(given) => turn.create_scheduling_policy(given, Tags::new()),
            Call::UpdatePolicy(given) => turn.update_scheduling_policy(given),
            Call::DeletePolicy(arn) => turn.delete_scheduling_policy(&arn),
            Call::Register(name, definition) => {
                turn.register_job_definition(&scope(), name, *definition);
                Ok(())
            }
            Call::Deregister(name) => turn.deregister_job_definition(&scope(), &name),
            Call::Submit(given) => match turn.submit_job(&scope(), *given) {
                Ok(job) => {
                    let nodes = job.nodes.as_ref().map_or(0, |nodes| nodes.num_nodes());
                    let size = job.array.as_ref().map_or(nodes, |array| array.size);
                    return Reply::Submitted(job.id, size, job.array.is_some());
                }
                Err(refusal) => Err(refusal),
            },
            Call::Cancel(id) => {
                turn.cancel_job(id, &"cancelled".into());
                Ok(())
            }
            Call::Terminate(id) => {
                turn.terminate_job(id, &"terminated".into());
                Ok(())
            }
            Call::Tag(arn, tags) => turn.tag_resource(&scope(), &arn, &tags),
            Call::Untag(arn, key) => turn.untag_resource(&scope(), &arn, &[key]),
            Call::CreateConsumable(arn, replenishable, total) => {
                turn.create_consumable_resource(arn, replenishable, total, Tags::new())
            }
            Call::UpdateConsumable(arn, change, token) => {
                turn.update_consumable_resource(&arn, change, token.as_ref()).map(drop)
            }
            Call::DeleteConsumable(arn) => turn.delete_consumable_resource(&arn),
            Call::CreateServiceEnvironment(arn, limits) => {
                turn.create_service_environment(arn, true, limits, Tags::new())
            }
            Call::UpdateServiceEnvironment(arn, enabled, limits) => {
                turn.update_service_environment(&arn, Some(enabled), Some(limits))
            }
            Call::DeleteServiceEnvironment(arn) => turn.delete_service_environment(&arn),
            Call::CreateShare(given) => turn.create_quota_share(*given),
            Call::UpdateShare(arn, update) => turn.update_quota_share(&arn, update),
            Call::DeleteShare(arn) => turn.delete_quota_share(&arn),
            Call::Train(given) => match turn.submit_service_job(&scope(), *given) {
                Ok(job) => return Reply::Training(job.id),
                Err(refusal) => Err(refusal),
            },
            Call::TerminateTraining(id) => {
                turn.terminate_service_job(id, &"terminated".into());
                Ok(())
            }
            Call::Prioritise(id, priority) => turn.update_service_job(&scope(), id, priority).map(drop),
            Call::Describe(id) => return describe(turn, id),
            Call::DescribeTraining(id) => {
                let job = turn.state().service_job(id);
                return Reply::TrainingJob(id, job.map(|job| (job.status, job.attempts.len())));
            }
        };
        result.map_or_else(Reply::Refused, |()| Reply::Done)
    }
}

/// The status of a job, and that it explains itself.
fn describe(turn: &Turn<'_>, id: JobId) -> Reply {
    let state = turn.state();
    let found = state.find(id).map(|(_, execution)| {
        let explanation = state.explain(id, Timestamp(state.latest().0));
        assert!(
            explanation.is_some_and(|it| !it.summary.is_empty()),
            "EXPLANATION: {id} does not explain itself"
        );
        (execution.status, execution.attempts.len())
    });
    Reply::Job(id, found)
}
