"""The data controller's decision as one call, for the command and for the page."""

from __future__ import annotations

from wardround.node.desk import Desk
from wardround.node.projects import actions, queries
from wardround.node.projects.actions import FrozenCase


def frozen_cases(desk: Desk, project: str) -> list[FrozenCase]:
    """The cohort of a project as the enclave holds it now, one case per study."""
    with desk.home.database.reading() as session:
        question = queries.project_of(queries.row_of(session, project)).cohort
    found: dict[str, FrozenCase] = {}
    for ref in desk.enclave.manifest(question).cases:
        found.setdefault(ref.study, FrozenCase(ref.pseudonym, ref.study, ref.model_dump_json()))
    return list(found.values())


def approve(desk: Desk, project: str, *, actor: str) -> int:
    """Approve a project and freeze its cohort; returns the number of people in it. The running node tells the hub.

    Raises:
        NotFound, NotAllowed: see `actions.approve`.
    """
    cases = frozen_cases(desk, project)
    with desk.home.database.writing() as session:
        return actions.approve(session, project, cases, desk.entries, actor=actor, at=desk.clock())


def refuse(desk: Desk, project: str, reason: str, *, actor: str) -> None:
    """Refuse a project with a reason code. The running node tells the hub."""
    with desk.home.database.writing() as session:
        actions.refuse(session, project, reason, desk.entries, actor=actor, at=desk.clock())
