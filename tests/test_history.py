"""Jobs that have ended: out of memory, and found all the same; gone when they have been over for long enough."""

import pytest
from botocore.exceptions import ClientError

from server import ARN, wait_for
from service import create_queue, payload, submit
from service import wait as wait_for_training

SMALL = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]


def answers(server, jobs, array, nodes, training):
    """All that anybody can ask about these jobs."""
    batch = server.batch
    members = [f"{array}:{index}" for index in range(3)] + [f"{nodes}#{node}" for node in range(2)]
    said = {"described": batch.describe_jobs(jobs=[*jobs, *members])["jobs"]}
    for status in ("SUCCEEDED", "FAILED"):
        said[f"listed {status}"] = batch.list_jobs(jobQueue="default", jobStatus=status)["jobSummaryList"]
        said[f"children {status}"] = batch.list_jobs(arrayJobId=array, jobStatus=status)["jobSummaryList"]
        said[f"nodes {status}"] = batch.list_jobs(multiNodeJobId=nodes, jobStatus=status)["jobSummaryList"]
    said["named"] = batch.list_jobs(jobQueue="default", filters=[{"name": "JOB_NAME", "values": ["jo*"]}])["jobSummaryList"]
    said["consumers"] = batch.list_jobs_by_consumable_resource(consumableResource="licence")["jobs"]
    said["tags"] = [batch.list_tags_for_resource(resourceArn=f"{ARN}job/{job}")["tags"] for job in jobs]
    said["training"] = batch.describe_service_job(jobId=training)
    said["training tags"] = batch.list_tags_for_resource(resourceArn=f"{ARN}service-job/{training}")["tags"]
    said["explained"] = [server.cli("explain", job, "--output", "json").stdout for job in jobs]
    for answer in said.values():
        if isinstance(answer, dict):
            answer.pop("ResponseMetadata", None)
    return said


def test_what_has_ended_is_answered_from_the_store_as_from_memory(own_server):
    server = own_server().start()
    server.batch.create_consumable_resource(consumableResourceName="licence", totalQuantity=3)
    needs = {"consumableResourceList": [{"consumableResource": "licence", "quantity": 1}]}
    good = server.submit("true", tags={"team": "oven"}, consumableResourcePropertiesOverride=needs)
    bad = server.submit("exit 3", retryStrategy={"attempts": 2})
    array = server.submit("exit $((AWS_BATCH_JOB_ARRAY_INDEX % 2))", array=3)
    cancelled = server.submit("true", array=4, dependsOn=[{"jobId": bad}])
    ranges = [{"targetNodes": "0:", "container": {"image": "host", "command": ["true"], "resourceRequirements": SMALL}}]
    pair = {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": ranges}
    definition = server.batch.register_job_definition(jobDefinitionName="pair", type="multinode", nodeProperties=pair)
    nodes = server.batch.submit_job(
        jobName="job", jobQueue="default", jobDefinition=definition["jobDefinitionArn"]
    )["jobId"]
    queue = create_queue(server, "training", {"NUM_INSTANCES": 9})
    training = submit(server, queue, request=payload("true"), tags={"team": "bakers"}, clientToken="once")
    jobs = [good, bad, array, cancelled, nodes]
    for job in jobs:
        server.wait(job)
    wait_for_training(server, training, "SUCCEEDED")
    before = answers(server, jobs, array, nodes, training)
    summary = before["described"][2]["arrayProperties"]["statusSummary"]
    assert (summary["SUCCEEDED"], summary["FAILED"]) == (2, 1)
    assert before["consumers"] and before["named"] and all(before["explained"])

    # A server that starts knows nothing of them; nor does one whose memory is for what lives.
    for options in ([], ["--ended-in-memory", "0"]):
        server.stop()
        server.options += options
        server.start()
        after = answers(server, jobs, array, nodes, training)
        for name, answer in before.items():
            assert after[name] == answer, name

    # They can still be named: in dependencies, by tags, by the token of a request that is made again.
    server.succeed(server.submit("true", dependsOn=[{"jobId": good}]))
    job = server.fail(server.submit("true", dependsOn=[{"jobId": bad}]))
    assert job["statusReason"] == "Dependent Job failed"
    server.succeed(server.submit("true", dependsOn=[{"jobId": f"{array}:2"}]))
    job = server.fail(server.submit("true", array=3, dependsOn=[{"jobId": array, "type": "N_TO_N"}]))
    assert [job["arrayProperties"]["statusSummary"][status] for status in ("SUCCEEDED", "FAILED")] == [2, 1]
    server.batch.tag_resource(resourceArn=f"{ARN}job/{bad}", tags={"seen": "yes"})
    assert server.describe(bad)["tags"] == {"seen": "yes"}
    with pytest.raises(ClientError, match=training):
        submit(server, queue, request=payload("true"), clientToken="once")
    server.batch.terminate_job(jobId=good, reason="too late")
    assert server.describe(good)["status"] == "SUCCEEDED"


def test_the_failed_counterpart_of_a_child_is_not_forgotten_while_the_array_waits(own_server, gate):
    """Child 1 is doomed when it is submitted; the others wait for another job, longer than anybody remembers why."""
    server = own_server("--ended-in-memory", "0").start()
    first = server.submit("exit $AWS_BATCH_JOB_ARRAY_INDEX", array=2)
    server.fail(first)
    door = gate()
    other = server.submit(door.wait)
    both = [{"jobId": first, "type": "N_TO_N"}, {"jobId": other}]
    second = server.submit("true", array=2, dependsOn=both)
    server.wait(f"{second}:1", "FAILED")
    assert server.describe(f"{second}:0")["status"] == "PENDING"
    server.stop()
    server.start()
    door.open()
    server.fail(second)
    assert server.describe(f"{second}:0")["status"] == "SUCCEEDED"


def test_jobs_that_have_been_over_for_long_enough_are_gone(own_server):
    server = own_server("--retention", "1s").start()
    array = server.submit("true", array=3)
    gone = lambda: server.batch.describe_jobs(jobs=[array, f"{array}:1"])["jobs"]  # noqa: E731
    server.wait(array)
    listed = lambda: server.batch.list_jobs(jobQueue="default", jobStatus="SUCCEEDED")["jobSummaryList"]  # noqa: E731
    wait_for(listed, lambda jobs: not jobs)
    wait_for(gone, lambda jobs: not jobs)
    assert server.batch.terminate_job(jobId=array, reason="x")["ResponseMetadata"]["HTTPStatusCode"] == 200
