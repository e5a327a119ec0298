"""Deface the series of a folder of de-identified objects, `<study>/<series>/<instance>.dcm`, in place."""

from __future__ import annotations

import os
import secrets
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from wardround.dicom.errors import Refused
from wardround.dicom.pixels_defacing import HeadUnclear, deface, may_show_a_face
from wardround.dicom.pixels_facts import read_facts
from wardround.dicom.volume import VolumeRefused


@dataclass(slots=True)
class FolderDefacing:
    """What became of the series. defaced: now without a face. whole: heads that end above the brow, nothing was taken.
    other: not of a head. unclear: set aside under the folder that was named, by the code of the reason."""

    defaced: int = 0
    whole: int = 0
    other: int = 0
    unclear: Counter[str] = field(default_factory=Counter)


def deface_folder(folder: Path, aside: Path) -> FolderDefacing:
    """Deface each series of heads below `folder`; one whose face can't be located is moved to `aside`.

    Doing it again changes nothing more, so that a run that was stopped is begun again.

    Raises:
        OSError: the folder can't be read or written.
    """
    done = FolderDefacing()
    for series in sorted({file.parent for file in folder.rglob("*.dcm") if not file.is_relative_to(aside)}):
        files = sorted(series.glob("*.dcm"))
        instances = [file.read_bytes() for file in files]
        if not any(may_show_a_face(read_facts(part10)) for part10 in instances):
            done.other += 1
            continue
        try:
            result = deface(instances)
        except (HeadUnclear, VolumeRefused) as unclear:
            done.unclear[str(unclear.reason_code)] += 1
            _move(series, aside / series.relative_to(folder))
            continue
        except Refused as refused:
            done.unclear[refused.reason_code] += 1
            _move(series, aside / series.relative_to(folder))
            continue
        for file, part10 in zip(files, result.instances, strict=True):
            new = file.parent / f".{secrets.token_hex(8)}"
            new.write_bytes(part10)
            os.replace(new, file)  # noqa: PTH105 - one rename, atomic on POSIX
        done.defaced += result.voxels > 0
        done.whole += result.voxels == 0
    return done


def _move(series: Path, to: Path) -> None:
    to.mkdir(parents=True, exist_ok=True)
    for file in series.glob("*.dcm"):
        shutil.move(file, to / file.name)
    series.rmdir()
