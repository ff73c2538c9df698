"""redun: an array of jobs, a job with a retry of AWS Batch's own, a script task, and a failure with its log."""


def run(site):
    site.bucket("redun")
    said = site.call("redun", "run", "workflow.py", "main")
    site.check(
        "a workflow ran to its end, its results came back through S3", "22 letters, at the second attempt" in said, said
    )
    jobs = site.jobs()
    site.check("all jobs SUCCEEDED", {job["status"] for job in jobs} == {"SUCCEEDED"}, [job["status"] for job in jobs])
    arrays = [job["arrayProperties"] for job in jobs if "size" in job.get("arrayProperties", {})]
    site.check(
        "six like tasks were one array job of six children",
        [array["size"] for array in arrays] == [6] and arrays[0]["statusSummary"]["SUCCEEDED"] == 6,
        arrays,
    )
    site.check("one job has two attempts", sorted(len(job["attempts"]) for job in jobs)[-1] == 2)
    definitions = site.server.batch.describe_job_definitions(status="ACTIVE")["jobDefinitions"]
    site.check(
        "redun found its job definition again instead of registering another", len(definitions) == 1, definitions
    )

    said = site.call("redun", "run", "workflow.py", "broken", fails=True)
    site.check(
        "a failing task brings its error and its log from CloudWatch Logs",
        "there is no flour" in said and "about to break" in said and "Essential container in task exited" in said,
        said,
    )
