"""Quota shares of a queue of service jobs. Source: AWS Batch User Guide, quota management."""

import pytest

from server import ARN, wait_for
from service import create_queue, submit, wait

TYPE = "ml.m5.large"
RESERVE = {"strategy": "RESERVE"}
POLICY = {"idleResourceAssignmentStrategy": "FIFO"}
LIMITS = [{"capacityUnit": TYPE, "maxCapacity": 2}]


@pytest.fixture(scope="module")
def queue(server):
    """A queue with four instances of one type."""
    return create_queue(server, "shared", {TYPE: 4}, quotaSharePolicy=POLICY)


def create(server, queue, name, *, sharing=RESERVE, limits=LIMITS, **members):
    """Creates a quota share, waits until it is VALID and returns it."""
    arn = server.batch.create_quota_share(
        jobQueue=queue, quotaShareName=name, capacityLimits=limits, resourceSharingConfiguration=sharing,
        preemptionConfiguration={"inSharePreemption": "DISABLED"}, **members,
    )["quotaShareArn"]
    return valid(server, arn)


def valid(server, arn):
    """The quota share, once it is VALID."""
    return wait_for(lambda: server.batch.describe_quota_share(quotaShareArn=arn), lambda it: it["status"] == "VALID")


def listed(server, queue):
    pages = server.batch.get_paginator("list_quota_shares").paginate(jobQueue=queue, PaginationConfig={"PageSize": 1})
    return [share["quotaShareName"] for page in pages for share in page["quotaShares"]]


def test_life(server, queue, refused):
    """API reference, the five operations; its jobs end with it."""
    made = create(server, queue, "made", tags={"team": "bakers"})
    arn = f"{ARN}job-queue/{queue}/quota-share/made"
    made.pop("ResponseMetadata")
    assert made == {
        "quotaShareName": "made", "quotaShareArn": arn, "jobQueueArn": f"{ARN}job-queue/{queue}", "state": "ENABLED",
        "status": "VALID", "capacityLimits": LIMITS, "resourceSharingConfiguration": RESERVE,
        "preemptionConfiguration": {"inSharePreemption": "DISABLED"}, "tags": {"team": "bakers"},
    }
    create(server, queue, "second")
    assert listed(server, queue) == ["made", "second"]
    server.batch.tag_resource(resourceArn=arn, tags={"oven": "3"})
    assert server.batch.list_tags_for_resource(resourceArn=arn)["tags"] == {"team": "bakers", "oven": "3"}

    jobs = [submit(server, queue, "sleep 600", quotaShareName="made", instances=2) for _ in range(2)]
    assert wait(server, jobs[0], "RUNNING")["capacityUsage"] == [{"capacityUnit": TYPE, "quantity": 2.0}]
    with refused("Cannot delete, state must be DISABLED"):
        server.batch.delete_quota_share(quotaShareArn=arn)
    sharing = {"strategy": "LEND_AND_BORROW", "borrowLimit": 50}
    server.batch.update_quota_share(
        quotaShareArn=arn, state="DISABLED", resourceSharingConfiguration=sharing,
        preemptionConfiguration={"inSharePreemption": "ENABLED"},
    )
    updated = valid(server, arn)
    assert (updated["state"], updated["resourceSharingConfiguration"]) == ("DISABLED", sharing)
    assert updated["preemptionConfiguration"] == {"inSharePreemption": "ENABLED"}
    with refused("is not in ENABLED state"):
        submit(server, queue, quotaShareName="made")
    server.batch.delete_quota_share(quotaShareArn=arn)
    for job_id in jobs:
        job = wait(server, job_id, "FAILED")
        assert (job["statusReason"], job["isTerminated"]) == ("Quota share was deleted", True)
    wait_for(lambda: listed(server, queue), lambda names: names == ["second"])
    with refused("does not exist"):
        server.batch.describe_quota_share(quotaShareArn=arn)


