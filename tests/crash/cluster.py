"""What is killed: server and node, as one `fornada up` or as two commands that an operator keeps running."""

import contextlib
import glob
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess
import time

from server import Server, wait_for


def free_port():
    """A port below those that connections of this machine are given, so that it stays free between two starts."""
    for port in range(20000 + os.getpid() % 5000, 32000):
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def has_threads(pid):
    """Whether anything of a process may still run; its own entry stays until somebody has taken notice of its end."""
    with contextlib.suppress(OSError):
        tasks = list(pathlib.Path(f"/proc/{pid}/task").glob("*/stat"))
        return any(") Z " not in task.read_text() for task in tasks)
    return False


class Cluster(Server):
    """A server that always comes back at the same address, and its node, started by `up` or (`apart`) by itself."""

    def __init__(self, journal, apart):
        super().__init__(capacity="vcpus=64,memory=65536")
        self.journal = journal(self.root / "journal")
        self.is_apart = apart
        self.listen = f"127.0.0.1:{free_port()}"
        self.endpoint = f"http://{self.listen}"
        (self.root / "locks").mkdir()
        (self.root / "tmp").mkdir()  # where jobs work
        self.environment |= {"TMPDIR": str(self.root / "tmp")}
        self.node = None  # the process, when it is our own
        self.launched_at = None  # when the server was started, until it is ready
        self.node_was_killed = False  # since then
        self.times_to_ready = []
        self.kills = {"server": 0, "node": 0, "both": 0}
        if apart:
            self.command, self.node_options, self.options = "server", self.options, []

    def launch(self):
        self.launched_at = time.monotonic()
        self.node_was_killed = False
        super().launch()

    def launch_node(self):
        """Starts a node of our own."""
        with open(self.root / "stderr", "ab") as errors:
            self.node = subprocess.Popen(
                [self.binary, "node", "--data-dir", self.data_dir, *self.node_options],
                stdout=errors, stderr=errors, env=self.environment, start_new_session=True,
            )

    def launch_all(self):
        self.launch()
        if self.is_apart:
            self.launch_node()

    def await_ready(self, seconds=30):
        """Returns when the server answers, at once if it has been seen to."""
        if self.launched_at is None:
            return self
        try:
            super().await_ready(seconds)
        except AssertionError:
            if not self._launch_again():
                raise
            super().await_ready(seconds)
        self.times_to_ready.append(time.monotonic() - self.launched_at)
        self.launched_at = None
        return self

    def _launch_again(self):
        """`up` whose node was killed before it accepted a connection says so and ends: a service manager starts it again."""
        has_ended = self.process.poll() is not None and self.node_was_killed
        if has_ended:
            self.launch()
        return has_ended

    def kill_server(self):
        """SIGKILL to the server alone."""
        self.journal.note("kill server")
        self.kill()
        self.kills["server"] += 1

    def kill_the_node(self):
        """SIGKILL to the node alone: what it runs is left to the kernel and to the next node."""
        self._kill_node(self.living_node())
        self.kills["node"] += 1

    def kill_both(self, node_first):
        """SIGKILL to one and at once to the other."""
        pid = self.living_node()
        kills = [lambda: self._kill_node(pid), self.kill]
        for kill in kills if node_first else reversed(kills):
            kill()
        self.kills["both"] += 1

    def _kill_node(self, pid):
        self.node_was_killed = True
        self.journal.note("kill node")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if self.is_apart:
            self.node.wait()
        else:
            wait_for(lambda: has_threads(pid), lambda lives: not lives)
        self.journal.note("killed node")

    def living_node(self):
        """The node's process id, as soon as there is one: `up` waits a second before it starts the third."""
        if self.is_apart:
            return self.node.pid

        def look():
            self._launch_again()
            with contextlib.suppress(OSError, ValueError):
                pid = self.node_pid()
                return pid if self._is_node(pid) else None

        return wait_for(look, bool)

    def _is_node(self, pid):
        """Whether the process is our node, and not a later one with the same number."""
        with contextlib.suppress(OSError):
            return str(self.data_dir).encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        return False

    def leave(self):
        """Ends everything in good order; what is left over, as sentences."""
        faults = []
        self.await_ready()
        if self.is_apart:
            self.node.terminate()
            if code := self.node.wait(30):
                faults.append(f"the node exited with {code} after SIGTERM")
        if code := self.stop():
            faults.append(f"the server exited with {code} after SIGTERM")
        with contextlib.suppress(AssertionError):
            wait_for(lambda: list(self._processes()), lambda left: not left, 10)
        for pid in self._processes():
            with contextlib.suppress(OSError):
                faults.append(f"process {pid} is left: {pathlib.Path(f'/proc/{pid}/cmdline').read_bytes()!r}")
        instance = (self.data_dir / "node" / "instance").read_text().strip()
        left = [
            *(self.data_dir / "node").glob("node.[ps]*"), *(self.data_dir / "node" / "attempts").iterdir(),
            *self.data_dir.glob("server.json"), *(self.root / "tmp").iterdir(),
            *glob.glob(f"/sys/fs/cgroup/**/fornada-{instance}", recursive=True),
        ]
        faults += [f"{path} is left" for path in left]
        with contextlib.closing(sqlite3.connect(self.data_dir / "store.db")) as database:
            [(answer,)] = database.execute("PRAGMA integrity_check")
        if answer != "ok":
            faults.append(f"store.db: {answer}")
        if "panicked" in (said := self.said()):
            faults.append("a panic: " + said[said.index("panicked"):][:500])
        return faults

    def remove(self):
        if self.node and self.node.poll() is None:
            self.node.kill()
            self.node.wait()
        super().remove()
        self.journal.close()
