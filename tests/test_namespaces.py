"""Accounts and regions are namespaces: nobody sees, names or changes what is another's."""

import json

import pytest

from server import ACCOUNT, ARN, ENDED, GROUP, REGION, wait_for

OTHER_ACCOUNT = "111111111111"


@pytest.fixture(scope="module")
def both(server):
    """The shared server with a second access key, which belongs to another account."""
    server.stop()
    path = server.data_dir / "access-keys.json"
    written = json.loads(path.read_text())
    written["keys"].append(
        {"accessKeyId": "AKIAOTHERACCOUNT0000", "secretAccessKey": "s" * 40, "accountId": OTHER_ACCOUNT}
    )
    path.write_text(json.dumps(written))
    return server.start()


class Place:
    """The clients of one account in one region, and the prefix of its ARNs."""

    def __init__(self, server, region, key, account):
        self.batch = server.client("batch", region=region, key=key)
        self.logs = server.client("logs", region=region, key=key)
        self.arn = f"arn:aws:batch:{region}:{account}:"


@pytest.fixture(params=["region", "account"])
def other(request, both):
    """The same account in another region, or another account in the same region."""
    if request.param == "region":
        return Place(both, "eu-west-1", 0, ACCOUNT)
    return Place(both, REGION, 1, OTHER_ACCOUNT)


def test_nothing_is_shared(both, other, refused):
    """Another region or account starts empty and cannot reach across, by name or by ARN."""
    job_id = both.submit("echo mine")
    both.succeed(job_id)

    assert other.batch.describe_job_queues()["jobQueues"] == []
    assert other.batch.describe_compute_environments()["computeEnvironments"] == []
    assert other.batch.describe_job_definitions()["jobDefinitions"] == []
    for name in ("default", f"{ARN}job-queue/default"):
        assert other.batch.describe_job_queues(jobQueues=[name])["jobQueues"] == []
        with refused():
            other.batch.list_jobs(jobQueue=name)
        with refused():
            other.batch.update_job_queue(jobQueue=name, priority=99)
        with refused():
            other.batch.submit_job(jobName="x", jobQueue=name, jobDefinition=f"{ARN}job-definition/script:1")
    assert other.batch.describe_jobs(jobs=[job_id])["jobs"] == []
    with refused():
        other.batch.list_tags_for_resource(resourceArn=f"{ARN}job-queue/default")
    with refused():
        other.batch.tag_resource(resourceArn=f"{ARN}job/{job_id}", tags={"a": "b"})
    assert other.logs.describe_log_groups()["logGroups"] == []
    with refused(code="ResourceNotFoundException"):
        other.logs.get_log_events(logGroupName=GROUP, logStreamName=both.describe(job_id)["container"]["logStreamName"])
    assert both.settled_queue("default")["priority"] != 99


def test_stopping_reaches_nobody_else(both, other, gate):
    """TerminateJob on a job of somebody else: like on one that nobody knows."""
    waiting = gate()
    job_id = both.submit(waiting.wait)
    both.wait(job_id, "RUNNING")
    other.batch.terminate_job(jobId=job_id, reason="mine now")
    other.batch.cancel_job(jobId=job_id, reason="mine now")
    waiting.open()
    both.succeed(job_id)


def test_same_names_side_by_side(both, other):
    """The same names in two places are two sets of resources, and each runs its own jobs."""
    resources = {"type": "FARGATE", "maxvCpus": 4, "subnets": ["s"], "securityGroupIds": ["g"]}
    other.batch.create_compute_environment(
        computeEnvironmentName="local", type="MANAGED", computeResources=resources
    )
    environment = wait_for(
        lambda: other.batch.describe_compute_environments(computeEnvironments=["local"])["computeEnvironments"],
        lambda found: found[0]["status"] == "VALID",
    )[0]
    assert environment["computeEnvironmentArn"] == f"{other.arn}compute-environment/local"
    other.batch.create_job_queue(
        jobQueueName="default", priority=1, computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "local"}]
    )
    wait_for(lambda: other.batch.describe_job_queues()["jobQueues"], lambda found: found[0]["status"] == "VALID")
    other.batch.register_job_definition(
        jobDefinitionName="script", type="container", platformCapabilities=["FARGATE"],
        containerProperties={
            "image": "host", "command": ["echo", "theirs"], "executionRoleArn": "arn:aws:iam::000000000000:role/x",
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}],
        },
    )
    job_id = other.batch.submit_job(jobName="theirs", jobQueue="default", jobDefinition="script")["jobId"]
    job = wait_for(
        lambda: other.batch.describe_jobs(jobs=[job_id])["jobs"][0], lambda job: job["status"] in ENDED
    )
    assert (job["status"], job["jobDefinition"]) == ("SUCCEEDED", f"{other.arn}job-definition/script:1")
    page = other.logs.get_log_events(logGroupName=GROUP, logStreamName=job["container"]["logStreamName"])
    assert [event["message"] for event in page["events"]] == ["theirs"]

    assert both.batch.describe_jobs(jobs=[job_id])["jobs"] == []
    mine = both.settled_queue("default")
    assert mine["jobQueueArn"] == f"{ARN}job-queue/default"
