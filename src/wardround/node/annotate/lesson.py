"""What the training process of annotation does: labels that were kept, in; weights of the click network, out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wardround.foundation.files import write_whole
from wardround.node.annotate.volume_file import NIFTI_GZ, read_file
from wardround.node.annotate.work import NotAnnotated, Source, volume_of

TOLD_EVERY = 10


@dataclass(frozen=True)
class LabelledSource:
    """An image, and the NIfTI file of its label."""

    image: Source
    label: Path


def train(
    lessons: Sequence[LabelledSource], target: Path, told: Path, steps: int, threads: int, begin: Path | None
) -> int:
    """Train the click network and write its weights to `target`; how many images it learned from.

    Args:
        told: a file that gets a line now and then: steps done, steps in all, the mean loss.
        begin: weights to go on from.

    Raises:
        NotAnnotated: none of the images can be read.
    """
    from wardround.learning.interactive.lessons import Lesson, trained

    read = []
    for one in lessons:
        try:
            volume = volume_of(one.image)
            label = read_file(one.label.read_bytes(), NIFTI_GZ).array > 0
        except (NotAnnotated, OSError):
            continue  # no volume, or purged since this began
        if label.any():
            read.append(Lesson.of(np.asarray(volume.array, np.float32), label, volume.spacing))
    if not read:
        raise NotAnnotated("none of the labelled images can be read")

    def progress(step: int, loss: float) -> None:
        if step % TOLD_EVERY == 0 or step == steps:
            # In one write: this process may be ended in the middle of it.
            descriptor = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, f"{step} of {steps} steps, mean loss {loss:.3f}\n".encode())
            finally:
                os.close(descriptor)

    start = begin.read_bytes() if begin is not None and begin.is_file() else None
    write_whole(target, trained(read, steps=steps, threads=threads, begin=start, progress=progress))
    return len(read)
