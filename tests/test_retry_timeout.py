"""Retries and timeouts. Source: AWS Batch User Guide, Automated job retries and Job timeouts."""

import pytest

ENDED = "Essential container in task exited"



def test_attempts(server):
    """Each ended attempt has an entry, oldest first, with its own times, exit code and log stream."""
    job = server.succeed(server.submit(
        'echo attempt $AWS_BATCH_JOB_ATTEMPT; test "$AWS_BATCH_JOB_ATTEMPT" = 3', retryStrategy={"attempts": 5}
    ))
    assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [1, 1, 0]
    times = [time for attempt in job["attempts"] for time in (attempt["startedAt"], attempt["stoppedAt"])]
    assert times == sorted(times)
    streams = [attempt["container"]["logStreamName"] for attempt in job["attempts"]]
    assert len(set(streams)) == 3
    assert job["container"]["logStreamName"] == streams[-1]
    logged = [
        server.logs.get_log_events(logGroupName="/aws/batch/job", logStreamName=stream)["events"][0]["message"]
        for stream in streams
    ]
    assert logged == ["attempt 1", "attempt 2", "attempt 3"]


def test_attempts_run_out(server):
    """`attempts` counts moves to RUNNABLE: 3 means one run and two retries."""
    job = server.fail(server.submit("exit 9", retryStrategy={"attempts": 3}))
    assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [9, 9, 9]
    assert (job["container"]["exitCode"], job["statusReason"]) == (9, ENDED)
    assert job["retryStrategy"] == {"attempts": 3, "evaluateOnExit": []}


def test_the_running_attempt_is_not_listed(server, gate):
    """API reference, AttemptDetail: an entry is made when the attempt ends."""
    waiting = gate()
    job_id = server.submit(
        f'test "$AWS_BATCH_JOB_ATTEMPT" = 2 || exit 4; {waiting.wait}', retryStrategy={"attempts": 2}
    )
    running = server.wait(job_id, "RUNNING")
    while not running["attempts"]:  # the first attempt may still have been seen
        running = server.wait(job_id, "RUNNING")
    assert [attempt["container"]["exitCode"] for attempt in running["attempts"]] == [4]
    waiting.open()
    assert len(server.succeed(job_id)["attempts"]) == 2


def test_the_job_replaces_the_definition(server):
    """API reference, SubmitJob: retryStrategy replaces the definition's."""
    definition = server.define("retried", retryStrategy={"attempts": 4})
    assert len(server.fail(server.submit("false", definition=definition))["attempts"]) == 4
    once = server.submit("false", definition=definition, retryStrategy={"attempts": 1})
    assert len(server.fail(once)["attempts"]) == 1


@pytest.mark.parametrize(
    ("exit_code", "conditions", "attempts"),
    [
        pytest.param(7, [{"onExitCode": "7", "action": "EXIT"}], 1, id="exact"),
        pytest.param(7, [{"onExitCode": "8", "action": "EXIT"}], 3, id="no-match-retries"),
        pytest.param(75, [{"onExitCode": "7*", "action": "EXIT"}], 1, id="prefix"),
        pytest.param(57, [{"onExitCode": "7*", "action": "EXIT"}], 3, id="not-a-prefix"),
        pytest.param(7, [{"onStatusReason": "Essential container*", "action": "exit"}], 1, id="status-reason"),
        pytest.param(7, [{"onStatusReason": "essential container*", "action": "exit"}], 3, id="case-counts"),
        pytest.param(7, [{"onReason": "*", "action": "EXIT"}], 1, id="star-matches-no-reason"),
        pytest.param(7, [{"onReason": "OutOfMemoryError*", "action": "EXIT"}], 3, id="no-reason"),
        pytest.param(
            7, [{"onExitCode": "7", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}], 3, id="first-match-wins"
        ),
        pytest.param(
            8, [{"onExitCode": "7", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}], 1, id="catch-all"
        ),
        pytest.param(
            7, [{"onExitCode": "7", "onStatusReason": "Host EC2*", "action": "EXIT"}], 3, id="all-conditions-must-match"
        ),
    ],
)
def test_evaluate_on_exit(server, exit_code, conditions, attempts):
    """API reference, EvaluateOnExit."""
    strategy = {"attempts": 3, "evaluateOnExit": conditions}
    job = server.fail(server.submit(f"exit {exit_code}", retryStrategy=strategy))
    assert len(job["attempts"]) == attempts
    assert {attempt["container"]["exitCode"] for attempt in job["attempts"]} == {exit_code}


def test_start_failures_are_retried(server):
    """A failure to pull counts as an attempt and can be told apart by its reason."""
    definition = server.define("unpullable", container={"image": "127.0.0.1:1/no/such:image"})
    job = server.fail(server.submit(definition=definition, retryStrategy={"attempts": 2}))
    assert len(job["attempts"]) == 2
    for attempt in job["attempts"]:
        assert attempt["statusReason"] == "Task failed to start"
        assert attempt["container"]["reason"].startswith("CannotPullContainerError")
        assert "exitCode" not in attempt["container"]

    pull = [{"onReason": "CannotPullContainerError*", "action": "EXIT"}]
    strategy = {"attempts": 3, "evaluateOnExit": pull}
    assert len(server.fail(server.submit(definition=definition, retryStrategy=strategy))["attempts"]) == 1


def test_timeout_limits(server, refused):
    """API reference, JobTimeout: at least 60 seconds; echoed."""
    for seconds in (59, 0, -1):
        with refused():
            server.submit(timeout={"attemptDurationSeconds": seconds})
    job = server.describe(server.submit(timeout={"attemptDurationSeconds": 60}))
    assert job["timeout"] == {"attemptDurationSeconds": 60}
