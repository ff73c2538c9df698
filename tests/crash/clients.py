"""Who uses the cluster: clients that try again when a call fails, and one that looks at what has become of all jobs."""

import concurrent.futures
import fcntl
import itertools
import os
import random
import threading
import time

from botocore.exceptions import BotoCoreError, ClientError

from server import ENDED, GROUP, wait_for

from .workload import CHAIN, KINDS, STOPPED, Request, define

SUBMITTERS = 3
# Submitted and not ended: a cluster that is killed all the time must not fall behind for ever.
OUTSTANDING_MAX = 100
PATIENCE = 60  # seconds until a call that fails again and again is a fault


class Clients:
    """Threads that submit, stop and look, until they are told to end."""

    def __init__(self, cluster, seed):
        self.cluster = cluster
        self.batch_client = cluster.batch
        self.requests = {}  # name: Request, before it is sent
        self.acknowledged = {}  # id: name
        self.ended = {}  # id: status, as it was seen first
        self.logs = {}  # of ended attempts
        self.faults = []
        self.is_over, self.is_watching = threading.Event(), True
        self.numbers = itertools.count()
        self.definitions = define(self.call, cluster.root)
        self.pool = concurrent.futures.ThreadPoolExecutor(SUBMITTERS + 1)
        self.submitters = [self.pool.submit(self._submit, random.Random(f"{seed}/{n}")) for n in range(SUBMITTERS)]
        self.watcher = self.pool.submit(self._watch)

    def call(self, operation, **members):
        """Calls Batch until there is an answer."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return getattr(self.batch_client, operation)(**members)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] < 500 or time.monotonic() > deadline:
                    raise
            except BotoCoreError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def log(self, stream):
        """The lines of an ended attempt, which do not change any more."""
        if stream not in self.logs:
            try:
                page = self.cluster.logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)
                self.logs[stream] = [event["message"] for event in page["events"]]
            except self.cluster.logs.exceptions.ResourceNotFoundException:
                self.logs[stream] = []  # it has written nothing
        return self.logs[stream]

    def describe(self, jobs):
        """Details of jobs, a hundred at a time."""
        for start in range(0, len(jobs), 100):
            yield from self.call("describe_jobs", jobs=jobs[start:start + 100])["jobs"]

    def finish(self, seconds=90):
        """Submits no more, and returns the ids of all jobs when all have ended."""
        self.is_over.set()
        for submitter in self.submitters:
            submitter.result(PATIENCE)
        statuses = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")
        wait_for(lambda: [job for status in statuses for job in self._list(status)], lambda left: not left, seconds)
        wait_for(lambda: self.watcher.done() or len(self._outstanding()), lambda left: left is True or not left, seconds)
        self.abandon()
        self.watcher.result(PATIENCE)
        self.pool.shutdown()
        return {job["jobId"]: job["jobName"] for status in ENDED for job in self._list(status)}

    def abandon(self):
        """Lets all threads end."""
        self.is_over.set()
        self.is_watching = False

    def _list(self, status):
        jobs, token = [], {}
        while True:
            page = self.call("list_jobs", jobQueue="default", jobStatus=status, **token)
            jobs += page["jobSummaryList"]
            if not page.get("nextToken"):
                return jobs
            token = {"nextToken": page["nextToken"]}

    def _outstanding(self):
        return [job for job in list(self.acknowledged) if job not in self.ended]

    def _submit(self, chance):
        kinds, weights = zip(*((name, kind.weight) for name, kind in KINDS.items()), strict=True)
        while not self.is_over.is_set():
            if len(self._outstanding()) > OUTSTANDING_MAX:
                time.sleep(0.05)
                continue
            [kind] = chance.choices(kinds, weights)
            job = self._request(kind)
            if KINDS[kind].is_stopped:
                time.sleep(chance.uniform(0, 0.5))
                operation = chance.choice(["terminate_job", "terminate_job", "cancel_job"])
                self.call(operation, jobId=job, reason=STOPPED)
            elif KINDS[kind].follows in ("chain", "N_TO_N"):
                for _ in range(CHAIN - 1):
                    job = self._request(kind, depends_on=job)
            time.sleep(chance.uniform(0, 0.1))

    def _request(self, kind, depends_on=""):
        """Submits one job, again and again under the same name until it is acknowledged."""
        request = Request(f"{kind}-{next(self.numbers)}", KINDS[kind], depends_on)
        self.requests[request.name] = request
        job = self.call("submit_job", **request.members(self.cluster.root, self.definitions))["jobId"]
        self.acknowledged[job] = request.name
        return job

    def _watch(self):
        while self.is_watching:
            for job in self.describe(self._outstanding()):
                if job["status"] in ENDED:
                    self.cluster.journal.note("terminal", job["jobId"], job["status"])
                    self._look_whether_it_runs(job["jobId"])
                    self.ended[job["jobId"]] = job["status"]
            time.sleep(0.1)

    def _look_whether_it_runs(self, job):
        """When a job is said to have ended, nothing of it runs any more. Nodes of a multi-node job may still be stopping."""
        request = self.requests[self.acknowledged[job]]
        for run in [] if request.kind.is_gang else request.members_of(job):
            try:
                lock = os.open(self.cluster.root / "locks" / run, os.O_RDONLY)
            except FileNotFoundError:
                continue  # it never began
            try:
                wait_for(lambda lock=lock: _is_free(lock), bool, 1)
            except AssertionError:
                self.faults.append(f"{run} ({request.name}) has ended, and a process of it still runs")
            finally:
                os.close(lock)


def _is_free(lock):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
