"""Counts the letters of some words: a fan-out of @batch steps, one of which fails at first, and a join."""

from metaflow import FlowSpec, Parameter, batch, current, environment, retry, step

WORDS = ["fornada", "is", "a", "batch"]
# The job's Python has what Metaflow would install; four processes are enough to load from S3, each takes 50 MiB.
SETTINGS = {"METAFLOW_SKIP_INSTALL_DEPENDENCIES": "1", "METAFLOW_S3_WORKER_COUNT": "4"}


class Letters(FlowSpec):
    broken = Parameter("broken", default=-1, help="index of a word that never succeeds")

    @step
    def start(self):
        self.words = WORDS
        self.next(self.count, foreach="words")

    @environment(vars=SETTINGS)
    @retry(times=1, minutes_between_retries=0)
    @batch(cpu=1, memory=1000)
    @step
    def count(self):
        print(f"counting {self.input!r}")
        if self.index == self.broken or (self.index == 2 and current.retry_count == 0):
            raise RuntimeError(f"{self.input!r} is too short")
        self.letters = len(self.input)
        self.next(self.join)

    @environment(vars=SETTINGS)
    @batch(cpu=1, memory=1000)
    @step
    def join(self, inputs):
        self.total = sum(task.letters for task in inputs)
        self.next(self.end)

    @step
    def end(self):
        print(f"{self.total} letters")


if __name__ == "__main__":
    Letters()
