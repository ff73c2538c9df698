"""Log groups, retention, and events that clients write. Source: CloudWatch Logs API reference, one operation a test."""

import concurrent.futures
import itertools
import time

import pytest

from server import ACCOUNT, GROUP, REGION, wait_for

HOUR = 60 * 60 * 1000
DAY = 24 * HOUR
numbers = itertools.count()


def now():
    return int(time.time() * 1000)


def arn(group):
    return f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}"


@pytest.fixture
def group(server):
    """A new log group."""
    name = f"/made/{next(numbers)}"
    assert server.logs.create_log_group(logGroupName=name, tags={"team": "bakery"})
    return name


@pytest.fixture
def put(server, group):
    """Puts (time, message) into stream `s` of the new group, and returns the answer."""
    server.logs.create_log_stream(logGroupName=group, logStreamName="s")

    def put(*events, stream="s"):
        events = [{"timestamp": at, "message": message} for at, message in events]
        return server.logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)

    return put


def messages(server, group, stream="s"):
    page = server.logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
    return [event["message"] for event in page["events"]]


def described(server, group):
    found = server.logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    return next((each for each in found if each["logGroupName"] == group), None)


def test_create_log_group(server, group, refused):
    """CreateLogGroup and DescribeLogGroups."""
    found = described(server, group)
    assert abs(found.pop("creationTime") - now()) < 60_000
    assert found == {
        "logGroupName": group,
        "arn": arn(group) + ":*",
        "logGroupArn": arn(group),
        "logGroupClass": "STANDARD",
        "metricFilterCount": 0,
        "storedBytes": 0,
    }
    assert server.logs.describe_log_streams(logGroupName=group)["logStreams"] == []
    assert server.logs.filter_log_events(logGroupIdentifier=arn(group))["events"] == []
    with refused("The specified log group already exists", code="ResourceAlreadyExistsException"):
        server.logs.create_log_group(logGroupName=group)
    rare = group + "/rare"
    server.logs.create_log_group(logGroupName=rare, logGroupClass="INFREQUENT_ACCESS")
    by_class = server.logs.describe_log_groups(logGroupClass="INFREQUENT_ACCESS")["logGroups"]
    assert [each["logGroupName"] for each in by_class] == [rare]
    by_id = server.logs.describe_log_groups(logGroupIdentifiers=[arn(group), rare])["logGroups"]
    assert [each["logGroupName"] for each in by_id] == [group, rare]
    other_region = server.client("logs", region="eu-west-1")
    assert other_region.describe_log_groups()["logGroups"] == []


@pytest.mark.parametrize("members", [
    {"logGroupName": "a b"},
    {"logGroupName": ""},
    {"logGroupName": "x" * 513},
    {"logGroupName": "g", "tags": {}},
    {"logGroupName": "g", "logGroupClass": "CHEAP"},
    {"logGroupName": "g", "kmsKeyId": "arn:aws:kms:us-east-1:000000000000:key/1"},
    {"logGroupName": "g", "deletionProtectionEnabled": True},
], ids=str)
def test_create_log_group_refused(server, refused, members):
    """CreateLogGroup: the model's constraints, and what Fornada says it cannot do."""
    with refused(code="InvalidParameterException"):
        server.client("logs", check=False).create_log_group(**members)


def test_delete_log_group(server, group, put, refused, gate):
    """DeleteLogGroup: with its streams, also beside a job that writes one; the group may be made again."""
    put((now(), "a"))
    server.logs.delete_log_group(logGroupName=group)
    assert described(server, group) is None
    with refused("The specified log group does not exist.", code="ResourceNotFoundException"):
        server.logs.delete_log_group(logGroupName=group)
    with refused("The specified log group does not exist.", code="ResourceNotFoundException"):
        put((now(), "b"))
    server.logs.create_log_group(logGroupName=group)
    assert server.logs.describe_log_streams(logGroupName=group)["logStreams"] == []

    waiting = gate()
    options = {"awslogs-group": group, "awslogs-create-group": "true"}
    definition = server.define("doomed", container={"logConfiguration": {"logDriver": "awslogs", "options": options}})
    job = server.submit(f"echo before; {waiting.wait}; echo after", definition=definition)
    server.wait(job, "RUNNING")
    server.logs.delete_log_group(logGroupName=group)
    waiting.open()
    server.succeed(job)


def test_create_log_stream(server, group, refused):
    """CreateLogStream."""
    with refused("The specified log group does not exist.", code="ResourceNotFoundException"):
        server.logs.create_log_stream(logGroupName="/nobody", logStreamName="s")
    for name in ("s", "a/b c", "x" * 512):
        server.logs.create_log_stream(logGroupName=group, logStreamName=name)
        with refused("The specified log stream already exists", code="ResourceAlreadyExistsException"):
            server.logs.create_log_stream(logGroupName=group, logStreamName=name)
    for name in ("a:b", "a*", ""):
        with refused(code="InvalidParameterException"):
            server.client("logs", check=False).create_log_stream(logGroupName=group, logStreamName=name)
    found = server.logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert [stream["logStreamName"] for stream in found] == ["a/b c", "s", "x" * 512]
    assert "firstEventTimestamp" not in found[0] and abs(found[0]["creationTime"] - now()) < 60_000
    assert messages(server, group) == []


