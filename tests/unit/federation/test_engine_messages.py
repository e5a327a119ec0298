"""Messages between the engine's processes survive the way, and nothing malformed gets in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.federation.engine import LegStart, LegState, LegStatus, Refusal, RoundResult, RoundUpdate, SiteRound
from wardround.federation.messages import MessageInvalid, pack, unpack

names = st.text(min_size=1, max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
sites = st.builds(
    SiteRound,
    site=names,
    weight=numbers,
    metrics=st.dictionaries(names, numbers, max_size=3),
    ledger_index=st.none() | st.integers(0, 2**53),
    steps=st.integers(0, 10**6),
    digest=names,
    bytes_up=st.integers(0, 2**40),
    bytes_down=st.integers(0, 2**40),
    seconds=numbers,
)
results = st.builds(
    RoundResult,
    run_id=names,
    leg_id=names,
    round=st.integers(1, 1000),
    sites=st.lists(sites, max_size=3).map(tuple),
    missing=st.dictionaries(names, names, max_size=3),
    refused=st.lists(st.builds(Refusal, names, st.integers(1, 9), names), max_size=2).map(tuple),
    seconds=numbers,
    arrays=st.binary(max_size=50),
)


@given(results)
def test_a_round_comes_back_as_it_went(result: RoundResult) -> None:
    meta, payload = pack(result)

    assert unpack(RoundResult, json.loads(json.dumps(meta)), payload) == result


def test_states_and_choices_come_back_as_themselves() -> None:
    status = LegStatus("leg", LegState.FAILED, "why", 3, {"alpha": "gone"})

    assert unpack(LegStatus, *pack(status)) == status
    assert unpack(LegStatus, pack(status)[0]).state is LegState.FAILED


GOOD: dict[str, Any] = {"weight": 1.0, "metrics": {"dice": 0.5}, "steps": 3, "ledger_index": None}


@pytest.mark.parametrize(
    "change",
    [
        {"weight": float("nan")},
        {"weight": float("inf")},
        {"weight": "1"},
        {"weight": True},
        {"steps": 1.5},
        {"steps": None},
        {"metrics": []},
        {"metrics": {"dice": "good"}},
        {"metrics": {"dice": float("nan")}},
        {"ledger_index": "7"},
        {"surplus": 1},
    ],
)
def test_an_update_of_the_wrong_form_is_refused(change: dict[str, Any]) -> None:
    unpack(RoundUpdate, GOOD)

    with pytest.raises(MessageInvalid):
        unpack(RoundUpdate, {**GOOD, **change})


@pytest.mark.parametrize("name", sorted(GOOD))
def test_an_update_with_a_part_missing_is_refused(name: str) -> None:
    with pytest.raises(MessageInvalid, match=name):
        unpack(RoundUpdate, {key: value for key, value in GOOD.items() if key != name})


def test_a_leg_of_another_kind_of_update_is_refused() -> None:
    start = LegStart("run", "leg", 1, 2, ("alpha",), 1, 1.0, {}, b"")
    meta, _ = pack(start)

    with pytest.raises(MessageInvalid, match="update_kind"):
        unpack(LegStart, {**meta, "update_kind": "pickle"})


@given(st.recursive(st.none() | st.booleans() | numbers | names, lambda x: st.lists(x) | st.dictionaries(names, x)))
def test_nothing_else_raises_anything_else(value: Any) -> None:
    with pytest.raises(MessageInvalid):
        unpack(RoundUpdate, value)
