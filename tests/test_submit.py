"""SubmitJob: what a job sees of itself, how overrides and parameters are merged, and what is refused."""

import re
import uuid

import pytest

from server import ARN


def environment_of(path):
    """The environment that a job wrote to a file with `env -0`."""
    return dict(entry.split("=", 1) for entry in path.read_text().rstrip("\0").split("\0"))


def test_answer_and_detail(server):
    """API reference, SubmitJob and JobDetail."""
    answer = server.batch.submit_job(jobName="first", jobQueue="default", jobDefinition=server.define("plain"))
    assert str(uuid.UUID(answer["jobId"])) == answer["jobId"]
    assert (answer["jobName"], answer["jobArn"]) == ("first", f"{ARN}job/{answer['jobId']}")

    job = server.succeed(answer["jobId"])
    assert (job["jobArn"], job["jobName"], job["jobId"]) == (answer["jobArn"], "first", answer["jobId"])
    assert job["jobQueue"] == f"{ARN}job-queue/default"
    assert job["jobDefinition"] == f"{ARN}job-definition/plain:1"
    assert job["statusReason"] == "Essential container in task exited"
    assert job["createdAt"] <= job["startedAt"] <= job["stoppedAt"]
    assert (job["dependsOn"], job["parameters"]) == ([], {})
    assert job["container"]["exitCode"] == 0
    assert "reason" not in job["container"]
    assert re.fullmatch(r"plain/default/[0-9a-f]{32}", job["container"]["logStreamName"])
    assert (job["isCancelled"], job["isTerminated"]) == (False, False)

    [attempt] = job["attempts"]
    assert attempt["statusReason"] == "Essential container in task exited"
    assert (attempt["startedAt"], attempt["stoppedAt"]) == (job["startedAt"], job["stoppedAt"])
    for member in ("exitCode", "logStreamName", "taskArn", "containerInstanceArn"):
        assert attempt["container"][member] == job["container"][member]


def test_environment(server, tmp_path):
    """User Guide, AWS Batch job environment variables."""
    out = tmp_path / "env"
    job_id = server.submit(f"env -0 > {out}")
    server.succeed(job_id)
    seen = environment_of(out)
    want = {
        "AWS_BATCH_JOB_ID": job_id,
        "AWS_BATCH_JOB_ATTEMPT": "1",
        "AWS_BATCH_JQ_NAME": "default",
        "AWS_BATCH_CE_NAME": "local",
        "AWS_ENDPOINT_URL_BATCH": server.endpoint,
        "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": server.endpoint,
    }
    assert {name: seen.get(name) for name in want} == want
    assert "AWS_BATCH_JOB_ARRAY_INDEX" not in seen
    secret = server.keys()[0]["secretAccessKey"]
    assert not any(secret in value for value in seen.values())


def test_overrides(server, tmp_path):
    """API reference, ContainerOverrides: environment by name, requirements by type, the command as a whole."""
    definition = server.define(
        "overridden",
        ["false"],
        container={
            "environment": [{"name": "KEPT", "value": "definition"}, {"name": "CHANGED", "value": "definition"}],
        },
    )
    out = tmp_path / "env"
    job_id = server.submit(
        f"env -0 > {out}",
        definition=definition,
        env={"CHANGED": "job", "ADDED": "spaces and 'quotes' and ünïcode\nand lines"},
        containerOverrides={"resourceRequirements": [{"type": "VCPU", "value": "2"}]},
    )
    job = server.succeed(job_id)
    seen = environment_of(out)
    assert (seen["KEPT"], seen["CHANGED"]) == ("definition", "job")
    assert seen["ADDED"] == "spaces and 'quotes' and ünïcode\nand lines"

    container = job["container"]
    assert container["command"] == ["sh", "-c", f"env -0 > {out}"]
    requirements = {need["type"]: need["value"] for need in container["resourceRequirements"]}
    assert requirements == {"VCPU": "2", "MEMORY": "64"}
    environment = {variable["name"]: variable["value"] for variable in container["environment"]}
    assert {"KEPT": "definition", "CHANGED": "job"}.items() <= environment.items()


def test_reserved_variables(server, refused):
    """API reference, KeyValuePair: names that start with AWS_BATCH are reserved."""
    with refused():
        server.submit(env={"AWS_BATCH_JOB_ID": "mine"})


def test_parameters(server):
    """User Guide, Job definition parameters: `Ref::name`, the job's value before the definition's default."""
    definition = server.define(
        "greeting",
        ["echo", "Ref::greeting", "Ref::name", "--to=Ref::name", "Ref"],
        parameters={"greeting": "hello", "name": "nobody", "unused": "x"},
    )
    answer = server.batch.submit_job(
        jobName="greet", jobQueue="default", jobDefinition=definition, parameters={"name": "baker", "extra": "y"}
    )
    job = server.succeed(answer["jobId"])
    assert server.messages(job["jobId"]) == ["hello baker --to=baker Ref"]
    assert job["container"]["command"] == ["echo", "hello", "baker", "--to=baker", "Ref"]
    assert job["parameters"] == {"greeting": "hello", "name": "baker", "unused": "x", "extra": "y"}


