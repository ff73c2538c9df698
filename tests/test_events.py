"""`--events FILE`: each change of a job's status is told at least once and in order, whatever happens to the server."""

import collections
import json
import time
import urllib.request

import pytest

from server import ACCOUNT, ARN, ENDED, REGION, wait_for

# What may come next; a child's first event is that of its start.
NEXT = {
    None: {"SUBMITTED", "STARTING"},
    "SUBMITTED": {"PENDING", "RUNNABLE", "FAILED"},
    "PENDING": {"RUNNABLE", "SUCCEEDED", "FAILED"},
    "RUNNABLE": {"STARTING", "FAILED"},
    "STARTING": {"RUNNING", "RUNNABLE", "SUCCEEDED", "FAILED"},
    "RUNNING": {"RUNNABLE", "SUCCEEDED", "FAILED"},
    "SUCCEEDED": set(),
    "FAILED": set(),
}


@pytest.fixture
def teller(own_server, tmp_path):
    """A server that tells what becomes of its jobs."""
    server = own_server("--events", tmp_path / "events.jsonl")
    server.events = tmp_path / "events.jsonl"
    return server.start()


def events(path):
    """What the file says, each event once, in order; its lines that repeat others are the same."""
    seen = {}
    whole, _, _ = path.read_text().rpartition("\n")
    for line in whole.splitlines():
        event = json.loads(line)
        assert seen.setdefault(event["id"], event) == event
    return list(seen.values())


def statuses(path):
    """The statuses of each job, in order."""
    told = collections.defaultdict(list)
    for event in events(path):
        told[event["detail"]["jobId"]].append(event["detail"]["status"])
    return told


def waiting(server):
    """How many events have not been delivered."""
    with urllib.request.urlopen(f"{server.endpoint}/metrics") as answer:
        [line] = [line for line in answer.read().decode().splitlines() if line.startswith("fornada_events_waiting ")]
    return int(line.split()[1])


def test_an_event_is_as_event_bridge_sends_it(teller):
    job = teller.submit("exit 3", retryStrategy={"attempts": 2})
    teller.wait(job)
    wait_for(lambda: statuses(teller.events)[job], lambda told: told[-1:] == ["FAILED"])
    assert statuses(teller.events)[job] == ["SUBMITTED", *["RUNNABLE", "STARTING", "RUNNING"] * 2, "FAILED"]
    assert teller.events.stat().st_mode & 0o777 == 0o600
    event = events(teller.events)[-1]
    described = teller.describe(job)
    detail = event.pop("detail")
    id, at = event.pop("id"), event.pop("time")
    assert len(id) == 36
    assert at == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(described["stoppedAt"] // 1000))
    assert event == {
        "version": "0",
        "detail-type": "Batch Job State Change",
        "source": "aws.batch",
        "account": ACCOUNT,
        "region": REGION,
        "resources": [f"{ARN}job/{job}"],
    }
    same = ["jobArn", "jobName", "jobId", "jobQueue", "status", "statusReason", "createdAt", "startedAt", "stoppedAt"]
    for member in [*same, "jobDefinition"]:
        assert detail[member] == described[member], member
    assert [attempt["container"]["exitCode"] for attempt in detail["attempts"]] == [3, 3]
    assert detail["container"] == {"exitCode": 3}


def test_every_change_is_told_though_the_server_is_killed(teller):
    jobs = []
    for _ in range(4):
        jobs += [teller.submit("sleep 0.1") for _ in range(8)]
        jobs.append(teller.submit("exit 1", dependsOn=[{"jobId": jobs[-1]}]))
        jobs.append(teller.submit("true", dependsOn=[{"jobId": jobs[-1]}]))
        jobs.append(teller.submit("true", arrayProperties={"size": 3}))
        teller.kill()
        with teller.events.open("a") as file:
            file.write('{"version":"0","id":"torn')  # as if it had been killed in the midst of a line
        teller.start()
    for job in jobs:
        teller.wait(job)
    told = wait_for(
        lambda: statuses(teller.events), lambda told: all(told[job][-1:] and told[job][-1] in ENDED for job in jobs)
    )
    for job, said in told.items():
        for before, after in zip([None, *said], said):
            assert after in NEXT[before], f"{job}: {said}"
    for job in jobs:
        assert told[job][0] == "SUBMITTED" and told[job][-1] == teller.describe(job)["status"]
    children = {job for job in told if ":" in job}
    assert len(children) == 12 and all(told[child][-1] == "SUCCEEDED" for child in children)
    wait_for(lambda: waiting(teller), lambda count: count == 0)


def test_events_wait_while_the_file_cannot_be_written(teller):
    aside = teller.events.with_suffix(".aside")
    teller.events.rename(aside)
    teller.events.mkdir()
    job = teller.submit("true")
    teller.wait(job)
    wait_for(lambda: waiting(teller), lambda count: count == 5)
    assert teller.said().count("cannot write events") == 1
    teller.kill()
    teller.events.rmdir()
    teller.start()
    wait_for(lambda: statuses(teller.events)[job], lambda told: len(told) == 5)
    assert statuses(teller.events)[job] == ["SUBMITTED", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED"]


def test_a_file_that_is_something_else_is_refused(own_server, tmp_path):
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    with pytest.raises(AssertionError, match="before it was ready"):
        own_server("--events", other).start()
    assert other.read_text() == "mine"
