"""What is done to a round's new weights before they leave: their difference is cut to a norm, and noise is added.

The Gaussian mechanism at the level of one hospital, as in McMahan, Ramage, Talwar, Zhang: Learning Differentially
Private Recurrent Language Models, ICLR 2018, but with the noise added by each hospital, so that nobody who sees one
update needs to be trusted. No epsilon is claimed: how much a whole run tells is for its accountant.

Sums of floating-point numbers can betray noise in their last bits (Mironov: On Significance of the Least Significant
Bits for Differential Privacy, CCS 2012). So all is reckoned in float64, and difference and noise together are rounded
to a grid far coarser than float64 there, before they are added to weights that the hub knows already.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Mapping

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from numpy.typing import NDArray

from wardround.contracts.privacy import Privacy
from wardround.learning.arrays import Arrays, check, digest, norm

GRID_BITS = 24
"""The grid's step is at most the noise's standard deviation divided by 2 to this power."""

_AT_ONCE = 1 << 20
_MARGIN = 1 - 1e-9
"""The norm is summed in float64; so much below the bound, its error can't put a difference above it."""


def privatised(
    after: Mapping[str, NDArray[np.float32]],
    before: Mapping[str, NDArray[np.float32]],
    privacy: Privacy,
    key: bytes,
) -> Arrays:
    """The weights that may leave in place of `after`, which were trained from `before`.

    Without noise their difference from `before` has a norm of at most `privacy.clip_norm`. The noise follows from
    `key`, `privacy` and both weights: the very same update gives the same bytes again, so that asking twice averages
    nothing out, and any other update gets noise of its own, so that two can't be subtracted to be rid of it.

    Args:
        key: 32 secret bytes of this hospital.

    Raises:
        ArraysRefused: the two aren't of one model, or a value isn't finite.
        ValueError: the key isn't of 32 bytes.
    """
    if len(key) != 32:
        raise ValueError("the noise needs a key of 32 bytes")
    check(before)
    check(after, like=before)
    deltas = {name: after[name].astype(np.float64) - before[name].astype(np.float64) for name in sorted(before)}
    length = norm(deltas)
    scale = min(1.0, privacy.clip_norm / length * _MARGIN) if length > privacy.clip_norm * _MARGIN else 1.0
    sigma = privacy.noise_multiplier * privacy.clip_norm
    if sigma == 0:
        return {name: _towards(before[name], delta * scale) for name, delta in deltas.items()}
    noise = _Noise(_seed(key, after, before, privacy), sigma)
    made = {name: _noised(before[name], delta * scale, noise) for name, delta in deltas.items()}
    check(made, like=before)
    return made


def _towards(before: NDArray[np.float32], delta: NDArray[np.float64]) -> NDArray[np.float32]:
    """`before` + `delta` in float32, rounded towards `before`, so that rounding makes no difference larger."""
    exact = before.astype(np.float64)
    rounded = (exact + delta).astype(np.float32)
    beyond = np.abs(rounded.astype(np.float64) - exact) > np.abs(delta)
    return np.where(beyond, np.nextafter(rounded, before), rounded).astype(np.float32)


def _noised(before: NDArray[np.float32], delta: NDArray[np.float64], noise: _Noise) -> NDArray[np.float32]:
    noisy = np.round((delta + noise.draw(delta.size).reshape(delta.shape)) / noise.step) * noise.step
    return np.asarray(before.astype(np.float64) + noisy, dtype=np.float32)


def _seed(
    key: bytes,
    after: Mapping[str, NDArray[np.float32]],
    before: Mapping[str, NDArray[np.float32]],
    privacy: Privacy,
) -> bytes:
    told = f"wardround update noise v1 {digest(before)} {digest(after)} {privacy.content_digest()}"
    return hmac.digest(key, told.encode(), "sha256")


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
