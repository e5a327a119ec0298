"""A run begun from a project: its first weights are made by a process of their own, so that the hub loads no torch."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from wardround.contracts.run_plan import RunPlan
from wardround.foundation.errors import NotFound, Unreachable
from wardround.hub.home import HubHome
from wardround.hub.projects import queries
from wardround.hub.runs import actions
from wardround.hub.runs.tables import RunRow

SECONDS = 300
"""How long first weights may take; a package whose Python hangs is ended then."""


def begin(home: HubHome, project: str, *, actor: str, at: datetime) -> RunRow:
    """Begin a run of an approved project.

    Raises:
        Conflict, NotAllowed: see `actions.check_may_start`.
        NotFound: its package isn't here, or isn't what its plan says.
        Unreachable: its first weights took too long.
    """
    with home.database.reading() as session:
        actions.check_may_start(session, project, at.date())
        plan = queries.project_of(session, project).plan
    initial, began = _first_weights(home, project, plan)
    with home.database.writing() as session:
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


def _first_weights(home: HubHome, project: str, plan: RunPlan) -> tuple[str, str]:
    """The objects of those that travel, and of all."""
    with TemporaryDirectory(prefix="first-weights-", dir=home.path) as folder:
        command = [sys.executable, "-P", "-m", "wardround.learning.initial", str(home.packages), folder]
        try:
            made = subprocess.run(command, input=plan.canonical(), capture_output=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise Unreachable(f"the first weights of {project} took longer than {SECONDS} s; try again") from None
        if made.returncode:
            why = made.stderr.decode(errors="replace").strip().splitlines() or ["its process was ended"]
            raise NotFound(f"this hub can't begin {project}: {why[-1]}")
        travelling, whole = (home.objects.put((Path(folder) / name).read_bytes()) for name in ("travelling", "whole"))
    return travelling, whole
