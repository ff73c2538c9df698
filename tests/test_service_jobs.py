"""Service jobs: training jobs with the image `host`. Source: AWS Batch User Guide, service jobs."""

import json
import re

import pytest
from botocore.exceptions import ClientError

from server import ACCOUNT, ARN, REGION, wait_for
from service import GROUP, create_queue, messages, payload, submit, training_job, wait

FROM = "Received status from SageMaker: "


@pytest.fixture(scope="module")
def queue(server):
    """A queue with room for many."""
    return create_queue(server, "training", {"NUM_INSTANCES": 1000})


def test_a_training_job_runs(server, queue):
    """API reference, DescribeServiceJob; SageMaker Developer Guide, TRAINING_JOB_NAME, TRAINING_JOB_ARN, log groups."""
    request = payload('echo "$TRAINING_JOB_NAME $TRAINING_JOB_ARN $SIZE"', 3, Environment={"SIZE": "large"})
    job_id = submit(server, queue, request=request, name="my-fit", tags={"team": "bakers"}, schedulingPriority=5)
    job = wait(server, job_id, "SUCCEEDED")
    name = training_job(job)
    assert re.fullmatch("AWSBatchmy-fit[0-9a-f]{32}", name)
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{name}"
    resource = {"name": "TrainingJobArn", "value": arn}
    [attempt] = job["attempts"]
    assert attempt["serviceResourceId"] == resource
    assert attempt["statusReason"] == job["statusReason"] == FROM + "Training job completed"
    assert job["createdAt"] <= job["scheduledAt"] <= job["startedAt"] <= job["stoppedAt"]
    assert (attempt["startedAt"], attempt["stoppedAt"]) == (job["startedAt"], job["stoppedAt"])
    wanted = {
        "jobId": job_id, "jobArn": f"{ARN}service-job/{job_id}", "jobName": "my-fit", "jobQueue": f"{ARN}job-queue/{queue}",
        "serviceJobType": "SAGEMAKER_TRAINING", "serviceRequestPayload": request, "isTerminated": False,
        "latestAttempt": {"serviceResourceId": resource}, "tags": {"team": "bakers"}, "schedulingPriority": 5,
        "capacityUsage": [{"capacityUnit": "NUM_INSTANCES", "quantity": 3.0}],
    }
    assert {key: job.get(key) for key in wanted} == wanted
    stream, lines = messages(server, job)
    assert stream == f"{name}/algo-1-{job['scheduledAt'] // 1000}"
    assert lines == [f"{name} {arn} large"]


def test_train_is_the_command_when_none_is_given(server, queue, tmp_path):
    """SageMaker Developer Guide, how SageMaker runs your training image: `docker run image train`."""
    train = tmp_path / "train"
    train.write_text("#!/bin/sh\necho trained\n")
    train.chmod(0o755)
    request = json.loads(payload(Environment={"PATH": f"{tmp_path}:/usr/bin:/bin"}))
    request["AlgorithmSpecification"] = {"TrainingImage": "host", "TrainingInputMode": "File"}
    job = wait(server, submit(server, queue, request=json.dumps(request)), "SUCCEEDED")
    assert messages(server, job)[1] == ["trained"]


@pytest.mark.parametrize(
    ("script", "members", "reason", "attempts"),
    [
        ("exit 3", {}, FROM + "AlgorithmError: , exit code: 3", 1),
        ("exit 3", {"retryStrategy": {"attempts": 2}}, FROM + "AlgorithmError: , exit code: 3", 2),
        (
            "exit 3",
            {
                "retryStrategy": {
                    "attempts": 3,
                    "evaluateOnExit": [{"action": "EXIT", "onStatusReason": FROM + "AlgorithmError: *"}],
                }
            },
            FROM + "AlgorithmError: , exit code: 3",
            1,
        ),
    ],
    ids=["fails", "is tried again", "is not tried again"],
)
def test_failures(server, queue, script, members, reason, attempts):
    """User Guide, service job retry strategies."""
    job = wait(server, submit(server, queue, script, **members), "FAILED")
    assert (job["statusReason"], len(job["attempts"])) == (reason, attempts)
    assert len({attempt["serviceResourceId"]["value"] for attempt in job["attempts"]}) == attempts


