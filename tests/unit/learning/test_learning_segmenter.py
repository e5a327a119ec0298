"""Training, judging and applying: what a node and the clinic rely on."""

from dataclasses import replace

import numpy as np
import pytest

from wardround.learning.arrays import ArraysRefused, digest
from wardround.learning.bundle import packaged, read_bundle
from wardround.learning.case import Case, CaseRefused
from wardround.learning.learner import Stopped, site_seed
from wardround.learning.segmenter import Segmenter


@pytest.fixture(scope="module")
def segmenter():
    bundle = read_bundle(packaged())
    quick = replace(bundle.setting("phantoms"), batch_size=6, learning_rate=1e-2)
    small = {**bundle.network, "init_filters": 8}
    return Segmenter(replace(bundle, network=small, settings={"default": quick}))


@pytest.fixture(scope="module")
def cases(ball_head):
    return [ball_head(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def trained(segmenter, cases):
    return segmenter.train(segmenter.initial(0), cases, steps=60, round_number=1, total_rounds=1, seed=5)


def short(segmenter, cases, **changes):
    arguments = {"steps": 2, "round_number": 1, "total_rounds": 2, "seed": 5, **changes}
    return segmenter.train(segmenter.initial(0), cases, **arguments)


def test_it_learns_to_find_what_it_was_shown_on_a_head_and_a_scanner_that_it_was_not(segmenter, trained, ball_head):
    unseen = [
        ball_head(50, shape=(12, 200, 170), spacing=(4.0, 1.3, 1.3), dtype=np.uint16, unit=9000, air=50),
        ball_head(51, shape=(8, 48, 96), spacing=(6.0, 5.0, 2.5), dtype=np.uint8, unit=120),
    ]
    before = segmenter.evaluate(segmenter.initial(0), unseen)
    after = segmenter.evaluate(trained.arrays, unseen)
    assert min(after.values()) > (0.7,) > max(before.values())
    found = segmenter.predict(trained.arrays, unseen[0])
    assert found.shape == unseen[0].image.shape
    assert found.dtype == np.bool_


def test_the_same_arguments_give_the_same_weights_and_other_seeds_and_rounds_do_not(segmenter, cases):
    first = digest(short(segmenter, cases).arrays)
    fresh = Segmenter(segmenter.bundle)
    assert digest(short(fresh, cases).arrays) == first
    assert digest(short(segmenter, cases, seed=6).arrays) != first
    assert digest(short(segmenter, cases, round_number=2).arrays) != first
    assert digest(segmenter.initial(0)) == digest(fresh.initial(0)) != digest(segmenter.initial(1))


def test_the_optimisers_moments_go_on_from_the_round_before_and_from_no_other(segmenter, cases):
    def rounds(own: Segmenter, *numbers: int, seeds: tuple[int, ...] = (5, 5)) -> str:
        trained = None
        for number, seed in zip(numbers, seeds, strict=True):
            trained = short(own, cases, round_number=number, seed=seed, total_rounds=3)
        return digest(trained.arrays)

    def alone(number: int) -> str:
        return digest(short(Segmenter(segmenter.bundle), cases, round_number=number, total_rounds=3).arrays)

    followed = rounds(Segmenter(segmenter.bundle), 1, 2)
    assert followed != alone(2), "round 2 goes on from the moments of round 1"
    assert followed == rounds(Segmenter(segmenter.bundle), 1, 2), "the same calls give the same weights"
    assert rounds(Segmenter(segmenter.bundle), 1, 3) == alone(3), "a round was missed: fresh moments"
    assert rounds(Segmenter(segmenter.bundle), 1, 2, seeds=(6, 5)) == alone(2), "another run: fresh moments"


def test_neither_weights_handed_in_nor_the_global_random_state_is_changed(segmenter, cases):
    import torch

    start = segmenter.initial(0)
    before, state = digest(start), torch.get_rng_state()
    segmenter.train(start, cases, steps=1, round_number=1, total_rounds=1, seed=5)
    assert digest(start) == before
    assert torch.equal(torch.get_rng_state(), state)


def test_progress_is_told_after_each_step_and_it_stops_between_steps(segmenter, cases):
    told = []
    with pytest.raises(Stopped):
        short(segmenter, cases, steps=9, progress=lambda *now: told.append(now), stop=lambda: len(told) == 2)
    assert [(done, asked) for done, asked, _ in told] == [(1, 9), (2, 9)]
    assert all(np.isfinite(loss) for *_, loss in told)


def test_cases_without_label_are_neither_trained_on_nor_judged(segmenter, cases, trained):
    plain = Case("plain", cases[0].image, None, cases[0].spacing)
    assert segmenter.evaluate(trained.arrays, [plain, cases[1]]).keys() == {cases[1].name}
    with pytest.raises(CaseRefused) as refusal:
        short(segmenter, [plain])
    assert refusal.value.reason == "no-labels"


def test_a_case_without_tumour_can_be_trained_on(segmenter, ball_head):
    head = ball_head(1)
    healthy = Case("healthy", head.image, np.zeros_like(head.label), head.spacing)
    assert np.isfinite(short(segmenter, [healthy]).loss)


@pytest.mark.parametrize("reason", ["wrong-names", "wrong-shape", "not-finite"])
def test_weights_of_another_model_are_refused(segmenter, cases, reason):
    arrays = segmenter.initial(0)
    name = next(iter(arrays))
    if reason == "wrong-names":
        arrays["other"] = arrays.pop(name)
    elif reason == "wrong-shape":
        arrays[name] = arrays[name][..., None]
    else:
        arrays[name] = np.full_like(arrays[name], np.nan)
    with pytest.raises(ArraysRefused) as refusal:
        segmenter.predict(arrays, cases[0])
    assert refusal.value.reason == reason


def test_a_round_that_makes_no_sense_is_refused(segmenter, cases):
    for changes in ({"steps": 0}, {"round_number": 0}, {"round_number": 3}):
        with pytest.raises(ValueError, match="make no sense"):
            short(segmenter, cases, **changes)


def test_sites_draw_differently_from_one_seed():
    assert len({site_seed(1, site) for site in ("a", "b", "c")}) == 3
    assert site_seed(1, "a") == site_seed(1, "a") != site_seed(2, "a")
    assert 0 <= site_seed(1, "a") < 2**62
