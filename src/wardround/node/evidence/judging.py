"""Judges a model on cases of this hospital, each as it is: what the process for that does. It has no way to the
network, and imports torch; the node's own process imports this module for its functions' names alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from wardround.compute.jail import Bounds, JailEnded, JailUnavailable
from wardround.compute.serving import reader_of
from wardround.contracts.validation import JudgedCase
from wardround.foundation.errors import NotAllowed, WardroundError
from wardround.learning.arrays import Arrays, ArraysRefused
from wardround.learning.bundle import Bundle, BundleRefused, read_bundle
from wardround.learning.case import Case, CaseRefused, Example, Labelled
from wardround.learning.metrics import dice
from wardround.learning.statistics.surface import distances
from wardround.learning.table import Row
from wardround.node.clinic.own_layers import with_own
from wardround.node.projects.served import ServedCase
from wardround.node.training.cohort import Cohort
from wardround.node.training.own import SealedArrays

_AT_ONCE = 8
"""So many patients' images lie in memory together."""
_SECONDS = 600.0
"""How long a model that is a program may take for a patient."""


class JudgingRefused(WardroundError):
    """The model can't be judged. It crosses processes, so it holds one text."""


@dataclass(frozen=True)
class Judged:
    """What was found of each patient, by name, and how many gave nothing, by reason. pictures: PNG by name, of those
    whom the model outlined otherwise than a person; they stay at the node."""

    cases: dict[str, JudgedCase]
    unusable: dict[str, int]
    pictures: dict[str, bytes] = field(default_factory=dict, repr=False)


def check_judgeable(bundle: Bundle) -> None:
    """Whether a package tells what this protocol judges. Raises `JudgingRefused`."""
    if bundle.own_code:
        raise JudgingRefused(
            f"{bundle.name} brings Python of its own, which reads nobody here outside a run yet", code="own-code"
        )
    if bundle.target is not None and bundle.target.kind != "class":
        raise JudgingRefused(
            f"{bundle.name} tells a {bundle.target.kind}; own-cohort/1 judges outlines and classes", code="no-classes"
        )


def judge(package: Path, cohort: Cohort, threads: int, own: SealedArrays | None = None) -> Judged:
    """Judge the package's own weights on every case with a label; `own` is what this hospital lays over them.

    Raises:
        JudgingRefused: package or weights can't be used, or it tells no class and no outline.
    """
    try:
        bundle = read_bundle(package)
        check_judgeable(bundle)
        learner, arrays = reader_of(package, Bounds(seconds=_SECONDS, threads=threads))
        whole = with_own(package, arrays, own)
        found: dict[str, JudgedCase] = {}
        unusable: dict[str, int] = {}
        pictures: dict[str, bytes] = {}
        for part in _parts(cohort.cases):
            examples = Cohort(cohort.place, part, cohort.records).read(bundle)[0]
            for example in examples:
                try:
                    found[example.name], picture = _judged(learner, whole, example)
                    if picture is not None:
                        pictures[example.name] = picture
                except CaseRefused as error:
                    unusable[error.reason] = unusable.get(error.reason, 0) + 1
                except JailEnded as error:
                    unusable[error.code] = unusable.get(error.code, 0) + 1
            without = len({one.name for one in part} - {example.name for example in examples})
            if without:
                unusable["no-label-or-volume"] = unusable.get("no-label-or-volume", 0) + without
    except BundleRefused as error:
        raise JudgingRefused(str(error), code=error.reason) from None
    except ArraysRefused as error:
        raise JudgingRefused(str(error), code=error.reason) from None
    except (JailUnavailable, NotAllowed) as error:
        raise JudgingRefused(str(error), code=error.code) from None
    return Judged(found, dict(sorted(unusable.items())), pictures)


def _parts(cases: Sequence[ServedCase]) -> Iterator[tuple[ServedCase, ...]]:
    """The cases in parts of a few whole patients each."""
    by_name = [tuple(one) for _, one in groupby(sorted(cases, key=lambda one: one.name), key=lambda one: one.name)]
    for start in range(0, len(by_name), _AT_ONCE):
        yield tuple(case for patient in by_name[start : start + _AT_ONCE] for case in patient)


def _judged(learner: Any, arrays: Arrays, example: Example) -> tuple[JudgedCase, bytes | None]:
    """What was found, and a picture of it where outlines differ."""
    told = learner.predict(arrays, example)
    if isinstance(example, Labelled | Row):
        return JudgedCase(score=float(told[0]), positive=example.target[0] > 0), None
    assert isinstance(example, Case) and example.label is not None  # noqa: S101 - `Cohort.read` gives labelled ones
    from wardround.dicom.measuring import volume_mm3
    from wardround.node.evidence.picture import picture_of

    apart = distances(told, example.label, example.spacing)
    case = JudgedCase(
        score=volume_mm3(told, example.spacing) / 1000,
        positive=bool(example.label.any()),
        dice=dice(told, example.label),
        average_mm=None if apart is None else apart.average,
        hd95_mm=None if apart is None else apart.hd95,
    )
    return case, picture_of(example.image, told, example.label)
