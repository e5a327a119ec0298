"""Brings decisions to the ledger and the hub, step by step; a step that was done isn't done again."""

from __future__ import annotations

from wardround.contracts.disclosure import Count
from wardround.contracts.outbound import ProjectDecision
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.foundation.errors import Unreachable, WardroundError
from wardround.node.cohort.disclosure import Discloser
from wardround.node.gateway.gateway import Gateway
from wardround.node.projects import actions, queries
from wardround.node.projects.states import DecisionState
from wardround.node.record.entries import SiteEntries


class Telling:
    """Tells the hub what was decided here. `tick` is called by the node's loop and after each decision."""

    def __init__(
        self, database: Database, entries: SiteEntries, gateway: Gateway, discloser: Discloser, clock: Clock
    ) -> None:
        self._database = database
        self._discloser = discloser
        self._entries = entries
        self._gateway = gateway
        self._clock = clock

    def tick(self) -> int:
        """Tell all that is untold; returns how many decisions were.

        Raises:
            HubUnreachable: try again later.
            HubRefused: the hub wouldn't take one of them; the others were told.
        """
        with self._database.reading() as session:
            waiting = queries.untold(session)
        refusal: WardroundError | None = None
        for project in waiting:
            try:
                self._tell(project)
            except Unreachable:
                raise
            except WardroundError as error:
                # What the hub won't take of one project holds up no other.
                refusal = error
        if refusal is not None:
            raise refusal
        return len(waiting)

    def _tell(self, project: str) -> None:
        with self._database.reading() as session:
            row = queries.row_of(session, project)
        if row.approval_index is None:
            if row.approval is None:
                return
            index = self._entries.submit(row.approval)
            with self._database.writing() as session:
                kept = queries.row_of(session, project)
                if kept.approval != row.approval:
                    return  # another edition came meanwhile, and nothing was decided on it yet
                kept.approval_index = index
        people = Count(about=None)
        if row.state == DecisionState.APPROVED:
            with self._database.writing() as session:
                row = queries.row_of(session, project)
                if row.state != DecisionState.APPROVED:
                    return
                signed = actions.sign_manifest(session, row, self._entries, self._discloser, at=self._clock())
                people = actions.told_people(signed)
            if row.manifest_index is None:
                index = self._entries.submit(signed)
                with self._database.writing() as session:
                    kept = queries.row_of(session, project)
                    if kept.manifest != signed:
                        return
                    kept.manifest_index = index
        with self._database.reading() as session:
            row = queries.row_of(session, project)
        if row.state == DecisionState.WAITING or row.approval_index is None:
            return
        self._gateway.send(
            ProjectDecision(
                project=project,
                project_digest=row.digest,
                approved=row.state == DecisionState.APPROVED,
                entry=row.approval_index,
                people=people,
            )
        )
        with self._database.writing() as session:
            kept = queries.row_of(session, project)
            if kept.approval == row.approval:
                kept.told_at = self._clock()
