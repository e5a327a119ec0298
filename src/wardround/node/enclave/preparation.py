"""Makes volumes before they are needed, so that learning doesn't wait and what can't be used is known early."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from wardround.contracts.cohort_query import CohortQuestion
from wardround.node.enclave.case import CaseRef, CaseUnusable
from wardround.node.enclave.enclave import Enclave
from wardround.node.optout.queries import excluded
from wardround.node.projects.person import PREFIX
from wardround.node.projects.tables import ManifestRow, ProjectRow

READY = "ready"


def cases_of(enclave: Enclave, project: str = "") -> Sequence[CaseRef]:
    """The cases of a project's frozen cohort that it is served now; without a project all of the enclave."""
    if not project:
        return enclave.find(CohortQuestion())
    with enclave.database.reading() as session:
        rows = (
            session.query(ManifestRow.case)
            .join(ProjectRow, ProjectRow.decision == ManifestRow.decision)
            .filter(
                ProjectRow.id == project,
                ManifestRow.removed_at.is_(None),
                ManifestRow.study.not_like(f"{PREFIX}%"),
                ManifestRow.patient.not_in(excluded()),
            )
        )
        return [CaseRef.model_validate_json(case) for (case,) in rows.order_by(ManifestRow.study)]


def prepare(
    enclave: Enclave, cases: Sequence[CaseRef], on_case: Callable[[], None] = lambda: None
) -> Mapping[str, int]:
    """Make the volumes that aren't kept yet; returns how many cases are `ready`, and how many not, by reason."""
    counts: Counter[str] = Counter()
    for ref in cases:
        try:
            enclave.case(ref)
        except CaseUnusable as refused:
            counts[refused.code] += 1
        else:
            counts[READY] += 1
        on_case()
    return dict(sorted(counts.items()))
