"""The report of a demonstration: what each hospital can say of itself, and what the hub knows, in one JSON.

On one laptop the report may put both side by side; between hospitals nobody could, since each only knows its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from wardround.demo.federation import DemoFederation
from wardround.demo.story import Story
from wardround.foundation.database import Database
from wardround.hub.runs import actions as runs
from wardround.hub.runs import queries
from wardround.node.gateway.egress import bytes_out
from wardround.node.receive.summary import intake_summary
from wardround.node.training.tables import Judgement

Dice = dict[str, float]


def report(federation: DemoFederation, story: Story, *, seconds: float) -> dict[str, Any]:
    """The whole report; every mean is over patients."""
    judged = {site: _judgements(desk.home.database, story) for site, desk in federation.desks.items()}
    assert federation.hub is not None  # noqa: S101 - a played journey has its hub
    return {
        "seconds": round(seconds, 1),
        "sites": {site: _site(federation, site, judged[site], story) for site in federation.sites},
        "cohort": {site: count.in_words() for site, count in sorted(story.counts.items())},
        "run": _run(federation.hub.database, story.run),
        "models": _models(federation.sites, judged, story),
        "ledger": _ledger(story),
        "clinic": {
            "site": story.clinic_site,
            "seconds": round(story.clinic_seconds, 2),
            "seg_sop_instance_uid": story.clinic_uid,
            "dice": story.clinic_dice,
            "model": story.model,
        },
    }


def _judgements(database: Database, story: Story) -> dict[tuple[str, str], Judgement]:
    with database.reading() as session:
        rows = session.scalars(select(Judgement).where(Judgement.run == story.run))
        return {(row.label, row.model): row for row in rows}


def _site(
    federation: DemoFederation, site: str, judged: dict[tuple[str, str], Judgement], story: Story
) -> dict[str, int]:
    database = federation.desks[site].home.database
    summary = intake_summary(database)
    federated = judged.get(("federated", story.weights))
    with database.reading() as session:
        left = bytes_out(session)
    return {
        "studies_received": sum(summary.studies.values()),
        "instances_received": sum(summary.instances.values()),
        "instances_refused": summary.instances_refused,
        "training_studies": 0 if federated is None else federated.training,
        "validation_studies": 0 if federated is None else len(federated.outcomes),
        "bytes_out": left,
    }


def _run(database: Database, run_id: str) -> dict[str, Any]:
    with database.reading() as session:
        run = queries.row_of(session, run_id)
        plan = runs.plan_of(run)
        rounds = []
        for row in queries.rounds(session, run_id):
            parts = queries.round_sites(session, run_id, row.number)
            rounds.append(
                {
                    "round": row.number,
                    "leg": row.leg,
                    "seconds": round(row.seconds, 3),
                    "bytes_up": sum(part.bytes_up for part in parts),
                    "bytes_down": sum(part.bytes_down for part in parts),
                    "sites": [part.site for part in parts if part.state == "taken"],
                    "missing": {part.site: part.reason for part in parts if part.state != "taken"},
                    "dice": row.score,
                }
            )
        legs = [{"leg": leg.number, "state": leg.state, "reason": leg.reason} for leg in queries.legs(session, run_id)]
        return {
            "id": run.id,
            "engine": run.engine,
            "engine_version": run.engine_version,
            "algorithm": plan.algorithm.name,
            "state": run.state,
            "ended_by": _ended_by(len(rounds), plan.rounds),
            "best_round": run.best_round,
            "legs": legs,
            "rounds": rounds,
        }


def _ended_by(rounds: int, planned: int) -> str:
    return "last-round" if rounds >= planned else "target-reached"


def _models(sites: Iterable[str], judged: dict[str, dict[tuple[str, str], Judgement]], story: Story) -> dict[str, Any]:
    federated: dict[str, Dice] = {}
    local: dict[str, dict[str, Dice]] = {}
    for here, rows in judged.items():
        for (label, model), row in rows.items():
            if label == "federated" and model == story.weights:
                federated[here] = _dice(row)
            elif label.startswith("local:"):
                local.setdefault(label.removeprefix("local:"), {})[here] = _dice(row)
    everywhere = {site: _together(found.values()) for site, found in local.items()}
    at_home = {site: found.get(site, {}) for site, found in local.items()}
    return {
        "federated": _told(federated, sites),
        "local": _told(everywhere, sites),
        "local_at_home": _told(at_home, sites),
    }


def _dice(row: Judgement) -> Dice:
    return {name: outcome[0] for name, outcome in row.outcomes.items()}


def _together(found: Iterable[Dice]) -> Dice:
    # Pseudonyms of two sites never meet: each is keyed by its own site's secret.
    return {name: dice for part in found for name, dice in part.items()}


def _told(by_site: dict[str, Dice], sites: Iterable[str]) -> dict[str, Any]:
    """By site its mean and its number of patients; `mean` over all the values of all sites."""
    told: dict[str, Any] = {
        site: {"mean": _mean(by_site[site].values()), "patients": len(by_site[site])}
        for site in sites
        if by_site.get(site)
    }
    told["mean"] = _mean(dice for found in by_site.values() for dice in found.values())
    return told


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return math.fsum(found) / len(found) if found else None


def _ledger(story: Story) -> dict[str, Any]:
    hub = story.verified["hub"]
    sites = {site: found for site, found in story.verified.items() if site != "hub"}
    agree = all(found.root == hub.root and not found.problems and found.quorum_met for found in sites.values())
    return {
        "entries": hub.entries,
        "root": hub.root,
        "witnesses": list(hub.cosigned_by),
        "verified": agree and not hub.problems and hub.quorum_met,
        "verified_by": sorted(site for site, found in story.verified.items() if not found.problems),
    }
