"""The processes that de-identify: a few, small, and expendable.

Each is this program's own interpreter, started afresh (never forked out of a process with threads) and spoken to over
a socket pair. An object that kills its process, or keeps it for too long, is known by its job: it is tried once more,
then it is unfit, and the others go on in a new process.
"""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Protocol

from wardround.dicom.confidentiality_profile import Option, Profile
from wardround.dicom.deidentify import Deidentifier
from wardround.dicom.pixels_screening import Screener
from wardround.foundation.errors import WardroundError
from wardround.foundation.threads import ONE_EACH
from wardround.node.deidentify.work import Bench, Job, Outcome, SeriesJob, Unfit

KILLED = "deidentification-crashed"
TOO_SLOW = "deidentification-too-slow"
DEPTH = 48
"""How many jobs a process may have before it, so that it doesn't idle while results are being stored."""
SECONDS_PER_OBJECT = 120.0
MOST_MEMORY = 4 * 1024**3
SECONDS_TO_START = 120.0
_TRIES = 2
SLICES_PER_TURN = 50
"""A series may take as long as one object, and as long again for each so many of its slices."""

Work = Job | SeriesJob


class CrewBroken(WardroundError):
    """No process of the crew starts: nothing is wrong with any object."""

    code = "crew-broken"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that a process needs to make its `Bench`."""

    profile: Profile
    secret: bytes = field(repr=False)
    quarantine: Path
    aside: Path
    screener: Screener | None = None
    home_issuer: str = ""

    def bench(self) -> Bench:
        deidentifier = Deidentifier(self.profile, self.secret, self.home_issuer)
        return Bench(
            deidentifier.deidentify,
            deidentifier.identity,
            self.screener,
            self.quarantine,
            self.aside,
            defaces=Option.CLEAN_VISUAL_FEATURES in self.profile.options,
        )


class Crew(Protocol):
    """Whoever does jobs. For one thread."""

    def give(self, jobs: Iterable[Work]) -> None:
        """Take jobs in; each, a series too, gives exactly one outcome."""

    def outcomes(self, seconds: float) -> list[Outcome]:
        """What was done since the last call; waits at most `seconds` for the first, and not at all without work."""

    @property
    def busy(self) -> int:
        """How many jobs have no outcome yet."""

    @property
    def room(self) -> int:
        """How many more jobs are worth giving now."""

    def stop(self) -> None:
        """End; jobs without an outcome are forgotten."""


class Alone:
    """A crew of this process: each call of `outcomes` does what was given, by itself."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._jobs: deque[Work] = deque()

    def give(self, jobs: Iterable[Work]) -> None:
        self._jobs.extend(jobs)

    def outcomes(self, seconds: float) -> list[Outcome]:
        return [self.bench.do(self._jobs.popleft())] if self._jobs else []

    @property
    def busy(self) -> int:
        return len(self._jobs)

    @property
    def room(self) -> int:
        return DEPTH - len(self._jobs)

    def stop(self) -> None:
        self._jobs.clear()