def test_put_log_events(server, group, put, refused):
    """PutLogEvents: what was put is read back, at its times, by every reading operation."""
    at = now() - HOUR
    answer = put((at, "one"), (at, "two"), (at + 1, "zwei \N{SNOWMAN}"))
    assert answer["nextSequenceToken"] and "rejectedLogEventsInfo" not in answer
    server.logs.put_log_events(
        logGroupName=group, logStreamName="s", sequenceToken="stale", logEvents=[{"timestamp": at + 2, "message": "3"}]
    )
    assert messages(server, group) == ["one", "two", "zwei \N{SNOWMAN}", "3"]
    filtered = server.logs.filter_log_events(logGroupName=group, startTime=at + 1)["events"]
    assert [(event["timestamp"] - at, event["message"]) for event in filtered] == [(1, "zwei \N{SNOWMAN}"), (2, "3")]
    [stream] = server.logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert (stream["firstEventTimestamp"], stream["lastEventTimestamp"]) == (at, at + 2)
    assert described(server, group)["storedBytes"] > 0
    with refused("The specified log stream does not exist.", code="ResourceNotFoundException"):
        put((at, "x"), stream="none")


@pytest.mark.parametrize("ages, retention, taken, rejected", [
    ([15 * DAY, 15 * DAY - 1], None, [], {"tooOldLogEventEndIndex": 2}),
    ([14 * DAY + HOUR, 14 * DAY - HOUR], None, [1], {"tooOldLogEventEndIndex": 1}),
    ([0, -3 * HOUR], None, [0], {"tooNewLogEventStartIndex": 1}),
    ([0, -HOUR], None, [0, 1], None),
    ([DAY + HOUR, DAY - HOUR], 1, [1], {"expiredLogEventEndIndex": 1}),
], ids=["too old", "one too old", "too new", "soon", "expired"])
def test_put_log_events_rejected(server, group, put, ages, retention, taken, rejected):
    """PutLogEvents, rejectedLogEventsInfo: older than 14 days, expired, more than 2 hours in the future."""
    if retention:
        server.logs.put_retention_policy(logGroupName=group, retentionInDays=retention)
    at = now()
    answer = put(*[(at - age, str(index)) for index, age in enumerate(ages)])
    assert answer.get("rejectedLogEventsInfo") == rejected
    assert messages(server, group) == [str(index) for index in taken]


@pytest.mark.parametrize("events, text", [
    ([(1, "later"), (0, "earlier")], "must be in chronological order"),
    ([(0, "a"), (DAY + 1, "b")], "cannot span more than 24 hours"),
    ([], ""),
    ([(0, "")], ""),
    ([(0, "a")] * 10_001, ""),
], ids=["order", "span", "none", "empty", "10,001"])
def test_put_log_events_refused(server, group, put, refused, events, text):
    """PutLogEvents: what the batch of events must satisfy."""
    start = now() - 2 * DAY
    unchecked = server.client("logs", check=False)
    with refused(text, code="InvalidParameterException"):
        unchecked.put_log_events(
            logGroupName=group,
            logStreamName="s",
            logEvents=[{"timestamp": start + at, "message": message} for at, message in events],
        )
    assert messages(server, group) == []


def test_put_log_events_at_once(server, group, put):
    """PutLogEvents: "You can use parallel PutLogEvents actions on the same log stream"."""
    at = now()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: put((at, f"{n} a"), (at, f"{n} b")), range(100)))
    found = messages(server, group)
    assert sorted(found) == sorted(f"{n} {x}" for n in range(100) for x in "ab")
    assert all(found[i][:-1] == found[i + 1][:-1] for i in range(0, 200, 2)), "batches stay together"


def test_put_log_events_beside_a_job(server, refused, gate):
    """A stream that a running job writes takes no events of others; a job can write streams of its own."""
    waiting = gate()
    job = server.submit(f"echo mine; {waiting.wait}")
    server.wait(job, "RUNNING")
    stream = server.describe(job)["container"]["logStreamName"]
    events = [{"timestamp": now(), "message": "yours"}]
    wait_for_first_line(server, stream)
    with refused("create a log stream of your own", code="InvalidParameterException"):
        server.logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)
    waiting.open()
    server.succeed(job)
    assert server.messages(job) == ["mine"]


