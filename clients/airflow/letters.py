"""Three ways in which Airflow waits for AWS Batch: deferred, polling with the job's log, and a sensor."""

from datetime import timedelta

from airflow.providers.amazon.aws.operators.batch import BatchOperator
from airflow.providers.amazon.aws.sensors.batch import BatchSensor
from airflow.sdk import DAG


def job(task_id, script, **options):
    overrides = {"command": ["sh", "-c", script]}
    return BatchOperator(
        task_id=task_id,
        job_name=task_id,
        job_queue="default",
        job_definition="airflow",
        container_overrides=overrides,
        **options,
    )


with DAG("letters", schedule=None):
    shards = job(
        "shards",
        "echo child $AWS_BATCH_JOB_ARRAY_INDEX",
        array_properties={"size": 3},
        deferrable=True,
        poll_interval=2,
    )
    retried = job(
        "retried",
        "echo attempt $AWS_BATCH_JOB_ATTEMPT; test $AWS_BATCH_JOB_ATTEMPT -eq 2",
        retry_strategy={"attempts": 2},
        awslogs_enabled=True,
        awslogs_fetch_interval=timedelta(seconds=1),
        tags={"team": "bakery"},
    )
    started = job("started", "sleep 1; echo done", wait_for_completion=False)
    waited = BatchSensor(task_id="waited", job_id=started.output, poke_interval=2)
    shards >> retried >> started >> waited

with DAG("broken", schedule=None):
    job("breaks", "echo there is no flour; exit 7", deferrable=True, poll_interval=2, awslogs_enabled=True)
