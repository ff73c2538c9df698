"""Whatever arrives on the port: an answer that says what is wrong, never a crash, never a hang."""

import json
import os
import socket
import urllib.parse

import pytest

from server import wait_for
from signing import call, send, sign

JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def still_well(server):
    """After each case the same process still answers."""
    yield
    assert server.process.poll() is None, server.said()
    assert server.batch.list_jobs(jobQueue="default")["jobSummaryList"] == []
    assert "panicked" not in server.said()


def refused(answer, text="", status=400, code="ClientException"):
    assert (answer.status, answer.code) == (status, code), answer
    assert answer.message and text in answer.message, answer
    assert answer.headers["x-amzn-RequestId"]


def connect(server):
    address = urllib.parse.urlsplit(server.endpoint)
    return socket.create_connection((address.hostname, address.port), timeout=20)


def raw(server, method, path, body, headers):
    """The bytes of a request."""
    headers = {"Host": urllib.parse.urlsplit(server.endpoint).netloc, "Content-Length": len(body)} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def converse(server, sent):
    """Sends bytes as they are and returns what comes back until the server closes."""
    with connect(server) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError, OSError):
            pass  # the server may have had enough
        received = b""
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass
        return received


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"nul", b"\xff\xfe", b'{"jobs":["a"]', b"{'jobs':['a']}", b'{"jobs":["a"]} x', b'{"jobs":["\xff"]}',
        b'{"jobs":["\\ud800"]}', b"[" * 100_000, b'{"a":' * 100_000,
    ],
    ids=lambda body: repr(body[:16]),
)
def test_malformed_json(server, body):
    """Smithy, restJson1 protocol: a body that cannot be parsed is a SerializationException."""
    refused(call(server, "POST", "/v1/describejobs", body, headers=JSON), code="SerializationException")


@pytest.mark.parametrize("body", [b"", b"[]", b'"text"', b"7"])
def test_other_json(server, body):
    """A body that is no JSON object; an empty one lacks the required member."""
    refused(call(server, "POST", "/v1/describejobs", body, headers=JSON))


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("describejobs", {"jobs": "not a list"}),
        ("describejobs", {"jobs": [7]}),
        ("describejobs", {"jobs": [None]}),
        ("describejobs", {"jobs": None}),
        ("describejobs", {}),
        ("listjobs", {"jobQueue": 7}),
        ("listjobs", {"jobQueue": "default", "maxResults": "many"}),
        ("listjobs", {"jobQueue": "default", "maxResults": 1.5}),
        ("listjobs", {"jobQueue": "default", "maxResults": 2**63}),
        ("listjobs", {"jobQueue": "default", "maxResults": 0}),
        ("listjobs", {"jobQueue": "default", "maxResults": -1}),
        ("listjobs", {"jobQueue": "default", "jobStatus": "SLEEPING"}),
        ("listjobs", {"jobQueue": "default", "filters": {"name": "JOB_NAME"}}),
        ("submitjob", {"jobName": "a", "jobQueue": "default"}),
        ("submitjob", {"jobName": ["a"], "jobQueue": "default", "jobDefinition": "x"}),
        ("submitjob", {"jobName": "a", "jobQueue": "default", "jobDefinition": "x", "parameters": {"a": 1}}),
        ("registerjobdefinition", {"jobDefinitionName": "a", "type": "sequence"}),
        ("registerjobdefinition", {"jobDefinitionName": "a"}),
        ("createjobqueue", {"jobQueueName": "a", "priority": True, "computeEnvironmentOrder": []}),
        ("createjobqueue", {"jobQueueName": "a", "priority": 2**31, "computeEnvironmentOrder": []}),
        ("terminatejob", {"jobId": "x"}),
        ("canceljob", {"reason": "x"}),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value)[:40],
)
def test_wrong_shapes(server, operation, body):
    """Wrong types, missing members, bad enums, numbers out of range."""
    refused(call(server, "POST", f"/v1/{operation}", json.dumps(body), headers=JSON))


def test_unknown_members_are_ignored(server):
    """A newer client may send members that this model does not know."""
    body = {"jobs": ["a"], "brandNew": {"deep": [1, 2, {"er": None}]}}
    answer = call(server, "POST", "/v1/describejobs", json.dumps(body), headers=JSON)
    assert (answer.status, answer.json) == (200, {"jobs": []}), answer


