"""Metaflow: a flow whose `@batch` steps are jobs, with a retry, read back through Metaflow's own client."""

from common import ROLE

READ = """
from metaflow import Flow
run = Flow("Letters").latest_successful_run
print(run.data.total, run["count"].task.metadata_dict)
"""


def run(site):
    site.bucket("metaflow")
    settings = {
        "METAFLOW_DEFAULT_DATASTORE": "s3",
        "METAFLOW_DATASTORE_SYSROOT_S3": "s3://metaflow/data",
        "METAFLOW_BATCH_JOB_QUEUE": "default",
        "METAFLOW_BATCH_CONTAINER_IMAGE": "host",
        "METAFLOW_ECS_S3_ACCESS_IAM_ROLE": ROLE,
        "METAFLOW_USER": "baker",
    }

    said = site.call("python", "flow.py", "run", **settings)
    site.check("a flow with a fan-out of 4 @batch steps and a @batch join ran to its end", "15 letters" in said, said)
    jobs = site.jobs()
    ended = [job["status"] for job in jobs]
    site.check(
        "6 jobs: 5 SUCCEEDED, 1 FAILED and retried by Metaflow", sorted(ended) == ["FAILED"] + 5 * ["SUCCEEDED"], ended
    )
    site.check(
        "the output of jobs is shown while they run", "counting 'batch'" in said and "is too short" in said, said
    )

    said = site.call("python", "-c", READ, **settings)
    ids = {job["jobId"] for job in jobs}
    site.check(
        "Metaflow's client reads the result and each task's job id, queue and log stream",
        said.startswith("15 ") and any(job in said for job in ids) and "'aws-batch-awslogs-stream'" in said,
        said,
    )

    said = site.call("python", "flow.py", "run", "--broken", "1", fails=True, **settings)
    site.check(
        "a step that never succeeds fails the flow with the job's reason",
        "Essential container in task exited" in said,
        said,
    )
    said = site.call("python", "flow.py", "batch", "list", "--run-id", "0", **settings)
    site.check("`batch list` finds no job left", "No running AWS Batch jobs found" in said, said)
