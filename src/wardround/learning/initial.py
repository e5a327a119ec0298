"""A run's first weights."""

from __future__ import annotations

from wardround.learning.arrays import to_bytes
from wardround.learning.bundle import packaged
from wardround.learning.segmenter import Segmenter


def initial_weights(package: str, setting: str, seed: int) -> bytes:
    """Fresh weights of an installed model package as safetensors, the same for the same seed. Imports torch.

    Raises:
        BundleRefused: there is no such package or setting.
    """
    return to_bytes(Segmenter(packaged(package), setting=setting).initial(seed))
