"""dependsOn. Source: AWS Batch User Guide, Job dependencies, and API reference, JobDependency."""

import uuid

import pytest


def after(*job_ids):
    return [{"jobId": job_id} for job_id in job_ids]


def lines(path):
    return path.read_text().split() if path.exists() else []


def test_waits_for_all(server, gate, tmp_path):
    """A job stays PENDING until every dependency has SUCCEEDED."""
    log = tmp_path / "log"
    first, second = gate(), gate()
    a = server.submit(f"{first.wait}; echo a >> {log}")
    b = server.submit(f"{second.wait}; echo b >> {log}")
    both = server.submit(f"echo both >> {log}", dependsOn=after(a, b))

    assert server.wait(both, "PENDING")["dependsOn"] == after(a, b)
    first.open()
    server.succeed(a)
    assert server.describe(both)["status"] == "PENDING"
    second.open()
    server.succeed(both)
    assert lines(log) == ["a", "b", "both"]


def test_retried_attempts_do_not_matter(server, tmp_path):
    """Only the end of the dependency counts, not an attempt that failed."""
    log = tmp_path / "log"
    a = server.submit(f'echo a >> {log}; test "$AWS_BATCH_JOB_ATTEMPT" = 3', retryStrategy={"attempts": 3})
    server.succeed(server.submit(f"echo b >> {log}", dependsOn=after(a)))
    assert lines(log) == ["a", "a", "a", "b"]


def test_on_an_array(server, gate, tmp_path):
    """On an array: waits for all children."""
    log = tmp_path / "log"
    waiting = gate()
    array = server.submit(f"test $AWS_BATCH_JOB_ARRAY_INDEX != 2 || {{ {waiting.wait}; }}; echo child >> {log}", array=3)
    job = server.submit(f"echo job >> {log}", dependsOn=after(array))
    server.succeed(f"{array}:0")
    server.succeed(f"{array}:1")
    assert server.wait(job, "PENDING")
    waiting.open()
    server.succeed(job)
    assert lines(log) == ["child", "child", "child", "job"]


def test_on_a_child(server, gate):
    """On `parent:index`: waits for that child alone."""
    waiting = gate()
    array = server.submit(f"test $AWS_BATCH_JOB_ARRAY_INDEX = 1 || {{ {waiting.wait}; }}", array=3)
    server.succeed(server.submit(dependsOn=after(f"{array}:1")))
    assert server.describe(array)["status"] == "PENDING"
    waiting.open(2)
    server.succeed(array)


def test_array_on_a_job(server, gate):
    """A plain dependency of an array holds back every child."""
    waiting = gate()
    a = server.submit(waiting.wait)
    array = server.submit(array=3, dependsOn=after(a))
    server.wait(a, "RUNNING")
    summary = server.describe(array)["arrayProperties"]["statusSummary"]
    assert not any(summary.get(status) for status in ("RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED")), summary
    waiting.open()
    server.succeed(array)


def test_sequential(server, tmp_path):
    """SEQUENTIAL: child 0 first, each child after its predecessor."""
    log = tmp_path / "log"
    array = server.submit(
        f"echo +$AWS_BATCH_JOB_ARRAY_INDEX >> {log}; echo -$AWS_BATCH_JOB_ARRAY_INDEX >> {log}",
        array=8, dependsOn=[{"type": "SEQUENTIAL"}],
    )
    server.succeed(array)
    assert lines(log) == [f"{sign}{index}" for index in range(8) for sign in "+-"]


def test_sequential_stops_at_a_failure(server, tmp_path):
    """SEQUENTIAL: what follows a failed child never runs."""
    log = tmp_path / "log"
    array = server.submit(
        f"echo $AWS_BATCH_JOB_ARRAY_INDEX >> {log}; test $AWS_BATCH_JOB_ARRAY_INDEX != 1",
        array=4, dependsOn=[{"type": "SEQUENTIAL"}],
    )
    assert server.fail(array)["statusReason"] == "Array Child Job failed"
    assert lines(log) == ["0", "1"]
    for index in (2, 3):
        child = server.describe(f"{array}:{index}")
        assert (child["status"], child["statusReason"], child["attempts"]) == ("FAILED", "Dependent Job failed", [])


