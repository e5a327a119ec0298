"""A run's first weights.

`python -m wardround.learning.initial PACKAGES FOLDER` makes them of the plan on standard input, as files `whole` and
`travelling`, for a program that loads no torch itself. On standard output it says how far it is, as lines of
`step DONE STEPS WORDS`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from wardround.contracts.run_plan import RunPlan
from wardround.learning.arrays import ArraysRefused, to_bytes
from wardround.learning.bundle import BundleRefused, load_bundle, read_bundle
from wardround.learning.kinds import learner_of
from wardround.learning.layers import sharing
from wardround.learning.packages import Packages


@dataclass(frozen=True)
class Beginning:
    """What a run begins with, as safetensors: `whole`, every array of the network, and of those what travels."""

    whole: bytes = field(repr=False)
    travelling: bytes = field(repr=False)


STEPS = ("its package is read", "its network is built", "its first weights are made", "they are written")
"""What is done one after the other."""


def beginning(plan: RunPlan, packages: Packages, tell: Callable[[int], None] = lambda done: None) -> Beginning:
    """The first weights of the plan's model package, the same for the same plan. Imports torch.

    Args:
        tell: is told how many of `STEPS` are over.

    Raises:
        BundleRefused: the package isn't here, has no such setting, or isn't what the plan says of it.
        ArraysRefused: the plan's layers, or the weights that the package holds, aren't those of its network.
    """
    tell(0)
    folder = packages.find(plan.package, plan.package_digest)
    bundle = read_bundle(folder)
    bundle.check_fits(plan)
    tell(1)
    if bundle.own_code:
        # Nothing of it is run here: it brings its weights, and whether they are its network's the sites find.
        arrays = load_bundle(folder)[1]
        return Beginning(to_bytes(arrays), to_bytes(sharing(arrays.keys(), frozenset(), plan).travelling_of(arrays)))
    teacher = learner_of(bundle, setting=plan.setting)
    tell(2)
    arrays = teacher.initial(plan.seed)
    return Beginning(to_bytes(arrays), to_bytes(teacher.sharing(plan).travelling_of(arrays)))


def main(packages: str, folder: str) -> int:
    """0, or 1 with the reason as the last line of standard error."""
    try:
        made = beginning(RunPlan.model_validate_json(sys.stdin.buffer.read()), Packages(Path(packages)), _tell)
    except (ArraysRefused, BundleRefused) as refused:
        sys.stderr.write(f"{refused}\n")
        return 1
    _tell(3)
    for name, content in (("whole", made.whole), ("travelling", made.travelling)):
        (Path(folder) / name).write_bytes(content)
    return 0


def _tell(done: int) -> None:
    """In one write, so that whoever reads never sees half a line."""
    os.write(sys.stdout.fileno(), f"step {done} {len(STEPS)} {STEPS[done]}\n".encode())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
