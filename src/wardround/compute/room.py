"""Where cases lie for as long as a jail reads them: beside the package, and gone with this process, however it ends."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

_ROOM = ".jail-"


def room_beside(package: Path) -> TemporaryDirectory[str]:
    """A folder of this process's own beside a package; those of processes that were killed are removed."""
    for room in package.parent.glob(f"{_ROOM}*"):
        if not psutil.pid_exists(int(room.name.removeprefix(_ROOM).partition("-")[0])):
            shutil.rmtree(room)
    return TemporaryDirectory(prefix=f"{_ROOM}{os.getpid()}-", dir=package.parent)
