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
    """A share uses what another lends; UpdateServiceJob orders a share."""
    queue = create_queue(server, "lending", {TYPE: 4}, quotaSharePolicy=POLICY)
    create(server, queue, "lender", sharing={"strategy": "LEND"})
    borrower = create(server, queue, "borrower", sharing={"strategy": "LEND_AND_BORROW"})
    assert borrower["resourceSharingConfiguration"] == {"strategy": "LEND_AND_BORROW", "borrowLimit": -1}
    waiting, later = gate(), gate()
    jobs = [submit(server, queue, waiting.wait, quotaShareName="borrower") for _ in range(3)]
    jobs.append(submit(server, queue, waiting.wait, quotaShareName="lender"))
    for job_id in jobs:
        wait(server, job_id, "RUNNING")
    low, high = [
        submit(server, queue, later.wait, quotaShareName="borrower", instances=2, schedulingPriority=n) for n in (1, 2)
    ]
    snapshot = server.batch.get_job_queue_snapshot(jobQueue=queue)
    first = snapshot["frontOfQuotaShares"]["quotaShares"]
    assert {name: [job["jobArn"] for job in front] for name, front in first.items()} == {
        "borrower": [f"{ARN}service-job/{high}"], "lender": [],
    }
    assert snapshot["queueUtilization"]["quotaShareUtilization"]["topCapacityUtilization"] == [
        {"quotaShareName": "borrower", "capacityUsage": [{"capacityUnit": TYPE, "quantity": 3.0}]},
        {"quotaShareName": "lender", "capacityUsage": [{"capacityUnit": TYPE, "quantity": 1.0}]},
    ]
    server.batch.update_service_job(jobId=low, schedulingPriority=3)
    waiting.open(4)
    wait(server, low, "RUNNING")
    later.open(2)
    wait(server, high, "SUCCEEDED")

    too_large = submit(server, queue, quotaShareName="lender", instances=3)
    reason = "MISCONFIGURATION:QUOTA_MANAGEMENT_LIMIT_EXCEEDED - Job requirements exceed quota share capacity limits."
    assert wait(server, too_large, "RUNNABLE")["statusReason"] == reason
    by_share = [{"name": "QUOTA_SHARE_NAME", "values": ["lender"]}]
    found = server.batch.list_service_jobs(jobQueue=queue, filters=by_share, jobStatus="RUNNABLE")["jobSummaryList"]
    assert [(job["jobId"], job["quotaShareName"]) for job in found] == [(too_large, "lender")]


def test_preemption(server, gate):
    """User Guide, quota management, preemption: a lender takes back its own; what gave way waits again, or fails."""
    reason = "Cross-share preemption triggered to reclaim borrowed capacity"
    queue = create_queue(server, "preempting", {TYPE: 2}, quotaSharePolicy=POLICY)
    limits = [{"capacityUnit": TYPE, "maxCapacity": 1}]
    create(server, queue, "lender", sharing={"strategy": "LEND"}, limits=limits)
    create(server, queue, "borrower", sharing={"strategy": "LEND_AND_BORROW"}, limits=limits)
    own, lent, stops = gate(), gate(), gate()
    keeps = submit(server, queue, own.wait, quotaShareName="borrower", schedulingPriority=9)
    borrows = submit(
        server, queue, f"trap '{stops.wait}; exit 0' TERM; while :; do {lent.wait} && exit 0; done",
        quotaShareName="borrower",
    )
    first = wait(server, borrows, "RUNNING")
    wait(server, keeps, "RUNNING")
    assert "preemptionSummary" not in first

    lender = submit(server, queue, own.wait, quotaShareName="lender")
    told = wait_for(lambda: server.batch.describe_service_job(jobId=borrows), lambda job: job.get("statusReason"))
    assert (told["status"], told["statusReason"]) == ("RUNNING", f"PREEMPTION_IN_PROGRESS: {reason}")
    listed = server.batch.list_service_jobs(jobQueue=queue, jobStatus="RUNNING")["jobSummaryList"]
    assert {job["jobId"]: job.get("statusReason") for job in listed} == {
        keeps: None, borrows: f"PREEMPTION_IN_PROGRESS: {reason}",
    }
    stops.open()
    wait(server, lender, "RUNNING")
    job = wait(server, borrows, "RUNNABLE")
    [attempt] = job["preemptionSummary"].pop("recentPreemptedAttempts")
    assert job["preemptionSummary"] == {"preemptedAttemptCount": 1}
    assert attempt.pop("stoppedAt") >= attempt["startedAt"]
    assert attempt == {
        "serviceResourceId": first["latestAttempt"]["serviceResourceId"], "startedAt": first["startedAt"],
        "statusReason": reason,
    }
    assert (job["attempts"], job.get("statusReason"), job["latestAttempt"]) == ([], None, first["latestAttempt"])

    fragile = submit(
        server, queue, "sleep 600", quotaShareName="borrower", schedulingPriority=5,
        preemptionConfiguration={"preemptionRetriesBeforeTermination": 0},
    )
    own.open(2)
    wait(server, lender, "SUCCEEDED")
    wait(server, keeps, "SUCCEEDED")
    wait(server, fragile, "RUNNING")
    again = wait(server, borrows, "RUNNING")
    assert again["latestAttempt"] != first["latestAttempt"]
    server.batch.update_service_job(jobId=fragile, schedulingPriority=0)
    server.batch.update_service_job(jobId=borrows, schedulingPriority=1)
    submit(server, queue, quotaShareName="lender")
    failed = wait(server, fragile, "FAILED")
    assert (failed["statusReason"], failed["preemptionSummary"]["preemptedAttemptCount"]) == (reason, 1)
    lent.open()
    ended = wait(server, borrows, "SUCCEEDED")
    assert (len(ended["attempts"]), ended["preemptionSummary"]["preemptedAttemptCount"]) == (1, 1)


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
