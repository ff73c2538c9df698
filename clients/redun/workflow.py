"""Counts the letters of some words: an array of jobs, a job that AWS Batch retries, and a script that adds up."""

import os

from redun import script, task

redun_namespace = "letters"
WORDS = ["fornada", "is", "a", "batch", "of", "bread"]


@task(executor="batch")
def count(word: str) -> int:
    print(f"counting {word} as child {os.environ.get('AWS_BATCH_JOB_ARRAY_INDEX')}")
    return len(word)


@task(executor="batch", retries=2)
def second_thought() -> str:
    if os.environ["AWS_BATCH_JOB_ATTEMPT"] == "1":
        raise RuntimeError("not at the first attempt")
    return "at the second attempt"


@task()
def add(letters: list[int], when: str) -> str:
    total = " + ".join(map(str, letters))
    return script(f"echo $(({total})) letters, {when}", executor="batch")


@task()
def main() -> str:
    return add([count(word) for word in WORDS], second_thought())


@task(executor="batch")
def broken() -> str:
    print("about to break")
    raise ValueError("there is no flour")
