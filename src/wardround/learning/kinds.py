"""Which learner a model package wants: one for each kind of task. Needs torch and MONAI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wardround.learning.bundle import Bundle, read_bundle
from wardround.learning.case import Preparation
from wardround.learning.learner import Learner
from wardround.learning.table import TablePreparation


def learner_of(bundle: Bundle | Path, threads: int = 1, setting: str = "default") -> Learner[Any, Any]:
    """The learner of a package.

    Raises:
        BundleRefused: the package can't be used, or has no such setting.
    """
    checked = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
    return _kind(checked)(checked, threads, setting)


def _kind(bundle: Bundle) -> type[Learner[Any, Any]]:
    """Each brings parts of MONAI of its own, so that only the one that is wanted is imported."""
    if isinstance(bundle.preparation, Preparation):
        from wardround.learning.segmenter import Segmenter

        return Segmenter
    if bundle.target is None:
        from wardround.learning.volume_segmenter import VolumeSegmenter

        return VolumeSegmenter
    from wardround.learning.predictor import TablePredictor, VolumePredictor

    return TablePredictor if isinstance(bundle.preparation, TablePreparation) else VolumePredictor
