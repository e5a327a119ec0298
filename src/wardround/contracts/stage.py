"""The stages through which a model earns its place on a pathway of one hospital: one table.

What a stage shows, to whom, what it must never do, which evidence opens it and who has to agree stands here and nowhere
else. The ladder is that of a staged introduction: from offline validation over silent use to support of ever more
weight (compare DECIDE-AI, Vasey et al., Nature Medicine 28, 2022, on early clinical evaluation in stages).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

StageName = Literal[
    "offline", "shadow", "prioritisation", "triage", "second-reader", "primary-reader", "suspended", "withdrawn"
]
EvidenceKind = Literal[
    "offline-validation",
    "local-validation",
    "shadow-use",
    "order-effect",
    "delay-of-unflagged",
    "second-reads",
    "reader-study",
]
ApproverRole = Literal["safety-officer", "pathway-lead"]
Audience = Literal["nobody", "examiners", "ward"]
"""`examiners` are those who examine the model, at a title of the PACS where nobody looks who treats the patient."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A kind of evidence. days: for how long a record of it is current. fewest: of what it looked at, below which it
    shows nothing. at: the stages at which it is made; none, where it isn't of use. also: a kind of record that shows as
    much."""

    words: str
    days: int
    fewest: int = 1
    at: tuple[StageName, ...] = ()
    also: str = ""


EVIDENCE: Mapping[EvidenceKind, Evidence] = MappingProxyType(
    {
        "offline-validation": Evidence(
            "how good it is on this hospital's own patients whom it never saw",
            days=365,
            also="local-validation",
        ),
        "local-validation": Evidence(
            "how good it is on a cohort of this hospital's own, by a plan that stood before",
            days=365,
        ),
        "shadow-use": Evidence(
            "how much it read here in shadow use, how often it failed and how fast it was",
            days=90,
            fewest=20,
            at=("shadow",),
        ),
        "order-effect": Evidence(
            "time to reading in its order of the worklist against order of arrival",
            days=90,
            fewest=20,
            at=("prioritisation", "triage"),
        ),
        "delay-of-unflagged": Evidence(
            "what waiting longer did to those whom it didn't flag",
            days=90,
            fewest=20,
            at=("prioritisation", "triage"),
        ),
        "second-reads": Evidence(
            "first and final readings side by side, and why a reader disagreed",
            days=90,
            fewest=20,
            at=("second-reader",),
        ),
        "reader-study": Evidence("readers with and without it over the same cases", days=730, fewest=20),
    }
)


@dataclass(frozen=True, slots=True)
class Stage:
    """One rung.

    shows: what comes of a study, and where. to: who sees it. never: what it must not do. needs: evidence of this
    hospital for this very version. approvers: a person of each of these roles has to agree, each another one; `either`
    that one of them is enough. banner: on each result. orders_worklist: flagged studies move up. results: who a result
    is sent to. findings_shown: the worklist tells what the model found; after_first_reading: not before a person has
    said what they found themselves, nor does a result go out before. hazard_log: it opens only with this hospital's
    hazard log of that version, with no unacceptable risk left, and whoever agrees accepts that edition of it.
    """

    shows: str
    to: str
    never: str
    needs: tuple[EvidenceKind, ...]
    approvers: tuple[ApproverRole, ...]
    either: bool = False
    banner: str = ""
    orders_worklist: bool = False
    results: Audience = "nobody"
    findings_shown: bool = False
    after_first_reading: bool = False
    hazard_log: bool = False


_BOTH: tuple[ApproverRole, ...] = ("safety-officer", "pathway-lead")
_BANNER = "not for diagnostic use"

LADDER: tuple[StageName, ...] = (
    "offline",
    "shadow",
    "prioritisation",
    "triage",
    "second-reader",
    "primary-reader",
)
"""From the lowest rung to the highest; a model climbs one at a time."""

STAGES: Mapping[str, Stage] = MappingProxyType(
    {
        "offline": Stage(
            shows="nothing",
            to="nobody",
            never="reads a patient's study",
            needs=("offline-validation",),
            approvers=(),
        ),
        "shadow": Stage(
            shows="a marked result, apart from the study",
            to="those who examine the model",
            never="shows anything to those who treat the patient, or changes the order of the worklist",
            needs=("offline-validation",),
            approvers=_BOTH,
            either=True,
            banner=f"SHADOW: {_BANNER}",
            results="examiners",
        ),
        "prioritisation": Stage(
            shows="a marked result beside the study, and flagged studies further up",
            to="radiologists",
            never="moves a study below its order of arrival, or counts for a diagnosis",
            needs=("offline-validation", "shadow-use"),
            approvers=_BOTH,
            banner=f"PRIORITISATION: {_BANNER}",
            orders_worklist=True,
            results="ward",
            findings_shown=True,
            hazard_log=True,
        ),
        "triage": Stage(
            shows="flagged and unflagged studies on lists of their own",
            to="radiologists",
            never="leaves an unflagged study unread, or counts for a diagnosis",
            needs=("offline-validation", "local-validation", "shadow-use", "order-effect", "delay-of-unflagged"),
            approvers=_BOTH,
            banner=f"TRIAGE: {_BANNER}",
            orders_worklist=True,
            results="ward",
            findings_shown=True,
            hazard_log=True,
        ),
        "second-reader": Stage(
            shows="its result, once the first reading is written",
            to="radiologists",
            never="shows its result before the first reading, or overrules it",
            needs=("offline-validation", "local-validation", "shadow-use", "delay-of-unflagged", "reader-study"),
            approvers=_BOTH,
            orders_worklist=True,
            results="ward",
            findings_shown=True,
            after_first_reading=True,
            hazard_log=True,
        ),
        "primary-reader": Stage(
            shows="its result as the first reading, for a radiologist to confirm",
            to="radiologists",
            never="writes a report that nobody confirmed",
            needs=(
                "offline-validation",
                "local-validation",
                "shadow-use",
                "second-reads",
                "reader-study",
                "delay-of-unflagged",
            ),
            approvers=_BOTH,
            orders_worklist=True,
            results="ward",
            findings_shown=True,
            hazard_log=True,
        ),
        "suspended": Stage(
            shows="nothing",
            to="nobody",
            never="reads a study, until a person takes it into use again",
            needs=(),
            approvers=_BOTH,
            either=True,
        ),
        "withdrawn": Stage(
            shows="nothing",
            to="nobody",
            never="reads a study again",
            needs=(),
            approvers=_BOTH,
            either=True,
        ),
    }
)


def next_stage(name: str) -> StageName | None:
    """The rung above; None above the highest, and for a model that is out of use."""
    return next((above for below, above in pairwise(LADDER) if below == name), None)
