"""What can help a person to draw here, and how clients are told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from wardround.foundation.database import Database
from wardround.foundation.errors import NotFound
from wardround.learning.bundle import BundleRefused, read_bundle
from wardround.node.clinic.own_layers import own_layers
from wardround.node.clinic.tables import Deployment
from wardround.node.training.own import OwnArrays, SealedArrays


@dataclass(frozen=True, slots=True)
class Helper:
    """kind: as clients know it: `segmentation`, `deepgrow`, `scribbles`. package: of a model its folder."""

    kind: str
    words: str
    package: Path | None = None
    version: str = "1"

    def told(self, label: str) -> dict[str, Any]:
        return {
            "type": self.kind,
            "labels": {label: 1},
            "dimension": 3,
            "description": self.words,
            "config": {},
        }


BUILT_IN: Mapping[str, Helper] = {
    "clicks": Helper(
        "deepgrow", "Outlines from clicks inside and outside; from the first case on, better once trained"
    ),
    "scribbles": Helper("scribbles", "Outlines from scribbles inside and outside"),
    "interpolation": Helper("scribbles", "Fills the slices between those that were drawn"),
}


class Helpers:
    """What is built in, and the models in use at this hospital that outline something.

    Args:
        package: where the package of a digest lies.
        own: what this hospital keeps of runs for itself; without it, no model that needs some of that helps.
    """

    def __init__(self, database: Database, package: Callable[[str], Path], own: OwnArrays | None = None) -> None:
        self._database = database
        self._package = package
        self._own = own
        self._read: dict[str, Helper | None] = {}

    def listed(self) -> Mapping[str, Helper]:
        """By the name under which each is asked for; of two models of one name the one deployed last."""
        found: dict[str, Helper] = {}
        rows = select(Deployment.package, Deployment.model).where(Deployment.active).order_by(Deployment.id)
        with self._database.reading() as session:
            deployed = list(session.execute(rows))
        for name, digest in deployed:
            if digest not in self._read:
                self._read[digest] = self._helper(digest)
            helper = self._read[digest]
            if helper is not None:
                found[name] = helper
        return {**found, **BUILT_IN}

    def find(self, name: str) -> Helper:
        """Raises `NotFound`."""
        try:
            return self.listed()[name]
        except KeyError:
            raise NotFound("no model of this name helps here; /info/ lists those that do") from None

    def own_layers(self, package: Path | None) -> SealedArrays | None:
        """What is laid over a package here. Raises as `wardround.node.clinic.own_layers.own_layers`."""
        return None if package is None or self._own is None else own_layers(package, self._own)

    def _helper(self, digest: str) -> Helper | None:
        folder = self._package(digest)
        try:
            bundle = read_bundle(folder)
        except BundleRefused:
            return None
        if bundle.target is not None or bundle.own_code:
            return None
        return Helper("segmentation", f"{bundle.name} {bundle.version}, in use here", folder, bundle.version)
