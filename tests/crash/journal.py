"""The journal: what happened, in order, told by the jobs themselves and by the harness.

    begin ID ATTEMPT PID        a job's process is there
    end ID ATTEMPT PID CODE     it is about to exit with this code
    overlap ID ATTEMPT PID      a process of an older attempt was still there
    terminal ID STATUS          the harness was told that the job has ended
    kill server | kill node     the harness is about to do it
    killed node                 the node is gone, and what it had forked is killed
"""

import collections
import os


class Journal:
    """The file, open for appending."""

    def __init__(self, path):
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, *words):
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())

    def close(self):
        os.close(self._file)


class History:
    """What a journal says. Positions are numbers of lines."""

    def __init__(self, path):
        self.begun = collections.defaultdict(list)  # (id, attempt): positions
        self.ended = collections.defaultdict(list)  # (id, attempt): (position, exit code)
        self.terminal = {}  # id: position
        self.node_kills = []  # (position before, position after)
        self.overlaps = []
        for position, line in enumerate(path.read_text().splitlines()):
            match line.split():
                case ["begin", job, attempt, _]:
                    self.begun[job, int(attempt)].append(position)
                case ["end", job, attempt, _, code]:
                    self.ended[job, int(attempt)].append((position, int(code)))
                case ["terminal", job, _]:
                    self.terminal[job] = position
                case ["kill", "server"]:
                    pass
                case ["kill", "node"]:
                    started = position
                case ["killed", "node"]:
                    self.node_kills.append((started, position))
                case ["overlap", *_]:
                    self.overlaps.append(line)
                case _:
                    raise AssertionError(f"line {position} of the journal is torn: {line!r}")

    def first_begin(self, job):
        """When the first attempt of a job began; `None` when none did."""
        return min((positions[0] for (of, _), positions in self.begun.items() if of == job), default=None)

    def success(self, job):
        """When a job's process ended well; `None` when none did."""
        ends = (end for (of, _), ends in self.ended.items() if of == job for end in ends)
        return min((position for position, code in ends if code == 0), default=None)

    def node_was_killed(self, after, before):
        """Whether the node was killed between two positions."""
        return any(after <= killed and kill <= before for kill, killed in self.node_kills)
