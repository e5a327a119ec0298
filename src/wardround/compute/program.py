"""A model that is a program: it takes a folder of DICOM images and leaves a folder, in a jail of its own each time.

As of a MONAI Application Package, `HOLOSCAN_INPUT_PATH` and `HOLOSCAN_OUTPUT_PATH` name the two folders
(https://docs.monai.io/projects/monai-deploy-app-sdk). The images say nothing of whose they are. What it may leave:

- of an outline one DICOM SEG of type BINARY with one segment, over those images;
- of a class or a number `result.json`, as `{"value": 0.7}`.

What comes back is read with distrust, and nothing else of the folder is looked at.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wardround.compute.jail import INPUTS, OUTPUT, Bounds, JailEnded, check_jail, plain, run_jailed
from wardround.compute.room import room_beside
from wardround.dicom.bare_series import write_bare_series
from wardround.dicom.segmentation_reading import SegmentationRefused, read_segmentation
from wardround.dicom.volume import Volume
from wardround.learning.arrays import Arrays
from wardround.learning.bundle import Bundle
from wardround.learning.case import Case, Labelled
from wardround.learning.finished import PROGRAM

RESULT = "result.json"
_LARGEST_RESULT, _LARGEST_OUTPUT, _MOST_FILES = 1024 * 1024, 1024**3, 100
_MODE = 0o500
"""The jail has it read-only in any case."""
PYTHON = "python"
"""The first word of a command that means this node's own Python and its packages."""


class Program:
    """Does what a `learning.learner.Learner` does that serves, for a package that is a program.

    Args:
        package: its folder.
        bounds: of one reading.
    """

    def __init__(self, package: Path, bundle: Bundle, bounds: Bounds) -> None:
        self.bundle = bundle
        self._package = package
        self._bounds = replace(bounds, output_bytes=_LARGEST_OUTPUT, output_files=_MOST_FILES)

    @property
    def runtime(self) -> str:
        """What ran it."""
        return "a program in a jail"

    def serve(self, arrays: Arrays) -> None:
        """Raises `JailUnavailable` where no jail can be had."""
        check_jail()

    def predict(self, arrays: Arrays, case: Case | Labelled) -> NDArray[Any]:
        """The mask, bool (Z, Y, X), or an array of one number, as `Learner.predict`.

        Raises:
            JailUnavailable: this machine can't make a jail; nothing was run.
            JailEnded: the program took too much, failed, or left no answer that can be read (`wrong-answer`).
        """
        volume = case.volume if isinstance(case, Labelled) else case
        command = list(self.bundle.network["command"])
        python = command[0] == PYTHON
        if python:
            command[:1] = [sys.executable, "-s"]
        with room_beside(self._package) as room:
            study, output, program = Path(room) / "study", Path(room) / "output", self._package / PROGRAM
            study.mkdir()
            output.mkdir()
            for file in program.rglob("*"):
                if file.is_file() and file.stat().st_mode & 0o777 != _MODE:
                    file.chmod(_MODE)  # a package has no modes, and its digest doesn't count them
            shown = write_bare_series(volume.image, volume.spacing, str(self.bundle.network["modality"]), study)
            run_jailed(
                ["/usr/bin/env", "-C", str(INPUTS / PROGRAM), *_folders(), *command],
                inputs={"study": study, PROGRAM: program},
                output=output,
                bounds=self._bounds,
                python=python,
            )
            return _mask(output, shown) if self.bundle.target is None else _number(output, self.bundle.target.kind)


def _folders() -> list[str]:
    study = str(INPUTS / "study")
    told = {"HOLOSCAN_INPUT_PATH": study, "HOLOSCAN_OUTPUT_PATH": str(OUTPUT)}
    told |= {"MONAI_INPUTPATH": study, "MONAI_OUTPUTPATH": str(OUTPUT)}
    return [f"{name}={value}" for name, value in told.items()]


def _mask(output: Path, shown: Volume) -> NDArray[np.bool_]:
    found = sorted(output.glob("*.dcm"))
    if len(found) != 1:
        raise JailEnded(f"the program left {len(found)} files .dcm, and one was wanted", code="wrong-answer")
    try:
        return read_segmentation(plain(found[0], _LARGEST_OUTPUT), shown)
    except SegmentationRefused as refused:
        raise JailEnded(
            f"the program left no segmentation of these images ({refused.reason_code})", code="wrong-answer"
        ) from None


def _number(output: Path, kind: str) -> NDArray[np.float32]:
    try:
        answer = json.loads(plain(output / RESULT, _LARGEST_RESULT))
    except (ValueError, RecursionError):
        answer = None
    value = answer.get("value") if isinstance(answer, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise JailEnded(f"the program left no number in {RESULT}", code="wrong-answer")
    if kind == "class" and not 0 <= value <= 1:
        raise JailEnded("the program left a probability that isn't from 0 to 1", code="wrong-answer")
    return np.array([value], np.float32)
