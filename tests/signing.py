"""Requests below the SDKs: signed by botocore's own signer, sent with `http.client`, answers as they are."""

import datetime
import http.client
import json
import urllib.parse
from unittest import mock

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from server import REGION


class Answer:
    """An HTTP answer: status, headers and body."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def code(self):
        """The error code, as SDKs find it: from the header or from the body, without namespace and address."""
        named = self.headers.get("x-amzn-ErrorType") or self.json.get("__type") or self.json.get("code") or ""
        return named.split(":")[0].split("#")[-1]

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def message(self):
        return self.json.get("message") or self.json.get("Message")

    def __repr__(self):
        return f"<{self.status} {self.code if self.status >= 400 else ''} {self.body[:500]!r}>"


def sign(
    server, method="POST", path="/v1/listjobs", body=b"{}", *, service="batch", region=REGION, presign=False,
    access_key=None, secret=None, token=None, at=None, headers=(), payload_hash=None,
):
    """Signs a request as the AWS SDKs do and returns (method, path and query, body, headers)."""
    key = server.keys()[0]
    credentials = Credentials(access_key or key["accessKeyId"], secret or key["secretAccessKey"], token)
    body = body.encode() if isinstance(body, str) else body
    request = AWSRequest(method, server.endpoint + path, headers=dict(headers), data=body)
    if payload_hash:
        request.headers["X-Amz-Content-SHA256"] = payload_hash
    signer = botocore.auth.SigV4QueryAuth if presign else botocore.auth.SigV4Auth
    now = at or datetime.datetime.now(datetime.timezone.utc)
    with mock.patch("botocore.auth.get_current_datetime", lambda **_: now):
        signer(credentials, service, region).add_auth(request)
    url = urllib.parse.urlsplit(request.url)
    return method, url.path + (f"?{url.query}" if url.query else ""), body, dict(request.headers)


def send(server, method, target, body, headers):
    """Sends a request and returns the answer."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.endpoint).netloc, timeout=20)
    try:
        connection.request(method, target, body, headers)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def call(server, *arguments, **members):
    """Signs and sends."""
    return send(server, *sign(server, *arguments, **members))
