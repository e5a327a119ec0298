"""A run's history as CSV tables or one JSON document, for spreadsheets and programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from wardround.foundation.files import write_whole
from wardround.hub.runs.history import History

Row = dict[str, object]


def tables(told: History) -> Mapping[str, Sequence[Row]]:
    """`rounds`, `sites` (each site's part in each round; seconds and bytes), `scores` (by round and site), and
    `judgements` (after the rounds, of every model)."""
    metric = str(told.plan.metric)
    return {
        "rounds": [
            {
                "round": row.number,
                "leg": row.leg,
                "seconds": row.seconds,
                "committed_at": row.committed_at.isoformat(),
                "metric": metric,
                "score": row.score,
                "aggregate": row.aggregate,
                "ledger_entry": row.entry,
            }
            for row in told.rounds
        ],
        "sites": [
            {
                "round": part.round,
                "site": part.site,
                "state": part.state,
                "reason": part.reason,
                "weight": part.weight,
                "seconds": part.seconds,
                "bytes_up": part.bytes_up,
                "bytes_down": part.bytes_down,
                "ledger_entry": part.entry,
            }
            for part in told.parts
        ],
        "scores": [
            {"round": number, "site": site, "metric": metric, "score": score}
            for (number, site), score in told.scores.items()
        ],
        "judgements": [
            {
                "label": row.label,
                "model": row.model,
                "site": row.site,
                "metric": metric,
                "score": row.score,
                "patients": row.patients,
                "ledger_entry": row.entry,
            }
            for row in told.judgements
        ],
    }


def as_csv(told: History, folder: Path) -> Path:
    """A file for each table in a folder named after the run; returns the folder. What wasn't told is an empty field."""
    target = folder / told.run.id
    target.mkdir(parents=True)
    for name, rows in tables(told).items():
        text = io.StringIO(newline="")
        if rows:
            writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        write_whole(target / f"{name}.csv", text.getvalue().encode(), mode=0o644)
    return target


def as_json(told: History, folder: Path) -> Path:
    """One file named after the run, with the run, its plan and every table; returns it."""
    row, target = told.run, folder / f"{told.run.id}.json"
    if target.exists():
        raise FileExistsError(target)
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "run": row.id,
        "project": row.project,
        "project_digest": row.project_digest,
        "state": row.state,
        "reason": row.reason,
        "started_at": row.started_at.isoformat(),
        "ended_at": None if row.ended_at is None else row.ended_at.isoformat(),
        "model": row.model,
        "best_round": row.best_round,
        "best_score": row.best_score,
        "plan": told.plan.model_dump(mode="json"),
        **tables(told),
    }
    write_whole(target, (json.dumps(document, indent=2) + "\n").encode(), mode=0o644)
    return target
