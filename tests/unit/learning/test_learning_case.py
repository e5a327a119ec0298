"""A scanner's grid to the network's and back, whatever the scanner."""

import numpy as np
import pytest

from wardround.learning.case import Case, CaseRefused, Preparation
from wardround.learning.metrics import dice

PREPARATION = Preparation()
SCANNERS = [
    {"shape": (20, 128, 128), "spacing": (4.0, 1.875, 1.875)},
    {"shape": (24, 512, 512), "spacing": (5.0, 0.47, 0.47)},
    {"shape": (9, 256, 192), "spacing": (7.0, 0.9, 1.2)},
    {"shape": (160, 64, 80), "spacing": (1.0, 4.0, 3.0)},
    {"shape": (1, 101, 97), "spacing": (6.0, 2.0, 2.1)},
    {"shape": (20, 200, 180), "spacing": (4.0, 1.3, 1.3), "shift": (20, -25)},
]


def back_and_forth(case):
    placement = PREPARATION.place(case.image, case.spacing)
    on_grid = placement.to_grid(case.label.astype(np.float32))
    assert on_grid.shape == (len(case.image), *PREPARATION.grid)
    return placement.from_grid(on_grid) >= 0.5


@pytest.mark.parametrize("scanner", SCANNERS, ids=lambda scanner: "x".join(map(str, scanner["shape"])))
def test_a_mask_comes_back_on_its_own_grid_in_its_own_place(ball_head, scanner):
    case = ball_head(3, **scanner)
    assert case.label.any()
    returned = back_and_forth(case)
    assert returned.shape == case.label.shape
    assert returned.dtype == np.bool_
    assert dice(returned, case.label) > 0.9


@pytest.mark.parametrize("scanner", SCANNERS, ids=lambda scanner: "x".join(map(str, scanner["shape"])))
def test_every_scanner_gives_the_network_a_head_of_one_size_in_the_middle(ball_head, scanner):
    case = ball_head(3, **scanner)
    placement = PREPARATION.place(case.image, case.spacing)
    head = PREPARATION.image(case.image, placement) > -0.5
    area = np.percentile(head.sum((1, 2)), 75)
    assert area == pytest.approx(PREPARATION.head_area, rel=0.08)
    widest = head[head.sum((1, 2)).argmax()]
    rows, columns = np.flatnonzero(widest.any(1)), np.flatnonzero(widest.any(0))
    assert len(rows) / len(columns) == pytest.approx(85 / 70, rel=0.1)
    assert rows.mean() == pytest.approx((PREPARATION.grid[0] - 1) / 2, abs=2)
    assert columns.mean() == pytest.approx((PREPARATION.grid[1] - 1) / 2, abs=2)


@pytest.mark.parametrize(
    ("dtype", "unit", "air"),
    [(np.uint8, 80, 0), (np.uint16, 20_000, 400), (np.int16, 300, -1000), (np.float64, 1e-3, 0)],
)
def test_units_bit_depth_and_offset_make_no_difference(ball_head, dtype, unit, air):
    plain, other = ball_head(5), ball_head(5, dtype=dtype, unit=unit, air=air)
    seen = [PREPARATION.image(case.image, PREPARATION.place(case.image, case.spacing)) for case in (plain, other)]
    assert np.abs(seen[0] - seen[1]).mean() < 0.02
    assert np.median(seen[1][seen[1] > -0.5]) == pytest.approx(0, abs=0.05)
    assert seen[1].min() >= -1


def test_a_wrong_scale_in_the_header_makes_no_difference(ball_head):
    case = ball_head(5)
    wrong = Case("wrong", case.image, case.label, (case.spacing[0], 1.0, 1.0))
    seen = [PREPARATION.image(it.image, PREPARATION.place(it.image, it.spacing)) for it in (case, wrong)]
    assert np.array_equal(seen[0], seen[1])


def test_the_neighbour_of_a_thin_slice_is_as_far_away_as_that_of_a_thick_one(ball_head):
    image = ball_head(5).image
    assert PREPARATION.place(image, (1.0, 4.0, 4.0)).neighbour == 4
    assert PREPARATION.place(image, (9.0, 4.0, 4.0)).neighbour == 1


def test_a_slice_goes_in_between_its_neighbours_and_the_end_repeats():
    image = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((5, 2, 2), np.float32)
    stacked = PREPARATION.stack(image, np.array([0, 2, 4]), 2)
    assert stacked[:, :, 0, 0].tolist() == [[0, 0, 2], [0, 2, 4], [2, 4, 4]]


def test_what_is_no_volume_is_refused_with_a_reason(ball_head):
    good = ball_head(1)

    def reason(image=good.image, label=good.label, spacing=good.spacing):
        with pytest.raises(CaseRefused) as refusal:
            PREPARATION.place(Case("secret-name", image, label, spacing).image, spacing)
        assert "secret-name" not in str(refusal.value)
        return refusal.value.reason

    assert reason(image=good.image[0]) == "not-a-volume"
    assert reason(image=good.image[:, :, :0]) == "not-a-volume"
    assert reason(label=good.label[1:]) == "shapes-differ"
    assert reason(label=good.label.astype(np.uint8)) == "wrong-type"
    assert reason(image=good.image.astype(complex)) == "wrong-type"
    assert reason(image=np.where(good.label, np.nan, good.image)) == "not-finite"
    assert reason(image=np.full_like(good.image, 7)) == "empty-image"
    assert reason(spacing=(1.0, 0.0, 1.0)) == "wrong-spacing"
    assert reason(spacing=(1.0, float("nan"), 1.0)) == "wrong-spacing"


def test_the_volume_of_a_tumour_is_in_millilitres():
    label = np.zeros((2, 10, 10), bool)
    label[1, :5] = True
    assert Case("a", np.zeros((2, 10, 10)), label, (5.0, 2.0, 2.0)).volume_ml == 1.0
    assert Case("a", np.zeros((2, 10, 10)), None, (5.0, 2.0, 2.0)).volume_ml == 0.0
