"""Brings decisions to the ledger and the hub, step by step; a step that was done isn't done again."""

from __future__ import annotations

from wardround.contracts.disclosure import Count
from wardround.contracts.outbound import Answered, ProjectDecision
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.foundation.errors import Unreachable, WardroundError
from wardround.node.cohort.disclosure import Discloser
from wardround.node.gateway.gateway import Gateway
from wardround.node.projects import actions, queries
from wardround.node.projects.tables import Decision
from wardround.node.record.entries import SiteEntries
from wardround.node.record.purges import tell_late


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
        for number in waiting:
            try:
                self._tell(number)
            except Unreachable:
                raise
            except WardroundError as error:
                # What the hub won't take of one project holds up no other.
                refusal = error
        if refusal is not None:
            raise refusal
        return len(waiting)

    def _tell(self, number: int) -> None:
        """The entries in their order, then the decision as it stands. One on a former edition goes to the ledger
        alone: it was made, and it covers nothing."""
        decision, current = self._read(number)
        if decision.entry_index is None:
            self._keep(number, entry_index=self._entries.submit(decision.entry))
            decision, current = self._read(number)
        people = Count(about=None)
        if decision.withdrawn_at is not None:
            with self._database.writing() as session:
                signed = actions.sign_withdrawal(session.get_one(Decision, number), self._entries)
            if decision.withdrawal_index is None:
                self._keep(number, withdrawal_index=self._entries.submit(signed))
        elif decision.approved and current:
            people = self._freeze(number)
        told, current = self._read(number)
        if told.withdrawn_at != decision.withdrawn_at:
            return  # it was taken back meanwhile: the next tick tells that
        if current:
            self._gateway.send(_message(told, people))
        with self._database.writing() as session:
            kept = session.get_one(Decision, number)
            if kept.withdrawn_at == told.withdrawn_at:
                kept.told_at = self._clock()

    def _freeze(self, number: int) -> Count:
        """Bring the manifest to the ledger; how many people it tells."""
        with self._database.writing() as session:
            decision = session.get_one(Decision, number)
            signed = actions.sign_manifest(session, decision, self._entries, self._discloser, at=self._clock())
            there = decision.manifest_index is not None
        if not there:
            index = self._entries.submit(signed)
            with self._database.writing() as session:
                decision = session.get_one(Decision, number)
                decision.manifest_index = index
                tell_late(session, self._entries, decision, self._clock())
        return actions.told_people(signed)

    def _read(self, number: int) -> tuple[Decision, bool]:
        """The decision, and whether it is on the edition that stands now."""
        with self._database.reading() as session:
            decision = session.get_one(Decision, number)
            return decision, queries.row_of(session, decision.project).decision == number

    def _keep(self, number: int, **indices: int) -> None:
        with self._database.writing() as session:
            decision = session.get_one(Decision, number)
            for name, index in indices.items():
                setattr(decision, name, index)


def _message(decision: Decision, people: Count) -> ProjectDecision:
    answer: Answered = "approved" if decision.approved else "refused"
    entry = decision.entry_index
    if decision.withdrawn_at is not None:
        answer, entry = "withdrawn", decision.withdrawal_index
    if entry is None:
        raise WardroundError(f"the decision on {decision.project} has no place in the ledger yet")
    return ProjectDecision(
        project=decision.project,
        project_digest=decision.project_digest,
        answer=answer,
        entry=entry,
        people=people,
    )
