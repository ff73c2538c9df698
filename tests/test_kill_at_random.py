"""SIGKILL at random moments under load: `make crash` for some seconds; it runs the same for as long as one likes."""

import dataclasses
import os
import random

import pytest

from crash.check import Check
from crash.life import Life


@pytest.fixture
def live():
    lives = []

    def make(**settings):
        seed = os.environ.get("FORNADA_SEED") or str(random.SystemRandom().randrange(10**6))
        print(f"FORNADA_SEED={seed}")  # shown when it fails; kills fall at about the same moments again
        lives.append(Life(seed, **settings))
        return lives[-1]

    yield make
    for life in lives:
        life.cluster.remove()


@pytest.mark.parametrize("is_apart", [False, True], ids=["up", "server and node"])
def test_kill_at_random(live, is_apart):
    """Nothing acknowledged is lost, nothing runs twice, every log is whole, and in the end nothing is left over."""
    faults = live(kills=10, is_apart=is_apart).run()
    assert not faults, "\n".join(faults[:50])


def test_what_the_checks_see(live):
    """The same checks, of a journal and of submissions that are not what happened: each is noticed."""
    life = live(kills=3, is_apart=False, targets=("node",))
    clients, listed = life.live()
    journal = life.cluster.journal.path
    lines = journal.read_text().splitlines(keepends=True)

    def faults(changed=lines, **members):
        journal.write_text("".join(changed))
        kept = {name: getattr(clients, name) for name in members}
        vars(clients).update(members)
        try:
            return " ".join(Check(life.cluster, clients, listed).all())
        finally:
            vars(clients).update(kept)

    assert faults() == ""
    ended = {line.split()[1] for line in lines if line.startswith("terminal")}
    begin = next(line for line in lines if line.startswith("begin") and line.split()[1] in ended)
    end = next(line for line in reversed(lines) if line.startswith("end") and line.split()[1] in ended)
    at = lines.index(begin)
    assert "began 2 times" in faults([*lines[:at], begin, *lines[at:]])
    assert "after the job was seen to have ended" in faults([*lines[:at], *lines[at + 1:], begin])
    assert "ended at []" in faults([line for line in lines if line != end])
    assert "no node had been killed" in faults([line for line in lines if not line.startswith("kill")])
    assert "overlap" in faults([*lines, begin.replace("begin", "overlap")])
    later = next(job for job, name in listed.items() if clients.requests[name].depends_on and f"begin {job}" in "".join(lines))
    early = next(line for line in lines if line.startswith(f"begin {later}"))
    assert "had ended well" in faults([early, *(line for line in lines if line != early)])
    [job, name] = next((job, name) for job, name in clients.acknowledged.items() if name.startswith("quick"))
    assert "is gone" in faults(acknowledged=clients.acknowledged | {"no-such-job": name})
    assert "and is now" in faults(ended=clients.ended | {job: "FAILED"})
    request = clients.requests[name]
    longer = dataclasses.replace(request, kind=dataclasses.replace(request.kind, lines=request.kind.lines + 1))
    assert "lines of" in faults(requests=clients.requests | {name: longer})
    other = dataclasses.replace(request, kind=dataclasses.replace(request.kind, later=9, first=9))
    assert "is SUCCEEDED" in faults(requests=clients.requests | {name: other})
