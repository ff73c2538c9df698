"""Source: AWS Batch API reference, SubmitJob, CancelJob, TerminateJob, DescribeJobs, ListJobs
and ListServiceJobs."""

import uuid

from server import ARN

from .case import OBSERVED, OWN, Case, patched

UNKNOWN = str(uuid.UUID(int=7))
REQUIRED = "failed to satisfy constraint: Member must not be null"


def submit(text, source=OBSERVED, fault="", **changes):
    whole = {"jobName": "refused", "jobQueue": "default", "jobDefinition": "plain"}
    return Case("SubmitJob", patched(whole, changes), text, source, fault)


def needs(kind, value):
    return {"resourceRequirements": [{"type": kind, "value": value}]}


def filters(*filters, **members):
    return {"jobQueue": "default", "filters": [{"name": name, "values": values} for name, values in filters], **members}


CASES = [
    *[submit("Job name should match valid pattern", jobName=name) for name in ("-a", "a b", "x" * 129)],
    submit("ShareIdentifier name should match a valid pattern.", jobQueue="fair", shareIdentifier="a b"),
    submit(f"{ARN}job-queue/nobody does not exist", jobQueue="nobody"),
    submit(f"{ARN}job-queue/nobody does not exist", jobQueue=f"{ARN}job-queue/nobody"),
    submit(f"Job queue {ARN}job-queue/off is not in ENABLED state: enable it to submit jobs", OWN, jobQueue="off"),
    submit(f"Job queue {ARN}job-queue/training is of type SAGEMAKER_TRAINING: use SubmitServiceJob.", OWN,
           jobQueue="training"),
    *[
        submit(f"JobDefinition name {name} does not exist or is not in ACTIVE status", jobDefinition=name)
        for name in ("nobody", "plain:9", "gone", "gone:1", f"{ARN}job-definition/nobody:1")
    ],
    submit("Job Queue is attached to Compute Environment that can not run Jobs with capability FARGATE",
           jobDefinition="on-fargate"),
    submit("Job Queue is attached to Compute Environment that can not run Jobs with capability EC2",
           jobQueue="fargate"),
    *[
        submit(
            "Job with shareIdentifier or schedulingPriority can onlybe submitted to job queue with fair share "
            "scheduling policy.", **members,
        )
        for members in ({"shareIdentifier": "a"}, {"schedulingPriorityOverride": 1})
    ],
    submit(f"shareIdentifier is required: job queue {ARN}job-queue/fair has a fair share scheduling policy", OWN,
           jobQueue="fair"),
    submit("Job cannot have more than 20 dependencies", dependsOn=[{"jobId": UNKNOWN}] * 21),
    submit(f"Dependent job {UNKNOWN} does not exist", OWN, dependsOn=[{"jobId": UNKNOWN}]),
    submit("A dependency needs the jobId of the job that it waits for.", OWN, dependsOn=[{}]),
    submit("A SEQUENTIAL dependency takes no jobId: it orders the children of this array.", OWN,
           arrayProperties={"size": 2}, dependsOn=[{"type": "SEQUENTIAL", "jobId": UNKNOWN}]),
    submit("N_TO_N and SEQUENTIAL dependencies can only be used by array jobs", OWN,
           dependsOn=[{"type": "SEQUENTIAL"}]),
    submit("Unable to substitute value. No parameter found for reference missing", jobDefinition="refs"),
    submit("Unable to substitute value. No parameter found for reference other",
           containerOverrides={"command": ["Ref::other"]}),
    *[
        submit(
            "This value was submitted in a deprecated key and may conflict with the value provided by the job "
            "definition's resource requirements.", containerOverrides=override,
        )
        for override in ({"memory": 128}, {"vcpus": 2})
    ],
    submit("vCPU must be at least 1, got 0.", containerOverrides=needs("VCPU", "0")),
    submit("Memory must be at least 4 Mib, got 3 Mib.", containerOverrides=needs("MEMORY", "3")),
    submit("Value x for type GPU in resourceRequirement is not valid. Please provide a numeric value.",
           containerOverrides=needs("GPU", "x")),
    submit("Cannot provide duplicates in resourceRequirements.",
           containerOverrides={"resourceRequirements": [{"type": "VCPU", "value": "1"}] * 2}),
    submit("Environment variable name is required.", containerOverrides={"environment": [{"value": "x"}]}),
    submit("An element of the command override must not be empty.", OWN, containerOverrides={"command": [""]}),
    *[
        submit(f"NodeOverride targets should match job definition. Non matching targets - {target}",
               jobDefinition="nodes", nodeOverrides={"nodePropertyOverrides": [{"targetNodes": target}]})
        for target in ("0:1", "7")
    ],
    submit("numNodes 1 must be more than the main node and the first node of every node range of the job definition",
           OWN, jobDefinition="nodes", nodeOverrides={"numNodes": 1}),
    submit("numNodes 2 needs a job definition with a node range that has no upper bound", OWN,
           jobDefinition="closed-nodes", nodeOverrides={"numNodes": 2}),
    submit("Number of nodes must be between 1 and 1000.", jobDefinition="nodes", nodeOverrides={"numNodes": 1001}),
    submit("A job with a multinode job definition can not be an array job", OWN, jobDefinition="nodes",
           arrayProperties={"size": 2}),
    submit("nodeOverrides can not be used with this kind of job definition", OWN, nodeOverrides={"numNodes": 2}),
    *[
        submit("Array size must be between 2 and 10000.", OWN, arrayProperties={"size": size})
        for size in (-1, 0, 1, 10_001)
    ],
    submit("attemptDurationSeconds must be at least 60 seconds.", OWN, timeout={"attemptDurationSeconds": 59}),
    submit("RetryAttempts must be provided with retry strategy.", retryStrategy={"evaluateOnExit": []}),
    submit("EvaluateOnExit should contain at least one of onExitCode, onReason or onStatusReason",
           retryStrategy={"attempts": 1, "evaluateOnExit": [{"action": "EXIT"}]}),
    submit("Evaluate on exit condition contains restricted characters.",
           retryStrategy={"attempts": 1, "evaluateOnExit": [{"action": "EXIT", "onReason": "*x*"}]}),
    submit("The tag key aws:x is reserved: keys must not begin with aws:", OWN, tags={"aws:x": "v"}),
    submit("The payload of SubmitJob can have at most 30 KiB.", OWN, parameters={"x": "y" * 31_000}),

    # Stopping. Empty texts are as good as none.
    *[
        Case(operation, {"jobId": UNKNOWN, "reason": ""}, "A reason is required.", OWN)
        for operation in ("CancelJob", "TerminateJob")
    ],
    *[
        Case(operation, {"jobId": UNKNOWN, "reason": "x" * 1025}, "A reason can have at most 1024 characters.", OWN)
        for operation in ("CancelJob", "TerminateJob")
    ],
    *[
        Case(operation, {name: value}, f"1 validation error detected: Value null at '{other}' {REQUIRED}", OWN)
        for operation in ("CancelJob", "TerminateJob")
        for name, value, other in (("jobId", UNKNOWN, "reason"), ("reason", "x", "jobId"))
    ],
    *[
        Case(operation, {"jobId": UNKNOWN, "reason": "x"}, None, "AWS Batch API reference, CancelJobs: unknown jobs")
        for operation in ("CancelJob", "TerminateJob")
    ],
    *[
        Case(operation, {"jobs": jobs, "reason": "x"}, "The number of jobs must be between 1 and 50.", OWN)
        for operation in ("CancelJobs", "TerminateJobs") for jobs in ([], [UNKNOWN] * 51)
    ],

    # Looking. Source: AWS Batch API reference, DescribeJobs and ListJobs.
    Case("DescribeJobs", {"jobs": [UNKNOWN] * 101}, "Maximum number of jobs supported is 100"),
    *[
        Case("ListJobs", request, "Exactly one of jobQueue, arrayJobId and multiNodeJobId must be specified.", OWN)
        for request in ({}, {"jobQueue": "default", "arrayJobId": UNKNOWN},
                        {"arrayJobId": UNKNOWN, "multiNodeJobId": UNKNOWN})
    ],
    *[
        Case(operation, {"jobQueue": queue, "jobStatus": status}, None, f"AWS Batch API reference, {operation}")
        for operation, queue, more in (("ListJobs", "default", []), ("ListServiceJobs", "training", ["SCHEDULED"]))
        for status in ["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED", *more]
    ],
    Case("ListJobs", {"jobQueue": "nobody"}, f"{ARN}job-queue/nobody does not exist"),
    Case("ListJobs", filters(("BEFORE_CREATED_AT", ["soon"])),
         "Filter BEFORE_CREATED_AT needs a time in milliseconds since the epoch.", OWN),
    Case("ListJobs", filters(("JOB_NAME", [])), "Filter JOB_NAME needs exactly one value.", OWN),
    *[
        Case(operation, request, "The nextToken is not one of this request's.", OWN)
        for operation, request in [
            ("ListJobs", {"jobQueue": "default", "nextToken": "x"}),
            ("DescribeComputeEnvironments", {"nextToken": "x"}), ("DescribeJobQueues", {"nextToken": "x"}),
            ("DescribeJobDefinitions", {"nextToken": "x"}), ("ListSchedulingPolicies", {"nextToken": "x"}),
            ("ListConsumableResources", {"nextToken": "x"}), ("DescribeServiceEnvironments", {"nextToken": "x"}),
            ("ListServiceJobs", {"jobQueue": "training", "nextToken": "x"}),
            ("ListQuotaShares", {"jobQueue": "shared", "nextToken": "x"}),
        ]
    ],
    *[
        Case(operation, {member: ["x"] * 101}, "At most 100 names can be described in one request.", OWN)
        for operation, member in [
            ("DescribeComputeEnvironments", "computeEnvironments"), ("DescribeJobQueues", "jobQueues"),
            ("DescribeServiceEnvironments", "serviceEnvironments"),
        ]
    ],
]
