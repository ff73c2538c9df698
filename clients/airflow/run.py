"""Airflow: BatchOperator (deferred with an array, polling with a retry and the log) and BatchSensor, in DAG tests."""


def run(site):
    settings = {
        "AIRFLOW_HOME": str(site.server.root / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(site.work),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # An empty connection leaves key, region and endpoints to boto3, which finds them in ~/.aws.
        "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
    }
    site.server.define("airflow", memory=100)
    site.call("airflow", "db", "migrate", **settings)
    said = site.call("airflow", "dags", "test", "letters", **settings)
    jobs = {job["jobName"]: job for job in site.jobs() if ":" not in job["jobId"]}
    site.check("a DAG of four tasks ran to its end", "waited" in said and "state=success" in said, said)
    site.check(
        "three jobs SUCCEEDED, one of them an array of 3",
        {name: job["status"] for name, job in jobs.items()}
        == dict.fromkeys(("shards", "retried", "started"), "SUCCEEDED")
        and jobs["shards"]["arrayProperties"]["size"] == 3,
        jobs,
    )
    site.check(
        "the job that AWS Batch retried has two attempts and the operator's tag",
        len(jobs["retried"]["attempts"]) == 2 and jobs["retried"]["tags"] == {"team": "bakery"},
        jobs["retried"],
    )
    site.check("the operator shows the job's log", "attempt 2" in said, said)

    said = site.call("airflow", "dags", "test", "broken", fails=True, **settings)
    site.check("a job that fails fails the task, with its log", "there is no flour" in said and "FAILED" in said, said)
