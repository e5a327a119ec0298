"""Invented hospitals with invented patients: two to eight, each with its own scanner and its own mix of patients.

Everything follows from (seed, hospital, patient number): the same three give the same patient on any machine.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wardround.demo.anatomy import LesionPlan, build_head, grid
from wardround.demo.identities import Canaries, invent_identity
from wardround.demo.patients import DemoPatient, axial_affine
from wardround.demo.scanners import SCANNERS, Scanner


@dataclass(frozen=True, slots=True)
class _Profile:
    code: str
    name: str
    address: str
    patients: int
    age: float
    lesion_radius: float
    rim: float
    cyst: float
    spots: int


_PROFILES: tuple[_Profile, ...] = (
    _Profile("northgate", "Northgate General Hospital", "1 Bellfounder Way, Northgate", 15, 44, 15, 4, 0.0, 1),
    _Profile("st-olave", "St Olave's Infirmary", "Ropewalk, Saltmarket", 14, 66, 15, 5, 0.0, 9),
    _Profile("eastmoor", "Eastmoor Royal Hospital", "Moor Road, Eastmoor", 16, 38, 14, 4, 0.3, 2),
    _Profile("wexcombe", "Wexcombe District Hospital", "Tithe Barn Lane, Wexcombe", 14, 57, 18, 6, 0.6, 4),
    _Profile("thornhythe", "Thornhythe Hospital", "Harbour Parade, Thornhythe", 15, 51, 13, 5, 0.2, 3),
    _Profile("aldermere", "Aldermere University Hospital", "Lakeside, Aldermere", 16, 48, 12, 4, 0.0, 4),
    _Profile("kirkbride", "Kirkbride Memorial Hospital", "Quarry Hill, Kirkbride", 14, 61, 15, 5, 0.5, 6),
    _Profile("st-brannock", "St Brannock's Hospital", "Abbey Street, Brannockstow", 15, 42, 12, 5, 0.1, 2),
)


@dataclass(frozen=True, slots=True)
class PhantomHospital:
    """A hospital whose patients are drawn, not read. Build it with `hospitals`."""

    profile: _Profile
    scanner: Scanner
    seed: int
    canaries: Canaries | None = None

    @property
    def code(self) -> str:
        return self.profile.code

    @property
    def name(self) -> str:
        return self.profile.name

    @property
    def keys(self) -> tuple[str, ...]:
        """The patients of the research path, then the one of the clinic."""
        return tuple(f"{self.code}-{number:03d}" for number in range(1, self.profile.patients + 2))

    @property
    def clinic_key(self) -> str:
        return self.keys[-1]

    def patient(self, key: str) -> DemoPatient:
        """Draws one patient; raises KeyError for a key that is not among `keys`."""
        if key not in self.keys:
            raise KeyError(f"{self.code} has no such patient")
        number = self.keys.index(key) + 1
        rng = np.random.default_rng([self.seed, zlib.crc32(self.code.encode()), number])
        profile, scanner = self.profile, self.scanner
        age = int(np.clip(rng.normal(profile.age, 11), 19, 88))
        sex = "F" if rng.random() < 0.5 else "M"
        identity = invent_identity(
            rng,
            institution=profile.name,
            institution_address=profile.address,
            device_serial=f"MR{zlib.crc32(profile.name.encode()) % 100000:05d}",
            sex=sex,
            age=age,
        )
        typical = key == self.clinic_key
        radius = profile.lesion_radius * (1 if typical else float(np.exp(rng.normal(0, 0.25))))
        plan = LesionPlan(radius, profile.rim, profile.cyst if radius > 9 else 0.0)
        axes = grid(scanner.shape, scanner.spacing, scanner.lowest)
        head = build_head(rng, axes, age, plan, int(rng.poisson(profile.spots)))
        return DemoPatient(
            hospital=self.code,
            key=key,
            identity=self.canaries.plant(identity) if self.canaries else identity,
            equipment=scanner.equipment,
            image=scanner.acquire(rng, head, axes),
            mask=head.lesion,
            affine=axial_affine(scanner.spacing, scanner.shape),
        )


def hospitals(
    count: int = 4,
    *,
    seed: int = 1,
    patients: int | None = None,
    slices: int | None = None,
    matrix: int | None = None,
    canaries: Canaries | None = None,
) -> Sequence[PhantomHospital]:
    """The first `count` invented hospitals (2 to 8).

    patients: how many each has for research, beside one more for the clinic; 14 to 16 by default.
    slices, matrix: fewer, thicker slices of matrix x matrix coarser pixels over the same head, for quick tests.
    canaries: marks to plant in every header. Raises ValueError for a number out of range.
    """
    if not 2 <= count <= len(_PROFILES):
        raise ValueError(f"a demonstration has 2 to {len(_PROFILES)} hospitals, not {count}")
    if (patients is not None and patients < 1) or (slices is not None and slices < 2) or (matrix or 16) < 16:
        raise ValueError("a hospital needs at least 1 patient, and a scanner at least 2 slices of 16 x 16 pixels")
    made = []
    for profile, scanner in zip(_PROFILES[:count], SCANNERS, strict=False):
        sized = profile if patients is None else replace(profile, patients=patients)
        made.append(PhantomHospital(sized, _resized(scanner, slices, matrix), seed, canaries))
    return made


def _resized(scanner: Scanner, slices: int | None, matrix: int | None) -> Scanner:
    """The same field of view in fewer voxels."""
    shape = (slices or scanner.shape[0], matrix or scanner.shape[1], matrix or scanner.shape[2])
    spacing = tuple(step * old / new for step, old, new in zip(scanner.spacing, scanner.shape, shape, strict=True))
    return replace(scanner, shape=shape, spacing=(spacing[0], spacing[1], spacing[2]))
