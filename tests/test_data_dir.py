"""The data directory: made at the first start, private, used by one server, refused in one sentence when unusable."""

import json
import os
import pathlib
import shutil
import sqlite3
import stat
import subprocess
import tempfile

import pytest

from server import binary, clean_environment


def up(data_dir, *options, listen="127.0.0.1:0"):
    """`fornada up` that is expected to end by itself."""
    return subprocess.run(
        [binary(), "up", "--data-dir", data_dir, "--listen", listen, *options],
        capture_output=True, text=True, timeout=30, env=clean_environment(), stdin=subprocess.DEVNULL,
    )


def refused(done):
    """One sentence on stderr, nothing on stdout, exit code 1."""
    assert done.returncode == 1, done
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and len(lines[0]) > 20, done.stderr
    assert "panicked" not in lines[0]
    return lines[0]


def test_first_start(own_server):
    """An access key for its owner's eyes alone; where the server is, for the command line."""
    server = own_server("--region", "eu-west-1", "--account-id", "123456789012").start()
    keys = server.data_dir / "access-keys.json"
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    written = json.loads(keys.read_text())
    assert written["version"] == 1
    [key] = written["keys"]
    assert set(key) == {"accessKeyId", "secretAccessKey", "accountId"}
    assert key["accountId"] == "123456789012"
    assert key["secretAccessKey"] not in server.said()

    described = json.loads((server.data_dir / "server.json").read_text())
    assert (described["endpoint"], described["pid"]) == (server.endpoint, server.process.pid)
    assert (described["region"], described["accountId"]) == ("eu-west-1", "123456789012")
    [queue] = server.client("batch", region="eu-west-1").describe_job_queues()["jobQueues"]
    assert queue["jobQueueArn"] == "arn:aws:batch:eu-west-1:123456789012:job-queue/default"


def test_bare(own_server):
    """`--bare` leaves environment and queue out."""
    server = own_server("--bare").start()
    assert server.batch.describe_job_queues()["jobQueues"] == []
    assert server.batch.describe_compute_environments()["computeEnvironments"] == []


def test_config_file(own_server, tmp_path):
    """A file with defaults; the command line wins. A mistake in it is named."""
    config = tmp_path / "fornada.yaml"
    config.write_text("region: eu-west-1\nbare: true\nno-host-image: true\naccount-id: '123456789012'\n")
    server = own_server("--config", config, "--region", "us-east-1").start()
    assert server.batch.describe_job_queues()["jobQueues"] == []
    written = json.loads((server.data_dir / "server.json").read_text())
    assert (written["region"], written["accountId"]) == ("us-east-1", "123456789012")

    config.write_text("lisen: 127.0.0.1:1\n")
    assert "lisen" in refused(up(tmp_path / "data", "--config", config))


def test_host_image_switched_off(own_server):
    """A server that people share need not run commands on its own file system."""
    server = own_server("--no-host-image").start()
    job = server.fail(server.submit())
    assert job["statusReason"] == "Task failed to start"
    assert job["container"]["reason"].startswith("CannotPullContainerError: the image 'host' is switched off")


def test_what_was_deleted_stays_deleted(own_server):
    """Environment and queue are made for a new directory only."""
    server = own_server().start()
    server.batch.update_job_queue(jobQueue="default", state="DISABLED")
    server.settled_queue("default")
    server.batch.delete_job_queue(jobQueue="default")
    server.stop()
    server.start()
    assert server.batch.describe_job_queues()["jobQueues"] == []


def test_in_use(own_server):
    """A second server on the same directory leaves the first alone."""
    server = own_server().start()
    assert str(server.data_dir) in refused(up(server.data_dir))
    assert server.batch.describe_job_queues()["jobQueues"]


def test_not_a_directory(tmp_path):
    """A file where the directory should be."""
    path = tmp_path / "file"
    path.write_text("x")
    assert str(path) in refused(up(path))


def test_unreadable():
    """A directory that may not be read."""
    # Not tmp_path: root may read everything, so it hands over to a user who must be able to get there.
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        program = shutil.copy(binary(), folder / "fornada")
        path = folder / "closed"
        path.mkdir(mode=0o000)
        nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run(
            [program, "up", "--data-dir", path, "--listen", "127.0.0.1:0"],
            capture_output=True, text=True, timeout=30, cwd=folder, env=clean_environment(),
            stdin=subprocess.DEVNULL, **nobody,
        )
        assert str(path) in refused(done)


@pytest.fixture
def stopped(own_server):
    """A stopped server with some state."""
    server = own_server().start()
    server.succeed(server.submit())
    server.stop()
    return server


def databases(data_dir):
    return [path for path in data_dir.rglob("*") if path.is_file() and path.read_bytes()[:15] == b"SQLite format 3"]


def test_newer_version(stopped):
    """Data of a newer release is refused and left as it was."""
    [path] = databases(stopped.data_dir)
    with sqlite3.connect(path) as database:
        [(version,)] = database.execute("PRAGMA user_version")
        assert version > 0
        database.execute(f"PRAGMA user_version = {version + 1}")
    database.close()
    assert "newer" in refused(up(stopped.data_dir))
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {version}")
    database.close()
    stopped.start()


def test_newer_keys(stopped):
    """The same for the file of access keys."""
    path = stopped.data_dir / "access-keys.json"
    written = json.loads(path.read_text())
    path.write_text(json.dumps(written | {"version": 2}))
    assert "access-keys.json" in refused(up(stopped.data_dir))


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"version":1}', b"\0" * 100])
def test_damaged_keys(stopped, damage):
    """A damaged file of keys is never replaced by a new one."""
    path = stopped.data_dir / "access-keys.json"
    path.write_bytes(damage)
    assert "access-keys.json" in refused(up(stopped.data_dir))
    assert path.read_bytes() == damage


def test_damaged_database(stopped):
    """A database that is none is said to be so, not overwritten."""
    [path] = databases(stopped.data_dir)
    for extra in (path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        extra.unlink(missing_ok=True)
    path.write_bytes(b"this is no database, " * 1000)
    refused(up(stopped.data_dir))
    assert path.read_bytes().startswith(b"this is no database")


def test_bad_options(tmp_path):
    """Options that cannot be: an error before anything is made."""
    for options in (["--listen", "nonsense"], ["--capacity", "vcpus=many"], ["--account-id", "12"], ["--no-such"]):
        done = subprocess.run(
            [binary(), "up", "--data-dir", tmp_path / "data", *options],
            capture_output=True, text=True, timeout=30, env=clean_environment(),
        )
        assert done.returncode != 0 and done.stderr, options
        assert "panicked" not in done.stderr


def test_port_in_use(own_server, tmp_path):
    """A port that is taken."""
    server = own_server().start()
    address = server.endpoint.removeprefix("http://")
    done = up(tmp_path / "data", listen=address)
    assert address in refused(done)
