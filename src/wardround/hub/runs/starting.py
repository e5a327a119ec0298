"""A run begun from a project: its first weights are made by a process of their own, so that the hub loads no torch."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO

from wardround.contracts.run_plan import RunPlan
from wardround.foundation.errors import NotFound, Unreachable
from wardround.foundation.jobs import Job, Jobs
from wardround.hub import audit
from wardround.hub.home import HubHome
from wardround.hub.projects import queries
from wardround.hub.runs import actions
from wardround.hub.runs.tables import RunRow

PROGRAM = (sys.executable, "-P", "-m", "wardround.learning.initial")
SECONDS = 300
"""How long first weights may take; a package whose Python hangs is ended then."""


_STEP = re.compile(rb"step (\d+) (\d+) (.+)\n")
"""What the process says of how far it is; see `learning.initial`."""


def first_weights(home: HubHome, project: str, plan: RunPlan, job: Job[str]) -> tuple[str, str]:
    """The objects of those that travel, and of all. Raises `GivenUp`, `NotFound`, `Unreachable` as `begin`."""
    with TemporaryDirectory(prefix="first-weights-", dir=home.path) as folder, TemporaryFile() as asked:
        asked.write(plan.canonical())
        asked.seek(0)
        said, code = _made([*PROGRAM, str(home.packages), folder], asked, job)
        if code is None:
            raise Unreachable(f"the first weights of {project} took longer than {SECONDS} s; try again")
        if code:
            why = said.decode(errors="replace").strip().splitlines() or ["its process was ended"]
            raise NotFound(f"this hub can't begin {project}: {why[-1]}")
        travelling, whole = (home.objects.put((Path(folder) / name).read_bytes()) for name in ("travelling", "whole"))
    return travelling, whole


def _made(command: Sequence[str], asked: IO[bytes], job: Job[str]) -> tuple[bytes, int | None]:
    """What the process said at its end, and its status; None where it took too long and was ended. Raises `GivenUp`."""
    with (
        TemporaryFile() as said,
        subprocess.Popen(command, stdin=asked, stdout=subprocess.PIPE, stderr=said) as process,
    ):
        too_long = threading.Timer(SECONDS, process.kill)
        try:
            with job.ended_by(process.kill):
                too_long.start()
                for line in process.stdout or ():
                    if step := _STEP.fullmatch(line):
                        job.tell(step[3].decode(errors="replace"), int(step[1]), int(step[2]))
                code = process.wait()
        finally:
            late = too_long.finished.is_set()
            too_long.cancel()
            process.kill()
        job.check()
        said.seek(0)
        return said.read(), None if late and code else code


def begin(home: HubHome, project: str, *, actor: str, at: datetime, job: Job[str] | None = None) -> RunRow:
    """Begin a run of an approved project.

    Raises:
        Conflict, NotAllowed: see `actions.check_may_start`.
        NotFound: its package isn't here, or isn't what its plan says.
        Unreachable: its first weights took too long.
        GivenUp: `job` was given up.
    """
    job = job or Job(at)
    with home.database.reading() as session:
        actions.check_may_start(session, project, at.date())
        plan = queries.project_of(session, project).plan
    initial, began = first_weights(home, project, plan, job)
    with home.database.writing() as session:
        run = actions.start(
            session,
            project,
            initial=initial,
            began=began,
            engine="flare",
            engine_version=version("nvflare"),
            actor=actor,
            at=at,
        )
        job.settle()
        return run


class Beginnings:
    """Runs that are begun while whoever asked goes on, one of a project at a time: each a job that gives its name."""

    def __init__(self, home: HubHome) -> None:
        self._home = home
        self._jobs: Jobs[str] = Jobs("begin-run")

    def start(self) -> None:
        self._jobs.start()

    def stop(self) -> None:
        """Give up what is under way; returns once it has ended."""
        self._jobs.stop()

    def of(self, project: str) -> Job[str] | None:
        """The newest of a project since this hub was served."""
        return self._jobs.of(project)

    def begin(self, project: str, *, actor: str, at: datetime) -> Job[str]:
        """As the function `begin`, and returns at once.

        Raises:
            Conflict, NotAllowed: it can't be begun, or is being begun already.
        """
        with self._home.database.reading() as session:
            actions.check_may_start(session, project, at.date())
        return self._jobs.begin(project, lambda job: begin(self._home, project, actor=actor, at=at, job=job).id, at=at)

    def give_up(self, project: str, *, actor: str, at: datetime) -> None:
        """It is in the audit once it is so.

        Raises:
            NotFound: no run of it is being begun.
            Conflict: it has begun.
        """
        self._jobs.give_up(project)
        with self._home.database.writing() as session:
            audit.record(session, actor, "give-up-run", project, clock=lambda: at)
