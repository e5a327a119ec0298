"""A run that merges what its sites trained on their own. Each merge is kept as a round, its parents as who took part.

The first is of all models, or the first two where the plan wants an ensemble; those that follow are a greedy soup's,
judged by the sites' held-out patients one after the other. What was judged is in the database, so a hub that was killed
goes on where it was.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.disclosure import told_size
from wardround.contracts.ledger_entry import Aggregate, Manifest, Update, alone_run
from wardround.contracts.metric import METRICS
from wardround.foundation.files import ObjectStore
from wardround.hub import audit
from wardround.hub.runs import actions, queries
from wardround.hub.runs.tables import EvaluationRow, LocalModelRow, RoundRow, RoundSiteRow, RunRow, StatisticsRow
from wardround.learning.arrays import ArraysRefused, check, from_bytes, to_bytes
from wardround.learning.ensemble import bundled
from wardround.learning.merging import greedy_soup, mean_of, merged, statistics
from wardround.ledger import store
from wardround.ledger.log import Log

_log = logging.getLogger(__name__)


class Merging:
    """Makes merges and keeps them; says which is due."""

    def __init__(self, objects: ObjectStore, ledger: Log) -> None:
        self._objects = objects
        self._ledger = ledger

    def make(self, session: Session, run: RunRow, sites: Sequence[str]) -> str:
        """The digest of the average of what these sites trained, each by its cohort's told size.

        Raises:
            ArraysRefused: the models aren't of one network, or a value isn't finite.
            ObjectMissing, ObjectDamaged: one can't be read.
        """
        rows = _models(session, run, sites)
        pairs = ((from_bytes(self._objects.get(row.digest)), _weight(session, row)) for row in rows)
        return self._objects.put(to_bytes(merged(pairs)))

    def keeps_statistics(self, digest: str) -> bool:
        """Whether a merge has normalisation layers that keep statistics, which its sites should take anew."""
        return bool(statistics(from_bytes(self._objects.get(digest))))

    def restated(self, session: Session, run: RunRow, digest: str) -> tuple[str, Sequence[StatisticsRow]]:
        """The digest of a merge with the statistics that its sites took, over all their patients, and what it rests on;
        of the merge as it is where no site's fit it."""
        model = from_bytes(self._objects.get(digest))
        variances = statistics(model)
        like = {name: model[name] for variance in variances for name in (variance, mean_of(variance))}
        rows, pairs = [], []
        told = select(StatisticsRow).where(StatisticsRow.run == run.id, StatisticsRow.model == digest)
        for row in session.scalars(told.order_by(StatisticsRow.site)):
            try:
                found = from_bytes(self._objects.get(row.digest))
                check(found, like=like)
            except ArraysRefused as error:
                _log.warning("run %s: the statistics of %s don't fit the merge: %s", run.id, row.site, error.reason)
                continue
            if all((found[name] >= 0).all() for name in variances):
                rows.append(row)
                pairs.append((found, _weight(session, row)))
        if not rows:
            return digest, ()
        return self._objects.put(to_bytes({**model, **merged(pairs)})), rows

    def together(self, session: Session, run: RunRow, sites: Sequence[str]) -> str:
        """The digest of the ensemble of what these sites trained.

        Raises: as `make`; `ArraysRefused` (`wrong-names`), it would have too many members.
        """
        rows = _models(session, run, sites)
        return self._objects.put(to_bytes(bundled(from_bytes(self._objects.get(row.digest)) for row in rows)))

    def keep(
        self,
        session: Session,
        run: RunRow,
        sites: Sequence[str],
        digest: str,
        *,
        ensemble: bool = False,
        taken: Sequence[StatisticsRow] = (),
        at: datetime,
    ) -> int:
        """Put a merge on the ledger and among the run's rounds, of which it becomes the last. Returns its number.

        Args:
            taken: the statistics of it that its sites took, if they did. The merge as it was averaged is on the ledger
                with the models that it is of, and what came of it with these.
        """
        rows = _models(session, run, sites)
        alone = alone_run(run.id)
        updates = tuple(sorted(row.entry for row in rows))
        said = Aggregate(
            origin="hub", at=at, run=alone, round=1, digest=taken[0].model if taken else digest, updates=updates
        )
        entry = self._ledger.record(session, said)
        if taken:
            update = store.entry(session, taken[0].entry)
            assert isinstance(update, Update)  # noqa: S101 - it was checked when it came
            told = tuple(sorted(row.entry for row in taken))
            said = Aggregate(origin="hub", at=at, run=alone, round=update.round, digest=digest, updates=told)
            entry = self._ledger.record(session, said)
        run.round, run.current = run.round + 1, digest
        made = {"aggregate": digest, "entry": entry, "ensemble": ensemble, "committed_at": at}
        session.add(RoundRow(run=run.id, number=run.round, leg=0, seconds=0.0, **made))
        for row in rows:
            part = {"state": "taken", "weight": _weight(session, row), "entry": row.entry}
            session.add(RoundSiteRow(run=run.id, round=run.round, site=row.site, **part))
        audit.record(session, "hub", "merge-models", run.id, f"{run.round} {digest}")
        return run.round

    def due(self, session: Session, run: RunRow) -> tuple[str, ...] | None:
        """The sites whose models have to be merged and judged next; None where the soup is done."""
        sign = 1 if METRICS[actions.plan_of(run).metric].larger_is_better else -1
        judged = queries.evaluations(session, run.id)
        alone = {row.site: row.digest for row in _models(session, run)}
        scores = {frozenset({site}): _score(judged, digest, sign) for site, digest in alone.items()}
        for merge in queries.rounds(session, run.id):
            if merge.ensemble:
                continue
            parents = frozenset(part.site for part in queries.round_sites(session, run.id, merge.number))
            scores[parents] = _score(judged, merge.aggregate, sign, untold=float("-inf"))
        known = [site for site in alone if scores[frozenset({site})] is not None]
        ranked = sorted(known, key=lambda site: (-(scores[frozenset({site})] or 0.0), site))
        return greedy_soup(ranked, lambda some: scores.get(frozenset(some)))[1] if ranked else None


def parents(session: Session, run: RunRow, number: int) -> tuple[str, ...]:
    """The digests of the models that a merge was made of."""
    sites = [part.site for part in queries.round_sites(session, run.id, number)]
    return tuple(row.digest for row in _models(session, run, sites))


def with_models(session: Session, run: RunRow) -> list[str]:
    """The sites whose own model is here."""
    return [row.site for row in _models(session, run)]


def _models(session: Session, run: RunRow, sites: Sequence[str] | None = None) -> Sequence[LocalModelRow]:
    found = select(LocalModelRow).where(LocalModelRow.run == run.id).order_by(LocalModelRow.site)
    return [row for row in session.scalars(found) if sites is None or row.site in sites]


def _weight(session: Session, row: LocalModelRow | StatisticsRow) -> float:
    """The told size of the cohort that a model was trained on, or that its statistics were taken of."""
    update = store.entry(session, row.entry)
    manifest = store.entry(session, update.manifest) if isinstance(update, Update) else None
    if not isinstance(manifest, Manifest):
        raise TypeError(f"the model of {row.site} rests on no manifest")  # its entry was checked when it came
    return float(told_size(manifest.people))


def _score(judged: Sequence[EvaluationRow], model: str, sign: int, *, untold: float | None = None) -> float | None:
    """The mean over all sites that judged a model, the larger the better."""
    found = queries.mean_score([row for row in judged if row.model == model])
    return untold if found is None else sign * found
