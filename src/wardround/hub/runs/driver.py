"""What moves a run on: one tick looks at every run under way and takes the step that is due."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.algorithm import Ditto, Merge
from wardround.contracts.task import EstimateStatistics, JoinLeg, TrainAlone
from wardround.federation.engine import FederationEngine, LegRequest, LegState
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.hub.registry.registration import Registration
from wardround.hub.runs import actions, evaluation, judging, queries
from wardround.hub.runs.coordinator import leg_name
from wardround.hub.runs.ending import why_over
from wardround.hub.runs.intake import statistics_for
from wardround.hub.runs.merging import Merging, parents, with_models
from wardround.hub.runs.reasons import DECLINED
from wardround.hub.runs.states import RunState
from wardround.hub.runs.tables import LegRow, LocalModelRow, RunRow
from wardround.learning.ensemble import LARGEST

_log = logging.getLogger(__name__)

PAUSES = (0, 0, 5, 15, 30, 60)
"""Seconds before the next leg, by how many in a row brought nothing: a leg that died is followed at once, and a trouble
that ends each leg within seconds has minutes to pass before the run has failed."""

LEGS_WITHOUT_PROGRESS = len(PAUSES)
"""So many legs in a row without one whole round, and the run has failed."""

GATHER_SECONDS = 45.0
COMPARISON_PATIENCE = timedelta(hours=6)
HUB = "hub"


@dataclass(frozen=True)
class EngineAddress:
    """Where nodes reach the engine's server."""

    host: str
    port: int


