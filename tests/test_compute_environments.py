"""Compute environments: life, update, delete, and what is refused."""

import pytest

from server import ACCOUNT, ARN, REGION, wait_for

ROLE = f"arn:aws:iam::{ACCOUNT}:instance-profile/ecsInstanceRole"
EC2 = {
    "type": "EC2",
    "minvCpus": 0,
    "maxvCpus": 4,
    "instanceTypes": ["optimal"],
    "subnets": ["subnet-1"],
    "securityGroupIds": ["sg-1"],
    "instanceRole": ROLE,
}
FARGATE = {"type": "FARGATE", "maxvCpus": 4, "subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]}


def without(resources, *members):
    return {name: value for name, value in resources.items() if name not in members}


def create(server, name, resources=EC2, **members):
    answer = server.batch.create_compute_environment(
        computeEnvironmentName=name, type="MANAGED", computeResources=resources, **members
    )
    server.settled_environment(name)
    return answer


def describe(server, *names):
    return server.batch.describe_compute_environments(computeEnvironments=list(names))["computeEnvironments"]


def test_first_start_creates_local(server):
    """A new data directory holds an environment and a queue that take jobs."""
    environment = server.settled_environment("local")
    assert (environment["state"], environment["statusReason"]) == ("ENABLED", "ComputeEnvironment Healthy")


def test_create_becomes_valid(server):
    """API reference, CreateComputeEnvironment and ComputeEnvironmentDetail."""
    answer = server.batch.create_compute_environment(
        computeEnvironmentName="made", type="MANAGED", computeResources=EC2, tags={"team": "bakers"}
    )
    assert answer["computeEnvironmentName"] == "made"
    assert answer["computeEnvironmentArn"] == f"{ARN}compute-environment/made"

    assert describe(server, "made")[0]["status"] in ("CREATING", "VALID")
    made = server.settled_environment("made")
    assert made["computeEnvironmentArn"] == answer["computeEnvironmentArn"]
    assert (made["type"], made["state"]) == ("MANAGED", "ENABLED")
    assert made["statusReason"] == "ComputeEnvironment Healthy"
    assert made["containerOrchestrationType"] == "ECS"
    assert made["tags"] == {"team": "bakers"}
    assert made["uuid"]
    assert made["ecsClusterArn"].startswith(f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/AWSBatch-made-")
    assert {name: made["computeResources"][name] for name in EC2} == EC2
    assert "allocationStrategy" not in made["computeResources"]  # defaults are not made up in the echo
    assert describe(server, answer["computeEnvironmentArn"]) == [made]


def test_names_that_nobody_has_are_left_out(server):
    """API reference, DescribeComputeEnvironments."""
    assert describe(server, "nobody") == []
    assert [found["computeEnvironmentName"] for found in describe(server, "nobody", "local")] == ["local"]


def test_pages(server):
    """API reference, DescribeComputeEnvironments: maxResults and nextToken."""
    for name in ("page-a", "page-b"):
        create(server, name)
    pages = list(
        server.batch.get_paginator("describe_compute_environments").paginate(PaginationConfig={"PageSize": 1})
    )
    names = [found["computeEnvironmentName"] for page in pages for found in page["computeEnvironments"]]
    assert all(len(page["computeEnvironments"]) <= 1 for page in pages)
    assert len(names) == len(set(names))
    assert {"page-a", "page-b", "local"} <= set(names)


def test_duplicate_name(server, refused):
    """API reference, CreateComputeEnvironment: names are unique."""
    create(server, "twice")
    with refused("already exists"):
        server.batch.create_compute_environment(computeEnvironmentName="twice", type="MANAGED", computeResources=EC2)


@pytest.mark.parametrize(
    ("resources", "text"),
    [
        pytest.param(without(EC2, "instanceRole"), "Instance role is required.", id="instanceRole"),
        pytest.param(without(EC2, "minvCpus"), "Resource minvCpus is required.", id="minvCpus"),
        pytest.param(EC2 | {"minvCpus": -1}, "minvCpus should be greater than or equal to 0.", id="negative"),
        pytest.param(without(EC2, "instanceTypes"), "Resource instanceTypes are required.", id="instanceTypes"),
        pytest.param(EC2 | {"instanceTypes": []}, "Resource instanceTypes are required.", id="no-instanceTypes"),
        pytest.param(without(EC2, "securityGroupIds"), "Security group ids are required.", id="securityGroupIds"),
        pytest.param(EC2 | {"type": "SPOT"}, "compute resource spotIamFleetRole is required.", id="spotIamFleetRole"),
        pytest.param(
            EC2 | {"ec2Configuration": [{"imageType": "ECS_BEOS"}]},
            "Invalid imageType in ComputeResources.ec2Configuration",
            id="imageType",
        ),
        pytest.param(
            EC2 | {"launchTemplate": {"version": "1"}},
            "One of LaunchTemplateId and LaunchTemplateName or LaunchTemplate.overrides should be provided",
            id="launchTemplate",
        ),
        pytest.param(
            FARGATE | {"securityGroupIds": [f"sg-{i}" for i in range(6)]},
            "Fargate supports a maximum of 5 security groups.",
            id="fargate-securityGroupIds",
        ),
        pytest.param(
            FARGATE | {"subnets": [f"subnet-{i}" for i in range(17)]},
            "Fargate supports a maximum of 16 subnets.",
            id="fargate-subnets",
        ),
        pytest.param(FARGATE | {"desiredvCpus": 1}, "desiredvCpus is not applicable for Fargate.", id="desiredvCpus"),
        pytest.param(FARGATE | {"minvCpus": 1}, "minvCpus is not applicable for Fargate.", id="fargate-minvCpus"),
        pytest.param(FARGATE | {"tags": {"a": "b"}}, "tags is not applicable for Fargate.", id="fargate-tags"),
        pytest.param(EC2 | {"maxvCpus": 2, "minvCpus": 3}, "", id="min-above-max"),
        pytest.param(EC2 | {"type": "MAINFRAME"}, "", id="type"),
    ],
)
def test_refused_resources(server, refused, resources, text):
    """API reference, ComputeResource: what each type requires and forbids."""
    with refused(text):
        server.unchecked.create_compute_environment(
            computeEnvironmentName="refused", type="MANAGED", computeResources=resources
        )
    assert describe(server, "refused") == []


def test_refused_requests(server, refused):
    """API reference, CreateComputeEnvironment: state, type, name and computeResources."""
    create_raw = server.unchecked.create_compute_environment
    with refused("Compute Environment must be created in ENABLED state."):
        create_raw(computeEnvironmentName="off", type="MANAGED", state="DISABLED", computeResources=EC2)
    with refused():
        create_raw(computeEnvironmentName="bare", type="MANAGED")
    with refused():
        create_raw(computeEnvironmentName="typeless", computeResources=EC2)
    for name in ("", "-leading", "with space", "x" * 129, "ümlaut"):
        with refused():
            create_raw(computeEnvironmentName=name, type="MANAGED", computeResources=EC2)


def test_update(server, refused):
    """API reference, UpdateComputeEnvironment."""
    arn = create(server, "changing", EC2 | {"desiredvCpus": 2})["computeEnvironmentArn"]
    server.batch.update_compute_environment(computeEnvironment=arn, state="DISABLED")
    assert server.settled_environment("changing")["state"] == "DISABLED"
    server.batch.update_compute_environment(
        computeEnvironment="changing", state="ENABLED", computeResources={"maxvCpus": 16}
    )
    changed = server.settled_environment("changing")
    assert (changed["state"], changed["computeResources"]["maxvCpus"]) == ("ENABLED", 16)
    assert changed["computeResources"]["instanceTypes"] == ["optimal"]

    with refused("Manually scaling down compute environment is not supported."):
        server.batch.update_compute_environment(computeEnvironment="changing", computeResources={"desiredvCpus": 0})
    with refused("compute-environment/nobody does not exist"):
        server.batch.update_compute_environment(computeEnvironment="nobody", state="DISABLED")


def test_delete_preconditions(server, refused):
    """User Guide, Delete a compute environment: disabled first, and used by no queue."""
    create(server, "leaving")
    environments = [{"order": 1, "computeEnvironment": "leaving"}]
    server.create_queue("on-leaving", computeEnvironmentOrder=environments)

    with refused("DISABLED"):
        server.batch.delete_compute_environment(computeEnvironment="leaving")
    server.batch.update_compute_environment(computeEnvironment="leaving", state="DISABLED")
    server.settled_environment("leaving")
    with refused("Cannot delete, found existing JobQueue relationship"):
        server.batch.delete_compute_environment(computeEnvironment="leaving")

    server.batch.update_job_queue(
        jobQueue="on-leaving", computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "local"}]
    )
    server.settled_queue("on-leaving")
    server.batch.delete_compute_environment(computeEnvironment="leaving")
    wait_for(lambda: describe(server, "leaving"), lambda found: not found or found[0]["status"] == "DELETED")
    create(server, "leaving")  # the name is free again

    with refused("compute-environment/nobody does not exist"):
        server.batch.delete_compute_environment(computeEnvironment="nobody")
