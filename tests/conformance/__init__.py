"""Tables of requests, and what AWS Batch says to each. One table a resource."""

from . import compute_environments, job_definitions, job_queues, jobs, logs, others

TABLES = (compute_environments, job_queues, job_definitions, jobs, others, logs)
CASES = [case for table in TABLES for case in table.CASES]
