"""Policies, projects and limits as hypothesis makes them, and restrictions to add to a policy."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, get_args

from hypothesis import strategies as st
from tests.unit.hub.runs.run_lab import project

from wardround.contracts.approval_limits import ApprovalLimits, MessageLimit
from wardround.contracts.data_use import FORMS, PERMISSIONS, DataUse, DuoCode
from wardround.contracts.lawful_basis import Article6, Article9, LawfulBasis
from wardround.contracts.patient_privacy import PatientPrivacy
from wardround.contracts.privacy import Privacy
from wardround.contracts.project import Leaving, LeavingKind, Project
from wardround.contracts.steps import CHOSEN
from wardround.node.policy.kinds import LIMITABLE
from wardround.node.policy.rules import Policy

TODAY = date(2026, 11, 23)
BASE = project()
LEAVING_KINDS: tuple[LeavingKind, ...] = get_args(LeavingKind)
BARE = [code for code in get_args(DuoCode) if code not in FORMS]
PERMITTED = sorted(PERMISSIONS & set(BARE))


@st.composite
def projects(draw: st.DrawFn) -> Project:
    privacy = draw(st.none() | st.builds(Privacy, clip_norm=st.floats(0.01, 100), noise_multiplier=st.floats(0, 10)))
    patients = draw(
        st.none()
        | st.builds(
            PatientPrivacy,
            epsilon=st.floats(0.01, 100),
            delta=st.floats(1e-9, 1e-2),
            noise_multiplier=st.floats(0.1, 10),
            sample_rate=st.floats(0.01, 1),
        )
    )
    alone = privacy is None and patients is None and draw(st.booleans())
    plan = BASE.plan.model_copy(
        update={
            "rounds": draw(st.integers(1, 1000)),
            "local_steps": draw(st.none() | st.integers(1, 100_000)),
            "privacy": privacy,
            "patient_privacy": patients,
            "compare_alone": alone,
            "package": draw(st.sampled_from(["brain-mri-glioma", "chest-ct"])),
            "package_digest": draw(st.sampled_from(["a" * 64, "b" * 64])),
        }
    )
    kinds = [kind for kind in LEAVING_KINDS if alone or kind != "local-model"]
    leaves = tuple(
        Leaving(kind=kind, largest_bytes=draw(st.integers(1, 10**9)), times=draw(st.integers(1, 100))) for kind in kinds
    )
    codes = [draw(st.sampled_from(PERMITTED)), *draw(st.sets(st.sampled_from(BARE), max_size=3))]
    uses = tuple(DataUse(code=code) for n, code in enumerate(codes) if n == 0 or code not in PERMISSIONS)
    return BASE.model_copy(
        update={
            "plan": plan,
            "runs": draw(st.integers(1, 100)),
            "leaves": leaves,
            "data_use": uses,
            "lawful_basis": LawfulBasis(
                article_6=draw(st.sampled_from(get_args(Article6))), article_9=draw(st.sampled_from(get_args(Article9)))
            ),
            "ends": TODAY + timedelta(days=draw(st.integers(0, 4000))),
        }
    )


def limits() -> st.SearchStrategy[ApprovalLimits]:
    return st.builds(
        ApprovalLimits,
        until=st.none() | st.dates(TODAY, TODAY + timedelta(days=4000)),
        rounds=st.none() | st.integers(1, 1000),
        runs=st.none() | st.integers(1, 100),
        messages=st.lists(
            st.builds(
                MessageLimit,
                kind=st.sampled_from(LEAVING_KINDS),
                largest_bytes=st.none() | st.integers(1, 10**9),
                times=st.none() | st.integers(0, 100),
            ),
            unique_by=lambda limit: limit.kind,
            max_size=3,
        ).map(tuple),
        no_local_model=st.booleans(),
        clip_norm=st.none() | st.floats(0.01, 100),
        noise_multiplier=st.none() | st.floats(0.01, 10),
        epsilon=st.none() | st.floats(0.01, 100),
        delta=st.none() | st.floats(1e-9, 1e-2),
    )


def _subset(of: Any) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(sorted(of)), unique=True)


_HOURS = st.sampled_from(["", "20:00-06:00", "08:00-12:00,13:00-17:00"])
_BOUNDS: dict[tuple[str, ...], st.SearchStrategy[Any]] = {
    ("leaving", "messages_per_hour"): st.integers(0, 10_000),
    ("leaving", "bytes_per_day"): st.integers(0, 10**12),
    ("projects", "longest_days"): st.integers(0, 5000),
    ("projects", "most_runs"): st.integers(0, 200),
    ("projects", "most_rounds"): st.integers(0, 2000),
    ("projects", "most_local_steps"): st.integers(0, 200_000),
    ("privacy", "largest_clip_norm"): st.floats(0.01, 100),
    ("privacy", "largest_epsilon"): st.floats(0.01, 100),
    ("privacy", "largest_delta"): st.floats(1e-9, 1e-2),
    ("work", "most_runs_at_once"): st.integers(0, 10),
    **{("leaving", "kind", kind, "largest_bytes"): st.integers(0, 10**9) for kind in LEAVING_KINDS},
}
"""Numbers of which less is tighter."""
_FLOORS: dict[tuple[str, ...], st.SearchStrategy[Any]] = {
    ("cohort", "smallest_trained_on"): st.integers(2, 1000),
    ("cohort", "smallest_told"): st.integers(10, 1000),
    ("privacy", "least_noise"): st.floats(0.01, 10),
}
"""Numbers of which more is tighter."""
_LISTS: dict[tuple[str, ...], Any] = {
    ("leaving", "kinds"): LIMITABLE,
    ("projects", "packages"): ["brain-mri-glioma", "chest-ct"],
    ("projects", "package_digests"): ["a" * 64, "b" * 64],
    ("projects", "algorithms"): ["fedavg"],
    ("projects", "article_6"): get_args(Article6),
    ("projects", "article_9"): get_args(Article9),
    ("projects", "data_uses"): get_args(DuoCode),
}
"""Lists of what is allowed; absent allows any."""
_DEMANDS: dict[tuple[str, ...], Any] = {("privacy", "steps"): CHOSEN}
"""Lists of what has to be; absent asks for nothing."""


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """What a policy.toml may say."""
    document: dict[str, Any] = {}
    for key, values in {**_BOUNDS, **_FLOORS}.items():
        if draw(st.integers(0, 3)) == 0:
            put(document, key, draw(values))
    for key, known in _LISTS.items():
        if draw(st.integers(0, 3)) == 0:
            put(document, key, draw(_subset(known)))
    for key, known in _DEMANDS.items():
        if draw(st.integers(0, 3)) == 0:
            put(document, key, draw(_subset(known)))
    put(document, ("projects", "compare_alone"), draw(st.booleans()))
    put(document, ("work", "hours"), draw(_HOURS))
    return document


@st.composite
def restrictions(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """The same document with one restriction more."""
    key = draw(st.sampled_from([*_BOUNDS, *_FLOORS, *_LISTS, *_DEMANDS, ("projects", "compare_alone")]))
    now = policy_of(document).document()
    for part in key:
        now = now.get(part) if isinstance(now, dict) else None  # type: ignore[assignment]
    if key in _LISTS:
        kept = list(_LISTS[key] if now is None else now)
        value: Any = draw(_subset(kept)) if kept else []
    elif key in _DEMANDS:
        value = sorted({*(now or ()), *draw(_subset(_DEMANDS[key]))})
    elif key in _BOUNDS:
        value = draw(_BOUNDS[key])
        value = value if now is None else min(value, now)
    elif key in _FLOORS:
        value = draw(_FLOORS[key])
        value = value if now is None else max(value, now)
    else:
        value = False
    tighter: dict[str, Any] = _copy(document)
    put(tighter, key, value)
    return tighter


def put(document: dict[str, Any], key: tuple[str, ...], value: Any) -> None:
    *tables, last = key
    for table in tables:
        document = document.setdefault(table, {})
    document[last] = value


def policy_of(document: dict[str, Any]) -> Policy:
    return Policy.model_validate(document)


def _copy(document: dict[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, dict) else value for key, value in document.items()}
