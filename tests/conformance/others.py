"""Source: AWS Batch API reference: policies, consumable resources, service environments, quota shares, service jobs, tags."""

import uuid

from server import ARN
from service import payload

from .case import OBSERVED, OWN, Case, patched

UNKNOWN = str(uuid.UUID(int=7))
EITHER = "A scheduling policy can have either fairsharePolicy or quotaSharePolicy"
QUOTA = {"idleResourceAssignmentStrategy": "FIFO"}
WEIGHT = "Weight factor should be between 0.0001 and 999.9999."


def policy(text, *shares, source=OBSERVED, fault="", fair=None, **members):
    distribution = [share if isinstance(share, dict) else {"shareIdentifier": share} for share in shares]
    whole = {"name": "refused", "fairsharePolicy": {"shareDistribution": distribution, **(fair or {})}}
    return Case("CreateSchedulingPolicy", patched(whole, members), text, source, fault)


def consumable(text, source=OBSERVED, **changes):
    whole = {"consumableResourceName": "refused", "resourceType": "REPLENISHABLE", "totalQuantity": 1}
    return Case("CreateConsumableResource", patched(whole, changes), text, source)


def change(text, source=OBSERVED, **changes):
    whole = {"consumableResource": "licences", "operation": "SET", "quantity": 1}
    return Case("UpdateConsumableResource", patched(whole, changes), text, source)


def capacity(*limits):
    return [{"capacityUnit": unit, "maxCapacity": most} for unit, most in limits]


def service(text, *limits, source=OBSERVED, **changes):
    whole = {
        "serviceEnvironmentName": "refused", "serviceEnvironmentType": "SAGEMAKER_TRAINING",
        "capacityLimits": capacity(*limits),
    }
    return Case("CreateServiceEnvironment", patched(whole, changes), text, source)


def share(text, source=OWN, **changes):
    whole = {
        "quotaShareName": "refused", "jobQueue": "shared", "capacityLimits": capacity(("ml.m5.large", 1)),
        "resourceSharingConfiguration": {"strategy": "RESERVE"},
        "preemptionConfiguration": {"inSharePreemption": "DISABLED"},
    }
    return Case("CreateQuotaShare", patched(whole, changes), text, source)


def train(text, source=OWN, **changes):
    whole = {
        "jobName": "refused", "jobQueue": "training", "serviceJobType": "SAGEMAKER_TRAINING",
        "serviceRequestPayload": payload(),
    }
    return Case("SubmitServiceJob", patched(whole, changes), text, source)


INSTANCES = ("NUM_INSTANCES", 1)

