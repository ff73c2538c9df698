"""The command line, and the aws CLI against the same server."""

import json
import os
import signal
import subprocess

import pytest

from server import ACCOUNT, ARN, ENDED, GROUP, REGION, binary, wait_for

NEEDS = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]


def said(done, code=0):
    """Standard output of a command that must end with `code`."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout


def jobs(server):
    """`fornada jobs --output json`, as a dictionary of job summaries by id."""
    return {job["jobId"]: job for job in json.loads(said(server.cli("jobs", "--output", "json")))["jobSummaryList"]}


def container(script, **members):
    """For a definition of several containers, or of nodes."""
    return {"image": "host", "command": ["sh", "-c", script], "resourceRequirements": NEEDS} | members


def define_task(server, name, *containers, **members):
    """A definition of several containers."""
    server.unchecked.register_job_definition(
        jobDefinitionName=name, type="container",
        ecsProperties={"taskProperties": [{"containers": list(containers)}]}, **members,
    )
    return name


def submit_plain(server, definition, queue="default"):
    """A job that is called as its definition and changes nothing of it."""
    return server.batch.submit_job(jobName=definition, jobQueue=queue, jobDefinition=definition)["jobId"]


def rows(text, header):
    """The lines of the table whose header begins with this word, each as its words."""
    [table] = [part for part in text.split("\n\n") if part.startswith(header)]
    return [line.split() for line in table.strip().split("\n")[1:]]


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


def test_a_job_of_several_containers(server, gate):
    """logs merges what all of them write; describe shows each, and the attempts with the one that decided."""
    waiting = gate()
    definition = define_task(
        server, "several",
        container("echo one $AWS_BATCH_JOB_ATTEMPT; exec sleep 300", name="side", essential=False),
        container(f"{waiting.wait}; echo two; exit $((6 - AWS_BATCH_JOB_ATTEMPT))", name="main"),
        retryStrategy={"attempts": 2},
    )
    job_id = submit_plain(server, definition)
    for attempt in ("1", "2"):
        wait_for(
            lambda: server.cli("logs", job_id, "--attempt", attempt).stdout,
            lambda text: text == f"side | one {attempt}\n",
        )
        waiting.open()
    server.fail(job_id)
    assert said(server.cli("logs", job_id)) == "side | one 2\nmain | two\n"
    assert said(server.cli("logs", job_id, "--attempt", "1")) == "side | one 1\nmain | two\n"
    assert said(server.cli("logs", job_id, "--container", "main")) == "two\n"
    assert said(server.cli("logs", job_id, "-f")) == "side | one 2\nmain | two\n"
    unknown = server.cli("logs", job_id, "--container", "nobody")
    assert unknown.returncode == 1 and "it has side, main" in unknown.stderr

    text = said(server.cli("describe", job_id))
    assert "exit code 4" in text
    assert [row[:5] for row in rows(text, "CONTAINER")] == [
        ["side", "no", "143", "host", "sh"], ["main", "yes", "4", "host", "sh"]
    ]
    assert [row[4] for row in rows(text, "ATTEMPT")] == ["5", "4"]


def test_following_several_containers(server, gate):
    """logs -f shows all that is written, whoever writes it, over all attempts, and ends with the job."""
    side, main = gate(), gate()
    definition = define_task(
        server, "followed",
        container(f"echo near; {side.wait}; echo far; exec sleep 300", name="side", essential=False),
        container(f"{main.wait}; echo end; test $AWS_BATCH_JOB_ATTEMPT = 2", name="main"),
        retryStrategy={"attempts": 2},
    )
    job_id = submit_plain(server, definition)
    following = subprocess.Popen(
        [binary(), "logs", "--data-dir", server.data_dir, job_id, "-f"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=server.environment,
    )
    for _ in range(2):
        assert following.stdout.readline() == "side | near\n"
        side.open()
        assert following.stdout.readline() == "side | far\n"
        main.open()
        assert following.stdout.readline() == "main | end\n"
    output, errors = following.communicate(timeout=20)
    assert (output, errors, following.returncode) == ("", "attempt 2\n", 0)


def test_a_multi_node_job(server, gate):
    """logs shows the main node's output, or one node's; describe and jobs show the nodes."""
    waiting = gate()
    nodes = [
        {"targetNodes": "0", "container": container("echo worker; exec sleep 300")},
        {"targetNodes": "1", "container": container(f"echo main; {waiting.wait}; exit 7")},
    ]
    server.batch.register_job_definition(
        jobDefinitionName="gang", type="multinode",
        nodeProperties={"numNodes": 2, "mainNode": 1, "nodeRangeProperties": nodes},
    )
    job_id = submit_plain(server, "gang")
    wait_for(lambda: server.cli("logs", f"{job_id}#0").stdout, lambda text: text == "worker\n")
    assert said(server.cli("logs", "gang#0")) == "worker\n"
    assert said(server.cli("logs", f"{job_id[:8]}#1")) == "main\n"
    assert said(server.cli("logs", "gang")) == "main\n"
    running = rows(said(server.cli("describe", "gang")), "NODE")
    assert [[word for word in row if word in ("0", "1", "(main)", "RUNNING")] for row in running] == [
        ["0", "RUNNING"], ["1", "(main)", "RUNNING"]
    ]
    assert "2 nodes" in said(server.cli("jobs", "--name", "gang"))

    waiting.open()
    server.fail(job_id)
    assert said(server.cli("logs", job_id, "-f")) == "main\n"
    text = said(server.cli("describe", job_id))
    assert "exit code 7" in text
    worker, main = rows(text, "NODE")
    assert (worker[1], worker[3], main[2], main[4]) == ("FAILED", "143", "FAILED", "7")
    assert [row[4] for row in rows(text, "ATTEMPT")] == ["7"]
    unknown = server.cli("logs", f"{job_id}#2")
    assert unknown.returncode == 1 and "there is no job" in unknown.stderr


def test_a_pod(server):
    """The containers of a pod, those of its initialisation among them."""
    server.batch.create_compute_environment(
        computeEnvironmentName="pods", type="MANAGED",
        eksConfiguration={"eksClusterArn": f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/c", "kubernetesNamespace": "batch"},
        computeResources={
            "type": "EC2", "allocationStrategy": "BEST_FIT_PROGRESSIVE", "minvCpus": 0, "maxvCpus": 8,
            "instanceTypes": ["m5"], "subnets": ["subnet-1"], "securityGroupIds": ["sg-1"], "instanceRole": "role",
        },
    )
    server.settled_environment("pods")
    queue = server.create_queue("pods", computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "pods"}])

    def one(script, **members):
        resources = {"limits": {"cpu": "1", "memory": "64Mi"}}
        return {"image": "host", "command": ["sh", "-c"], "args": [script], "resources": resources} | members

    pod = {"containers": [one("echo baked; exit 4")], "initContainers": [one("echo mixed", name="setup")]}
    server.unchecked.register_job_definition(
        jobDefinitionName="oven", type="container", eksProperties={"podProperties": pod}
    )
    job_id = submit_plain(server, "oven", queue)
    server.fail(job_id)
    assert said(server.cli("logs", job_id)) == "setup   | mixed\nDefault | baked\n"
    assert said(server.cli("logs", job_id, "--container", "Default", "--attempt", "1")) == "baked\n"
    text = said(server.cli("describe", job_id))
    assert "exit code 4" in text
    assert [row[:3] for row in rows(text, "CONTAINER")] == [["setup", "yes", "0"], ["Default", "no", "4"]]
    assert [row[4] for row in rows(text, "ATTEMPT")] == ["4"]


@pytest.mark.parametrize("code", [0, 3])
def test_submit_several_containers(server, tmp_path, code):
    """--wait: the essential container decides; what it wrote is shown if it failed."""
    definition = define_task(
        server, "deciding",
        container("exit 9", name="side", essential=False), container(f"echo last words; exit {code}", name="main"),
    )
    path = tmp_path / "jobs.yaml"
    path.write_text(f"queue: default\njobs:\n  - {{name: deciding, jobDefinition: {definition}}}\n")
    done = server.cli("submit", "-f", path, "--wait")
    assert (done.returncode != 0) == (code != 0), done
    assert ("exit code 3\n    last words\n" in done.stderr) == (code != 0), done.stderr


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
