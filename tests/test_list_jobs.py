"""ListJobs. Source: API reference, ListJobs and JobSummary."""

import itertools

import pytest

from server import ARN, ENDED, wait_for

numbers = itertools.count()


@pytest.fixture
def queue(server):
    """A queue of this test's own."""
    return server.create_queue(f"queue-{next(numbers)}")


def names(page):
    return [job["jobName"] for job in page["jobSummaryList"]]


def everything(server, **selection):
    pages = server.batch.get_paginator("list_jobs").paginate(**selection)
    return [job for page in pages for job in page["jobSummaryList"]]


def filtered(server, queue, name, *values, **more):
    return everything(server, jobQueue=queue, filters=[{"name": name, "values": list(values)}], **more)


def finish(server, *job_ids):
    for job_id in job_ids:
        server.succeed(job_id)


def test_default_is_running(server, queue, gate):
    """Without jobStatus and filters: RUNNING only."""
    waiting = gate()
    running = server.submit(waiting.wait, name="runs", queue=queue)
    finish(server, server.submit(name="done", queue=queue))
    server.wait(running, "RUNNING")
    assert names(server.batch.list_jobs(jobQueue=queue)) == ["runs"]
    assert names(server.batch.list_jobs(jobQueue=f"{ARN}job-queue/{queue}", jobStatus="SUCCEEDED")) == ["done"]
    assert names(server.batch.list_jobs(jobQueue=queue, jobStatus="FAILED")) == []
    waiting.open()
    server.succeed(running)


def test_summary(server, queue):
    """What a summary says of a job."""
    job_id = server.submit("exit 4", name="summed-up", queue=queue)
    detail = server.fail(job_id)
    [summary] = everything(server, jobQueue=queue, jobStatus="FAILED")
    for member in ("jobArn", "jobId", "jobName", "createdAt", "startedAt", "stoppedAt", "status", "statusReason",
                   "jobDefinition"):
        assert summary[member] == detail[member], member
    assert summary["container"]["exitCode"] == 4


def test_filters(server, queue):
    """JOB_NAME, JOB_DEFINITION, BEFORE_CREATED_AT, AFTER_CREATED_AT; with a filter, every status is listed."""
    other = server.define("other-definition")
    ids = {
        "Sift": server.submit(name="Sift", queue=queue),
        "knead": server.submit("false", name="knead", queue=queue),
        "KNEAD-again": server.submit(name="KNEAD-again", queue=queue, definition=other),
        "bake": server.submit(name="bake", queue=queue, definition=other),
    }
    details = {name: server.wait(job_id) for name, job_id in ids.items()}

    def found(*filter):
        return sorted(job["jobName"] for job in filtered(server, queue, *filter))

    assert found("JOB_NAME", "sift") == ["Sift"]  # not case sensitive
    assert found("JOB_NAME", "knead") == ["knead"]
    assert found("JOB_NAME", "knead*") == ["KNEAD-again", "knead"]
    assert found("JOB_NAME", "nobody") == []
    assert found("JOB_DEFINITION", "other-definition") == ["KNEAD-again", "bake"]
    assert found("JOB_DEFINITION", "other*") == ["KNEAD-again", "bake"]
    assert found("JOB_DEFINITION", "Other-definition") == []  # case sensitive
    assert found("JOB_DEFINITION", f"{ARN}job-definition/other-definition:1") == ["KNEAD-again", "bake"]
    newest = max(detail["createdAt"] for detail in details.values())
    oldest = min(detail["createdAt"] for detail in details.values())
    assert found("AFTER_CREATED_AT", str(oldest - 1)) == sorted(ids)
    assert found("AFTER_CREATED_AT", str(newest + 1)) == []
    assert found("BEFORE_CREATED_AT", str(newest + 1)) == sorted(ids)
    assert found("BEFORE_CREATED_AT", str(oldest - 1)) == []


def test_filter_ignores_the_status(server, queue):
    """API reference, ListJobs jobStatus: ignored with filters."""
    finish(server, server.submit(name="done", queue=queue))
    assert [job["jobName"] for job in filtered(server, queue, "JOB_NAME", "done", jobStatus="FAILED")] == ["done"]


def test_beyond_aws(server, queue):
    """docs/differences.md: several filters at once, JOB_STATUS and TAG."""
    for name, script, tags in (
        ("a-1", "true", {"team": "oven"}), ("a-2", "false", {"team": "oven"}), ("a-3", "true", {"team": "shop"}),
        ("b-1", "true", {"shop": "team"}), ("b-2", "false", {"team": ""}),
    ):
        server.wait(server.submit(script, name=name, queue=queue, tags=tags))

    def found(*filters, **more):
        filters = [{"name": name, "values": values} for name, *values in filters]
        return [job["jobName"] for job in everything(server, jobQueue=queue, filters=filters, **more)]

    assert found(("JOB_STATUS", "FAILED")) == ["b-2", "a-2"]
    assert found(("JOB_STATUS", "FAILED", "SUCCEEDED"), ("JOB_NAME", "a*")) == ["a-3", "a-2", "a-1"]
    assert found(("TAG", "team")) == ["b-2", "a-3", "a-2", "a-1"]
    assert found(("TAG", "team=shop", "team=")) == ["b-2", "a-3"]
    assert found(("TAG", "team=oven"), ("JOB_STATUS", "SUCCEEDED")) == ["a-1"]
    assert found(("TAG", "team"), ("JOB_NAME", "b*"), jobStatus="SUCCEEDED") == []


