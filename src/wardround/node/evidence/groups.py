"""By what the patients of a validation are told apart: sex, age, ethnicity, scanner and protocol, as far as known."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.validation import Axis
from wardround.node.cohort.meaning import age_band
from wardround.node.enclave.tables import EnclavePatient, EnclaveSeries
from wardround.node.records.store import Records
from wardround.node.training.facts import ethnicities

_SEXES = {"F": "female", "M": "male", "O": "other"}
UNKNOWN = "not known"


def groups_of(
    session: Session, cases: Mapping[str, tuple[str, str]], records: Records | None
) -> dict[str, dict[Axis, str]]:
    """The groups of each case.

    Args:
        cases: by the name that is asked of, the site's own pseudonym and the series that was judged; a person without
            an image has none.
        records: where health records are, which alone know ethnicity; None where there are none.

    Raises:
        RecordsBusy: a load of health records is being applied.
    """
    backgrounds = {} if records is None else ethnicities(records, sorted({who for who, _ in cases.values()}))
    found: dict[str, dict[Axis, str]] = {}
    for name, (patient, series) in cases.items():
        groups: dict[Axis, str] = {}
        known = session.get(EnclavePatient, patient)
        groups["sex"] = _SEXES.get((known.sex if known else None) or "", UNKNOWN)
        image = session.scalar(select(EnclaveSeries).where(EnclaveSeries.uid == series)) if series else None
        if image is not None:
            groups["age"] = UNKNOWN if image.age is None else age_band(image.age)
            maker = " ".join(part for part in (image.manufacturer, image.model) if part)
            groups["scanner"] = maker or UNKNOWN
            groups["protocol"] = _protocol(image)
        if records is not None:
            groups["ethnicity"] = backgrounds.get(patient, UNKNOWN)
        found[name] = groups
    return found


def _protocol(image: EnclaveSeries) -> str:
    """How the scanner was set, as far as the image says it."""
    parts = [
        image.description or "",
        "" if image.field_strength is None else f"{image.field_strength:g} T",
        "" if image.thickness is None else f"{image.thickness:g} mm",
        {True: "contrast", False: "no contrast", None: ""}[image.contrast],
    ]
    return ", ".join(part for part in parts if part) or UNKNOWN
