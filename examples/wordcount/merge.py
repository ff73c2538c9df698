"""The job after the array: adds up what the children counted.

    merge.py COUNTS TABLE

Reads every JSON file in COUNTS and writes TABLE: the most frequent words, and the most frequent longer ones, which say
more about the text. The last line it prints is the total, so that it can be read from the job's log.
"""

import collections
import json
import pathlib
import sys

ROWS = 30
LONG = 7  # letters


def main(counts, table):
    shards = sorted(counts.glob("*.json"))
    total = collections.Counter()
    for shard in shards:
        total.update(json.loads(shard.read_text()))

    longer = [(word, count) for word, count in total.most_common() if len(word) >= LONG]
    lines = [f"{total.total()} words, {len(total)} of them different, in {len(shards)} shards", ""]
    lines.append(f"{'all words':<14}{'count':>8}     {f'{LONG} letters and more':<20}{'count':>8}")
    for (word, count), (long_word, long_count) in zip(total.most_common(ROWS), longer):
        lines.append(f"{word:<14}{count:>8}     {long_word:<20}{long_count:>8}")
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")

    print(f"{len(shards)} shards, {total.total()} words")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