def test_lend_and_borrow(server, gate):
    """A share uses what another lends, and gives it back when its jobs have ended; UpdateServiceJob orders a share."""
    queue = create_queue(server, "lending", {TYPE: 4}, quotaSharePolicy=POLICY)
    create(server, queue, "lender", sharing={"strategy": "LEND"})
    borrower = create(server, queue, "borrower", sharing={"strategy": "LEND_AND_BORROW"})
    assert borrower["resourceSharingConfiguration"] == {"strategy": "LEND_AND_BORROW", "borrowLimit": -1}
    waiting = gate()
    jobs = [submit(server, queue, waiting.wait, quotaShareName="borrower") for _ in range(4)]
    for job_id in jobs:
        wait(server, job_id, "RUNNING")
    low, high = [
        submit(server, queue, waiting.wait, quotaShareName="lender", instances=2, schedulingPriority=n) for n in (1, 2)
    ]
    snapshot = server.batch.get_job_queue_snapshot(jobQueue=queue)
    first = snapshot["frontOfQuotaShares"]["quotaShares"]
    assert {name: [job["jobArn"] for job in front] for name, front in first.items()} == {
        "borrower": [], "lender": [f"{ARN}service-job/{high}"],
    }
    assert snapshot["queueUtilization"]["quotaShareUtilization"]["topCapacityUtilization"] == [
        {"quotaShareName": "borrower", "capacityUsage": [{"capacityUnit": TYPE, "quantity": 4.0}]}
    ]
    server.batch.update_service_job(jobId=low, schedulingPriority=3)
    waiting.open(4)
    wait(server, low, "RUNNING")
    waiting.open(2)
    wait(server, high, "SUCCEEDED")

    too_large = submit(server, queue, quotaShareName="lender", instances=3)
    reason = "MISCONFIGURATION:QUOTA_MANAGEMENT_LIMIT_EXCEEDED - Job requirements exceed quota share capacity limits."
    assert wait(server, too_large, "RUNNABLE")["statusReason"] == reason
    by_share = [{"name": "QUOTA_SHARE_NAME", "values": ["lender"]}]
    found = server.batch.list_service_jobs(jobQueue=queue, filters=by_share, jobStatus="RUNNABLE")["jobSummaryList"]
    assert [(job["jobId"], job["quotaShareName"]) for job in found] == [(too_large, "lender")]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"quotaShareName": "-bad"}, "Quota share name should match a valid pattern."),
        ({"jobQueue": "none"}, "job-queue/none does not exist"),
        ({"jobQueue": "default"}, "is not of type SAGEMAKER_TRAINING"),
        ({"capacityLimits": []}, "capacityLimits is required."),
        ({"capacityLimits": [{"capacityUnit": "NUM_INSTANCES", "maxCapacity": 1}]}, "is unknown capacity unit"),
        ({"capacityLimits": [{"capacityUnit": TYPE, "maxCapacity": 0}]}, "Max capacity must be more than 0."),
        ({"resourceSharingConfiguration": {"strategy": "LEND_AND_BORROW", "borrowLimit": -2}}, "borrowLimit must be"),
        ({"resourceSharingConfiguration": {"strategy": "LEND", "borrowLimit": 5}}, "LEND_AND_BORROW"),
    ],
)
def test_shares_that_are_refused(server, queue, refused, members, message):
    """API reference, CreateQuotaShare."""
    given = {
        "jobQueue": queue, "quotaShareName": "refused", "capacityLimits": LIMITS, "resourceSharingConfiguration": RESERVE,
        "preemptionConfiguration": {"inSharePreemption": "DISABLED"},
    }
    with refused(message):
        server.unchecked.create_quota_share(**(given | members))


@pytest.mark.parametrize(("name", "policy"), [("without", {}), ("fair", {"fairsharePolicy": {}})])
def test_other_queues(server, refused, name, policy):
    """User Guide, quota management: the queue has a quota share policy."""
    queue = create_queue(server, name, {TYPE: 1}, **policy)
    with refused("has no quota share scheduling policy"):
        create(server, queue, "share")


def test_what_a_job_must_name(server, queue, refused):
    """User Guide, quota management: jobs name their quota share."""
    create(server, queue, "named")
    with refused("quotaShareName is required"):
        submit(server, queue)
    with refused("fair share"):
        submit(server, queue, quotaShareName="named", shareIdentifier="s")
    with refused("quota-share/none does not exist"):
        submit(server, queue, quotaShareName="none")
    with refused("Only quota share Arn can be allowed."):
        server.batch.describe_quota_share(quotaShareArn="named")