def test_newest_first(server, queue):
    """Filtered lists are ordered by createdAt, newest first."""
    for index in range(12):
        server.submit(name=f"n-{index}", queue=queue)
    times = [job["createdAt"] for job in filtered(server, queue, "AFTER_CREATED_AT", "0")]
    assert len(times) == 12
    assert times == sorted(times, reverse=True)


def test_pages(server, queue):
    """maxResults and nextToken: each job exactly once, no token on the last page."""
    ids = {server.submit(name=f"p-{index}", queue=queue) for index in range(25)}
    wait_for(lambda: everything(server, jobQueue=queue, jobStatus="SUCCEEDED"), lambda jobs: len(jobs) == 25)
    for selection in ({"jobStatus": "SUCCEEDED"}, {"filters": [{"name": "JOB_NAME", "values": ["p-*"]}]}):
        seen, token, sizes = [], {}, []
        while True:
            page = server.batch.list_jobs(jobQueue=queue, maxResults=10, **selection, **token)
            seen += [job["jobId"] for job in page["jobSummaryList"]]
            sizes.append(len(page["jobSummaryList"]))
            if "nextToken" not in page:
                break
            token = {"nextToken": page["nextToken"]}
        assert sizes == [10, 10, 5]
        assert len(seen) == len(set(seen)) and set(seen) == ids


def test_pages_stay_whole_while_jobs_arrive(server, queue):
    """A job that is submitted between two pages neither hides nor repeats another."""
    ids = [server.submit(name=f"old-{index}", queue=queue) for index in range(6)]
    finish(server, *ids)
    selection = {"jobQueue": queue, "maxResults": 2, "filters": [{"name": "AFTER_CREATED_AT", "values": ["0"]}]}
    page = server.batch.list_jobs(**selection)
    seen = [job["jobId"] for job in page["jobSummaryList"]]
    while token := page.get("nextToken"):
        server.submit(name="new", queue=queue)
        page = server.batch.list_jobs(**selection, nextToken=token)
        seen += [job["jobId"] for job in page["jobSummaryList"]]
    assert sorted(job_id for job_id in seen if job_id in ids) == sorted(ids)


def test_children_are_listed_by_their_parent(server, queue):
    """arrayJobId with a status; a queue shows the parent alone."""
    parent = server.submit(name="many", queue=queue, array=12)
    server.succeed(parent)
    assert [job["jobId"] for job in everything(server, jobQueue=queue, jobStatus="SUCCEEDED")] == [parent]
    children = everything(server, arrayJobId=parent, jobStatus="SUCCEEDED", PaginationConfig={"PageSize": 5})
    assert sorted(job["arrayProperties"]["index"] for job in children) == list(range(12))
    assert server.batch.list_jobs(arrayJobId=parent)["jobSummaryList"] == []  # none is RUNNING
    [summary] = everything(server, jobQueue=queue, jobStatus="SUCCEEDED")
    assert summary["arrayProperties"]["size"] == 12


def test_refused(server, queue, refused):
    """Exactly one of jobQueue, arrayJobId, multiNodeJobId; known filters; a token of this list."""
    array = server.submit(array=2, queue=queue)
    one = {"name": "JOB_NAME", "values": ["x"]}
    for request in (
        {},
        {"jobQueue": queue, "arrayJobId": array},
        {"jobQueue": "nobody"},
        {"jobQueue": queue, "filters": [{"name": "JOB_STATUS", "values": ["SLEEPING"]}]},
        {"jobQueue": queue, "filters": [one | {"values": []}]},
        {"jobQueue": queue, "filters": [one] * 11},
        {"jobQueue": queue, "filters": [{"name": "TAG", "values": ["x"] * 11}]},
        {"jobQueue": queue, "filters": [{"name": "job_name", "values": ["x"]}]},
        {"jobQueue": queue, "filters": [{"name": "AFTER_CREATED_AT", "values": ["yesterday"]}]},
        {"jobQueue": queue, "jobStatus": "SLEEPING"},
        {"jobQueue": queue, "nextToken": "forged"},
    ):
        with refused():
            server.unchecked.list_jobs(**request)


def test_all_states_are_known(server):
    """Each status that the model names can be asked for."""
    for status in ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", *ENDED):
        assert "jobSummaryList" in server.batch.list_jobs(jobQueue="default", jobStatus=status)
