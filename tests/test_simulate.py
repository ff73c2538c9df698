"""`fornada simulate`: a file in, a report out; the same again for the same seed; one sentence for every mistake."""

import csv
import json
import pathlib
import subprocess

import pytest

from server import binary, clean_environment

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples" / "simulate"
SETUP = """
computeEnvironments: [{computeEnvironmentName: ce, type: UNMANAGED}]
unmanaged: {instances: 2, vcpus: 4, memory: 16384}
jobQueues: [{jobQueueName: q, computeEnvironmentOrder: [ce]}]
"""
JOBS = """
jobs:
  - {jobName: first, array: 20, vcpus: 2, memory: 1024, runTime: {lognormal: {median: 5m, sigma: 0.5}}}
  - {jobName: then, runTime: 60, dependsOn: [first]}
"""


def simulate(tmp_path, text, *options):
    """Simulates a file of this text."""
    path = tmp_path / "file.yaml"
    path.write_text(text)
    return subprocess.run(
        [binary(), "simulate", path, *options],
        capture_output=True, text=True, timeout=60, env=clean_environment(), stdin=subprocess.DEVNULL,
    )


def report(tmp_path, text, *options):
    """The report as JSON."""
    done = simulate(tmp_path, text, "--output", "json", *options)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return json.loads(done.stdout)


def test_report(tmp_path):
    """People get tables, programs JSON, and both the same figures; files hold every job."""
    done = simulate(tmp_path, SETUP + JOBS, "--html", tmp_path / "r.html", "--csv", tmp_path / "csv")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.startswith("21 jobs in ") and "21 succeeded" in done.stdout
    found = report(tmp_path, SETUP + JOBS)
    assert found["jobs"] == {"total": 21, "succeeded": 21, "failed": 0, "unfinished": 0}
    assert found["queues"][0]["queue"] == "q" and found["queues"][0]["max"] > 0
    assert 0 < found["vcpus"]["utilisation"] <= 1
    page = (tmp_path / "r.html").read_text()
    assert "<svg" in page and "http" not in page, "nothing is loaded from anywhere"
    with open(tmp_path / "csv" / "jobs.csv", newline="") as file:
        jobs = list(csv.DictReader(file))
    last = max(float(job["ended"]) for job in jobs if job["job"] == "first")
    assert len(jobs) == 21 and float(jobs[-1]["ready"]) == pytest.approx(last, abs=0.01)
    assert (tmp_path / "csv" / "series.csv").exists() and (tmp_path / "csv" / "instances.csv").exists()


def test_seed(tmp_path):
    """Chance comes from the seed alone."""
    one, same, other = (report(tmp_path, SETUP + JOBS, "--seed", seed) for seed in ("5", "5", "6"))
    assert one == same
    assert one["makespan"] != other["makespan"]


def test_until(tmp_path):
    """What has not ended by then is told."""
    found = report(tmp_path, SETUP + JOBS, "--until", "5m")
    assert found["jobs"]["unfinished"] > 0
    assert {stuck["name"] for stuck in found["stuck"]} == {"first", "then"}


def test_recorded_jobs(tmp_path):
    """Jobs as `aws batch describe-jobs` prints them come when they came and run for as long as they ran."""
    begin = 1_700_000_000_000
    job = {
        "jobName": "real", "jobQueue": "arn:aws:batch:eu-west-1:123456789012:job-queue/elsewhere", "status": "SUCCEEDED",
        "container": {"resourceRequirements": [{"type": "VCPU", "value": "4"}, {"type": "MEMORY", "value": "2048"}]},
    }
    times = {"createdAt": begin, "startedAt": begin + 5000, "stoppedAt": begin + 105_000}
    jobs = [job | times | {"jobId": f"{n:08}-0000-4000-8000-000000000000"} for n in range(3)]
    failed = {"status": "FAILED", "createdAt": begin + 60_000, "dependsOn": [{"jobId": jobs[0]["jobId"]}]}
    jobs.append(jobs[0] | failed | {"jobId": "9" * 8 + "-0000-4000-8000-000000000000"})
    (tmp_path / "jobs.json").write_text(json.dumps({"jobs": jobs[:2]}))
    (tmp_path / "more.jsonl").write_text("".join(json.dumps(job) + "\n" for job in jobs[2:]))
    found = report(tmp_path, SETUP, "--jobs", tmp_path / "jobs.json", tmp_path / "more.jsonl")
    assert found["jobs"] == {"total": 4, "succeeded": 3, "failed": 1, "unfinished": 0}
    assert found["makespan"] == pytest.approx(3 * 102 - 102, abs=1), "two at a time, 100 s each and 2 s to start"


def test_example_files(tmp_path):
    """The examples that need no cloud do what their description says."""
    text = (EXAMPLES / "ceiling.yaml").read_text()
    low = report(tmp_path, text)
    high = report(tmp_path, text.replace("maxvCpus: 96", "maxvCpus: 256"))
    assert low["cost"]["total"] == pytest.approx(high["cost"]["total"], rel=0.01)
    assert high["queues"][0]["p95"] < low["queues"][0]["p95"] / 10


