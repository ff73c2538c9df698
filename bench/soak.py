"""Short jobs by the ten thousand a minute, for as long as one likes, and what the server and its node hold on to meanwhile.

    soak.py BINARY [--minutes 60] [--jobs-a-minute 10000] [--json FILE] [-- SERVER ARGUMENTS]

Arrays and single jobs, some of which fail and are tried again, go to the queue `default`. Every 30 s, memory, open files,
cgroups, directories, zombies and the size of what is stored are written down, and probes in a queue of their own measure how
long a job takes from SubmitJob to SUCCEEDED. At the end stand the medians of the first and the last quarter side by side:
what grows though the load stays the same, leaks. Exits with 1 if something does.
"""

import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from client import Connection, request  # noqa: E402
from server import Server  # noqa: E402

SAMPLE_SECONDS = 30
PROBES_A_SAMPLE = 10
PROBE_SECONDS = 60
CHILDREN = 100
# A signature holds for five minutes.
SIGN_SECONDS = 120
# More waiting jobs than come in this time: the machine does not keep up, and the load pauses until it does.
BEHIND_SECONDS = 60
CAPACITY = "vcpus=16,memory=65536"
# Of the jobs, this share is children of arrays; the rest are single jobs, and of each ten of those one fails.
ARRAY_SHARE = 0.6


class Signed:
    """A request that is signed anew from time to time."""

    def __init__(self, server, operation, body):
        self.make = lambda: request(server, operation, body)
        self.bytes, self.since = self.make(), time.monotonic()

    def __bytes__(self):
        if time.monotonic() - self.since > SIGN_SECONDS:
            self.bytes, self.since = self.make(), time.monotonic()
        return self.bytes


def submission(server, definition, queue="default", **members):
    body = {"jobName": "soak", "jobQueue": queue, "jobDefinition": definition} | members
    return Signed(server, "SubmitJob", body)


class Load(threading.Thread):
    """Submits at a constant rate."""

    def __init__(self, server, jobs_a_minute, stopped):
        super().__init__(daemon=True)
        self.server, self.rate, self.stopped = server, jobs_a_minute / 60, stopped
        self.submitted = self.waiting = 0
        self.paused_seconds = 0.0
        self.failure = None
        # The server counts an array once.
        self.most_waiting = self.rate * BEHIND_SECONDS * (1 - ARRAY_SHARE + ARRAY_SHARE / CHILDREN)
        definition = server.define("soak", ["sh", "-c", "echo a line of output"], memory=16)
        failing = server.define("soak-fails", ["false"], memory=16)
        self.single = submission(server, definition)
        self.array = submission(server, definition, arrayProperties={"size": CHILDREN})
        self.failing = submission(server, failing, retryStrategy={"attempts": 2})
        self.connection = Connection(server)

    def run(self):
        try:
            self.submit_until_stopped()
        except (OSError, ValueError) as failure:
            self.failure = failure

    def submit_until_stopped(self):
        arrays = singles = 0.0
        number = 0
        last = time.monotonic()
        while not self.stopped.wait(0.1):
            now = time.monotonic()
            elapsed, last = now - last, now
            if self.waiting > self.most_waiting:
                self.paused_seconds += elapsed
                continue
            arrays += elapsed * self.rate * ARRAY_SHARE / CHILDREN
            singles += elapsed * self.rate * (1 - ARRAY_SHARE)
            while arrays >= 1:
                arrays -= 1
                self.call(self.array, CHILDREN)
            while singles >= 1:
                singles -= 1
                number += 1
                self.call(self.failing if number % 10 == 0 else self.single, 1)

    def call(self, signed, jobs):
        self.connection.call(bytes(signed))
        self.submitted += jobs


