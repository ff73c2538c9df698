"""Every rule of AWS Batch that a request can break, and the exact words of the answer: the tables of `conformance/`."""

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from conformance import CASES, given
from conformance.case import detail
from conformance.exercised import EXERCISED
from server import ARN, Server, wait_for


@pytest.fixture(scope="module")
def world():
    """A server with what the tables name."""
    server = Server()
    try:
        given.make(server.start())
        yield server
    finally:
        server.remove()


def parameter(case):
    marks = [pytest.mark.xfail(strict=True, reason=case.fault)] if case.fault else []
    return pytest.param(case, id=str(case), marks=marks)


@pytest.mark.parametrize("case", [parameter(case) for case in CASES])
def test_answer(world, case):
    """Source: with each case."""
    found = answer(world, case.operation, case.request)
    assert found == case.text, case.request


def answer(server, operation, request):
    """The text with which a request is refused; `None`: it is accepted."""
    [service] = [name for name, model in EXERCISED.models.items() if operation in model.operations]
    try:
        getattr(server.client(service, check=False), xform_name(operation))(**request)
    except ClientError as error:
        found = error.response["Error"]
        assert (found["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]) == ("ClientException", 400), found
        return detail(found["Message"])
    return None


def test_being_deleted(own_server, gate):
    """Observed error text: what is DELETING can neither be changed nor deleted again."""
    server, held = own_server().start(), gate()
    environment = {"order": 1, "computeEnvironment": "busy"}
    server.batch.create_compute_environment(
        computeEnvironmentName="busy", type="MANAGED", computeResources=given.EC2
    )
    server.settled_environment("busy")
    server.create_queue("busy", computeEnvironmentOrder=[environment])
    job = server.submit(f"trap '' TERM; {held.wait}", queue="busy")
    server.wait(job, "RUNNING")

    server.batch.update_job_queue(jobQueue="busy", state="DISABLED")
    server.settled_queue("busy")
    server.batch.delete_job_queue(jobQueue="busy")
    assert server.batch.describe_job_queues(jobQueues=["busy"])["jobQueues"][0]["status"] == "DELETING"
    assert answer(server, "DeleteJobQueue", {"jobQueue": "busy"}) == "Cannot delete, resource is being modified"
    refusal = f"Cannot update, resource is being modified: {ARN}job-queue/busy"
    assert answer(server, "UpdateJobQueue", {"jobQueue": "busy", "priority": 2}) == refusal
    held.open()
    wait_for(lambda: server.batch.describe_job_queues(jobQueues=["busy"])["jobQueues"], lambda found: not found)

    server.create_queue("busy", computeEnvironmentOrder=[environment])
    job = server.submit(held.wait, queue="busy")
    server.wait(job, "RUNNING")
    other = environment | {"computeEnvironment": "local"}
    server.batch.update_job_queue(jobQueue="busy", computeEnvironmentOrder=[other])
    server.settled_queue("busy")
    server.batch.update_compute_environment(computeEnvironment="busy", state="DISABLED")
    server.settled_environment("busy")
    server.batch.delete_compute_environment(computeEnvironment="busy")
    [found] = server.batch.describe_compute_environments(computeEnvironments=["busy"])["computeEnvironments"]
    assert found["status"] == "DELETING"
    request = {"computeEnvironment": "busy"}
    assert answer(server, "DeleteComputeEnvironment", request) == "Cannot delete, resource is being modified"
    refusal = f"Cannot update, resource is being modified: {ARN}compute-environment/busy"
    assert answer(server, "UpdateComputeEnvironment", request | {"state": "ENABLED"}) == refusal
    refusal = "Compute Environments must be created and valid before attaching them to a job queue"
    assert answer(server, "UpdateJobQueue", {"jobQueue": "busy", "computeEnvironmentOrder": [environment]}) == refusal
    held.open()
    server.succeed(job)


def test_reasons(own_server):
    """Observed reasons of jobs that have failed before or without an exit of their own."""
    server = own_server("--limits", "timeout-seconds-min=1").start()
    late = server.submit("sleep 60", timeout={"attemptDurationSeconds": 1})
    secret = server.define("secret", container={"secrets": [{"name": "TOKEN", "valueFrom": "nobody-has-it"}]})
    without = server.fail(server.submit(definition=secret))
    assert without["statusReason"] == "Task failed to start"
    assert without["container"]["reason"].startswith("ResourceInitializationError: ")
    assert server.fail(late)["statusReason"] == "Job attempt duration exceeded timeout"
