"""A Fornada server under test: the built binary, a data directory, and the clients that talk to it.

What must hold: every server has its own data directory and its own port, and when it is removed, no process that it
started is left.
"""

import contextlib
import json
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import boto3
from botocore.config import Config

REGION = "us-east-1"
ACCOUNT = "000000000000"
GROUP = "/aws/batch/job"
ARN = f"arn:aws:batch:{REGION}:{ACCOUNT}:"
ENDED = ("SUCCEEDED", "FAILED")


def binary():
    """The binary under test: FORNADA_BIN, or what `cargo build` left."""
    if given := os.environ.get("FORNADA_BIN"):
        return pathlib.Path(given).resolve()
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    target = os.environ.get("CARGO_TARGET_DIR") or f"{cache}/fornada/target"
    return pathlib.Path(target, "debug", "fornada").resolve()


def clean_environment():
    """This process's environment without what would lead a client elsewhere."""
    unwanted = ("AWS_", "FORNADA_", "ECS_")
    proxies = {"http_proxy", "https_proxy", "all_proxy"}
    return {k: v for k, v in os.environ.items() if not k.startswith(unwanted) and k.lower() not in proxies}


def wait_for(look, until, seconds=20):
    """Looks again and again until `until(what was seen)` holds, and returns what was seen.

    Waits on a state, never on an event, so that nothing can be missed. When the deadline passes, says what was seen last.
    """
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if until(seen):
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not so after {seconds} s; last seen: {seen!r}")
        time.sleep(0.02)


