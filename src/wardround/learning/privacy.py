"""An update is cut to a norm, and noise is added to it.

The Gaussian mechanism at the level of one hospital, as in McMahan, Ramage, Talwar, Zhang: Learning Differentially
Private Recurrent Language Models, ICLR 2018, but with the noise added by each hospital, so that nobody who sees one
update needs to be trusted. No epsilon is claimed here.

Sums of floating-point numbers can betray noise in their last bits (Mironov: On Significance of the Least Significant
Bits for Differential Privacy, CCS 2012). So change and noise are added in float64 and rounded together to a grid far
coarser than float64 there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from numpy.typing import NDArray

from wardround.learning.arrays import Arrays, norm

GRID_BITS = 24
"""The grid's step is at most the noise's standard deviation divided by 2 to this power."""

_AT_ONCE = 1 << 20
_MARGIN = 1 - 1e-9
"""The norm is summed in float64; so much below the bound, its error can't put a difference above it."""


def clipped(delta: Mapping[str, NDArray[np.float32]], clip_norm: float) -> Arrays:
    """`delta` cut to a Euclidean norm of at most `clip_norm`, in its own direction; a shorter one as it is."""
    length = norm(delta)
    if length <= clip_norm * _MARGIN:
        return dict(delta)
    scale = clip_norm / length * _MARGIN
    return {name: _towards_zero(delta[name].astype(np.float64) * scale) for name in sorted(delta)}


def noised(delta: Mapping[str, NDArray[np.float32]], sigma: float, seed: bytes) -> Arrays:
    """`delta` with Gaussian noise of the standard deviation `sigma`, above 0, on every value: the same for the same
    32 bytes of `seed`.

    A value that doesn't fit float32 is infinite; see `wardround.learning.arrays.check`.
    """
    noise = _Noise(seed, sigma)
    return {name: _noised(delta[name], noise) for name in sorted(delta)}


def _towards_zero(exact: NDArray[np.float64]) -> NDArray[np.float32]:
    """In float32, rounded so that no value becomes larger."""
    rounded = exact.astype(np.float32)
    beyond = np.abs(rounded.astype(np.float64)) > np.abs(exact)
    return np.where(beyond, np.nextafter(rounded, np.float32(0)), rounded).astype(np.float32)


def _noised(delta: NDArray[np.float32], noise: _Noise) -> NDArray[np.float32]:
    noisy = np.round((delta + noise.draw(delta.size).reshape(delta.shape)) / noise.step) * noise.step
    with np.errstate(over="ignore"):
        return np.asarray(noisy, dtype=np.float32)


class _Noise:
    """Gaussian numbers of mean 0 from the stream of ChaCha20 (RFC 8439), by Box and Muller's method in float64.

    Uniform numbers have 53 bits, so that the tail ends at 8.5 standard deviations.
    """

    def __init__(self, seed: bytes, sigma: float) -> None:
        self._stream = Cipher(ChaCha20(seed, bytes(16)), mode=None).encryptor()
        self._sigma = sigma
        self.step = 2.0 ** (math.floor(math.log2(sigma)) - GRID_BITS)

    def draw(self, count: int) -> NDArray[np.float64]:
        """The next `count` numbers."""
        made = np.empty(count, dtype=np.float64)
        for start in range(0, count, _AT_ONCE):
            wanted = min(_AT_ONCE, count - start)
            pairs = (wanted + 1) // 2
            bits = np.frombuffer(self._stream.update(bytes(16 * pairs)), dtype="<u8") >> np.uint64(11)
            # The first of each pair is in (0, 1], so that its logarithm is finite.
            radius = np.sqrt(-2.0 * np.log((bits[:pairs].astype(np.float64) + 1.0) * 2.0**-53))
            angle = bits[pairs:].astype(np.float64) * (2.0**-53 * 2.0 * math.pi)
            both = np.concatenate((radius * np.cos(angle), radius * np.sin(angle)))
            made[start : start + wanted] = both[:wanted]
        return made * self._sigma
