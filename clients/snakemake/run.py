"""Snakemake: a workflow whose rules run through the aws-batch executor, with its files in S3 and a rule's retry."""

from common import ACCOUNT, REGION, ROLE

QUEUE = f"arn:aws:batch:{REGION}:{ACCOUNT}:job-queue/default"


def run(site):
    bucket = site.bucket("snakemake")
    command = [
        "snakemake",
        "--executor",
        "aws-batch",
        "--envvars",
        "PIP_NO_DEPS",
        "--jobs",
        "4",
        "--retries",
        "1",
        "--container-image",
        "host",
        "--aws-batch-region",
        REGION,
        "--aws-batch-job-queue",
        QUEUE,
        "--aws-batch-job-role",
        ROLE,
        "--default-storage-provider",
        "s3",
        "--default-storage-prefix",
        f"s3://{bucket}/letters",
    ]
    said = site.call(*command, PIP_NO_DEPS="1")
    total = site.object(bucket, "letters/total.txt").strip()
    site.check("a workflow of 5 rules ran, its result is in S3", total == "15", total)
    jobs = site.jobs()
    ended = sorted((job["status"], job["container"].get("exitCode")) for job in jobs)
    site.check(
        "6 jobs: 5 SUCCEEDED, 1 FAILED and retried by Snakemake",
        ended == [("FAILED", 1)] + 5 * [("SUCCEEDED", 0)] and "Essential container in task exited" in said,
        ended,
    )
    site.check(
        "a job's own output is in its log",
        any("counting batch" in " ".join(site.server.messages(job["jobId"])) for job in jobs),
    )
    site.check(
        "privileged definitions are registered, used and deregistered",
        "failed to deregister" not in said
        and not site.server.batch.describe_job_definitions(status="ACTIVE")["jobDefinitions"],
        said,
    )
    said = site.call(*command, "broken.txt", fails=True, PIP_NO_DEPS="1")
    site.check(
        "a rule that fails ends the workflow with the job's reason", "Essential container in task exited" in said, said
    )
