"""A model some of whose layers are this hospital's own: they lie beside its package, and are laid over it to read.

The package alone, as the hub has it, holds those layers as the run began, untrained. So it isn't used without them.
"""

from __future__ import annotations

from pathlib import Path

from wardround.foundation.errors import NotAllowed
from wardround.foundation.files import write_whole
from wardround.learning.arrays import Arrays, check, from_bytes, to_bytes
from wardround.learning.bundle import load_bundle
from wardround.learning.lineage import lineage_of
from wardround.node.training.own import OwnArrays


def lay_beside(package: Path, own: OwnArrays) -> None:
    """Copy what this hospital kept for a package, if the package needs it, to where `with_own` finds it.

    Raises:
        NotAllowed: `own-layers-missing`, this hospital took no part in the run, or didn't judge that model after it.
        BundleRefused, ArraysRefused: package or layers are damaged.
    """
    lineage = lineage_of(package)
    if lineage is None or not lineage.at_home:
        return
    kept = own.beside(lineage.run, lineage.weights_sha256)
    if not kept:
        raise NotAllowed(
            f"{len(lineage.at_home)} layers of this model are each hospital's own, and this hospital has none of run "
            f"{lineage.run}: it can use a model of a run in which it took part to the end",
            code="own-layers-missing",
        )
    arrays = from_bytes(kept)
    found = {name: array for name, array in arrays.items() if name in lineage.at_home}
    began = load_bundle(package)[1]
    check(found, like={name: began[name] for name in lineage.at_home})
    write_whole(_file(package), to_bytes(found))


def with_own(package: Path, arrays: Arrays) -> Arrays:
    """A package's weights as this hospital uses them. Raises `FileNotFoundError` where its own layers are gone."""
    lineage = lineage_of(package)
    if lineage is None or not lineage.at_home:
        return arrays
    return {**arrays, **from_bytes(_file(package).read_bytes())}


def _file(package: Path) -> Path:
    return package.with_name(f"{package.name}.own.safetensors")
