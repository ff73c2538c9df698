"""A newer release takes over what an older one left: its store, its logs, and its node with the jobs that run on it.

The older release is built from the history (`make earlier`) and found by FORNADA_EARLIER.
"""

import contextlib
import os
import pathlib
import signal
import sqlite3
import subprocess

import pytest

from crash.cluster import Cluster
from crash.journal import Journal
from server import binary, wait_for

EARLIER = pathlib.Path(os.environ.get("FORNADA_EARLIER", ""))

pytestmark = pytest.mark.skipif(
    not EARLIER.is_file(), reason="no build of an earlier release: `make earlier` makes one where the history has its commit"
)


def schema_version(server):
    with contextlib.closing(sqlite3.connect(server.data_dir / "store.db")) as database:
        [(version,)] = database.execute("PRAGMA user_version")
        return version


def executable(pid):
    return pathlib.Path(f"/proc/{pid}/exe").resolve()


def counting(until):
    """A job that prints numbered lines until a file is there."""
    return f"n=0; while [ ! -e {until} ]; do n=$((n + 1)); echo line $n; sleep 0.01; done; exit 7"


@pytest.fixture
def earlier(own_server):
    """A server of the earlier release, in use: a job that has ended, one that runs, and some that wait for it."""

    def start(stop):
        server = own_server(capacity="vcpus=1,memory=4096")
        server.binary = EARLIER
        server.start()
        server.done = server.submit("echo done", name="done")
        server.succeed(server.done)
        server.running = server.submit(counting(stop), retryStrategy={"attempts": 1})
        server.waiting = [server.submit(f"echo waited {number}") for number in range(3)]
        server.dependent = server.submit(dependsOn=[{"jobId": server.done}, {"jobId": server.waiting[0]}], array=2)
        server.wait(server.running, "RUNNING")
        wait_for(lambda: server.messages(server.running), lambda lines: len(lines) > 5)
        return server

    return start


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "stop"])
def test_a_newer_server_takes_over(earlier, tmp_path, how):
    """Jobs go on where they run, what waited is started on the older node, and the next node is of the newer release."""
    server = earlier(tmp_path / "stop")
    before = {job: server.describe(job) for job in (server.done, server.running)}
    node = server.node_pid()
    assert executable(node) == EARLIER.resolve()
    server.stop(how)

    server.binary = binary()
    server.start()
    assert server.node_pid() == node
    assert server.messages(server.done) == ["done"]
    assert server.describe(server.done) | before[server.done] == server.describe(server.done), "a member is gone or changed"
    # Capacity is known, and jobs are placed, when the node has been heard: what waited still has to.
    running = server.describe(server.running)
    was = before[server.running]
    assert (running["status"], running["startedAt"], running["attempts"]) == ("RUNNING", was["startedAt"], [])
    seen = len(server.messages(server.running))
    wait_for(lambda: server.messages(server.running), lambda lines: len(lines) > seen + 5)

    (tmp_path / "stop").touch()
    job = server.fail(server.running)
    assert (job["container"]["exitCode"], len(job["attempts"])) == (7, 1)
    lines = server.messages(server.running)
    assert lines == [f"line {number}" for number in range(1, len(lines) + 1)]
    for number, job_id in enumerate(server.waiting):
        assert len(server.succeed(job_id)["attempts"]) == 1
        assert server.messages(job_id) == [f"waited {number}"]
    server.succeed(server.dependent)
    assert executable(server.node_pid()) == EARLIER.resolve()

    # The node ends with the server when it has nothing to look after, so the next start brings one of the same release.
    server.stop()
    server.start()
    assert executable(server.node_pid()) == binary()
    server.succeed(server.submit())
    assert server.succeed(server.done)["container"]["exitCode"] == 0
    with contextlib.closing(sqlite3.connect(server.data_dir / "store.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_the_way_back(earlier, tmp_path):
    """An earlier server refuses a store that a later one has migrated; one that has not changed is its own as before."""
    server = earlier(tmp_path / "stop")
    version = schema_version(server)
    server.stop()
    server.binary = binary()
    server.start()
    server.stop()
    server.binary = EARLIER
    if schema_version(server) > version:
        refused = subprocess.run(
            [EARLIER, "up", "--data-dir", server.data_dir, "--listen", "127.0.0.1:0"],
            capture_output=True, text=True, timeout=30, env=server.environment, stdin=subprocess.DEVNULL,
        )
        assert refused.returncode == 1
        [sentence] = refused.stderr.strip().splitlines()
        assert "was written by a newer version of Fornada" in sentence
        server.binary = binary()
    server.start()
    (tmp_path / "stop").touch()
    assert server.fail(server.running)["container"]["exitCode"] == 7
    lines = server.messages(server.running)
    assert lines == [f"line {number}" for number in range(1, len(lines) + 1)]
    for job_id in server.waiting:
        server.succeed(job_id)


@pytest.fixture
def apart():
    """Server and node that are started by themselves."""
    cluster = Cluster(Journal, apart=True)
    yield cluster
    cluster.remove()


def test_the_node_first(apart, tmp_path):
    """Where the node is replaced before the server, the older server uses the newer node; and so does its successor."""
    apart.binary = EARLIER
    apart.launch()
    apart.binary = binary()
    apart.launch_node()
    apart.await_ready()
    assert executable(apart.process.pid) == EARLIER.resolve() and executable(apart.node.pid) == binary()
    running = apart.submit(counting(tmp_path / "stop"), retryStrategy={"attempts": 1})
    apart.succeed(apart.submit("echo done"))
    apart.wait(running, "RUNNING")
    apart.kill()
    apart.launch()
    apart.await_ready()
    assert apart.describe(running)["attempts"] == []
    (tmp_path / "stop").touch()
    assert apart.fail(running)["container"]["exitCode"] == 7
    lines = apart.messages(running)
    assert lines == [f"line {number}" for number in range(1, len(lines) + 1)]
