"""The command line, and the aws CLI against the same server."""

import json
import os
import signal
import subprocess

import pytest

from server import ARN, ENDED, GROUP, binary, wait_for


def said(done, code=0):
    """Standard output of a command that must end with `code`."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout


def jobs(server):
    """`fornada jobs --output json`, as a dictionary of job summaries by id."""
    return {job["jobId"]: job for job in json.loads(said(server.cli("jobs", "--output", "json")))["jobSummaryList"]}


def test_run_exits_with_the_jobs_exit_code(server):
    for code in (0, 3, 255):
        said(server.cli("run", "--", "sh", "-c", f"exit {code}"), code)


def test_run_shows_the_log(server):
    """The job's lines, all of them and nothing else, on stdout."""
    assert said(server.cli("run", "--", "sh", "-c", "echo one; echo two >&2; echo three")) == "one\ntwo\nthree\n"


def test_run_options(server, tmp_path):
    """--env, --vcpus, --memory, --queue."""
    server.create_queue("cli")
    done = server.cli(
        "run", "--queue", "cli", "--vcpus", "2", "--memory", "99", "--env", "A=b c", "--env", "EMPTY=",
        "--", "sh", "-c", 'echo "$A|$EMPTY|$AWS_BATCH_JQ_NAME|$AWS_BATCH_JOB_ID"',
    )
    value, empty, queue, job_id = said(done).strip().split("|")
    assert (value, empty, queue) == ("b c", "", "cli")
    needs = {need["type"]: need["value"] for need in server.describe(job_id)["container"]["resourceRequirements"]}
    assert needs == {"VCPU": "2", "MEMORY": "99"}


def test_run_detached(server, gate):
    """--detach prints the job's id and leaves."""
    waiting = gate()
    job_id = said(server.cli("run", "--detach", "--", "sh", "-c", waiting.wait)).strip().split()[-1]
    assert server.describe(job_id)["status"] not in ENDED
    waiting.open()
    server.succeed(job_id)


def test_run_array(server):
    """--array: 0 when all children succeeded, not 0 otherwise."""
    said(server.cli("run", "--array", "10", "--", "true"))
    failed = server.cli("run", "--array", "3", "--", "sh", "-c", "test $AWS_BATCH_JOB_ARRAY_INDEX != 1")
    assert failed.returncode != 0


def test_run_that_cannot_start(server):
    """The reason is shown; the exit code is not 0."""
    done = server.cli("run", "--image", "127.0.0.1:1/no/such:image", "--", "true")
    assert done.returncode not in (0, None)
    assert "CannotPullContainerError" in done.stderr + done.stdout


def test_ctrl_c_on_run(server, tmp_path):
    """`fornada run` that is interrupted ends; nothing hangs."""
    running = subprocess.Popen(
        [binary(), "run", "--data-dir", server.data_dir, "--", "sh", "-c", f"touch {tmp_path}/on; sleep 600"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=server.environment, start_new_session=True,
    )
    wait_for((tmp_path / "on").exists, bool)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=20)
    assert running.returncode != 0
    for job in server.batch.list_jobs(jobQueue="default")["jobSummaryList"]:
        server.batch.terminate_job(jobId=job["jobId"], reason="end of the test")
        server.fail(job["jobId"])