CASES = [
    policy("Scheduling policy name should match a valid pattern.", name="a b"),
    policy(EITHER, quotaSharePolicy=QUOTA),
    policy(EITHER, fairsharePolicy=None),
    Case("UpdateSchedulingPolicy", {"arn": f"{ARN}scheduling-policy/fair", "quotaSharePolicy": QUOTA}, EITHER),
    policy(
        "Idle resource assignment strategy must be one of [FIFO].", fairsharePolicy=None,
        quotaSharePolicy={"idleResourceAssignmentStrategy": "LIFO"},
        fault="the enum of the model is checked first, and has a sentence of its own",
    ),
    *[policy(WEIGHT, {"shareIdentifier": "a", "weightFactor": weight}) for weight in (0, 0.00001, 1000.0, -1.0)],
    policy("Cannot have two or more identical shareIdentifiers.", "a", "a"),
    policy("Share identifier a1 matches another share identifier a*", "a*", "a1"),
    policy("Share identifier a matches another share identifier a*", "a*", "a"),
    policy("Share identifier ab* matches another share identifier a*", "ab*", "a*"),
    policy("ShareDistribution size cannot be greater than 500.", *[f"s{n}" for n in range(501)]),
    *[policy("ShareIdentifier name should match a valid pattern.", name) for name in ("a b", "x" * 256, "a*b")],
    *[
        policy(f"{name} should be between 0 and {most}.", source=OWN, fair={name: value})
        for name, most in (("shareDecaySeconds", 604_800), ("computeReservation", 99)) for value in (-1, most + 1)
    ],
    policy(f"Object already exists: {ARN}scheduling-policy/fair already exists", name="fair"),
    Case("UpdateSchedulingPolicy", {"arn": f"{ARN}scheduling-policy/nobody", "fairsharePolicy": {}},
         f"{ARN}scheduling-policy/nobody does not exist", OWN),
    policy(None, "a-b_c", "b*", source="AWS Batch API reference, ShareAttributes", name="accepted",
           fair={"shareDecaySeconds": 604_800, "computeReservation": 99}),

    consumable("ConsumableResource name should match a valid pattern.", consumableResourceName="a b"),
    consumable("totalQuantity cannot be a negative number.", totalQuantity=-1),
    consumable("resourceType must be one of [REPLENISHABLE, NON_REPLENISHABLE].", OWN, resourceType="ENDLESS"),
    consumable(f"Object already exists: {ARN}consumable-resource/licences already exists",
               consumableResourceName="licences"),
    change("operation must be one of [SET, ADD, REMOVE].", OWN, operation="DOUBLE"),
    change("quantity is required.", OWN, quantity=None),
    change("quantity cannot be a negative number.", OWN, quantity=-1),
    change(
        f"The total quantity of {ARN}consumable-resource/licences is 3: it can neither fall below 0 nor exceed "
        "9223372036854775807.", OWN, operation="REMOVE", quantity=4,
    ),
    change(f"{ARN}consumable-resource/nobody does not exist", OWN, consumableResource="nobody"),

    service("Service environment name should match a valid pattern.", INSTANCES, serviceEnvironmentName="a b"),
    service("Max capacity must be more than 0.", ("NUM_INSTANCES", 0)),
    service("Number of capacity limits exceeds 5.", *[(f"ml.m{n}.large", 1) for n in range(6)]),
    service("Capacity units must specify either number of instances OR instance type", INSTANCES, ("ml.m5.large", 1)),
    service("VCPU is unknown capacity unit", ("VCPU", 1)),
    service("capacityLimits is required.", source=OWN),
    service(f"Object already exists: {ARN}service-environment/training already exists", INSTANCES,
            serviceEnvironmentName="training"),
    Case("UpdateServiceEnvironment", {"serviceEnvironment": "training", "capacityLimits": capacity(("VCPU", 1))},
         "VCPU is unknown capacity unit"),
    Case("DeleteServiceEnvironment", {"serviceEnvironment": "training"}, "Cannot delete, state must be DISABLED", OWN),

    share("Quota share name should match a valid pattern.", quotaShareName="a b"),
    share("Number of capacity limits exceeds 5.", OBSERVED,
          capacityLimits=capacity(*[(f"ml.m{n}.large", 1) for n in range(6)])),
    share("Max capacity must be more than 0.", OBSERVED, capacityLimits=capacity(("ml.m5.large", 0))),
    share(f"Job queue {ARN}job-queue/default is not of type SAGEMAKER_TRAINING.", jobQueue="default"),
    share(
        f"Job queue {ARN}job-queue/training has no quota share scheduling policy: create quota shares in a queue that has "
        "one.", jobQueue="training",
    ),
    share(f"{ARN}job-queue/nobody does not exist", jobQueue="nobody"),
    *[
        share(None, "AWS Batch API reference, QuotaShareResourceSharingConfiguration", quotaShareName=strategy,
              resourceSharingConfiguration={"strategy": strategy, **more}, state=state,
              preemptionConfiguration={"inSharePreemption": preemption})
        for strategy, more, state, preemption in [
            ("RESERVE", {}, "ENABLED", "ENABLED"), ("LEND", {}, "DISABLED", "DISABLED"),
            ("LEND_AND_BORROW", {"borrowLimit": -1}, "ENABLED", "DISABLED"),
        ]
    ],

    train("Job name should match valid pattern", OBSERVED, jobName="a b"),
    train(f"Job queue {ARN}job-queue/default is not of type SAGEMAKER_TRAINING.", jobQueue="default"),
    train(f"quotaShareName can not be used: job queue {ARN}job-queue/training has no quota share scheduling policy",
          quotaShareName="x"),
    train(f"quotaShareName is required: job queue {ARN}job-queue/shared has a quota share scheduling policy",
          jobQueue="shared"),
    train(f"shareIdentifier is required: job queue {ARN}job-queue/fair-training has a fair share scheduling policy",
          jobQueue="fair-training"),
    train(
        "Job with shareIdentifier or schedulingPriority can onlybe submitted to job queue with fair share scheduling "
        "policy.", OBSERVED, shareIdentifier="a",
    ),
    train(f"{ARN}job-queue/nobody does not exist", jobQueue="nobody"),
    *[
        train(None, "AWS Batch API reference, ServiceJobEvaluateOnExit", jobName="accepted", retryStrategy={
            "attempts": 2, "evaluateOnExit": [{"action": action, "onStatusReason": "Received status from SageMaker: *"}]
        })
        for action in ("RETRY", "EXIT")
    ],
    Case("DescribeServiceJob", {"jobId": UNKNOWN}, f"Service job {UNKNOWN} does not exist", OWN),

    *[
        Case("TagResource", {"resourceArn": f"{ARN}{resource}", "tags": {"a": "b"}}, f"{ARN}{resource} does not exist",
             OWN)
        for resource in ("job-queue/nobody", "compute-environment/nobody", "job-definition/nobody:1",
                         "scheduling-policy/nobody", "consumable-resource/nobody", "service-environment/nobody",
                         f"job/{UNKNOWN}")
    ],
    *[
        Case("TagResource", {"resourceArn": f"{ARN}job/{UNKNOWN}{child}", "tags": {"a": "b"}},
             f"{ARN}job/{UNKNOWN}{child} cannot be tagged: tag the parent job instead", OWN)
        for child in (":0", "#0")
    ],
    Case("TagResource", {"resourceArn": f"{ARN}job-queue/default", "tags": {"aws:x": "v"}},
         "The tag key aws:x is reserved: keys must not begin with aws:", OWN),
]
