"""Fixtures of the black-box tests: servers, gates and the expected refusal."""

import contextlib
import itertools

import pytest
from botocore.exceptions import ClientError

from conformance.exercised import EXERCISED
from server import Gate, Server, binary

EXERCISED.watch()  # before the test modules import what is watched


def pytest_sessionstart(session):
    if not session.config.option.collectonly and not binary().exists():
        pytest.exit(f"{binary()} does not exist: build it, or set FORNADA_BIN", returncode=2)


def pytest_collection_modifyitems(items):
    """What the whole run has exercised is looked at last."""
    items.sort(key=lambda item: item.path.stem == "test_coverage")


@pytest.fixture(scope="module")
def server():
    """One running server, shared by the tests of a module."""
    server = Server()
    try:
        yield server.start()
    finally:
        server.remove()


@pytest.fixture
def own_server():
    """Makes servers for one test alone, not yet started."""
    with contextlib.ExitStack() as stack:

        def make(*options, **settings):
            server = Server(*options, **settings)
            stack.callback(server.remove)
            return server

        yield make


@pytest.fixture
def gate(tmp_path):
    """Makes gates that hold jobs."""
    with contextlib.ExitStack() as stack:
        numbers = itertools.count()

        def make():
            gate = Gate(tmp_path / f"gate-{next(numbers)}")
            stack.callback(gate.close)
            return gate

        yield make


@pytest.fixture
def refused():
    """A context in which a call must be refused with ClientException (400) and a message that contains `text`."""

    @contextlib.contextmanager
    def expect(text="", code="ClientException", status=400):
        with pytest.raises(ClientError) as raised:
            yield
        answer = raised.value.response
        assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, status), answer
        assert answer["Error"]["Message"], answer
        assert text in answer["Error"]["Message"]

    return expect
