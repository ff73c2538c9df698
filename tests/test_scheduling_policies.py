"""Scheduling policies, and the queues that they order. Source: API reference, the five operations and FairsharePolicy."""

import pytest

from server import ARN, wait_for
from service import create_queue as create_service_queue

FAIR = {
    "shareDecaySeconds": 3600,
    "computeReservation": 1,
    "shareDistribution": [{"shareIdentifier": "A1*", "weightFactor": 0.1}, {"shareIdentifier": "B1"}],
}
QUOTA = {"idleResourceAssignmentStrategy": "FIFO"}


def arn(name):
    return f"{ARN}scheduling-policy/{name}"


def describe(server, *names):
    return server.batch.describe_scheduling_policies(arns=[arn(name) for name in names])["schedulingPolicies"]


@pytest.fixture(scope="module")
def fair(server):
    """A queue with policy `weighed`: share `light` is entitled to four times as much as any other."""
    shares = [{"shareIdentifier": "light", "weightFactor": 0.25}]
    server.batch.create_scheduling_policy(name="weighed", fairsharePolicy={"shareDistribution": shares})
    return server.create_queue("fair", schedulingPolicyArn=arn("weighed"))


def test_life(server, refused):
    """CreateSchedulingPolicy, Describe, Update (replaces), List, Delete; a free name can be used again."""
    answer = server.batch.create_scheduling_policy(name="made", fairsharePolicy=FAIR, tags={"team": "bakers"})
    assert (answer["name"], answer["arn"]) == ("made", arn("made"))
    made = {"name": "made", "arn": arn("made"), "fairsharePolicy": FAIR, "tags": {"team": "bakers"}}
    assert describe(server, "made", "nobody", "made") == [made]

    server.batch.update_scheduling_policy(arn=arn("made"), fairsharePolicy={"shareDecaySeconds": 600})
    assert describe(server, "made") == [made | {"fairsharePolicy": {"shareDecaySeconds": 600}}]

    server.batch.create_scheduling_policy(name="quota", quotaSharePolicy=QUOTA)
    assert describe(server, "quota", "made")[0]["quotaSharePolicy"] == QUOTA, "in the order of the request"
    pages = list(server.batch.get_paginator("list_scheduling_policies").paginate(PaginationConfig={"PageSize": 1}))
    assert all(len(page["schedulingPolicies"]) == 1 for page in pages)
    assert {arn("made"), arn("quota")} <= {policy["arn"] for page in pages for policy in page["schedulingPolicies"]}

    for name in ("made", "quota"):
        server.batch.delete_scheduling_policy(arn=arn(name))
        with refused(f"{arn(name)} does not exist"):
            server.batch.delete_scheduling_policy(arn=arn(name))
    assert describe(server, "made", "quota") == []
    server.batch.create_scheduling_policy(name="made", fairsharePolicy={})
    server.batch.delete_scheduling_policy(arn=arn("made"))


def shares(*identifiers, **weights):
    entries = [{"shareIdentifier": identifier} for identifier in identifiers]
    entries += [{"shareIdentifier": identifier, "weightFactor": weight} for identifier, weight in weights.items()]
    return {"fairsharePolicy": {"shareDistribution": entries}}


# Source of the texts: observed error text.
EITHER = "A scheduling policy can have either fairsharePolicy or quotaSharePolicy"
WEIGHT = "Weight factor should be between 0.0001 and 999.9999."
REFUSED = [
    ({}, EITHER),
    ({"fairsharePolicy": {}, "quotaSharePolicy": QUOTA}, EITHER),
    ({"name": "with space", "fairsharePolicy": {}}, "Scheduling policy name should match a valid pattern."),
    ({"fairsharePolicy": {"shareDecaySeconds": 604801}}, "604800"),
    ({"fairsharePolicy": {"computeReservation": 100}}, "99"),
    (shares(a=0), WEIGHT),
    (shares(a=1000), WEIGHT),
    (shares("a", "a"), "Cannot have two or more identical shareIdentifiers."),
    (shares("a*", "ab"), "Share identifier ab matches another share identifier a*"),
    (shares(*map(str, range(501))), "ShareDistribution size cannot be greater than 500."),
    (shares("a b"), "ShareIdentifier name should match a valid pattern."),
    ({"quotaSharePolicy": {"idleResourceAssignmentStrategy": "LIFO"}}, ""),
]


@pytest.mark.parametrize(("members", "text"), REFUSED)
def test_refused(server, refused, members, text):
    """What a policy may not say."""
    with refused(text):
        server.unchecked.create_scheduling_policy(**({"name": "refused"} | members))
    assert describe(server, "refused") == []


