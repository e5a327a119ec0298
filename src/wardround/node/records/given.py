"""The files that somebody gives to be loaded: one, or those of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wardround.node.records.errors import RecordsRefused


def files_of(path: Path, suffixes: Sequence[str], called: str) -> list[Path]:
    """The file, or the files with these suffixes of a folder and of those in it, in the order of their names: what
    corrects has to come after what it corrects.

    Args:
        called: what they are, in what is told where there are none.

    Raises:
        RecordsRefused: there is nothing to read.
    """
    if path.is_file():
        return [path]
    found = sorted(one for one in path.rglob("*") if one.suffix.lower() in suffixes and one.is_file())
    if not found:
        raise RecordsRefused(f"{path}: no {called} files ({', '.join(suffixes)}) here; name a file, or their folder")
    return found
