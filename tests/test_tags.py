"""Tags on every resource that can have them. Source: AWS Batch User Guide, Tag your AWS Batch resources."""

import pytest

from server import ARN
from signing import call


@pytest.fixture(
    params=[
        "compute-environment", "job-queue", "job-definition", "job", "scheduling-policy", "consumable-resource",
    ]
)
def arn(request, server):
    """The ARN of a fresh resource of each kind, tagged with a=1."""
    tags = {"a": "1"}
    name = "tagged"
    if request.param == "job":
        job_id = server.submit(tags=tags)
        yield f"{ARN}job/{job_id}"
    elif request.param == "job-definition":
        yield f"{ARN}job-definition/{server.define(name, tags=tags)}"
    elif request.param == "scheduling-policy":
        yield server.batch.create_scheduling_policy(name=name, fairsharePolicy={}, tags=tags)["arn"]
    elif request.param == "consumable-resource":
        answer = server.batch.create_consumable_resource(consumableResourceName=name, tags=tags)
        yield answer["consumableResourceArn"]
    elif request.param == "job-queue":
        server.create_queue(name, tags=tags)
        yield f"{ARN}job-queue/{name}"
    else:
        server.batch.create_compute_environment(
            computeEnvironmentName=name,
            type="MANAGED",
            tags=tags,
            computeResources={"type": "FARGATE", "maxvCpus": 1, "subnets": ["s"], "securityGroupIds": ["g"]},
        )
        server.settled_environment(name)
        yield f"{ARN}compute-environment/{name}"


def tags_of(server, arn):
    return server.batch.list_tags_for_resource(resourceArn=arn)["tags"]


def test_tag_and_untag(server, arn):
    """API reference, TagResource, UntagResource, ListTagsForResource."""
    assert tags_of(server, arn) == {"a": "1"}
    server.batch.tag_resource(resourceArn=arn, tags={"a": "2", "ß %/+": "schön & gut", "empty": ""})
    assert tags_of(server, arn) == {"a": "2", "ß %/+": "schön & gut", "empty": ""}
    server.batch.untag_resource(resourceArn=arn, tagKeys=["a", "ß %/+", "never-there"])
    assert tags_of(server, arn) == {"empty": ""}


def test_describe_shows_tags(server):
    """API reference, JobDetail: tags."""
    job_id = server.submit(tags={"team": "bakers"})
    server.batch.tag_resource(resourceArn=f"{ARN}job/{job_id}", tags={"oven": "3"})
    assert server.describe(job_id)["tags"] == {"team": "bakers", "oven": "3"}


def test_none_to_begin_with(server):
    """Clients without tags send an empty map."""
    job_id = server.submit(tags={}, definition=server.define("no-tags", tags={}))
    assert server.describe(job_id)["tags"] == {}


def test_arn_in_the_path_encoded_or_not(server):
    """`GET /v1/tags/{resourceArn}`: the slashes of the ARN arrive as %2F from some clients and raw from others."""
    for path in (f"{ARN}job-queue/default", f"{ARN}job-queue/default".replace(":", "%3A").replace("/", "%2F")):
        answer = call(server, "GET", f"/v1/tags/{path}", b"")
        assert (answer.status, answer.json) == (200, {"tags": {}}), answer


def test_refused(server, refused):
    """User Guide, Tag restrictions: 50 tags, keys of 1 to 128 and values of up to 256 characters, `aws:` is reserved."""
    queue = f"{ARN}job-queue/default"
    array = server.submit(array=2)
    many = {f"key-{number}": "" for number in range(51)}
    for arn, tags in [
        (queue, many),
        (queue, {"aws:mine": "x"}),
        (queue, {"": "x"}),
        (queue, {"k" * 129: "x"}),
        (queue, {"k": "v" * 257}),
        (queue, {}),
        (f"{ARN}job/{array}:0", {"a": "b"}),
        (f"{ARN}job-queue/nobody", {"a": "b"}),
        ("default", {"a": "b"}),
    ]:
        with refused():
            server.unchecked.tag_resource(resourceArn=arn, tags=tags)
    assert tags_of(server, queue) == {}

    server.batch.tag_resource(resourceArn=queue, tags={f"key-{number}": "" for number in range(50)})
    with refused():
        server.batch.tag_resource(resourceArn=queue, tags={"one-more": ""})
    server.batch.untag_resource(resourceArn=queue, tagKeys=[f"key-{number}" for number in range(50)])