GRAPH = """
queue: default
jobs:
  - name: flour
    image: host
    command: [sh, -c, 'pwd > "$0"; echo "$GRAIN $1" >> "$0"', Ref::out, Ref::word]
    environment: {GRAIN: rye}
    parameters: {out: OUT/flour, word: ground}
    vcpus: 1
    memory: 64
    tags: {team: bakers}
  - name: rolls
    image: host
    command: [sh, -c, 'test -s OUT/flour && echo "$AWS_BATCH_JOB_ARRAY_INDEX" >> OUT/rolls']
    array: 3
    vcpus: 1
    memory: 64
    attempts: 2
    timeout: 600
    dependsOn: [flour, {type: SEQUENTIAL}]
  - name: glaze
    image: host
    command: [sh, -c, 'echo "$AWS_BATCH_JOB_ARRAY_INDEX" >> OUT/glaze']
    array: 3
    vcpus: 1
    memory: 64
    dependsOn: [{job: rolls, type: N_TO_N}]
"""


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_submit_a_graph(server, tmp_path, suffix):
    """submit -f: names instead of ids, paths relative to the file; --wait ends with 0 when all succeeded."""
    text = GRAPH.replace("OUT", str(tmp_path))
    if suffix == "json":
        yaml = pytest.importorskip("yaml")  # comes with the aws CLI
        text = json.dumps(yaml.safe_load(text))
    path = tmp_path / f"jobs.{suffix}"
    path.write_text(text)
    said(server.cli("submit", "-f", path, "--wait"))
    assert (tmp_path / "flour").read_text() == f"{tmp_path}\nrye ground\n"
    assert (tmp_path / "rolls").read_text().split() == ["0", "1", "2"]
    assert sorted((tmp_path / "glaze").read_text().split()) == ["0", "1", "2"]


def test_submit_that_fails(server, tmp_path):
    """--wait: not 0 when a job failed."""
    path = tmp_path / "jobs.yaml"
    path.write_text("queue: default\njobs:\n  - {name: bad, image: host, command: ['false'], vcpus: 1, memory: 64}\n")
    assert server.cli("submit", "-f", path, "--wait").returncode != 0


@pytest.mark.parametrize(
    "text",
    [
        "jobs: [",
        "queue: default\njobs: [{name: a}]",
        "queue: default\njobs: [{name: a, image: host, command: ['true'], vcpus: 1, memory: 64, dependsOn: [nobody]}]",
        "queue: default\njobs: [{name: a, image: host, command: ['true'], vcpus: 1, memory: 64, no-such-key: 1}]",
    ],
    ids=["syntax", "incomplete", "unknown-name", "unknown-key"],
)
def test_submit_refuses_a_bad_file(server, tmp_path, text):
    """A mistake in the file is told before anything is submitted."""
    path = tmp_path / "jobs.yaml"
    path.write_text(text)
    before = jobs(server)
    done = server.cli("submit", "-f", path)
    assert done.returncode != 0 and done.stderr.strip() and "panicked" not in done.stderr
    assert jobs(server) == before


def test_jobs(server):
    """Queued, running and finished, newest first; as a table and as JSON."""
    good, bad = server.submit("true", name="good-one"), server.submit("exit 4", name="bad-one")
    server.succeed(good)
    server.fail(bad)
    listed = jobs(server)
    assert (listed[good]["status"], listed[bad]["status"]) == ("SUCCEEDED", "FAILED")
    assert listed[bad]["jobName"] == "bad-one"
    times = [job["createdAt"] for job in listed.values()]
    assert times == sorted(times, reverse=True)
    table = said(server.cli("jobs"))
    assert "good-one" in table and "FAILED" in table
    assert "\x1b" not in table, "no colours in a pipe"


def test_logs(server):
    """All lines of a job, or of an array's child."""
    job_id = server.submit("seq 3")
    server.succeed(job_id)
    assert said(server.cli("logs", job_id)) == "1\n2\n3\n"
    array = server.submit("echo child $AWS_BATCH_JOB_ARRAY_INDEX", array=2)
    server.succeed(array)
    assert said(server.cli("logs", f"{array}:1")) == "child 1\n"


def test_logs_follow(server, gate):
    """logs -f ends with the job."""
    waiting = gate()
    job_id = server.submit(f"echo first; {waiting.wait}; echo last")
    following = subprocess.Popen(
        [binary(), "logs", "--data-dir", server.data_dir, job_id, "-f"],
        stdout=subprocess.PIPE, text=True, env=server.environment,
    )
    assert following.stdout.readline() == "first\n"
    waiting.open()
    output, _ = following.communicate(timeout=20)
    assert (output, following.returncode) == ("last\n", 0)


