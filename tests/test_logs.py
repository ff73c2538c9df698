"""The logs of jobs. Source: CloudWatch Logs API reference; AWS Batch User Guide, Using the awslogs log driver."""

import time

import pytest

from server import ACCOUNT, GROUP, REGION, wait_for


def stream_of(server, job_id):
    return server.describe(job_id)["container"]["logStreamName"]


@pytest.fixture(scope="module")
def lines(server):
    """A finished job that logged 25 lines, and its stream."""
    job_id = server.submit("for i in $(seq 25); do echo line $i; done", definition=server.define("lines"))
    server.succeed(job_id)
    return stream_of(server, job_id)


def events(server, stream, **members):
    return server.logs.get_log_events(logGroupName=GROUP, logStreamName=stream, **members)


def messages(page):
    return [event["message"] for event in page["events"]]


def numbered(first, last):
    return [f"line {number}" for number in range(first, last + 1)]


def test_forward(server, lines):
    """GetLogEvents, startFromHead: pages in order; the end is the token that was passed in."""
    page = events(server, lines, startFromHead=True, limit=10)
    assert messages(page) == numbered(1, 10)
    assert page["nextForwardToken"].startswith("f/") and page["nextBackwardToken"].startswith("b/")
    page = events(server, lines, startFromHead=True, limit=10, nextToken=page["nextForwardToken"])
    assert messages(page) == numbered(11, 20)
    page = events(server, lines, startFromHead=True, limit=10, nextToken=page["nextForwardToken"])
    assert messages(page) == numbered(21, 25)
    last = events(server, lines, startFromHead=True, limit=10, nextToken=page["nextForwardToken"])
    assert messages(last) == []
    assert last["nextForwardToken"] == page["nextForwardToken"]


def test_backward(server, lines):
    """GetLogEvents without startFromHead: the newest page first, ascending within a page."""
    page = events(server, lines, limit=10)
    assert messages(page) == numbered(16, 25)
    page = events(server, lines, limit=10, nextToken=page["nextBackwardToken"])
    assert messages(page) == numbered(6, 15)
    forward = events(server, lines, limit=10, nextToken=page["nextForwardToken"], startFromHead=True)
    assert messages(forward) == numbered(16, 25)
    page = events(server, lines, limit=10, nextToken=page["nextBackwardToken"])
    assert messages(page) == numbered(1, 5)
    last = events(server, lines, limit=10, nextToken=page["nextBackwardToken"])
    assert (messages(last), last["nextBackwardToken"]) == ([], page["nextBackwardToken"])


def test_time_window(server, lines):
    """startTime is included, endTime is not."""
    page = events(server, lines, startFromHead=True)
    first, last = page["events"][0]["timestamp"], page["events"][-1]["timestamp"]
    assert first <= last <= page["events"][-1]["ingestionTime"]
    assert messages(events(server, lines, startTime=first, endTime=last + 1, startFromHead=True)) == numbered(1, 25)
    assert messages(events(server, lines, endTime=first)) == []
    assert messages(events(server, lines, startTime=last + 1)) == []


def test_group_identifier(server, lines):
    """logGroupIdentifier: the group's name or ARN, instead of its name."""
    arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}"
    for identifier in (GROUP, arn):
        page = server.logs.get_log_events(logGroupIdentifier=identifier, logStreamName=lines, startFromHead=True)
        assert messages(page) == numbered(1, 25)


def test_while_it_runs(server, gate):
    """Lines can be read as soon as they are written; the last token leads on to those that come later."""
    waiting = gate()
    job_id = server.submit(f"echo before; {waiting.wait}; echo after")
    server.wait(job_id, "RUNNING")
    stream = stream_of(server, job_id)

    def look():
        try:
            return events(server, stream, startFromHead=True)
        except server.logs.exceptions.ResourceNotFoundException:
            return {"events": []}  # nothing written yet

    page = wait_for(look, lambda page: page["events"])
    assert messages(page) == ["before"]
    assert server.describe(job_id)["status"] == "RUNNING"
    waiting.open()
    server.succeed(job_id)
    assert messages(events(server, stream, startFromHead=True, nextToken=page["nextForwardToken"])) == ["after"]


def test_both_outputs_and_odd_lines(server):
    """stdout and stderr share a stream, an event a line; a last line without an end counts; bytes that are not UTF-8 too."""
    job_id = server.submit(r"echo out; echo err >&2; printf '\303\244 tab\there\n'; printf 'a\377b\n'; printf end")
    server.succeed(job_id)
    assert server.messages(job_id) == ["out", "err", "ä tab\there", "a\N{REPLACEMENT CHARACTER}b", "end"]


