"""A run begun from a project: its first weights are made by a process of their own, so that the hub loads no torch."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from wardround.contracts.run_plan import RunPlan
from wardround.foundation.errors import Conflict, NotFound, Unreachable, WardroundError
from wardround.hub import audit
from wardround.hub.home import HubHome
from wardround.hub.projects import queries
from wardround.hub.runs import actions
from wardround.hub.runs.tables import RunRow

log = logging.getLogger(__name__)

PROGRAM = (sys.executable, "-P", "-m", "wardround.learning.initial")
SECONDS = 300
"""How long first weights may take; a package whose Python hangs is ended then."""


AT_ONCE = 4
"""So many runs are begun beside each other; others wait their turn."""


class GivenUp(WardroundError):
    """Somebody, or the end of the hub, had a run not begin."""

    code = "given-up"


class Making:
    """First weights as a process makes them. `stop`, from any other thread, ends it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def check(self) -> None:
        """Raises `GivenUp` once it was stopped."""
        if self._stopped:
            raise GivenUp("it was given up before it began")

    def first_weights(self, home: HubHome, project: str, plan: RunPlan) -> tuple[str, str]:
        """The objects of those that travel, and of all. Raises `GivenUp`, `NotFound`, `Unreachable` as `begin`."""
        with TemporaryDirectory(prefix="first-weights-", dir=home.path) as folder:
            command = [*PROGRAM, str(home.packages), folder]
            with self._lock:
                self.check()
                process = self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
                )
            with process:
                try:
                    _, said = process.communicate(plan.canonical(), timeout=SECONDS)
                except subprocess.TimeoutExpired:
                    raise Unreachable(
                        f"the first weights of {project} took longer than {SECONDS} s; try again"
                    ) from None
                finally:
                    process.kill()
            self.check()
            if process.returncode:
                why = said.decode(errors="replace").strip().splitlines() or ["its process was ended"]
                raise NotFound(f"this hub can't begin {project}: {why[-1]}")
            travelling, whole = (
                home.objects.put((Path(folder) / name).read_bytes()) for name in ("travelling", "whole")
            )
        return travelling, whole

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()


def begin(home: HubHome, project: str, *, actor: str, at: datetime, making: Making | None = None) -> RunRow:
    """Begin a run of an approved project.

    Raises:
        Conflict, NotAllowed: see `actions.check_may_start`.
        NotFound: its package isn't here, or isn't what its plan says.
        Unreachable: its first weights took too long.
        GivenUp: `making` was stopped.
    """
    making = making or Making()
    with home.database.reading() as session:
        actions.check_may_start(session, project, at.date())
        plan = queries.project_of(session, project).plan
    initial, began = making.first_weights(home, project, plan)
    with home.database.writing() as session:
        making.check()
        return actions.start(
            session,
            project,
            initial=initial,
            began=began,
            engine="flare",
            engine_version=version("nvflare"),
            actor=actor,
            at=at,
        )


@dataclass(frozen=True, slots=True)
class Beginning:
    """A run that is being begun, or was. `run` becomes its name."""

    since: datetime
    making: Making
    run: Future[str]

    @property
    def under_way(self) -> bool:
        return not self.run.done()

    @property
    def fault(self) -> str:
        """Why it came to nothing, for people; empty otherwise."""
        error = self.run.exception() if self.run.done() else None
        if error is None or isinstance(error, WardroundError):
            return str(error or "")
        return "a fault of this program; its log says where"


class Beginnings:
    """Runs that are begun while whoever asked goes on, one of a project at a time.

    What is under way stands in memory alone: of a run that a hub was ended over nothing was begun, and it is started
    again by hand.
    """

    def __init__(self, home: HubHome) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._newest: dict[str, Beginning] = {}
        self._threads = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="begin-run")

    def start(self) -> None:
        """Nothing to do: threads begin with their first work."""

    def stop(self) -> None:
        """Give up what is under way; returns once it has ended."""
        with self._lock:
            for one in self._newest.values():
                one.making.stop()
        self._threads.shutdown(wait=True)

    def of(self, project: str) -> Beginning | None:
        """The newest of a project since this hub was served."""
        return self._newest.get(project)

    def begin(self, project: str, *, actor: str, at: datetime) -> Beginning:
        """As the function `begin`, and returns at once.

        Raises:
            Conflict, NotAllowed: it can't be begun, or is being begun already.
        """
        with self._home.database.reading() as session:
            actions.check_may_start(session, project, at.date())
        with self._lock:
            before = self._newest.get(project)
            if before is not None and before.under_way:
                raise Conflict(f"a run of {project} is being begun already; wait for it, or give it up")
            making = Making()
            run = self._threads.submit(self._begun, project, actor, at, making)
            run.add_done_callback(partial(_log, project))
            found = self._newest[project] = Beginning(at, making, run)
        return found

    def give_up(self, project: str, *, actor: str, at: datetime) -> None:
        """Raises `NotFound`: no run of it is being begun."""
        found = self._newest.get(project)
        if found is None or not found.under_way:
            raise NotFound(f"no run of {project} is being begun")
        with self._home.database.writing() as session:
            audit.record(session, actor, "give-up-run", project, clock=lambda: at)
        found.making.stop()

    def _begun(self, project: str, actor: str, at: datetime, making: Making) -> str:
        return begin(self._home, project, actor=actor, at=at, making=making).id


def _log(project: str, run: Future[str]) -> None:
    error = run.exception()
    if error is not None and not isinstance(error, WardroundError):
        log.error("a run of %s couldn't be begun", project, exc_info=error)