def test_null_is_absent(server):
    """A member that is null counts as not given."""
    body = {"jobQueue": "default", "jobStatus": None, "filters": None, "nextToken": None}
    assert call(server, "POST", "/v1/listjobs", json.dumps(body), headers=JSON).status == 200


def test_any_content_type(server):
    for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/json; charset=utf-8"}):
        answer = call(server, "POST", "/v1/describejobs", b'{"jobs":["a"]}', headers=headers)
        assert answer.status == 200, answer


def test_unknown_paths(server):
    """No such operation: an error with AWS's envelope."""
    for method, path in [
        ("POST", "/v1/nosuchoperation"), ("GET", "/v1/submitjob"), ("POST", "/v2/submitjob"), ("GET", "/"),
        ("PUT", "/v1/tags/x"), ("POST", "/v1/" + "x" * 2000), ("DELETE", "/%00%ff/../.."),
    ]:
        answer = call(server, method, path, b"{}" if method == "POST" else b"", headers=JSON)
        assert 400 <= answer.status < 500, (method, path, answer)
        assert answer.message, (method, path, answer)


def test_unknown_logs_target(server):
    """awsJson1.1: the operation is in a header."""
    for target in ("Logs_20140328.NoSuchOperation", "Nonsense", "", None):
        headers = {"Content-Type": "application/x-amz-json-1.1"} | ({"X-Amz-Target": target} if target else {})
        answer = call(server, "POST", "/", b"{}", service="logs", headers=headers)
        assert 400 <= answer.status < 500, (target, answer)


def test_body_too_large(server):
    """A body that announces more than the limit is refused before any of it has arrived."""
    head = raw(server, "POST", "/v1/describejobs", b"", JSON | {"Content-Length": 20_000_000})
    with connect(server) as connection:
        connection.sendall(head)
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_body_without_end(server):
    """Chunks that never stop are cut off at the limit."""
    host = urllib.parse.urlsplit(server.endpoint).netloc
    head = f"POST /v1/describejobs HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    assert converse(server, head + chunk * 400)[:10] in (b"HTTP/1.1 4", b"")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Large: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(10_000)) + b"\r\n",
        b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/listjobs HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/listjobs HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{}",
        b"POST /v1/listjobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"",
    ],
    ids=["header", "headers", "target", "words", "tls", "version", "negative", "short", "chunk", "nothing"],
)
def test_not_http(server, sent):
    """Bytes that are no proper request: an error of the 400s, or the connection ends."""
    answer = converse(server, sent)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:200]


def test_slow_clients_do_not_hold_up_others(server):
    """200 clients that stop in the middle of a request; everybody else is served at once."""
    halves = [connect(server) for _ in range(200)]
    try:
        for number, connection in enumerate(halves):
            head = b"POST /v1/listjobs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
            connection.sendall(head if number % 2 else head[:30])
        assert call(server, body=b'{"jobQueue":"default"}', headers=JSON).status == 200
    finally:
        for connection in halves:
            connection.close()


def test_a_client_that_leaves(server):
    """A client that closes before the answer costs nothing."""
    request = raw(server, *sign(server, body=b'{"jobQueue":"default"}', headers=JSON))
    for _ in range(50):
        with connect(server) as connection:
            connection.sendall(request)
    files = f"/proc/{server.process.pid}/fd"
    wait_for(lambda: len(os.listdir(files)), lambda count: count < 200)


def test_error_envelope(server):
    """API reference, Common errors: type in the header, message in the body, a request id."""
    answer = call(server, "POST", "/v1/describejobs", b"{}", headers=JSON)
    refused(answer)
    assert answer.headers["x-amzn-ErrorType"].startswith("ClientException")
    assert answer.headers["Content-Type"].startswith("application/json")
    logs = call(server, "POST", "/", b"{}", service="logs", headers={
        "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "Logs_20140328.GetLogEvents",
    })
    assert logs.status == 400 and logs.json["__type"].endswith("InvalidParameterException"), logs
    assert send(server, "POST", "/v1/describejobs", b"{}", JSON).json.get("message")
