"""CancelJobs and TerminateJobs. Source: API reference, CancelJobs and TerminateJobs."""

import uuid

import pytest

TOO_LARGE = {"resourceRequirements": [{"type": "VCPU", "value": "9999"}]}


@pytest.mark.parametrize("stop", ["cancel_jobs", "terminate_jobs"])
class TestBoth:
    def test_many(self, server, stop):
        """Each job for itself: what is done, unknown or finished is successful, what is no id is an error."""
        waiting = [server.submit(containerOverrides=TOO_LARGE) for _ in range(3)]
        finished = server.submit()
        server.succeed(finished)
        unknown = str(uuid.uuid4())
        jobs = [waiting[0], "not-an-id", *waiting[1:], finished, unknown, f"{unknown}:x"]
        answer = getattr(server.batch, stop)(jobs=jobs, reason="not needed")
        assert answer["successful"] == [*waiting, finished, unknown]
        assert [error["job"] for error in answer["errors"]] == ["not-an-id", f"{unknown}:x"]
        for error in answer["errors"]:
            assert error["code"] in ("ClientException", "ValidationException")
            assert error["job"] in error["message"]
        for job_id in waiting:
            job = server.fail(job_id)
            assert job["statusReason"] == "not needed"
            assert job["isCancelled" if stop == "cancel_jobs" else "isTerminated"]
        assert server.describe(finished)["status"] == "SUCCEEDED"

    def test_most(self, server, stop):
        """1 to 50 jobs and a reason of at most 1024 characters."""
        jobs = [str(uuid.uuid4()) for _ in range(50)]
        answer = getattr(server.batch, stop)(jobs=jobs, reason="r" * 1024)
        assert (answer["successful"], answer["errors"]) == (jobs, [])

    def test_refused(self, server, refused, stop):
        """The request as a whole."""
        job = str(uuid.uuid4())
        for request in (
            {"jobs": [], "reason": "x"},
            {"jobs": [str(uuid.uuid4()) for _ in range(51)], "reason": "x"},
            {"jobs": [job], "reason": ""},
            {"jobs": [job], "reason": "r" * 1025},
            {"jobs": [job]},
            {"reason": "x"},
        ):
            with refused():
                getattr(server.unchecked, stop)(**request)


def test_what_runs(server, gate):
    """RUNNING: cancelled jobs go on, terminated ones end with the reason; of an array, one child alone."""
    waiting = gate()
    job_id = server.submit(waiting.wait)
    array = server.submit(waiting.wait, array=2)
    for running in (job_id, f"{array}:0", f"{array}:1"):
        server.wait(running, "RUNNING")
    server.batch.cancel_jobs(jobs=[job_id], reason="please")
    server.batch.terminate_jobs(jobs=[f"{array}:1"], reason="this one")
    assert server.fail(f"{array}:1")["statusReason"] == "this one"
    waiting.open(2)
    server.succeed(job_id)
    server.succeed(f"{array}:0")
    server.fail(array)
