"""The tissues of an invented head with a lesion, as volume fractions on a scanner's grid.

Coordinates are millimetres from the centre of the head in the DICOM patient frame (LPS): x to the patient's left,
y to the back, z to the top. Arrays run (Z, Y, X). Sizes follow common textbook values of an adult head; nothing is
copied from a person.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

TISSUES = ("scalp", "bone", "csf", "grey", "white", "rim", "core", "cyst", "spot")


@dataclass(frozen=True, slots=True)
class Head:
    """fractions: float32 (Z, Y, X) for each name in TISSUES; together at most 1, the rest is air.

    lesion: bool (Z, Y, X), where core, cyst and rim together fill at least half a voxel.
    """

    fractions: dict[str, Field]
    lesion: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LesionPlan:
    """radius: of the core, and rim: thickness of the oedema, in millimetres. cyst: 0 (solid) to 1 (hollow)."""

    radius: float
    rim: float
    cyst: float


def grid(shape: tuple[int, int, int], spacing: tuple[float, float, float], lowest: float) -> tuple[Field, Field, Field]:
    """Broadcastable z, y, x in millimetres; the first slice lies at z = lowest."""
    z = (lowest + spacing[0] * np.arange(shape[0])).astype(np.float32)
    y = (spacing[1] * (np.arange(shape[1]) - (shape[1] - 1) / 2)).astype(np.float32)
    x = (spacing[2] * (np.arange(shape[2]) - (shape[2] - 1) / 2)).astype(np.float32)
    return z[:, None, None], y[None, :, None], x[None, None, :]


def smooth_noise(
    rng: np.random.Generator, axes: tuple[Field, Field, Field], wavelength: tuple[float, float, float]
) -> Field:
    """A smooth random field of about unit variance whose features are `wavelength` millimetres wide (z, y, x)."""
    weights = []
    cells = []
    z, y, x = axes
    # The noise needs no exact pose: the first line along each axis stands for all.
    lines = (z[:, 0, 0], y[0, :, 0], x[0, 0, :])
    for axis, width in zip(lines, wavelength, strict=True):
        places = np.abs(axis - axis[0]) / width + 1
        count = int(places.max()) + 3
        distance = np.abs(places[:, None] - np.arange(count)[None, :])
        # A raised cosine reaches its neighbours' centres, so the field has no creases.
        weight = np.where(distance < 2, 1 + np.cos(np.pi * distance / 2), 0)
        weights.append((weight / np.sqrt((weight**2).sum(axis=1, keepdims=True))).astype(np.float32))
        cells.append(count)
    coarse = rng.standard_normal(cells, dtype=np.float32)
    partly = np.tensordot(weights[0], coarse, axes=(1, 0))
    partly = np.matmul(weights[1], partly)
    return np.asarray(np.matmul(partly, weights[2].T), dtype=np.float32)


def _step(distance: Field, width: float) -> Field:
    """0 to 1 as `distance` goes from below -width to above width (millimetres); partial volume at an edge."""
    part = np.clip(distance / (2 * width) + 0.5, 0, 1)
    return np.asarray(part * part * (3 - 2 * part), dtype=np.float32)


def _ellipsoid(
    axes: tuple[Field, Field, Field], centre: tuple[float, float, float], radii: tuple[float, float, float]
) -> Field:
    """Roughly the depth in millimetres under the surface of an ellipsoid; centre and radii along (x, y, z)."""
    z, y, x = axes
    q = np.sqrt(
        ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 + ((z - centre[2]) / radii[2]) ** 2
    )
    return np.asarray((1 - q) * min(radii), dtype=np.float32)


def build_head(
    rng: np.random.Generator, axes: tuple[Field, Field, Field], age: float, lesion: LesionPlan, spots: int
) -> Head:
    """Draws one head. spots: how many small bright spots lie in the white matter; none is part of the lesion."""
    axes = _pose(rng, axes)
    z, y, x = axes
    depth = _depth(rng, axes)
    scalp, bone = 6.5 + rng.uniform(-1, 1.5), 6 + rng.uniform(-1, 1)
    atrophy = float(np.clip((age - 30) / 60, 0, 1)) * rng.uniform(0.6, 1.4)
    inner = depth - (scalp + bone)
    brain_depth = inner - (1.5 + 2.5 * atrophy)
    folds = smooth_noise(rng, axes, (14, 9, 9))
    sulci = np.exp(-((folds / 0.26) ** 2)) * np.exp(-np.maximum(brain_depth, 0) / (9 + 5 * atrophy))
    fissure = np.exp(-((x / 1.3) ** 2)) * _step(np.maximum(np.abs(y + 5) - 32, z - 34) + 0 * x, 6)
    ventricles = _ventricles(rng, axes, atrophy)
    base = _step(-z - 14 + 0.25 * y + 0 * x, 8)
    csf = np.clip(sulci * 0.9 + 0.8 * fissure + _step(ventricles, 1.2), 0, 1)
    brain = _step(brain_depth, 1.2)
    parenchyma = brain * (1 - csf)
    cortex = _step(
        3.5 + 9 * np.exp(-((folds / 0.5) ** 2)) * np.exp(-np.maximum(brain_depth, 0) / 18) - brain_depth, 1.5
    )
    grey = np.maximum(
        np.maximum(cortex, 0.85 * _deep_grey(axes)), 0.7 * base * _step(smooth_noise(rng, axes, (9, 4, 4)), 0.6)
    )
    core, rim, cyst = _lesion(rng, axes, brain_depth, ventricles, grey, lesion)
    spot = _spots(rng, axes, brain_depth, ventricles, spots, atrophy) * (1 - core) * (1 - rim)
    sick = np.maximum(core, rim)
    fractions = {
        "scalp": _step(depth, 1) * (1 - _step(depth - scalp, 1)),
        "bone": _step(depth - scalp, 1) * (1 - _step(inner, 1)),
        "csf": _step(inner, 1) * (1 - parenchyma),
        "cyst": parenchyma * cyst,
        "core": parenchyma * (core - cyst),
        "rim": parenchyma * (sick - core),
        "spot": parenchyma * (1 - sick) * spot,
        "grey": parenchyma * (1 - sick) * (1 - spot) * grey,
        "white": parenchyma * (1 - sick) * (1 - spot) * (1 - grey),
    }
    _add_face(axes, fractions)
    mask = fractions["core"] + fractions["rim"] + fractions["cyst"] >= 0.5
    return Head({name: fractions[name].astype(np.float32) for name in TISSUES}, mask)


def _pose(rng: np.random.Generator, axes: tuple[Field, Field, Field]) -> tuple[Field, Field, Field]:
    """The head's own coordinates: a little turned, moved and scaled within the scanner."""
    z, y, x = axes
    turn, nod = rng.normal(0, 0.06, 2)
    size = rng.normal(1, 0.035)
    moved_x, moved_y = x - rng.normal(0, 3), y - rng.normal(0, 4)
    turned_x = moved_x * np.cos(turn) - moved_y * np.sin(turn)
    turned_y = moved_x * np.sin(turn) + moved_y * np.cos(turn)
    nodded_z = z + nod * turned_y
    own = tuple(
        np.asarray(np.broadcast_arrays(part, turned_x + z)[0] / size, np.float32)
        for part in (nodded_z, turned_y, turned_x)
    )
    return own[0], own[1], own[2]


