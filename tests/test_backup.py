"""`fornada backup`, `restore` and `check`: a copy made while everything goes on is a whole data directory, a restored one
goes on where the backup was made, and damage is found and named."""

import concurrent.futures
import json
import pathlib
import shutil
import signal
import sqlite3
import stat
import subprocess
import threading

import pytest

from server import binary, clean_environment, wait_for

GOLDEN = pathlib.Path(__file__).parent.parent / "crates/store/tests/golden"
HOLD = "exec sleep 600"


def output(size):
    """A script that writes so many bytes, in long lines."""
    return f"head -c {size} /dev/zero | tr '\\0' x | fold -w 60000"


def fornada(*arguments, seconds=60):
    """Runs a command that needs no server."""
    return subprocess.run(
        [binary(), *map(str, arguments)], capture_output=True, text=True, timeout=seconds, env=clean_environment(),
        stdin=subprocess.DEVNULL,
    )


def done(*arguments):
    """The same, which must succeed and, in a pipe, say nothing but data."""
    finished = fornada(*arguments)
    assert finished.returncode == 0 and not finished.stderr, finished
    return finished.stdout


def refused(*arguments):
    """One sentence on stderr, exit code 1."""
    finished = fornada(*arguments)
    assert finished.returncode == 1, finished
    [line] = finished.stderr.strip().splitlines()
    assert "panicked" not in line
    return line


def check(data_dir):
    """The findings of a check, and whether it passed."""
    finished = fornada("check", "--data-dir", data_dir, "--output", "json")
    report = json.loads(finished.stdout)
    assert finished.returncode == (0 if report["ok"] else 1), finished
    assert not finished.stderr, finished.stderr
    return report


def faults(data_dir):
    return [(it["place"], it["problem"]) for it in check(data_dir)["findings"] if it["severity"] == "FAULT"]


def files(path):
    """Every file and its content."""
    return {str(it.relative_to(path)): it.read_bytes() for it in path.rglob("*") if it.is_file()}


@pytest.fixture
def restored(own_server):
    """Makes servers of backups."""

    def make(backup):
        server = own_server()
        assert done("restore", backup, "--data-dir", server.data_dir) == ""
        return server

    return make


def test_everything_acknowledged_is_in_the_backup(own_server, restored, tmp_path):
    """Backups while clients submit and jobs run and log: each has what was acknowledged before it began, and its logs."""
    server = own_server(capacity="vcpus=32,memory=65536").start()
    secrets = server.data_dir / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "token").write_text("hidden")
    definition = server.define("counting", ["sh", "-c", "for i in 1 2 3 4 5; do echo line $i; done"])
    noisy = server.submit("while true; do echo noise; sleep 0.001; done", name="noisy")
    server.wait(noisy, "RUNNING")
    acknowledged, stop = [], threading.Event()
    client = server.batch

    def submit():
        while not stop.is_set():
            array = {"arrayProperties": {"size": 3}} if len(acknowledged) % 5 == 0 else {}
            job = client.submit_job(jobName="load", jobQueue="default", jobDefinition=definition, **array)
            acknowledged.append(job["jobId"])

    backups = []
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        submitters = [pool.submit(submit) for _ in range(2)]
        try:
            for number in range(4):
                wait_for(lambda: len(acknowledged), lambda count: count >= 20 * (number + 1))
                before = list(acknowledged)
                path = tmp_path / f"backup-{number}"
                report = json.loads(done("backup", path, "--data-dir", server.data_dir, "--output", "json"))
                assert report["storeBytes"] == (path / "store.db").stat().st_size and report["logFiles"] > 0
                backups.append((path, before))
        finally:
            stop.set()
        for submitter in submitters:
            submitter.result()

    for path, before in backups:
        report = check(path)
        assert report["ok"] and report["jobs"] > len(before), report
        assert {it["severity"] for it in report["findings"]} <= {"NOTE"}
        assert not list(path.parent.glob("*.partial"))
        names = {it.name for it in path.iterdir()} | {it.name for it in (path / "node").iterdir()}
        assert names == {"store.db", "access-keys.json", "logs", "node", "secrets", "instance"}
        for it in path.rglob("*"):
            assert stat.S_IMODE(it.stat().st_mode) == (0o700 if it.is_dir() else 0o600), it

    server.remove()
    path, before = backups[-1]
    second = restored(path).start()
    assert second.keys() == json.loads((path / "access-keys.json").read_text())["keys"]
    for first in range(0, len(before), 100):
        found = second.batch.describe_jobs(jobs=before[first:first + 100])["jobs"]
        assert len(found) == len(before[first:first + 100])
    for job_id in before:
        job = second.wait(job_id)
        # What ended before the backup has all its lines, what runs anew writes them again.
        if job["status"] == "SUCCEEDED" and "arrayProperties" not in job:
            assert second.messages(job_id) == [f"line {n}" for n in range(1, 6)]
    assert second.fail(noisy)["statusReason"].startswith("Host EC2 (instance i-")


