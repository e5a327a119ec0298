"""Shares, masks and whole numbers: what secure aggregation is made of."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.learning.masking_lab import ABOUT

from wardround.contracts.masking import Advertised, Masking
from wardround.contracts.privacy import Privacy
from wardround.learning.masking.agreement import mask_seed, new_key, public_of, seal, unseal
from wardround.learning.masking.fixed_point import LARGEST, FixedPoint, bound_of, flattened
from wardround.learning.masking.generator import mask
from wardround.learning.masking.refusal import MaskingRefused
from wardround.learning.masking.shamir import PRIME, SHARE_BYTES, join, split
from wardround.learning.wire import shaped

SECRETS = st.binary(min_size=32, max_size=32)


@st.composite
def shared(draw: st.DrawFn) -> tuple[bytes, int, dict[int, bytes]]:
    places = draw(st.integers(1, 12))
    needed = draw(st.integers(1, places))
    secret = draw(SECRETS)
    return secret, needed, dict(enumerate(split(secret, needed=needed, places=places), 1))


@settings(max_examples=60, deadline=None)
@given(shared(), st.randoms())
def test_any_so_many_shares_give_the_secret(made: tuple[bytes, int, dict[int, bytes]], random: object) -> None:
    secret, needed, shares = made
    chosen = random.sample(sorted(shares), needed)  # type: ignore[attr-defined]  # hypothesis gives a Random
    assert join({place: shares[place] for place in chosen}, needed=needed) == secret


@settings(max_examples=40, deadline=None)
@given(shared(), SECRETS)
def test_one_share_fewer_tells_nothing(made: tuple[bytes, int, dict[int, bytes]], other: bytes) -> None:
    """Whatever secret somebody guesses, the shares at hand are shares of it too: one more can be found that says so."""
    _, needed, shares = made
    few = {place: int.from_bytes(shares[place], "big") for place in sorted(shares)[: needed - 1]}
    points = {0: int.from_bytes(other, "big"), **few}
    last = needed
    value = 0
    for x, y in points.items():
        term = y
        for z in points:
            if z != x:
                term = term * (last - z) * pow(x - z, -1, PRIME) % PRIME
        value += term
    forged = (value % PRIME).to_bytes(SHARE_BYTES, "big")
    told = {place: shares[place] for place in few} | {last: forged}
    assert join(told, needed=needed) == other
    with pytest.raises(MaskingRefused, match="shares"):
        join({place: shares[place] for place in few}, needed=needed)


def test_a_share_that_was_tampered_with_never_gives_the_secret_again() -> None:
    secret = bytes(range(32))
    shares = dict(enumerate(split(secret, needed=2, places=3), 1))
    shares[1] = bytes(33)
    try:
        assert join(shares, needed=2) != secret
    except MaskingRefused as refused:
        assert refused.reason == "shares-differ"
    with pytest.raises(MaskingRefused):
        join({1: b"\xff" * 33, 2: shares[2]}, needed=2)


def test_a_mask_is_the_key_stream_of_aes_and_comes_off_again() -> None:
    seed = bytes(range(32))
    values = np.arange(3_000_000, dtype=np.uint32)

    masked = values.copy()
    mask(masked, seed, 1)
    stream = Cipher(AES(seed), CTR(bytes(16))).encryptor().update(bytes(4 * values.size))
    assert np.array_equal(masked - values, np.frombuffer(stream, "<u4"))
    mask(masked, seed, -1)
    assert np.array_equal(masked, values)


def test_two_sites_find_the_same_seed_and_open_each_others_boxes() -> None:
    one, other, third = new_key(), new_key(), new_key()
    about = b"round 1"

    assert mask_seed(one, public_of(other), about) == mask_seed(other, public_of(one), about)
    assert mask_seed(one, public_of(other), about) != mask_seed(one, public_of(other), b"round 2")
    box = seal(one, public_of(other), b"one to other", about, b"secret")
    assert unseal(other, public_of(one), b"one to other", about, box) == b"secret"
    for key, way, round_ in (
        (third, b"one to other", about),
        (other, b"other to one", about),
        (other, b"one to other", b"round 2"),
    ):
        with pytest.raises(MaskingRefused, match="shares-unreadable"):
            unseal(key, public_of(one), way, round_, box)
    with pytest.raises(MaskingRefused, match="key-refused"):
        mask_seed(one, bytes(32), about)


def said(weight: float, bound: float) -> Advertised:
    return Advertised(about=ABOUT, site="alpha", sealing=bytes(32), masking=bytes(32), weight=weight, bound=bound)


SITES = st.lists(st.tuples(st.floats(0.5, 5e4), st.floats(1e-3, 1e3)), min_size=1, max_size=20)


@settings(max_examples=80, deadline=None)
@given(SITES, st.sampled_from([1.0, -1.0]))
def test_the_largest_sum_doesnt_wrap_round(sites: list[tuple[float, float]], side: float) -> None:
    try:
        coding = FixedPoint.of([said(weight, bound) for weight, bound in sites])
    except MaskingRefused as refused:
        assert refused.reason == "too-coarse"
        return
    summed = np.zeros(1, np.uint32)
    exact = 0
    for weight, bound in sites:
        told = coding.encode(np.array([side * bound]), weight, bound)
        summed += told
        exact += int(told.view(np.int32)[0])
    assert int(summed.view(np.int32)[0]) == exact
    assert abs(exact) <= LARGEST
    total = sum(weight for weight, _ in sites)
    mean = side * sum(weight * bound for weight, bound in sites) / total
    assert abs(coding.decode(summed, total)[0] - mean) <= coding.step * len(sites) / total + 1e-9 * abs(mean)


@pytest.mark.parametrize(
    ("value", "reason"),
    [(float("nan"), "not-finite"), (float("inf"), "not-finite"), (-float("inf"), "not-finite"), (1.01, "out-of-range")],
)
def test_what_isnt_a_sound_update_is_refused_before_it_is_masked(value: float, reason: str) -> None:
    coding = FixedPoint.of([said(1.0, 1.0)])
    with pytest.raises(MaskingRefused, match=reason):
        coding.encode(np.array([0.5, value], np.float32), 1.0, 1.0)


def test_one_site_cant_round_the_others_away() -> None:
    with pytest.raises(MaskingRefused, match="too-coarse"):
        FixedPoint.of([said(1.0, 1.0), said(1.0, 1e9)])
    with pytest.raises(MaskingRefused, match="too-few-sites"):
        FixedPoint.of([])


def test_the_bound_holds_for_what_is_cut_and_for_the_tail_of_its_noise() -> None:
    assert bound_of(Privacy(clip_norm=2.0)) == pytest.approx(2.0)
    assert bound_of(Privacy(clip_norm=2.0, noise_multiplier=1.0)) >= 2.0 + 2.0 * 8.57


def test_a_model_becomes_one_vector_and_a_model_again() -> None:
    model = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.float32([7]), "c": np.zeros((), np.float32)}
    vector = flattened(model)
    assert vector.tolist() == [7, 0, 1, 2, 3, 4, 5, 0]
    again = shaped(vector, model)
    assert {name: value.tolist() for name, value in again.items()} == {k: v.tolist() for k, v in model.items()}


@pytest.mark.parametrize(("threshold", "sites", "needed"), [(2, 3, 2), (2, 4, 3), (3, 3, 3), (3, 10, 6), (2, 2, 2)])
def test_more_than_half_have_to_end_a_round(threshold: int, sites: int, needed: int) -> None:
    assert Masking(threshold=threshold).needed(sites) == needed
