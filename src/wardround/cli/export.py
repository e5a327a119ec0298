"""`wardround run export` and `wardround run plot`: what a run told, for other programs and as a picture."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from wardround.hub.runs.history import History

HOME = typer.Option(..., "--home", help="The hub's home.", envvar="WARDROUND_HUB_HOME")


class Form(StrEnum):
    """What a run can be written as."""

    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"
    CSV = "csv"
    JSON = "json"


def export(
    run: str = typer.Argument(..., help="The run; one that isn't over is written as far as it is."),
    folder: Path = typer.Argument(..., help="Where to; several runs may lie in one folder."),
    to: Form = typer.Option(..., "--to", help="The form."),
    home: Path = HOME,
) -> None:
    """Write each round's metric, bytes and seconds at each site for TensorBoard, MLflow or a spreadsheet."""
    from wardround.foundation.errors import Conflict
    from wardround.hub.runs.export.mlflow import as_mlflow
    from wardround.hub.runs.export.plain import as_csv, as_json
    from wardround.hub.runs.export.tensorboard import as_tensorboard

    told = _history(run, home)
    write, look = {
        Form.TENSORBOARD: (as_tensorboard, f"tensorboard --logdir {folder}"),
        Form.MLFLOW: (as_mlflow, f"MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri {folder}"),
        Form.CSV: (as_csv, f"open {folder / run / 'scores.csv'}"),
        Form.JSON: (as_json, f"read {folder / f'{run}.json'}"),
    }[to]
    try:
        target = write(told, folder)
    except (FileExistsError, NotADirectoryError):
        raise Conflict(
            f"{run} can't be written to {folder}: it lies there as {to} already, or that is no folder; name another"
        ) from None
    typer.echo(f"Wrote {len(told.rounds)} rounds and {len(told.scores)} scores of {run} to {target}. Next: {look}")


def plot(
    run: str = typer.Argument(..., help="The run; one that isn't over is drawn as far as it is."),
    file: Path = typer.Argument(..., help="A new file, as a rule FILE.svg."),
    home: Path = HOME,
) -> None:
    """Draw the metric of each round's model at each hospital, and over all of them, as an SVG picture."""
    from wardround.foundation.errors import Conflict, NotFound
    from wardround.foundation.files import write_whole
    from wardround.hub.runs.export.picture import picture

    told = _history(run, home)
    if not told.scores:
        raise NotFound(f"no hospital has told yet how good a round of {run} is; `wardround run watch {run}` shows when")
    if file.exists():
        raise Conflict(f"{file} is there already; name a new file")
    write_whole(file, picture(told).svg().encode(), mode=0o644)
    typer.echo(f"Drew {len(told.scores)} scores of {run} in {file}; a browser shows it.")


def _history(run: str, home: Path) -> History:
    from wardround.hub.home import HubHome
    from wardround.hub.runs.history import history

    opened = HubHome(home)
    with opened.database.reading() as session:
        told = history(session, run)
    opened.close()
    return told