def test_max_runtime(server, queue):
    """SageMaker API reference, StoppingCondition."""
    request = payload("sleep 600", StoppingCondition={"MaxRuntimeInSeconds": 1})
    job = wait(server, submit(server, queue, request=request), "FAILED")
    assert job["statusReason"] == FROM + "Training job runtime exceeded MaxRuntimeInSeconds provided"


def test_other_images(server, queue):
    """An image that cannot be run here fails the job in SageMaker's words."""
    request = json.loads(payload())
    request["AlgorithmSpecification"]["TrainingImage"] = "no such image!"
    job = wait(server, submit(server, queue, request=json.dumps(request)), "FAILED")
    assert job["statusReason"].startswith(FROM + "ClientError: ")
    assert "startedAt" not in job


def test_terminate(server, queue, gate, refused):
    """API reference, TerminateServiceJob and TerminateServiceJobs: what is unknown counts as terminated."""
    waiting = gate()
    one, other = [submit(server, queue, waiting.wait) for _ in range(2)]
    wait(server, one, "RUNNING")
    server.batch.terminate_service_job(jobId=one, reason="enough")
    unknown = "00000000-0000-4000-8000-000000000000"
    answer = server.batch.terminate_service_jobs(jobs=[other, unknown, "x"], reason="all of them")
    assert answer["successful"] == [other, unknown]
    [error] = answer["errors"]
    assert (error["job"], error["code"]) == ("x", "ClientException")
    for job_id, reason in [(one, "enough"), (other, "all of them")]:
        job = wait(server, job_id, "FAILED")
        assert (job["statusReason"], job["isTerminated"]) == (reason, True)
    server.batch.terminate_service_job(jobId=unknown, reason="unknown")
    with refused("jobs must have 1 to 50 job ids."):
        server.batch.terminate_service_jobs(jobs=[unknown] * 51, reason="too many")
    with refused("x is not a job id."):
        server.batch.terminate_service_job(jobId="x", reason="malformed")


def test_capacity(server, gate, refused):
    """User Guide, service environments: jobs wait for instances; one that is too large says so and lets others pass."""
    queue = create_queue(server, "narrow", {"NUM_INSTANCES": 2})
    waiting = gate()
    first = submit(server, queue, waiting.wait, instances=2)
    large = submit(server, queue, instances=3)
    second, third = [submit(server, queue, name=f"waits-{n}") for n in range(2)]
    wait(server, first, "RUNNING")
    held = wait(server, large, "RUNNABLE")
    assert held["statusReason"].startswith("MISCONFIGURATION:SERVICE_ENVIRONMENT_MAX_RESOURCE - ")
    assert "capacityUsage" not in held
    snapshot = server.batch.get_job_queue_snapshot(jobQueue=queue)
    front = [job["jobArn"] for job in snapshot["frontOfQueue"]["jobs"]]
    assert front == [f"{ARN}service-job/{job_id}" for job_id in (second, third)]
    usage = snapshot["queueUtilization"]["totalCapacityUsage"]
    assert usage == [{"capacityUnit": "NUM_INSTANCES", "quantity": 2.0}]
    answer = server.batch.update_service_job(jobId=third, schedulingPriority=9)
    assert (answer["jobId"], answer["jobArn"]) == (third, f"{ARN}service-job/{third}")
    assert wait(server, third, "RUNNABLE")["schedulingPriority"] == 9
    waiting.open()
    for job_id in (first, second, third):
        wait(server, job_id, "SUCCEEDED")
    with refused("has ended and cannot be updated"):
        server.batch.update_service_job(jobId=third, schedulingPriority=1)
    server.batch.update_service_environment(
        serviceEnvironment=queue, capacityLimits=[{"capacityUnit": "NUM_INSTANCES", "maxCapacity": 3}]
    )
    wait(server, large, "SUCCEEDED")


