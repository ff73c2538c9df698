"""CancelJob and TerminateJob in each state. Source: API reference, CancelJob and TerminateJob."""

import uuid

import pytest

from server import ACCOUNT, wait_for

TOO_LARGE = {"resourceRequirements": [{"type": "VCPU", "value": "9999"}]}


def alive(pid):
    """Whether a process exists and is not a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def read_pid(path):
    return int(wait_for(lambda: path.exists() and path.read_text().strip(), bool))


@pytest.fixture(scope="module", autouse=True)
def stubborn(server, tmp_path_factory):
    """A job that ignores SIGTERM, and so does its child, told to stop before everything else in this module."""
    path = tmp_path_factory.mktemp("stubborn") / "pid"
    job_id = server.submit(f"trap '' TERM; sleep 600 & echo $! > {path}.part; mv {path}.part {path}; wait; sleep 600")
    child = read_pid(path)
    server.batch.terminate_job(jobId=job_id, reason="enough")
    return job_id, child


@pytest.mark.parametrize("stop", ["cancel_job", "terminate_job"])
class TestBeforeItRuns:
    def test_runnable(self, server, stop):
        """RUNNABLE: FAILED at once, with the caller's reason and no attempt."""
        job_id = server.submit(containerOverrides=TOO_LARGE)
        server.wait(job_id, "RUNNABLE")
        getattr(server.batch, stop)(jobId=job_id, reason="not needed, sorry")
        job = server.fail(job_id)
        assert (job["statusReason"], job["attempts"]) == ("not needed, sorry", [])
        assert job["isCancelled"] if stop == "cancel_job" else job["isTerminated"]
        assert "startedAt" not in job
        assert "exitCode" not in job["container"]

    def test_pending(self, server, gate, tmp_path, stop):
        """PENDING: marked at once, FAILED at the latest when the dependencies have ended; it never runs."""
        waiting = gate()
        first = server.submit(waiting.wait)
        second = server.submit(f"touch {tmp_path}/ran", dependsOn=[{"jobId": first}])
        server.wait(second, "PENDING")
        getattr(server.batch, stop)(jobId=second, reason="not needed")
        marked = server.describe(second)
        assert marked["isCancelled"] or marked["isTerminated"]
        waiting.open()
        server.succeed(first)
        assert server.fail(second)["statusReason"] == "not needed"
        assert not (tmp_path / "ran").exists()

    def test_finished(self, server, stop):
        """SUCCEEDED and FAILED: nothing happens."""
        for script in ("true", "false"):
            job_id = server.submit(script)
            before = server.wait(job_id)
            getattr(server.batch, stop)(jobId=job_id, reason="too late")
            assert server.describe(job_id) == before

    def test_unknown(self, server, stop):
        """A job that nobody knows: nothing happens."""
        getattr(server.batch, stop)(jobId=str(uuid.uuid4()), reason="who?")

    def test_by_arn(self, server, stop):
        """An ARN names the job as well as its id does; one of somebody else's names none."""
        job_id = server.submit(containerOverrides=TOO_LARGE)
        arn = server.describe(job_id)["jobArn"]
        assert [job["jobId"] for job in server.batch.describe_jobs(jobs=[arn, job_id])["jobs"]] == [job_id]
        assert server.batch.describe_jobs(jobs=[arn.replace(ACCOUNT, "9" * 12)])["jobs"] == []
        getattr(server.batch, stop)(jobId=arn, reason="not needed")
        assert server.fail(job_id)["statusReason"] == "not needed"

    def test_refused(self, server, refused, stop):
        """Job id and reason are required."""
        for request in ({"jobId": "", "reason": "x"}, {"jobId": str(uuid.uuid4()), "reason": ""}, {"jobId": "x"}):
            with refused():
                getattr(server.unchecked, stop)(**request)


def test_cancel_does_not_stop_a_running_job(server, gate):
    """RUNNING: CancelJob answers 200 and the job goes on."""
    waiting = gate()
    job_id = server.submit(waiting.wait)
    server.wait(job_id, "RUNNING")
    server.batch.cancel_job(jobId=job_id, reason="please")
    waiting.open()
    assert server.succeed(job_id)["container"]["exitCode"] == 0


def test_terminate_stops_a_running_job(server, tmp_path):
    """RUNNING: SIGTERM first, so that the job can clean up; FAILED with the caller's reason; never retried."""
    job_id = server.submit(
        f"trap 'echo cleaned > {tmp_path}/cleaned; exit 5' TERM; touch {tmp_path}/ready; while :; do sleep 0.02; done",
        retryStrategy={"attempts": 5},
    )
    wait_for((tmp_path / "ready").exists, bool)
    server.batch.terminate_job(jobId=job_id, reason="stop it")
    job = server.fail(job_id)
    assert (job["statusReason"], job["isTerminated"]) == ("stop it", True)
    assert job["container"]["exitCode"] == 5
    assert len(job["attempts"]) == 1
    assert (tmp_path / "cleaned").read_text() == "cleaned\n"


def test_terminate_stops_the_whole_process_group(server, tmp_path):
    """Nothing of a terminated job is left running."""
    pid_file = tmp_path / "pid"
    job_id = server.submit(f"(sleep 600 & echo $! > {pid_file}.part; mv {pid_file}.part {pid_file}; wait) & wait")
    child = read_pid(pid_file)
    assert alive(child)
    server.batch.terminate_job(jobId=job_id, reason="stop it")
    assert server.fail(job_id)["container"]["exitCode"] == 143
    wait_for(lambda: alive(child), lambda is_alive: not is_alive)


def test_capacity_comes_back(own_server, gate):
    """What a terminated job held is free for the next one."""
    server = own_server(capacity="vcpus=1,memory=1024").start()
    waiting = gate()
    first = server.submit(waiting.wait)
    server.wait(first, "RUNNING")
    second = server.submit()
    server.wait(second, "RUNNABLE")
    server.batch.terminate_job(jobId=first, reason="make room")
    server.succeed(second)


def test_kill_after_the_grace_period(server, stubborn):
    """A job that ignores SIGTERM is killed after 30 seconds, with everything it started (exit code 137)."""
    job_id, child = stubborn
    job = server.fail(job_id, seconds=45)
    assert (job["statusReason"], job["container"]["exitCode"]) == ("enough", 137)
    assert 29_000 <= job["stoppedAt"] - job["startedAt"] <= 45_000
    wait_for(lambda: alive(child), lambda is_alive: not is_alive)
