"""One child of the array: draws one tile.

    render.py OUT

The child's index (`AWS_BATCH_JOB_ARRAY_INDEX`) picks the tile; its pixels go to OUT, written under another name first,
so that a half-written tile never looks finished.
"""

import os
import pathlib
import sys
import time

import fractal


def main(out):
    index = int(os.environ["AWS_BATCH_JOB_ARRAY_INDEX"])
    start = time.process_time()
    pixels = fractal.tile(index)

    out.mkdir(parents=True, exist_ok=True)
    unfinished = out / f"{index:02}.rgb.part"
    unfinished.write_bytes(pixels)
    unfinished.rename(out / f"{index:02}.rgb")
    print(f"tile {index}: {len(pixels) // 3} pixels in {time.process_time() - start:.2f} s of CPU time")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
