"""torchx: an app of three replicas as one multi-node parallel job; status, list and logs of single replicas."""

import time


def run(site):
    command = ["torchx", "run", "--scheduler", "aws_batch", "--scheduler_args", "queue=default", "--workspace", ""]
    # The app ends with its first replica, which therefore waits for the others.
    wait_first = "test $AWS_BATCH_JOB_NODE_INDEX -ne 0 || sleep 5"
    script = f"echo replica $AWS_BATCH_JOB_NODE_INDEX of $AWS_BATCH_JOB_NUM_NODES; {wait_first}"
    said = site.call(*command, "utils.sh", "--image", "host", "--num_replicas", "3", "eval", script)
    app = next(line for line in said.splitlines() if line.startswith("aws_batch://"))
    state = wait(site, app)
    site.check("three replicas ran as one multi-node parallel job", "SUCCEEDED" in state, state)
    nodes = [job for job in site.jobs() if "#" in job["jobId"]]
    site.check("with three nodes, all SUCCEEDED", [job["status"] for job in nodes] == 3 * ["SUCCEEDED"], nodes)
    said = site.call("torchx", "log", f"{app}/sh/2")
    site.check("the log of one replica", "replica 2 of 3" in said, said)
    said = site.call("torchx", "list", "--scheduler", "aws_batch")
    site.check("the app is listed", app.rpartition(":")[2] in said, said)

    said = site.call(*command, "utils.sh", "--image", "host", "--num_replicas", "2", "sleep", "300")
    app = next(line for line in said.splitlines() if line.startswith("aws_batch://"))
    site.call("torchx", "cancel", app)
    state = wait(site, app)
    site.check("a cancelled app is FAILED", "FAILED" in state, state)


def wait(site, app):
    """What `torchx status` says in the end."""
    deadline = time.monotonic() + 120
    while True:
        said = site.call("torchx", "status", app)
        if "SUCCEEDED" in said or "FAILED" in said or time.monotonic() > deadline:
            return said