def test_a_policy_and_its_queue(server, fair, refused):
    """User Guide, Create a scheduling policy and Job queue parameters: it can be replaced, not removed; FIFO stays FIFO."""
    queue = server.settled_queue(fair)
    assert queue["schedulingPolicyArn"] == arn("weighed")
    with refused("Cannot delete"):
        server.batch.delete_scheduling_policy(arn=arn("weighed"))
    with refused(EITHER):
        server.batch.update_scheduling_policy(arn=arn("weighed"), quotaSharePolicy=QUOTA)
    with refused("scheduling policy"):
        server.batch.update_job_queue(jobQueue="default", schedulingPolicyArn=arn("weighed"))
    with refused(f"SchedulingPolicy {arn('nobody')} not found."):
        server.batch.update_job_queue(jobQueue=fair, schedulingPolicyArn=arn("nobody"))
    with refused("Only scheduling policy Arn can be allowed."):
        server.batch.update_job_queue(jobQueue=fair, schedulingPolicyArn=f"{ARN}job-queue/default")
    server.batch.create_scheduling_policy(name="quota-only", quotaSharePolicy=QUOTA)
    with refused("Quota Management feature is only supported for SageMaker Training job queues."):
        server.batch.update_job_queue(jobQueue=fair, schedulingPolicyArn=arn("quota-only"))

    server.batch.create_scheduling_policy(name="second", fairsharePolicy={})
    server.batch.update_job_queue(jobQueue=fair, schedulingPolicyArn=arn("second"))
    assert server.settled_queue(fair)["schedulingPolicyArn"] == arn("second")
    server.batch.update_job_queue(jobQueue=fair, schedulingPolicyArn=arn("weighed"))
    assert server.settled_queue(fair)["schedulingPolicyArn"] == arn("weighed")
    server.batch.delete_scheduling_policy(arn=arn("second"))


def test_a_policy_and_its_queue_of_service_jobs(server, refused):
    """User Guide, quota management: such queues take policies of both kinds; a policy is replaced by one of its kind."""
    for kind, body, other, other_body in (
        ("fairsharePolicy", {}, "quotaSharePolicy", QUOTA),
        ("quotaSharePolicy", QUOTA, "fairsharePolicy", {}),
    ):
        queue = create_service_queue(server, f"of-{kind}", {"ml.m5.large": 1}, **{kind: body})
        assert server.settled_queue(queue)["schedulingPolicyArn"] == arn(queue)
        server.batch.create_scheduling_policy(name=f"second-{kind}", **{kind: body})
        server.batch.create_scheduling_policy(name=f"other-{kind}", **{other: other_body})
        with refused("can only be replaced by one of the same kind"):
            server.batch.update_job_queue(jobQueue=queue, schedulingPolicyArn=arn(f"other-{kind}"))
        server.batch.update_job_queue(jobQueue=queue, schedulingPolicyArn=arn(f"second-{kind}"))
        assert server.settled_queue(queue)["schedulingPolicyArn"] == arn(f"second-{kind}")
    fifo = create_service_queue(server, "fifo-training", {"ml.m5.large": 1})
    with refused("scheduling policy"):
        server.batch.update_job_queue(jobQueue=fifo, schedulingPolicyArn=arn("other-fairsharePolicy"))


def test_submit(server, fair, refused):
    """API reference, SubmitJob: shareIdentifier, schedulingPriorityOverride."""
    only = "Job with shareIdentifier or schedulingPriority can onlybe submitted to job queue with fair share scheduling policy."
    with refused(only):
        server.submit(shareIdentifier="a")
    with refused(only):
        server.submit(schedulingPriorityOverride=1)
    with refused("shareIdentifier"):
        server.submit(queue=fair)
    for bad in ("a b", "a*", "", "x" * 256):
        with refused("ShareIdentifier name should match a valid pattern."):
            server.submit(queue=fair, shareIdentifier=bad)
    with refused():
        server.submit(queue=fair, shareIdentifier="a", schedulingPriorityOverride=10_000)
    definition = server.define("urgent", schedulingPriority=7)
    for priority, members in ((7, {}), (9999, {"schedulingPriorityOverride": 9999})):
        job = server.succeed(server.submit(queue=fair, definition=definition, shareIdentifier="a_-9", **members))
        assert (job["shareIdentifier"], job["schedulingPriority"]) == ("a_-9", priority)
    listed = server.batch.list_jobs(jobQueue=fair, filters=[{"name": "SHARE_IDENTIFIER", "values": ["a_-9"]}])
    assert {job["shareIdentifier"] for job in listed["jobSummaryList"]} == {"a_-9"}
    assert len(listed["jobSummaryList"]) == 2


def test_order(own_server, gate, tmp_path):
    """User Guide, Fair-share scheduling policies: the share with the least use goes next, in it the higher priority."""
    server = own_server(capacity="vcpus=1,memory=1024").start()
    server.batch.create_scheduling_policy(name="p", fairsharePolicy={})
    queue = server.create_queue("fair", schedulingPolicyArn=arn("p"))
    second = server.create_queue("second", priority=9)
    waiting = gate()
    blocker = server.submit(waiting.wait, queue=second)
    server.wait(blocker, "RUNNING")
    script = f"echo $AWS_BATCH_JOB_ID >> {tmp_path}/order"
    names = {}
    for name, share, priority in (("low", "a", 1), ("high", "a", 5), ("other", "b", 0), ("none", "a", 0)):
        job_id = server.submit(script, name=name, queue=queue, shareIdentifier=share, schedulingPriorityOverride=priority)
        names[job_id] = name
    snapshot = server.batch.get_job_queue_snapshot(jobQueue=queue)["frontOfQueue"]["jobs"]
    front = [names[job["jobArn"].rsplit("/")[-1]] for job in snapshot]
    # Were they to run side by side, `b` would be next after the first of `a`.
    assert front == ["high", "other", "low", "none"]
    waiting.open()
    for job_id in names:
        server.succeed(job_id)
    # One at a time, no share has any use when the next is chosen, and the older head goes.
    started = [names[job_id] for job_id in (tmp_path / "order").read_text().split()]
    assert started == ["high", "low", "other", "none"]
    wait_for(lambda: server.batch.get_job_queue_snapshot(jobQueue=queue)["frontOfQueue"]["jobs"], lambda jobs: not jobs)
