"""Tasks of several containers. Source: AWS Batch User Guide, Multi-container jobs; API reference, EcsTaskProperties."""

import pytest

from server import GROUP, wait_for

NEEDS = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]


def container(name, script="true", **members):
    return {
        "name": name, "image": "host", "command": ["sh", "-c", script], "resourceRequirements": NEEDS,
    } | members


def register(server, name, *containers, task=None, **members):
    properties = {"taskProperties": [{"containers": list(containers)} | (task or {})]}
    answer = server.unchecked.register_job_definition(
        jobDefinitionName=name, type="container", ecsProperties=properties, **members
    )
    return f"{name}:{answer['revision']}"


def run(server, definition, **members):
    return server.batch.submit_job(jobName="job", jobQueue="default", jobDefinition=definition, **members)["jobId"]


def containers(job):
    """The containers of the newest attempt, by name."""
    return {found["name"]: found for found in job["ecsProperties"]["taskProperties"][0]["containers"]}


def messages(server, stream):
    page = server.logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)
    return [event["message"] for event in page["events"]]


def test_echo(server):
    """What was registered comes back in its order; lists are empty, not absent; no defaults are added."""
    side = container("side", essential=False, environment=[{"name": "Z", "value": "1"}, {"name": "A", "value": "2"}])
    main = container(
        "main", dependsOn=[{"containerName": "side", "condition": "SUCCESS"}], user="nobody",
        secrets=[{"name": "TOKEN", "valueFrom": "arn:aws:ssm:us-east-1:000000000000:parameter/token"}],
        mountPoints=[{"containerPath": "/scratch", "sourceVolume": "scratch"}],
        linuxParameters={"initProcessEnabled": True}, stopTimeout=10,
        logConfiguration={"logDriver": "awslogs", "options": {"awslogs-stream-prefix": "p"}},
    )
    task = {"volumes": [{"name": "scratch", "host": {}}], "taskRoleArn": "arn:aws:iam::000000000000:role/task",
            "ipcMode": "task", "pidMode": "task", "enableExecuteCommand": False}
    register(server, "echo", side, main, task=task)
    [found] = server.batch.describe_job_definitions(jobDefinitionName="echo")["jobDefinitions"]
    assert "containerProperties" not in found
    assert (found["type"], found["containerOrchestrationType"]) == ("container", "ECS")
    [echo] = found["ecsProperties"]["taskProperties"]
    assert {name: echo[name] for name in task} == task
    lists = ("dependsOn", "environment", "mountPoints", "secrets", "ulimits")
    assert echo["containers"] == [{name: [] for name in lists} | given for given in (side, main)]


@pytest.mark.parametrize("given, want", [
    ([], "Number of containers must be between 1 and 10"),
    ([container("a", essential=False)], "At least one container must be set as essential"),
    ([container("a"), container("a")], "must be unique in multi-container job."),
    ([container("a", dependsOn=[{"containerName": "b", "condition": "START"}]), container("c")],
     "containerName b must reference a defined container."),
    ([container("a", dependsOn=[{"containerName": "b", "condition": "SUCCESS"}]), container("b")],
     "can not have condition SUCCESS if the target is essential"),
    ([container("a", secrets=[{"name": "S", "valueFrom": "arn:aws:s3:::bucket"}])], "valueFrom of secret S must be"),
])
def test_refused(server, refused, given, want):
    with refused(want):
        register(server, "refused", *given)


