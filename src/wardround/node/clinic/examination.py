"""What a pathway makes of the files of one study: which series it would read, and whether that is fit to be read.

Headers alone are read. It runs in the reading process, and at the command line for whoever writes a pathway.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wardround.dicom.source_series import SourceSeries
from wardround.node.clinic.checks import Check, checks_of
from wardround.node.clinic.definition import Definition, Priority
from wardround.node.receive.arrival import SERIES, STUDY, Head
from wardround.node.receive.route import tags_of
from wardround.node.receive.route_facts import Facts
from wardround.node.receive.route_trial import read_file_head

_DESCRIPTION = "SeriesDescription"


@dataclass(frozen=True, slots=True)
class SeriesFound:
    """One series of a study. takes: whether it makes the study one of the pathway's; reads: whether it is one that the
    model reads; facts: of its first image."""

    uid: str
    study: str
    files: tuple[Path, ...]
    facts: Facts
    takes: bool
    reads: bool
    emergency: bool

    @property
    def description(self) -> str:
        return " ".join(str(value) for value in self.facts.values(_DESCRIPTION))


@dataclass(frozen=True, slots=True)
class Examination:
    """series: all of the study. chosen: which the model would read, None where none is. checks: of that one, and
    source, its images."""

    series: tuple[SeriesFound, ...]
    chosen: SeriesFound | None
    checks: tuple[Check, ...]
    source: SourceSeries | None = field(default=None, repr=False)

    @property
    def on_pathway(self) -> bool:
        return any(one.takes for one in self.series)

    @property
    def failed(self) -> Check | None:
        """The first check that failed; None where the study may be read."""
        return next((check for check in self.checks if not check.holds), None)


NO_SERIES = Check("no-series", "a series that the pathway reads", "none", holds=False)


def examine(definition: Definition, files: Iterable[Path]) -> Examination:
    """What the pathway makes of a study.

    Args:
        files: of one study, Part 10.

    Raises:
        VolumeRefused: the series is no volume at all, so that it can't be checked.
        Unreadable: a file is none that the front door would have taken.
        OSError: a file can't be read.
    """
    series = series_of(definition, files)
    fitting = [one for one in series if one.reads]
    if not fitting:
        return Examination(series, None, (NO_SERIES,))
    chosen = max(fitting, key=lambda one: len(one.files))
    source = SourceSeries(chosen.files)
    return Examination(series, chosen, checks_of(definition.input, source), source)


def series_of(definition: Definition, files: Iterable[Path]) -> tuple[SeriesFound, ...]:
    """The series among files, in the order in which they first come. Raises as `examine`."""
    tags = tags_of(
        [definition.takes, definition.reads, *([definition.emergency] if definition.emergency else [])],
        extra=(_DESCRIPTION,),
    )
    found: dict[tuple[str, str], tuple[Head, str, list[Path]]] = {}
    for file in files:
        head, syntax = read_file_head(file, tags)
        found.setdefault((head.uids[STUDY], head.uids[SERIES]), (head, syntax, []))[2].append(file)
    return tuple(
        _found(definition, study, uid, Facts(head.values, transfer_syntax=syntax), of)
        for (study, uid), (head, syntax, of) in found.items()
    )


def priority_of(definition: Definition, first_images: Iterable[Path]) -> Priority | None:
    """How soon a pathway wants a study, by the first image of each series; None where it isn't one of its studies.

    Raises as `examine`.
    """
    series: Sequence[SeriesFound] = series_of(definition, first_images)
    if not any(one.takes for one in series):
        return None
    return "emergency" if any(one.emergency for one in series) else "routine"


def _found(definition: Definition, study: str, uid: str, facts: Facts, files: Sequence[Path]) -> SeriesFound:
    takes, emergency = definition.takes.holds(facts), definition.emergency
    return SeriesFound(
        uid=uid,
        study=study,
        files=tuple(files),
        facts=facts,
        takes=takes,
        reads=definition.reads.holds(facts),
        emergency=emergency is not None and emergency.holds(facts),
    )