def test_running_jobs_are_lost_and_retry(own_server, restored, tmp_path):
    """In a restored directory nothing runs that the backup says runs: the attempt is lost, and retries if it may."""
    server = own_server().start()
    log = tmp_path / "log"
    script = f"echo started >> {log}; test -e {tmp_path}/go || {HOLD}"
    once = server.submit(script, name="once")
    again = server.submit(script, name="again", retryStrategy={"attempts": 2})
    array = server.submit(script, name="array", array=2, retryStrategy={"attempts": 2})
    after = server.submit("true", name="after", dependsOn=[{"jobId": again}])
    for job_id in (once, again, f"{array}:0", f"{array}:1"):
        server.wait(job_id, "RUNNING")
    wait_for(lambda: log.exists() and log.read_text().count("started"), lambda count: count == 4)
    backup = tmp_path / "backup"
    done("backup", backup, "--data-dir", server.data_dir)
    server.remove()

    (tmp_path / "go").touch()
    second = restored(backup).start()
    lost = second.fail(once)
    assert lost["statusReason"].startswith("Host EC2 (instance i-") and len(lost["attempts"]) == 1
    for job_id in (again, f"{array}:0", f"{array}:1"):
        job = second.succeed(job_id)
        assert [bool(it["statusReason"].startswith("Host EC2")) for it in job["attempts"]] == [True, False]
    second.succeed(after)
    assert log.read_text().count("started") == 7


def test_a_stopped_server_and_a_killed_one(own_server, restored):
    """No server is needed, and none has to have stopped in good order. Looking changes nothing."""
    server = own_server().start()
    finished = server.submit("echo fine")
    server.succeed(finished)
    for number, end in enumerate((server.stop, server.kill)):
        end()
        before = {path: content for path, content in files(server.data_dir).items() if not path.endswith("-shm")}
        assert check(server.data_dir)["ok"]
        backup = server.root / f"backup-{number}"
        done("backup", backup, "--data-dir", server.data_dir)
        after = {path: content for path, content in files(server.data_dir).items() if not path.endswith("-shm")}
        assert after == before
        if end == server.kill:
            server.kill_node()
        second = restored(backup).start()
        assert second.describe(finished)["status"] == "SUCCEEDED" and second.messages(finished) == ["fine"]
        second.stop()
        server.start()


def test_a_copy_does_not_run_beside_its_original(own_server, restored, tmp_path):
    """Both are the same machine: the node of the copy would take the jobs of the original for left over."""
    server = own_server().start()
    job = server.submit(HOLD)
    server.wait(job, "RUNNING")
    backup = tmp_path / "backup"
    done("backup", backup, "--data-dir", server.data_dir)
    second = restored(backup)
    with pytest.raises(AssertionError, match="another node runs as i-"):
        second.start()
    assert server.describe(job)["status"] == "RUNNING"
    server.kill()
    server.kill_node()
    second.start()
    assert second.fail(job)["statusReason"].startswith("Host EC2")


def test_places_that_are_refused(own_server, tmp_path):
    """Nothing is overwritten, and nothing is put where a server or a node works."""
    server = own_server().start()
    backup = tmp_path / "backup"
    done("backup", backup, "--data-dir", server.data_dir)
    before = files(backup)
    assert "is not empty" in refused("backup", backup, "--data-dir", server.data_dir)
    assert files(backup) == before
    file = tmp_path / "file"
    file.touch()
    assert "is a file" in refused("backup", file, "--data-dir", server.data_dir)
    assert "lies in the data directory" in refused(
        "backup", server.data_dir / "backup", "--data-dir", server.data_dir)
    assert "not a data directory" in refused("backup", tmp_path / "x", "--data-dir", tmp_path / "nowhere")
    assert "not a data directory" in refused("restore", tmp_path, "--data-dir", tmp_path / "x")
    assert "not a data directory" in refused("check", "--data-dir", tmp_path)
    assert not (tmp_path / "x").exists()

    assert "in use by a server" in refused("restore", backup, "--data-dir", server.data_dir)
    server.submit(HOLD)
    server.kill()
    assert "in use by a node" in refused("restore", backup, "--data-dir", server.data_dir)
    server.kill_node()
    wait_for(lambda: refused("restore", backup, "--data-dir", server.data_dir), lambda said: "is not empty" in said)
    server.start()