def _depth(rng: np.random.Generator, axes: tuple[Field, Field, Field]) -> Field:
    """Millimetres under the skin, along the ray from the centre of the head."""
    z, y, x = axes
    wide, long, high = 74 + rng.normal(0, 2), 95 + rng.normal(0, 3), 92.0
    narrow = 1 - 0.0012 * np.maximum(-y, 0)
    height = np.where(z > 0, z / high, z / 150)
    rho = np.sqrt((x / (wide * narrow)) ** 2 + (y / long) ** 2 + height**2)
    rho = rho * (1 + 0.012 * smooth_noise(rng, axes, (60, 50, 50)))
    radius = np.sqrt(x**2 + y**2 + z**2)
    return np.asarray(radius / np.maximum(rho, 1e-3) - radius, dtype=np.float32)


def _ventricles(rng: np.random.Generator, axes: tuple[Field, Field, Field], atrophy: float) -> Field:
    z, y, x = axes
    swell = 0.85 + 0.75 * atrophy + rng.normal(0, 0.06)
    side = np.abs(x + rng.normal(0, 0.8))
    horn = (z, y, side + 0.28 * (y + 22))
    atrium = (z, y, side - 0.25 * (y - 26))
    parts = [
        _ellipsoid(horn, (9, -20, 17), (5.5 * swell, 16, 11 * swell)),
        _ellipsoid((z, y, side), (11, 4, 25), (5.5 * swell, 26, 7.5 * swell)),
        _ellipsoid(atrium, (20, 30, 14), (6 * swell, 16, 9 * swell)),
        _ellipsoid(axes, (0, -1, 4), (2.4 * swell, 11, 10)),
        _ellipsoid(axes, (0, 33, -24), (5, 5, 7)),
    ]
    return np.asarray(np.maximum.reduce(parts), dtype=np.float32)


def _deep_grey(axes: tuple[Field, Field, Field]) -> Field:
    z, y, x = axes
    sides = (z, y, np.abs(x))
    thalamus = _ellipsoid(sides, (11, 6, 9), (8, 13, 9))
    lentiform = _ellipsoid((z, y, np.abs(x) - 0.2 * y), (25, -6, 9), (6, 14, 9))
    caudate = _ellipsoid(sides, (15, -20, 14), (4.5, 9, 9))
    return _step(np.maximum(np.maximum(thalamus, lentiform), caudate), 1.5)


