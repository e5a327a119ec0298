"""An update goes through the agreed steps in their one order, and what can't go through them doesn't leave."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as drawn

from wardround.contracts.approval_limits import Terms
from wardround.contracts.privacy import Privacy
from wardround.contracts.steps import CHOSEN, STEPS, in_order
from wardround.learning import release
from wardround.learning.aggregation import WeightedMean
from wardround.learning.arrays import Arrays, ArraysRefused, norm, total
from wardround.learning.release import IN_LEARNING, Released, Trained, released
from wardround.learning.wire import packed

KEY = bytes(range(32))
VALUES = drawn(np.float32, 12, elements=st.floats(-1e4, 1e4, width=32))


def model(values: object) -> Arrays:
    flat = np.asarray(values, dtype=np.float32)
    return {"bias": flat[:4], "weight": flat[4:].reshape(2, -1)}


def left(after: Arrays, before: Arrays, privacy: Privacy | None = None, key: bytes = KEY) -> Arrays:
    terms = Terms(until=date(2027, 1, 1), rounds=1, runs=1, leaves=(), privacy=privacy)
    return released(Trained(before, after, terms, key)).update


def flat(update: Arrays) -> np.ndarray:  # type: ignore[type-arg]
    return np.concatenate([update[name].astype(np.float64).ravel() for name in sorted(update)])


@given(st.sets(st.sampled_from(CHOSEN)))
def test_there_is_one_order_and_nobody_leaves_out_what_is_always_done(chosen: set[str]) -> None:
    asked = in_order(name for name in CHOSEN if name in chosen)
    assert list(asked) == [name for name in STEPS if name in asked]
    assert set(asked) == chosen | (set(STEPS) - set(CHOSEN))


def test_the_steps_that_are_done_are_those_of_the_terms_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def noting(name: str) -> object:
        step = IN_LEARNING[name]  # type: ignore[index]

        def note(values: Arrays, trained: Trained) -> Arrays:
            done.append(name)
            return step(values, trained)

        return note

    monkeypatch.setattr(release, "IN_LEARNING", {name: noting(name) for name in reversed(list(IN_LEARNING))})
    left(model(np.ones(12)), model(np.zeros(12)), Privacy(clip_norm=1.0, noise_multiplier=1.0))
    assert done == ["agreed-parameters", "delta", "clip", "noise"]
    assert done == [name for name in STEPS if name in done]


@given(VALUES, VALUES)
def test_what_leaves_is_the_change_and_the_hubs_mean_of_changes_is_the_mean_of_weights(
    one: object, other: object
) -> None:
    before = model(np.linspace(-3, 3, 12))
    mean = WeightedMean(before)
    for after, weight in ((model(one), 3.0), (model(other), 1.0)):
        mean.add(left(after, before), weight)
    expected = (3 * flat(model(one)) + flat(model(other))) / 4
    assert np.allclose(flat(total(before, mean.result())), expected, rtol=1e-5, atol=1e-3)


@given(VALUES, VALUES, st.floats(1e-6, 1e4))
def test_no_change_is_longer_than_was_agreed(before: object, after: object, bound: float) -> None:
    assert norm(left(model(after), model(before), Privacy(clip_norm=bound))) <= bound


def test_asking_again_averages_nothing_out() -> None:
    privacy = Privacy(clip_norm=1.0, noise_multiplier=1.0)
    first, again = (flat(left(model(np.arange(12)), model(np.zeros(12)), privacy)) for _ in range(2))
    assert np.array_equal(first, again)


def test_two_updates_of_one_round_cant_be_subtracted_to_be_rid_of_the_noise() -> None:
    """One patient more or less, the same weights to begin with: the noise is another."""
    rng = np.random.default_rng(0)
    before = {"w": np.zeros(10_000, dtype=np.float32)}
    one = {"w": (rng.standard_normal(10_000) * 1e-4).astype(np.float32)}
    other = {"w": one["w"].copy()}
    other["w"][0] += np.float32(1e-6)
    privacy = Privacy(clip_norm=1.0, noise_multiplier=1.0)
    difference = flat(left(one, before, privacy)) - flat(left(other, before, privacy))
    assert abs(difference.std() - np.sqrt(2)) < 0.05
    elsewhere = flat(left(one, before, privacy, bytes(32)))
    assert abs(np.corrcoef(elsewhere, flat(left(one, before, privacy)))[0, 1]) < 0.05


def test_only_agreed_parameters_leave() -> None:
    before = model(np.zeros(12))
    for after, reason in (
        ({**before, "patients.seen": before["bias"]}, "wrong-names"),
        ({"bias": before["bias"]}, "wrong-names"),
        ({**before, "bias": before["weight"]}, "wrong-shape"),
        ({**before, "bias": before["bias"].astype(np.float64)}, "wrong-type"),
        (model([np.nan, *range(11)]), "not-finite"),
    ):
        with pytest.raises(ArraysRefused) as refused:
            left(after, before)
        assert refused.value.reason == reason


def test_what_cant_be_made_private_doesnt_leave() -> None:
    before = model(np.zeros(12))
    with pytest.raises(ValueError, match="32 bytes"):
        left(before, before, Privacy(clip_norm=1.0, noise_multiplier=1.0), b"short")
    with pytest.raises(ArraysRefused) as refused:
        left({"w": np.full(4, 3e38, np.float32)}, {"w": np.full(4, -3e38, np.float32)})
    assert refused.value.reason == "not-finite"


def in_eight_bits(after: Arrays, before: Arrays, owed: Arrays, privacy: Privacy | None = None) -> Released:
    terms = Terms(until=date(2027, 1, 1), rounds=1, runs=1, leaves=(), privacy=privacy, quantise=True)
    return released(Trained(before, after, terms, KEY, owed))


@given(st.lists(VALUES, min_size=1, max_size=4))
def test_what_eight_bits_lose_of_an_update_is_added_to_the_next(rounds: list[object]) -> None:
    before, owed = model(np.zeros(12)), Arrays()
    meant, sent = np.zeros(12), np.zeros(12)
    for values in rounds:
        one = in_eight_bits(model(values), before, owed)
        owed = one.owed
        meant, sent = meant + flat(model(values)), sent + flat(one.update)
        assert packed(one.update, "8-bit")
    np.testing.assert_allclose(sent + flat(owed), meant, rtol=1e-5, atol=1e-2)


@given(VALUES)
def test_an_update_that_was_cut_is_no_longer_in_eight_bits_and_owes_nothing(values: object) -> None:
    privacy = Privacy(clip_norm=1.0)
    owed = model(np.full(12, 1000))
    one = in_eight_bits(model(values), model(np.zeros(12)), owed, privacy)
    assert norm(one.update) <= 1.0
    assert one.owed == {}
