"""Job definitions: revisions, exact echo, deregistration, and what is refused."""

import pytest

from server import ARN

NEEDS = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
CONTAINER = {"image": "host", "command": ["true"], "resourceRequirements": NEEDS}


def register(server, name, container=CONTAINER, **members):
    return server.unchecked.register_job_definition(
        jobDefinitionName=name, **({"type": "container", "containerProperties": container} | members)
    )


def describe(server, **selection):
    return server.batch.describe_job_definitions(**selection)["jobDefinitions"]


def test_revisions(server):
    """User Guide, Job definitions: each registration under a name adds a revision."""
    for revision in (1, 2, 3):
        answer = register(server, "bread")
        assert (answer["jobDefinitionName"], answer["revision"]) == ("bread", revision)
        assert answer["jobDefinitionArn"] == f"{ARN}job-definition/bread:{revision}"

    revisions = describe(server, jobDefinitionName="bread")
    assert sorted(found["revision"] for found in revisions) == [1, 2, 3]
    assert {found["status"] for found in revisions} == {"ACTIVE"}
    assert [found["revision"] for found in describe(server, jobDefinitions=["bread:2"])] == [2]
    assert [found["revision"] for found in describe(server, jobDefinitions=[f"{ARN}job-definition/bread:3"])] == [3]
    assert describe(server, jobDefinitions=["nobody:1"]) == []


def test_echo(server):
    """API reference, JobDefinition: what was registered comes back, nothing is reordered; lists are empty, not absent."""
    container = {
        "image": "registry.example.com/team/image:1.2@sha256:" + "0" * 64,
        "command": ["run", "Ref::input", "--flag"],
        "jobRoleArn": "arn:aws:iam::000000000000:role/job",
        "volumes": [{"name": "scratch", "host": {"sourcePath": "/scratch"}}, {"name": "another", "host": {}}],
        "environment": [{"name": "ZED", "value": "1"}, {"name": "ALPHA", "value": ""}],
        "mountPoints": [{"containerPath": "/scratch", "readOnly": True, "sourceVolume": "scratch"}],
        "readonlyRootFilesystem": True,
        "privileged": False,
        "ulimits": [{"name": "nofile", "softLimit": 100, "hardLimit": 200}],
        "user": "nobody",
        "resourceRequirements": [
            {"type": "MEMORY", "value": "2048"},
            {"type": "VCPU", "value": "4"},
            {"type": "GPU", "value": "1"},
        ],
        "linuxParameters": {"initProcessEnabled": True, "sharedMemorySize": 64, "maxSwap": 512, "swappiness": 60},
        "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-stream-prefix": "p"}, "secretOptions": []},
        "secrets": [{"name": "TOKEN", "valueFrom": "arn:aws:ssm:us-east-1:000000000000:parameter/token"}],
    }
    members = {
        "parameters": {"input": "flour", "output": "bread"},
        "retryStrategy": {
            "attempts": 4,
            "evaluateOnExit": [
                {"onStatusReason": "Host EC2*", "action": "RETRY"},
                {"onExitCode": "13*", "onReason": "Some text.", "action": "Exit"},
            ],
        },
        "propagateTags": True,
        "timeout": {"attemptDurationSeconds": 3600},
        "tags": {"team": "bakers"},
        "platformCapabilities": ["EC2"],
        "schedulingPriority": 5,
    }
    register(server, "echo", container, **members)
    [found] = describe(server, jobDefinitionName="echo")

    # Actions are not case sensitive and come back in lower case (API reference, EvaluateOnExit).
    want = members | {"retryStrategy": {"attempts": 4, "evaluateOnExit": [
        rule | {"action": rule["action"].lower()} for rule in members["retryStrategy"]["evaluateOnExit"]
    ]}}
    assert {name: found.get(name) for name in want} == want
    assert {name: found["containerProperties"].get(name) for name in container} == container
    assert (found["type"], found["status"], found["revision"]) == ("container", "ACTIVE", 1)

    register(server, "echo-least")
    least = describe(server, jobDefinitionName="echo-least")[0]["containerProperties"]
    empty = ["volumes", "environment", "mountPoints", "ulimits", "secrets"]
    assert least == CONTAINER | {name: [] for name in empty}


def test_deregister(server, refused):
    """API reference, DeregisterJobDefinition; User Guide: the newest ACTIVE revision runs."""
    definition = server.define("old")
    server.define("old")
    server.batch.deregister_job_definition(jobDefinition="old:2")
    statuses = {found["revision"]: found["status"] for found in describe(server, jobDefinitionName="old")}
    assert statuses == {1: "ACTIVE", 2: "INACTIVE"}
    assert [found["revision"] for found in describe(server, jobDefinitionName="old", status="ACTIVE")] == [1]
    assert [found["revision"] for found in describe(server, jobDefinitionName="old", status="INACTIVE")] == [2]

    job = server.describe(server.submit(definition="old"))
    assert job["jobDefinition"] == f"{ARN}job-definition/old:1"
    with refused("JobDefinition name old:2 does not exist or is not in ACTIVE status"):
        server.submit(definition="old:2")

    server.batch.deregister_job_definition(jobDefinition=f"{ARN}job-definition/{definition}")
    with refused("JobDefinition name old does not exist or is not in ACTIVE status"):
        server.submit(definition="old")
    assert server.define("old") == "old:3"  # revisions are never used twice

    with refused():
        server.batch.deregister_job_definition(jobDefinition="old")  # the revision is mandatory
    with refused():
        server.batch.deregister_job_definition(jobDefinition="nobody:1")