def _lesion(
    rng: np.random.Generator,
    axes: tuple[Field, Field, Field],
    brain_depth: Field,
    ventricles: Field,
    grey: Field,
    plan: LesionPlan,
) -> tuple[Field, Field, Field]:
    z, y, x = axes
    centre = _lesion_centre(rng, axes, brain_depth, ventricles, plan)
    stretch = rng.uniform(0.75, 1.3, 3)
    lobe = np.array(centre) + rng.normal(0, 0.6 * plan.radius, 3)
    wobble = 0.24 * smooth_noise(rng, axes, (plan.radius, plan.radius * 0.9, plan.radius * 0.9))
    wobble += 0.05 * smooth_noise(rng, axes, (8, 5, 5))

    def inside(at: NDArray[np.float64], radius: float) -> Field:
        far = ((x - at[0]) / stretch[0]) ** 2 + ((y - at[1]) / stretch[1]) ** 2 + ((z - at[2]) / stretch[2]) ** 2
        return np.asarray(radius * (1 + wobble) - np.sqrt(far), dtype=np.float32)

    body = np.maximum(inside(np.array(centre), plan.radius), inside(lobe, 0.65 * plan.radius))
    core = _step(body, 1.5)
    # Oedema follows the white matter and stops at the cortex.
    rim = _step(body + plan.rim * (1 + 0.6 * smooth_noise(rng, axes, (12, 9, 9))) * (1 - 0.7 * grey), 2.0)
    hollow = np.zeros_like(core)
    if plan.cyst > 0:
        hollow = core * _step(np.asarray(body - (1 - 0.75 * plan.cyst) * plan.radius, dtype=np.float32), 2.0)
    return core, np.maximum(rim, core), hollow


def _lesion_centre(
    rng: np.random.Generator,
    axes: tuple[Field, Field, Field],
    brain_depth: Field,
    ventricles: Field,
    plan: LesionPlan,
) -> tuple[float, float, float]:
    """A voxel deep enough in the brain, above its base; for one lesion in three, beside a ventricle."""
    z, y, x = axes
    deep = (brain_depth > 0.55 * plan.radius + 4) & (ventricles < -0.35 * plan.radius) & (np.abs(x) > 9)
    low, high = float(z.min()) + 0.7 * plan.radius, float(z.max()) - 0.5 * plan.radius
    deep &= (z > max(low, -12)) & (z < min(high, 58))
    if rng.random() < 0.34:
        beside = deep & (ventricles > -0.35 * plan.radius - 7)
        deep = beside if beside.any() else deep
    places = np.flatnonzero(deep)
    if not len(places):
        places = np.flatnonzero(brain_depth >= np.quantile(brain_depth, 0.95))
    place = int(places[int(rng.integers(len(places)))])
    return float(x.flat[place]), float(y.flat[place]), float(z.flat[place])


def _spots(
    rng: np.random.Generator,
    axes: tuple[Field, Field, Field],
    brain_depth: Field,
    ventricles: Field,
    count: int,
    atrophy: float,
) -> Field:
    """Small bright spots in the white matter, and caps on the horns of the ventricles, both commoner with age."""
    z, y, x = axes
    caps = _step(ventricles + 2.0 + 2.5 * atrophy, 1.5) * _step(np.abs(y - 3) - 26 + 0 * x, 5)
    spots = np.asarray(caps * min(1.0, 0.35 + atrophy), dtype=np.float32)
    places = np.flatnonzero((brain_depth > 9) & (ventricles < -4) & (z > -10))
    for _ in range(count if len(places) else 0):
        place = int(places[int(rng.integers(len(places)))])
        radius = rng.uniform(1.8, 4.2)
        at = (float(x.flat[place]), float(y.flat[place]), float(z.flat[place]))
        spots = np.maximum(spots, _step(_ellipsoid(axes, at, (radius, radius * 1.3, radius * 1.4)), 1.0))
    return spots


def _add_face(axes: tuple[Field, Field, Field], fractions: dict[str, Field]) -> None:
    """Eyes in orbital fat and air-filled sinuses, in the lowest slices."""
    z, y, x = axes
    sides = (z, y, np.abs(x))
    orbit = _step(_ellipsoid(sides, (32, -66, -32), (17, 20, 15)), 2)
    eye = _step(_ellipsoid(sides, (32, -72, -32), (12, 12, 12)), 1)
    sinus = _step(_ellipsoid(axes, (0, -72, -28), (13, 16, 20)), 2)
    outside = 1 - np.maximum(orbit, sinus)
    head = np.minimum(1, sum(fractions.values(), np.zeros_like(orbit)))
    for name in fractions:
        fractions[name] = fractions[name] * outside
    fractions["scalp"] = fractions["scalp"] + head * orbit * (1 - eye) * (1 - sinus)
    fractions["csf"] = fractions["csf"] + head * orbit * eye * (1 - sinus)
