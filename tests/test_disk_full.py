"""The disk is full: the server stops by itself and says so; what was acknowledged is there when there is space again. Output of
jobs alone does not fill it."""

import os
import subprocess

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from server import GROUP, wait_for

# Larger than what a first start writes.
SIZE = "4m"

# What the log of a job says where it could not be written.
MISSING = "[fornada] output is missing here: the log could not be written ("


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


def test_jobs_run_while_it_fills(own_server, small_disk, tmp_path):
    """The node and its jobs go on; what a job could not log is missing, and its log says so; nothing acknowledged is lost."""
    server = own_server()
    small_disk(server.data_dir)
    server.start()
    printing = f"n=0; while [ ! -e {tmp_path}/stop ]; do n=$((n + 1)); echo line $n; "\
        f"echo $n > {tmp_path}/$AWS_BATCH_JOB_ID; sleep 0.002; done; echo last; exit 5"
    retry = {"attempts": 1}
    running = [server.submit(printing, retryStrategy=retry) for _ in range(2)]
    silent = server.submit(f"while [ ! -e {tmp_path}/stop ]; do sleep 0.02; done", retryStrategy=retry)
    for job_id in (*running, silent):
        server.wait(job_id, "RUNNING")
    for job_id in running:
        wait_for(lambda job_id=job_id: server.messages(job_id), lambda lines: len(lines) > 5)

    streams = {job_id: server.describe(job_id)["container"]["logStreamName"] for job_id in running}
    ballast = fill(server.data_dir / "ballast", leave=0)
    acknowledged = []
    with pytest.raises((BotoCoreError, ClientError)):
        for _ in range(10_000):
            acknowledged.append(server.submit(f"test -e {tmp_path}/stop || sleep 600"))
    assert server.process.wait(timeout=20) == 1
    assert "free some space and start again" in server.said()
    node = server.node_pid()
    for job_id, stream in streams.items():
        look = lambda job_id=job_id, stream=stream: missing(server, stream, tmp_path / job_id)  # noqa: E731
        wait_for(look, lambda count: count > 100)
    os.unlink(ballast)

    server.start()
    assert server.node_pid() == node
    for job_id in (*running, silent):
        job = server.describe(job_id)
        assert (job["status"], job["attempts"]) == ("RUNNING", []), job
    for job_id in running:
        look = lambda job_id=job_id: server.messages(job_id)  # noqa: E731
        wait_for(look, lambda lines: any(line.startswith(MISSING) for line in lines))
    (tmp_path / "stop").touch()
    for job_id in running:
        assert server.fail(job_id)["container"]["exitCode"] == 5
        lines = server.messages(job_id)
        assert lines[-1] == "last"
        check_gaps(lines[:-1])
    server.succeed(silent)
    for job_id in acknowledged:
        server.succeed(job_id)


def missing(server, stream, counter):
    """How many lines a job has printed that are not in its log; the server need not run."""
    logs = [path.read_bytes() for path in (server.data_dir / "logs").rglob("*.log")]
    [log] = [log for log in logs if stream.encode() in log]
    return int(counter.read_text() or 0) - log.count(b"line ")


def check_gaps(lines):
    """Numbers grow by one, and by more only where the log says that something is missing."""
    expected = 1
    for line in lines:
        if line.startswith(MISSING):
            expected = None
        else:
            number = int(line.removeprefix("line "))
            assert number == expected or expected is None, lines[max(0, number - 3):][:9]
            expected = number + 1


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
