"""One child of the array: counts the words of one shard of the corpus.

    count.py CORPUS OUT

The child's index picks the shard (`AWS_BATCH_JOB_ARRAY_INDEX`, 0-based, in the order of the file names); the counts go
to OUT as JSON, one file a shard, written under another name first, so that a half-written file never looks finished.
"""

import collections
import json
import os
import pathlib
import re
import sys

WORD = re.compile(r"[a-z]+(?:['’][a-z]+)*")


def main(corpus, out):
    index = int(os.environ["AWS_BATCH_JOB_ARRAY_INDEX"])
    shard = sorted(corpus.glob("*.txt"))[index]
    counts = collections.Counter(WORD.findall(shard.read_text(encoding="utf-8").lower()))

    out.mkdir(parents=True, exist_ok=True)
    unfinished = out / f"{shard.stem}.json.part"
    unfinished.write_text(json.dumps(counts))
    unfinished.rename(out / f"{shard.stem}.json")
    print(f"{shard.name}: {counts.total()} words, {len(counts)} of them different")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
