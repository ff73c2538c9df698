"""The scheduler alone, without server, store or node: runs the benches of the core and draws how their figures grow."""

import datetime
import json
import math
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLOT = ROOT / "docs" / "scheduler-growth.svg"
HEADING = "## The scheduler alone"

GROUPS = {
    "fifo": "FIFO",
    "fair-share": "500 shares",
    "array": "arrays of up to 10,000",
    "gangs": "4-node jobs (nodes)",
    "turn": "whole turn, FIFO",
}
IDLE = {"idle-submit": "a job is submitted", "idle-exit": "a job exits"}
# The same in light and in dark: middle tones of different lightness.
COLOURS = ["#3b82f6", "#f97316", "#10b981", "#a855f7", "#ef4444"]


def measure():
    """Runs the benches; their medians in ns, by group and by parameter."""
    cargo = ["cargo", "bench", "--quiet", "--package", "fornada-core", "--bench"]
    subprocess.run([*cargo, "schedule", "--", "--noplot"], cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    medians = {}
    for file in target.glob("criterion/*/*/new/estimates.json"):
        group, parameter = file.parts[-4:-2]
        if parameter.isdigit():
            median = json.loads(file.read_text(encoding="utf-8"))["median"]["point_estimate"]
            medians.setdefault(group, {})[int(parameter)] = median
    memory = subprocess.run([*cargo, "memory"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return medians, [line.split("\t") for line in memory.splitlines() if "\t" in line]


def growth(medians):
    """The exponent k of time ~ n^k, by least squares over all sizes: 1 is linear, 0 does not grow."""
    points = [(math.log(n), math.log(time)) for n, time in medians.items()]
    x, y = (sum(column) / len(points) for column in zip(*points))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


def rows(medians, names, cell):
    """Lines of a table by name and size, with the growth at the end."""
    sizes = sorted({n for name in names for n in medians[name]})
    yield ["", *(f"{n:,}" for n in sizes), "growth"]
    yield ["---", *("---:" for _ in sizes), "---:"]
    for name, title in names.items():
        cells = [cell(n, medians[name][n]) if n in medians[name] else "" for n in sizes]
        yield [title, *cells, f"n^{growth(medians[name]):.2f}"]


def markdown(lines):
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def chapter():
    """Measures, draws, and says what came out."""
    medians, memory = measure()
    PLOT.write_text(plot({GROUPS[name]: medians[name] for name in GROUPS}), encoding="utf-8")
    rate = lambda n, time: f"{n / time * 1e6:,.0f}"  # noqa: E731
    micros = lambda _, time: f"{time / 1000:,.1f}"  # noqa: E731
    largest = max(medians["fair-share"])
    ratio = medians["fair-share"][largest] / medians["fifo"][largest]
    shapes = {"shapes": "100,000 jobs, FIFO"}
    return f"""The benches of `crates/core/benches/`, which `make bench ONLY=schedule` runs, on {datetime.date.today()}: medians of 10, in processor time of one core of
{os.cpu_count()}, while the machine had {os.getloadavg()[1]:.1f} runnable processes: others take no time, but caches. A pass gives room to all jobs that wait, of 1,000 shapes, on an instance for
every 100 of them. At {largest:,} jobs, 500 shares take {ratio:.2f} times as long as FIFO. Targets: 500 thousand a second with a
million jobs, and no more than twice as long with shares.

Thousand placements a second, by jobs that wait (growth is that of the time):

{markdown(rows(medians, GROUPS, rate))}

![Time of a pass by jobs that wait, both logarithmic]({PLOT.name})

The same by number of shapes:

{markdown(rows({"shapes": {n: time for n, time in medians["shapes"].items()}}, shapes, lambda _, time: f"{1e11 / time:,.0f}"))}

A turn that has nothing to place, in µs, by jobs that wait while all is full (target: < 10):

{markdown(rows(medians, IDLE, micros))}

Bytes of memory that what waits costs (targets: < 500 for a job, < 64 for a child):

{markdown([["", "bytes"], ["---", "---:"], *memory])}
"""


def plot(series):
    """Time over size as an SVG, both axes logarithmic; text and lines take the reader's colours."""
    width, height, left, bottom, right, top = 720, 420, 70, 50, 180, 20
    sizes = sorted({n for line in series.values() for n in line})
    times = [time for line in series.values() for time in line.values()]
    low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))
    first, last = math.log10(sizes[0]), math.log10(sizes[-1])

    def at(n, time):
        x = left + (math.log10(n) - first) / (last - first) * (width - left - right)
        y = height - bottom - (math.log10(time) - low) / (high - low) * (height - top - bottom)
        return f"{x:.1f}", f"{y:.1f}"

    parts = []
    for power in range(low, high + 1):
        x, y = at(sizes[0], 10**power)
        label = f"{10 ** (power % 3)} {('ns', 'µs', 'ms', 's')[power // 3]}"
        parts.append(f'<path class="grid" d="M{x} {y}H{width - right}"/>')
        parts.append(f'<text x="{left - 8}" y="{y}" dy=".35em" text-anchor="end">{label}</text>')
    for n in sizes:
        x, _ = at(n, 10**low)
        parts.append(f'<text x="{x}" y="{height - bottom + 20}" text-anchor="middle">{n:,}</text>')
    parts.append(f'<text x="{(left + width - right) / 2}" y="{height - 8}" text-anchor="middle">jobs that wait</text>')
    for number, (name, line) in enumerate(series.items()):
        colour, y = COLOURS[number % len(COLOURS)], top + 20 * number + 10
        points = " ".join(",".join(at(n, line[n])) for n in sorted(line))
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{points}"/>')
        for n in sorted(line):
            x, height_of = at(n, line[n])
            parts.append(f'<circle cx="{x}" cy="{height_of}" r="3" fill="{colour}"/>')
        parts.append(f'<path stroke="{colour}" stroke-width="2" d="M{width - right + 14} {y}h18"/>')
        parts.append(f'<text x="{width - right + 38}" y="{y}" dy=".35em">{name}</text>')
    style = (
        "text{font:12px sans-serif;fill:#24292f}.grid{stroke:#8888;stroke-width:.5}"
        "@media(prefers-color-scheme:dark){text{fill:#d0d7de}}"
    )
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="Time of a scheduling pass by jobs that wait">\n<style>{style}</style>\n{body}\n</svg>\n'
    )
