"""What must hold when all has ended, whatever was killed."""

import itertools

from .journal import History

LOST = "Host EC2 (instance "


class Check:
    """Everything that a cluster says of its jobs, compared with what the journal says; `faults` are sentences."""

    def __init__(self, cluster, clients, listed):
        self.clients, self.listed = clients, listed
        self.history = History(cluster.journal.path)
        self.faults = list(clients.faults)
        self.attempts = 0

    def all(self):
        self._submissions()
        self._begins()
        ids = {run for job, name in self.listed.items() for run in (job, *self.clients.requests[name].members_of(job))}
        details = {job["jobId"]: job for job in self.clients.describe(list(ids))}
        for job, name in self.listed.items():
            request = self.clients.requests[name]
            if job in self.clients.ended and self.clients.ended[job] != details[job]["status"]:
                self._fault(job, name, f"was {self.clients.ended[job]}, and is now {details[job]['status']}")
            for run, before in request.before(job):
                self._run(run, request, details, before, is_main=run == request.members_of(job)[0])
        return self.faults

    def _fault(self, job, name, text):
        self.faults.append(f"{job} ({name}): {text}")

    def _submissions(self):
        for job, name in self.clients.acknowledged.items():
            if self.listed.get(job) != name:
                self._fault(job, name, "was acknowledged and is gone")
        for job, name in self.listed.items():
            if name not in self.clients.requests:
                self._fault(job, name, "was never submitted")

    def _begins(self):
        """No attempt began twice, none while an older one ran, none of a job that had been seen to end."""
        self.faults += self.history.overlaps
        for (run, attempt), positions in self.history.begun.items():
            if len(positions) > 1:
                self.faults.append(f"attempt {attempt} of {run} began {len(positions)} times")
            terminal = self.history.terminal.get(run.split(":")[0].split("#")[0])
            # Other nodes may be told to start while the main node ends; the job is over, and they are stopped.
            if terminal is not None and positions[-1] > terminal and "#" not in run:
                self.faults.append(f"attempt {attempt} of {run} began after the job was seen to have ended")

    def _run(self, run, request, details, before, is_main):
        name, kind, history = request.name, request.kind, self.history
        job = details.get(run)
        if job is None:
            return self._fault(run, name, "is not known")
        attempts = job["attempts"]
        self.attempts += len(attempts)
        for number, attempt in enumerate(attempts, 1):
            self._attempt(run, request, number, attempt, is_main)
        begun = [attempt for of, attempt in history.begun if of == run]
        if any(attempt > len(attempts) for attempt in begun):
            self._fault(run, name, f"attempts {sorted(begun)} began, and {len(attempts)} are known")
        self._dependencies(run, request, details, before, job)
        if kind.is_gang and not is_main:
            return None
        if kind.is_stopped and job["status"] == "FAILED":
            return None  # at whatever moment
        status, reason, count = job["status"], job.get("statusReason", ""), len(attempts)
        if not attempts:
            if not (before and reason.startswith("Dependent Job failed")):
                self._fault(run, name, f"is {status} without an attempt: {reason!r}")
            return None
        failed = [is_lost(attempt) or kind.code(number) != 0 for number, attempt in enumerate(attempts, 1)]
        is_over = not failed[-1] or count == kind.attempts
        if not all(failed[:-1]) or not is_over or (status == "FAILED") != failed[-1]:
            self._fault(run, name, f"is {status} ({reason!r}) with attempts {attempts}")
        return None

    def _dependencies(self, run, request, details, before, job):
        begin = self.history.first_begin(run)
        for earlier in before:
            ended_well = self.history.success(earlier)
            if begin is not None and (ended_well is None or ended_well > begin):
                self._fault(run, request.name, f"began before {earlier} had ended well")
            was_not_tried = begin is None and job["status"] == "FAILED" and not job["attempts"]
            if was_not_tried and details[earlier]["status"] == "SUCCEEDED":
                self._fault(run, request.name, f"failed without an attempt, and {earlier} had succeeded")

    def _attempt(self, run, request, number, attempt, is_main):
        kind, history = request.kind, self.history
        container = attempt["container"]
        begun, ended = history.begun.get((run, number), []), history.ended.get((run, number), [])
        is_foreseen = is_main or not kind.is_gang  # other nodes are stopped with the main node
        if is_lost(attempt):
            following = history.begun.get((run, number + 1), [float("inf")])[0]
            if not history.node_was_killed(begun[0] if begun else 0, following):
                self._fault(run, request.name, f"attempt {number} was lost, and no node had been killed")
        elif is_foreseen and not kind.is_stopped:
            want = [kind.code(number)]
            if [code for _, code in ended] != want or container.get("exitCode") != want[0] or len(begun) != 1:
                what = f"attempt {number} is {attempt}; it began at {begun} and ended at {ended}"
                self._fault(run, request.name, what)
        is_whole = bool(ended) and not is_lost(attempt)
        self._log(run, request, number, container.get("logStreamName"), is_whole)

    def _log(self, run, request, number, stream, is_whole):
        """Every line once and in order; of an attempt that was killed a beginning."""
        want = [f"line {number} {line}" for line in range(1, request.kind.lines + 1)]
        got = self.clients.log(stream) if stream else []
        if got != (want if is_whole else want[:len(got)]):
            wrong = next((i for i, (a, b) in enumerate(itertools.zip_longest(got, want)) if a != b), len(want))
            text = f"the log of attempt {number} has {len(got)} lines of {len(want)}, wrong from {wrong}: {got[wrong:][:3]}"
            self._fault(run, request.name, text)


def is_lost(attempt):
    return attempt.get("statusReason", "").startswith(LOST) and "exitCode" not in attempt["container"]
