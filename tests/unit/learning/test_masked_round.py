"""A masked round: the sum comes out, no single update does, and a hub that lies gets nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.learning.masking_lab import ABOUT, LEDGER_KEYS, MaskedLab, lab

from wardround.contracts.masking import Revealed, Roster, SharesForSite, SignedKeys, Survivors
from wardround.learning.masking.agreement import new_key, public_of
from wardround.learning.masking.refusal import MaskingRefused
from wardround.learning.masking.roster import signed_keys


def reason(step: Callable[[], object]) -> str:
    with pytest.raises(MaskingRefused) as refused:
        step()
    return refused.value.reason


@settings(max_examples=25, deadline=None)
@given(
    sites=st.integers(2, 5),
    size=st.integers(1, 30),
    seed=st.integers(0, 2**32 - 1),
    weights=st.lists(st.floats(0.5, 2000), min_size=5, max_size=5),
    scale=st.floats(1e-6, 10),
)
def test_the_sum_is_the_plain_weighted_mean(
    sites: int, size: int, seed: int, weights: list[float], scale: float
) -> None:
    made = lab(sites, seed=seed, size=size)
    told = dict(zip(made.values, weights, strict=False))
    values = {name: np.clip(value * scale, -10, 10).astype(np.float32) for name, value in made.values.items()}
    again = MaskedLab(values, told)

    found = again.result()

    step = again.hub._circle.coding.step
    allowed = step * sites / 2 / sum(told.values()) + 1e-12
    assert np.abs(found - again.mean(list(values))).max() <= allowed


@pytest.mark.parametrize(
    ("silence", "counted"),
    [
        ({}, "alpha beta delta gamma"),
        ({"gone": ("delta",)}, "alpha beta gamma"),
        ({"silent": ("delta",)}, "alpha beta gamma"),
        ({"unconfirmed": ("delta",)}, "alpha beta delta gamma"),
        ({"unrevealed": ("alpha",)}, "alpha beta delta gamma"),
    ],
    ids=["nobody", "before its shares", "before its input", "after its input", "before it reveals"],
)
def test_a_hospital_may_fall_silent_at_any_step(silence: dict[str, tuple[str, ...]], counted: str) -> None:
    round_ = lab(4)
    found = round_.result(**silence)
    np.testing.assert_allclose(found, round_.mean(counted.split()), atol=round_.rounding)


def test_with_five_two_may_fall_silent_and_the_sum_is_of_the_rest() -> None:
    round_ = lab(5)
    found = round_.result(silent=("alpha",), unconfirmed=("omega",))
    np.testing.assert_allclose(found, round_.mean(["beta", "delta", "gamma", "omega"]), atol=round_.rounding)


@pytest.mark.parametrize(
    "silence",
    [
        {"gone": ("alpha", "beta")},
        {"silent": ("alpha", "beta")},
        {"gone": ("alpha",), "silent": ("beta",)},
        {"unconfirmed": ("alpha", "beta")},
        {"silent": ("alpha",), "unconfirmed": ("beta",)},
        {"silent": ("alpha",), "unrevealed": ("beta",)},
        {"unrevealed": ("alpha", "beta")},
    ],
)
def test_below_the_threshold_nothing_comes_out(silence: dict[str, tuple[str, ...]]) -> None:
    assert reason(lambda: lab(4).result(**silence)) == "too-few-sites"


def test_what_the_hub_received_holds_no_update_in_any_form() -> None:
    """Two rounds with the very same updates: what came is as different as chance, and fits any update as well."""
    size = 4000
    one, two = lab(3, size=size), lab(3, size=size)
    one.result()
    two.result()
    for name in one.values:
        plain = one.hub._circle.coding.encode(one.values[name], one.weights[name], one.bound)
        first, second = (np.frombuffer(each.received["input", name], "<u4") for each in (one, two))
        for words in (first, second, first - plain, first - second):
            bits = np.unpackbits(words.view(np.uint8)).mean()
            assert abs(bits - 0.5) < 0.02, "as good as random"
        assert not np.intersect1d(first, plain).size > 2
        assert abs(np.corrcoef(first.view(np.int32), plain.view(np.int32))[0, 1]) < 0.08
    for (_, name), message in one.received.items():
        assert one.values[name].tobytes()[:16] not in message


def test_the_sum_of_any_fewer_stays_masked() -> None:
    """The hub adds up what it has of any group but all of them: the pairwise masks of the others stay."""
    round_ = lab(4, size=4000)
    round_.result()
    words = {name: np.frombuffer(round_.received["input", name], "<u4") for name in round_.values}
    for count in (1, 2, 3):
        for names in combinations(words, count):
            summed = np.zeros(4000, np.uint32)
            for name in names:
                summed += words[name]
            assert abs(np.unpackbits(summed.view(np.uint8)).mean() - 0.5) < 0.02


def test_of_each_hospital_one_kind_of_share_is_revealed_and_never_the_other() -> None:
    round_ = lab(4)
    round_.result(silent=("delta",))
    for (step, _), message in round_.received.items():
        if step == "reveal":
            kinds = {(one.of, one.kind) for one in Revealed.model_validate_json(message).shares}
            assert kinds == {
                ("alpha", "self-mask"), ("beta", "self-mask"), ("delta", "key"), ("gamma", "self-mask")
            }  # fmt: skip


def test_a_hub_that_asks_twice_gets_no_second_share() -> None:
    round_ = lab(4)
    confirmations = round_.up_to_confirmations()
    site = round_.sites["alpha"]
    secrets = (site._sealing, site._masking, site._self_mask, *(held.key for held in site._held.values()))
    site.reveal(confirmations)
    assert not any(repr(secret) in repr(vars(site)) for secret in secrets), "it has none any more"
    assert reason(lambda: site.reveal(confirmations)) == "out-of-turn"
    assert reason(lambda: site.confirm(Survivors(sites=("alpha", "beta", "gamma")).canonical())) == "out-of-turn"


def test_a_hub_that_tells_two_stories_of_who_survived_gets_no_share() -> None:
    """The paper's reason for its round 3: some are told that delta dropped out, the others that it survived, so that
    the hub would have both kinds of share of it."""
    round_ = lab(5)
    round_.up_to_survivors()
    with_delta = Survivors(sites=("alpha", "beta", "delta", "gamma", "omega")).canonical()
    without = Survivors(sites=("alpha", "beta", "gamma", "omega")).canonical()
    signed = {name: round_.sites[name].confirm(with_delta) for name in ("alpha", "beta", "delta")}
    signed |= {name: round_.sites[name].confirm(without) for name in ("gamma", "omega")}
    told = b'{"sites":[' + b",".join(signed[name] for name in sorted(signed)) + b"]}"
    for name in signed:
        assert reason(partial(round_.sites[name].reveal, told)) in {"bad-signature", "not-in-roster"}


@pytest.mark.parametrize("half", [("alpha", "beta"), ("delta", "gamma")])
def test_two_halves_can_never_both_be_enough(half: tuple[str, ...]) -> None:
    """Told of two of four survivors, a site gives no share: the other two could have been told of themselves."""
    round_ = lab(4)
    round_.up_to_survivors()
    for name in half:
        site = round_.sites[name]
        assert reason(partial(site.confirm, Survivors(sites=half).canonical())) == "too-few-sites"


def forged(round_: MaskedLab, whose: str, **changes: Any) -> SignedKeys:
    """Keys in a site's name that the hub would like the others to believe in; it lacks the site's ledger key."""
    told = round_.hub._keys[whose]
    said = told.said.model_copy(update=changes)
    signature = LEDGER_KEYS["omega"].sign(signed_keys(said))
    return SignedKeys(said=said, signature=signature)


@pytest.mark.parametrize("field", ["sealing", "masking"])
def test_a_hub_cant_sit_between_two_hospitals(field: str) -> None:
    round_ = lab(4)
    honest = Roster.model_validate_json(round_.up_to_roster())
    mine = forged(round_, "beta", **{field: public_of(new_key())})
    lying = Roster(sites=tuple(mine if one.said.site == "beta" else one for one in honest.sites))
    assert reason(lambda: round_.sites["alpha"].share(lying.canonical())) == "bad-signature"


def test_a_hospital_that_isnt_on_the_ledger_isnt_counted_with() -> None:
    round_ = lab(3)
    honest = Roster.model_validate_json(round_.up_to_roster())
    keys = {"sealing": public_of(new_key()), "masking": public_of(new_key())}
    stranger = forged(round_, "alpha", site="zeta", **keys)
    assert (
        reason(lambda: round_.sites["alpha"].share(Roster(sites=(*honest.sites, stranger)).canonical()))
        == "bad-signature"
    )


@pytest.mark.parametrize(
    "change",
    [{"model": "c" * 64}, {"leg": "glioma-1.2"}, {"round": 2}, {"run": "other-1"}, {"project": "c" * 64},
     {"threshold": 3}, {"ledger": "wardround/other"}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_hospitals_that_were_told_of_different_rounds_dont_meet(change: dict[str, Any]) -> None:
    """Another model for one hospital than for the others, or keys of an earlier round, come to nothing."""
    round_ = lab(3)
    other = round_.site("beta", ABOUT.model_copy(update=change))
    told = SignedKeys.model_validate_json(other.advertise())
    assert reason(lambda: round_.hub.advertised("beta", told.canonical())) == "masking-differs"
    honest = Roster.model_validate_json(round_.up_to_roster())
    mixed = Roster(sites=tuple(told if one.said.site == "beta" else one for one in honest.sites))
    assert reason(lambda: round_.sites["alpha"].share(mixed.canonical())) == "masking-differs"


def test_hospitals_that_were_shown_different_rosters_dont_open_each_others_boxes() -> None:
    round_ = lab(4)
    whole = Roster.model_validate_json(round_.up_to_roster())
    fewer = Roster(sites=whole.sites[:3])
    made = {name: round_.sites[name].share(fewer.canonical()) for name in ("alpha", "beta")}
    round_.sites["delta"].share(whole.canonical())
    boxes = [box for name in made for box in json.loads(made[name])["boxes"] if box["to"] == "delta"]
    told = SharesForSite.model_validate_json(json.dumps({"boxes": boxes}))
    assert reason(lambda: round_.sites["delta"].input(told.canonical(), round_.values["delta"])) == "shares-unreadable"


@pytest.mark.parametrize(
    ("chosen", "why"),
    [
        ([0, 1, 2, 3, 3], "roster-twice"),
        ([3, 2, 1, 0], "roster-twice"),
        ([1, 2, 3], "not-in-roster"),
        ([0], "too-few-sites"),
        ([], "too-few-sites"),
    ],
)
def test_a_roster_with_a_site_twice_or_without_oneself_or_too_short_is_refused(chosen: list[int], why: str) -> None:
    round_ = lab(4)
    sites = Roster.model_validate_json(round_.up_to_roster()).sites
    told = Roster(sites=tuple(sites[place] for place in chosen))
    assert reason(lambda: round_.sites["alpha"].share(told.canonical())) == why


def test_steps_are_done_in_order_and_a_refusal_is_the_end() -> None:
    round_ = lab(3)
    roster = round_.up_to_roster()
    site = round_.sites["alpha"]
    assert reason(lambda: site.reveal(b"{}")) == "out-of-turn"
    assert reason(lambda: site.share(roster)) == "out-of-turn", "its keys are forgotten"

    again = lab(3)
    again.up_to_shares()
    poisoned = np.full(40, np.nan, np.float32)
    assert reason(lambda: again.sites["beta"].input(again.hub.shares_for("beta"), poisoned)) == "not-finite"
    assert reason(lambda: again.sites["beta"].input(again.hub.shares_for("beta"), again.values["beta"])) == (
        "out-of-turn"
    )


def test_what_one_hospital_tells_wrong_is_refused_alone() -> None:
    round_ = lab(4)
    roster = round_.up_to_roster()
    assert reason(lambda: round_.hub.advertised("alpha", round_.received["advertise", "beta"])) == "masking-differs"
    assert reason(lambda: round_.hub.advertised("alpha", b"{")) == "masking-unreadable"
    weak = round_.hub._keys["alpha"].said.model_copy(update={"masking": bytes(32)})
    signed = SignedKeys(said=weak, signature=LEDGER_KEYS["alpha"].sign(signed_keys(weak)))
    assert reason(lambda: round_.hub.advertised("alpha", signed.canonical())) == "key-refused"
    shares = {name: site.share(roster) for name, site in round_.sites.items()}
    assert reason(lambda: round_.hub.shared("alpha", shares["beta"])) == "not-in-roster"
    few = json.loads(shares["alpha"])
    few["boxes"].pop()
    assert reason(lambda: round_.hub.shared("alpha", json.dumps(few).encode())) == "shares-missing"
    for name, message in shares.items():
        round_.hub.shared(name, message)
    round_.hub.close_shares()
    assert reason(lambda: round_.hub.masked("alpha", bytes(4 * 39))) == "wrong-size"
    assert reason(lambda: round_.hub.masked("omega", bytes(4 * 40))) == "not-in-roster"


def test_shares_that_were_tampered_with_give_no_model() -> None:
    round_ = lab(4)
    confirmations = round_.up_to_confirmations(silent=("delta",))
    for name in ("alpha", "beta", "gamma"):
        told = json.loads(round_.sites[name].reveal(confirmations))
        if name == "beta":
            told["shares"][0]["share"] = told["shares"][1]["share"]
        round_.hub.revealed(name, json.dumps(told).encode())
    assert reason(round_.hub.unmask) == "shares-differ"
    assert reason(round_.hub.result) == "out-of-turn"


def test_a_share_of_the_other_kind_isnt_taken() -> None:
    round_ = lab(4)
    confirmations = round_.up_to_confirmations(silent=("delta",))
    told = json.loads(round_.sites["alpha"].reveal(confirmations))
    told["shares"][0]["kind"] = "key"
    assert reason(lambda: round_.hub.revealed("alpha", json.dumps(told).encode())) == "shares-missing"
