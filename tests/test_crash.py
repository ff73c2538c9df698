"""What was acknowledged is never lost: the server dies or is replaced at any moment, and goes on where it was."""

import concurrent.futures
import os
import signal
import threading

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from server import ENDED, wait_for


class Load:
    """Threads that submit jobs, each of which notes its id in a file, until the server goes away."""

    THREADS = 4

    def __init__(self, server, log):
        self.server, self.log = server, log
        self.acknowledged = []
        self.changed = threading.Condition()
        self.client = server.batch
        self.definition = server.define("noting", ["sh", "-c", f'echo "$AWS_BATCH_JOB_ID" >> {log}'])
        self.pool = concurrent.futures.ThreadPoolExecutor(self.THREADS)
        self.ends = [self.pool.submit(self._submit) for _ in range(self.THREADS)]

    def _submit(self):
        while True:
            try:
                answer = self.client.submit_job(
                    jobName="load", jobQueue="default", jobDefinition=self.definition, arrayProperties={"size": 2}
                ) if len(self.acknowledged) % 7 == 0 else self.client.submit_job(
                    jobName="load", jobQueue="default", jobDefinition=self.definition
                )
            except (BotoCoreError, ClientError):
                return
            with self.changed:
                self.acknowledged.append(answer["jobId"])
                self.changed.notify_all()

    def wait(self, count):
        """Returns when this many jobs have been acknowledged."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.acknowledged) >= count, 30), len(self.acknowledged)

    def end(self):
        """Returns when all threads have noticed that the server is gone."""
        for end in self.ends:
            end.result(30)
        self.pool.shutdown()


@pytest.mark.parametrize("moment", [1, 10, 40, 120])
def test_kill_under_load(own_server, tmp_path, moment):
    """kill -9 after the n-th answer, start again: every acknowledged job runs to its end, each exactly once."""
    server = own_server().start()
    log = tmp_path / "log"
    load = Load(server, log)
    load.wait(moment)
    server.kill()
    load.end()

    server.start()
    jobs = [
        wait_for(lambda: server.describe(job_id), lambda job: job["status"] in ENDED) for job_id in load.acknowledged
    ]
    assert {job["status"] for job in jobs} == {"SUCCEEDED"}
    want = [
        f"{job['jobId']}:{index}" if "arrayProperties" in job else job["jobId"]
        for job in jobs
        for index in range(job.get("arrayProperties", {}).get("size", 1))
    ]
    # A request whose answer was lost may have been carried out too; it ran no more than once either.
    wait_for(lambda: server.batch.list_jobs(jobQueue="default")["jobSummaryList"], lambda running: not running)
    ran = log.read_text().split()
    assert len(ran) == len(set(ran)), "a job ran twice"
    assert set(want) <= set(ran), "an acknowledged job did not run"


def test_kill_again_and_again(own_server, tmp_path):
    """Ten crashes in a row, one array: every child runs exactly once."""
    server = own_server().start()
    log = tmp_path / "log"
    parent = server.submit(f'echo "$AWS_BATCH_JOB_ARRAY_INDEX" >> {log}', array=300)
    for crash in range(10):
        done = min(300, 25 * (crash + 1))
        wait_for(lambda: len(log.read_text().split()) if log.exists() else 0, lambda count: count >= done)
        server.kill()
        server.start()
    summary = server.succeed(parent, seconds=60)["arrayProperties"]["statusSummary"]
    assert summary["SUCCEEDED"] == 300
    assert sorted(map(int, log.read_text().split())) == list(range(300))


@pytest.mark.parametrize("how", ["kill", "SIGTERM", "SIGINT"])
def test_restart_while_a_job_runs(own_server, gate, how):
    """The job does not notice: same attempt, same log, and what it does meanwhile counts."""
    server = own_server().start()
    first, second = gate(), gate()
    job_id = server.submit(f"echo before; {first.wait}; echo without; {second.wait}; echo after; exit 6")
    running = server.wait(job_id, "RUNNING")
    node = server.node_pid()
    if how == "kill":
        server.kill()
    else:
        server.stop(getattr(signal, how))
    first.open()
    server.start()

    assert server.node_pid() == node
    again = server.describe(job_id)
    assert (again["status"], again["startedAt"], again["attempts"]) == ("RUNNING", running["startedAt"], [])
    second.open()
    job = server.fail(job_id)
    assert (job["container"]["exitCode"], len(job["attempts"])) == (6, 1)
    assert server.messages(job_id) == ["before", "without", "after"]


def test_a_job_ends_while_the_server_is_down(own_server, gate, tmp_path):
    """Its end is told as soon as there is somebody to tell, and its dependents start."""
    server = own_server().start()
    waiting = gate()
    job_id = server.submit(f"{waiting.wait}; touch {tmp_path}/ended; exit 0")
    dependent = server.submit("echo next", dependsOn=[{"jobId": job_id}])
    server.wait(job_id, "RUNNING")
    server.kill()
    waiting.open()
    wait_for((tmp_path / "ended").exists, bool)
    server.start()
    job = server.succeed(job_id)
    assert job["container"]["exitCode"] == 0
    server.succeed(dependent)


def test_the_machine_dies(own_server, gate, tmp_path):
    """Server, node and jobs gone at once: a lost attempt `Host EC2 …`; the retry strategy decides."""
    server = own_server().start()
    waiting = gate()
    script = f'echo $AWS_BATCH_JOB_ATTEMPT >> {tmp_path}/log; test "$AWS_BATCH_JOB_ATTEMPT" = 2 || {{ {waiting.wait}; }}'
    once = server.submit(waiting.wait)
    retried = server.submit(script, retryStrategy={
        "attempts": 3, "evaluateOnExit": [{"onStatusReason": "Host EC2*", "action": "RETRY"}],
    })
    server.wait(once, "RUNNING")
    server.wait(retried, "RUNNING")
    wait_for((tmp_path / "log").exists, bool)
    server.kill()
    server.kill_node()
    server.start()

    lost = server.fail(once)
    assert lost["statusReason"].startswith("Host EC2 (instance i-") and lost["statusReason"].endswith(") terminated.")
    assert "exitCode" not in lost["container"]
    job = server.succeed(retried)
    assert [attempt["container"].get("exitCode") for attempt in job["attempts"]] == [None, 0]
    assert job["attempts"][0]["statusReason"] == lost["statusReason"]
    assert (tmp_path / "log").read_text().split() == ["1", "2"]


def test_the_node_dies_alone(own_server, gate):
    """The server starts another node by itself: running jobs lose an attempt, waiting ones lose nothing."""
    server = own_server(capacity="vcpus=2,memory=4096").start()
    waiting = gate()
    running = [server.submit(waiting.wait, retryStrategy={"attempts": 2}) for _ in range(2)]
    queued = [server.submit() for _ in range(20)]
    for job_id in running:
        server.wait(job_id, "RUNNING")
    server.kill_node()
    waiting.open(len(running))
    for job_id in running:
        assert [attempt["container"].get("exitCode") for attempt in server.succeed(job_id)["attempts"]] == [None, 0]
    for job_id in queued:
        assert len(server.succeed(job_id)["attempts"]) == 1


def test_the_node_is_stopped(own_server, gate):
    """SIGTERM to the node stops what runs; what was still waiting is placed on the next node and loses no attempt."""
    server = own_server(capacity="vcpus=1,memory=4096").start()
    waiting = gate()
    running = server.submit(waiting.wait)
    queued = [server.submit() for _ in range(5)]
    server.wait(running, "RUNNING")
    os.kill(server.node_pid(), signal.SIGTERM)
    assert server.fail(running)["container"]["exitCode"] == 143
    for job_id in queued:
        assert len(server.succeed(job_id)["attempts"]) == 1


def test_everything_is_still_there(own_server):
    """Resources, tags, finished jobs and logs survive; so does the access key."""
    server = own_server().start()
    server.create_queue("kept", priority=5, tags={"a": "b"})
    server.define("kept")
    job_id = server.submit("echo kept; exit 2", queue="kept")
    server.fail(job_id)

    def all_of_it():
        return {
            "keys": server.keys(),
            "queues": server.batch.describe_job_queues(jobQueues=["kept", "default"])["jobQueues"],
            "environments": server.batch.describe_compute_environments()["computeEnvironments"],
            "definitions": server.batch.describe_job_definitions()["jobDefinitions"],
            "job": server.describe(job_id),
            "log": server.messages(job_id),
        }

    before = all_of_it()
    server.kill()
    server.start()
    assert all_of_it() == before


def test_ctrl_c_twice_stops_the_jobs(own_server, tmp_path):
    """Ctrl-C leaves running jobs to the node; a second one within five seconds stops them too."""
    server = own_server().start()
    trap = f"trap 'touch {tmp_path}/stopped; exit 0' TERM"
    job_id = server.submit(f"{trap}; touch {tmp_path}/ready; while :; do sleep 0.02; done")
    wait_for((tmp_path / "ready").exists, bool)
    before = server.said().count("job")
    server.process.send_signal(signal.SIGINT)
    wait_for(lambda: server.said().count("job"), lambda count: count > before)  # it says how many jobs still run
    server.process.send_signal(signal.SIGINT)
    server.process.wait(20)
    wait_for((tmp_path / "stopped").exists, bool)
    server.start()
    assert server.wait(job_id)["status"] in ENDED