class Processes:
    """A crew of `size` processes, started with the first job, ended with this one, however it ends.

    Args:
        seconds: how long one object may take.
        idle_seconds: after how long without work the processes are let go.
    """

    def __init__(
        self, recipe: Recipe, size: int, *, seconds: float = SECONDS_PER_OBJECT, idle_seconds: float = 300.0
    ) -> None:
        self._recipe = recipe
        self._size = max(size, 1)
        self._seconds = seconds
        self._idle_seconds = idle_seconds
        self._hands: list[_Hand] = []
        self._jobs: deque[Work] = deque()
        self._tries: dict[int, int] = {}
        self._done: list[Outcome] = []
        self._idle_since = time.monotonic()

    def give(self, jobs: Iterable[Work]) -> None:
        self._jobs.extend(jobs)
        self._hand_out()

    @property
    def busy(self) -> int:
        return len(self._jobs) + len(self._done) + sum(len(hand.jobs) for hand in self._hands)

    @property
    def room(self) -> int:
        return max(0, self._size * DEPTH - self.busy)

    def outcomes(self, seconds: float) -> list[Outcome]:
        self._hand_out()
        deadline = time.monotonic() + seconds
        while not self._done and any(hand.jobs for hand in self._hands):
            working = [hand for hand in self._hands if hand.jobs]
            now = time.monotonic()
            until = min([deadline, *(hand.until(self._seconds) for hand in working)])
            ready = wait([hand.line for hand in working], max(0.0, until - now))
            for hand in working:
                if hand.line in ready:
                    self._listen(hand)
                elif time.monotonic() >= hand.until(self._seconds):
                    self._bury(hand, TOO_SLOW)
            self._hand_out()
            if time.monotonic() >= deadline:
                break
        done, self._done = self._done, []
        return done

    def rest(self) -> None:
        """Let the processes go if there has been nothing to do for long; the next job starts new ones."""
        if self.busy:
            self._idle_since = time.monotonic()
        elif self._hands and time.monotonic() - self._idle_since >= self._idle_seconds:
            self.stop()

    def stop(self) -> None:
        for hand in self._hands:
            hand.end()
        self._hands.clear()
        self._jobs.clear()
        self._done.clear()

    def process_ids(self) -> list[int]:
        return [hand.process.pid for hand in self._hands]

    def _hand_out(self) -> None:
        if not self._jobs:
            return
        self._idle_since = time.monotonic()
        while len(self._hands) < min(self._size, len(self._jobs) + sum(1 for hand in self._hands if hand.jobs)):
            self._hands.append(_Hand(self._recipe))
        while self._jobs:
            hand = min(self._hands, key=lambda each: len(each.jobs))
            # A job that brought a process down already is tried alone.
            alone = bool(self._tries.get(self._jobs[0].id)) or any(self._tries.get(job.id) for job in hand.jobs)
            if len(hand.jobs) >= (1 if alone else DEPTH):
                return
            if not hand.give(self._jobs.popleft()):
                self._bury(hand, KILLED)
                return

    def _listen(self, hand: _Hand) -> None:
        """Take what a process has said; one that says no more has died of the first of its jobs."""
        try:
            while hand.line.poll():
                outcome = hand.answer()
                if outcome is not None:
                    self._done.append(outcome)
                    self._tries.pop(outcome.job, None)
        except (EOFError, OSError, pickle.UnpicklingError):
            self._bury(hand, KILLED)

    def _bury(self, hand: _Hand, reason: str) -> None:
        hand.end()
        self._hands.remove(hand)
        if not hand.ready:
            self._jobs.extendleft(reversed(hand.jobs))
            raise CrewBroken(
                "a process for de-identification doesn't start; see whether this machine has run out of memory"
            )
        if not hand.jobs:
            return
        culprit, *others = hand.jobs
        tries = self._tries.get(culprit.id, 0) + 1
        self._jobs.extendleft(reversed(others))
        if reason == TOO_SLOW or tries >= _TRIES:
            self._tries.pop(culprit.id, None)
            self._done.append(Unfit(culprit.id, reason))
        else:
            self._tries[culprit.id] = tries
            self._jobs.append(culprit)


class _Hand:
    """One process, and the jobs before it in their order."""

    def __init__(self, recipe: Recipe) -> None:
        ours, theirs = socket.socketpair()
        # -P: what lies in the working directory is no module.
        command = [sys.executable, "-P", "-m", __name__, str(theirs.fileno())]
        with theirs:
            self.process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # A library's warning may quote a value; what is wrong comes back as a reason.
                stderr=subprocess.DEVNULL,
                env=os.environ | ONE_EACH,
            )
        self.line: Connection[object, Outcome | None] = Connection(ours.detach())
        self.ready = False
        self.jobs: deque[Work] = deque()
        self.since = time.monotonic()
        self.line.send(recipe)

    def give(self, job: Work) -> bool:
        if not self.jobs and self.ready:
            self.since = time.monotonic()
        self.jobs.append(job)
        try:
            self.line.send(job)
        except OSError:
            return False
        return True

    def until(self, seconds: float) -> float:
        """The moment after which it has taken too long, over its start or over the first of its jobs."""
        if not self.ready:
            return self.since + max(seconds, SECONDS_TO_START)
        job = self.jobs[0] if self.jobs else None
        turns = len(job.jobs) // SLICES_PER_TURN if isinstance(job, SeriesJob) else 0
        return self.since + seconds * (1 + turns)

    def answer(self) -> Outcome | None:
        """What it says next: first, and once, that it is ready."""
        outcome = self.line.recv()
        self.since = time.monotonic()
        if outcome is None:
            self.ready = True
        else:
            self.jobs.popleft()
        return outcome

    def end(self) -> None:
        self.line.close()
        self.process.kill()
        self.process.wait()


def main(descriptor: int) -> None:
    """A process of the crew: the recipe first, then jobs, until the other end is closed."""
    import resource
    import signal

    # A terminal's Ctrl-C goes to the whole group; the parent decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    # What can crash the interpreter may hold a header: no dump of this process's memory is left anywhere.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    recipes: Connection[object, Recipe] = Connection(descriptor)
    bench = recipes.recv().bench()
    line: Connection[Outcome | None, Work] = Connection(os.dup(descriptor))
    with suppress(EOFError, OSError):
        line.send(None)
        while True:
            line.send(bench.do(line.recv()))


if __name__ == "__main__":
    # The classes that travel must be those of the module by its name, not of `__main__`.
    from wardround.node.deidentify.crew import main as work

    work(int(sys.argv[1]))
