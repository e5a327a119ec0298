"""A run's history as MLflow keeps runs in a folder (`mlruns`): an experiment for the project, a run in it.

The layout is that of MLflow's file store (mlflow/store/tracking/file_store.py): a `meta.yaml` for each experiment and
run, a file for each parameter and tag, and for each metric a line of milliseconds, value and step for each value.
MLflow 3 reads such folders where `MLFLOW_ALLOW_FILE_STORE` is true, and moves them into a database of its own with
`mlflow migrate-filestore`; its tables change with its versions, this layout no longer does.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import yaml

from wardround.foundation.files import write_whole
from wardround.hub.runs.history import History
from wardround.hub.runs.states import RunState

STATUS = {RunState.FINISHED: 3, RunState.FAILED: 4, RunState.ENDED: 5}
"""MLflow's numbers of finished, failed and killed; whatever isn't over is 1, running."""


def as_mlflow(told: History, folder: Path) -> Path:
    """Add the run to the store in `folder`; returns the run's own folder in it. Steps are rounds."""
    run = told.run
    experiment = f"{int(sha256(run.project.encode()).hexdigest()[:15], 16) % 10**18:018d}"
    run_id = sha256(f"{run.id} {run.project_digest}".encode()).hexdigest()[:32]
    target = folder / experiment / run_id
    target.mkdir(parents=True)
    if not (folder / experiment / "meta.yaml").exists():
        _meta(folder / experiment, _experiment(experiment, run.project, _milliseconds(run.started_at), folder))
    ended = None if run.ended_at is None else _milliseconds(run.ended_at)
    _meta(
        target,
        {
            "artifact_uri": (target / "artifacts").resolve().as_uri(),
            "end_time": ended,
            "entry_point_name": "",
            "experiment_id": experiment,
            "lifecycle_stage": "active",
            "run_id": run_id,
            "run_name": run.id,
            "run_uuid": run_id,
            "source_name": "wardround",
            "source_type": 4,
            "source_version": "",
            "start_time": _milliseconds(run.started_at),
            "status": STATUS.get(RunState(run.state), 1),
            "tags": [],
            "user_id": run.started_by,
        },
    )
    (target / "artifacts").mkdir()
    for kind, found in (("params", _params(told)), ("tags", _tags(told)), ("metrics", _metrics(told))):
        (target / kind).mkdir()
        for name, text in found.items():
            (target / kind / name).parent.mkdir(parents=True, exist_ok=True)
            write_whole(target / kind / name, text.encode(), mode=0o644)
    return target


def _experiment(number: str, name: str, at: int, folder: Path) -> dict[str, object]:
    return {
        "artifact_location": (folder / number).resolve().as_uri(),
        "creation_time": at,
        "experiment_id": number,
        "last_update_time": at,
        "lifecycle_stage": "active",
        "name": name,
    }


def _params(told: History) -> dict[str, str]:
    plan = told.plan
    return {
        "project": told.run.project,
        "package": plan.package,
        "package_digest": plan.package_digest,
        "algorithm": plan.algorithm.in_words(),
        "setting": plan.setting,
        "rounds": str(plan.rounds),
        "quorum": str(plan.quorum),
        "seed": str(plan.seed),
        "engine": f"{told.run.engine} {told.run.engine_version}",
    }


def _tags(told: History) -> dict[str, str]:
    run = told.run
    tags = {"mlflow.runName": run.id, "mlflow.user": run.started_by, "mlflow.source.name": "wardround"}
    return tags | {"wardround.state": f"{run.state}: {run.reason}", "wardround.model": run.model or "none"}


def _metrics(told: History) -> Mapping[str, str]:
    """By name, of a site after a slash: one line for each round."""
    lines: dict[str, list[str]] = {}
    when = told.when

    def add(name: str, number: int, value: float) -> None:
        lines.setdefault(name, []).append(f"{_milliseconds(when[number])} {value} {number}\n")

    for row in told.rounds:
        add("round_seconds", row.number, row.seconds)
        if row.score is not None:
            add(f"{told.plan.metric}_mean", row.number, row.score)
    for (number, site), score in told.scores.items():
        add(f"{told.plan.metric}/{site}", number, score)
    for part in told.parts:
        if part.state == "taken":
            add(f"seconds/{part.site}", part.round, part.seconds)
            add(f"bytes_up/{part.site}", part.round, part.bytes_up)
            add(f"bytes_down/{part.site}", part.round, part.bytes_down)
    return {name: "".join(found) for name, found in lines.items()}


def _meta(folder: Path, said: dict[str, object]) -> None:
    write_whole(folder / "meta.yaml", yaml.safe_dump(said).encode(), mode=0o644)


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)