def test_spot_example(tmp_path):
    """Spot costs a third of on demand and loses attempts, which are tried again; instances come and go with the work."""
    text = (EXAMPLES / "spot.yaml").read_text()
    dear = text.replace("type: SPOT", "type: EC2").replace("SPOT_PRICE_CAPACITY_OPTIMIZED", "BEST_FIT_PROGRESSIVE")
    spot, on_demand = report(tmp_path, text), report(tmp_path, dear)
    for found in spot, on_demand:
        assert found["jobs"] == {"total": 193, "succeeded": 193, "failed": 0, "unfinished": 0}
        assert 0.5 < found["vcpus"]["utilisation"] < 1
        assert found["cost"]["total"] == pytest.approx(sum(group["cost"] for group in found["instances"]))
        assert found["series"]["instances"][-1] + found["series"]["spotInstances"][-1] < 2, "idle instances go"
    assert spot["cost"]["total"] < on_demand["cost"]["total"] / 2
    assert spot["cost"]["onDemand"] == on_demand["cost"]["spot"] == on_demand["attempts"]["interrupted"] == 0
    assert spot["attempts"]["total"] == 193 + spot["attempts"]["retries"]
    assert spot["attempts"]["retries"] == spot["attempts"]["interrupted"] > 0 and spot["vcpus"]["wasted"] > 0


def test_backfill_example(tmp_path):
    """Small jobs pass one that waits, and the machines of `minvCpus` are there from the beginning."""
    text = (EXAMPLES / "backfill.yaml").read_text()
    passing, strict = report(tmp_path, text), report(tmp_path, text, "--strict")
    assert strict == report(tmp_path, text.replace("backfill: true", "backfill: false"))
    assert passing["queues"][0]["p50"] == 0 < strict["queues"][0]["p50"]
    assert passing["makespan"] == pytest.approx(strict["makespan"], rel=0.01)
    [group] = passing["instances"]
    assert (group["instanceType"], group["launched"]) == ("m6i.8xlarge", 16)


@pytest.mark.parametrize(
    "text, options, want",
    [
        ("[", (), "file.yaml"),
        ("[]", (), "the file is an object with computeEnvironments, jobQueues and jobs"),
        ("jobs: []", (), "jobQueues is required"),
        (SETUP, (), "jobs is required"),
        (SETUP + "jobs: {}", (), "jobs is a list"),
        (SETUP + "jbos: []", (), "jbos is not known here"),
        (SETUP + "jobs: [{jobName: a}]", (), "jobs[0].runTime is required"),
        (SETUP + "jobs: [{runTime: 1}]", (), "jobs[0].jobName is required"),
        (SETUP + "jobs: [{jobName: a, runTime: -1}]", (), "jobs[0].runTime is a number of seconds"),
        (SETUP + "jobs: [{jobName: a, runTime: {uniform: [2, 1]}}]", (), "jobs[0].runTime.uniform is a list"),
        (SETUP + "jobs: [{jobName: a, runTime: {gauss: 1}}]", (), "jobs[0].runTime is an amount"),
        (SETUP + "jobs: [{jobName: a, runTime: 1, failureProbability: 2}]", (), "failureProbability is a number from 0 to 1"),
        (SETUP + "jobs: [{jobName: a, runTime: 1, jobQueue: x}]", (), "jobs[0].jobQueue names one of jobQueues"),
        (SETUP + "jobs: [{jobName: a, runTime: 1, dependsOn: [b]}]", (), "jobs[0].dependsOn[0]: there is no job b above"),
        (SETUP + "jobs: [{jobName: a, runTime: 1, arrayProperties: {sise: 3}}]", (), "jobs[0].arrayProperties.sise is not known"),
        (SETUP + "jobs: [{jobName: a, runTime: 1, array: 1}]", (), "jobs[0]: Array size must be between"),
        (SETUP + "jobs: [{jobName: a, runTime: 1, for: 1h}]", (), "jobs[0].for needs every"),
        (SETUP + "jobs: [{jobName: a, runTime: 1, shareIdentifier: s}]", (), "job a: Job with shareIdentifier"),
        (SETUP + JOBS + "cloud: {spotPrice: 3}", (), "cloud.spotPrice is a number from 0 to 1"),
        (SETUP + JOBS + "cloud: {shortages: [{market: SPOT}]}", (), "cloud.shortages[0].until is required"),
        (SETUP.replace("unmanaged", "unmanged") + JOBS, (), "unmanaged is required"),
        (SETUP + JOBS, ("--jobs", "/nonexistent"), "cannot read /nonexistent"),
        (SETUP + JOBS, ("--html", "/nonexistent/x"), "cannot write /nonexistent/x"),
    ],
)
def test_mistakes(tmp_path, text, options, want):
    """One sentence, with the place of the member."""
    done = simulate(tmp_path, text, *options)
    assert done.returncode == 1 and done.stdout == "", done
    [line] = done.stderr.strip().splitlines()
    assert want in line and "panicked" not in line, line