def test_a_backup_that_is_killed_leaves_no_half(own_server, tmp_path):
    """Whenever it is killed: there is no backup or a whole one, and the next one is made in its place."""
    server = own_server().start()
    server.succeed(server.submit(output(30_000_000)), seconds=60)
    for number in range(25):
        target = tmp_path / f"backup-{number}"
        process = subprocess.Popen([binary(), "backup", target, "--data-dir", server.data_dir], env=clean_environment())
        try:
            process.wait(timeout=0.004 * number)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        if target.exists():
            assert check(target)["ok"]
        else:
            done("backup", target, "--data-dir", server.data_dir)
        assert check(target)["ok"] and not list(tmp_path.glob("*.partial"))
        shutil.rmtree(target)


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """A backup with jobs, an array and a log of several segments."""
    from server import Server

    server = Server()
    try:
        server.start()
        server.succeed(server.submit("echo one; echo two; echo three", name="small"))
        server.succeed(server.submit("true", array=2))
        server.succeed(server.submit(output(80_000_000)), 120)
        backup = tmp_path_factory.mktemp("intact") / "backup"
        done("backup", backup, "--data-dir", server.data_dir)
    finally:
        server.remove()
    assert check(backup)["findings"] == []
    return backup


@pytest.fixture
def damaged(intact, tmp_path):
    """A copy to damage."""
    return shutil.copytree(intact, tmp_path / "damaged")


def flip(path, at, count=1):
    """Changes bytes of a file."""
    content = bytearray(path.read_bytes())
    for offset in range(at, at + count):
        content[offset] ^= 0xFF
    path.write_bytes(content)


def small_log(data_dir):
    return min(data_dir.glob("logs/*/*/*/*.log"), key=lambda path: (path.stat().st_size < 150, path.stat().st_size))


def test_ok_says_what_there_is(intact):
    """The last line counts; without faults the exit code is 0."""
    *findings, verdict = done("check", "--data-dir", intact).splitlines()
    assert findings == [] and verdict.startswith("ok: 3 jobs, 2 children")


def test_damage_in_logs_is_named(damaged):
    """In the middle of a segment it is a fault; at the end of a stream it may be what a crash leaves."""
    log = small_log(damaged)
    name = str(log.relative_to(damaged))
    whole = log.read_bytes()
    assert b"one" in whole and b"three" in whole
    flip(log, whole.index(b"one"))
    [(place, problem)] = faults(damaged)
    assert place == name and problem.startswith("is damaged at byte")
    log.write_bytes(whole[:-5])
    [note] = check(damaged)["findings"]
    assert (note["severity"], note["place"]) == ("NOTE", name)
    log.write_bytes(whole)
    [large] = damaged.glob("logs/*/*/*/*.segments")
    first = large.with_suffix(".log")
    with open(first, "r+b") as segment:
        segment.truncate(first.stat().st_size - 1000)
    [(place, problem)] = faults(damaged)
    assert large.name in place and "begins at" in problem
    assert "restored" in refused_with_findings("restore", damaged, "--data-dir", damaged.parent / "x")
    assert not list(damaged.parent.glob("x*"))


def refused_with_findings(*arguments):
    finished = fornada(*arguments)
    assert finished.returncode == 1 and "fault" in finished.stdout, finished
    return finished.stderr