class Probe(threading.Thread):
    """Submits one job at a time to a queue of higher priority and waits for its end."""

    def __init__(self, server, stopped):
        super().__init__(daemon=True)
        self.server, self.stopped = server, stopped
        self.failure = None
        self.lock, self.latencies, self.calls = threading.Lock(), [], []
        server.create_queue("probe", priority=1000)
        self.submit = submission(server, server.define("probe", ["true"], memory=16), queue="probe")
        self.connection = Connection(server)

    def run(self):
        try:
            while not self.stopped.wait(SAMPLE_SECONDS / PROBES_A_SAMPLE):
                self.measure()
        except (OSError, ValueError) as failure:
            self.failure = failure

    def measure(self):
        start = time.perf_counter()
        job_id = self.connection.call(bytes(self.submit))["jobId"]
        called = time.perf_counter() - start
        ask = request(self.server, "DescribeJobs", {"jobs": [job_id]})
        while time.perf_counter() - start < PROBE_SECONDS and not self.stopped.is_set():
            jobs = self.connection.call(ask)["jobs"]
            # A finished job may have been forgotten already, if the server was told to.
            if not jobs or jobs[0]["status"] in ("SUCCEEDED", "FAILED"):
                break
            time.sleep(0.001)
        with self.lock:
            self.latencies.append((time.perf_counter() - start) * 1000)
            self.calls.append(called * 1000)

    def take(self):
        """What was measured since the last look, in ms."""
        with self.lock:
            taken = self.latencies, self.calls
            self.latencies, self.calls = [], []
        return taken


def status(pid, field):
    """A number of /proc/PID/status."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise ValueError(f"process {pid} has no {field}")


def zombies(parents):
    """Ended processes that one of these has not taken notice of."""
    found = 0
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
                found += state == "Z" and int(parent) in parents
    return found


def folders(path):
    """How many folders are below this one."""
    return sum(len(names) for _, names, _ in os.walk(path))


def used_mib(path):
    """What the files below a path take on the disk."""
    done = subprocess.run(["du", "-s", "--block-size=1024", path], capture_output=True, text=True)
    return int(done.stdout.split()[0]) / 1024 if done.stdout else 0.0


def cgroups(server):
    """The folder of the node's cgroups, one for each hierarchy."""
    name = f"fornada-{(server.data_dir / 'node' / 'instance').read_text().strip()}"
    return list(pathlib.Path("/sys/fs/cgroup").glob(f"**/{name}"))


