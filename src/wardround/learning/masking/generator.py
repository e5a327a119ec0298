"""Masks from seeds: the key stream of AES-256 in counter mode (NIST SP 800-38A), read as 32-bit words.

Each seed makes one mask and nothing else, so that the counter begins at 0 for each.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

SEED_BYTES = 32
_AT_ONCE = 1 << 20
_ZEROS = bytes(4 * _AT_ONCE)


def mask(values: NDArray[np.uint32], seed: bytes, sign: Literal[1, -1]) -> None:
    """Add the mask of `seed` to `values`, or take it away, in place and modulo 2^32.

    Args:
        values: a vector.
        seed: 32 secret bytes.

    Raises:
        ValueError: the seed isn't of 32 bytes.
    """
    if len(seed) != SEED_BYTES:
        raise ValueError("a mask needs a seed of 32 bytes")
    stream = Cipher(AES(seed), CTR(bytes(16))).encryptor()
    apply = np.add if sign == 1 else np.subtract
    for start in range(0, values.size, _AT_ONCE):
        part = values[start : start + _AT_ONCE]
        words = np.frombuffer(stream.update(memoryview(_ZEROS)[: 4 * part.size]), dtype="<u4")
        apply(part, words, out=part)
