"""The disk is full: the server stops by itself and says so; what was acknowledged is there when there is space again. Output of
jobs alone does not fill it."""

import os
import subprocess

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from server import GROUP

# Larger than what a first start writes.
SIZE = "4m"


@pytest.fixture
def small_disk():
    """Mounts a tmpfs as the home of a server's data directory; unmounted before the server is removed."""
    mounted = []

    def mount(path, size=SIZE):
        path.mkdir(mode=0o700)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", path], capture_output=True, text=True
        )
        if done.returncode != 0:
            pytest.skip(f"a full disk takes a tmpfs, which only root can mount: {done.stderr.strip()}")
        mounted.append(path)

    yield mount
    for path in mounted:
        subprocess.run(["umount", "--lazy", path], check=True)


def fill(path, leave):
    """Takes all space but `leave` bytes."""
    free = os.statvfs(path.parent)
    path.write_bytes(bytes(free.f_bavail * free.f_frsize - leave))
    return path


def test_disk_full(own_server, small_disk):
    server = own_server()
    small_disk(server.data_dir)
    server.start()
    # Jobs that fit nowhere stay where they are: only the server writes.
    queue = server.create_queue("kept")
    definition = server.define("kept", vcpus=9)
    parameters = {f"p{number}": "x" * 500 for number in range(20)}

    acknowledged = []

    def submit():
        acknowledged.append(server.submit(queue=queue, definition=definition, parameters=parameters))

    submit()
    ballast = fill(server.data_dir / "ballast", leave=512 * 1024)
    with pytest.raises((BotoCoreError, ClientError)):
        for _ in range(10_000):
            submit()
    assert len(acknowledged) > 10

    assert server.process.wait(timeout=20) == 1
    said = (server.root / "stderr").read_text()
    assert "error: cannot commit: the disk is full: free some space and start again" in said, said
    assert said.count("free some space") <= 2, said  # the log, and the last word
    assert "panicked" not in said

    os.unlink(ballast)
    server.start()
    assert [server.describe(job_id)["status"] for job_id in acknowledged] == ["RUNNABLE"] * len(acknowledged)
    listed = server.batch.list_jobs(jobQueue=queue, jobStatus="RUNNABLE")["jobSummaryList"]
    assert [job["jobId"] for job in reversed(listed)] == acknowledged, "and nothing else"
    # It goes on as before.
    server.succeed(server.submit("true"))


def test_output_of_jobs_leaves_room_for_the_store(own_server, small_disk):
    server = own_server()
    small_disk(server.data_dir, size="64m")
    server.start()
    job = server.succeed(server.submit("head -c 100000000 /dev/zero | tr '\\0' x | fold -w 1000"), seconds=60)
    free = os.statvfs(server.data_dir)
    assert free.f_bavail / free.f_blocks > 0.03
    [stream] = server.logs.describe_log_streams(
        logGroupName=GROUP, logStreamNamePrefix=job["container"]["logStreamName"]
    )["logStreams"]
    assert stream["storedBytes"] > 40 * 2**20, "what was written before is there"
    # It goes on as before, but for output.
    server.succeed(server.submit("echo lost"))
