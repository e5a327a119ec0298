"""What evidence is reckoned with, held against published figures and against independent libraries.

Figures marked so were computed once with scipy 1.17.1, scikit-learn 1.9.1, statsmodels 0.15.0 and MLstatkit 0.1.91.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.learning.statistics import distribution
from wardround.learning.statistics.agreement import Weights, concordance, kappa
from wardround.learning.statistics.calibration import calibration
from wardround.learning.statistics.diagnosis import Diagnosis, precision_at
from wardround.learning.statistics.pooling import Estimate, pool, pool_shares
from wardround.learning.statistics.power import cases_above, cases_for_width, of_all
from wardround.learning.statistics.readers import Covariances, analyse, reader_study
from wardround.learning.statistics.resampling import resampled
from wardround.learning.statistics.roc import area, areas, compare
from wardround.learning.statistics.share import exact

CASES = np.arange(60)
POSITIVE = CASES % 3 == 0
ONE = ((CASES * 37) % 61) / 61 + 0.35 * POSITIVE
TWO = np.round(((CASES * 53) % 47) / 47 + 0.25 * POSITIVE, 1)


def test_distributions_are_those_of_scipy() -> None:
    assert distribution.f_above(4.456, 1, 15.26) == pytest.approx(0.051672694513542825, rel=1e-10)
    assert distribution.t_quantile(0.95, 15.26) == pytest.approx(2.1282909146280673, rel=1e-9)
    assert distribution.t_quantile(0.95, 3) == pytest.approx(3.1824463052837078, rel=1e-9)
    assert distribution.t_beyond(2.1, 7) == pytest.approx(0.07387119621292265, rel=1e-10)
    assert distribution.chi_squared_above(11.07, 5) == pytest.approx(0.050009618622405425, rel=1e-10)
    assert distribution.chi_squared_above(0.5, 3) == pytest.approx(0.9188914116546758, rel=1e-10)
    assert distribution.beta_below(0.3, 2.5, 40) == pytest.approx(0.9999773231172939, rel=1e-12)
    assert distribution.chi_squared_above(0, 3) == distribution.f_above(0, 1, 3) == 1


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17, 1998, Table I, method 5.
        (81, 263, 0.2527, 0.3676),
        (15, 148, 0.0578, 0.1617),
        (0, 20, 0.0, 0.1684),
        (1, 29, 0.0009, 0.1776),
        (20, 20, 0.8316, 1.0),  # scipy
    ],
)
def test_the_exact_interval_is_as_published(part: int, whole: int, low: float, high: float) -> None:
    found = exact(part, whole)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_no_share_is_refused() -> None:
    for part, whole in ((-1, 3), (4, 3), (0, 0)):
        with pytest.raises(ValueError):
            exact(part, whole)


def test_a_threshold_says_yes_from_itself_on() -> None:
    found = Diagnosis.of([0.5, 0.4, 0.5, 0.1], [True, True, False, False], 0.5)
    assert found == Diagnosis(found=1, missed=1, cleared=1, alarmed=1)
    told = [found.sensitivity(), found.specificity(), found.precision(), found.alarm_share()]
    assert [one.value for one in told if one] == [0.5] * 4
    assert Diagnosis(0, 0, 4, 0).sensitivity() is None
    # Gigerenzer's mammography: 1 % prevalence, sensitivity 90 %, specificity 91 %.
    assert precision_at(0.9, 0.91, 0.01) == pytest.approx(0.0917, abs=5e-4)


def test_areas_and_their_paired_test_are_those_of_other_libraries() -> None:
    found, covariance = areas([ONE, TWO], POSITIVE)
    assert found == pytest.approx([0.7925, 0.73125])  # scikit-learn
    z95 = 1.959963984540054
    # MLstatkit's DeLong: its intervals are the value and 1.96 standard errors.
    assert found[0] + z95 * math.sqrt(covariance[0, 0]) == pytest.approx(0.9122008415623286)
    assert found[1] - z95 * math.sqrt(covariance[1, 1]) == pytest.approx(0.5986556882770866)
    told = compare(ONE, TWO, POSITIVE)
    assert abs(told.z) == pytest.approx(0.7477063627514605)
    assert told.p == pytest.approx(0.4546372924466936)
    assert told.difference.value == pytest.approx(0.06125)
    assert told.difference.low < 0 < told.difference.high


def test_an_area_whose_classes_lie_apart_still_has_a_bound() -> None:
    found = area([1, 2, 3, 4, 5, 6], [False] * 3 + [True] * 3)
    assert (found.value, found.high) == (1, 1) and found.low < 0.5
    assert compare(ONE, ONE, POSITIVE).p == 1
    with pytest.raises(ValueError):
        area([1, 2, 3], [True, False, False])


@given(st.permutations(list(range(60))))
@settings(max_examples=20)
def test_an_area_keeps_to_no_order_of_its_cases(order: list[int]) -> None:
    mixed = area(ONE[order], POSITIVE[order])
    assert mixed.low == pytest.approx(area(ONE, POSITIVE).low)


def test_calibration_is_that_of_statsmodels() -> None:
    said = np.clip(((CASES * 29) % 59 + 0.5) / 60, 0.01, 0.99)
    truth = said > ((CASES * 17) % 23) / 23
    found = calibration(said, truth)
    assert found.slope is not None and found.intercept is not None
    assert [found.slope.value, found.slope.low, found.slope.high] == pytest.approx([1.44899925, 0.69943279, 2.19856571])
    told = [found.intercept.value, found.intercept.low, found.intercept.high]
    assert told == pytest.approx([0.39976974, -0.22457964, 1.02411911])


def test_the_calibration_error_is_the_gap_between_what_is_said_and_what_is() -> None:
    # Of ten at 0.8 six have it: 0.2; of ten at 0.1 one has: none. Weighed alike.
    found = calibration([0.8] * 10 + [0.1] * 10, [True] * 6 + [False] * 4 + [True] + [False] * 9)
    assert found.error == pytest.approx(0.1)
    alone = calibration([0.2, 0.9], [False, False])
    assert alone.slope is None and alone.intercept is None
    apart = calibration([0.1, 0.2, 0.8, 0.9], [False, False, True, True])
    assert apart.slope is None and apart.intercept is not None


@pytest.mark.parametrize(
    ("weights", "value", "low", "high"),
    [  # statsmodels
        ("none", 0.49152542372881347, 0.35015820121748686, 0.6328926462401401),
        ("linear", 0.4736842105263158, 0.3228083196113609, 0.6245601014412707),
        ("quadratic", 0.4545454545454546, 0.27034863162707257, 0.6387422774638366),
    ],
)
def test_kappa_is_that_of_statsmodels(weights: Weights, value: float, low: float, high: float) -> None:
    found = kappa([[44, 5, 1], [7, 20, 3], [9, 5, 6]], weights)
    assert found is not None
    assert [found.value, found.low, found.high] == pytest.approx([value, low, high])
    assert kappa([[7, 0], [0, 0]], "none") is None


def test_concordance_takes_off_for_a_shift_and_its_interval_covers() -> None:
    same = [1.0, 2.0, 3.0, 4.0]
    moved = concordance(same, [one + 1 for one in same])
    # 2 * 1.25 / (1.25 + 1.25 + 1)
    assert moved is not None and moved.value == pytest.approx(2.5 / 3.5)
    draws, covered = np.random.default_rng(3), 0
    for _ in range(200):
        one = draws.normal(size=50)
        other = one + draws.normal(0.2, 0.5, size=50)
        found = concordance(one, other)
        truth = 2 / (1 + 1.25 + 0.04)
        covered += found is not None and found.low <= truth <= found.high
    assert 180 <= covered <= 199


def test_pooling_is_that_of_statsmodels() -> None:
    given_ = zip([0.12, 0.35, -0.05, 0.4, 0.22], [0.02, 0.01, 0.04, 0.015, 0.03], strict=True)
    found = pool([Estimate(value, math.sqrt(variance)) for value, variance in given_])
    assert [found.fixed.value, found.fixed.low, found.fixed.high] == pytest.approx(
        [0.268182, 0.149992, 0.386372], abs=1e-6
    )
    assert [found.random.value, found.random.low, found.random.high] == pytest.approx(
        [0.253033, 0.109467, 0.396598], abs=1e-6
    )
    assert [found.between, found.heterogeneity, found.inconsistency, found.p] == pytest.approx(
        [0.007408536585365876, 5.534090909090914, 0.27720739219712587, 0.23674907372174678]
    )


def test_one_hospital_pools_to_itself_and_full_shares_stay_below_one() -> None:
    alone = pool([Estimate(0.3, 0.1)])
    assert alone.fixed == alone.random and alone.inconsistency == 0
    full = pool_shares([(20, 20), (18, 20)])
    assert 0.8 < full.random.value < 1 and full.random.high < 1
    with pytest.raises(ValueError):
        pool([Estimate(0.3, 0.0)])


def test_a_reader_study_is_as_published() -> None:
    """Van Dyke's study of two displays, five readers, 114 cases: areas and covariances, and what follows of them, as in
    Hillis, Berbaum and Metz, Academic Radiology 15(5), 2008, and Chakraborty, Observer Performance Methods, 2017."""
    by_reader = np.array([[0.91965, 0.85878, 0.90386, 0.97311, 0.82979], [0.94783, 0.90531, 0.92174, 0.99936, 0.92995]])
    found = analyse(by_reader, Covariances(0.00080229, 0.00034661, 0.00034407, 0.00023903))
    assert found.ways == pytest.approx((0.8970, 0.9408), abs=1e-4)
    assert found.difference.value == pytest.approx(0.0438, abs=1e-4)
    assert [found.difference.low, found.difference.high] == pytest.approx([-0.0003589, 0.0879595], abs=2e-5)
    assert found.f == pytest.approx(4.456, abs=5e-3)
    assert found.freedom == pytest.approx(15.26, abs=2e-2)
    assert found.p == pytest.approx(0.05167, abs=1e-4)


def test_a_reader_study_of_ratings_averages_their_covariances() -> None:
    draws = np.random.default_rng(1)
    truth = np.arange(60) % 2 == 0
    shared = truth * 1.0 + draws.normal(size=60)
    ratings = shared + draws.normal(0, 0.8, size=(2, 4, 60))
    ratings[1] += 0.8 * truth
    found = reader_study(ratings, truth)
    _, covariance = areas(ratings.reshape(8, 60), truth)
    same_way = [covariance[a, b] for way in (0, 4) for a in range(way, way + 4) for b in range(way, way + 4) if a != b]
    neither = [covariance[a, 4 + b] for a in range(4) for b in range(4) if a != b]
    told = np.array(found.by_reader)
    rest = told - told.mean(1)[:, None] - told.mean(0)[None] + told.mean()
    against = (rest**2).sum() / 3 + 4 * max(float(np.mean(same_way)) - float(np.mean(neither)), 0)
    assert found.f == pytest.approx(4 * ((told.mean(1) - told.mean()) ** 2).sum() / against)
    assert found.difference.value > 0
    with pytest.raises(ValueError):
        reader_study(ratings[:, :1], truth)


def test_how_many_cases_it_takes() -> None:
    # Buderer, 1996: sensitivity 0.9 within 0.05 takes 139 with the finding; at 20 % prevalence 695 in all.
    assert cases_for_width(0.9, 0.05) == 139
    assert of_all(139, 0.2) == 695
    found = cases_above(0.8, 0.9)
    # It holds from there on, and not one below.
    for cases, wanted in ((found, True), (found + 1, True), (found - 1, False)):
        fewest = next(hits for hits in range(cases + 1) if exact(hits, cases).low > 0.8)
        ways = [math.comb(cases, hits) * 0.9**hits * 0.1 ** (cases - hits) for hits in range(fewest, cases + 1)]
        assert (math.fsum(ways) >= 0.8) is wanted
    with pytest.raises(ValueError):
        cases_above(0.9, 0.9)


def test_resampling_gives_the_same_interval_in_any_order_and_holds_the_mean() -> None:
    values = [0.2, 0.9, 0.7, 0.8, 0.6]
    found = resampled(values)
    assert found == resampled(values[::-1])
    assert found is not None and 0.2 < found.low < found.value < found.high < 0.9
    middle = resampled(values, lambda drawn: np.median(drawn, axis=-1))
    assert middle is not None and middle.value == 0.7
    assert resampled([]) is None
