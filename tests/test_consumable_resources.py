"""Consumable resources. Source: API reference, the six operations; User Guide, Resource-aware scheduling."""

import itertools
import uuid

import pytest

from server import ARN, wait_for

numbers = itertools.count()


def arn(name):
    return f"{ARN}consumable-resource/{name}"


@pytest.fixture
def resource(server):
    """Makes resources with names of their own."""

    def make(total, **members):
        name = f"resource-{next(numbers)}"
        server.batch.create_consumable_resource(consumableResourceName=name, totalQuantity=total, **members)
        return name

    return make


def needs(**quantities):
    entries = [{"consumableResource": name, "quantity": quantity} for name, quantity in quantities.items()]
    return {"consumableResourcePropertiesOverride": {"consumableResourceList": entries}}


def needs_of(name, quantity):
    return needs(**{name: quantity})


def amounts(server, name):
    found = server.batch.describe_consumable_resource(consumableResource=name)
    return found["totalQuantity"], found["inUseQuantity"], found["availableQuantity"]


def update(server, name, operation, quantity, **members):
    client = server.unchecked
    return client.update_consumable_resource(
        consumableResource=name, operation=operation, quantity=quantity, **members
    )["totalQuantity"]


def test_life(server, refused):
    """Create, Describe, Update, Delete; by name and by ARN."""
    answer = server.batch.create_consumable_resource(
        consumableResourceName="licence", totalQuantity=5, tags={"team": "bakers"}
    )
    assert answer["consumableResourceArn"] == arn("licence")
    found = server.batch.describe_consumable_resource(consumableResource=arn("licence"))
    created_at = found.pop("createdAt")
    assert created_at > 1_700_000_000_000
    del found["ResponseMetadata"]
    assert found == {
        "consumableResourceName": "licence", "consumableResourceArn": arn("licence"), "resourceType": "REPLENISHABLE",
        "totalQuantity": 5, "inUseQuantity": 0, "availableQuantity": 5, "tags": {"team": "bakers"},
    }
    with refused("already exists"):
        server.batch.create_consumable_resource(consumableResourceName="licence")
    for operation, quantity, total in (("ADD", 3, 8), ("REMOVE", 8, 0), ("SET", 2, 2)):
        assert update(server, "licence", operation, quantity) == total
    server.batch.delete_consumable_resource(consumableResource="licence")
    for missing in ("licence", arn("licence")):
        with refused(f"{arn('licence')} does not exist"):
            server.batch.describe_consumable_resource(consumableResource=missing)
    with refused("does not exist"):
        update(server, "licence", "SET", 1)
    with refused("does not exist"):
        server.batch.delete_consumable_resource(consumableResource="licence")
    with refused("does not exist"):
        server.batch.list_jobs_by_consumable_resource(consumableResource="licence")


def test_refused(server, resource, refused):
    """Observed error texts, and bounds of the model."""
    for members, text in (
        ({"consumableResourceName": "with space"}, "ConsumableResource name should match a valid pattern."),
        ({"totalQuantity": -1}, "totalQuantity cannot be a negative number."),
        ({"resourceType": "MAGIC"}, "REPLENISHABLE"),
    ):
        with refused(text):
            server.unchecked.create_consumable_resource(**({"consumableResourceName": "refused"} | members))
    name = resource(3)
    for operation, quantity in (("REMOVE", 4), ("SET", -1), ("ADD", 2**63 - 1), ("DOUBLE", 2)):
        with refused():
            update(server, name, operation, quantity)
    with refused():
        server.unchecked.update_consumable_resource(consumableResource=name)
    assert amounts(server, name) == (3, 0, 3)


def test_client_token(server, resource):
    """API reference, UpdateConsumableResource clientToken: a repeated request succeeds and is not applied again."""
    name, token = resource(1), str(uuid.uuid4())
    assert [update(server, name, "ADD", 1, clientToken=token) for _ in range(3)] == [2, 2, 2]
    assert update(server, name, "ADD", 1) == 3  # boto3 makes a token of its own for each


def test_list(server, resource):
    """ListConsumableResources: pages; CONSUMABLE_RESOURCE_NAME, whatever the case, with `*`."""
    names = sorted(resource(n) for n in range(3))
    pages = list(server.batch.get_paginator("list_consumable_resources").paginate(PaginationConfig={"PageSize": 2}))
    listed = {entry["consumableResourceName"]: entry for page in pages for entry in page["consumableResources"]}
    assert all(len(page["consumableResources"]) <= 2 for page in pages) and set(names) <= set(listed)
    assert listed[names[0]] == {
        "consumableResourceName": names[0], "consumableResourceArn": arn(names[0]), "resourceType": "REPLENISHABLE",
        "totalQuantity": 0, "inUseQuantity": 0,
    }

    def found(*values):
        filters = [{"name": "CONSUMABLE_RESOURCE_NAME", "values": list(values)}]
        answer = server.batch.list_consumable_resources(filters=filters)
        return [entry["consumableResourceName"] for entry in answer["consumableResources"]]

    assert found(names[1].upper()) == [names[1]]
    assert set(names) <= set(found("RESOURCE-*"))
    assert found("nobody") == []


