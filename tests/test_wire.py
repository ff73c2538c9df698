"""The wire, byte for byte: each file below `golden/` is one request and the whole answer to it.

A case is `golden/<Operation>/<what it shows>.json`:

- `about`: what it shows, and the document that says so
- `given`: requests that come before, or names of such lists in `golden/given.json`. `keep` names members of an answer
  for later use, `until` repeats a request until members of its answer have these values.
- `request`: the line, the headers (none: content-type application/json) and the body. A body that is text is sent as it
  is, any other as compact JSON, padded with spaces to `pad` bytes. `sign` changes how the request is signed, in the
  arguments of `signing.sign`; null leaves it unsigned.
- `response`: status, the headers that matter, and the body. A JSON body is written here with line breaks, but it is the
  answer's very bytes, order and spelling of numbers included; whatever is not compact JSON is written as text.

Each case has a region to itself, which begins empty. What differs from run to run is written as a placeholder:
`<region>`, `<account>`, `<key>`, `<time>`, `<job>` and whatever else the case keeps. Placeholders work in requests, too.

`FORNADA_GOLDEN=write` writes the answers of this build into the files, instead of comparing. Read what it wrote
before you believe it: the files say what AWS does, not what Fornada happens to do.
"""

import datetime
import functools
import itertools
import json
import os
import pathlib
import re
import urllib.parse

import pytest

from server import ACCOUNT, Server, wait_for
from signing import send, sign

ROOT = pathlib.Path(__file__).parent
GOLDEN = ROOT / "golden"
CASES = sorted(GOLDEN.glob("*/*.json"))
GIVEN = json.loads((GOLDEN / "given.json").read_text())
HEADERS = ("content-type", "x-amzn-errortype", "x-amzn-requestid")

# In the order in which they are looked for.
VARYING = (
    ("waiting", r'(?<="statusReason":")Waiting (?:[^"\\]|\\.)*'),
    ("digits", r"(?<=[fb]/)\d{56}(?=/s)|(?<!\d)\d{56}(?!\d)"),
    ("uuid", r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    ("hex", r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])"),
    ("token", r'(?<="nextToken":")[^"<]+(?=")'),
    ("moment", r"\d{8}T\d{6}Z"),
    ("instance", r'(?<=")i-[0-9a-f]{17}(?=")'),
    ("address", r'(?<=")127\.\d+\.\d+\.\d+(?=")'),
)
TIME = re.compile(r"(?<=:)1[0-9]{12}(?=[,}])")


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def pretty(value, indent=""):
    """JSON for people: what fits on a line stays on one."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or len(indent) + len(flat) <= 110:
        return flat
    within = indent + "  "
    if isinstance(value, dict):
        items = [f"{json.dumps(name)}: {pretty(item, within)}" for name, item in value.items()]
    else:
        items = [pretty(item, within) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{within}" + f",\n{within}".join(items) + f"\n{indent}{closing}"


def member(answer, path):
    """`jobs.0.status` of an answer; None where there is nothing."""
    for step in path.split("."):
        try:
            answer = answer[int(step)] if isinstance(answer, list) else answer[step]
        except (KeyError, IndexError, TypeError):
            return None
    return answer


class Conversation:
    """The requests of one case, in a region of its own."""

    def __init__(self, server, region):
        self.server = server
        self.region = region
        self.known = {
            "region": region,
            "account": ACCOUNT,
            "key": server.keys()[0]["accessKeyId"],
            "host": urllib.parse.urlsplit(server.endpoint).netloc,
        }

    def prepare(self, steps):
        for step in steps:
            if isinstance(step, str):
                self.prepare(GIVEN[step])
                continue
            answer = wait_for(lambda: self.ask(step), functools.partial(self.is_done, step))
            for name, path in step.get("keep", {}).items():
                self.known[name] = member(answer.json, path)
                assert self.known[name], (path, answer)

    @staticmethod
    def is_done(step, answer):
        assert answer.status == 200, (step, answer)
        return all(member(answer.json, path) == value for path, value in step.get("until", {}).items())

    def ask(self, request):
        method, path = self.filled(request["line"]).split(" ", 1)
        body = request.get("body", "")
        body = self.filled(body if isinstance(body, str) else compact(body)).ljust(request.get("pad", 0))
        headers = request.get("headers", {"Content-Type": "application/json"})
        how = request.get("sign", {})
        if how is None:
            return send(self.server, method, path, body.encode(), headers)
        how = {name: self.filled(value) if isinstance(value, str) else value for name, value in how.items()}
        if minutes := how.pop("minutes_ago", None):
            how["at"] = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=minutes)
        is_logs = any(name.lower() == "x-amz-target" for name in headers)
        how = {"service": "logs" if is_logs else "batch", "region": self.region} | how
        return send(self.server, *sign(self.server, method, path, body, headers=headers, **how))

    def filled(self, text):
        """`text` with the values of what is known in place of its placeholders."""
        return re.sub(r"<([a-z-]+)>", lambda found: self.known.get(found[1], found[0]), text)

    def recorded(self, answer):
        """An answer as it stands in a file."""
        headers = {name: answer.headers[name] for name in HEADERS if name in answer.headers}
        self.known["request-id"] = headers.get("x-amzn-requestid", "")
        headers = {name: self.normal(value) for name, value in headers.items()}
        return {"status": answer.status, "headers": headers, "body": readable(self.normal(answer.body.decode()))}

    def normal(self, text):
        """`text` with placeholders for what differs from run to run."""
        for name, value in sorted(self.known.items(), key=lambda item: -len(item[1])):
            if value:
                text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", f"<{name}>", text)
        text = TIME.sub('"<time>"', text)
        for name, pattern in VARYING:
            found = {}
            text = re.sub(pattern, lambda m: found.setdefault(m[0], f"<{name}-{len(found) + 1}>"), text)  # noqa: B023
        return text


def readable(text):
    """The JSON value of which `text` is the compact form; otherwise `text`."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if compact(value) == text else text


@pytest.fixture(scope="module")
def wide_server():
    """A server with room for the jobs of all cases."""
    server = Server(capacity="vcpus=1000,memory=1000000")
    try:
        yield server.start()
    finally:
        server.remove()


NUMBERS = itertools.count(1)


@pytest.mark.parametrize("path", CASES, ids=lambda path: str(path.relative_to(GOLDEN).with_suffix("")))
def test_wire(wide_server, path):
    """The answer is the one in the file."""
    case = json.loads(path.read_text())
    conversation = Conversation(wide_server, f"golden-{next(NUMBERS):05}")
    conversation.prepare(case.get("given", []))
    got = conversation.recorded(conversation.ask(case["request"]))
    if os.environ.get("FORNADA_GOLDEN") == "write":
        path.write_text(pretty(case | {"response": got}) + "\n")
    else:
        assert pretty(got) == pretty(case.get("response"))


def test_every_operation_has_cases():
    """Of each operation that is supported, an answer and an error."""
    unsupported = (ROOT.parent / "docs" / "unsupported-operations.md").read_text()
    missing = set()
    for service in ("batch", "logs"):
        for operation in json.loads((ROOT.parent / "model" / f"{service}.json").read_text())["operations"]:
            if f"- `{operation}`" not in unsupported:
                missing |= {(operation, kind) for kind in ("success", "error")}
    # It answers with a stream that has no end.
    missing.discard(("StartLiveTail", "success"))
    for path in CASES:
        kind = "success" if json.loads(path.read_text())["response"]["status"] == 200 else "error"
        missing.discard((path.parent.name, kind))
    assert not missing, f"without a case in tests/golden: {sorted(missing)}"
