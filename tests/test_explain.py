"""Why a job waits, or how it ended: status reasons, `fornada explain`, `fornada top`. See docs/extensions.md."""

import json

import pytest

import signing
from server import wait_for

OTHER = "eu-west-1"


def reason(server, job_id):
    """The `statusReason` that ListJobs and DescribeJobs agree upon."""
    job = server.describe(job_id)
    listed = server.batch.list_jobs(jobQueue=job["jobQueue"], jobStatus=job["status"])["jobSummaryList"]
    [listed] = [summary for summary in listed if summary["jobId"] == job_id]
    assert listed.get("statusReason") == job.get("statusReason")
    return job.get("statusReason")


def explain(server, job_id):
    """`fornada explain --output json`, and the text's first line after the status."""
    done = server.cli("explain", job_id, "--output", "json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    text = server.cli("explain", job_id).stdout
    assert text.startswith(f"{answer['status']}: {answer['summary']}\n\n"), text
    return answer, text


@pytest.fixture(scope="module")
def fair(server):
    """A queue with fair shares."""
    policy = server.batch.create_scheduling_policy(name="fair", fairsharePolicy={})["arn"]
    return server.create_queue("fair", schedulingPolicyArn=policy)


def test_dependencies(server, gate):
    """Who is waited for, of several, and of an array."""
    waiting = gate()
    a = server.submit(waiting.wait, name="a")
    b = server.submit(waiting.wait, name="b")
    array = server.submit(waiting.wait, name="parts", array=2)
    server.wait(a, "RUNNING")
    one = server.submit(dependsOn=[{"jobId": a}])
    both = server.submit(dependsOn=[{"jobId": a}, {"jobId": b}])
    of_array = server.submit(dependsOn=[{"jobId": array}])
    assert reason(server, one) == f'Waiting for job "a" ({a[:8]}, RUNNING)'
    assert reason(server, both).startswith(f'Waiting for 2 of 2 dependencies, first job "a" ({a[:8]}')
    assert reason(server, of_array).startswith(f'Waiting for array job "parts" ({array[:8]}, PENDING): 0 of 2 children')
    answer, text = explain(server, both)
    assert [on["jobId"] for on in answer["dependsOn"]] == [a, b]
    assert f"depends on  a {a[:8]} RUNNING, must succeed" in text
    waiting.open(4)
    for job in (one, both, of_array):
        server.succeed(job)
    assert "statusReason" in server.describe(one) and explain(server, one)[0]["summary"] == "Succeeded"


def test_capacity_position_and_start(server, gate):
    """What is short, who is ahead, and when the turn comes."""
    waiting = gate()
    bounded = {"timeout": {"attemptDurationSeconds": 600}}
    large = server.define("six", ["sh", "-c", waiting.wait], vcpus=6)
    submit = lambda name: server.batch.submit_job(jobName=name, jobQueue="default", jobDefinition=large, **bounded)["jobId"]  # noqa: E731
    running, first, second = submit("running"), submit("first"), submit("second")
    server.wait(running, "RUNNING")
    short = 'Waiting for capacity: needs 6 vCPUs, compute environment "local" has 2 free'
    assert [reason(server, job) for job in (first, second)] == [short, short]
    answer, text = explain(server, second)
    waits = answer["waits"]
    assert waits["on"] == "CAPACITY"
    assert (waits["jobsAhead"], waits["vcpusAhead"]) == (1, 6.0)
    [environment] = waits["computeEnvironments"]
    assert (environment["computeEnvironment"], environment["verdict"]) == ("local", "NO_ROOM")
    started = server.describe(running)["startedAt"]
    assert waits["startsBy"] >= started + 1_200_000
    assert "ahead        1 job, which needs 6 vCPUs" in text
    answer, text = explain(server, running)
    assert answer["running"]["timeoutAt"] == started + 600_000 and "instance" in text
    top = server.cli("top").stdout
    assert first in top and "has 2 free" in top and "local" in top, top
    passing, long = server.submit(timeout={"attemptDurationSeconds": 60}), server.submit()
    server.succeed(passing)
    server.succeed(long)  # `first` needs 6 of the 8 vCPUs when its turn comes: 1 is left
    third = server.define("three", ["sh", "-c", waiting.wait], vcpus=2)
    held = [server.batch.submit_job(jobName="two", jobQueue="default", jobDefinition=third)["jobId"] for _ in range(2)]
    server.wait(held[0], "RUNNING")
    waiting.open(5)
    for job in (running, first, second, *held):
        server.succeed(job)


def test_shares_and_consumable_resources(server, fair, gate):
    """Whose turn it is, and what there is too little of."""
    waiting = gate()
    server.batch.create_consumable_resource(consumableResourceName="licence", totalQuantity=3, resourceType="REPLENISHABLE")
    needs = lambda n: {"consumableResourcePropertiesOverride": {"consumableResourceList": [  # noqa: E731
        {"consumableResource": "licence", "quantity": n}]}}
    holder = server.submit(waiting.wait, **needs(2))
    server.wait(holder, "RUNNING")
    short = server.submit(**needs(2))
    assert reason(server, short) == 'Waiting for consumable resource "licence": needs 2, 1 left, 2 held by others'
    assert explain(server, short)[0]["waits"]["consumableResource"]["held"] == 2
    waiting.open()
    server.succeed(short)

    five = server.define("five", ["sh", "-c", waiting.wait], vcpus=5)
    submit = lambda share: server.batch.submit_job(  # noqa: E731
        jobName=share, jobQueue=fair, jobDefinition=five, shareIdentifier=share)["jobId"]
    running = submit("red")
    server.wait(running, "RUNNING")
    red, blue = submit("red"), submit("blue")
    assert reason(server, red) == 'Waiting for the turn of share "blue"'
    shares = explain(server, red)[0]["waits"]["shares"]
    assert [(share["shareIdentifier"], share["usedVcpus"]) for share in shares] == [("red", 5.0), ("blue", 0.0)]
    waiting.open(3)
    for job in (running, red, blue):
        server.succeed(job)


def test_finished(server):
    """Attempt by attempt, and down to the root cause."""
    rules = {"attempts": 3, "evaluateOnExit": [{"onExitCode": "7", "action": "EXIT"}]}
    script = 'test $AWS_BATCH_JOB_ATTEMPT = 2 && exit 7; exit 1'
    root = server.submit(script, name="root", retryStrategy=rules)
    last = server.submit(dependsOn=[{"jobId": server.submit(dependsOn=[{"jobId": root}])}])
    server.fail(last)
    answer, text = explain(server, root)
    assert answer["summary"] == "Attempt 2 failed (exit code 7); rule 1 of evaluateOnExit says EXIT"
    decisions = [(a["attempt"], a["exitCode"], a["decision"]) for a in answer["attempts"]]
    assert decisions == [(1, 1, "RETRIED"), (2, 7, "RULE_SAYS_EXIT")]
    assert "RULE_SAYS_EXIT (rule 1)" in text
    answer, _ = explain(server, last)
    assert answer["summary"] == f'Never ran: job "root" ({root[:8]}) failed: exit code 7'
    assert answer["causes"][-1]["jobId"] == root
    assert server.describe(last)["statusReason"] == "Dependent Job failed", "AWS's own reason stays"


def test_children_and_names(server):
    """A child by its index, a job by its name."""
    array = server.submit('exit $AWS_BATCH_JOB_ARRAY_INDEX', name="to-explain", array=2)
    server.fail(array)
    answer, _ = explain(server, "to-explain")
    assert answer["summary"] == f'1 of 2 children failed, the first: job "to-explain" ({array[:8]}:1) failed: exit code 1'
    assert answer["members"] == {"SUCCEEDED": 1, "FAILED": 1}
    assert explain(server, "to-explain:0")[0]["summary"] == "Succeeded"
    done = server.cli("explain", "0" * 8 + "-0000-4000-8000-" + "0" * 12)
    assert done.returncode == 1 and "There is no job" in done.stderr


def test_tenants_methods_and_signatures(server):
    """Only the caller's own jobs, only GET, only signed."""
    job = server.submit("true")
    path = f"/fornada/v1/explain/{job}"
    assert signing.call(server, "GET", path, b"").json["jobId"] == job
    elsewhere = signing.call(server, "GET", path, b"", region=OTHER)
    assert (elsewhere.status, elsewhere.code) == (400, "ClientException")
    overview = signing.call(server, "GET", "/fornada/v1/overview", b"", region=OTHER).json
    assert overview["queues"] == overview["environments"] == overview["running"] == []
    assert [queue["name"] for queue in signing.call(server, "GET", "/fornada/v1/overview", b"").json["queues"]]
    assert signing.call(server, "POST", path, b"").status == 405
    assert signing.call(server, "GET", "/fornada/v1/nothing", b"").status == 404
    unsigned = signing.send(server, "GET", path, b"", {})
    assert unsigned.status == 403


def test_strict(own_server, gate):
    """A strict server gives AWS's reasons only, and explains all the same."""
    waiting = gate()
    server = own_server("--strict").start()
    a = server.submit(waiting.wait)
    b = server.submit(dependsOn=[{"jobId": a}])
    server.wait(b, "PENDING")
    assert reason(server, b) is None
    assert explain(server, b)[0]["summary"].startswith("Waiting for job")
    waiting.open()
    server.succeed(b)


def test_top_counts_jobs(server, gate):
    """Of each queue, by status; arrays count once."""
    waiting = gate()
    server.create_queue("counted")
    jobs = [server.submit(waiting.wait, queue="counted"), server.submit(waiting.wait, queue="counted", array=2)]
    look = lambda: json.loads(server.cli("top", "--once", "--output", "json").stdout)  # noqa: E731
    counted = lambda seen: next(queue for queue in seen["queues"] if queue["name"] == "counted")  # noqa: E731
    seen = wait_for(look, lambda seen: counted(seen)["jobs"].get("RUNNING") == 1 and counted(seen)["attempts"] == 3)
    assert counted(seen)["jobs"] == {"PENDING": 1, "RUNNING": 1}
    [instance] = seen["instances"]
    assert (instance["state"], instance["used"]["vcpus"]) == ("CONNECTED", 3.0)
    waiting.open(3)
    for job in jobs:
        server.succeed(job)
