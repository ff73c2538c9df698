"""Source: AWS Batch API reference, CreateJobQueue and UpdateJobQueue; AWS Batch User Guide, Job queue parameters."""

from server import ARN

from .case import OBSERVED, OWN, Case, patched

LIMIT = {"reason": "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", "state": "RUNNABLE", "maxTimeSeconds": 600}


def order(*names, numbers=range(1, 9)):
    return [{"order": number, "computeEnvironment": name} for number, name in zip(numbers, names)]


def service(*names):
    return [{"order": number, "serviceEnvironment": name} for number, name in enumerate(names, 1)]


def create(text, source=OBSERVED, **changes):
    whole = {"jobQueueName": "refused", "priority": 1, "computeEnvironmentOrder": order("ec2-a")}
    return Case("CreateJobQueue", patched(whole, changes), text, source)


def training(text, *names, **members):
    return create(text, serviceEnvironmentOrder=service(*names), computeEnvironmentOrder=None, **members)


def update(name, text, source=OBSERVED, **members):
    return Case("UpdateJobQueue", {"jobQueue": name, **members}, text, source)


CASES = [
    create("Job Queue name should match a valid pattern.", jobQueueName="with space"),
    create("computeEnvironmentOrder is required.", OWN, computeEnvironmentOrder=None),
    create(
        "Compute Environments must be created and valid before attaching them to a job queue",
        computeEnvironmentOrder=order("nobody"),
    ),
    create(
        "Only 3 environments are allowed in job queue request.",
        computeEnvironmentOrder=order("local", "ec2-a", "ec2-b", "ec2-c"),
    ),
    create(
        "Duplicate ComputeEnvironment order values.",
        computeEnvironmentOrder=order("ec2-a", "ec2-b", numbers=(1, 1)),
    ),
    create(
        "Duplicate ComputeEnvironments within order list.",
        computeEnvironmentOrder=order("ec2-a", f"{ARN}compute-environment/ec2-a"),
    ),
    create(
        "Fargate and EC2 compute environments can not be mixed.", computeEnvironmentOrder=order("ec2-a", "fargate")
    ),
    create("ECS and EKS compute environments can not be mixed.", OWN, computeEnvironmentOrder=order("ec2-a", "eks")),
    create(
        "ECS and ECS_MANAGED_INSTANCES compute environments can not be mixed.", OWN,
        computeEnvironmentOrder=order("ec2-a", "managed"),
    ),
    create(
        "The compute environments of a job queue must have the same architecture.", OWN,
        computeEnvironmentOrder=order("ec2-a", "ec2-arm"),
    ),
    create(
        "The jobQueueType is EKS, which is incompatible with compute environments for ECS.", OWN, jobQueueType="EKS"
    ),
    create(
        "A job queue has either computeEnvironmentOrder or serviceEnvironmentOrder, not both.", OWN,
        serviceEnvironmentOrder=service("training"),
    ),
    training("Job queue can only have 1 service environment.", "training", "spare"),
    training("Service environments must be created and valid before attaching them to a job queue.", "nobody"),
    training(
        "The jobQueueType provided is ECS, which is incompatible with the provided serviceEnvironmentOrder.",
        "training", jobQueueType="ECS",
    ),
    create(
        "Job queues of type SAGEMAKER_TRAINING must have serviceEnvironmentOrder.", jobQueueType="SAGEMAKER_TRAINING"
    ),
    create("Only scheduling policy Arn can be allowed.", schedulingPolicyArn=f"{ARN}job-queue/default"),
    create("Only scheduling policy Arn can be allowed.", schedulingPolicyArn="fair"),
    create(
        f"SchedulingPolicy {ARN}scheduling-policy/nobody not found.",
        schedulingPolicyArn=f"{ARN}scheduling-policy/nobody",
    ),
    create(
        "SchedulingPolicy arn:aws:batch:eu-west-1:000000000000:scheduling-policy/fair not found.",
        schedulingPolicyArn="arn:aws:batch:eu-west-1:000000000000:scheduling-policy/fair",
    ),
    create(
        "Quota Management feature is only supported for SageMaker Training job queues.",
        schedulingPolicyArn=f"{ARN}scheduling-policy/quota",
    ),
    create(
        "Invalid job action. Valid job actions: [CANCEL]",
        jobStateTimeLimitActions=[LIMIT | {"action": "TERMINATE"}],
    ),
    training(
        "Invalid job action. Valid job actions: [TERMINATE]", "training",
        jobStateTimeLimitActions=[LIMIT | {"action": "CANCEL"}],
    ),
    create(
        "Duplicate job state limit actions are not allowed.",
        jobStateTimeLimitActions=[
            LIMIT | {"action": "CANCEL"}, LIMIT | {"action": "CANCEL", "maxTimeSeconds": 900}
        ],
    ),
    *[
        create(
            "maxTimeSeconds of a job state limit action must be between 600 and 86400.", OWN,
            jobStateTimeLimitActions=[LIMIT | {"action": "CANCEL", "maxTimeSeconds": seconds}],
        )
        for seconds in (599, 86_401)
    ],
    create(f"Object already exists: {ARN}job-queue/default already exists", jobQueueName="default"),

    update("nobody", f"{ARN}job-queue/nobody does not exist", priority=1),
    update(f"{ARN}job-queue/nobody", f"{ARN}job-queue/nobody does not exist", priority=1),
    update(
        "default", "Compute Environments must be created and valid before attaching them to a job queue",
        computeEnvironmentOrder=order("nobody"),
    ),
    update(
        "default",
        f"Job queue {ARN}job-queue/default is a FIFO queue and cannot get a scheduling policy: create a queue with one",
        OWN, schedulingPolicyArn=f"{ARN}scheduling-policy/fair",
    ),
    update(
        "fair",
        "Quota Management feature is only supported for SageMaker Training job queues.",
        schedulingPolicyArn=f"{ARN}scheduling-policy/quota",
    ),
    update(
        "shared",
        f"The scheduling policy of job queue {ARN}job-queue/shared can only be replaced by one of the same kind: create a "
        "queue with it", OWN, schedulingPolicyArn=f"{ARN}scheduling-policy/fair",
    ),
    Case("DeleteJobQueue", {"jobQueue": "nobody"}, f"{ARN}job-queue/nobody does not exist"),
    Case("DeleteJobQueue", {"jobQueue": "default"}, "Cannot delete, state must be DISABLED", OWN),

    *[
        create(None, "AWS Batch User Guide, Job queue parameters", jobQueueName=f"mixed-{number}",
               jobQueueType=type, computeEnvironmentOrder=order(*names))
        for number, (type, *names) in enumerate([
            ("ECS", "ec2-a", "spot", "unmanaged"), ("ECS_FARGATE", "fargate", "fargate-own-role"), ("EKS", "eks"),
            ("ECS_MANAGED_INSTANCES", "managed"), ("ECS", "ec2-arm"),
        ])
    ],
    create(None, "AWS Batch API reference, JobStateTimeLimitAction", jobQueueName="limited",
           jobStateTimeLimitActions=[LIMIT | {"action": "CANCEL"}]),
    training(None, "training", jobQueueName="limited-training", jobQueueType="SAGEMAKER_TRAINING",
             jobStateTimeLimitActions=[LIMIT | {"action": "TERMINATE"}]),
]