def test_many_lines(server):
    """Nothing is lost or reordered when a job writes fast."""
    job_id = server.submit("seq 30000")
    server.succeed(job_id)
    assert server.messages(job_id) == [str(number) for number in range(1, 30001)]


def test_filter(server, lines):
    """FilterLogEvents: streams by name or prefix, patterns, pages until there is no token."""

    def found(**members):
        pages = server.logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, **members)
        return [event for page in pages for event in page["events"]]

    everything = found(logStreamNames=[lines])
    assert [event["message"] for event in everything] == numbered(1, 25)
    assert {event["logStreamName"] for event in everything} == {lines}
    assert len({event["eventId"] for event in everything}) == 25
    assert found(logStreamNamePrefix="lines/default/") == everything
    paged = found(logStreamNames=[lines], PaginationConfig={"PageSize": 4})
    assert paged == everything

    def pattern(text):
        return [event["message"] for event in found(logStreamNames=[lines], filterPattern=text)]

    assert pattern('"line 24"') == ["line 24"]
    assert pattern("line 7") == ["line 7", "line 17"]
    assert pattern("nothing") == []


def test_streams(server, lines):
    """DescribeLogStreams: by prefix, by last event, in pages."""
    found = server.logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="lines/")["logStreams"]
    assert [stream["logStreamName"] for stream in found] == [lines]
    [stream] = found
    page = events(server, lines, startFromHead=True)
    assert stream["firstEventTimestamp"] == page["events"][0]["timestamp"]
    assert stream["lastEventTimestamp"] == page["events"][-1]["timestamp"]
    assert stream["arn"] == f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}:log-stream:{lines}"

    server.succeed(server.submit("echo newest"))
    newest = server.logs.describe_log_streams(logGroupName=GROUP, orderBy="LastEventTime", descending=True, limit=1)
    assert messages(events(server, newest["logStreams"][0]["logStreamName"])) == ["newest"]

    pages = server.logs.get_paginator("describe_log_streams").paginate(
        logGroupName=GROUP, PaginationConfig={"PageSize": 2}
    )
    names = [stream["logStreamName"] for page in pages for stream in page["logStreams"]]
    assert lines in names and names == sorted(set(names))


def test_groups(server, lines):
    """DescribeLogGroups: the default group is made when it is first needed."""
    for prefix in ({}, {"logGroupNamePrefix": "/aws/batch/"}, {"logGroupNamePattern": "batch/j"}):
        groups = server.logs.describe_log_groups(**prefix)["logGroups"]
        assert GROUP in [group["logGroupName"] for group in groups]
    [group] = [group for group in groups if group["logGroupName"] == GROUP]
    assert abs(group["creationTime"] - time.time() * 1000) < 600_000
    assert server.logs.describe_log_groups(logGroupNamePrefix="/other")["logGroups"] == []


def test_log_configuration(server):
    """User Guide, Using the awslogs log driver: awslogs-group and awslogs-stream-prefix."""
    options = {"awslogs-group": "/bakery", "awslogs-stream-prefix": "oven", "awslogs-create-group": "true"}
    definition = server.define(
        "configured", container={"logConfiguration": {"logDriver": "awslogs", "options": options}}
    )
    job = server.succeed(server.submit("echo warm", definition=definition))
    stream = job["container"]["logStreamName"]
    assert stream.startswith("oven/default/")
    page = server.logs.get_log_events(logGroupName="/bakery", logStreamName=stream)
    assert messages(page) == ["warm"]
    assert "/bakery" in [group["logGroupName"] for group in server.logs.describe_log_groups()["logGroups"]]


def test_refused(server, lines, refused):
    """ResourceNotFoundException and InvalidParameterException."""
    with refused("The specified log stream does not exist.", code="ResourceNotFoundException"):
        events(server, "no/such/stream")
    with refused("The specified log group does not exist.", code="ResourceNotFoundException"):
        server.logs.get_log_events(logGroupName="/nobody", logStreamName=lines)
    unchecked = server.client("logs", check=False)
    for request in (
        {"logStreamNames": [lines], "logStreamNamePrefix": "lines"},
        {"logStreamNames": [lines], "limit": 10_001},
    ):
        with refused(code="InvalidParameterException"):
            unchecked.filter_log_events(logGroupName=GROUP, **request)
    for request in ({"limit": 0}, {"limit": 10_001}, {"nextToken": "forged"}):
        with refused(code="InvalidParameterException"):
            unchecked.get_log_events(logGroupName=GROUP, logStreamName=lines, **request)
    with refused(code="InvalidParameterException"):
        unchecked.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="l", orderBy="LastEventTime")