def test_describe_cancel_terminate(server, gate):
    """One job in full; stopping one that waits and one that runs."""
    waiting = gate()
    running = server.submit(waiting.wait, name="described")
    server.wait(running, "RUNNING")
    stuck = server.submit(containerOverrides={"resourceRequirements": [{"type": "VCPU", "value": "9999"}]})

    text = said(server.cli("describe", running))
    assert "described" in text and "RUNNING" in text
    [described] = json.loads(said(server.cli("describe", running, "--output", "json")))["jobs"]
    assert (described["jobId"], described["status"]) == (running, "RUNNING")

    said(server.cli("cancel", stuck))
    said(server.cli("terminate", running))
    server.fail(stuck)
    assert server.fail(running)["isTerminated"]


def test_unknown_job(server):
    """A job that nobody knows: said so, not 0."""
    for command in ("describe", "logs"):
        done = server.cli(command, "00000000-0000-0000-0000-000000000000")
        assert done.returncode != 0 and done.stderr.strip()


def test_no_server(tmp_path):
    """Without a server: one sentence that says what to do, not a stack of errors."""
    done = subprocess.run(
        [binary(), "jobs", "--data-dir", tmp_path], capture_output=True, text=True, timeout=20,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )
    assert done.returncode != 0 and done.stderr.strip() and "panicked" not in done.stderr


def test_env(server):
    """eval "$(fornada env)" is all that a shell needs."""
    exports = said(server.cli("env"))
    shell = subprocess.run(
        ["sh", "-c", f'{exports}\necho "$AWS_ENDPOINT_URL_BATCH $AWS_ENDPOINT_URL_CLOUDWATCH_LOGS $AWS_ACCESS_KEY_ID"'],
        capture_output=True, text=True, env=server.environment, check=True,
    )
    assert shell.stdout.split() == [server.endpoint, server.endpoint, server.keys()[0]["accessKeyId"]]


def test_help_and_version():
    """--help of every command, --version, completions."""
    for command in ("up", "env", "run", "submit", "jobs", "logs", "describe", "cancel", "terminate", "server", "node"):
        done = subprocess.run([binary(), command, "--help"], capture_output=True, text=True, timeout=20)
        assert "Usage: fornada" in said(done), command
    assert said(subprocess.run([binary(), "--version"], capture_output=True, text=True)).startswith("fornada ")


def test_aws_cli(server):
    """The aws CLI, unmodified: describe queues, submit, describe, list, logs, tags, terminate."""
    queues = server.aws("batch", "describe-job-queues", "--job-queues", "default")["jobQueues"]
    assert [queue["status"] for queue in queues] == ["VALID"]

    properties = {
        "image": "host", "command": ["echo", "Ref::what"],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
    }
    definition = server.aws(
        "batch", "register-job-definition", "--job-definition-name", "aws-cli", "--type", "container",
        "--container-properties", json.dumps(properties), "--parameters", "what=nothing",
    )
    assert definition["jobDefinitionArn"] == f"{ARN}job-definition/aws-cli:1"
    job_id = server.aws(
        "batch", "submit-job", "--job-name", "aws-cli", "--job-queue", "default", "--job-definition", "aws-cli",
        "--parameters", "what=bread", "--tags", "team=bakers",
    )["jobId"]
    server.succeed(job_id)
    [job] = server.aws("batch", "describe-jobs", "--jobs", job_id)["jobs"]
    assert (job["status"], job["tags"]) == ("SUCCEEDED", {"team": "bakers"})
    listed = server.aws("batch", "list-jobs", "--job-queue", "default", "--job-status", "SUCCEEDED")
    assert job_id in [summary["jobId"] for summary in listed["jobSummaryList"]]
    logged = server.aws(
        "logs", "get-log-events", "--log-group-name", GROUP, "--log-stream-name", job["container"]["logStreamName"]
    )
    assert [event["message"] for event in logged["events"]] == ["bread"]
    assert server.aws("batch", "terminate-job", "--job-id", job_id, "--reason", "late") in (None, {}, "")
