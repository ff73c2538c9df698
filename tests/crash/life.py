"""One data directory from its first start to its last, with kills in between."""

import random
import time

from .check import Check
from .clients import Clients
from .cluster import Cluster
from .journal import Journal


class Life:
    """Runs a cluster under load and kills it; `faults` says what did not hold."""

    def __init__(self, seed, kills, is_apart, targets=("server", "server", "node", "both")):
        self.chance = random.Random(seed)
        self.seed, self.count, self.targets = seed, kills, targets
        self.cluster = Cluster(Journal, is_apart)
        self.jobs = self.attempts = 0

    def run(self):
        """Lives it and returns the faults."""
        clients, listed = self.live()
        check = Check(self.cluster, clients, listed)
        faults = check.all()
        self.jobs, self.attempts = len(listed), check.attempts
        return faults + self.cluster.leave()

    def live(self):
        """Until all jobs have ended: who submitted them, and the list of them."""
        self.cluster.launch_all()
        self.cluster.await_ready()
        clients = Clients(self.cluster, self.seed)
        try:
            for _ in range(self.count):
                self._wait()
                self._kill()
            self.cluster.await_ready()
            return clients, clients.finish()
        finally:
            clients.abandon()

    def _wait(self):
        """Until a moment in the start, or one when it has been ready for a while."""
        if self.chance.random() < 0.25:
            time.sleep(self.chance.uniform(0, 0.1))
        else:
            self.cluster.await_ready()
            time.sleep(self.chance.uniform(0, 0.6))

    def _kill(self):
        cluster = self.cluster
        match self.chance.choice(self.targets):
            case "server":
                cluster.kill_server()
                cluster.launch()
            case "node":
                cluster.kill_the_node()
                if cluster.is_apart:
                    cluster.launch_node()
            case "both":
                cluster.kill_both(node_first=self.chance.random() < 0.5)
                cluster.launch_all()
