"""Measures a release build on this machine: `make bench`, or `make bench ONLY=latency` for one part.

    bench.py BINARY [PART]

Figures that have a peer are taken side by side in one run, in alternation, because machines are noisy; each has its
median and its spread. A whole run writes docs/benchmarks.md, a part prints its rows alone; but for the part `schedule`,
which has a chapter of its own there and writes it ([schedule.py](schedule.py)).
"""

import datetime
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
sys.path.insert(0, str(ROOT / "tests"))

import schedule  # noqa: E402
from client import Connection, flood, request  # noqa: E402
from server import GROUP, Server  # noqa: E402

CORES = os.cpu_count()
CHILDREN = 10_000
LATENCY_JOBS = 200
ROUNDS = 3
FLOOD_SECONDS = 3
IDLE_SECONDS = 30
# Larger than any machine: such a job is accepted, stored and queued, and never takes CPU time from what is measured.
NEVER = 9999
LIVE_JOBS = 1_000_000


class Row:
    """One line of the table."""

    def __init__(self, what, values, unit, target="", ratio=""):
        self.what, self.target, self.ratio = what, target, ratio
        digits = 0 if max(values) >= 100 else 1 if max(values) >= 10 else 2
        self.median = f"{statistics.median(values):,.{digits}f} {unit}"
        self.spread = f"{min(values):,.{digits}f} – {max(values):,.{digits}f}" if len(values) > 1 else ""

    def cells(self):
        return [self.what, self.median, self.spread, self.ratio, self.target]


HEADINGS = ["what", "median", "spread", "ratio", "target"]


def percentile(values, share):
    """The value below which this share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def define(server, name, command, vcpus=1):
    return server.define(name, command, vcpus=vcpus, memory=16)


def submission(server, definition, **members):
    return request(
        server, "SubmitJob", {"jobName": "bench", "jobQueue": "default", "jobDefinition": definition} | members
    )


def wait_until_ended(connection, server, job_id, pause=0.0005):
    """Asks until a job has ended; returns when that was seen, in ns since the epoch, and the job."""
    ask = request(server, "DescribeJobs", {"jobs": [job_id]})
    asked_since = time.monotonic()
    while True:
        [job] = connection.call(ask)["jobs"]
        if job["status"] in ("SUCCEEDED", "FAILED"):
            assert job["status"] == "SUCCEEDED", job
            return time.time_ns(), job
        if time.monotonic() - asked_since > 200:  # the signature of `ask` holds for five minutes
            ask, asked_since = request(server, "DescribeJobs", {"jobs": [job_id]}), time.monotonic()
        time.sleep(pause)


def latency(server):
    """From submit to the process, and from its exit to SUCCEEDED, one job at a time.

    The job is `date`, which tells when it ran and ends at once; the time it needs itself counts against the server.
    """
    connection = Connection(server)
    submit = submission(server, define(server, "latency", ["date", "+%s%N"]))
    starts, ends = [], []
    for _ in range(LATENCY_JOBS):
        submitted = time.time_ns()
        job_id = connection.call(submit)["jobId"]
        seen, job = wait_until_ended(connection, server, job_id)
        stream = {"logGroupName": GROUP, "logStreamName": job["container"]["logStreamName"], "startFromHead": True}
        [event] = connection.call(request(server, "GetLogEvents", stream, service="logs"))["events"]
        ran = int(event["message"])
        starts.append((ran - submitted) / 1e6)
        ends.append((seen - ran) / 1e6)
    connection.close()
    for what, values, target in (
        ("submit → process started", starts, "< 20 ms"),
        ("exit → SUCCEEDED seen by a client", ends, "< 10 ms"),
    ):
        yield Row(f"{what}, p50 of {LATENCY_JOBS} jobs", values, "ms", target)
        yield Row(f"{what}, p99", [percentile(values, 0.99)], "ms")


def array(server):
    """10,000 × `true` in one array, submit to the last SUCCEEDED, beside `xargs` starting the same processes."""
    connection = Connection(server)
    definition = define(server, "array", ["true"])
    ours, peer = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        numbers = "\n".join(map(str, range(CHILDREN)))
        subprocess.run(["xargs", f"-P{CORES}", "-n1", "true"], input=numbers, text=True, check=True)
        peer.append(CHILDREN / (time.perf_counter() - start))

        start = time.perf_counter()
        submit = submission(server, definition, arrayProperties={"size": CHILDREN})
        wait_until_ended(connection, server, connection.call(submit)["jobId"], pause=0.02)
        ours.append(CHILDREN / (time.perf_counter() - start))
    connection.close()
    ratios = [a / b for a, b in zip(ours, peer)]
    yield Row(f"array of {CHILDREN:,} × `true`, image `host`", ours, "/s", ratio=f"{statistics.median(ratios):.2f}")
    yield Row(f"the same {CHILDREN:,} with `xargs -P{CORES}`, no queue at all", peer, "/s", ratio="1")


def submit(server):
    """Single jobs over 1 and 32 connections, and arrays of 10,000; every answer means that the job is on disk."""
    definition = define(server, "never", ["true"], vcpus=NEVER)
    for connections in (1, 32):
        rates, tails = [], []
        for _ in range(ROUNDS):
            latencies, rate = flood(server, submission(server, definition), connections, FLOOD_SECONDS)
            rates.append(rate)
            tails.append(percentile(latencies, 0.99))
        plural = "s" if connections > 1 else ""
        yield Row(f"SubmitJob, {connections} connection{plural}", rates, "/s")
        yield Row(f"SubmitJob, {connections} connection{plural}, p99", tails, "ms")

    connection = Connection(server)
    large = submission(server, definition, arrayProperties={"size": CHILDREN})
    times = []
    for _ in range(20):
        start = time.perf_counter()
        connection.call(large)
        times.append((time.perf_counter() - start) * 1000)
    connection.close()
    yield Row(f"SubmitJob of an array of {CHILDREN:,}", times, "ms", "< 10 ms")


def idle(server):
    """Memory and processor time of a server that has nothing to do, and of its node."""
    pids = {"server": server.process.pid, "node": server.node_pid()}
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    time.sleep(IDLE_SECONDS)  # the measurement itself
    memory = {name: resident_mib(pid) for name, pid in pids.items()}
    for name, pid in pids.items():
        yield Row(f"idle {name}: resident memory", [memory[name]], "MiB", "< 50 MB" if name == "server" else "")
        used = cpu_seconds(pid) - before[name]
        yield Row(f"idle {name}: processor time in {IDLE_SECONDS} s", [used], "s", "0 s")


def restart(server):
    """A server that was killed with a million jobs waiting: from its start to its first answer about one of them."""
    definition = define(server, "never", ["true"], vcpus=NEVER)
    connection = Connection(server)
    first = connection.call(submission(server, definition))["jobId"]
    jobs = 1
    while jobs < LIVE_JOBS:
        latencies, _ = flood(server, submission(server, definition), 32, FLOOD_SECONDS)
        jobs += len(latencies)
    connection.close()
    times, memory = [], []
    for _ in range(ROUNDS):
        server.kill()
        start = time.perf_counter()
        server.start(seconds=120)
        connection = Connection(server)
        [job] = connection.call(request(server, "DescribeJobs", {"jobs": [first]}))["jobs"]
        times.append(time.perf_counter() - start)
        assert job["status"] == "RUNNABLE", job
        connection.close()
        memory.append(resident_mib(server.process.pid))
    yield Row(f"restart with {jobs:,} live jobs, to the first answer", times, "s", "< 5 s")
    yield Row("resident memory after it", memory, "MiB")


def cpu_seconds(pid):
    """User and system time of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid):
    """Resident memory of a process."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} has no memory")


# In this order: what leaves jobs behind comes last, and each part has a server of its own anyway.
PARTS = {part.__name__: part for part in (idle, latency, array, submit, restart)}


def machine():
    """One line about where this ran."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{CORES} cores ({cpu}), {memory:.0f} GiB of memory, Linux {platform.release()}"


