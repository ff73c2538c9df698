"""Queues of service jobs, and the training jobs in them."""

import json

from server import ENDED, wait_for

GROUP = "/aws/sagemaker/TrainingJobs"


def create_queue(server, name, limits, **policy):
    """Creates a service environment with these limits and a queue on it, both called `name`, and waits for them.

    With `quotaSharePolicy` or `fairsharePolicy`, a scheduling policy of that name too.
    """
    limits = [{"capacityUnit": unit, "maxCapacity": most} for unit, most in limits.items()]
    server.batch.create_service_environment(
        serviceEnvironmentName=name, serviceEnvironmentType="SAGEMAKER_TRAINING", capacityLimits=limits
    )
    look = lambda: server.batch.describe_service_environments(serviceEnvironments=[name])["serviceEnvironments"]  # noqa: E731
    wait_for(look, lambda found: found and found[0]["status"] == "VALID")
    order = [{"order": 1, "serviceEnvironment": name}]
    members = {}
    if policy:
        members["schedulingPolicyArn"] = server.batch.create_scheduling_policy(name=name, **policy)["arn"]
    server.batch.create_job_queue(jobQueueName=name, priority=1, serviceEnvironmentOrder=order, **members)
    server.settled_queue(name)
    return name


def payload(script="true", instances=1, instance_type="ml.m5.large", **members):
    """A CreateTrainingJob request that runs `sh -c script` on this machine."""
    return json.dumps({
        "TrainingJobName": "given by AWS Batch",
        "RoleArn": "arn:aws:iam::000000000000:role/r",
        "AlgorithmSpecification": {
            "TrainingImage": "host",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["sh", "-c"],
            "ContainerArguments": [script],
        },
        "OutputDataConfig": {"S3OutputPath": "s3://bucket"},
        "ResourceConfig": {"InstanceType": instance_type, "InstanceCount": instances, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    } | members)


def submit(server, queue, script="true", *, name="fit", request=None, instances=1, instance_type="ml.m5.large", **members):
    """Submits a training job and returns the service job's id."""
    return server.batch.submit_service_job(
        jobName=name, jobQueue=queue, serviceJobType="SAGEMAKER_TRAINING",
        serviceRequestPayload=request or payload(script, instances, instance_type), **members,
    )["jobId"]


def wait(server, job_id, *statuses, seconds=20):
    """Waits until a service job has one of the statuses (none given: until it has ended) and returns it."""
    wanted = statuses or ENDED
    look = lambda: server.batch.describe_service_job(jobId=job_id)  # noqa: E731
    return wait_for(look, lambda job: job["status"] in wanted, seconds)


def training_job(job):
    """Name of the latest attempt's training job."""
    return job["latestAttempt"]["serviceResourceId"]["value"].rsplit("/", 1)[1]


def messages(server, job):
    """What the latest attempt has logged, and the name of its stream."""
    streams = server.logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=training_job(job) + "/")
    [stream] = [stream["logStreamName"] for stream in streams["logStreams"]]
    events = server.logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)["events"]
    return stream, [event["message"] for event in events]