def test_pages(server):
    """API reference, DescribeJobDefinitions: maxResults and nextToken."""
    for _ in range(5):
        register(server, "paged")
    pages = server.batch.get_paginator("describe_job_definitions").paginate(
        jobDefinitionName="paged", PaginationConfig={"PageSize": 2}
    )
    pages = list(pages)
    sizes = [len(page["jobDefinitions"]) for page in pages]
    assert sum(sizes) == 5 and max(sizes) == 2
    revisions = [found["revision"] for page in pages for found in page["jobDefinitions"]]
    assert sorted(revisions) == [1, 2, 3, 4, 5]


def needs(*pairs):
    return CONTAINER | {"resourceRequirements": [{"type": kind, "value": value} for kind, value in pairs]}


LONG_PATTERN = "a" * 513


def evaluate(**rule):
    return {"retryStrategy": {"attempts": 2, "evaluateOnExit": [rule | {"action": "EXIT"}]}}


@pytest.mark.parametrize(
    ("container", "members", "text"),
    [
        (needs(("MEMORY", "64")), {}, "vCPU is required."),
        (needs(("VCPU", "0"), ("MEMORY", "64")), {}, "vCPU must be at least 1, got 0."),
        (needs(("VCPU", "1"), ("MEMORY", "3")), {}, "Memory must be at least 4 Mib, got 3 Mib."),
        (needs(("VCPU", "1"), ("VCPU", "2"), ("MEMORY", "64")), {}, "Cannot provide duplicates in resourceRequirements."),
        (
            needs(("VCPU", "1"), ("MEMORY", "64"), ("GPU", "half")),
            {},
            "Value half for type GPU in resourceRequirement is not valid. Please provide a numeric value.",
        ),
        (CONTAINER | {"environment": [{"value": "nameless"}]}, {}, "Environment variable name is required."),
        (CONTAINER, {"retryStrategy": {"evaluateOnExit": [{"onExitCode": "1", "action": "EXIT"}]}},
         "RetryAttempts must be provided with retry strategy."),
        (CONTAINER, evaluate(), "EvaluateOnExit should contain at least one of onExitCode, onReason or onStatusReason"),
        (CONTAINER, evaluate(onReason=LONG_PATTERN), "Evaluate on exit condition cannot exceed 512 characters."),
        (CONTAINER, evaluate(onReason="*middle*"), "Evaluate on exit condition contains restricted characters."),
        (CONTAINER, evaluate(onExitCode="1a"), "Evaluate on exit condition contains restricted characters."),
        (CONTAINER | {"networkConfiguration": {"assignPublicIp": "ENABLED"}}, {},
         "networkConfiguration not applicable for EC2."),
        (CONTAINER | {"fargatePlatformConfiguration": {"platformVersion": "LATEST"}}, {},
         "fargatePlatformConfiguration not applicable for EC2."),
        (CONTAINER | {"user": "Not A User"}, {}, "User 'Not A User' does not match regex"),
        (CONTAINER | {"linuxParameters": {"maxSwap": 64}}, {},
         "When container specified swap memory, swappiness value is required."),
        (needs(("VCPU", "1"), ("MEMORY", "2048"), ("GPU", "1")), {"platformCapabilities": ["FARGATE"]},
         "GPU is not applicable for Fargate."),
        (
            needs(("VCPU", "1"), ("MEMORY", "2048")) | {"ulimits": [{"name": "core", "softLimit": 0, "hardLimit": 0}]},
            {"platformCapabilities": ["FARGATE"]},
            "ulimits is not applicable for Fargate.",
        ),
        (CONTAINER, {"type": "multinode", "containerProperties": None},
         "Node properties of multinode job is required."),
        (CONTAINER, {"type": "sequence"}, ""),
        (CONTAINER, {"retryStrategy": {"attempts": 11}}, ""),
        (CONTAINER, {"retryStrategy": {"attempts": 0}}, ""),
        (CONTAINER, {"timeout": {"attemptDurationSeconds": 59}}, ""),
        (CONTAINER, {"tags": {"aws:reserved": "x"}}, ""),
        (CONTAINER | {"environment": [{"name": "AWS_BATCH_JOB_ID", "value": "x"}]}, {}, ""),
    ],
    ids=lambda value: (value.split(".")[0][:50] or "any") if isinstance(value, str) else "",
)
def test_refused(server, refused, container, members, text):
    """API reference, RegisterJobDefinition and ContainerProperties."""
    members = {"containerProperties": container} | members
    members = {name: value for name, value in members.items() if value is not None}
    with refused(text):
        server.unchecked.register_job_definition(**({"jobDefinitionName": "refused", "type": "container"} | members))
    assert describe(server, jobDefinitionName="refused") == []


def test_refused_size(server, refused):
    """User Guide, Service quotas: 24 KiB for a job definition."""
    with refused():
        register(server, "large", CONTAINER | {"command": ["x" * 30_000]})


def test_refused_names(server, refused):
    """API reference, RegisterJobDefinition: jobDefinitionName."""
    for name in ("", "-leading", "with space", "x" * 129):
        with refused():
            register(server, name)
