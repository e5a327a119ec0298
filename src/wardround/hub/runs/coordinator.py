"""The hub's side of an engine's leg: where it begins, what is admitted, and whether to go on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.algorithm import Cyclic
from wardround.contracts.ledger_entry import Aggregate, Approval, Manifest, Update
from wardround.contracts.masking import MaskedLeg
from wardround.contracts.run_plan import RunPlan
from wardround.contracts.turns import Turns
from wardround.federation.engine import EngineError, LegStart, Next, RoundResult, UpdateHeader, UpdateRefused
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.foundation.errors import Conflict
from wardround.foundation.files import ObjectStore
from wardround.hub.runs import actions, aggregates, queries
from wardround.hub.runs.ending import why_over
from wardround.hub.runs.states import RunState
from wardround.hub.runs.tables import LegRow, RunRow
from wardround.learning.arrays import ArraysRefused
from wardround.ledger import store
from wardround.ledger.log import Log


def leg_name(run: str, number: int) -> str:
    """The engine's name for a leg."""
    return f"{run}.{number}"


class RunCoordinator:
    """Implements `wardround.federation.engine.Coordinator` over the hub's database, objects and ledger."""

    def __init__(self, database: Database, objects: ObjectStore, ledger: Log, clock: Clock) -> None:
        self._database = database
        self._objects = objects
        self._ledger = ledger
        self._clock = clock

    def begin(self, leg_id: str) -> LegStart:
        with self._database.reading() as session:
            run, _ = self._current(session, leg_id)
            plan = actions.plan_of(run)
            if run.round >= plan.rounds:
                raise EngineError(f"run {run.id} has no round left")
            told: dict[str, Any] = {
                **plan.model_dump(mode="json"),
                "project": run.project,
                "project_digest": run.project_digest,
            }
            return LegStart(
                run_id=run.id,
                leg_id=leg_id,
                first_round=run.round + 1,
                total_rounds=plan.rounds,
                sites=tuple(queries.sites_for_round(session, run, run.round + 1, self._clock().date())),
                quorum=plan.quorum,
                deadline_seconds=plan.deadline_seconds,
                plan=told,
                arrays=aggregates.told(self._objects, plan.algorithm, run.current, first=run.round == 0),
                update_kind="delta",
                turns=_turns(plan),
                largest_change=plan.largest_change,
                robust={} if plan.robust is None else plan.robust.model_dump(mode="json"),
                masking={} if plan.masking is None else self._masked_leg(session, run, plan.masking.threshold),
            )

    def _masked_leg(self, session: Session, run: RunRow, threshold: int) -> dict[str, Any]:
        """What the engine checks signatures by: the keys with which the ledger knows its members now."""
        members = store.members(session, self._ledger.verifier, self._ledger.size(session))
        keys = {site: key.hex() for site in members if (key := members.key_of(site)) is not None}
        leg = MaskedLeg(ledger=self._ledger.verifier.name, project=run.project_digest, threshold=threshold, keys=keys)
        return leg.model_dump(mode="json")

    def admit(self, header: UpdateHeader) -> None:
        with self._database.reading() as session:
            try:
                run, _ = self._current(session, header.leg_id)
            except EngineError:
                raise UpdateRefused("not-current") from None
            if header.run_id != run.id or header.round != run.round + 1:
                raise UpdateRefused("wrong-round")
            if header.site not in queries.sites_to_ask(session, run, self._clock().date()):
                raise UpdateRefused("not-approved")
            if header.ledger_index is None:
                raise UpdateRefused("no-entry")
            entry = store.entry(session, header.ledger_index)
            if not isinstance(entry, Update):
                raise UpdateRefused("unknown-entry")
            if (entry.origin, entry.run, entry.round, entry.digest) != (
                header.site,
                run.id,
                header.round,
                header.digest,
            ):
                raise UpdateRefused("entry-differs")
            if entry.use is None:
                # Where it names one, the ledger has checked that it is of this very run, round and manifest.
                raise UpdateRefused("no-use")
            # The ledger has checked that these are the site's own; not that they are of this run's project.
            manifest = store.entry(session, entry.manifest)
            approval = store.entry(session, manifest.approval) if isinstance(manifest, Manifest) else None
            if not isinstance(approval, Approval) or (approval.project, approval.project_digest) != (
                run.project,
                run.project_digest,
            ):
                raise UpdateRefused("other-cohort")

    def commit(self, result: RoundResult) -> Next:
        with self._database.reading() as session:
            run, _ = self._current(session, result.leg_id)
            plan, before, first = actions.plan_of(run), run.current, run.round == 0
        try:
            kept = aggregates.keep(self._objects, plan.algorithm, before, result.arrays, first=first)
        except ArraysRefused as error:
            raise EngineError(f"the aggregate of round {result.round} was refused: {error.reason}") from error
        at = self._clock()
        with self._database.writing() as session:
            run, leg = self._current(session, result.leg_id)
            if run.current != before:
                raise Conflict(f"run {run.id} went on from another aggregate while round {result.round} was kept")
            indices = sorted(site.ledger_index for site in result.sites if site.ledger_index is not None)
            entry = self._ledger.record(
                session,
                Aggregate(
                    origin="hub",
                    at=at,
                    run=run.id,
                    round=result.round,
                    digest=kept.digest,
                    updates=tuple(indices),
                ),
            )
            score = actions.keep_round(session, run, leg, result, aggregate=kept.digest, entry=entry, at=at)
            over = why_over(session, run, plan, score)
            return Next(go_on=False, reason=over) if over else Next(go_on=True, arrays=kept.arrays)

    def _current(self, session: Session, leg_id: str) -> tuple[RunRow, LegRow]:
        """The run and leg of that name, while the leg is open and the run under way."""
        name, _, number = leg_id.rpartition(".")
        run = session.get(RunRow, name)
        if run is None or run.state not in (RunState.GATHERING, RunState.RUNNING) or not number.isdigit():
            raise EngineError(f"leg {leg_id} belongs to no run that is under way")
        leg = session.scalar(select(LegRow).where(LegRow.run == name, LegRow.number == int(number)))
        if leg is None or leg.state != "open":
            raise EngineError(f"leg {leg_id} is not the current one of its run")
        return run, leg


def _turns(plan: RunPlan) -> dict[str, Any]:
    """What the engine orders sites by; nothing where all train at once."""
    if not isinstance(plan.algorithm, Cyclic):
        return {}
    return Turns(order=plan.algorithm.order, seed=plan.seed).model_dump(mode="json")
