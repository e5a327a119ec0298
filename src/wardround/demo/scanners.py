"""What each hospital's scanner makes of a head: contrast, noise, shading, sharpness and grid.

The levels are the brightness of each tissue in a FLAIR image, in units of bright tissue = 1. They differ between
hospitals as they do in practice, by inversion time, field strength, fat suppression and coil, and more strongly, so
that a model which saw one scanner alone is misled by the next.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wardround.demo.anatomy import Field, Head, smooth_noise
from wardround.demo.patients import Equipment

_FULL_SCALE = 1800.0


@dataclass(frozen=True, slots=True)
class Scanner:
    """One scanner and the protocol that it is used with.

    levels: brightness of each tissue of `anatomy.TISSUES`. gamma: exponent of the contrast curve. noise: standard
    deviation of each channel of the complex signal (the magnitude is Rician). shading: depth of the bias field, as
    a fraction. blur: standard deviation in millimetres, within the slice. shape and spacing run along (z, y, x), in
    voxels and millimetres. lowest: z of the first slice in the head's frame.
    """

    equipment: Equipment
    levels: dict[str, float]
    gamma: float
    noise: float
    shading: float
    blur: float
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    lowest: float

    def acquire(self, rng: np.random.Generator, head: Head, axes: tuple[Field, Field, Field]) -> Field:
        """The magnitude image of a head: float32 (Z, Y, X), whole numbers from 0 to 4095."""
        signal = np.zeros(self.shape, dtype=np.float32)
        for tissue, level in self.levels.items():
            signal += np.float32(level) * head.fractions[tissue]
        signal *= 1 + np.float32(0.035) * smooth_noise(rng, axes, (8, 5, 5))
        signal = np.power(np.clip(signal, 0, None), np.float32(self.gamma))
        signal *= np.exp(np.float32(self.shading) * smooth_noise(rng, axes, (70, 60, 60)))
        signal = _blurred(signal, self.blur, self.spacing)
        noise = np.float32(self.noise) * rng.standard_normal((2, *self.shape), dtype=np.float32)
        magnitude = np.hypot(signal + noise[0], noise[1])
        gain = np.float32(_FULL_SCALE * rng.uniform(0.85, 1.15))
        return np.asarray(np.clip(np.rint(magnitude * gain), 0, 4095), dtype=np.float32)


def _blurred(image: Field, sigma: float, spacing: tuple[float, float, float]) -> Field:
    """Gaussian blur of rows and columns; sigma and spacing in millimetres."""
    down, along = (_blur_matrix(image.shape[axis], sigma / spacing[axis]) for axis in (1, 2))
    return np.asarray(np.matmul(np.matmul(down, image), along.T), dtype=np.float32)


def _blur_matrix(size: int, sigma: float) -> NDArray[np.float32]:
    places = np.arange(size)
    weights = np.exp(-0.5 * ((places[:, None] - places[None, :]) / max(sigma, 1e-3)) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _levels(
    scalp: float, csf: float, grey: float, white: float, rim: float, core: float, cyst: float, spot: float
) -> dict[str, float]:
    return {
        "scalp": scalp, "bone": 0.07, "csf": csf, "grey": grey, "white": white,
        "rim": rim, "core": core, "cyst": cyst, "spot": spot,
    }  # fmt: skip


SCANNERS: tuple[Scanner, ...] = (
    Scanner(  # sharp, well suppressed fluid and fat; lesions stand out
        Equipment("Meridian Imaging", "Aurora 3T", 3.0, 9000, 125, 2500, "VX40"),
        _levels(scalp=0.5, csf=0.08, grey=0.64, white=0.46, rim=0.88, core=1.08, cyst=0.9, spot=0.8),
        gamma=1.0, noise=0.02, shading=0.05, blur=0.8,
        shape=(18, 112, 112), spacing=(5.5, 1.9, 1.9), lowest=-28,
    ),
    Scanner(  # bright fat, flat contrast, many bright spots
        Equipment("Castell Medical", "Concord 1.5", 1.5, 8002, 118, 2200, "12.1_M4"),
        _levels(scalp=1.3, csf=0.22, grey=0.6, white=0.52, rim=0.76, core=0.9, cyst=0.75, spot=1.1),
        gamma=1.0, noise=0.03, shading=0.06, blur=1.3,
        shape=(16, 96, 96), spacing=(6.5, 2.2, 2.2), lowest=-30,
    ),
    Scanner(  # inversion time set wrong for fluid: ventricles and sulci shine
        Equipment("Norrland Systems", "Fjord S", 1.5, 11000, 140, 2800, "5.7.1"),
        _levels(scalp=0.75, csf=0.98, grey=0.5, white=0.4, rim=0.72, core=0.85, cyst=0.9, spot=0.75),
        gamma=1.1, noise=0.03, shading=0.06, blur=1.1,
        shape=(20, 104, 104), spacing=(5.0, 2.05, 2.05), lowest=-26,
    ),
    Scanner(  # short inversion time: lesions with dark hollows, shading, thick slices
        Equipment("Halcyon Diagnostics", "Open 1.0", 1.0, 6000, 95, 1800, "2.3b"),
        _levels(scalp=0.9, csf=0.12, grey=0.5, white=0.64, rim=1.0, core=0.92, cyst=0.3, spot=0.98),
        gamma=1.1, noise=0.025, shading=0.1, blur=1.2,
        shape=(16, 96, 96), spacing=(7.0, 2.2, 2.2), lowest=-32,
    ),
    Scanner(
        Equipment("Meridian Imaging", "Zephyr 1.5T", 1.5, 8500, 110, 2350, "VX31"),
        _levels(scalp=0.85, csf=0.15, grey=0.64, white=0.5, rim=0.8, core=0.95, cyst=0.5, spot=0.9),
        gamma=1.0, noise=0.04, shading=0.12, blur=1.2,
        shape=(18, 96, 96), spacing=(6.0, 2.2, 2.2), lowest=-29,
    ),
    Scanner(
        Equipment("Castell Medical", "Symphon 3.0", 3.0, 10000, 130, 2600, "14.0_M2"),
        _levels(scalp=0.35, csf=0.45, grey=0.7, white=0.5, rim=0.72, core=0.9, cyst=0.6, spot=0.95),
        gamma=0.85, noise=0.025, shading=0.15, blur=0.9,
        shape=(20, 112, 112), spacing=(5.0, 1.9, 1.9), lowest=-27,
    ),
    Scanner(
        Equipment("Norrland Systems", "Fjord XL", 3.0, 9500, 120, 2450, "6.1.0"),
        _levels(scalp=1.1, csf=0.1, grey=0.55, white=0.6, rim=0.85, core=0.7, cyst=0.3, spot=1.0),
        gamma=1.05, noise=0.05, shading=0.1, blur=1.5,
        shape=(16, 104, 104), spacing=(6.5, 2.05, 2.05), lowest=-30,
    ),
    Scanner(
        Equipment("Halcyon Diagnostics", "Vista 1.5", 1.5, 7800, 105, 2100, "3.0"),
        _levels(scalp=0.6, csf=0.7, grey=0.58, white=0.5, rim=0.78, core=0.98, cyst=0.8, spot=0.7),
        gamma=1.2, noise=0.03, shading=0.18, blur=1.3,
        shape=(18, 96, 96), spacing=(6.0, 2.2, 2.2), lowest=-28,
    ),
)  # fmt: skip
