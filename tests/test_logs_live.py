"""Following logs: StartLiveTail, and FilterLogEvents again and again as `aws logs tail --follow` does it."""

import contextlib
import itertools
import pathlib
import subprocess
import sys
import threading
import time

import pytest
from botocore.exceptions import EventStreamError

from server import ACCOUNT, GROUP, REGION, wait_for

numbers = itertools.count()


def arn(group):
    return f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}"


@pytest.fixture
def group(server):
    """A new log group with the streams a/1, a/2 and b."""
    name = f"/live/{next(numbers)}"
    server.logs.create_log_group(logGroupName=name)
    for stream in ("a/1", "a/2", "b"):
        server.logs.create_log_stream(logGroupName=name, logStreamName=stream)
    return name


def put(server, group, stream, *messages, age=0):
    at = int(time.time() * 1000) - age
    events = [{"timestamp": at, "message": message} for message in messages]
    server.logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


@contextlib.contextmanager
def live_tail(server, **members):
    """A session: its start, and an iterator over its updates."""
    # SDKs put `stream-` before the host of this operation unless they are told not to.
    client = server.client("logs", inject_host_prefix=False)
    stream = client.start_live_tail(**members)["responseStream"]
    try:
        events = iter(stream)
        yield next(events)["sessionStart"], (event["sessionUpdate"] for event in events)
    finally:
        stream.close()


def collect(updates, count, seconds=20):
    """The first `count` events of a session, over as many updates as they take."""
    found, deadline = [], time.monotonic() + seconds
    for update in updates:
        found += update["sessionResults"]
        if len(found) >= count or time.monotonic() > deadline:
            return found


def test_live_tail(server, group):
    """API reference, StartLiveTail: sessionStart once, then a sessionUpdate every second, empty or not."""
    put(server, group, "b", "before")
    with live_tail(server, logGroupIdentifiers=[arn(group)]) as (start, updates):
        assert start["logGroupIdentifiers"] == [arn(group)] and start["sessionId"]
        began = time.monotonic()
        assert next(updates) == {"sessionMetadata": {"sampled": False}, "sessionResults": []}
        assert next(updates)["sessionResults"] == []
        assert time.monotonic() - began < 10
        # What counts is when an event comes, not the time it bears.
        put(server, group, "a/1", "first", "second", age=60_000)
        put(server, group, "b", "third")
        found = collect(updates, 3)
        assert [event["message"] for event in found] == ["first", "second", "third"]
        assert {(event["logStreamName"], event["logGroupIdentifier"]) for event in found} == {
            ("a/1", arn(group)), ("b", arn(group))
        }
        assert found[0]["timestamp"] <= found[0]["ingestionTime"] <= int(time.time() * 1000)


@pytest.mark.parametrize("members, want", [
    ({"logStreamNames": ["a/1"]}, ["1 good", "1 bad"]),
    ({"logStreamNamePrefixes": ["a/"]}, ["1 good", "1 bad", "2 bad"]),
    ({"logEventFilterPattern": "bad"}, ["1 bad", "2 bad", "b bad"]),
    ({"logStreamNames": ["a/1", "b"], "logEventFilterPattern": "-good"}, ["1 bad", "b bad"]),
], ids=str)
def test_live_tail_selects(server, group, members, want):
    """StartLiveTail: logStreamNames, logStreamNamePrefixes, logEventFilterPattern."""
    with live_tail(server, logGroupIdentifiers=[group], **members) as (start, updates):
        assert all(start[name] == value for name, value in members.items())
        put(server, group, "a/1", "1 good", "1 bad")
        put(server, group, "a/2", "2 bad")
        put(server, group, "b", "b bad")
        found = collect(updates, len(want))
        assert sorted(event["message"] for event in found) == sorted(want)


def test_live_tail_of_a_job(server, gate):
    """Lines of a job reach a session while it runs, from its first one on, whoever made the group."""
    server.succeed(server.submit("true; echo make the group"))
    waiting = gate()
    with live_tail(server, logGroupIdentifiers=[arn(GROUP)]) as (_, updates):
        job = server.submit(f"echo one; {waiting.wait}; echo two")
        assert [event["message"] for event in collect(updates, 1)] == ["one"]
        assert server.describe(job)["status"] in ("STARTING", "RUNNING")
        waiting.open()
        assert [event["message"] for event in collect(updates, 1)] == ["two"]
        flood = server.submit("seq 5000")
        server.succeed(flood)
        update = next(update for update in updates if update["sessionResults"])
        assert len(update["sessionResults"]) <= 500
        while not update["sessionMetadata"]["sampled"]:
            update = next(updates)
        assert 0 < len(update["sessionResults"]) <= 500


