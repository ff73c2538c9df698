"""SIGKILL at random moments under load: `make crash` for half a minute; it runs the same for as long as one likes."""

import os
import random

import pytest

from crash.life import Life


@pytest.mark.parametrize("is_apart", [False, True], ids=["up", "server and node"])
def test_kill_at_random(is_apart):
    """Nothing acknowledged is lost, nothing runs twice, every log is whole, and in the end nothing is left over."""
    seed = os.environ.get("FORNADA_SEED") or str(random.SystemRandom().randrange(10**6))
    print(f"FORNADA_SEED={seed}")  # shown when it fails; kills fall at about the same moments again
    life = Life(seed, kills=10, is_apart=is_apart)
    try:
        faults = life.run()
        assert not faults, "\n".join(faults[:50])
    finally:
        life.cluster.remove()
