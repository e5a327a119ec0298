"""How far this hospital came in a run's local work, sealed under its own key, so that a killed node goes on from there.

Files below a run's folder, `home/runs/RUN/learning`, each replaced as a whole. They are bound to the run and to what is
learned from: for any other cohort or plan, as after an opt-out, they don't open and are removed. Within stand the round
and the digest of the weights that its training began with. A whole round's state is kept until the next round's first:
a round that is asked for again, because the leg died, gives the very same update, and the next one goes on with its
moments.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from wardround.dicom.pseudonym import PseudonymKeys
from wardround.foundation.files import write_whole
from wardround.foundation.sealing import NotOpened, Sealer
from wardround.learning.arrays import Arrays, digest
from wardround.node.training.assignment import Assignment

_log = logging.getLogger(__name__)
FOLDER = "learning"


@dataclass(frozen=True)
class RunNotes:
    """Where the states of one run are kept, for the learning process. `folder`: the run's own; `key`: 32 secret bytes
    of the run; `every`: seconds between two states of one round."""

    run: str
    folder: Path
    key: bytes = field(repr=False)
    every: float = 30.0

    def of(
        self, assignment: Assignment, round_number: int, start: Arrays, *, personal: bool = False
    ) -> RoundCheckpoint:
        """The checkpoint of one training in a round, which begins with the weights `start`: of the model that is
        shared, or of one that stays here."""
        return self._of(assignment, round_number, digest(start), "personal" if personal else "shared")

    def alone(self, assignment: Assignment, round_number: int, rounds: int, start: Arrays) -> RoundCheckpoint:
        """The checkpoint of one of so many rounds of training alone. All of them are told by the run's own weights
        `start`, so that the state of whichever was reached is found without those that it began with."""
        return self._of(assignment, round_number, f"{digest(start)} {rounds}", "alone")

    def _of(self, assignment: Assignment, round_number: int, began: str, name: str) -> RoundCheckpoint:
        file = self.folder / FOLDER / name
        return RoundCheckpoint(self, file, _bound(self.run, assignment, name), round_number, began)


def notes_in(runs: Path, keys: PseudonymKeys, *, every: float) -> Callable[[str], RunNotes]:
    """Of each run the notes below `runs`, under a key of their own."""
    return lambda run: RunNotes(run, runs / run, keys.key(f"local state {run}"), every)


class RoundCheckpoint:
    """Implements `wardround.learning.resumption.Checkpoint` for one round of one run."""

    def __init__(
        self,
        notes: RunNotes,
        file: Path,
        bound: bytes,
        round_number: int,
        began: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._notes = notes
        self._file = file
        self._sealer = Sealer(notes.key)
        self._bound = bound
        self._round = round_number
        self._began = began
        self._clock = clock
        self._last = clock()

    def begun(self) -> bytes | None:
        head, state = self._read()
        return state if (head.get("round"), head.get("began")) == (self._round, self._began) else None

    def reached(self) -> int:
        """The round whose state is here, of the same beginning; 0 where there is none."""
        head, _ = self._read()
        number = head.get("round")
        return number if isinstance(number, int) and head.get("began") == self._began else 0

    def before(self) -> bytes | None:
        head, state = self._read()
        return state if (head.get("round"), head.get("whole")) == (self._round - 1, True) else None

    def due(self) -> bool:
        return self._clock() - self._last >= self._notes.every

    def keep(self, state: bytes, *, whole: bool) -> None:
        """A disk that is full costs the state and no round."""
        head = json.dumps({"round": self._round, "began": self._began, "whole": whole}).encode()
        sealed = self._sealer.seal(len(head).to_bytes(4, "big") + head + state, self._bound)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(self._file, sealed, mode=0o600)
        except OSError as error:
            _log.warning("run %s: the state of round %s isn't kept: %s", self._notes.run, self._round, error.strerror)
        self._last = self._clock()

    def forget(self) -> None:
        """Remove the state: it can't be gone on with."""
        self._file.unlink(missing_ok=True)

    def _read(self) -> tuple[dict[str, object], bytes]:
        try:
            opened = self._sealer.open(self._file.read_bytes(), self._bound)
        except FileNotFoundError:
            return {}, b""
        except NotOpened:
            # Of another cohort or plan than now, or damaged: whichever it is, nobody goes on from it.
            self.forget()
            return {}, b""
        size = int.from_bytes(opened[:4], "big")
        return json.loads(opened[4 : 4 + size]), opened[4 + size :]


def forget(folder: Path) -> None:
    """Remove what was kept of a run."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)


def _bound(run: str, assignment: Assignment, name: str) -> bytes:
    """What a state belongs to: the run, the plan, the site, each case of the cohort as it is served now."""
    told = {
        "run": run,
        "of": name,
        "site": assignment.site,
        "plan": assignment.plan.content_digest(),
        "manifest": assignment.manifest,
        "cases": [[case.name, case.case] for case in assignment.cohort.cases],
    }
    return sha256(b"wardround local state v1 " + json.dumps(told, sort_keys=True).encode()).digest()
