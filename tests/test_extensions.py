"""What goes beyond AWS Batch, and `--strict`, which takes it away. See docs/differences.md."""

import pytest


def after_any(*job_ids):
    return [{"jobId": job_id, "type": "AFTER_ANY"} for job_id in job_ids]


def test_after_any(server, gate):
    """The dependent goes when the other has ended, well or badly; a cancelled one has ended too."""
    waiting = gate()
    bad = server.submit(f"{waiting.wait}; exit 1")
    good = server.submit("true")
    dependent = server.submit("true", dependsOn=after_any(bad, good))
    pending = server.wait(dependent, "PENDING")
    assert pending["dependsOn"] == after_any(bad, good)
    waiting.open()
    server.fail(bad)
    server.succeed(dependent)


def test_after_any_of_arrays_and_children(server):
    """A whole array, or one child."""
    array = server.submit("test $AWS_BATCH_JOB_ARRAY_INDEX = 0", array=2)
    for target in (array, f"{array}:1"):
        server.succeed(server.submit("true", dependsOn=after_any(target)))
    server.fail(array)
    both = [*after_any(array), {"jobId": array}]
    assert server.fail(server.submit("true", dependsOn=both))["statusReason"] == "Dependent Job failed"


def test_limits(own_server, refused):
    """Limits are the operator's."""
    server = own_server("--limits", "dependencies=1,array-size=20000,timeout-seconds-min=1,list-jobs=2").start()
    first = server.submit("true", array=20_000, timeout={"attemptDurationSeconds": 1})
    server.batch.cancel_job(jobId=first, reason="it was only to see whether it is accepted")
    with refused("Array size must be between 2 and 20000."):
        server.submit("true", array=20_001)
    with refused("Job cannot have more than 1 dependencies"):
        server.submit("true", dependsOn=[{"jobId": first}] * 2)
    for _ in range(3):
        server.fail(server.submit("false"))
    page = server.batch.list_jobs(jobQueue="default", jobStatus="FAILED")
    assert (len(page["jobSummaryList"]), "nextToken" in page) == (2, True)


@pytest.mark.parametrize("option", ["arrays=5", "array-size=1"])
def test_bad_limits(own_server, option):
    """The sentence says what they may be."""
    with pytest.raises(AssertionError, match=r"expected NAME=NUMBER|array-size is a whole number"):
        own_server("--limits", option).start()


def test_strict(own_server, refused):
    """AWS Batch's limits, AWS Batch's enums, and its limit of overrides."""
    server = own_server("--strict", "--limits", "array-size=20000").start()
    with refused("Array size must be between 2 and 10000."):
        server.submit("true", array=10_001)
    job = server.submit("true")
    with refused("Member must satisfy enum value set: [N_TO_N, SEQUENTIAL]"):
        server.submit("true", dependsOn=after_any(job))
    long = server.submit("true", env={"LONG": "x" * 8192})
    assert server.fail(long)["statusReason"] == "Container Overrides length must be at most 8192"


def test_long_overrides_run(server):
    """Without `--strict` nothing is wrong with them."""
    server.succeed(server.submit('test ${#LONG} = 8192', env={"LONG": "x" * 8192}))
