"""Signatures. Source: AWS IAM User Guide, AWS Signature Version 4 for API requests."""

import datetime
import os
import subprocess

import pytest

from server import ARN, binary
from signing import call, send, sign

JSON = {"Content-Type": "application/json"}
LOGS = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "Logs_20140328.DescribeLogGroups"}
TAGS = f"/v1/tags/{ARN}job-queue/default".replace(":", "%3A")
LIST = b'{"jobQueue":"default"}'


def minutes_ago(minutes):
    return datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=minutes)


def forbidden(answer, code):
    assert (answer.status, answer.code) == (403, code), answer
    assert answer.message and answer.headers["x-amzn-RequestId"], answer
    return answer


@pytest.mark.parametrize(
    ("method", "path", "body", "members"),
    [
        ("POST", "/v1/listjobs", LIST, {"headers": JSON}),
        ("GET", TAGS, b"", {}),
        ("GET", TAGS, b"", {"presign": True}),
        ("POST", "/v1/listjobs", LIST, {"payload_hash": "UNSIGNED-PAYLOAD"}),
        ("POST", "/", b"{}", {"service": "logs", "headers": LOGS}),
        ("POST", "/v1/listjobs", LIST, {"at": minutes_ago(4)}),
        ("POST", "/v1/listjobs", LIST, {"at": minutes_ago(-4)}),
    ],
    ids=["batch", "get", "presigned", "unsigned-payload", "logs", "slow-clock", "fast-clock"],
)
def test_accepted(server, method, path, body, members):
    """Signature in the header and in the query; the payload's hash signed or not; clocks a few minutes apart."""
    answer = call(server, method, path, body, **members)
    assert answer.status == 200, answer
    assert answer.headers["x-amzn-RequestId"]


def test_unsigned(server):
    answer = send(server, "POST", "/v1/listjobs", LIST, JSON)
    forbidden(answer, "MissingAuthenticationTokenException")
    assert answer.message == "Missing Authentication Token"
    forbidden(send(server, "POST", "/", b"{}", LOGS), "MissingAuthenticationTokenException")


def test_wrong_secret(server):
    answer = forbidden(call(server, body=LIST, secret="0" * 40), "InvalidSignatureException")
    assert answer.message.startswith("The request signature we calculated does not match the signature you provided.")
    forbidden(call(server, "GET", TAGS, b"", presign=True, secret="0" * 40), "InvalidSignatureException")


def test_unknown_key(server):
    answer = forbidden(call(server, body=LIST, access_key="AKIA0000000000000000"), "UnrecognizedClientException")
    assert answer.message == "The security token included in the request is invalid."


def test_unknown_session_token(server):
    forbidden(call(server, body=LIST, token="a token of elsewhere"), "UnrecognizedClientException")


@pytest.mark.parametrize("minutes", [20, -20, 60 * 24 * 365], ids=["old", "future", "last-year"])
def test_stale(server, minutes):
    answer = forbidden(call(server, body=LIST, at=minutes_ago(minutes)), "InvalidSignatureException")
    assert answer.message.startswith("Signature expired: " if minutes > 0 else "Signature not yet current: ")


def test_presigned_expires(server):
    forbidden(call(server, "GET", TAGS, b"", presign=True, at=minutes_ago(61)), "InvalidSignatureException")


def test_changed_after_signing(server):
    """Whatever is signed cannot be changed: body, path, query, signed headers."""
    method, path, body, headers = sign(server, body=LIST, headers=JSON)
    for changed in (
        (method, path, LIST.replace(b"default", b"another"), headers),
        (method, "/v1/describejobs", body, headers),
        (method, path + "?a=b", body, headers),
        (method, path, body, headers | {"Content-Type": "text/plain"}),
        (method, path, body, headers | {"Host": "elsewhere.example.com"}),
    ):
        forbidden(send(server, *changed), "InvalidSignatureException")


@pytest.mark.parametrize(
    "authorization",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=",
        "AWS4-HMAC-SHA256 Credential=AKIA/20261121/us-east-1/batch/aws4_request, SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/e/f, SignedHeaders=;;;, Signature=zz",
        "Basic dXNlcjpwYXNzd29yZA==",
        "AWS4-HMAC-SHA512 Credential=x",
    ],
)
def test_malformed(server, authorization):
    answer = send(server, "POST", "/v1/listjobs", LIST, JSON | {"Authorization": authorization})
    assert answer.status == 403, answer
    assert answer.code in (
        "IncompleteSignatureException", "MissingAuthenticationTokenException", "UnrecognizedClientException"
    )


def test_health_needs_no_signature(server):
    for path in ("/healthz", "/readyz", "/metrics"):
        answer = send(server, "GET", path, b"", {})
        assert answer.status == 200, answer


def test_auth_none(own_server, tmp_path):
    """`--auth none` takes any credentials, and is refused on an address that others can reach."""
    server = own_server("--auth", "none").start()
    assert call(server, body=LIST, access_key="anyone", secret="anything").status == 200

    open_to_all = subprocess.run(
        [binary(), "up", "--data-dir", tmp_path / "data", "--listen", "0.0.0.0:0", "--auth", "none"],
        capture_output=True, text=True, timeout=20, env=os.environ,
    )
    assert open_to_all.returncode == 1
    assert open_to_all.stderr.strip()
