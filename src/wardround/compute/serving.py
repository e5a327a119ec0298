"""What reads for a model package: a network, or a program in a jail."""

from __future__ import annotations

import logging
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from wardround.compute.jail import Bounds
from wardround.compute.program import Program
from wardround.compute.worker import Worker, WorkerDied
from wardround.foundation.files import write_whole
from wardround.learning import openvino_network
from wardround.learning.arrays import Arrays, ArraysRefused
from wardround.learning.bundle import Bundle, BundleRefused, bundle_digest, load_bundle
from wardround.learning.finished import PROGRAM
from wardround.learning.openvino_network import Compiled, installed, take
from wardround.learning.prediction import predict

_log = logging.getLogger(__name__)
_MADE_BY = "made-by"


class Reads(Protocol):
    """What predicts; see `learning.learner.Learner`."""

    @property
    def bundle(self) -> Bundle: ...

    @property
    def runtime(self) -> str: ...

    def serve(self, arrays: Arrays) -> None: ...

    def predict(self, arrays: Arrays, case: Any) -> NDArray[Any]: ...


class Network:
    """A network that reads. Once it serves its package's own weights, it does so in what OpenVINO made of them, which
    is kept beside the package: a process that takes that up has neither torch nor MONAI in its memory. All else it does
    as the package's learner, in this process.

    What another version made, or a machine with another processor, is made anew once: it may agree now.

    Args:
        package: its folder.
        arrays: the weights that the package holds.
    """

    def __init__(self, package: Path, bundle: Bundle, arrays: Arrays, threads: int) -> None:
        self.bundle = bundle
        self._package, self._arrays, self._threads = package, arrays, threads
        self._compiled: Compiled | None = None
        self._learner: Reads | None = None

    @property
    def runtime(self) -> str:
        """What ran the network last, and how that was checked."""
        return self._here.runtime if self._compiled is None else self._compiled.said

    def serve(self, arrays: Arrays) -> None:
        """As `Learner.serve`. Weights that aren't the package's, such as layers of this hospital's own, are kept
        nowhere."""
        if arrays is self._arrays and not self.bundle.finished and installed():
            self._compiled = self._taken()
        if self._compiled is None:
            self._here.serve(arrays)

    def predict(self, arrays: Arrays, case: Any) -> NDArray[Any]:
        """As `Learner.predict`."""
        if self._compiled is None or arrays is not self._arrays:
            return self._here.predict(arrays, case)
        return predict(self.bundle, self._compiled.run, case)

    def prepare(self) -> None:
        """Make what is kept, where it isn't there or was made elsewhere."""
        if self.bundle.finished or not installed():
            return
        try:
            self._make()
        except (RuntimeError, WorkerDied, OSError) as error:
            _log.warning("a network isn't kept as OpenVINO has it: %s", type(error).__name__)

    def _taken(self) -> Compiled | None:
        """What is kept, made first where it isn't there; None where OpenVINO can't take it, or disagrees."""
        folder, digest = self._folder, bundle_digest(self._package)
        try:
            self._make()
            if (found := take(folder, digest, self._threads)) is None:
                self._convert(folder, digest)
                found = take(folder, digest, self._threads)
        except (RuntimeError, WorkerDied, OSError) as error:
            _log.warning("a network isn't kept as OpenVINO has it: %s", type(error).__name__)
            return None
        if found is None or not found.agreed.enough:
            _log.warning("network %s runs in PyTorch: OpenVINO disagrees", digest[:12])
            return None
        return found

    @property
    def _folder(self) -> Path:
        return self._package.with_name(f"{self._package.name}.openvino")

    def _make(self) -> None:
        folder, here = self._folder, _made_by()
        try:
            if (folder / _MADE_BY).read_text(encoding="utf-8") == here:
                return
            _log.info("network %s is made anew by %s", self._package.name[:12], here)
        except (OSError, ValueError):
            pass
        self._convert(folder, bundle_digest(self._package))

    def _convert(self, folder: Path, digest: str) -> None:
        if "torch" in sys.modules:
            _convert(self._package, folder, digest)
        else:
            # In a process of its own, with which all that it loads is gone.
            converting = Worker("converting", threads=self._threads)
            try:
                converting.call(_convert, self._package, folder, digest)
            finally:
                converting.stop()
        write_whole(folder / _MADE_BY, _made_by().encode())

    @property
    def _here(self) -> Reads:
        if self._learner is None:
            from wardround.learning.kinds import learner_of

            self._learner = learner_of(self.bundle, threads=self._threads)
        return self._learner


def reader_of(package: Path, bounds: Bounds) -> tuple[Reads, Arrays]:
    """What reads for a package, and the weights that it holds.

    Args:
        bounds: of one reading by a program; `threads` of a network too.

    Raises:
        BundleRefused, ArraysRefused: the package can't be used.
    """
    bundle, arrays = load_bundle(package)
    if bundle.network["_target_"] == PROGRAM:
        return Program(package, bundle, bounds), arrays
    return Network(package, bundle, arrays, bounds.threads), arrays


def prepare(package: Path, threads: int) -> None:
    """Make ahead what the first process that reads with a package would have to make; of a program that is nothing.
    A package that can't be used is left to that process, which says so."""
    try:
        bundle, arrays = load_bundle(package)
    except (BundleRefused, ArraysRefused):
        return
    if bundle.network["_target_"] != PROGRAM:
        Network(package, bundle, arrays, threads).prepare()


@cache
def _made_by() -> str:
    """What decides which numbers a network gives here: versions, and the processor by its name."""
    openvino = openvino_network.package()
    processor = openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")
    return f"Wardround {version('wardround')}, OpenVINO {openvino.__version__}, {processor}"


def _convert(package: Path, folder: Path, digest: str) -> None:
    from wardround.learning.conversion import convert

    try:
        convert(package, folder, digest)
    except (BundleRefused, ArraysRefused) as refused:
        # Neither gets from one process to another; whoever asked finds the same, and says it.
        raise RuntimeError(refused.reason) from None
