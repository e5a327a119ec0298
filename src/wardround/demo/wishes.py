"""What a person asks of the demonstration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wardround.demo import nifti, phantoms
from wardround.demo.identities import Canaries
from wardround.demo.patients import DemoHospital
from wardround.learning.bundle import packaged, read_bundle

PACKAGE = "brain-mri-glioma"
PROJECT = "glioma-flair"


@dataclass(frozen=True)
class Wishes:
    """Options of `wardround demo`, checked by `hospitals`.

    data: a folder of real patients; phantoms where there is none. hospitals_wanted: how many phantom hospitals.
    rounds, target: when the run ends; the package's own number of rounds where not given.
    patients, slices, matrix: make phantom hospitals smaller; see `smaller`. canaries: marks to plant in every header.
    """

    seed: int = 1
    data: Path | None = None
    hospitals_wanted: int = 4
    rounds: int | None = None
    target: float | None = None
    local_steps: int | None = None
    patients: int | None = None
    slices: int | None = None
    matrix: int | None = None
    canaries: Canaries | None = None

    def smaller(self) -> Wishes:
        """The same with six patients a hospital and coarser images: sooner over, and the model is a poorer one."""
        return replace(self, patients=6, slices=12, matrix=64)

    @property
    def setting(self) -> str:
        """The package's training setting for such data."""
        return "default" if self.data is not None else "phantoms"

    @property
    def rounds_planned(self) -> int:
        return self.rounds or read_bundle(packaged(PACKAGE)).setting(self.setting).rounds

    def hospitals(self) -> Sequence[DemoHospital]:
        """The hospitals of the demonstration.

        Raises:
            DataRefused: the folder of patients can't be used; the message names the file and the mend.
            ValueError: fewer than 2 or more than 8 hospitals are wanted.
        """
        if self.data is not None:
            return nifti.read_hospitals(self.data, seed=self.seed, canaries=self.canaries)
        return phantoms.hospitals(
            self.hospitals_wanted,
            seed=self.seed,
            patients=self.patients,
            slices=self.slices,
            matrix=self.matrix,
            canaries=self.canaries,
        )
