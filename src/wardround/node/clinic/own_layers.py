"""A model some of whose layers are this hospital's own: they lie sealed with the run that trained them, and are laid
over the package to read.

The package alone, as the hub has it, holds those layers as the run began, untrained. So it isn't used without them, nor
once an erasure has removed them.
"""

from __future__ import annotations

from pathlib import Path

from wardround.foundation.errors import NotAllowed
from wardround.foundation.sealing import NotOpened
from wardround.learning.arrays import Arrays, check, from_bytes
from wardround.learning.bundle import load_bundle
from wardround.learning.lineage import lineage_of
from wardround.node.training.own import OwnArrays, SealedArrays

MISSING = "own-layers-missing"


def own_layers(package: Path, own: OwnArrays) -> SealedArrays | None:
    """Where the layers lie that this hospital lays over a package; None where it needs none.

    Raises:
        NotAllowed: `own-layers-missing`, this hospital took no part in the run, or didn't judge that model after it, or
            a patient was erased of whom the layers had learned.
        BundleRefused: the package is damaged.
    """
    lineage = lineage_of(package)
    if lineage is None or not lineage.at_home:
        return None
    layers = own.sealed(lineage.run, lineage.weights_sha256)
    if not layers.there:
        raise _missing()
    return layers


def check_own_layers(package: Path, own: OwnArrays) -> None:
    """Whether a package can be used here, as far as its layers go. Raises as `own_layers` and `with_own`."""
    with_own(package, load_bundle(package)[1], own_layers(package, own))


def with_own(package: Path, arrays: Arrays, layers: SealedArrays | None) -> Arrays:
    """A package's weights as this hospital uses them.

    Raises:
        NotAllowed: `own-layers-missing`, it needs layers of this hospital's own, and they aren't there or don't open.
        ArraysRefused: they don't fit.
    """
    lineage = lineage_of(package)
    if lineage is None or not lineage.at_home:
        return arrays
    if layers is None:
        raise _missing()
    try:
        kept = from_bytes(layers.open())
    except (FileNotFoundError, NotOpened):
        raise _missing() from None
    found = {name: array for name, array in kept.items() if name in lineage.at_home}
    check(found, like={name: arrays[name] for name in lineage.at_home})
    return {**arrays, **found}


def _missing() -> NotAllowed:
    return NotAllowed(
        "layers of this model are each hospital's own, and this hospital has none that go with it: it can use a model "
        "of a run in which it took part to the end, until a patient is erased of whom its layers learned; let a new "
        "run train",
        code=MISSING,
    )
