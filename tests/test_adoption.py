"""A job that prints without a pause, while server and node around it are replaced: its log has no gap and repeats nothing."""

import os
import signal

import pytest

from crash.cluster import Cluster
from crash.journal import Journal
from server import GROUP, wait_for


@pytest.fixture
def cluster(request):
    cluster = Cluster(Journal, request.param)
    try:
        cluster.launch_all()
        yield cluster.await_ready()
    finally:
        cluster.remove()


def lines(cluster, stream):
    """All that a stream holds, page by page."""
    found, token = [], {}
    while True:
        page = cluster.logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True, **token)
        found += [event["message"] for event in page["events"]]
        if token.get("nextToken") == page["nextForwardToken"]:
            return found
        token = {"nextToken": page["nextForwardToken"]}


@pytest.mark.parametrize("cluster", [False, True], ids=["up", "server and node"], indirect=True)
def test_a_steady_log(cluster, tmp_path):
    script = f"n=0; while [ ! -e {tmp_path}/stop ]; do n=$((n + 1)); echo $AWS_BATCH_JOB_ATTEMPT $n; sleep 0.005; done"
    job_id = cluster.submit(script, retryStrategy={"attempts": 2})

    def stream():
        return cluster.describe(job_id)["container"].get("logStreamName")

    def restart_while_it_prints(how):
        name = wait_for(stream, bool)
        before = len(wait_for(lambda: lines(cluster, name), lambda found: len(found) > 3))
        cluster.stop(how)
        cluster.launch()
        cluster.await_ready()
        wait_for(lambda: lines(cluster, name), lambda found: len(found) > before + 3)
        return name

    cluster.wait(job_id, "RUNNING")
    for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGKILL):
        first = restart_while_it_prints(how)
    assert cluster.describe(job_id)["attempts"] == []

    # A node that is told to end stops what it runs; the next one begins the next attempt.
    os.kill(cluster.living_node(), signal.SIGTERM)
    if cluster.is_apart:
        cluster.node.wait(20)
        cluster.launch_node()
    wait_for(lambda: len(cluster.describe(job_id)["attempts"]), lambda count: count == 1)
    cluster.wait(job_id, "RUNNING")
    for how in (signal.SIGTERM, signal.SIGKILL):
        second = restart_while_it_prints(how)
    assert second != first
    (tmp_path / "stop").touch()
    job = cluster.succeed(job_id)
    assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [143, 0]
    for attempt, name in enumerate((first, second), 1):
        found = lines(cluster, name)
        assert found == [f"{attempt} {number}" for number in range(1, len(found) + 1)]