def table(rows):
    """The rows as a Markdown table, aligned for reading as it is."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    text = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def replace_chapter(chapter):
    """Puts the chapter about the scheduler in the place of the one that the page has."""
    page = PAGE.read_text(encoding="utf-8").split(schedule.HEADING)[0].rstrip()
    PAGE.write_text(f"{page}\n\n{schedule.HEADING}\n\n{chapter}", encoding="utf-8")


def main():
    os.environ["FORNADA_BIN"] = sys.argv[1]
    only = sys.argv[2] if len(sys.argv) > 2 else None
    if only and only not in [*PARTS, "schedule"]:
        sys.exit(f"No part is called {only}; there are {', '.join(PARTS)}, schedule.")
    if only == "schedule":
        replace_chapter(schedule.chapter())
        return

    rows = []
    for name in [only] if only else PARTS:
        print(f"{name}: {PARTS[name].__doc__.splitlines()[0]}", file=sys.stderr, flush=True)
        server = Server(capacity=None)
        try:
            rows += PARTS[name](server.start())
        finally:
            server.remove()
    print(table(rows))
    if only:
        return

    version = subprocess.run([sys.argv[1], "--version"], capture_output=True, text=True, check=True).stdout.strip()
    PAGE.write_text(
        f"""# Benchmarks

Written by `make bench` on {datetime.date.today()}: {version}, release build, embedded store, signatures checked.
{machine()}. The client runs on the same cores.

{table(rows)}

Spread is the smallest and the largest value: of the single jobs or requests where the line counts them, of {ROUNDS} rounds
otherwise. A ratio is taken against the line after it, both measured in turns. `make bench ONLY=latency` (or
{", ".join(f"`{part}`" for part in PARTS if part != "latency")}) measures one part again, `ONLY=schedule` the
chapter below.
""",
        encoding="utf-8",
    )
    replace_chapter(schedule.chapter())
    print("Wrote docs/benchmarks.md.", file=sys.stderr)


if __name__ == "__main__":
    main()
