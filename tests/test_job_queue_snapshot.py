"""GetJobQueueSnapshot. Source: API reference, GetJobQueueSnapshot, FrontOfQueueDetail, QueueSnapshotUtilizationDetail."""

from server import ARN, wait_for


def snapshot(server, queue):
    return server.batch.get_job_queue_snapshot(jobQueue=queue)


def front(server, queue):
    return [job["jobArn"].rsplit("/")[-1] for job in snapshot(server, queue)["frontOfQueue"]["jobs"]]


def used(utilization):
    [usage] = utilization
    assert usage["capacityUnit"] == "VCPU"
    return usage["quantity"]


def test_fifo(own_server, gate):
    """Order of submission, children of an array one by one; vCPUs of what is starting or running."""
    server, waiting = own_server(capacity="vcpus=2,memory=1024").start(), gate()
    assert front(server, "default") == []
    blocker = server.submit(waiting.wait, containerOverrides={"resourceRequirements": [{"type": "VCPU", "value": "2"}]})
    server.wait(blocker, "RUNNING")
    first = server.submit()
    array = server.submit(array=3)
    pending = server.submit(dependsOn=[{"jobId": first}])
    last = server.submit()
    assert front(server, f"{ARN}job-queue/default") == [first, *(f"{array}:{n}" for n in range(3)), last]

    shown = snapshot(server, "default")
    times = [job["earliestTimeAtPosition"] for job in shown["frontOfQueue"]["jobs"]]
    assert times == sorted(times)
    assert server.describe(blocker)["createdAt"] <= times[0] <= shown["frontOfQueue"]["lastUpdatedAt"]
    assert times[-1] == server.describe(last)["createdAt"]
    assert used(shown["queueUtilization"]["totalCapacityUsage"]) == 2
    assert "fairshareUtilization" not in shown["queueUtilization"]
    assert "frontOfQuotaShares" not in shown

    server.submit(array=200)
    assert len(front(server, "default")) == 100
    waiting.open()
    for job_id in (first, array, pending, last):
        server.succeed(job_id)
    wait_for(lambda: front(server, "default"), lambda jobs: not jobs)


def test_fair_share(own_server, gate):
    """By use of the shares; how much each has, the most first."""
    server, waiting = own_server(capacity="vcpus=3,memory=1024").start(), gate()
    server.batch.create_scheduling_policy(name="p", fairsharePolicy={})
    server.create_queue("fair", schedulingPolicyArn=f"{ARN}scheduling-policy/p")

    def submit(share, **members):
        return server.submit(waiting.wait, queue="fair", shareIdentifier=share, **members)

    running = [submit("a"), submit("a"), submit("b")]
    for job_id in running:
        server.wait(job_id, "RUNNING")
    a, b = [submit("a"), submit("a")], [submit("b"), submit("b")]
    c = submit("c")
    # a has 2 vCPUs, b 1, c none: c goes first, then b; then a and b have as much now, and what they had before decides.
    first, second, *others = front(server, "fair")
    assert [first, second] == [c, b[0]]
    assert sorted(others) == sorted([a[0], b[1], a[1]]) and others.index(a[0]) < others.index(a[1])
    shown = snapshot(server, "fair")["queueUtilization"]
    assert used(shown["totalCapacityUsage"]) == 3
    shares = shown["fairshareUtilization"]
    assert shares["activeShareCount"] == 3
    top = [(share["shareIdentifier"], used(share["capacityUsage"])) for share in shares["topCapacityUtilization"]]
    assert top == [("a", 2), ("b", 1), ("c", 0)]
    waiting.open(8)
    for job_id in (*running, *a, *b, c):
        server.succeed(job_id)
    shares = snapshot(server, "fair")["queueUtilization"]["fairshareUtilization"]
    assert shares["activeShareCount"] == 3, "until what they had is forgotten"


def test_refused(server, refused):
    """A queue that does not exist."""
    with refused(f"{ARN}job-queue/nobody does not exist"):
        server.batch.get_job_queue_snapshot(jobQueue="nobody")
