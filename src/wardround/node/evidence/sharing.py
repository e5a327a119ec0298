"""What a validation here shows as a whole goes to the hub, which pools it with other hospitals': no case leaves.

Steps, each of which refuses: 1. the validation was done and its entry is on the ledger; 2. of each measure so many
people are behind it that their number may be told, or it stays here, of groups by sex and age likewise; 3. values are
rounded; 4. the gateway and this hospital's policy let the message leave.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from sqlalchemy import select

from wardround.contracts.outbound import Estimate, EvidenceSummary
from wardround.contracts.validation import Axis, JudgedCase, LocalValidation, Measure
from wardround.foundation.errors import NotAllowed
from wardround.learning.statistics.findings import findings
from wardround.learning.statistics.roc import areas
from wardround.node import audit
from wardround.node.cohort.disclosure import Discloser
from wardround.node.desk import Desk
from wardround.node.evidence.groups import UNKNOWN
from wardround.node.evidence.shelf import latest
from wardround.node.evidence.tables import ValidationCase
from wardround.node.evidence.validation import planned

_AXES: tuple[Axis, ...] = ("sex", "age")
"""Whose groups have the same words everywhere; makers and protocols are a hospital's own."""


def share(desk: Desk, digest: str, *, actor: str) -> EvidenceSummary:
    """Send the summary of a validation that was done.

    Raises:
        NotFound: no plan begins so.
        NotAllowed: `not-done`; `not-on-ledger`, its entry waits for the hub still; `too-few-people`, of nothing enough
            people are there to be told; or this hospital's policy lets none leave.
        HubUnreachable, HubRefused: it wasn't told.
    """
    with desk.home.database.reading() as session:
        row = planned(session, digest)
        kept = latest(session, "local-validation", (row.model,))
        frozen = session.scalars(select(ValidationCase).where(ValidationCase.validation == row.id))
        patients = {case.name: case.patient for case in frozen}
    if kept is None or not isinstance(kept.record, LocalValidation) or kept.record.plan != row.digest:
        raise NotAllowed(
            f"the newest validation of {row.model[:12]} here isn't one by plan {row.digest[:12]}; do it first: "
            f"wardround node model validate {row.digest[:12]}",
            code="not-done",
        )
    if kept.entry is None:
        raise NotAllowed("its evidence isn't on the ledger yet: the running node sends it", code="not-on-ledger")
    cases = kept.record.cases
    estimates = summary(kept.record, cases, patients, desk.discloser)
    if not estimates:
        raise NotAllowed("of no measure so many people are there that it may be told", code="too-few-people")
    groups = by_group(kept.record, patients, desk.discloser)
    message = EvidenceSummary(model=row.model, plan=row.digest, estimates=estimates, groups=groups, entry=kept.entry)
    with desk.home.database.writing() as session:
        audit.record(session, actor, "share-evidence", row.model, row.digest, clock=desk.clock)
    desk.gateway.send(message)
    return message


def by_group(
    record: LocalValidation, patients: dict[str, str], discloser: Discloser
) -> dict[str, dict[Measure, Estimate]]:
    """The same by sex and by age. A measure is told of all groups that either tells apart or of none of them, so that
    nobody works out from the others what is held back of a few; those of whom it isn't known are a group too."""
    told: dict[str, dict[Measure, Estimate]] = {}
    for axis in _AXES:
        parts: dict[str, dict[str, JudgedCase]] = {}
        for name, case in record.cases.items():
            parts.setdefault(case.groups.get(axis, UNKNOWN), {})[name] = case
        found = {group: summary(record, cases, patients, discloser) for group, cases in parts.items()}
        whole = set.intersection(*(set(one) for one in found.values())) if found else set()
        for group in sorted(set(found) - {UNKNOWN}):
            if whole:
                told[f"{axis} {group}"] = {measure: found[group][measure] for measure in sorted(whole)}
    return told


def summary(
    record: LocalValidation, cases: Mapping[str, JudgedCase], patients: dict[str, str], discloser: Discloser
) -> dict[Measure, Estimate]:
    """What of these cases of a record may be told. A patient who was purged since has nobody's name, and isn't
    counted."""
    with_it = {name: case for name, case in cases.items() if case.positive}
    without = {name: case for name, case in cases.items() if not case.positive}
    behind: dict[Measure, dict[str, JudgedCase]] = {
        "sensitivity": with_it,
        "specificity": without,
        "auc": min(with_it, without, key=len),
        "dice": {name: case for name, case in with_it.items() if case.dice is not None},
    }
    found = findings(cases.values(), record.threshold).measures
    told: dict[Measure, Estimate] = {}
    for measure, interval in found.items():
        people = discloser.people(patients[name] for name in behind[measure] if name in patients)
        if people.about is None:
            continue
        error = _error(measure, list(cases.values()), [case.dice or 0.0 for case in behind[measure].values()])
        told[measure] = Estimate(value=round(interval.value, 2), error=error, people=people)
    return told


def _error(measure: Measure, cases: list[JudgedCase], overlaps: list[float]) -> float | None:
    """The standard error of what isn't a share, to two decimals; a share's follows from how many people it is over."""
    if measure == "auc":
        _, covariance = areas([[case.score for case in cases]], [case.positive for case in cases])
        spread = math.sqrt(float(covariance[0, 0]))
    elif measure == "dice":
        middle = math.fsum(overlaps) / len(overlaps)
        spread = math.sqrt(math.fsum((one - middle) ** 2 for one in overlaps)) / len(overlaps)
    else:
        return None
    return max(0.01, round(spread, 2))