class RunDriver:
    """Drives all runs of a hub. `tick` is called again and again by the hub's loop, from one thread."""

    def __init__(
        self,
        database: Database,
        engine: FederationEngine,
        address: EngineAddress,
        registration: Registration,
        merging: Merging,
        clock: Clock,
    ) -> None:
        self._merging = merging
        self._database = database
        self._engine = engine
        self._address = address
        self._registration = registration
        self._clock = clock
        self._asked: dict[str, frozenset[str]] = {}

    def tick(self) -> None:
        """One step of every run under way. A run whose step fails holds up no other; the last failure is raised."""
        with self._database.reading() as session:
            due = set(session.scalars(select(RunRow.id).where(RunRow.ended_at.is_(None))))
            due |= set(session.scalars(select(LegRow.run).where(LegRow.state == "open")))
        failure: Exception | None = None
        for run in sorted(due):
            try:
                self.step(run)
            except Exception as error:
                # A step touches the engine, the disk and the ledger: whatever it raised, the other runs go on.
                _log.error("run %s: its next step failed; it is tried again", run)
                failure = error
        if failure is not None:
            raise failure

    def step(self, run_id: str) -> None:
        """Take the step that is due in one run, if any."""
        with self._database.reading() as session:
            run = session.get(RunRow, run_id)
            state = RunState(run.state) if run is not None else RunState.FAILED
        if state is RunState.GATHERING:
            self._gather(run_id)
        elif state is RunState.RUNNING:
            self._watch(run_id)
        elif state is RunState.COMPARING:
            self._compare(run_id)
        elif state is RunState.EVALUATING:
            self._evaluate(run_id)
        else:
            self._give_up(run_id)

    def _gather(self, run_id: str) -> None:
        with self._database.writing() as session:
            run = session.get_one(RunRow, run_id)
            if isinstance(actions.plan_of(run).algorithm, Merge):
                self._begin_comparison(session, run, "sites train alone")
                return
        self._engine.start()
        at = self._clock()
        with self._database.writing() as session:
            run = session.get_one(RunRow, run_id)
            for leg in queries.open_legs(session, run_id):
                actions.close_leg(session, leg, state="failed", reason="the hub was restarted", at=at)
            stuck = queries.legs_without_progress(session, run_id)
            if stuck >= LEGS_WITHOUT_PROGRESS:
                last = queries.legs(session, run_id)[-1].reason
                told = f"{stuck} legs in a row ended without a whole round; the last: {last or 'no reason was told'}"
                self._end(session, run, RunState.FAILED, told)
                return
            if at - run.state_since < timedelta(seconds=PAUSES[stuck]):
                return
            plan = actions.plan_of(run)
            sites = queries.sites_for_round(session, run, run.round + 1, at.date())
            if len(sites) < plan.quorum:
                self._end(
                    session, run, RunState.FAILED, "fewer sites approve the project, or its next round, than its quorum"
                )
                return
            leg = actions.open_leg(session, run, at=at)
            for site in sites:
                task = JoinLeg(
                    project=run.project,
                    project_digest=run.project_digest,
                    run=run_id,
                    leg=leg.number,
                    engine_host=self._address.host,
                    engine_port=self._address.port,
                )
                actions.ask(session, run, site, task, queries.joining(leg.number))
            actions.move(session, run, RunState.RUNNING, reason=f"leg {leg.number}", actor=HUB, at=at)
            request = LegRequest(
                leg_id=leg_name(run_id, leg.number),
                run_id=run_id,
                sites=tuple(sites),
                quorum=plan.quorum,
                gather_seconds=GATHER_SECONDS,
            )
        self._asked[request.leg_id] = frozenset(sites)
        self._engine.start_leg(request)

    def _watch(self, run_id: str) -> None:
        with self._database.reading() as session:
            legs = queries.open_legs(session, run_id)
        if not legs:
            self._interrupt(run_id, None, "no leg was open")
            return
        try:
            status = self._engine.status(leg_name(run_id, legs[-1].number))
        except KeyError:
            self._interrupt(run_id, legs[-1], "the hub was restarted")
            return
        if not status.state.over:
            if status.state is LegState.STARTING:
                self._excuse(run_id, legs[-1])
            if status.absent != legs[-1].absent:
                with self._database.writing() as session:
                    session.get_one(LegRow, legs[-1].id).absent = dict(status.absent)
            self._part_from_excluded(run_id, status.leg_id)
            return
        if status.state is not LegState.FINISHED:
            self._interrupt(run_id, legs[-1], status.reason or str(status.state))
            return
        at = self._clock()
        with self._database.writing() as session:
            run = session.get_one(RunRow, run_id)
            leg = session.get_one(LegRow, legs[-1].id)
            actions.close_leg(session, leg, state="finished", reason=status.reason, at=at)
            self._begin_comparison(session, run, status.reason)

    def _excuse(self, run_id: str, leg: LegRow) -> None:
        """Have a leg not wait for the sites that refused to be asked into it."""
        with self._database.reading() as session:
            refused = queries.refused_to_join(session, run_id, leg.number)
        for site, code in refused.items():
            self._engine.excuse(leg_name(run_id, leg.number), site, DECLINED + code)

    def _part_from_excluded(self, run_id: str, leg_id: str) -> None:
        """Give a leg up that a site was asked into which may no longer take part, being shut out or having withdrawn
        or outlived its approval; the next one does without it.

        The engine knows none of that: within a leg it would go on offering the site each aggregate.
        """
        with self._database.reading() as session:
            allowed = queries.sites_to_ask(session, session.get_one(RunRow, run_id), self._clock().date())
        if self._asked.get(leg_id, frozenset()) - set(allowed):
            self._engine.abort(leg_id, "a site may no longer take part")

    def _interrupt(self, run_id: str, leg: LegRow | None, reason: str) -> None:
        at = self._clock()
        with self._database.writing() as session:
            run = session.get_one(RunRow, run_id)
            if leg is not None:
                actions.close_leg(session, session.get_one(LegRow, leg.id), state="failed", reason=reason, at=at)
            plan = actions.plan_of(run)
            over = why_over(session, run, plan, run.best_score)
            if over:
                # The last round was whole before the leg died: nothing is left for another leg to do.
                self._begin_comparison(session, run, over)
                return
            actions.move(session, run, RunState.GATHERING, reason=reason, actor=HUB, at=at)
        _log.warning("run %s: leg ended early (%s); another begins after round %s", run_id, reason, run.round)

    def _give_up(self, run_id: str) -> None:
        """Abort what the engine still does for a run that has no use for it, as when a person stopped it."""
        with self._database.reading() as session:
            legs = queries.open_legs(session, run_id)
            reason = session.get_one(RunRow, run_id).reason
        for leg in legs:
            with suppress(KeyError):  # a leg of an engine that ended with an earlier hub
                self._engine.abort(leg_name(run_id, leg.number), reason)
            with self._database.writing() as session:
                actions.close_leg(
                    session, session.get_one(LegRow, leg.id), state="stopped", reason=reason, at=self._clock()
                )

    def _begin_comparison(self, session: Session, run: RunRow, reason: str) -> None:
        actions.move(session, run, RunState.COMPARING, reason=reason, actor=HUB, at=self._clock())
        if not actions.plan_of(run).compare_alone:
            return
        rounds = run.round or actions.plan_of(run).rounds  # a run that merges has had none
        for site in queries.sites_to_train_alone(session, run, self._clock().date()):
            task = TrainAlone(project=run.project, project_digest=run.project_digest, run=run.id, rounds=rounds)
            actions.ask(session, run, site, task, "alone")

    def _compare(self, run_id: str) -> None:
        with self._database.reading() as session:
            run = session.get_one(RunRow, run_id)
            if self._awaits(session, run, "alone"):
                return
        merge = self._next_merge(run_id)
        if merge is not None and self._ask_for_statistics(run_id, merge[1]):
            return
        together = None if merge is None else self._ensemble(run_id, merge[0])
        with self._database.writing() as session:
            run = session.get_one(RunRow, run_id)
            plan = actions.plan_of(run)
            if merge is not None:
                if together is not None:
                    # Before the mean: of two that are as good the later one is taken, which costs less to use.
                    self._merging.keep(session, run, merge[0], together, ensemble=True, at=self._clock())
                self._keep(session, run, *merge)
            elif isinstance(plan.algorithm, Merge):
                told = f"fewer sites than the quorum of {plan.quorum} sent a model of their own"
                self._end(session, run, RunState.FAILED, told)
                return
            labels = ("federated", "personal") if isinstance(plan.algorithm, Ditto) else ("federated",)
            models = {(label, digest) for digest in queries.candidates(session, run) for label in labels}
            for local in session.scalars(select(LocalModelRow).where(LocalModelRow.run == run_id)):
                models.add((f"local:{local.site}", local.digest))
            self._have_judged(session, run, models)

    def _awaits(self, session: Session, run: RunRow, purpose: str) -> bool:
        """Whether sites still have time for tasks of that purpose, or for the next merge's statistics."""
        if self._clock() - run.state_since > COMPARISON_PATIENCE:
            return False
        purposes = (purpose, statistics_for(run.round + 1))
        return any(queries.tasks_waiting(session, run.id, one) for one in purposes)

    def _have_judged(self, session: Session, run: RunRow, models: set[tuple[str, str]]) -> None:
        """Ask all sites to judge models, each a label and a digest."""
        for site in queries.sites_to_compare(session, run, self._clock().date()):
            for label, model in sorted(models):
                judging.ask(session, run, site, model, label)
        told = "1 model" if len(models) == 1 else f"{len(models)} models"
        actions.move(session, run, RunState.EVALUATING, reason=told, actor=HUB, at=self._clock())

    def _next_merge(self, run_id: str) -> tuple[Sequence[str], str] | None:
        """The merge that is due in a run that merges, by its sites and its digest: made, and not kept yet."""
        with self._database.reading() as session:
            run = session.get_one(RunRow, run_id)
            plan = actions.plan_of(run)
            if not isinstance(plan.algorithm, Merge):
                return None
            first = with_models(session, run)
            sites = self._merging.due(session, run) if run.round else first
            if sites is None or len(first) < plan.quorum:
                return None
            return sites, self._merging.make(session, run, sites)

    def _ask_for_statistics(self, run_id: str, merge: str) -> bool:
        """Have the sites take a merge's normalisation statistics, unless they were asked already or it has none."""
        if not self._merging.keeps_statistics(merge):
            return False
        with self._database.writing() as session:
            run = session.get_one(RunRow, run_id)
            number = run.round + 1
            purpose = statistics_for(number)
            if actions.plan_of(run).own_code or queries.sites_asked(session, run_id, purpose):
                return False
            sites = queries.sites_to_train_alone(session, run, self._clock().date())
            for site in sites:
                task = EstimateStatistics(
                    project=run.project, project_digest=run.project_digest, run=run_id, model=merge, merge=number
                )
                actions.ask(session, run, site, task, purpose)
            reason = f"normalisation statistics of merge {number}"
            actions.move(session, run, RunState(run.state), reason=reason, actor=HUB, at=self._clock())
            return bool(sites)

    def _keep(self, session: Session, run: RunRow, sites: Sequence[str], averaged: str) -> str:
        """Keep a merge, with the statistics that its sites took. Returns its digest."""
        digest, taken = self._merging.restated(session, run, averaged)
        self._merging.keep(session, run, sites, digest, taken=taken, at=self._clock())
        return digest

    def _ensemble(self, run_id: str, sites: Sequence[str]) -> str | None:
        """The ensemble of what these sites trained, where the plan wants one and there are several."""
        with self._database.reading() as session:
            run = session.get_one(RunRow, run_id)
            algorithm = actions.plan_of(run).algorithm
            wanted = isinstance(algorithm, Merge) and algorithm.ensemble and 1 < len(sites) <= LARGEST
            return self._merging.together(session, run, sites) if wanted else None

    def _evaluate(self, run_id: str) -> None:
        with self._database.reading() as session:
            run = session.get_one(RunRow, run_id)
            if self._awaits(session, run, judging.PURPOSE):
                return
            judges = run.judges
        if judges is not None:
            with self._database.writing() as session:
                run = session.get_one(RunRow, run_id)
                self._end(session, run, *evaluation.outcome(session, run))
            return
        merge = self._next_merge(run_id)
        if merge is not None:
            if self._ask_for_statistics(run_id, merge[1]):
                return
            with self._database.writing() as session:
                run = session.get_one(RunRow, run_id)
                self._have_judged(session, run, {("federated", self._keep(session, run, *merge))})
            return
        with self._database.reading() as session:
            run = session.get_one(RunRow, run_id)
            best, score = queries.best_candidate(session, run)
            merging = isinstance(actions.plan_of(run).algorithm, Merge)
            made_of = parents(session, run, queries.round_of(session, run_id, best) or 0) if merging else ()
        package = self._registration.package(run, best, made_of)
        at = self._clock()
        with self._database.writing() as session:
            run = session.get_one(RunRow, run_id)
            number = queries.round_of(session, run_id, best)
            if number is None:
                self._end(session, run, RunState.FAILED, "no round left an aggregate to register")
                return
            if score is not None:
                actions.judge_round(session, run, number, score)
            run.best_round, run.best_score = number, score
            run.model = self._registration.register(session, run, best, package, round_number=number, at=at)
            self._end(session, run, RunState.FINISHED, "model registered")

    def _end(self, session: Session, run: RunRow, state: RunState, reason: str) -> None:
        actions.end(session, run, state, reason=reason, actor=HUB, at=self._clock())