def test_list(server, gate, refused):
    """API reference, ListServiceJobs: RUNNING without a status; filters; newest first; pages."""
    queue = create_queue(server, "listed", {"NUM_INSTANCES": 1})
    waiting = gate()
    names = ["fit-1", "FIT-2", "other"]
    jobs = {name: submit(server, queue, waiting.wait, name=name) for name in names}
    running = wait(server, jobs["fit-1"], "RUNNING")

    def listed(**selection):
        pages = server.batch.get_paginator("list_service_jobs").paginate(
            jobQueue=queue, PaginationConfig={"PageSize": 1}, **selection
        )
        return [job["jobName"] for page in pages for job in page["jobSummaryList"]]

    def by(name, value):
        return listed(filters=[{"name": name, "values": [value]}])

    assert listed() == ["fit-1"]
    assert listed(jobStatus="RUNNABLE") == ["other", "FIT-2"]
    assert listed(jobStatus="SCHEDULED") == []
    assert by("JOB_NAME", "fit*") == ["FIT-2", "fit-1"]
    assert by("JOB_NAME", "OTHER") == ["other"]
    assert by("AFTER_CREATED_AT", "0") == ["other", "FIT-2", "fit-1"]
    assert by("BEFORE_CREATED_AT", str(running["createdAt"])) == []
    assert by("SHARE_IDENTIFIER", "s") == by("QUOTA_SHARE_NAME", "s") == []
    [summary] = server.batch.list_service_jobs(jobQueue=queue)["jobSummaryList"]
    shared = ["jobArn", "jobId", "createdAt", "scheduledAt", "startedAt", "latestAttempt", "capacityUsage", "status"]
    assert {key: summary[key] for key in shared} == {key: running[key] for key in shared}
    with refused("JOB_DEFINITION is not a filter"):
        by("JOB_DEFINITION", "x")
    with refused("jobQueue must be specified."):
        server.batch.list_service_jobs()
    with refused("job-queue/none does not exist"):
        server.batch.list_service_jobs(jobQueue="none")
    waiting.open(3)
    for job_id in jobs.values():
        wait(server, job_id, "SUCCEEDED")


def test_fair_share(server, gate, refused):
    """User Guide, fair-share scheduling policies: the share goes next whose instances times its weight are the fewest."""
    shares = {"shareDistribution": [{"shareIdentifier": "light", "weightFactor": 0.25}]}
    queue = create_queue(server, "fair-training", {"NUM_INSTANCES": 3}, fairsharePolicy=shares)
    waiting = gate()
    with refused("shareIdentifier is required"):
        submit(server, queue)
    with refused("has no quota share scheduling policy"):
        submit(server, queue, shareIdentifier="a", quotaShareName="a")
    light, heavy = [submit(server, queue, waiting.wait, shareIdentifier=share) for share in ("light", "heavy")]
    second = submit(server, queue, waiting.wait, shareIdentifier="light")
    for job_id in (light, heavy, second):
        assert "shareIdentifier" in wait(server, job_id, "RUNNING")
    waits = [submit(server, queue, waiting.wait, shareIdentifier=share) for share in ("heavy", "light", "light", "light")]
    shown = server.batch.get_job_queue_snapshot(jobQueue=queue)
    front = [job["jobArn"].rsplit("/")[-1] for job in shown["frontOfQueue"]["jobs"]]
    # heavy: 1; light: 2 × 0.25, and even with heavy at 4, when the older one goes.
    assert front == [waits[1], waits[2], waits[0], waits[3]]
    used = shown["queueUtilization"]["fairshareUtilization"]
    top = [(share["shareIdentifier"], share["capacityUsage"][0]["quantity"]) for share in used["topCapacityUtilization"]]
    assert (used["activeShareCount"], top) == (2, [("light", 2), ("heavy", 1)])
    waiting.open(7)
    for job_id in (light, heavy, second, *waits):
        wait(server, job_id, "SUCCEEDED")


