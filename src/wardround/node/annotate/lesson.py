"""What the training process of annotation does: labels that were kept, in; weights of the click network, out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wardround.foundation.files import write_whole
from wardround.node.annotate.volume_file import NIFTI_GZ, read_file
from wardround.node.annotate.work import NotAnnotated, Source, volume_of

if TYPE_CHECKING:
    from wardround.learning.interactive.judgement import Outlined

TOLD_EVERY = 10
ONE_IN = 5
"""Labels of which one is held out."""
MOST_JUDGED = 8
"""Images that simulated readers outline; each takes them some seconds."""


@dataclass(frozen=True)
class LabelledSource:
    """An image, and the NIfTI file of its label."""

    image: Source
    label: Path


@dataclass(frozen=True)
class Taught:
    """images: how many were learned from. held_out: how many were not, on which the network was judged; where there
    are too few to hold any out, on those that it learned from. network, distance: Dice after clicks, 0 to 1. kept:
    whether the network outlines better than distance alone, and so is what answers from now on."""

    images: int
    held_out: int
    network: float
    distance: float
    kept: bool

    @property
    def words(self) -> str:
        of = f"{self.held_out} labels that were held out" if self.held_out else "these labels, too few to hold any out"
        what = "it answers clicks from now on" if self.kept else "it isn't used; what answered before goes on"
        return (
            f"learned from {self.images} labels; on {of}, Dice {self.network:.2f} after some clicks, by distance alone "
            f"{self.distance:.2f}: {what}"
        )


def train(
    lessons: Sequence[LabelledSource], target: Path, told: Path, steps: int, threads: int, begin: Path | None
) -> Taught:
    """Train the click network, and write its weights to `target` where it outlines better than distance alone.

    Of five labels or more about a fifth is held out to judge it on: always the same ones, whatever is added, so that
    a network that goes on from another is judged on what neither learned from.

    Args:
        told: a file that gets a line now and then: steps done, steps in all, the mean loss.
        begin: weights to go on from.

    Raises:
        NotAnnotated: none of the images can be read.
    """
    from wardround.learning.interactive.judgement import Outlined, judged
    from wardround.learning.interactive.lessons import Lesson, trained
    from wardround.learning.interactive.network import ClickNetwork

    read: list[tuple[str, Outlined]] = []
    for one in lessons:
        try:
            volume = volume_of(one.image)
            label = read_file(one.label.read_bytes(), NIFTI_GZ).array > 0
        except (NotAnnotated, OSError):
            continue  # no volume, or purged since this began
        if label.any():
            image = np.asarray(volume.array, np.float32)
            read.append((one.image.paths[0].name, Outlined(image, label, volume.spacing)))
    if not read:
        raise NotAnnotated("none of the labelled images can be read")
    held, learned = _parted(read)

    def progress(step: int, loss: float) -> None:
        if step % TOLD_EVERY == 0 or step == steps:
            # In one write: this process may be ended in the middle of it.
            descriptor = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, f"{step} of {steps} steps, mean loss {loss:.3f}\n".encode())
            finally:
                os.close(descriptor)

    start = begin.read_bytes() if begin is not None and begin.is_file() else None
    given = [Lesson.of(one.image, one.label, one.spacing) for one in learned]
    weights = trained(given, steps=steps, threads=threads, begin=start, progress=progress)
    found = judged((held or learned)[:MOST_JUDGED], ClickNetwork.of(weights, threads))
    if found.better:
        write_whole(target, weights)
    return Taught(len(learned), len(held[:MOST_JUDGED]), found.network, found.distance, found.better)


def _parted(read: Sequence[tuple[str, Outlined]]) -> tuple[list[Outlined], list[Outlined]]:
    """What is held out, and what is learned from, told apart by the name of an image's first object, which is its
    digest. Nothing is held out where that would leave either empty, or there are few."""
    apart = [int(sha256(name.encode()).hexdigest(), 16) % ONE_IN == 0 for name, _ in read]
    if len(read) < ONE_IN or all(apart):
        return [], [one for _, one in read]
    return (
        [one for (_, one), out in zip(read, apart, strict=True) if out],
        [one for (_, one), out in zip(read, apart, strict=True) if not out],
    )