def test_n_to_n(server, gate, tmp_path):
    """N_TO_N: child i waits for child i of the other array, and for nothing else of it."""
    log = tmp_path / "log"
    gates = [gate() for _ in range(3)]
    cases = " ".join(f"{index}) {waiting.wait};;" for index, waiting in enumerate(gates))
    a = server.submit(f"case $AWS_BATCH_JOB_ARRAY_INDEX in {cases} esac", array=3)
    b = server.submit(
        f"echo $AWS_BATCH_JOB_ARRAY_INDEX >> {log}", array=3, dependsOn=[{"jobId": a, "type": "N_TO_N"}]
    )
    for order, index in enumerate((2, 0, 1)):
        gates[index].open()
        server.succeed(f"{b}:{index}")
        assert lines(log) == ["2", "0", "1"][: order + 1]
    server.succeed(b)


def test_n_to_n_failure_is_per_child(server):
    """N_TO_N: the failure of child i fails child i alone, then its parent."""
    a = server.submit("test $AWS_BATCH_JOB_ARRAY_INDEX != 1", array=3)
    b = server.submit(array=3, dependsOn=[{"jobId": a, "type": "N_TO_N"}])
    assert server.fail(b)["statusReason"] == "Array Child Job failed"
    assert [server.describe(f"{b}:{index}")["status"] for index in range(3)] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert server.describe(f"{b}:1")["statusReason"] == "Dependent Job failed"


def test_kinds_mix(server, gate, tmp_path):
    """One request may have a plain dependency, N_TO_N and SEQUENTIAL."""
    log = tmp_path / "log"
    waiting = gate()
    plain = server.submit(waiting.wait)
    a = server.submit(array=3)
    b = server.submit(
        f"echo $AWS_BATCH_JOB_ARRAY_INDEX >> {log}",
        array=3, dependsOn=[*after(plain), {"jobId": a, "type": "N_TO_N"}, {"type": "SEQUENTIAL"}],
    )
    server.succeed(a)
    assert lines(log) == []
    waiting.open()
    server.succeed(b)
    assert lines(log) == ["0", "1", "2"]


def test_on_a_finished_job(server):
    """A dependency that has SUCCEEDED is met at once; one that has FAILED fails the job."""
    good, bad = server.submit("true"), server.submit("false")
    server.succeed(good)
    server.fail(bad)
    server.succeed(server.submit(dependsOn=after(good)))
    assert server.fail(server.submit(dependsOn=after(good, bad)))["statusReason"] == "Dependent Job failed"


def test_failure_cascades(server, gate):
    """`Dependent Job failed`, all the way down; no attempt is used."""
    waiting = gate()
    chain = [server.submit(f"{waiting.wait}; false")]
    for _ in range(5):
        chain.append(server.submit(dependsOn=after(chain[-1]), retryStrategy={"attempts": 3}))
    array = server.submit(array=2, dependsOn=after(chain[-1]))
    waiting.open()
    for job_id in (*chain[1:], f"{array}:0", f"{array}:1"):
        job = server.fail(job_id)
        assert (job["statusReason"], job["attempts"]) == ("Dependent Job failed", [])
    server.fail(array)


def test_cancelled_dependency_fails_its_dependents(server):
    """A dependency that was cancelled has FAILED."""
    stuck = server.submit(containerOverrides={"resourceRequirements": [{"type": "VCPU", "value": "9999"}]})
    dependent = server.submit(dependsOn=after(stuck))
    server.batch.cancel_job(jobId=stuck, reason="never")
    assert server.fail(dependent)["statusReason"] == "Dependent Job failed"


def test_wide_fan_in(server):
    """20 dependencies are allowed."""
    many = [server.submit() for _ in range(20)]
    server.succeed(server.submit(dependsOn=after(*many)))


@pytest.mark.parametrize("job_id", [str(uuid.UUID(int=7)), "nonsense"])
def test_unknown_dependency(server, refused, job_id):
    """A job id that was never known is refused."""
    with refused():
        server.submit(dependsOn=after(job_id))


def test_impossible_kinds(server, refused):
    """SEQUENTIAL and N_TO_N are for arrays, N_TO_N for two of one size."""
    single, array = server.submit(), server.submit(array=2)
    for dependency, size in [
        ({"type": "SEQUENTIAL"}, None),
        ({"jobId": array, "type": "N_TO_N"}, None),
        ({"jobId": single, "type": "N_TO_N"}, 2),
        ({"jobId": array, "type": "N_TO_N"}, 3),
        ({"type": "N_TO_N"}, 2),
        ({}, None),
    ]:
        with refused():
            server.submit(array=size, dependsOn=[dependency])