def test_damage_in_the_store_is_found(damaged):
    """Bytes that are changed anywhere: the check says so and does not fall over. Nothing is changed by looking."""
    store = damaged / "store.db"
    whole = store.read_bytes()
    # Rows fill a page from its end; where there are none, it ends in nothing.
    pages = [page for page in range(0, len(whole), 4096) if any(whole[page + 4096 - 64:page + 4096])]
    found = 0
    for page in pages:
        store.write_bytes(whole)
        flip(store, page + 4096 - 64, 64)
        before = store.read_bytes()
        found += bool(faults(damaged))
        assert store.read_bytes() == before
    assert found > len(pages) // 2, (found, len(pages))
    store.write_bytes(whole[:len(whole) // 2])
    assert faults(damaged)
    store.write_bytes(b"")
    assert faults(damaged)
    store.write_bytes(b"this is no database, " * 1000)
    assert [place for place, _ in faults(damaged)] == ["store.db"]
    assert [path.name for path in damaged.glob("store.db*")] == ["store.db"]


def change(data_dir, sql):
    with sqlite3.connect(data_dir / "store.db") as store:
        store.execute(sql)
    store.close()


@pytest.mark.parametrize(("sql", "place", "problem"), [
    ("UPDATE job SET body = substr(body, 1, 20) WHERE sequence = 0", "job ", "is damaged"),
    ("UPDATE job SET body = x'' WHERE sequence = 0", "job ", "is empty"),
    ("UPDATE job SET body = CAST(x'09' || substr(body, 2) AS BLOB) WHERE sequence = 0", "job ", "version 9"),
    ("UPDATE job SET status = 2 WHERE sequence = 0", "job ", "its row and its record say different things"),
    ("UPDATE child SET number = 7 WHERE number = 0", "job ", "its parent has only 2 children"),
    ("UPDATE child SET job = x'000102030405060708090a0b0c0d0e0f'", "job ", "it has no parent"),
    ("UPDATE resource SET kind = 99 WHERE kind = 4", "i-", "kind 99"),
    ("DELETE FROM resource WHERE kind = 1", "arn:", "its compute environment"),
    ("DROP INDEX job_by_queue", None, None),
    ("PRAGMA user_version = 99", "store.db", "version 99"),
    ("PRAGMA application_id = 7", "store.db", "is not a Fornada store"),
])
def test_records_that_are_wrong_are_named(damaged, sql, place, problem):
    """Which record it is, and what is wrong with it."""
    change(damaged, sql)
    found = faults(damaged)
    if place is None:
        assert found == []
        return
    assert found and all(where.startswith(place) for where, _ in found), found
    assert any(problem in what for _, what in found), found


def test_keys_and_modes(damaged):
    """Keys must be readable by the server, and by nobody else."""
    keys = damaged / "access-keys.json"
    content = keys.read_text()
    keys.write_text(content[:-10])
    assert [place for place, _ in faults(damaged)] == ["access-keys.json"]
    keys.unlink()
    assert [place for place, _ in faults(damaged)] == ["access-keys.json"]
    keys.write_text(content)
    keys.chmod(0o644)
    assert "chmod 600" in faults(damaged)[0][1]
    keys.chmod(0o600)
    (damaged / "store.db").chmod(0o640)
    (damaged / "logs").chmod(0o755)
    assert [place for place, _ in faults(damaged)] == ["store.db", "logs"]


def test_check_beside_a_running_server(own_server):
    """Jobs start and end meanwhile; what it reads is one moment."""
    server = own_server().start()
    for _ in range(5):
        job = server.submit("echo x", array=20)
        report = check(server.data_dir)
        assert report["ok"] and {it["severity"] for it in report["findings"]} <= {"NOTE"}, report
    server.succeed(job)


@pytest.mark.parametrize("version", [1, 2])
def test_a_store_of_an_older_release(own_server, version):
    """The server is killed again and again while it migrates the store and recovers; in the end every job is there."""
    server = own_server()
    server.data_dir.mkdir(mode=0o700)
    shutil.copy(GOLDEN / f"store-v{version}.db", server.data_dir / "store.db")
    (server.data_dir / "store.db").chmod(0o600)
    listed = (GOLDEN / f"store-v{version}.txt").read_text().splitlines()
    for moment in range(20):
        command = [binary(), "server", "--data-dir", server.data_dir, "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(
            command, env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=0.005 * moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    server.start()
    jobs = server.batch.get_paginator("list_jobs")
    names = [
        f"{job['jobName']} {status}"
        for queue in ("default", "fairq", "off")
        for status in ("SUCCEEDED", "FAILED")
        for job in jobs.paginate(jobQueue=queue, jobStatus=status).build_full_result()["jobSummaryList"]
    ]
    service = {"fit SUCCEEDED", "unfit FAILED"}
    assert set(names) >= {line for line in listed if line.endswith(("SUCCEEDED", "FAILED"))} - service
    assert check(server.data_dir)["ok"]
