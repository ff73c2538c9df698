"""More than the server can take: slow, silent and greedy peers, and jobs that flood their logs. Everybody else goes on as before."""

import contextlib
import json
import pathlib
import resource
import socket
import threading
import time
import urllib.parse

import boto3
import pytest
from botocore.config import Config

from server import GROUP, REGION, Server, wait_for

MIB = 2**20
# What the server has for bodies, besides the first 32 KiB of each.
BODIES_MIB = 128
# The most connections that it serves.
CONNECTIONS = 4096


@pytest.fixture(scope="module")
def server():
    """Requests are not signed, so that they can be written by hand; logs of jobs are short."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = Server("--auth", "none", "--limits", "submit-job-kib=1024", "--job-log-max", "4m")
    try:
        yield server.start()
    finally:
        server.remove()


@pytest.fixture
def crowd(server):
    """Makes connections that have sent these bytes; all end with the test."""
    address = urllib.parse.urlsplit(server.endpoint)
    with contextlib.ExitStack() as stack:

        def make(count, sent=b""):
            made = []
            for _ in range(count):
                peer = stack.enter_context(socket.create_connection((address.hostname, address.port), timeout=20))
                with contextlib.suppress(ConnectionError):  # the server may refuse before it has read everything
                    peer.sendall(sent)
                made.append(peer)
            return made

        yield make


def memory_mib(pid):
    """Resident memory of a process."""
    [line] = [line for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def post(path, body=b"", length=None, headers=""):
    """A request, or the beginning of one that announces more than it has."""
    length = len(body) if length is None else length
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{headers}\r\n".encode() + body


def get(server, path):
    """The answer to a GET without any library between."""
    address = urllib.parse.urlsplit(server.endpoint)
    with socket.create_connection((address.hostname, address.port), timeout=20) as peer:
        peer.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: peer.recv(65536), b"")).decode()


def refusals(server, reason):
    """How many requests were refused for this reason."""
    name = f'fornada_requests_refused_total{{reason="{reason}"}} '
    return sum(int(line.removeprefix(name)) for line in get(server, "/metrics").splitlines() if line.startswith(name))


def works(server):
    """Everything that others do is done."""
    assert get(server, "/healthz").startswith("HTTP/1.1 200")
    assert get(server, "/readyz").startswith("HTTP/1.1 200")
    server.succeed(server.submit("true"))


def test_slow_peers_harm_nobody(server, crowd):
    """A thousand at once: silent, in the middle of a head, in the middle of a body."""
    before = memory_mib(server.process.pid)
    crowd(250)
    heads = crowd(250, b"POST /v1/describejobs HTTP/1.1\r\nHost: loc")
    bodies = crowd(250, post("/v1/describejobs", b'{"jobs"', length=10**6))
    crowd(250, post("/v1/describejobs", b'{"jobs":[]}'))  # idle after an answer that nobody reads
    for _ in range(3):
        for peer in heads + bodies:
            peer.sendall(b"a")
        works(server)
    assert memory_mib(server.process.pid) - before < 100


def test_when_all_connections_are_taken_the_silent_ones_give_way(server, crowd):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit < CONNECTIONS + 300:
        pytest.skip(f"{CONNECTIONS} connections need more open files than the {limit} that this process may have")
    silent = crowd(CONNECTIONS + 100)
    works(server)
    # The first to come are those that have gone; most of the others are as they were.
    silent[0].settimeout(20)
    assert silent[0].recv(1) == b""
    silent[-1].setblocking(False)
    with pytest.raises(BlockingIOError):
        silent[-1].recv(1)


@pytest.mark.parametrize("service", ["batch", "logs"])
def test_clients_try_again_when_they_are_refused(server, crowd, service):
    """Long bodies that do not end take all the memory there is for them; short ones are taken all the same."""
    before = refusals(server, "bodies")
    greedy = crowd(BODIES_MIB + 6, post("/v1/describejobs", b" " * (MIB - 1), length=MIB))
    # The last of them are refused, so the account is empty. Whoever comes too late has an answer.
    wait_for(lambda: refusals(server, "bodies"), lambda now: now > before)
    seen = refusals(server, "bodies")
    works(server)

    def let_go():
        wait_for(lambda: refusals(server, "bodies"), lambda now: now > seen)
        for peer in greedy:
            peer.close()

    release = threading.Thread(target=let_go)
    release.start()
    patient = boto3.session.Session().client(
        service, endpoint_url=server.endpoint, region_name=REGION, aws_access_key_id="any", aws_secret_access_key="any",
        config=Config(retries={"mode": "standard", "max_attempts": 10}, proxies={}),
    )
    long = "x" * 200_000
    if service == "batch":
        definition = server.define("long")
        answer = patient.submit_job(jobName="j", jobQueue="default", jobDefinition=definition, parameters={"p": long})
    else:
        patient.create_log_group(logGroupName="long")
        patient.create_log_stream(logGroupName="long", logStreamName="s")
        events = [{"timestamp": int(time.time() * 1000), "message": long}]
        answer = patient.put_log_events(logGroupName="long", logStreamName="s", logEvents=events)
    release.join()
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert answer["ResponseMetadata"]["RetryAttempts"] >= 1


def test_answers_that_nobody_reads_are_bounded(server, crowd):
    """Each asks for a megabyte of a log and takes nothing of it."""
    job = server.succeed(server.submit("head -c 3000000 /dev/zero | tr '\\0' x | fold -w 1000"))
    stream = {"logGroupName": GROUP, "logStreamName": job["container"]["logStreamName"], "startFromHead": True}
    headers = "X-Amz-Target: Logs_20140328.GetLogEvents\r\nContent-Type: application/x-amz-json-1.1\r\n"
    before = memory_mib(server.process.pid)
    crowd(600, post("/", json.dumps(stream).encode(), headers=headers))
    works(server)
    assert memory_mib(server.process.pid) - before < 500


def test_a_flood_of_output_is_bounded_and_delays_nobody(server):
    flood = "yes 'a line that comes again and again' & yes '' & tr '\\0' x < /dev/zero & wait"
    floods = [server.submit(flood) for _ in range(3)]
    for job_id in floods:
        server.wait(job_id, "RUNNING")
    for number in range(5):
        job = server.succeed(server.submit(f"echo heard {number}"))
        assert server.messages(job["jobId"]) == [f"heard {number}"]
    for job_id in floods:
        name = server.describe(job_id)["container"]["logStreamName"]
        last = lambda: server.logs.get_log_events(logGroupName=GROUP, logStreamName=name, limit=1)["events"]  # noqa: E731, B023
        [event] = wait_for(last, lambda events: events and events[0]["message"].startswith("[fornada] "))
        assert event["message"] == (
            "[fornada] The log of this container ends here: it has reached 4 MiB (--job-log-max)."
        )
        [stream] = server.logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=name)["logStreams"]
        assert stream["storedBytes"] <= 4 * MIB + 1000
        assert server.describe(job_id)["status"] == "RUNNING", "the job goes on"
        server.batch.terminate_job(jobId=job_id, reason="enough")
    for job_id in floods:
        server.fail(job_id, seconds=60)
    assert memory_mib(server.node_pid()) < 150
