"""From a run's best aggregate to a registered model version."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy.orm import Session

from wardround.contracts.ledger_entry import Model
from wardround.contracts.run_plan import RunPlan
from wardround.foundation.files import ObjectStore
from wardround.hub import audit
from wardround.hub.registry.tables import ModelRow
from wardround.hub.runs import queries
from wardround.hub.runs.tables import RunRow
from wardround.learning.archive import pack
from wardround.learning.arrays import Arrays, from_bytes
from wardround.learning.bundle import export_bundle
from wardround.learning.ensemble import members_of
from wardround.learning.layers import named
from wardround.learning.lineage import KEY, Lineage
from wardround.learning.packages import Packages
from wardround.ledger.log import Log


@dataclass(frozen=True)
class Package:
    """A model package in the object store."""

    name: str
    digest: str
    archive: str


class Registration:
    """Makes packages of weights and registers them, each on the ledger."""

    def __init__(self, objects: ObjectStore, ledger: Log, packages: Packages) -> None:
        self._objects = objects
        self._packages = packages
        self._ledger = ledger

    def package(self, run: RunRow, weights: str, parents: tuple[str, ...] = ()) -> Package:
        """The run's model package with these weights, kept as one object. What doesn't travel is as the run began.

        Args:
            parents: the digests of the models that these weights were merged of.
        """
        plan = RunPlan.model_validate_json(run.plan)
        name, travelled = plan.package, from_bytes(self._objects.get(weights))
        whole = _whole(self._objects, run, travelled)
        at_home = sorted(whole.keys() - travelled.keys() - named(whole.keys(), plan.layers.frozen))
        told = Lineage(run=run.id, project=run.project, weights_sha256=weights, at_home=tuple(at_home), parents=parents)
        lineage = told.model_dump(mode="json", exclude_defaults=True)
        with tempfile.TemporaryDirectory() as scratch:
            target = Path(scratch) / "bundle"
            source = self._packages.find(name, plan.package_digest)
            digest = export_bundle(whole, target, {KEY: lineage}, package=source)
            archive = self._objects.put(pack(target))
        return Package(name, digest, archive)

    def register(
        self, session: Session, run: RunRow, weights: str, package: Package, *, round_number: int, at: datetime
    ) -> str:
        """Put the model on the ledger and in the registry; returns its digest. A second call changes nothing."""
        if session.get(ModelRow, package.digest) is not None:
            return package.digest
        metrics = site_metrics(session, run.id, weights)
        entry = self._ledger.record(
            session,
            Model(
                origin="hub",
                at=at,
                digest=package.digest,
                run=run.id,
                best_round=round_number,
                metrics=metrics,
            ),
        )
        session.add(
            ModelRow(
                digest=package.digest,
                package=package.name,
                archive=package.archive,
                weights=weights,
                run=run.id,
                round=round_number,
                metrics=json.dumps(metrics, sort_keys=True).encode(),
                entry=entry,
                registered_at=at,
            )
        )
        audit.record(session, "hub", "register-model", package.digest, run.id)
        return package.digest


def whole_weights(objects: ObjectStore, run: RunRow, weights: str) -> Arrays:
    """All arrays of a model of that run: those of the digest `weights`, and what didn't travel as the run began."""
    return _whole(objects, run, from_bytes(objects.get(weights)))


def _whole(objects: ObjectStore, run: RunRow, travelled: Arrays) -> Arrays:
    if run.began is None or members_of(travelled.keys()) > 1:  # an ensemble's members come whole
        return travelled
    return {**from_bytes(objects.get(run.began)), **travelled}


def site_metrics(session: Session, run: str, weights: str) -> dict[str, dict[str, float]]:
    """By site and by the plan's metric, here `dice`: `dice` of these weights on its held-out patients, `personal_dice`
    of the site's own model that goes with them, `local_dice` of the model that it trained alone on the same patients,
    and `local_abroad_dice`, the mean of that local model over all sites that judged it. What a site's patients can't
    tell isn't there."""
    metrics: dict[str, dict[str, float]] = {}
    rows = queries.evaluations(session, run)
    metric = RunPlan.model_validate_json(queries.row_of(session, run).plan).metric
    for row in rows:
        if row.score is None:
            continue
        if row.label == "federated" and row.model == weights:
            metrics.setdefault(row.site, {})[metric] = row.score
        elif row.label == "personal" and row.model == weights:
            metrics.setdefault(row.site, {})[f"personal_{metric}"] = row.score
        elif row.label == f"local:{row.site}":
            metrics.setdefault(row.site, {})[f"local_{metric}"] = row.score
    for site, found in metrics.items():
        abroad = queries.mean_score([row for row in rows if row.label == f"local:{site}"])
        if abroad is not None:
            found[f"local_abroad_{metric}"] = abroad
    return metrics
