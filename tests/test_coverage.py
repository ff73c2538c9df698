"""That the tests exercise all there is: every operation and enum value of the models, every known text of AWS Batch.

`coverage/texts.json` has the texts, each with where it was seen and the operation that answers it, or why none does.
`coverage/not_reachable.json` has what no request can reach, and why.

What was exercised is known at the end of a whole run only; of a part of the tests nothing can be said.
"""

import json
import pathlib
import re

import pytest

from conformance import CASES
from conformance.case import OBSERVED
from conformance.exercised import EXERCISED

FOLDER = pathlib.Path(__file__).parent
TEXTS = json.loads((FOLDER / "coverage" / "texts.json").read_text())
NOT_REACHABLE = json.loads((FOLDER / "coverage" / "not_reachable.json").read_text())


def pattern(text):
    """Matches `text` with anything in place of its placeholders."""
    return re.compile(".+".join(map(re.escape, re.split(r"\{\w+\}", text))), re.DOTALL)


@pytest.fixture
def whole_run(request):
    """Skips when only a part of the tests was run."""
    config, options = request.config, request.config.option
    missing = {path.name for path in FOLDER.glob("test_*.py")} - {item.path.name for item in request.session.items}
    chosen = options.keyword or options.markexpr or options.deselect or any("::" in name for name in config.args)
    if missing or chosen:
        pytest.skip(f"only a part of the tests was run: what it exercises says nothing ({len(missing)} files left out)")
    if request.session.testsfailed:
        pytest.skip("tests have failed: what was exercised is not known")


def left_out(wanted, seen, not_reachable):
    return sorted(wanted - seen - set(not_reachable))


def test_operations(whole_run):
    """Every operation of both models."""
    wanted = {name for model in EXERCISED.models.values() for name in model.operations}
    assert left_out(wanted, EXERCISED.operations, NOT_REACHABLE["operations"]) == []


def test_enum_values(whole_run):
    """Every value that a request can carry or an answer can show."""
    wanted = {
        (service, enum, value)
        for service, model in EXERCISED.models.items() for enum in model.used for value in model.enums[enum]
    }
    not_reachable = {tuple(name.split(".")) for name in NOT_REACHABLE["enum values"]}
    assert not_reachable <= wanted
    assert left_out(wanted, EXERCISED.values, not_reachable) == []


def test_texts(whole_run):
    """Every text, from the operation that the catalogue names; and none that it says cannot be reached."""

    def is_seen(entry):
        wanted, operation = pattern(entry["text"]), entry.get("reached by")
        return any(wanted.fullmatch(text) for by, text in EXERCISED.texts if operation in (None, by))

    texts = {entry["text"] for entry in TEXTS}
    not_reachable = {entry["text"] for entry in TEXTS if "not reachable because" in entry}
    seen = {entry["text"] for entry in TEXTS if is_seen(entry)}
    assert left_out(texts, seen, not_reachable) == []
    assert sorted(seen & not_reachable) == [], "these can be reached: say by which operation"


def test_every_text_says_how_it_is_reached():
    for entry in TEXTS:
        assert ("reached by" in entry) != ("not reachable because" in entry), entry
        assert entry["source"] and (entry.get("reached by") or entry["not reachable because"]), entry


def test_every_observed_text_is_in_the_catalogue():
    known = [pattern(entry["text"]) for entry in TEXTS]
    observed = {case.text for case in CASES if case.text and case.source == OBSERVED}
    assert sorted(text for text in observed if not any(one.fullmatch(text) for one in known)) == []