def waiting_jobs(server, connection):
    """Jobs that have not ended, an array counted once, by the server's own count."""
    host = server.endpoint.removeprefix("http://")
    connection.send(f"GET /metrics HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    while (body := connection.receive()) is None:
        pass
    ended = ('"SUCCEEDED"', '"FAILED"')
    lines = [line for line in body.decode().splitlines() if line.startswith("fornada_jobs{")]
    return sum(int(line.split()[-1]) for line in lines if not any(name in line for name in ended))


class Sampler:
    """Looks at everything that could grow."""

    def __init__(self, server, load, probe):
        self.server, self.load, self.probe = server, load, probe
        self.pids = {"server": server.process.pid, "node": server.node_pid()}
        self.cgroups = cgroups(server)
        self.connection = Connection(server)

    def look(self, elapsed):
        data, pids = self.server.data_dir, self.pids
        sample = {"seconds": round(elapsed), "submitted jobs": self.load.submitted}
        sample["waiting jobs"] = self.load.waiting
        for name, pid in pids.items():
            sample[f"{name}: memory, MiB"] = status(pid, "VmRSS") / 1024
            sample[f"{name}: open files"] = len(os.listdir(f"/proc/{pid}/fd"))
            sample[f"{name}: threads"] = status(pid, "Threads")
        sample["cgroups"] = sum(folders(group) for group in self.cgroups)
        sample["notes of attempts"] = len(os.listdir(data / "node" / "attempts"))
        sample["working directories"] = len(os.listdir(self.server.environment["TMPDIR"]))
        sample["directories of data, without logs"] = folders(data) - folders(data / "logs")
        sample["zombies"] = zombies(set(pids.values()))
        sample["store.db, MiB"] = (data / "store.db").stat().st_size / 2**20
        wal = data / "store.db-wal"
        sample["store.db-wal, MiB"] = wal.stat().st_size / 2**20 if wal.exists() else 0
        sample["logs, MiB on disk"] = used_mib(data / "logs")
        latencies, calls = self.probe.take()
        for what, values in (("SUCCEEDED", latencies), ("answer", calls)):
            if values:
                sample[f"probe: submit → {what}, median ms"] = statistics.median(values)
                sample[f"probe: submit → {what}, most ms"] = max(values)
        return sample


# What may differ between the quarters: a share of the first, and a constant for what is small. None: shown only, it grows with
# the jobs that are kept.
ALLOWED = {
    "server: memory, MiB": (0.10, 10),
    "server: open files": (0.10, 8),
    "server: threads": (0.10, 4),
    "node: memory, MiB": (0.10, 5),
    "node: open files": (0.25, 32),
    "node: threads": (0.10, 4),
    "cgroups": (0.25, 32),
    "notes of attempts": (0.25, 32),
    "working directories": (0.25, 32),
    "directories of data, without logs": (0, 4),
    "zombies": (0, 4),
    "store.db, MiB": None,
    "store.db-wal, MiB": (0.5, 16),
    "logs, MiB on disk": None,
    "probe: submit → SUCCEEDED, median ms": (0.5, 20),
    "probe: submit → SUCCEEDED, most ms": None,
    "probe: submit → answer, median ms": (0.5, 5),
    "probe: submit → answer, most ms": None,
    "waiting jobs": None,
}


def compared(samples):
    """A row for each figure: its name, medians of the first and the last quarter, and whether it stayed within bounds."""
    quarter = max(1, len(samples) // 4)
    for name, allowed in ALLOWED.items():
        first = [sample[name] for sample in samples[:quarter] if name in sample]
        last = [sample[name] for sample in samples[-quarter:] if name in sample]
        if not first or not last:
            continue
        before, after = statistics.median(first), statistics.median(last)
        steady = None if allowed is None else after <= before * (1 + allowed[0]) + allowed[1]
        yield name, before, after, steady


def table(rows):
    words = {True: "steady", False: "GROWS", None: ""}
    lines = [("", "first quarter", "last quarter", "")]
    lines += [(name, f"{before:,.1f}", f"{after:,.1f}", words[steady]) for name, before, after, steady in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    text = [
        f"{name:<{widths[0]}}  {before:>{widths[1]}}  {after:>{widths[2]}}  {verdict}".rstrip()
        for name, before, after, verdict in lines
    ]
    return "\n".join(text)


def soak(server, minutes, jobs_a_minute):
    """Runs the load; returns the samples and the load."""
    stopped = threading.Event()
    load, probe = Load(server, jobs_a_minute, stopped), Probe(server, stopped)
    sampler, samples = Sampler(server, load, probe), []
    load.start()
    probe.start()
    start = time.monotonic()
    next_sample = start + SAMPLE_SECONDS
    while time.monotonic() < start + minutes * 60:
        time.sleep(1)
        for thread in (load, probe):
            if thread.failure or not thread.is_alive():
                raise SystemExit(f"{type(thread).__name__} failed: {thread.failure}; the server said: {server.said()[-2000:]}")
        load.waiting = waiting_jobs(server, sampler.connection)
        if time.monotonic() >= next_sample:
            next_sample += SAMPLE_SECONDS
            samples.append(sampler.look(time.monotonic() - start))
            brief = {name: round(value, 1) for name, value in samples[-1].items()}
            print(json.dumps(brief, ensure_ascii=False), file=sys.stderr, flush=True)
    stopped.set()
    load.join()
    return samples, load


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--jobs-a-minute", type=int, default=10_000)
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "out" / "soak.json", help="where all samples go")
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    given, of_server = parser.parse_args(sys.argv[1:at]), sys.argv[at + 1 :]
    if given.minutes * 60 < 2 * SAMPLE_SECONDS:
        parser.error(f"a sample is taken every {SAMPLE_SECONDS} s: --minutes is at least {2 * SAMPLE_SECONDS / 60:g}")
    os.environ["FORNADA_BIN"] = given.binary
    server = Server(*of_server, capacity=CAPACITY)
    temporary = server.root / "tmp"
    temporary.mkdir(mode=0o755)
    server.environment["TMPDIR"] = str(temporary)
    try:
        samples, load = soak(server.start(), given.minutes, given.jobs_a_minute)
    finally:
        server.remove()
    rows = list(compared(samples))
    grows = [name for name, _, _, steady in rows if steady is False]
    kept_up = load.paused_seconds < 0.02 * given.minutes * 60
    print(table(rows))
    print(f"{load.submitted:,} jobs in {given.minutes:g} min, {load.submitted / given.minutes:,.0f} a minute.")
    if not kept_up:
        print(f"The machine did not keep up: the load paused for {load.paused_seconds:.0f} s.")
    print(f"Grows: {', '.join(grows)}." if grows else "Nothing grows.")
    given.json.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "minutes": given.minutes, "jobsAMinute": given.jobs_a_minute, "submitted": load.submitted,
        "pausedSeconds": load.paused_seconds, "grows": grows, "samples": samples,
        "quarters": [{"what": name, "first": before, "last": after} for name, before, after, _ in rows],
    }
    given.json.write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    sys.exit(bool(grows) or not kept_up)


if __name__ == "__main__":
    main()
