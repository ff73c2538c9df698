"""Multi-node parallel jobs. Source: AWS Batch User Guide, Multi-node parallel jobs; API reference, NodeProperties."""

import pytest

from server import wait_for

NEEDS = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]


def container(script="true", **members):
    return {"image": "host", "command": ["sh", "-c", script], "resourceRequirements": NEEDS} | members


def register(server, name, *ranges, num_nodes=3, main_node=0, **members):
    answer = server.unchecked.register_job_definition(
        jobDefinitionName=name, type="multinode",
        nodeProperties={"numNodes": num_nodes, "mainNode": main_node, "nodeRangeProperties": list(ranges)}, **members
    )
    return f"{name}:{answer['revision']}"


def run(server, definition, **members):
    return server.batch.submit_job(jobName="job", jobQueue="default", jobDefinition=definition, **members)["jobId"]


def nodes(server, parent, status):
    listed = server.batch.list_jobs(multiNodeJobId=parent, jobStatus=status)["jobSummaryList"]
    return {job["nodeProperties"]["nodeIndex"]: job for job in listed}


def all_run(server, parent, count):
    """Waits until every node runs."""
    return wait_for(lambda: nodes(server, parent, "RUNNING"), lambda found: len(found) == count)


def test_echo(server):
    """What was registered comes back; each range's container has the lists of any container."""
    first = {"targetNodes": "0", "container": container(instanceType="c5.large")}
    rest = {"targetNodes": "1:", "container": container("sleep 1", environment=[{"name": "A", "value": "1"}])}
    register(server, "echo", first, rest)
    [found] = server.batch.describe_job_definitions(jobDefinitionName="echo")["jobDefinitions"]
    assert (found["type"], "containerProperties" in found) == ("multinode", False)
    properties = found["nodeProperties"]
    assert (properties["numNodes"], properties["mainNode"]) == (3, 0)
    empty = {name: [] for name in ("environment", "mountPoints", "secrets", "ulimits", "volumes")}
    assert properties["nodeRangeProperties"] == [
        given | {"container": empty | given["container"]} for given in (first, rest)
    ]


@pytest.mark.parametrize("given, want", [
    ({"num_nodes": 1001}, "Number of nodes must be between 1 and 1000."),
    ({"main_node": 3}, "Main node index is out of range, must be less than numNodes."),
    ({"ranges": [{"targetNodes": "a:b", "container": container()}]}, "targetNodes should contain only digits."),
    ({"ranges": [{"targetNodes": "0:"}]}, "Must specify container for node range 0:"),
    ({"ranges": [{"targetNodes": f"{i}:", "container": container()} for i in range(6)]},
     "Maximum allowed size of node range properties is 5"),
    ({"ranges": [{"targetNodes": "0:1", "container": container()}]}, "node 2 is in none of them"),
    ({"platformCapabilities": ["MANAGED_INSTANCES"]}, "MANAGED_INSTANCES does not support MNP jobs"),
])
def test_refused(server, refused, given, want):
    ranges = given.pop("ranges", [{"targetNodes": "0:", "container": container()}])
    with refused(want):
        register(server, "refused", *ranges, **given)


def test_life_of_a_gang(server, gate, tmp_path):
    """The main node starts first; all know each other; when the main node ends, so does the job."""
    waiting = gate()
    write = f"env | grep AWS_BATCH_JOB_ > {tmp_path}/$AWS_BATCH_JOB_NODE_INDEX"
    definition = register(
        server, "life",
        {"targetNodes": "0", "container": container(f"{write}; {waiting.wait}")},
        {"targetNodes": "1:", "container": container(f"{write}; exec sleep 300")},
    )
    parent = run(server, definition)
    running = all_run(server, parent, 3)
    assert [running[index]["nodeProperties"] for index in range(3)] == [
        {"isMainNode": index == 0, "numNodes": 3, "nodeIndex": index} for index in range(3)
    ]
    assert [running[index]["jobId"] for index in range(3)] == [f"{parent}#{index}" for index in range(3)]
    # Nodes and children are listed in RUNNING by default.
    assert len(server.batch.list_jobs(multiNodeJobId=parent)["jobSummaryList"]) == 3
    page = server.batch.list_jobs(multiNodeJobId=parent, maxResults=2)
    rest = server.batch.list_jobs(multiNodeJobId=parent, maxResults=2, nextToken=page["nextToken"])
    assert (len(page["jobSummaryList"]), len(rest["jobSummaryList"]), "nextToken" in rest) == (2, 1, False)

    job = server.describe(parent)
    assert (job["status"], "container" in job, "nodeDetails" in job) == ("RUNNING", False, False)
    assert (job["nodeProperties"]["numNodes"], job["nodeProperties"]["mainNode"]) == (3, 0)
    [listed] = [j for j in server.batch.list_jobs(jobQueue="default")["jobSummaryList"] if j["jobId"] == parent]
    assert listed["nodeProperties"]["numNodes"] == 3

    details = server.batch.describe_jobs(jobs=[f"{parent}#{i}" for i in range(3)] + [f"{parent}#3"])["jobs"]
    details = {job["nodeDetails"]["nodeIndex"]: job for job in details}
    assert sorted(details) == [0, 1, 2]
    assert [details[i]["nodeDetails"]["isMainNode"] for i in range(3)] == [True, False, False]
    addresses = [details[i]["container"]["networkInterfaces"][0]["privateIpv4Address"] for i in range(3)]
    assert len(set(addresses)) == 3

    def variables(index):
        path = tmp_path / str(index)
        text = wait_for(lambda: path.read_text() if path.exists() else "", lambda text: "NUM_NODES" in text)
        return dict(line.split("=", 1) for line in text.splitlines())

    for index in range(3):
        found = variables(index)
        assert found["AWS_BATCH_JOB_ID"] == f"{parent}#{index}"
        assert (found["AWS_BATCH_JOB_NUM_NODES"], found["AWS_BATCH_JOB_MAIN_NODE_INDEX"]) == ("3", "0")
        main = found.get("AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS")
        assert main == (None if index == 0 else addresses[0])

    waiting.open()
    ended = server.succeed(parent)
    main = server.describe(f"{parent}#0")
    for member in ("startedAt", "stoppedAt", "statusReason", "attempts"):
        assert ended[member] == main[member], member
    assert main["container"]["exitCode"] == 0
    for index in (1, 2):
        node = server.describe(f"{parent}#{index}")
        assert (node["status"], node["container"]["exitCode"]) == ("FAILED", 143)


