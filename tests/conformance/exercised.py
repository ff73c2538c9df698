"""What a run of the tests has asked and seen: operations, enum values, and the texts of refusals and reasons.

What must hold: only what went over the wire counts. boto3's calls are seen where botocore makes them, the signed
requests of `signing` where they are sent; requests of other programs (the aws CLI, Node.js) are not seen.
"""

import functools
import json
import pathlib
import re

import botocore.client

import signing

from .case import detail

MODELS = pathlib.Path(__file__).parents[2] / "model"
#: Members whose text clients match.
TEXTS = ("message", "reason", "statusReason")


class Model:
    """A service's operations and shapes."""

    def __init__(self, name):
        model = json.loads((MODELS / f"{name}.json").read_text())
        self.shapes, self.operations = model["shapes"], model["operations"]
        self.enums = {name: shape["enum"] for name, shape in self.shapes.items() if "enum" in shape}
        self.used = {name for name in self._reached() if name in self.enums}

    def _reached(self):
        """The shapes that requests and answers can have."""
        reached, left = set(), [
            operation[side]["shape"] for operation in self.operations.values() for side in ("input", "output")
            if side in operation
        ]
        while left:
            name = left.pop()
            if name not in reached:
                reached.add(name)
                shape = self.shapes[name]
                within = [shape[key] for key in ("member", "key", "value") if key in shape]
                left += [member["shape"] for member in [*shape.get("members", {}).values(), *within]]
        return reached

    def found(self, shape_name, value):
        """What `value` of that shape says: pairs of an enum and a value, and of a member of `TEXTS` and a text."""
        shape = self.shapes[shape_name]
        if isinstance(value, str) and value in shape.get("enum", ()):
            yield shape_name, value
        elif isinstance(value, dict) and "members" in shape:
            for name, member in shape["members"].items():
                if name in TEXTS and isinstance(value.get(name), str):
                    yield name, value[name]
                if name in value:
                    yield from self.found(member["shape"], value[name])
        elif isinstance(value, (list, tuple)) and "member" in shape:
            for item in value:
                yield from self.found(shape["member"]["shape"], item)
        elif isinstance(value, dict) and "value" in shape:
            for item in value.values():
                yield from self.found(shape["value"]["shape"], item)

    def operation_at(self, method, path):
        """The operation of a request by path; `None`: there is none."""
        for name, operation in self.operations.items():
            pattern = re.sub(r"\{\w+\}", ".+", operation["http"]["requestUri"])
            if (operation["http"]["method"], bool(re.fullmatch(pattern, path))) == (method, True):
                return name
        return None


class Exercised:
    """What was seen so far."""

    def __init__(self):
        self.models = {name: Model(name) for name in ("batch", "logs")}
        self.operations, self.values, self.texts = set(), set(), set()

    def saw(self, service, operation, request, answer=None, message=None):
        """A request, and its answer or the message with which it was refused."""
        model = self.models[service]
        self.operations.add(operation)
        members = model.operations[operation]
        for side, value in (("input", request), ("output", answer)):
            shape = members.get(side, {}).get("shape")
            for name, text in model.found(shape, value) if shape else ():
                if name in model.enums:
                    self.values.add((service, name, text))
                elif side == "output":
                    self.texts.add((operation, text))
        if message:
            self.texts.add((operation, detail(message)))

    def watch(self):
        """Looks at every request of this process from now on."""
        call, send = botocore.client.BaseClient._make_api_call, signing.send

        @functools.wraps(call)
        def watched_call(client, operation, request):
            service = client.meta.service_model.service_name
            try:
                answer = call(client, operation, request)
            except client.exceptions.ClientError as error:
                self.saw(service, operation, request, message=error.response["Error"].get("Message"))
                raise
            self.saw(service, operation, request, answer)
            return answer

        @functools.wraps(send)
        def watched_send(server, method, target, body, headers):
            answer = send(server, method, target, body, headers)
            self.saw_raw(method, target, body, headers, answer)
            return answer

        botocore.client.BaseClient._make_api_call, signing.send = watched_call, watched_send

    def saw_raw(self, method, target, body, headers, answer):
        """A request of `signing`; what is no request of an operation is not looked at."""
        named = {name.lower(): value for name, value in headers.items()}.get("x-amz-target")
        service = "logs" if named else "batch"
        model = self.models[service]
        operation = named.rsplit(".", 1)[-1] if named else model.operation_at(method, target.split("?")[0])
        try:
            request, said = json.loads(body or b"{}"), answer.json
        except (ValueError, RecursionError):
            return
        if operation in model.operations and isinstance(said, dict):
            if answer.status < 400:
                self.saw(service, operation, request, said)
            else:
                self.saw(service, operation, request, message=answer.message)


EXERCISED = Exercised()
