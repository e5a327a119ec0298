"""Layers of this hospital's own that earlier versions left in clear: what lies sealed now is elsewhere, and they go."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.foundation.errors import WardroundError
from wardround.foundation.files import flush_directory
from wardround.node import audit
from wardround.node.training.own import FOLDER

_log = logging.getLogger(__name__)


class NotRemoved(WardroundError):
    """A file that lies in clear can't be removed. The text names it, for the people of this node."""

    code = "not-removed"


def remove_unsealed(models: Path, runs: Path, database: Database, clock: Clock) -> int:
    """Remove them, before anything is used here. They aren't sealed: nobody knows whether an erasure came after them.

    1. what is found goes into the audit, by the model or run that it was of;
    2. then it is removed. Cut off in between, the next start finds it again, and says so again.

    Args:
        models: the fetched packages, beside which they lay for the clinic.
        runs: the folder of all runs, below which they lay as each round left them.

    Returns how many files were removed. Raises `NotRemoved`.
    """
    found = sorted(set(_left_in(models, runs)))
    if not found:
        return 0
    with database.writing() as session:
        for whose, count in sorted(Counter(map(_whose, found)).items()):
            audit.record(session, "program", "remove-unsealed", whose, f"{count} files of own layers", clock=clock)
    for file in found:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise NotRemoved(
                f"{file} holds layers of this hospital's own in clear, as an earlier version left them, and can't be "
                f"removed ({error.strerror}); remove it by hand and start the node again"
            ) from error
    for folder in {file.parent for file in found}:
        flush_directory(folder)
    _log.warning(
        "%s files of this hospital's own layers, which an earlier version left in clear, were removed; a model that "
        "has no sealed ones can't be used any more",
        len(found),
    )
    return len(found)


def _left_in(models: Path, runs: Path) -> Iterator[Path]:
    """With those that a crash left half written, under a name that holds the whole one."""
    for file in (*models.glob("*.own.safetensors*"), *runs.glob(f"*/{FOLDER}/*.safetensors*")):
        if not file.is_dir():
            yield file


def _whose(file: Path) -> str:
    """The model's digest, or the run."""
    return file.parent.parent.name if file.parent.name == FOLDER else file.name.lstrip(".").partition(".")[0]
