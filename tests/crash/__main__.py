"""`python -m crash --kills 2000`: lives of young and old data directories until there were so many kills, and a summary."""

import argparse
import collections
import os
import random
import statistics
import subprocess
import sys
import time

from .life import Life

# Kills in the life of one data directory.
AGES = (5, 20, 60, 120)


def main():
    parser = argparse.ArgumentParser(prog="crash")
    parser.add_argument("--kills", type=int, default=2000)
    parser.add_argument("--seed", default=os.environ.get("FORNADA_SEED") or str(random.SystemRandom().randrange(10**6)))
    arguments = parser.parse_args()
    chance, begun = random.Random(arguments.seed), time.monotonic()
    kills, total, ready = collections.Counter(), collections.Counter(), []
    print(f"FORNADA_SEED={arguments.seed}", flush=True)
    while kills.total() < arguments.kills:
        life = Life(
            seed=f"{arguments.seed}/{total['lives']}",
            kills=min(chance.choice(AGES), arguments.kills - kills.total()),
            is_apart=chance.random() < 0.4,
            targets=("server",) if chance.random() < 0.2 else ("server", "server", "node", "both"),
        )
        try:
            faults = life.run()
            if faults:
                return failed(life, faults)
        except BaseException as error:
            failed(life, [repr(error)])
            raise
        finally:
            life.cluster.remove()
        kills.update(life.cluster.kills)
        total.update(lives=1, jobs=life.jobs, attempts=life.attempts)
        ready += life.cluster.times_to_ready
        print(f"{kills.total():6} kills, {total['lives']} data directories, {time.monotonic() - begun:.0f} s", flush=True)
    print(
        f"{kills.total()} kills (server {kills['server']}, node {kills['node']}, both {kills['both']}) of {total['lives']} data "
        f"directories in {time.monotonic() - begun:.0f} s: {total['jobs']} jobs, {total['attempts']} attempts, nothing lost, "
        f"nothing run twice\n{len(ready)} starts: ready after {statistics.median(ready) * 1000:.0f} ms (median), "
        f"{max(ready) * 1000:.0f} ms (longest)"
    )
    return 0


def failed(life, faults):
    """Says what did not hold, and keeps the data directory."""
    kept = f"{life.cluster.root}-kept"
    subprocess.run(["cp", "-a", life.cluster.root, kept], check=False)
    print(f"seed {life.seed}, directory kept in {kept}:", *faults[:50], f"({len(faults)} faults)", sep="\n  ", flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
