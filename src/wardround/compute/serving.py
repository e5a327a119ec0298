"""What reads for a model package: a network in this process, or a program in a jail."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from wardround.compute.jail import Bounds
from wardround.compute.program import Program
from wardround.learning.arrays import Arrays
from wardround.learning.bundle import Bundle, load_bundle
from wardround.learning.finished import PROGRAM


class Reads(Protocol):
    """What predicts; see `learning.learner.Learner`."""

    @property
    def bundle(self) -> Bundle: ...

    @property
    def runtime(self) -> str: ...

    def serve(self, arrays: Arrays) -> None: ...

    def predict(self, arrays: Arrays, case: Any) -> NDArray[Any]: ...


def reader_of(package: Path, bounds: Bounds) -> tuple[Reads, Arrays]:
    """What reads for a package, and the weights that it holds. Imports torch, but for a program.

    Args:
        bounds: of one reading by a program; `threads` of a network too.

    Raises:
        BundleRefused, ArraysRefused: the package can't be used.
    """
    bundle, arrays = load_bundle(package)
    if bundle.network["_target_"] == PROGRAM:
        return Program(package, bundle, bounds), arrays
    from wardround.learning.kinds import learner_of

    learner: Reads = learner_of(bundle, threads=bounds.threads)
    return learner, arrays
