"""Service environments, and job queues of type SAGEMAKER_TRAINING on them."""

import pytest

from server import ARN, wait_for

INSTANCES = [{"capacityUnit": "NUM_INSTANCES", "maxCapacity": 4}]


def describe(server, *names):
    return server.batch.describe_service_environments(serviceEnvironments=list(names))["serviceEnvironments"]


def create(server, name, limits=INSTANCES, **members):
    """Creates a service environment and waits until it is VALID."""
    server.batch.create_service_environment(
        serviceEnvironmentName=name, serviceEnvironmentType="SAGEMAKER_TRAINING", capacityLimits=limits, **members
    )
    return wait_for(lambda: describe(server, name), lambda found: found and found[0]["status"] == "VALID")[0]


def order(name):
    return [{"order": 1, "serviceEnvironment": name}]


def test_life(server, refused):
    """API reference, the four operations: created, listed, updated, disabled, deleted."""
    made = create(server, "made", tags={"team": "bakers"})
    arn = f"{ARN}service-environment/made"
    assert made == {
        "serviceEnvironmentName": "made", "serviceEnvironmentArn": arn, "serviceEnvironmentType": "SAGEMAKER_TRAINING",
        "state": "ENABLED", "status": "VALID", "capacityLimits": INSTANCES, "tags": {"team": "bakers"},
    }
    create(server, "second")
    pages = server.batch.get_paginator("describe_service_environments").paginate(PaginationConfig={"PageSize": 1})
    assert [page["serviceEnvironments"][0]["serviceEnvironmentName"] for page in pages] == ["made", "second"]
    with refused("Cannot delete, state must be DISABLED"):
        server.batch.delete_service_environment(serviceEnvironment="made")
    more = [{"capacityUnit": "NUM_INSTANCES", "maxCapacity": 9}]
    answer = server.batch.update_service_environment(serviceEnvironment=arn, state="DISABLED", capacityLimits=more)
    assert (answer["serviceEnvironmentArn"], answer["serviceEnvironmentName"]) == (arn, "made")
    updated = wait_for(lambda: describe(server, arn), lambda found: found[0]["status"] == "VALID")[0]
    assert (updated["state"], updated["capacityLimits"]) == ("DISABLED", more)
    server.batch.delete_service_environment(serviceEnvironment="made")
    assert all(found["status"] == "DELETING" for found in describe(server, "made"))
    wait_for(lambda: describe(server, "made"), lambda found: not found)
    with refused("service-environment/made does not exist"):
        server.batch.update_service_environment(serviceEnvironment="made", state="ENABLED")


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ([("NUM_INSTANCES", 0)], "Max capacity must be more than 0."),
        ([(f"ml.m{n}.large", 1) for n in range(6)], "Number of capacity limits exceeds 5."),
        (
            [("NUM_INSTANCES", 1), ("ml.m5.large", 1)],
            "Capacity units must specify either number of instances OR instance type",
        ),
        ([("VCPU", 1)], "VCPU is unknown capacity unit"),
    ],
)
def test_capacity_limits_that_are_refused(server, refused, limits, message):
    """Observed error texts."""
    limits = [{"capacityUnit": unit, "maxCapacity": most} for unit, most in limits]
    with refused(message):
        create(server, "bad", limits)


def test_names(server, refused):
    """Observed error texts."""
    with refused("Service environment name should match a valid pattern."):
        create(server, "-bad")
    create(server, "taken")
    with refused("already exists"):
        create(server, "taken")


def test_queue(server, refused):
    """API reference, CreateJobQueue and JobQueueDetail: serviceEnvironmentOrder, jobQueueType."""
    create(server, "se")
    limit = {"reason": "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", "state": "RUNNABLE", "maxTimeSeconds": 600}
    actions = [limit | {"action": "TERMINATE"}]
    server.batch.create_job_queue(
        jobQueueName="training", priority=1, serviceEnvironmentOrder=order("se"), jobStateTimeLimitActions=actions
    )
    queue = server.settled_queue("training")
    assert queue["jobQueueType"] == "SAGEMAKER_TRAINING"
    assert queue["computeEnvironmentOrder"] == []
    assert queue["serviceEnvironmentOrder"] == order(f"{ARN}service-environment/se")
    assert queue["jobStateTimeLimitActions"] == actions
    server.batch.update_job_queue(jobQueue="training", priority=7)
    assert server.settled_queue("training") == queue | {"priority": 7}

    create(server, "another")
    server.batch.update_job_queue(jobQueue="training", serviceEnvironmentOrder=order("another"))
    assert server.settled_queue("training")["serviceEnvironmentOrder"] == order(f"{ARN}service-environment/another")
    server.batch.update_service_environment(serviceEnvironment="another", state="DISABLED")
    wait_for(lambda: describe(server, "another"), lambda found: found[0]["status"] == "VALID")
    with refused("Cannot delete, found existing JobQueue relationship"):
        server.batch.delete_service_environment(serviceEnvironment="another")
    with refused("is of type SAGEMAKER_TRAINING: use SubmitServiceJob."):
        server.submit(queue="training")


LOCAL = [{"order": 1, "computeEnvironment": "local"}]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {"serviceEnvironmentOrder": order("missing")},
            "Service environments must be created and valid before attaching them to a job queue.",
        ),
        ({"serviceEnvironmentOrder": order("a") + order("b")}, "Job queue can only have 1 service environment."),
        (
            {"serviceEnvironmentOrder": order("a"), "jobQueueType": "ECS"},
            "The jobQueueType provided is ECS, which is incompatible with the provided serviceEnvironmentOrder.",
        ),
        (
            {"computeEnvironmentOrder": LOCAL, "jobQueueType": "SAGEMAKER_TRAINING"},
            "Job queues of type SAGEMAKER_TRAINING must have serviceEnvironmentOrder.",
        ),
        ({"computeEnvironmentOrder": LOCAL, "serviceEnvironmentOrder": order("a")}, "not both"),
        (
            {
                "serviceEnvironmentOrder": order("a"),
                "jobStateTimeLimitActions": [
                    {"reason": "r", "state": "RUNNABLE", "maxTimeSeconds": 600, "action": "CANCEL"}
                ],
            },
            "Invalid job action. Valid job actions: [TERMINATE]",
        ),
    ],
)
def test_queues_that_are_refused(server, refused, members, message):
    """Observed error texts."""
    with refused(message):
        server.batch.create_job_queue(jobQueueName="refused", priority=1, **members)
