"""What a job can find out and do from inside. Source: Amazon ECS Developer Guide, Task metadata endpoint version 4."""

import json
import os
import sys

from server import ACCOUNT, GROUP, REGION, wait_for

# No proxy: the endpoint is on this machine.
READ = """
import json, os, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
def get(path):
    return json.load(opener.open(os.environ["ECS_CONTAINER_METADATA_URI_V4"] + path, timeout=10))
print(json.dumps([os.environ["AWS_EXECUTION_ENV"], get(""), get("/task")]))
"""

SUBMIT = """
import boto3
batch = boto3.client("batch", region_name="us-east-1")
answer = batch.submit_job(jobName="from-a-job", jobQueue="default", jobDefinition="child")
print(answer["jobId"])
"""


def python(server, name, program):
    """A definition that runs a program with this Python."""
    return server.define(name, [sys.executable, "-c", program])


def submit(server, definition, **overrides):
    return server.batch.submit_job(
        jobName="inside", jobQueue="default", jobDefinition=definition, containerOverrides=overrides
    )["jobId"]


def test_metadata_endpoint(server):
    """The job finds its log group and stream, as workflow engines look them up."""
    job = server.succeed(submit(server, python(server, "metadata", READ)))
    [line] = server.messages(job["jobId"])
    execution, container, task = json.loads(line)
    assert execution.startswith("AWS_ECS_")
    assert container["LogDriver"] == "awslogs"
    options = container["LogOptions"]
    assert options["awslogs-group"] == GROUP
    assert options["awslogs-region"] == REGION
    assert options["awslogs-stream"] == job["container"]["logStreamName"]
    assert container["Image"] == "host"
    assert task["TaskARN"] == job["container"]["taskArn"]
    assert task["TaskARN"].startswith(f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/")
    assert task["TaskARN"].endswith(job["container"]["logStreamName"].split("/")[-1])


def test_each_job_has_its_own(server):
    """Two jobs at once read their own metadata."""
    definition = python(server, "metadata-each", READ)
    for job_id in [submit(server, definition) for _ in range(4)]:
        job = server.succeed(job_id)
        _, container, _ = json.loads(server.messages(job_id)[0])
        assert container["LogOptions"]["awslogs-stream"] == job["container"]["logStreamName"]


def test_a_job_submits_a_job(server):
    """AWS_ENDPOINT_URL_BATCH leads every SDK to this server; the keys are the job's own affair."""
    server.define("child", ["echo", "child"])
    key = server.keys()[0]
    credentials = [
        {"name": "AWS_ACCESS_KEY_ID", "value": key["accessKeyId"]},
        {"name": "AWS_SECRET_ACCESS_KEY", "value": key["secretAccessKey"]},
    ]
    parent = submit(server, python(server, "parent", SUBMIT), environment=credentials)
    server.succeed(parent)
    child = server.succeed(server.messages(parent)[0])
    assert child["jobName"] == "from-a-job"


def test_working_directory(server, tmp_path):
    """FORNADA_WORKDIR: where a job with image `host` starts."""
    server.succeed(server.submit("pwd > where", env={"FORNADA_WORKDIR": str(tmp_path)}))
    assert (tmp_path / "where").read_text() == f"{tmp_path}\n"


def test_a_working_directory_of_its_own(server):
    """Without FORNADA_WORKDIR each attempt starts in a new, empty directory, which is gone after its end."""
    script = "pwd; ls -A; mkdir job && touch job/file; test $AWS_BATCH_JOB_ATTEMPT -eq 2"
    job = server.succeed(server.submit(script, retryStrategy={"attempts": 2}))
    directories = set()
    for attempt in job["attempts"]:
        stream = {"logGroupName": GROUP, "logStreamName": attempt["container"]["logStreamName"]}
        [event] = server.logs.get_log_events(**stream, startFromHead=True)["events"]
        directories.add(event["message"])
    assert len(directories) == 2
    for directory in directories:
        wait_for(lambda: os.path.exists(directory), lambda there: not there)


def test_working_directory_that_is_not_there(server, tmp_path):
    """The attempt fails to start and says why."""
    job = server.fail(server.submit(env={"FORNADA_WORKDIR": str(tmp_path / "gone")}))
    assert job["statusReason"] == "Task failed to start"
    assert "gone" in job["container"]["reason"]


def test_no_descriptor_leaks_into_a_job(server):
    """A job has the three standard descriptors and none of the node's."""
    job_id = server.submit("ls /proc/self/fd | tr '\\n' ' '")
    server.succeed(job_id)
    # `ls` itself has the directory open as 3.
    assert server.messages(job_id) == ["0 1 2 3 "]