class Gate:
    """Holds jobs until the test lets them go: a named pipe that each waiting job reads one line from."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(path)
        # Open for both, so that a line written before the job reads is kept, and neither side blocks on opening.
        self.pipe = os.open(path, os.O_RDWR)

    @property
    def wait(self):
        """The shell command that waits here."""
        return f"read line < {self.path}"

    def open(self, jobs=1):
        """Lets this many jobs go."""
        os.write(self.pipe, b"go\n" * jobs)

    def close(self):
        os.close(self.pipe)


class Server:
    """`fornada up` on a temporary data directory. Starts, stops, dies and starts again on the same one."""

    def __init__(self, *options, capacity="vcpus=8,memory=16384"):
        # Short, because a socket's path must fit in 108 bytes.
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="fornada-"))
        self.data_dir = self.root / "data"
        # More than the machine has, so that tests run as wide on two cores as on many; None: what it has.
        self.options = [*options, *(["--capacity", capacity] if capacity else [])]
        self.binary, self.command, self.listen = binary(), "up", "127.0.0.1:0"
        self.process = None
        self.output = []
        self.endpoint = None
        self.marks = {str(self.root).encode()}
        self.environment = clean_environment() | {"HOME": str(self.root)}
        self._clients = {}
        self._definition = None

    # The process

    def start(self, seconds=20):
        """Starts the server and returns when it is ready."""
        self.launch()
        return self.await_ready(seconds)

    def launch(self):
        """Starts the server; it may be killed before it is ready."""
        command = [self.binary, self.command, "--data-dir", self.data_dir, "--listen", self.listen, *self.options]
        with open(self.root / "stderr", "ab") as errors:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, env=self.environment, start_new_session=True
            )
        self._lines = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(self.process.stdout, self._lines), daemon=True).start()

    def await_ready(self, seconds=20):
        """Returns when the server that was launched is ready."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"not ready after {seconds} s; it said: {self.said()!r}") from None
            if line is None:
                raise AssertionError(f"ended with {self.process.wait()} before it was ready; it said: {self.said()!r}")
            if line.startswith("ready "):
                if self.endpoint != line.split()[1]:
                    self._clients.clear()
                self.endpoint = line.split()[1]
                self.marks.add(f"={self.endpoint}\0".encode())
                return self

    def _read(self, stdout, lines):
        for line in stdout:
            self.output.append(line)
            lines.put(line)
        lines.put(None)

    def said(self):
        """What the server wrote so far, over all its lives."""
        return "".join(self.output) + (self.root / "stderr").read_text(errors="replace")

    def stop(self, signal_number=signal.SIGTERM, seconds=20):
        """Asks the server to end and returns its exit code; running jobs stay with the node."""
        self.process.send_signal(signal_number)
        return self.process.wait(timeout=seconds)

    def kill(self):
        """Ends the server as a power cut would; the node lives on."""
        self.process.kill()
        self.process.wait()

    def node_pid(self):
        """The process id of `fornada node`."""
        return int((self.data_dir / "node" / "node.pid").read_text())

    def kill_node(self):
        """Ends the node and whatever it runs without warning, as a power cut would."""
        node = self.node_pid()
        jobs = [pid for pid in self._processes() if pid not in (self.process.pid, node)]
        for pid in (node, *jobs):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _processes(self):
        """Every live process of this server: its command line or environment names the directory or an endpoint."""
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    described = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                    if any(mark in described for mark in self.marks):
                        yield int(entry.name)

    def remove(self):
        """Ends everything that belongs to this server and deletes its directory."""
        if self.process and self.process.poll() is None:
            self.kill()
        deadline = time.monotonic() + 10
        while (left := list(self._processes())) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        self._remove_cgroups()
        shutil.rmtree(self.root, ignore_errors=True)

    def _remove_cgroups(self):
        """A node that was killed leaves its empty cgroups to the next one, which never comes here."""
        with contextlib.suppress(OSError):
            name = f"fornada-{(self.data_dir / 'node' / 'instance').read_text().strip()}"
            for group in pathlib.Path("/sys/fs/cgroup").glob(f"**/{name}"):
                for folder in (*group.glob("*/"), group):
                    with contextlib.suppress(OSError):
                        folder.rmdir()

    # Clients

    def keys(self):
        """The access keys of the data directory."""
        return json.loads((self.data_dir / "access-keys.json").read_text())["keys"]

    def client(self, service, region=REGION, key=0, check=True, **config):
        """A boto3 client; without `check`, boto3 sends what it knows to be wrong."""
        identity = (service, region, key, check, tuple(config.items()))
        if identity not in self._clients:
            chosen = self.keys()[key]
            self._clients[identity] = boto3.session.Session().client(
                service,
                endpoint_url=self.endpoint,
                region_name=region,
                aws_access_key_id=chosen["accessKeyId"],
                aws_secret_access_key=chosen["secretAccessKey"],
                config=Config(
                    retries={"total_max_attempts": 1}, parameter_validation=check, proxies={}, read_timeout=30, **config
                ),
            )
        return self._clients[identity]

    @property
    def batch(self):
        return self.client("batch")

    @property
    def unchecked(self):
        """A Batch client that sends requests it knows to be wrong."""
        return self.client("batch", check=False)

    @property
    def logs(self):
        return self.client("logs")

    def aws_environment(self):
        """What a shell needs to reach this server with the aws CLI or an SDK."""
        key = self.keys()[0]
        return self.environment | {
            "AWS_ENDPOINT_URL_BATCH": self.endpoint,
            "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": self.endpoint,
            "AWS_ACCESS_KEY_ID": key["accessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["secretAccessKey"],
            "AWS_DEFAULT_REGION": REGION,
            "AWS_PAGER": "",
        }

    def cli(self, command, *arguments, seconds=60):
        """Runs `fornada COMMAND` against this server."""
        return subprocess.run(
            [self.binary, command, "--data-dir", self.data_dir, *map(str, arguments)],
            capture_output=True, text=True, timeout=seconds, env=self.environment, stdin=subprocess.DEVNULL,
        )

    def aws(self, *arguments, seconds=60):
        """Runs the aws CLI of this Python's environment against this server and returns its parsed output."""
        aws = pathlib.Path(sys.executable).with_name("aws")
        done = subprocess.run(
            [aws, *map(str, arguments), "--output", "json"],
            capture_output=True, text=True, timeout=seconds, env=self.aws_environment(), stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout or "null")

    # Jobs

    def define(self, name, command=("true",), vcpus=1, memory=64, container=None, **members):
        """Registers a definition for image `host` and returns `name:revision`."""
        properties = {
            "image": "host",
            "command": list(command),
            "resourceRequirements": [
                {"type": "VCPU", "value": str(vcpus)},
                {"type": "MEMORY", "value": str(memory)},
            ],
        } | (container or {})
        answer = self.batch.register_job_definition(
            jobDefinitionName=name, type="container", containerProperties=properties, **members
        )
        return f"{answer['jobDefinitionName']}:{answer['revision']}"

    def submit(self, script="true", *, name="job", queue="default", definition=None, env=None, array=None, **members):
        """Submits `sh -c script` and returns the job's id; without a definition, one for 1 vCPU and 64 MiB is used."""
        if definition is None:
            self._definition = definition = self._definition or self.define("script")
        overrides = {"command": ["sh", "-c", script]}
        if env:
            overrides["environment"] = [{"name": name, "value": value} for name, value in env.items()]
        overrides |= members.pop("containerOverrides", {})
        if array:
            members["arrayProperties"] = {"size": array}
        return self.batch.submit_job(
            jobName=name, jobQueue=queue, jobDefinition=definition, containerOverrides=overrides, **members
        )["jobId"]

    def describe(self, job_id):
        """A job's detail."""
        jobs = self.batch.describe_jobs(jobs=[job_id])["jobs"]
        assert len(jobs) == 1, f"{job_id} is not known"
        return jobs[0]

    def wait(self, job_id, *statuses, seconds=20):
        """Waits until a job has one of the statuses (none given: until it has ended) and returns its detail."""
        wanted = statuses or ENDED
        return wait_for(lambda: self.describe(job_id), lambda job: job["status"] in wanted, seconds)

    def succeed(self, job_id, seconds=20):
        """Waits until a job has ended, which must be in success, and returns its detail."""
        job = self.wait(job_id, seconds=seconds)
        assert job["status"] == "SUCCEEDED", job
        return job

    def fail(self, job_id, seconds=20):
        """Waits until a job has ended, which must be in failure, and returns its detail."""
        job = self.wait(job_id, seconds=seconds)
        assert job["status"] == "FAILED", job
        return job

    def create_queue(self, name, **members):
        """Creates a job queue on the environment `local` and waits until it is VALID."""
        members = {"priority": 1, "computeEnvironmentOrder": [{"order": 1, "computeEnvironment": "local"}]} | members
        self.batch.create_job_queue(jobQueueName=name, **members)
        self.settled_queue(name)
        return name

    def settled_queue(self, name):
        """Waits until a job queue is VALID and returns it."""
        look = lambda: self.batch.describe_job_queues(jobQueues=[name])["jobQueues"]  # noqa: E731
        return wait_for(look, lambda queues: queues and queues[0]["status"] == "VALID")[0]

    def settled_environment(self, name):
        """Waits until a compute environment is VALID and returns it."""
        look = lambda: self.batch.describe_compute_environments(computeEnvironments=[name])["computeEnvironments"]  # noqa: E731
        return wait_for(look, lambda found: found and found[0]["status"] == "VALID")[0]

    def messages(self, job_id, **selection):
        """All lines that a job has logged so far."""
        stream = self.describe(job_id)["container"]["logStreamName"]
        lines, token = [], {}
        while True:
            page = self.logs.get_log_events(
                logGroupName=GROUP, logStreamName=stream, startFromHead=True, **token, **selection
            )
            lines += [event["message"] for event in page["events"]]
            if token.get("nextToken") == page["nextForwardToken"]:
                return lines
            token = {"nextToken": page["nextForwardToken"]}
