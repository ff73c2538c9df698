"""Array jobs. Source: AWS Batch User Guide, Array jobs."""

from server import wait_for

ZERO = dict.fromkeys(("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"), 0)


def children(server, parent, *statuses):
    """The summaries of all children in the statuses."""
    pages = server.batch.get_paginator("list_jobs")
    return [
        job
        for status in statuses or ZERO
        for page in pages.paginate(arrayJobId=parent, jobStatus=status)
        for job in page["jobSummaryList"]
    ]


def test_life_of_an_array(server, gate, tmp_path):
    """Index and size in the environment; the parent is PENDING until all children have ended; the summary counts."""
    waiting = gate()
    parent = server.submit(
        f'echo "$AWS_BATCH_JOB_ARRAY_INDEX/$AWS_BATCH_JOB_ARRAY_SIZE $AWS_BATCH_JOB_ID"'
        f' > {tmp_path}/$AWS_BATCH_JOB_ARRAY_INDEX; {waiting.wait}',
        name="array", array=5,
    )
    running = wait_for(
        lambda: server.describe(parent), lambda job: job["arrayProperties"]["statusSummary"].get("RUNNING") == 5
    )
    assert running["status"] == "PENDING"
    assert running["arrayProperties"]["size"] == 5
    assert running["arrayProperties"]["statusSummary"] == ZERO | {"RUNNING": 5}
    assert "index" not in running["arrayProperties"]
    assert [job["jobId"] for job in server.batch.list_jobs(jobQueue="default", jobStatus="PENDING")["jobSummaryList"]
            if job["jobId"] == parent] == [parent]
    assert not any(
        job["jobId"].startswith(parent) for job in server.batch.list_jobs(jobQueue="default")["jobSummaryList"]
    ), "children show only under their parent"

    waiting.open(5)
    ended = server.succeed(parent)
    assert ended["arrayProperties"]["statusSummary"] == ZERO | {"SUCCEEDED": 5}
    for index in range(5):
        assert (tmp_path / str(index)).read_text() == f"{index}/5 {parent}:{index}\n"


def test_children(server):
    """Ids are `parent:index`; each child has its own log, attempts and exit code."""
    parent = server.submit("echo index $AWS_BATCH_JOB_ARRAY_INDEX", name="children", array=3)
    server.succeed(parent)
    listed = children(server, parent, "SUCCEEDED")
    assert {job["jobId"] for job in listed} == {f"{parent}:{index}" for index in range(3)}
    assert {job["arrayProperties"]["index"] for job in listed} == {0, 1, 2}

    details = [server.describe(f"{parent}:{index}") for index in range(3)]
    for index, child in enumerate(details):
        assert (child["status"], child["jobName"], child["arrayProperties"]["index"]) == ("SUCCEEDED", "children", index)
        assert len(child["attempts"]) == 1
        assert server.messages(child["jobId"]) == [f"index {index}"]
    assert len({child["container"]["logStreamName"] for child in details}) == 3
    assert server.batch.describe_jobs(jobs=[f"{parent}:3"])["jobs"] == []


def test_one_child_fails(server):
    """The siblings run to their end; then the parent fails."""
    parent = server.submit("test $AWS_BATCH_JOB_ARRAY_INDEX != 1", array=4)
    ended = server.fail(parent)
    assert ended["statusReason"] == "Array Child Job failed"
    assert ended["arrayProperties"]["statusSummary"] == ZERO | {"SUCCEEDED": 3, "FAILED": 1}
    assert server.describe(f"{parent}:1")["container"]["exitCode"] == 1


def test_retries_are_per_child(server):
    """The retry strategy is copied to each child."""
    parent = server.submit(
        'test "$AWS_BATCH_JOB_ARRAY_INDEX" = 0 || test "$AWS_BATCH_JOB_ATTEMPT" = 2',
        array=3, retryStrategy={"attempts": 2},
    )
    server.succeed(parent)
    attempts = [len(server.describe(f"{parent}:{index}")["attempts"]) for index in range(3)]
    assert attempts == [1, 2, 2]


def test_terminate_one_child_and_then_all(server, gate):
    """Terminating a child ends that child; terminating the parent ends every child."""
    waiting = gate()
    parent = server.submit(waiting.wait, array=3)
    wait_for(lambda: server.describe(parent), lambda job: job["arrayProperties"]["statusSummary"].get("RUNNING") == 3)

    server.batch.terminate_job(jobId=f"{parent}:1", reason="not this one")
    assert server.fail(f"{parent}:1")["statusReason"] == "not this one"
    assert server.describe(parent)["status"] == "PENDING"

    server.batch.terminate_job(jobId=parent, reason="none of them")
    server.fail(parent)
    for index in (0, 2):
        assert server.fail(f"{parent}:{index}")["statusReason"] == "none of them"
    assert server.describe(f"{parent}:1")["statusReason"] == "not this one"


def test_array_larger_than_the_machine(server):
    """Children wait for capacity in the order of their index and all of them run."""
    parent = server.submit("true", array=200)
    ended = server.succeed(parent, seconds=60)
    assert ended["arrayProperties"]["statusSummary"] == ZERO | {"SUCCEEDED": 200}
    assert len(children(server, parent)) == 200
