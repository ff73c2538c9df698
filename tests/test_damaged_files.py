"""Files that cannot be written, or whose end was torn off: one sentence, or what there was before; never a panic."""

import random
import shutil
import subprocess

import pytest

from server import GROUP
from test_data_dir import refused, up


@pytest.fixture
def mounted():
    """Mounts what is unmounted when the test is over."""
    places = []

    def mount(*options, place):
        done = subprocess.run(["mount", *options, place], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"a read-only file system takes a mount, which only root can make: {done.stderr.strip()}")
        if place not in places:
            places.append(place)

    yield mount
    for place in reversed(places):
        subprocess.run(["umount", "--lazy", place], check=True)


def test_a_read_only_file_system(own_server, mounted):
    """Refused with the reason; as before when it can be written again."""
    server = own_server()
    server.data_dir.mkdir()
    mounted("-t", "tmpfs", "-o", "size=32m,mode=0700", "tmpfs", place=server.data_dir)
    server.start()
    job_id = server.submit("echo kept")
    server.succeed(job_id)
    server.stop()
    mounted("-o", "remount,ro", place=server.data_dir)
    sentence = refused(up(server.data_dir))
    assert str(server.data_dir) in sentence and "Read-only file system" in sentence
    mounted("-o", "remount,rw", place=server.data_dir)
    server.start()
    assert (server.describe(job_id)["status"], server.messages(job_id)) == ("SUCCEEDED", ["kept"])
    server.succeed(server.submit())


def test_a_read_only_store(own_server, mounted):
    """The server does not say that it is ready, and then fail at the first commit."""
    server = own_server().start()
    server.stop()
    store = server.data_dir / "store.db"
    mounted("--bind", store, place=store)
    mounted("-o", "remount,bind,ro", place=store)
    assert refused(up(server.data_dir)) == f"error: {store} is read-only: make it writable and start again"
    mounted("-o", "remount,bind,rw", place=store)
    server.start()
    server.succeed(server.submit())
    server.stop()


def test_a_torn_write_ahead_log(own_server):
    """No sync protects from a file that is cut afterwards: what is read is a beginning of what was acknowledged."""
    server = own_server()
    server.start()
    definition = server.define("large", vcpus=9)
    acknowledged = [server.submit(definition=definition) for _ in range(40)]
    server.kill()
    server.kill_node()
    kept = server.root / "kept"
    shutil.copytree(server.data_dir, kept, ignore=shutil.ignore_patterns("*.sock"))
    size = (kept / "store.db-wal").stat().st_size
    chance = random.Random(1)
    refusals, counts = 0, set()
    for cut in (1, 4095, 4096, 4120, *(chance.randrange(size) for _ in range(10)), size):
        shutil.rmtree(server.data_dir)
        shutil.copytree(kept, server.data_dir)
        with open(server.data_dir / "store.db-wal", "r+b") as wal:
            wal.truncate(size - cut)
        server.launch()
        try:
            server.await_ready()
        except AssertionError:
            assert server.process.poll() == 1, server.said()
            refusals += 1
            continue
        queues = [queue["jobQueueName"] for queue in server.batch.describe_job_queues()["jobQueues"]]
        assert queues == ["default"]
        listed = server.batch.list_jobs(jobQueue="default", jobStatus="RUNNABLE")["jobSummaryList"]
        found = [job["jobId"] for job in reversed(listed)]
        assert found == acknowledged[:len(found)], cut
        counts.add(len(found))
        server.succeed(server.submit(definition=server.define("small")))
        server.kill()
        server.kill_node()
    assert "panicked" not in server.said()
    assert refusals == 0 and len(counts) > 5, (refusals, counts)


# What may be found behind the last whole record after a power cut.
TAILS = {
    "zero pages": bytes(8192),
    "garbage": random.Random(2).randbytes(5000),
    "half a record": None,
    "its beginning again": b"",
}


@pytest.mark.parametrize("tail", TAILS)
def test_a_torn_log(own_server, tail):
    """A restart reads all before the tear; what is written after it is read as well."""
    server = own_server().start()
    job_id = server.submit("seq -f 'line %.0f' 100")
    stream = server.succeed(job_id)["container"]["logStreamName"]
    want = [f"line {number}" for number in range(1, 101)]
    assert server.messages(job_id) == want
    server.stop()
    [path] = (server.data_dir / "logs").rglob("*.log")
    whole = path.read_bytes()
    match tail:
        case "half a record":
            path.write_bytes(whole[:-11])
            want.pop()
        case "its beginning again":
            path.write_bytes(whole + whole[:300])
        case _:
            path.write_bytes(whole + TAILS[tail])
    server.start()
    assert server.messages(job_id) == want
    server.logs.put_log_events(
        logGroupName=GROUP, logStreamName=stream,
        logEvents=[{"timestamp": server.describe(job_id)["stoppedAt"] + 1, "message": "after"}],
    )
    assert server.messages(job_id) == [*want, "after"]
    backward = server.logs.get_log_events(logGroupName=GROUP, logStreamName=stream, limit=3)["events"]
    assert [event["message"] for event in backward] == [*want[-2:], "after"]
    server.stop()
    server.start()
    assert server.messages(job_id) == [*want, "after"]