def test_the_main_node_decides(server):
    """A node that fails does not matter; a main node that fails makes another attempt of all nodes."""
    definition = register(
        server, "decides",
        {"targetNodes": "0", "container": container("test $AWS_BATCH_JOB_ATTEMPT = 2")},
        {"targetNodes": "1", "container": container("exit 5")},
        num_nodes=2, retryStrategy={"attempts": 2},
    )
    parent = run(server, definition)
    ended = server.succeed(parent)
    assert [attempt["container"]["exitCode"] for attempt in ended["attempts"]] == [1, 0]
    assert server.describe(f"{parent}#1")["status"] == "FAILED"
    assert len(server.describe(f"{parent}#0")["attempts"]) == 2


def test_overrides(server, refused):
    """API reference, NodeOverrides: the number of nodes, and what changes in a range."""
    definition = register(
        server, "overrides",
        {"targetNodes": "0", "container": container()}, {"targetNodes": "1:", "container": container()},
    )
    change = {"targetNodes": "0", "containerOverrides": {"command": ["sh", "-c", "test $AWS_BATCH_JOB_NUM_NODES = 2"]}}
    job = server.succeed(
        run(server, definition, nodeOverrides={"numNodes": 2, "nodePropertyOverrides": [change]})
    )
    assert job["nodeProperties"]["numNodes"] == 2
    command = job["nodeProperties"]["nodeRangeProperties"][0]["container"]["command"]
    assert command == change["containerOverrides"]["command"]

    other = {"nodePropertyOverrides": [change | {"targetNodes": "0:1"}]}
    with refused("NodeOverride targets should match job definition. Non matching targets - 0:1"):
        run(server, definition, nodeOverrides=other)
    task = {"targetNodes": "0", "ecsPropertiesOverride": {"taskProperties": [{"containers": [{"command": ["x"]}]}]}}
    with refused("ecsPropertiesOverride can not be used"):
        run(server, definition, nodeOverrides={"nodePropertyOverrides": [task]})
    with refused("numNodes 1 must be more than"):
        run(server, definition, nodeOverrides={"numNodes": 1})
    closed = register(server, "closed", {"targetNodes": "0:2", "container": container()})
    with refused("needs a job definition with a node range that has no upper bound"):
        run(server, closed, nodeOverrides={"numNodes": 4})
    with refused("can not be an array job"):
        run(server, definition, arrayProperties={"size": 2})
    with refused("containerOverrides can not be used"):
        run(server, definition, containerOverrides={"command": ["true"]})


def test_stopping(server, refused):
    """Nodes are stopped through their parent only."""
    definition = register(server, "stopping", {"targetNodes": "0:", "container": container("exec sleep 300")})
    parent = run(server, definition)
    all_run(server, parent, 3)
    for stop in (server.batch.terminate_job, server.batch.cancel_job):
        with refused(f"use the id of its parent, {parent}"):
            stop(jobId=f"{parent}#1", reason="no")
    server.batch.terminate_job(jobId=parent, reason="enough")
    assert server.fail(parent)["statusReason"] == "enough"
    for index in range(3):
        server.fail(f"{parent}#{index}")
    assert len(nodes(server, parent, "FAILED")) == 3


def test_tasks_on_nodes(server):
    """A range may describe a task of several containers."""
    named = [container(name=name) for name in ("a", "b")]
    ecs = {"taskProperties": [{"containers": named}]}
    definition = register(server, "tasks", {"targetNodes": "0:", "ecsProperties": ecs, "instanceTypes": ["c5.large"]})
    parent = run(server, definition)
    ended = server.succeed(parent)
    [node_range] = ended["nodeProperties"]["nodeRangeProperties"]
    assert node_range["instanceTypes"] == ["c5.large"]
    [task] = server.describe(f"{parent}#0")["ecsProperties"]["taskProperties"]
    assert [found["name"] for found in task["containers"]] == ["a", "b"]
    assert [found["name"] for found in ended["attempts"][0]["taskProperties"][0]["containers"]] == ["a", "b"]