@pytest.mark.parametrize("members, code, text", [
    ({"logGroupIdentifiers": [arn("/nobody")]}, "ResourceNotFoundException", "log group does not exist"),
    ({"logGroupIdentifiers": [arn(GROUP).replace(ACCOUNT, "1" * 12)]}, "ResourceNotFoundException", ""),
    ({"logGroupIdentifiers": []}, "InvalidParameterException", ""),
    ({"logGroupIdentifiers": ["g"] * 11}, "InvalidParameterException", ""),
    ({"logGroupIdentifiers": [arn("g") + ":*"]}, "InvalidParameterException", ""),
    ({"logGroupIdentifiers": ["g"], "logStreamNames": ["s"], "logStreamNamePrefixes": ["s"]},
     "InvalidParameterException", "not both"),
    ({"logGroupIdentifiers": ["g", "h"], "logStreamNames": ["s"]}, "InvalidParameterException", "single log group"),
    ({"logGroupIdentifiers": ["g"], "logEventFilterPattern": "{"}, "InvalidParameterException", "filter pattern"),
], ids=str)
def test_live_tail_refused(server, refused, members, code, text):
    """StartLiveTail: what the members must satisfy."""
    with refused(text, code=code):
        server.client("logs", check=False, inject_host_prefix=False).start_live_tail(**members)


def test_live_tail_ends(server, group):
    """A session ends with SessionStreamingException when its group is deleted."""
    with live_tail(server, logGroupIdentifiers=[group]) as (_, updates):
        server.logs.delete_log_group(logGroupName=group)
        with pytest.raises(EventStreamError, match="SessionStreamingException.*does not exist"):
            list(updates)


def test_stopping_waits_for_no_session(own_server):
    """The server ends at once, though a session would go on for three hours."""
    server = own_server().start()
    server.logs.create_log_group(logGroupName="g")
    with live_tail(server, logGroupIdentifiers=["g"]) as (_, updates):
        next(updates)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 8
        with pytest.raises(EventStreamError, match="SessionStreamingException.*stopping"):
            list(updates)


def test_many_live_tails(server, group, refused):
    """64 sessions at a time, each with everything; one more is refused until one has ended."""
    with contextlib.ExitStack() as stack:
        sessions = []
        for _ in range(64):
            sessions.append(stack.enter_context(live_tail(server, logGroupIdentifiers=[group]))[1])
        with refused("already", code="LimitExceededException"):
            server.client("logs", inject_host_prefix=False).start_live_tail(logGroupIdentifiers=[group])
        put(server, group, "b", "to all")
        for updates in sessions:
            assert [event["message"] for event in collect(updates, 1)] == ["to all"]

    def again():
        try:
            with live_tail(server, logGroupIdentifiers=[group]):
                return True
        except server.client("logs", inject_host_prefix=False).exceptions.LimitExceededException:
            return False

    wait_for(again, bool)


def test_live_tail_of_the_aws_cli(server, group):
    """`aws logs start-live-tail`, told to leave the host as it is."""
    aws = pathlib.Path(sys.executable).with_name("aws")
    environment = server.aws_environment() | {"AWS_DISABLE_HOST_PREFIX_INJECTION": "true", "PYTHONUNBUFFERED": "1"}
    command = [aws, "logs", "start-live-tail", "--log-group-identifiers", arn(group)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    lines = []
    reader = iter(process.stdout.readline, "")
    reading = threading.Thread(target=lambda: lines.extend(reader), daemon=True)
    reading.start()
    try:
        def seen():
            put(server, group, "a/1", "seen by the cli")
            return list(lines)

        wait_for(seen, lambda seen: any("seen by the cli" in line for line in seen), seconds=40)
    finally:
        process.kill()
        process.wait()


def test_tail_follow(server, gate):
    """What `aws logs tail --follow` of the aws CLI sends: FilterLogEvents with a startTime, to the last page, again and
    again with the time of the last event; it knows events by their ids."""
    waiting, start = gate(), int(time.time() * 1000) - 600_000
    job = server.submit(f"echo one; {waiting.wait}; seq 300", definition=server.define("tailed"))
    server.wait(job, "RUNNING")
    seen = {}

    def look():
        nonlocal start
        request = {"logGroupName": GROUP, "startTime": start, "logStreamNamePrefix": "tailed/", "limit": 100}
        while True:
            try:
                page = server.logs.filter_log_events(**request)
            except server.logs.exceptions.ResourceNotFoundException:
                return []  # nothing written yet
            for event in page["events"]:
                seen[event["eventId"]] = event["message"]
                start = max(start, event["timestamp"])
            if "nextToken" not in page:
                return list(seen.values())
            request["nextToken"] = page["nextToken"]

    wait_for(look, lambda seen: seen == ["one"])
    assert server.describe(job)["status"] == "RUNNING"
    waiting.open()
    wait_for(look, lambda seen: seen == ["one", *map(str, range(1, 301))])