def test_client_token(server, queue):
    """API reference, SubmitServiceJob: the second of two identical requests is rejected."""
    first = submit(server, queue, clientToken="once")
    with pytest.raises(ClientError, match=first):
        submit(server, queue, clientToken="once")
    submit(server, queue, clientToken="twice")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"jobName": "-bad"}, "Job name should match valid pattern"),
        ({"jobQueue": "none"}, "job-queue/none does not exist"),
        ({"jobQueue": "default"}, "is not of type SAGEMAKER_TRAINING"),
        ({"serviceRequestPayload": "{"}, "serviceRequestPayload is not valid JSON"),
        ({"serviceRequestPayload": "[]"}, "serviceRequestPayload must be a JSON object."),
        ({"serviceRequestPayload": "{}"}, "serviceRequestPayload is not a CreateTrainingJob request"),
        ({"serviceRequestPayload": payload("x" * 10240)}, "serviceRequestPayload can have at most 10 KiB."),
        ({"schedulingPriority": 10000}, "Scheduling priority must be between 0 and 9999."),
        ({"shareIdentifier": "s"}, "fair share"),
        ({"quotaShareName": "s"}, "has no quota share scheduling policy"),
        ({"retryStrategy": {"attempts": 11}}, "RetryAttempts must be between 1 and 10."),
        ({"retryStrategy": {"attempts": 2, "evaluateOnExit": [{"action": "EXIT"}]}}, "onStatusReason"),
        ({"timeoutConfig": {"attemptDurationSeconds": 59}}, "at least 60"),
        ({"clientToken": "x" * 65}, "clientToken"),
    ],
)
def test_submissions_that_are_refused(server, queue, refused, members, message):
    """API reference, SubmitServiceJob; User Guide, service quotas."""
    given = {
        "jobName": "fit", "jobQueue": queue, "serviceJobType": "SAGEMAKER_TRAINING", "serviceRequestPayload": payload()
    }
    with refused(message):
        server.unchecked.submit_service_job(**(given | members))


def test_unknown_and_foreign_jobs(server, queue, refused):
    """A container job is no service job, and the other way round."""
    job_id = submit(server, queue)
    container = server.submit()
    for unknown in (container, "00000000-0000-4000-8000-000000000000"):
        with refused(f"Service job {unknown} does not exist"):
            server.batch.describe_service_job(jobId=unknown)
    assert server.batch.describe_jobs(jobs=[job_id])["jobs"] == []
    server.batch.terminate_job(jobId=job_id, reason="not with this operation")
    assert not wait(server, job_id, "SUCCEEDED")["isTerminated"]


def test_tags(server, queue):
    """API reference, TagResource: service jobs and service environments."""
    for arn in (f"{ARN}service-job/{submit(server, queue)}", f"{ARN}service-environment/{queue}"):
        server.batch.tag_resource(resourceArn=arn, tags={"a": "1", "b": "2"})
        server.batch.untag_resource(resourceArn=arn, tagKeys=["a"])
        assert server.batch.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "2"}


@pytest.mark.parametrize("node_dies", [False, True])
def test_restart(own_server, gate, node_dies):
    """A running attempt survives a crash of the server; one whose machine died is an internal error of SageMaker."""
    server = own_server().start()
    queue = create_queue(server, "training", {"NUM_INSTANCES": 1})
    waiting = gate()
    job_id = submit(server, queue, f"echo before; {waiting.wait}; echo after")
    before = wait(server, job_id, "RUNNING")
    server.kill()
    if node_dies:
        server.kill_node()
    waiting.open()
    server.start()
    job = wait(server, job_id)
    if node_dies:
        assert (job["status"], len(job["attempts"])) == ("FAILED", 1)
        assert job["statusReason"].startswith(FROM + "InternalServerError: ")
    else:
        assert (job["status"], job["startedAt"]) == ("SUCCEEDED", before["startedAt"])
        assert messages(server, job)[1] == ["before", "after"]
    groups = server.logs.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]
    assert [group["logGroupName"] for group in groups] == [GROUP]
    wait_for(lambda: server.batch.list_service_jobs(jobQueue=queue)["jobSummaryList"], lambda jobs: not jobs)
