"""SIGKILL where a process is caught half-way: in a first start, a migration, a shutdown, before the first request."""

import contextlib
import shutil
import signal
import sqlite3
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError

# From before the first system call to when it has long been ready, in seconds.
MOMENTS = [number * 0.01 for number in range(11)]

# The tables of version 1 of the store.
VERSION_1 = """
    CREATE TABLE resource (
        kind INTEGER NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, key)
    ) WITHOUT ROWID;
    CREATE TABLE job (
        sequence INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, queue TEXT NOT NULL, status INTEGER NOT NULL,
        name TEXT NOT NULL COLLATE NOCASE, definition TEXT NOT NULL, created_at INTEGER NOT NULL, body BLOB NOT NULL
    );
    CREATE INDEX job_by_queue ON job (queue, sequence);
    CREATE INDEX job_by_queue_and_status ON job (queue, status, sequence);
    CREATE TABLE child (
        job BLOB NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (job, number)
    ) WITHOUT ROWID;
    PRAGMA application_id = 0x466f726e;
    PRAGMA user_version = 1;
"""


def start_and_kill(server, seconds):
    """Kills a start after that time."""
    server.launch()
    time.sleep(seconds)  # the moment, not a wait
    server.kill()


def integrity(server):
    with contextlib.closing(sqlite3.connect(server.data_dir / "store.db")) as database:
        return database.execute("PRAGMA integrity_check").fetchall()


def test_the_first_start(own_server):
    """Whenever it is cut short, and however often, the next start makes what a new directory gets, once."""
    for moment in MOMENTS:
        server = own_server()
        start_and_kill(server, moment)
        start_and_kill(server, MOMENTS[-1] - moment)
        server.start()
        [queue] = server.batch.describe_job_queues()["jobQueues"]
        [environment] = server.batch.describe_compute_environments()["computeEnvironments"]
        assert (queue["jobQueueName"], environment["computeEnvironmentName"]) == ("default", "local"), moment
        assert len(server.keys()) == 1
        server.succeed(server.submit())
        server.remove()


def make_version_1(path):
    """Writes the store anew as version 1 would have."""
    older = path.with_name("older.db")
    with contextlib.closing(sqlite3.connect(older)) as database:
        database.executescript(VERSION_1)
        database.execute("ATTACH ? AS newer", [str(path)])
        for table in ("resource", "job", "child"):
            columns = ", ".join(row[1] for row in database.execute(f"PRAGMA main.table_info({table})"))
            database.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM newer.{table}")
        database.commit()
    older.rename(path)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def outcome(server, job_id):
    job = server.describe(job_id)
    return [job.get(member) for member in ("status", "statusReason", "createdAt", "stoppedAt", "attempts", "container")]


def test_a_migration(own_server):
    """An older store is migrated, all of it or nothing."""
    server = own_server().start()
    ended = [server.submit(array=20), server.submit("exit 3")]
    for job_id in ended:
        server.wait(job_id)
    waiting = server.submit(definition=server.define("large", vcpus=9))
    before = [outcome(server, job_id) for job_id in ended]
    server.stop()
    make_version_1(server.data_dir / "store.db")
    kept = server.root / "kept"
    shutil.copytree(server.data_dir, kept)
    for moment in MOMENTS:
        start_and_kill(server, moment)
        server.start()
        assert [outcome(server, job_id) for job_id in ended] == before, moment
        assert server.describe(waiting)["status"] == "RUNNABLE"
        assert not server.batch.list_service_jobs(jobQueue="default")["jobSummaryList"]
        server.stop()
        assert integrity(server) == [("ok",)]
        shutil.rmtree(server.data_dir)
        shutil.copytree(kept, server.data_dir)


@pytest.mark.parametrize("moment", [0, 0.001, 0.003, 0.01, 0.03])
def test_a_shutdown(own_server, gate, moment):
    """SIGTERM, and SIGKILL before it has come to an end: what was acknowledged is there, what runs goes on."""
    server = own_server().start()
    waiting = gate()
    running = server.submit(waiting.wait)
    server.wait(running, "RUNNING")
    acknowledged = [server.submit() for _ in range(20)]
    server.process.send_signal(signal.SIGTERM)
    with contextlib.suppress(BotoCoreError, ClientError):
        acknowledged.append(server.submit())
    time.sleep(moment)  # the moment, not a wait
    server.kill()
    server.start()
    assert (server.describe(running)["status"], server.describe(running)["attempts"]) == ("RUNNING", [])
    waiting.open()
    for job_id in (running, *acknowledged):
        assert len(server.succeed(job_id)["attempts"]) == 1


def test_before_the_first_request(own_server):
    """Ready, and gone before anybody has asked for anything, again and again."""
    server = own_server()
    for _ in range(10):
        server.start()
        server.kill()
    server.start()
    assert len(server.batch.describe_job_queues()["jobQueues"]) == 1
    server.succeed(server.submit())
    server.stop()
    assert integrity(server) == [("ok",)]
