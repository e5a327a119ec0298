"""What a record of evidence shows, in lines for people: each number with its interval, worked out when it is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from wardround.contracts.evidence import EvidenceRecord, FourFold, OfflineValidation, ShadowUse
from wardround.contracts.metric import METRICS
from wardround.contracts.use_evidence import DelayOfUnflagged, OrderEffect, ReaderStudy, SecondReads, Wait
from wardround.contracts.validation import LocalValidation
from wardround.learning.intervals import Interval, over_patients, proportion
from wardround.learning.statistics.agreement import kappa
from wardround.learning.statistics.diagnosis import Diagnosis
from wardround.learning.statistics.findings import Findings, by_group, calibrated, findings, missed
from wardround.learning.statistics.readers import reader_study
from wardround.learning.statistics.resampling import resampled
from wardround.learning.statistics.share import exact


def told(record: EvidenceRecord) -> Iterator[str]:
    """The lines of a record."""
    match record:
        case LocalValidation():
            yield from _validation(record)
        case OfflineValidation():
            yield _held_out(record)
        case ShadowUse():
            yield from _shadow(record)
        case OrderEffect():
            yield from _order(record)
        case DelayOfUnflagged():
            yield from _delay(record)
        case SecondReads():
            yield from _second(record)
        case ReaderStudy():
            yield from _readers(record)


def _held_out(record: OfflineValidation) -> str:
    found = over_patients(record.metric, record.outcomes)
    if found is None:
        return f"{len(record.outcomes)} held-out patients, who can't tell its {METRICS[record.metric].words}"
    return (
        f"{METRICS[record.metric].words} {found.value:.3f} over {len(record.outcomes)} held-out patients "
        f"(95 % interval {found.low:.3f} to {found.high:.3f})"
    )


def _shadow(record: ShadowUse) -> Iterator[str]:
    yield f"{record.since:%Y-%m-%d} to {record.until:%Y-%m-%d}: {record.studies} studies came, {record.read} were read"
    if record.studies:
        without = proportion(record.studies - record.read, record.studies)
        yield (
            f"without a result {without.value:.1%} (95 % interval {without.low:.1%} to {without.high:.1%}), "
            f"of them out of scope {record.out_of_scope}"
        )
        for reason, count in record.failed.items():
            yield f"{reason}: {count}"
    if record.seconds_p50 is not None and record.seconds_p95 is not None:
        yield (
            f"seconds from the last image to the result: {record.seconds_p50:.1f} (median), "
            f"{record.seconds_p95:.1f} (95th percentile)"
        )
    yield from _fourfold(record.agreement, "what a person found without it")
    yield from _fourfold(record.adjudicated, "what was adjudicated")
    if record.drift is not None:
        distance, p, stability = record.drift
        yield (
            f"its scores against those of its validation here: distance {distance:.2f} (p {p:.3f}), population "
            f"stability index {stability:.2f}"
        )
    if record.seen is not None:
        yield "nobody read a study with its result in view" if not record.seen else f"SEEN with {record.seen} studies"


def _fourfold(counts: FourFold, against: str) -> Iterator[str]:
    both, alarmed, missed_, neither = counts
    if not sum(counts):
        return
    table = Diagnosis(found=both, missed=missed_, cleared=neither, alarmed=alarmed)
    parts = [
        f"{name} {_between(one)}"
        for name, one in (("sensitivity", table.sensitivity()), ("specificity", table.specificity()))
        if one is not None
    ]
    agreed = kappa([[both, alarmed], [missed_, neither]])
    if agreed is not None:
        parts.append(f"kappa {_between(agreed)}")
    yield f"against {against}, {sum(counts)} studies: {', '.join(parts)}"


def _order(record: OrderEffect) -> Iterator[str]:
    yield (
        f"{record.since:%Y-%m-%d} to {record.until:%Y-%m-%d}, at {record.stage}: {record.studies} studies opened, "
        f"{len(record.flagged)} of them flagged, {len(record.flagged) / record.days:.1f} alerts a day"
    )
    yield from _waits(record.flagged, "flagged studies")
    judged = [wait.finding for wait in record.flagged if wait.finding is not None]
    if judged:
        yield f"of flagged studies a finding was there in {_between(exact(sum(judged), len(judged)))} ({len(judged)})"
    there, asked = record.prevalence
    if asked:
        yield f"of all studies in {_between(exact(there, asked))} ({asked})"


def _delay(record: DelayOfUnflagged) -> Iterator[str]:
    yield f"{record.since:%Y-%m-%d} to {record.until:%Y-%m-%d}, at {record.stage}: {len(record.unflagged)} unflagged"
    yield from _waits(record.unflagged, "unflagged studies")
    harmed = [wait for wait in record.unflagged if wait.finding]
    yield f"a person found something in {len(harmed)} of them"
    yield from _waits(harmed, "unflagged studies with a finding")


def _waits(waits: Sequence[Wait], whom: str) -> Iterator[str]:
    for what, pairs in (
        ("opened", [(wait.open, wait.open_by_arrival) for wait in waits]),
        (
            "reported",
            [
                (wait.report, wait.report_by_arrival)
                for wait in waits
                if wait.report is not None and wait.report_by_arrival is not None
            ],
        ),
    ):
        later = resampled([waited / 60 - instead / 60 for waited, instead in pairs])
        if later is None:
            continue
        p50, p95 = np.percentile(np.array(pairs) / 60, (50, 95), axis=0)
        yield (
            f"{whom} were {what} after {p50[0]:.1f} min (median; 95th percentile {p95[0]:.1f}), in order of arrival "
            f"after {p50[1]:.1f} ({p95[1]:.1f}): {_between(later)} min later on average, less than 0 is sooner"
        )
    late, instead = sum(wait.late for wait in waits), sum(wait.late_by_arrival for wait in waits)
    if waits:
        yield f"{late} of {len(waits)} {whom} were opened past their deadline, {instead} would have been"


def _second(record: SecondReads) -> Iterator[str]:
    changed = [read for read in record.reads if read.first is not read.final]
    yield (
        f"{record.since:%Y-%m-%d} to {record.until:%Y-%m-%d}: {len(record.reads)} studies read first and judged then, "
        f"{len(changed)} readings changed"
    )
    known = [read for read in record.reads if read.truth is not None]
    better = sum(read.final is read.truth for read in changed if read.truth is not None)
    worse = sum(read.final is not read.truth for read in changed if read.truth is not None)
    yield f"of {len(known)} that were adjudicated, {better} changed for the better and {worse} for the worse"
    for name in ("first", "final"):
        table = Diagnosis.of([float(getattr(read, name)) for read in known], [bool(read.truth) for read in known], 1)
        for words, one in (("sensitivity", table.sensitivity()), ("specificity", table.specificity())):
            if one is not None:
                yield f"{name} readings: {words} {_between(one)}"
    for reason, count in sorted(Counter(read.reason for read in record.reads if read.reason).items()):
        yield f"overruled for {reason}: {count}"
    overlaps = [read.overlap for read in record.reads if read.overlap is not None]
    if overlaps:
        yield (
            f"{len(overlaps)} outlines corrected by drawing; Dice between the model's and the corrected one "
            f"{np.median(overlaps):.2f} (median), {min(overlaps):.2f} the least"
        )


def _readers(record: ReaderStudy) -> Iterator[str]:
    found = reader_study([record.alone, record.aided], record.positive)
    yield f"{len(record.alone)} readers, {len(record.positive)} cases, {sum(record.positive)} with the finding"
    yield f"area under the curve {found.ways[0]:.3f} without it, {found.ways[1]:.3f} with it"
    yield (
        f"difference {_between(found.difference)}, p {found.p:.3f} (Obuchowski and Rockette: other readers, other "
        f"cases); the margin was {record.margin:g}"
    )


def _validation(record: LocalValidation) -> Iterator[str]:
    found = findings(record.cases.values(), record.threshold)
    unit = "ml" if record.scores == "millilitres" else ""
    yield f"plan {record.plan[:12]}; {found.cases} patients, {found.positive} with the finding"
    if record.unusable:
        yield "gave nothing: " + ", ".join(f"{reason} {count}" for reason, count in record.unusable.items())
    yield f"flagged from {record.threshold:g} {unit}".rstrip() + " on, as planned; intervals of 95 %"
    yield from _lines(found)
    calibration = calibrated(record)
    if calibration is not None:
        parts = [f"calibration error {calibration.error:.3f}"]
        parts += [
            f"{name} {_between(one)}"
            for name, one in (("slope", calibration.slope), ("intercept", calibration.intercept))
            if one is not None
        ]
        yield ", ".join(parts)
    for name, (low, least) in missed(found, record.least).items():
        at = "can't be told" if low is None else f"may be as low as {low:.3f}"
        yield f"MISSED: {name} was to be at least {least:g}, and {at}; this opens no stage"
    for axis, groups in by_group(record.cases.values(), record.threshold).items():
        for group, one in groups.items():
            shown = "; ".join(_lines(one))
            yield f"{axis} {group}: {one.cases} patients, {one.positive} with the finding; {shown}"


def _lines(found: Findings) -> Iterator[str]:
    for name, interval in found.measures.items():
        yield f"{name} {_between(interval)}"
    if found.precision is not None:
        yield f"positive predictive value here {_between(found.precision)}"
    if found.average_mm is not None and found.hd95_mm is not None:
        yield (
            f"surfaces apart by {_between(found.average_mm)} mm on average, 95 % Hausdorff "
            f"{_between(found.hd95_mm)} mm, over {found.outlined} patients"
        )


def _between(one: Interval) -> str:
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"