def wait_for_first_line(server, stream):
    def look():
        return server.logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=stream)["logStreams"]

    wait_for(lambda: look() if described(server, GROUP) else [], bool)


@pytest.mark.parametrize("days", [0, 2, 4, -1, 366, 10_000])
def test_retention_refused(server, group, refused, days):
    """PutRetentionPolicy, retentionInDays: possible values."""
    with refused("Valid values are: [1, 3, 5,", code="InvalidParameterException"):
        server.client("logs", check=False).put_retention_policy(logGroupName=group, retentionInDays=days)


def test_retention(server, group, put, refused):
    """PutRetentionPolicy and DeleteRetentionPolicy: what has expired is gone from every answer, and from the disk."""
    at = now()
    server.logs.create_log_stream(logGroupName=group, logStreamName="old")
    put((at - 3 * DAY, "old " + "x" * 100_000), stream="old")
    put((at - 3 * DAY, "old"))
    put((at, "new"))
    before = described(server, group)
    assert "retentionInDays" not in before and before["storedBytes"] > 100_000

    server.logs.put_retention_policy(logGroupName=group, retentionInDays=3653)
    assert described(server, group)["retentionInDays"] == 3653
    assert messages(server, group) == ["old", "new"]
    server.logs.put_retention_policy(logGroupName=group, retentionInDays=1)
    after = described(server, group)
    assert (after["retentionInDays"], after["creationTime"]) == (1, before["creationTime"])
    assert after["storedBytes"] < 10_000, "the space came back"
    assert messages(server, group) == ["new"], "of a stream that goes on, only what is left is shown"
    assert [event["message"] for event in server.logs.filter_log_events(logGroupName=group)["events"]] == ["new"]
    [stream] = server.logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert (stream["logStreamName"], stream["firstEventTimestamp"]) == ("s", at)

    server.logs.delete_retention_policy(logGroupName=group)
    assert "retentionInDays" not in described(server, group)
    for policy in (
        lambda: server.logs.put_retention_policy(logGroupName="/nobody", retentionInDays=1),
        lambda: server.logs.delete_retention_policy(logGroupName="/nobody"),
    ):
        with refused("The specified log group does not exist.", code="ResourceNotFoundException"):
            policy()


def test_retention_of_jobs(own_server):
    """A retention outlives the server, and a group stays when all its streams have gone."""
    server = own_server().start()
    server.succeed(server.submit("echo line"))
    created = described(server, GROUP)["creationTime"]
    server.logs.put_retention_policy(logGroupName=GROUP, retentionInDays=7)
    server.stop()
    server.start()
    found = described(server, GROUP)
    assert (found["retentionInDays"], found["creationTime"]) == (7, created)
    server.succeed(server.submit("echo line"))
    assert len(server.logs.describe_log_streams(logGroupName=GROUP)["logStreams"]) == 2


def test_aws_cli(server, group):
    """The aws CLI makes, fills, reads and deletes a group."""
    aws, at = server.aws, now()
    name = group + "/cli"
    where = ("--log-group-name", name)
    aws("logs", "create-log-group", *where, "--tags", "a=b")
    aws("logs", "create-log-stream", *where, "--log-stream-name", "s")
    put = ("--log-stream-name", "s", "--log-events", f"timestamp={at},message=hello")
    assert aws("logs", "put-log-events", *where, *put)["nextSequenceToken"]
    aws("logs", "put-retention-policy", *where, "--retention-in-days", 30)
    [found] = aws("logs", "describe-log-groups", "--log-group-name-prefix", name)["logGroups"]
    assert found["retentionInDays"] == 30
    aws("logs", "delete-retention-policy", *where)
    events = aws("logs", "filter-log-events", *where, "--filter-pattern", "[word = h*]")["events"]
    assert [event["message"] for event in events] == ["hello"]
    aws("logs", "delete-log-group", *where)
    assert described(server, name) is None


@pytest.mark.parametrize("pattern, want", [
    ("%4[0-9]{2}%", [0]),
    ("%^10% -%html%", [1]),
    ("[ip, user, request = *.html*, status = 4*, bytes]", [0]),
    ("[ip, ..., status != 4*, bytes > 10]", [1]),
    (r"[ip = %^127\.0\.0\.[1-9]$%, ...]", [0]),
    ("{ $.ip = %^1[0-9]+$% }", []),
])
def test_filter_patterns(server, group, put, pattern, want):
    """CloudWatch Logs user guide, Filter pattern syntax: regular expressions and space-delimited events."""
    at = now()
    put((at, '127.0.0.1 ann "GET /index.html HTTP/1.0" 404 20'), (at, '10.0.0.1 bob "GET /x.txt HTTP/1.0" 200 1534'))
    found = server.logs.filter_log_events(logGroupName=group, filterPattern=pattern)["events"]
    everything = messages(server, group)
    assert [everything.index(event["message"]) for event in found] == want