def test_life_of_a_task(server, gate):
    """The end of the essential container stops the others; each has its own log, exit code and entry in the attempt."""
    waiting = gate()
    definition = register(
        server, "life",
        container("side", "echo from side; exec sleep 300", essential=False),
        container("main", f"echo from main $AWS_BATCH_JOB_ID; {waiting.wait}",
                  dependsOn=[{"containerName": "side", "condition": "START"}]),
    )
    job = run(server, definition)
    running = server.wait(job, "RUNNING")
    assert "container" not in running
    [task] = running["ecsProperties"]["taskProperties"]
    assert task["taskArn"].startswith("arn:aws:ecs:") and task["containerInstanceArn"]
    wait_for(lambda: messages(server, containers(running)["side"]["logStreamName"]), lambda lines: lines)
    waiting.open()

    ended = server.succeed(job)
    assert ended["statusReason"] == "Essential container in task exited"
    found = containers(ended)
    assert (found["main"]["exitCode"], found["side"]["exitCode"]) == (0, 143)
    for name, lines in (("main", [f"from main {job}"]), ("side", ["from side"])):
        stream = found[name]["logStreamName"]
        assert stream.split("/")[:2] == ["life", name]
        assert messages(server, stream) == lines
    [attempt] = ended["attempts"]
    assert "container" not in attempt
    [task] = attempt["taskProperties"]
    assert {c["name"]: (c["exitCode"], c["logStreamName"]) for c in task["containers"]} == {
        name: (found[name]["exitCode"], found[name]["logStreamName"]) for name in ("side", "main")
    }


def test_order_and_failure(server, tmp_path):
    """SUCCESS waits for exit code 0; an essential container that fails, fails the attempt and it is retried."""
    log = tmp_path / "log"
    definition = register(
        server, "order",
        container("last", f"echo last >> {log}; exit 3",
                  dependsOn=[{"containerName": "first", "condition": "SUCCESS"}]),
        container("first", f"echo first >> {log}", essential=False),
        retryStrategy={"attempts": 2},
    )
    ended = server.fail(run(server, definition))
    assert log.read_text().split() == ["first", "last"] * 2
    codes = [{c["name"]: c["exitCode"] for c in attempt["taskProperties"][0]["containers"]}
             for attempt in ended["attempts"]]
    assert codes == [{"last": 3, "first": 0}] * 2


def test_a_failed_sidecar_does_not_matter(server, gate):
    """Only essential containers decide."""
    waiting = gate()
    definition = register(
        server, "sidecar", container("side", "exit 7", essential=False), container("main", waiting.wait)
    )
    job = run(server, definition)
    server.wait(job, "RUNNING")
    waiting.open()
    found = containers(server.succeed(job))
    assert found["main"]["exitCode"] == 0


def test_overrides_go_by_name(server, refused, tmp_path):
    """API reference, TaskContainerOverrides: command, environment and resources of the named container."""
    definition = register(
        server, "overrides",
        container("a", environment=[{"name": "V", "value": "1"}], essential=False), container("b"),
    )
    change = {"name": "b", "command": ["sh", "-c", f"echo $V Ref::p > {tmp_path}/b"],
              "environment": [{"name": "V", "value": "2"}],
              "resourceRequirements": [{"type": "VCPU", "value": "2"}]}
    override = {"taskProperties": [{"containers": [change]}]}
    with refused("No parameter found for reference p"):
        run(server, definition, ecsPropertiesOverride=override)
    job = run(server, definition, ecsPropertiesOverride=override, parameters={"p": "x"})
    found = containers(server.succeed(job))
    assert (tmp_path / "b").read_text() == "2 x\n"
    assert found["b"]["command"][-1] == f"echo $V x > {tmp_path}/b"
    assert found["b"]["environment"] == change["environment"]
    assert found["b"]["resourceRequirements"][0] == {"type": "VCPU", "value": "2"}
    assert found["a"]["environment"] == [{"name": "V", "value": "1"}]

    with refused("no container c to override"):
        run(server, definition, ecsPropertiesOverride={"taskProperties": [{"containers": [change | {"name": "c"}]}]})
    with refused("containerOverrides can not be used"):
        run(server, definition, containerOverrides={"command": ["true"]})
    with refused("ecsPropertiesOverride can not be used"):
        run(server, server.define("plain"), ecsPropertiesOverride=override)


def test_an_array_of_tasks(server):
    """Children are tasks too."""
    definition = register(
        server, "array", container("a", essential=False), container("b", "exit $AWS_BATCH_JOB_ARRAY_INDEX")
    )
    parent = run(server, definition, arrayProperties={"size": 2})
    assert server.fail(parent)["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 1
    assert containers(server.describe(f"{parent}:0"))["b"]["exitCode"] == 0
    [attempt] = server.describe(f"{parent}:1")["attempts"]
    assert {c["name"]: c.get("exitCode") for c in attempt["taskProperties"][0]["containers"]}["b"] == 1