def test_a_job_waits_and_gives_back(server, resource, gate):
    """Reserved from STARTING on, given back on SUCCEEDED and FAILED; who does not need it goes past."""
    name, waiting = resource(2), gate()
    queue = server.create_queue(f"strict-{name}")
    first = server.submit(waiting.wait, queue=queue, **needs_of(name, 2))
    server.wait(first, "RUNNING")
    second = server.submit("exit 3", queue=queue, **needs_of(name, 1))
    third = server.submit(queue=queue)
    assert amounts(server, name) == (2, 2, 0)
    server.succeed(third)
    assert server.describe(second)["status"] == "RUNNABLE"
    assert update(server, name, "SET", 1) == 1
    assert amounts(server, name) == (1, 2, 0)
    waiting.open()
    server.succeed(first)
    server.fail(second)
    assert amounts(server, name) == (1, 0, 1)


def test_what_is_not_replenishable_is_used_up(server, resource):
    """NON_REPLENISHABLE: total and available drop and nothing comes back, whatever the outcome; each attempt anew."""
    name = resource(5, resourceType="NON_REPLENISHABLE")
    server.fail(server.submit("false", retryStrategy={"attempts": 2}, **needs_of(name, 2)))
    assert amounts(server, name) == (1, 0, 1)
    found = server.batch.describe_consumable_resource(consumableResource=name)
    assert found["resourceType"] == "NON_REPLENISHABLE"


def test_definitions_and_jobs(server, resource, refused):
    """RegisterJobDefinition consumableResourceProperties and its override in SubmitJob; echoed by the Describe operations."""
    one, two = resource(9), resource(9)
    given = {"consumableResourceList": [{"consumableResource": one, "quantity": 2}]}
    definition = server.define("consumer", consumableResourceProperties=given)
    [described] = server.batch.describe_job_definitions(jobDefinitions=[definition])["jobDefinitions"]
    assert described["consumableResourceProperties"] == given

    def needed(job_id):
        entries = server.describe(job_id)["consumableResourceProperties"]["consumableResourceList"]
        return {entry["consumableResource"]: entry["quantity"] for entry in entries}

    plain = server.submit(definition=definition)
    replaced = server.submit(definition=definition, **needs_of(arn(two), 1))
    assert (needed(plain), needed(replaced)) == ({arn(one): 2}, {arn(two): 1})
    assert "consumableResourceProperties" not in server.describe(server.submit())

    with refused(f"{arn('nobody')} does not exist"):
        server.submit(**needs_of("nobody", 1))
    with refused("quantity cannot be a negative number."):
        server.submit(**needs_of(one, -1))
    with refused("ConsumableResource name should match a valid pattern."):
        bad = {"consumableResourceList": [{"consumableResource": "a b", "quantity": 1}]}
        server.define("refused", consumableResourceProperties=bad)


def test_jobs_by_resource(server, resource):
    """ListJobsByConsumableResource: newest first; JOB_STATUS, JOB_NAME."""
    name = resource(1)
    ids = [server.submit("true" if n else "false", name=f"Needy-{n}", **needs_of(name, 1)) for n in range(3)]
    stuck = server.submit(name="stuck", **needs_of(name, 2))
    for job_id in ids:
        server.wait(job_id)

    def listed(**selection):
        pages = server.batch.get_paginator("list_jobs_by_consumable_resource").paginate(
            consumableResource=name, PaginationConfig={"PageSize": 2}, **selection
        )
        return [job for page in pages for job in page["jobs"]]

    def found(filter, *values):
        return [job["jobName"] for job in listed(filters=[{"name": filter, "values": list(values)}])]

    assert [job["jobName"] for job in listed()] == ["stuck", "Needy-2", "Needy-1", "Needy-0"]
    assert found("JOB_NAME", "needy-*") == ["Needy-2", "Needy-1", "Needy-0"]
    assert found("JOB_STATUS", "FAILED", "RUNNABLE") == ["stuck", "Needy-0"]
    job = listed()[0]
    assert (job["jobArn"], job["quantity"], job["jobStatus"]) == (f"{ARN}job/{stuck}", 2, "RUNNABLE")
    assert job["jobQueueArn"] == f"{ARN}job-queue/default"
    server.batch.cancel_job(jobId=stuck, reason="never")
    assert wait_for(lambda: found("JOB_STATUS", "RUNNABLE"), lambda names: not names) == []


def test_a_restart_keeps_the_books(own_server, gate):
    """What running jobs hold, and what was used up, is known after a crash."""
    server, waiting = own_server().start(), gate()
    for name, kind in (("back", "REPLENISHABLE"), ("gone", "NON_REPLENISHABLE")):
        server.batch.create_consumable_resource(consumableResourceName=name, totalQuantity=3, resourceType=kind)
    job_id = server.submit(waiting.wait, **needs(back=2, gone=2))
    server.wait(job_id, "RUNNING")
    server.kill()
    server.start()
    assert (amounts(server, "back"), amounts(server, "gone")) == ((3, 2, 1), (1, 0, 1))
    waiting.open()
    server.succeed(job_id)
    assert (amounts(server, "back"), amounts(server, "gone")) == ((3, 0, 3), (1, 0, 1))
