"""A run as a person sees it at one moment: its rounds, its sites, and what it waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy.orm import Session

from wardround.contracts.ledger_entry import Update, Use
from wardround.contracts.run_plan import RunPlan
from wardround.hub.runs import actions, queries
from wardround.hub.runs.reasons import code_of
from wardround.hub.runs.states import WAITS_FOR, RunState
from wardround.hub.runs.tables import EvaluationRow, LegRow, RoundRow, RoundSiteRow, RunRow
from wardround.ledger import store

LATELY = 1000
"""So many of the ledger's newest entries are looked at for what sites have done in the round under way."""


@dataclass(frozen=True)
class RoundView:
    """A whole round. `absent` are the sites that gave nothing that counts, or gave something that doesn't beside what
    does, each with its reason as it was told."""

    row: RoundRow
    taken: tuple[RoundSiteRow, ...]
    absent: tuple[tuple[str, str], ...]

    @property
    def judged(self) -> float | None:
        """How good the aggregate is that the round began with, over the sites that told it, each by its weight."""
        return actions.weighted([(part.score, part.weight) for part in self.taken if part.score is not None])


@dataclass(frozen=True)
class UnderWay:
    """The round that no aggregate was made of yet. `given`: sites whose update of it is on the ledger. `at_work`: those
    who told there that they began to train. `awaited`: the others that the leg asked. `absent`: who isn't in the leg,
    and why."""

    number: int
    since: datetime
    given: tuple[str, ...]
    at_work: tuple[str, ...]
    awaited: tuple[str, ...]
    absent: Mapping[str, str]


@dataclass(frozen=True)
class RunView:
    """`rounds` are those after the number that was asked for. `traffic` is what each site sent and was sent in all
    rounds, in bytes. `waiting` are the sites whose task the run waits for. `judgements` were told
    after the rounds."""

    row: RunRow
    plan: RunPlan
    rounds: tuple[RoundView, ...]
    traffic: Mapping[str, tuple[int, int]]
    legs: tuple[LegRow, ...]
    under_way: UnderWay | None
    waiting: Sequence[str]
    judgements: Sequence[EvaluationRow]

    @property
    def state(self) -> RunState:
        return RunState(self.row.state)

    @property
    def waits_for(self) -> str:
        """What the run waits for, and for whom, in words."""
        told = WAITS_FOR[self.state]
        if self.under_way is None:
            return f"{told}: {', '.join(self.waiting)}" if self.waiting else told
        now = self.under_way
        parts = (("given", now.given), ("at work", now.at_work), ("not heard of yet", now.awaited))
        sites = [f"{words}: {', '.join(names)}" for words, names in parts if names]
        if now.absent:
            sites.append(f"not in the leg: {', '.join(f'{site} ({why})' for site, why in sorted(now.absent.items()))}")
        return f"round {now.number} of {self.plan.rounds}; {'; '.join(sites) or told}"

    @property
    def standing(self) -> str:
        """The run's state, its reason and what it waits for, as one line."""
        waits = "" if self.state.over else f"; waits for {self.waits_for}"
        return f"{self.row.id}: {self.state} ({self.row.reason}){waits}"

    @property
    def rounds_ended(self) -> str:
        """Why the last leg that came to its end did so, a code of `ending.WORDS`; nothing before."""
        return next((leg.reason for leg in reversed(self.legs) if leg.state == "finished"), "")


def see(session: Session, run: str, today: date, *, after: int = 0) -> RunView:
    """The run as it stands, with its rounds after that number.

    Raises:
        NotFound: there is no such run.
    """
    row = queries.row_of(session, run)
    parts = queries.parts(session, run, after)
    seen = tuple(_round(found, parts.get(found.number, [])) for found in queries.rounds(session, run, after))
    return RunView(
        row=row,
        plan=actions.plan_of(row),
        rounds=seen,
        traffic=queries.bytes_by_site(session, run),
        legs=tuple(queries.legs(session, run)),
        under_way=_under_way(session, row, today) if RunState(row.state) is RunState.RUNNING else None,
        waiting=queries.tasks_waiting(session, run),
        judgements=queries.evaluations(session, run),
    )


def _round(row: RoundRow, parts: Sequence[RoundSiteRow]) -> RoundView:
    missing = {part.site: part.reason for part in parts if part.state == "missing"}
    # An update that was refused beside one that counts; where none does, the site is missing for that reason.
    refused = [
        (part.site, f"refused: {part.reason}")
        for part in parts
        if part.state == "refused" and code_of(missing.get(part.site, "")) != part.reason
    ]
    taken = tuple(part for part in parts if part.state == "taken")
    return RoundView(row, taken, (*missing.items(), *refused))


def _under_way(session: Session, run: RunRow, today: date) -> UnderWay | None:
    legs = queries.open_legs(session, run.id)
    if not legs:
        return None
    number, last = run.round + 1, queries.rounds(session, run.id, run.round - 1)
    asked = set(queries.sites_for_round(session, run, number, today))
    absent = {site: why for site, why in (legs[-1].absent or {}).items() if site in asked}
    # What sites tell the ledger before they train, and before they send: the hub's own process need not be asked.
    size = store.size(session)
    entry = last[-1].entry if last else None
    start = max(size - LATELY, 0 if entry is None else entry)
    given: set[str] = set()
    begun: set[str] = set()
    for said in store.entries_at(session, range(start, size)).values():
        if isinstance(said, Update | Use) and (said.run, said.round) == (run.id, number):
            (given if isinstance(said, Update) else begun).add(said.origin)
    asked -= absent.keys() - given - begun  # who came after the leg began is in it
    return UnderWay(
        number=number,
        since=max([legs[-1].started_at, *(row.committed_at for row in last)]),
        given=tuple(sorted(asked & given)),
        at_work=tuple(sorted((asked & begun) - given)),
        awaited=tuple(sorted(asked - begun - given)),
        absent={site: why for site, why in absent.items() if site not in asked},
    )
