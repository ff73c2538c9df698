"""What every client's run stands on: a Fornada, an S3, and the client's own environment with what a person configures.

A client is a folder here: `requirements.txt` (the client, pinned; its first line is the client itself), `run.py` with a
function `run(site)`, and the flow that is run. The client itself is never changed: all it gets is configuration.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import boto3  # noqa: E402
from server import ACCOUNT, REGION, Server  # noqa: E402

CLIENTS = ROOT / "clients"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "fornada"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/jobs"
LIMIT_SECONDS = 600


class Failed(Exception):
    """A check of a client's run did not pass, or the client failed; the text says which."""


class Environment:
    """A virtual environment of its own for one `requirements.txt`, made once and kept in the cache."""

    def __init__(self, name):
        self.requirements = CLIENTS / name / "requirements.txt"
        pins = self.requirements.read_text()
        self.client, self.version = re.search(r"^([\w-]+)(?:\[\w+\])?==(\S+)$", pins, re.MULTILINE).groups()
        key = hashlib.sha256((sys.version + pins).encode()).hexdigest()[:12]
        self.folder = CACHE / f"clients-{name}-{key}"
        self.bin = self.folder / "bin"

    def ready(self):
        """Makes the environment unless it is there; returns what `installed` says."""
        note = self.folder / "installed.json"
        CACHE.mkdir(parents=True, exist_ok=True)
        # One maker at a time: several runs may share the cache.
        with open(CACHE / f"{self.folder.name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not note.exists():
                self._make(note)
        return json.loads(note.read_text())

    def _make(self, note):
        print(f"  installing {self.client} {self.version} …", flush=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        start = time.monotonic()
        subprocess.run([sys.executable, "-m", "venv", self.folder], check=True)
        quiet = ["--quiet", "--disable-pip-version-check"]
        subprocess.run([self.bin / "pip", "install", *quiet, "--requirement", self.requirements], check=True)
        size = sum(file.lstat().st_size for file in self.folder.rglob("*"))
        note.write_text(json.dumps({"seconds": round(time.monotonic() - start), "megabytes": round(size / 1e6)}))


class S3:
    """moto's server: S3 and STS on a free port of the loopback address. It keeps what it is given in memory."""

    def __init__(self, environment):
        tool = Environment("moto")
        tool.ready()
        command = [tool.bin / "moto_server", "--host", "127.0.0.1", "--port", "0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        for line in self.process.stderr:
            if found := re.search(r"Running on (http://\S+)", line):
                self.endpoint = found[1]
                break
        else:
            raise Failed("moto_server ended before it was ready")
        # Read on, so that it never waits for room in the pipe.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def close(self):
        self.process.kill()
        self.process.wait()


class Site:
    """One client's surroundings, for as long as the `with` block lasts.

    `fornada up` is started with the client's environment first in PATH, so that jobs find the same Python; the user's
    ~/.aws points both the client and its jobs at Fornada and S3.
    """

    def __init__(self, name):
        self.source = CLIENTS / name
        self.installed = Environment(name)
        self.results = []

    def __enter__(self):
        self.server = Server(capacity="vcpus=8,memory=32g")
        self.s3_server = None
        try:
            self.server.environment["PATH"] = f"{self.installed.bin}:{self.server.environment['PATH']}"
            # Where jobs get their working directories: below what is removed in the end.
            temporary = self.server.root / "tmp"
            temporary.mkdir()
            self.server.environment["TMPDIR"] = str(temporary)
            self.server.start()
            self.s3_server = S3(self.server.environment)
            self._configure()
            self.work = self.server.root / "work"
            shutil.copytree(self.source, self.work)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.s3_server:
            self.s3_server.close()
        self.server.remove()

    def _configure(self):
        """Writes ~/.aws of docs/clients/README.md."""
        key = self.server.keys()[0]
        endpoints = dict.fromkeys(("batch", "cloudwatch_logs"), self.server.endpoint)
        endpoints |= dict.fromkeys(("s3", "sts"), self.s3_server.endpoint)
        services = "".join(f"{name} =\n  endpoint_url = {url}\n" for name, url in endpoints.items())
        folder = self.server.root / ".aws"
        folder.mkdir()
        (folder / "config").write_text(
            f"[default]\nregion = {REGION}\nservices = fornada\n\n[services fornada]\n{services}"
        )
        (folder / "credentials").write_text(
            f"[default]\naws_access_key_id = {key['accessKeyId']}\naws_secret_access_key = {key['secretAccessKey']}\n"
        )

    @property
    def s3(self):
        """A boto3 client for what the client and its jobs leave in S3."""
        key = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client("s3", endpoint_url=self.s3_server.endpoint, region_name=REGION, **key)

    def bucket(self, name):
        """Makes a bucket and returns its name."""
        self.s3.create_bucket(Bucket=name)
        return name

    def object(self, bucket, key):
        """The text of an object."""
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()

    def call(self, *command, stdin=os.devnull, fails=False, **variables):
        """Runs a program of the client's environment in the folder of the flow and returns all that it printed."""
        with open(self.work / stdin) as opened:
            done = subprocess.run(
                [str(part) for part in command],
                cwd=self.work,
                env=self.server.environment | variables,
                text=True,
                stdin=opened,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=LIMIT_SECONDS,
            )
        if (done.returncode != 0) != fails:
            raise Failed(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def jobs(self):
        """The details of all jobs in the queue `default`, children of arrays included, oldest first."""
        batch, found = self.server.batch, []
        # Any filter makes ListJobs answer with every status.
        everything = {"filters": [{"name": "AFTER_CREATED_AT", "values": ["0"]}]}
        for page in batch.get_paginator("list_jobs").paginate(jobQueue="default", **everything):
            found += page["jobSummaryList"]
        ids = [job["jobId"] for job in sorted(found, key=lambda job: job["createdAt"])]
        for job in found:
            size = job.get("arrayProperties", {}).get("size", 0)
            nodes = job.get("nodeProperties", {}).get("numNodes", 0)
            ids += [f"{job['jobId']}:{index}" for index in range(size)]
            ids += [f"{job['jobId']}#{index}" for index in range(nodes)]
        batches = [ids[start : start + 100] for start in range(0, len(ids), 100)]
        return [job for some in batches for job in batch.describe_jobs(jobs=some)["jobs"]]

    def explain(self):
        """What the server knows of the jobs that failed: status reason, exit code and the last lines of output."""
        for job in self.jobs():
            container = job.get("container", {})
            if job["status"] == "FAILED":
                ended = f"exit code {container.get('exitCode')}, {container.get('reason', 'no reason')}"
                yield f"{job['jobName']} {job['jobId']}: {job.get('statusReason')}; {ended}"
                # A job that wrote nothing has no log.
                with contextlib.suppress(self.server.logs.exceptions.ResourceNotFoundException):
                    yield from self.server.messages(job["jobId"])[-8:] if "logStreamName" in container else []

    def check(self, what, passed, seen=""):
        """Notes one result; raises when it is not so."""
        if not passed:
            raise Failed(f"not so: {what}{f'; seen: {seen}' if seen != '' else ''}")
        self.results.append(what)
        print(f"  ok: {what}", flush=True)
