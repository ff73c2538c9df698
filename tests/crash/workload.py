"""What a cluster has to do while it is killed: kinds of jobs, and what each must come to."""

import dataclasses
import itertools
import pathlib

# The reason given for jobs that are stopped.
STOPPED = "stopped by its client"
JOB = pathlib.Path(__file__).with_name("job.sh")


@dataclasses.dataclass(frozen=True)
class Kind:
    """Jobs of one kind. Attempts that were lost with their node are not foreseen here."""

    weight: int = 1
    lines: int = 3
    pause: float = 0
    first: int = 0  # exit code of the first attempt
    later: int = 0  # of the others
    attempts: int = 5
    size: int = 0  # of an array
    follows: str = ""  # how jobs depend on the one before: chain, SEQUENTIAL, N_TO_N
    extra: str = ""
    is_stopped: bool = False
    is_gang: bool = False

    def code(self, attempt):
        return self.first if attempt == 1 else self.later

    def command(self, directory, **changes):
        kind = dataclasses.replace(self, **changes)
        return ["sh", str(JOB), *map(str, (directory, kind.lines, kind.pause, kind.first, kind.later, kind.extra or "-"))]


KINDS = {
    "quick": Kind(weight=8),
    "once": Kind(weight=4, attempts=1),
    "fails": Kind(weight=2, first=3, later=3, attempts=2),
    "flaky": Kind(weight=3, first=4, attempts=6),
    "steady": Kind(weight=5, lines=30, pause=0.05),
    "chatty": Kind(weight=2, lines=2000),
    "lingering": Kind(weight=2, extra="lingers"),
    "stopped": Kind(weight=2, lines=60, pause=0.05, is_stopped=True),
    "chained": Kind(weight=2, follows="chain"),
    "array": Kind(weight=1, size=5, first=1),
    "sequential": Kind(weight=1, size=4, follows="SEQUENTIAL"),
    "paired": Kind(weight=1, size=4, follows="N_TO_N"),
    "gang": Kind(weight=1, is_gang=True, lines=5, pause=0.05),
}
CHAIN = 3  # jobs of a chain
GANG = 3  # nodes of a multi-node job
NEEDS = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]


@dataclasses.dataclass(frozen=True)
class Request:
    """A submission, known by the job's name, whether it was answered or not."""

    name: str
    kind: Kind
    depends_on: str = ""  # id of the job before

    def members(self, directory, definitions):
        """Members of SubmitJob."""
        kind = self.kind
        members = {"jobName": self.name, "jobQueue": "default", "retryStrategy": {"attempts": kind.attempts}}
        if kind.is_gang:
            return members | {"jobDefinition": definitions["gang"]}
        depends_on = [{"type": "SEQUENTIAL"}] if kind.follows == "SEQUENTIAL" else []
        if self.depends_on:
            depends_on.append({"jobId": self.depends_on} | ({"type": "N_TO_N"} if kind.follows == "N_TO_N" else {}))
        return members | {
            "jobDefinition": definitions["load"],
            "containerOverrides": {"command": kind.command(directory)},
            "dependsOn": depends_on,
        } | ({"arrayProperties": {"size": kind.size}} if kind.size else {})

    def members_of(self, job):
        """Ids of what runs: the job itself, its children or its nodes."""
        if self.kind.is_gang:
            return [f"{job}#{index}" for index in range(GANG)]
        return [f"{job}:{index}" for index in range(self.kind.size)] or [job]

    def before(self, job):
        """Each of what runs, with what must have ended well before it begins (ids; of all of them)."""
        runs = self.members_of(job)
        if self.kind.follows == "SEQUENTIAL":
            return [(runs[0], []), *((later, [earlier]) for earlier, later in itertools.pairwise(runs))]
        if not self.depends_on:
            return [(run, []) for run in runs]
        return [(run, [self.depends_on + run.removeprefix(job)]) for run in runs]


def define(batch, directory):
    """Registers the definitions that jobs are submitted with."""
    container = {"image": "host", "command": ["true"], "resourceRequirements": NEEDS}
    gang = KINDS["gang"]
    nodes = [("0", gang.command(directory)), (f"1:{GANG - 1}", gang.command(directory, extra="waits"))]
    ranges = [{"targetNodes": nodes, "container": container | {"command": command}} for nodes, command in nodes]
    return {
        "load": batch("register_job_definition", jobDefinitionName="load", type="container", containerProperties=container)[
            "jobDefinitionArn"
        ],
        "gang": batch(
            "register_job_definition", jobDefinitionName="gang", type="multinode",
            nodeProperties={"numNodes": GANG, "mainNode": 0, "nodeRangeProperties": ranges},
        )["jobDefinitionArn"],
    }