def test_parameter_without_value(server, refused):
    """User Guide, Job definition parameters."""
    definition = server.define("short", ["echo", "Ref::missing"])
    with refused("Unable to substitute value. No parameter found for reference missing"):
        server.batch.submit_job(jobName="short", jobQueue="default", jobDefinition=definition)


def test_definition_forms(server):
    """API reference, SubmitJob jobDefinition: name, name:revision, ARN with and without revision."""
    server.define("forms")
    server.define("forms")
    for form, revision in [
        ("forms", 2),
        ("forms:1", 1),
        (f"{ARN}job-definition/forms:1", 1),
        (f"{ARN}job-definition/forms", 2),
    ]:
        job_id = server.submit(definition=form, queue=f"{ARN}job-queue/default")
        assert server.describe(job_id)["jobDefinition"] == f"{ARN}job-definition/forms:{revision}"


def test_describe_order_and_limits(server, refused):
    """API reference, DescribeJobs: up to 100 ids; what is not known is left out."""
    first, second = server.submit(), server.submit()
    answer = server.batch.describe_jobs(jobs=[second, str(uuid.uuid4()), first, "nonsense"])
    assert {job["jobId"] for job in answer["jobs"]} == {first, second}
    with refused("Maximum number of jobs supported is 100"):
        server.batch.describe_jobs(jobs=[str(uuid.uuid4()) for _ in range(101)])


def test_exit_codes(server):
    """User Guide, Troubleshooting: exit codes; a killed process has 128 and the signal's number."""
    for script, exit_code in [("exit 3", 3), ("exit 255", 255), ("kill -9 $$", 137), ("kill -15 $$", 143)]:
        job = server.fail(server.submit(script))
        assert job["container"]["exitCode"] == exit_code, script
        assert job["statusReason"] == "Essential container in task exited"


def test_command_not_found(server):
    """A command that cannot be started ends the attempt; the reason says why."""
    definition = server.define("missing", ["/no/such/command"])
    answer = server.batch.submit_job(jobName="missing", jobQueue="default", jobDefinition=definition)
    job = server.fail(answer["jobId"])
    if "exitCode" in job["container"]:
        assert job["container"]["exitCode"] == 127
    else:
        assert job["statusReason"] == "Task failed to start"
        assert "/no/such/command" in job["container"]["reason"]


def test_image_that_cannot_be_pulled(server):
    """User Guide, Troubleshooting: CannotPullContainerError."""
    definition = server.define("unpullable", container={"image": "127.0.0.1:1/no/such:image"})
    job = server.fail(server.submit(definition=definition))
    assert job["statusReason"] == "Task failed to start"
    assert job["container"]["reason"].startswith("CannotPullContainerError: ")
    assert "exitCode" not in job["container"]


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"jobName": "with space"}, "Job name should match valid pattern"),
        ({"jobName": "-leading"}, "Job name should match valid pattern"),
        ({"jobName": "x" * 129}, "Job name should match valid pattern"),
        ({"jobName": None}, ""),
        ({"jobQueue": "nobody"}, "does not exist"),
        ({"jobQueue": None}, ""),
        ({"jobDefinition": "nobody"}, "JobDefinition name nobody does not exist or is not in ACTIVE status"),
        ({"jobDefinition": "plain:999"}, "JobDefinition name plain:999 does not exist or is not in ACTIVE status"),
        (
            {"shareIdentifier": "A"},
            "Job with shareIdentifier or schedulingPriority can onlybe submitted to job queue with fair share"
            " scheduling policy.",
        ),
        ({"dependsOn": [{"jobId": str(uuid.UUID(int=n))} for n in range(21)]}, "Job cannot have more than 20 dependencies"),
        (
            {"containerOverrides": {"vcpus": 2}},
            "This value was submitted in a deprecated key and may conflict with the value provided by the job"
            " definition's resource requirements.",
        ),
        ({"containerOverrides": {"resourceRequirements": [{"type": "VCPU", "value": "0.5"}]}},
         "vCPU must be at least 1, got 0.5."),
        ({"containerOverrides": {"command": [""]}}, ""),
        ({"arrayProperties": {"size": 1}}, ""),
        ({"arrayProperties": {"size": 10_001}}, ""),
        ({"retryStrategy": {"attempts": 11}}, ""),
        ({"timeout": {"attemptDurationSeconds": 59}}, ""),
        ({"tags": {f"k{n}": "v" for n in range(51)}}, ""),
        ({"containerOverrides": {"command": ["x" * 31 * 1024]}}, ""),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value[:30] or "any",
)
def test_refused(server, refused, members, text):
    """API reference, SubmitJob; User Guide, Service quotas (30 KiB, 20 dependencies, arrays of 2 to 10,000)."""
    server.define("plain")
    request = {"jobName": "refused", "jobQueue": "default", "jobDefinition": "plain"} | members
    with refused(text):
        server.unchecked.submit_job(**{name: value for name, value in request.items() if value is not None})
