"""The two example workloads, driven with boto3.

    pip install boto3
    eval "$(fornada env)"
    python examples/main_job.py

Nothing in here is special to Fornada but the image name `host` and FORNADA_WORKDIR, the folder that such a job starts in:
against AWS Batch the image would hold the scripts and the corpus. The endpoint, the keys and the region come from the
environment.
"""

import pathlib
import sys
import time

import boto3

EXAMPLES = pathlib.Path(__file__).resolve().parent
OUT = EXAMPLES.parent / "out"
QUEUE = "default"

batch = boto3.client("batch")
logs = boto3.client("logs")


def register(name, *command):
    """Registers a job definition for a command of the folder `name` and returns its ARN, revision included."""
    answer = batch.register_job_definition(
        jobDefinitionName=f"example-{pathlib.Path(command[1]).stem}",
        type="container",
        containerProperties={
            "image": "host",
            "command": list(command),
            "environment": [{"name": "FORNADA_WORKDIR", "value": str(EXAMPLES / name)}],
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "128"}],
        },
        retryStrategy={
            "attempts": 3,
            # A lost machine is worth another attempt, a failing script is not.
            "evaluateOnExit": [
                {"onStatusReason": "Host EC2*", "action": "RETRY"},
                {"onReason": "*", "action": "EXIT"},
            ],
        },
    )
    return answer["jobDefinitionArn"]


def submit(name, definition, **members):
    """Submits a job and returns its id."""
    return batch.submit_job(jobName=name, jobQueue=QUEUE, jobDefinition=definition, **members)["jobId"]


def wait(job_ids):
    """Waits until all jobs have ended, shows how they get on, and returns their details."""
    shown = None
    while True:
        jobs = batch.describe_jobs(jobs=job_ids)["jobs"]
        progress = ", ".join(f"{job['jobName']} {progress_of(job)}" for job in jobs)
        if progress != shown:
            print(progress, flush=True)
            shown = progress
        if all(job["status"] in ("SUCCEEDED", "FAILED") for job in jobs):
            return jobs
        time.sleep(0.5)


def progress_of(job):
    """A job's status, for an array how many of its children have succeeded."""
    array = job.get("arrayProperties")
    if not array or job["status"] in ("SUCCEEDED", "FAILED"):
        return job["status"]
    return f"{array['statusSummary'].get('SUCCEEDED', 0)}/{array['size']}"


def log_of(job):
    """All lines of a finished job's log."""
    stream = {"logGroupName": "/aws/batch/job", "logStreamName": job["container"]["logStreamName"]}
    lines, token = [], None
    while True:
        page = logs.get_log_events(**stream, startFromHead=True, **({"nextToken": token} if token else {}))
        lines += [event["message"] for event in page["events"]]
        if page["nextForwardToken"] == token:
            return lines
        token = page["nextForwardToken"]


def main():
    OUT.mkdir(exist_ok=True)
    count = register("wordcount", "python3", "count.py", "corpus", "Ref::counts")
    merge = register("wordcount", "python3", "merge.py", "Ref::counts", "Ref::table")
    render = register("fractal", "python3", "render.py", "Ref::tiles")
    stitch = register("fractal", "python3", "stitch.py", "Ref::tiles", "Ref::picture")

    counts, table = str(OUT / "wordcount"), OUT / "words.txt"
    tiles, picture = str(OUT / "fractal"), OUT / "fractal.png"
    for result in (table, picture):
        result.unlink(missing_ok=True)

    words = submit("wordcount", count, arrayProperties={"size": 16}, parameters={"counts": counts})
    merged = submit(
        "wordcount-merge", merge, dependsOn=[{"jobId": words}], parameters={"counts": counts, "table": str(table)}
    )
    drawn = submit("fractal", render, arrayProperties={"size": 64}, parameters={"tiles": tiles})
    stitched = submit(
        "fractal-stitch", stitch, dependsOn=[{"jobId": drawn}], parameters={"tiles": tiles, "picture": str(picture)}
    )

    jobs = {job["jobId"]: job for job in wait([words, merged, drawn, stitched])}
    failed = [f"{job['jobName']}: {job.get('statusReason')}" for job in jobs.values() if job["status"] == "FAILED"]
    if failed:
        sys.exit("\n".join(failed))

    for job_id in (merged, stitched):
        print("\n".join(f"{jobs[job_id]['jobName']} | {line}" for line in log_of(jobs[job_id])))
    total = log_of(jobs[merged])[-1].split()[-2]
    if not table.read_text(encoding="utf-8").startswith(f"{total} words"):
        sys.exit("The table and the log disagree on the number of words.")
    if not picture.read_bytes().startswith(b"\x89PNG"):
        sys.exit(f"{picture} is not a PNG.")
    print(f"The results are {table} and {picture}.")


if __name__ == "__main__":
    main()
