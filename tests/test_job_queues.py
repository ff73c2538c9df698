"""Job queues: life, update, delete, and what is refused."""

import pytest

from server import ARN, wait_for

LOCAL = [{"order": 1, "computeEnvironment": "local"}]
RUNNABLE_LIMIT = {
    "reason": "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
    "state": "RUNNABLE",
    "maxTimeSeconds": 600,
    "action": "CANCEL",
}


def describe(server, *names):
    return server.batch.describe_job_queues(jobQueues=list(names))["jobQueues"]


@pytest.fixture(scope="module")
def environments(server):
    """Four more environments, one of them on Fargate."""
    names = ["ec2-a", "ec2-b", "ec2-c", "fargate"]
    for name in names:
        resources = {"type": "FARGATE", "maxvCpus": 2, "subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]}
        if name != "fargate":
            resources |= {"type": "EC2", "minvCpus": 0, "instanceTypes": ["optimal"], "instanceRole": "ecsInstanceRole"}
        server.batch.create_compute_environment(
            computeEnvironmentName=name, type="MANAGED", computeResources=resources
        )
    for name in names:
        server.settled_environment(name)
    return names


def test_first_start_creates_default(server):
    """A new data directory holds a queue `default` on `local`."""
    queue = server.settled_queue("default")
    assert queue["computeEnvironmentOrder"] == [{"order": 1, "computeEnvironment": f"{ARN}compute-environment/local"}]


def test_create_becomes_valid(server):
    """API reference, CreateJobQueue and JobQueueDetail."""
    answer = server.batch.create_job_queue(
        jobQueueName="made", priority=7, computeEnvironmentOrder=LOCAL, tags={"team": "bakers"},
        jobStateTimeLimitActions=[RUNNABLE_LIMIT],
    )
    assert answer["jobQueueName"] == "made"
    assert answer["jobQueueArn"] == f"{ARN}job-queue/made"

    assert describe(server, "made")[0]["status"] in ("CREATING", "VALID")
    made = server.settled_queue("made")
    assert (made["state"], made["statusReason"], made["priority"]) == ("ENABLED", "JobQueue Healthy", 7)
    assert made["computeEnvironmentOrder"] == [{"order": 1, "computeEnvironment": f"{ARN}compute-environment/local"}]
    assert made["jobStateTimeLimitActions"] == [RUNNABLE_LIMIT]
    assert made["tags"] == {"team": "bakers"}
    assert describe(server, answer["jobQueueArn"]) == [made]
    assert describe(server, "nobody") == []


def test_pages(server):
    """API reference, DescribeJobQueues: maxResults and nextToken."""
    for name in ("page-a", "page-b", "page-c"):
        server.create_queue(name)
    pages = list(server.batch.get_paginator("describe_job_queues").paginate(PaginationConfig={"PageSize": 2}))
    names = [queue["jobQueueName"] for page in pages for queue in page["jobQueues"]]
    assert all(len(page["jobQueues"]) <= 2 for page in pages)
    assert len(names) == len(set(names))
    assert {"default", "page-a", "page-b", "page-c"} <= set(names)


def test_refused(server, environments, refused):
    """API reference, CreateJobQueue: computeEnvironmentOrder, schedulingPolicyArn, jobStateTimeLimitActions."""

    def create(name="refused", order=LOCAL, **members):
        members = {"priority": 1} | members
        server.unchecked.create_job_queue(jobQueueName=name, computeEnvironmentOrder=order, **members)

    def order(*names, orders=range(1, 9)):
        return [{"order": number, "computeEnvironment": name} for number, name in zip(orders, names)]

    create("first")
    with refused("already exists"):
        create("first")
    with refused("Compute Environments must be created and valid before attaching them to a job queue"):
        create(order=order("nobody"))
    with refused("Only 3 environments are allowed in job queue request."):
        create(order=order("local", "ec2-a", "ec2-b", "ec2-c"))
    with refused("Duplicate ComputeEnvironment order values."):
        create(order=order("ec2-a", "ec2-b", orders=(1, 1)))
    with refused("Duplicate ComputeEnvironments within order list."):
        create(order=order("ec2-a", f"{ARN}compute-environment/ec2-a"))
    with refused("Fargate and EC2 compute environments can not be mixed."):
        create(order=order("ec2-a", "fargate"))
    with refused("Only scheduling policy Arn can be allowed."):
        create(schedulingPolicyArn=f"{ARN}job-queue/default")
    with refused(f"SchedulingPolicy {ARN}scheduling-policy/nobody not found."):
        create(schedulingPolicyArn=f"{ARN}scheduling-policy/nobody")
    with refused("Invalid job action. Valid job actions: [CANCEL]"):
        create(jobStateTimeLimitActions=[RUNNABLE_LIMIT | {"action": "TERMINATE"}])
    with refused("Duplicate job state limit actions are not allowed."):
        create(jobStateTimeLimitActions=[RUNNABLE_LIMIT, RUNNABLE_LIMIT | {"maxTimeSeconds": 900}])
    with refused():
        create(jobStateTimeLimitActions=[RUNNABLE_LIMIT | {"maxTimeSeconds": 599}])
    with refused("Job Queue name should match a valid pattern."):
        create("with space")
    with refused():
        create(priority="high")
    with refused():
        create(state="ASLEEP")
    with refused():
        server.unchecked.create_job_queue(jobQueueName="no-priority", computeEnvironmentOrder=LOCAL)
    assert describe(server, "refused", "no-priority") == []


def test_update(server, environments, refused):
    """API reference, UpdateJobQueue; `ENABLED` and `DISABLED` from the User Guide, Job queue parameters."""
    server.create_queue("changing")
    server.batch.update_job_queue(jobQueue="changing", state="DISABLED", priority=99)
    changed = server.settled_queue("changing")
    assert (changed["state"], changed["priority"]) == ("DISABLED", 99)
    with refused("changing"):
        server.submit(queue="changing")

    two = [{"order": 2, "computeEnvironment": "ec2-a"}, {"order": 1, "computeEnvironment": "ec2-b"}]
    server.batch.update_job_queue(jobQueue=f"{ARN}job-queue/changing", state="ENABLED", computeEnvironmentOrder=two)
    changed = server.settled_queue("changing")
    environments = {entry["order"]: entry["computeEnvironment"] for entry in changed["computeEnvironmentOrder"]}
    assert environments == {1: f"{ARN}compute-environment/ec2-b", 2: f"{ARN}compute-environment/ec2-a"}
    assert changed["priority"] == 99
    job = server.succeed(server.submit("echo $AWS_BATCH_CE_NAME", queue="changing"))
    assert server.messages(job["jobId"]) == ["ec2-b"]

    with refused(f"{ARN}job-queue/nobody does not exist"):
        server.batch.update_job_queue(jobQueue="nobody", priority=1)


def test_delete(server, gate, refused):
    """User Guide, Delete a job queue: disabled first; its jobs are terminated; the name becomes free."""
    server.create_queue("leaving")
    waiting = gate()
    running = server.submit(waiting.wait, queue="leaving")
    server.wait(running, "RUNNING")

    with refused("DISABLED"):
        server.batch.delete_job_queue(jobQueue="leaving")
    server.batch.update_job_queue(jobQueue="leaving", state="DISABLED")
    server.settled_queue("leaving")
    server.batch.delete_job_queue(jobQueue="leaving")
    wait_for(lambda: describe(server, "leaving"), lambda found: not found or found[0]["status"] == "DELETED")
    server.fail(running)
    server.create_queue("leaving")

    with refused():
        server.batch.delete_job_queue(jobQueue="nobody")
