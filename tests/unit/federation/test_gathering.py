"""A round puts its updates together the same whatever their order, and in memory for a few blocks."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from wardround.contracts.robust import Median, MultiKrum, NormBound, Robust, TrimmedMean
from wardround.federation.gathering import Gathering
from wardround.federation.spool import Spool
from wardround.foundation.stored import Stored, content
from wardround.learning.arrays import Arrays, ArraysRefused, from_bytes, to_bytes
from wardround.learning.robust import average_of
from wardround.learning.wire import BLOCK, packed, quantised

MODEL = {"a": np.linspace(-1, 1, 2 * BLOCK + 3, dtype=np.float32), "b": np.zeros((2, 2), np.float32)}


def change(seed: int) -> Arrays:
    numbers = np.random.default_rng(seed)
    return {name: numbers.standard_normal(array.shape, np.float32) for name, array in MODEL.items()}


CHANGES = {"alpha": change(1), "beta": change(2), "gamma": change(3), "delta": change(4), "epsilon": change(5)}
RULES: tuple[Robust | None, ...] = (
    None,
    TrimmedMean(trimmed=1),
    Median(),
    NormBound(largest=100.0),
    MultiKrum(hostile=1),
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: "mean" if rule is None else type(rule).__name__)
def test_the_aggregate_is_that_of_the_rule_and_the_same_bytes_in_any_order(tmp_path: Path, rule: Robust | None) -> None:
    average = average_of(rule, {name: np.zeros_like(array) for name, array in MODEL.items()})
    for site in sorted(CHANGES):
        average.add(CHANGES[site], 2.0 if site == "beta" else 1.0)
    wanted = {name: MODEL[name] + array for name, array in average.result().items()}

    made: set[bytes] = set()
    spool = Spool(tmp_path)
    for order in itertools.islice(itertools.permutations(CHANGES), 0, 120, 50):
        gathering = Gathering(to_bytes(MODEL), delta=True, robust=rule, spool=spool)
        for site in order:
            file = tmp_path / site
            file.write_bytes(packed(CHANGES[site], "lossless"))
            gathering.add(site, gathering.sound(Stored.of(file)), 2.0 if site == "beta" else 1.0)
        made.add(content(gathering.aggregate()))

    assert made == {to_bytes(wanted)}
    assert {path.name.split("-")[0] for path in tmp_path.iterdir()} == {"leg"}, "no update is kept"


def test_plain_packed_and_eight_bit_updates_meet_in_one_round() -> None:
    gathering = Gathering(to_bytes(MODEL), delta=True, robust=None, spool=Spool())
    held = quantised(CHANGES["gamma"])
    forms = {
        "alpha": to_bytes(CHANGES["alpha"]),
        "beta": packed(CHANGES["beta"], "lossless"),
        "gamma": packed(held, "8-bit"),
    }
    for site, update in forms.items():
        gathering.add(site, gathering.sound(update), 1.0)
    after = from_bytes(gathering.aggregate())
    mean = (CHANGES["alpha"]["a"].astype(np.float64) + CHANGES["beta"]["a"] + held["a"]) / 3
    np.testing.assert_allclose(after["a"], MODEL["a"] + mean, rtol=1e-5, atol=1e-6)


def test_an_aggregate_that_fits_no_float_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    largest = np.finfo(np.float32).max
    model = cast(Arrays, {"a": np.full(2 * BLOCK, largest, np.float32)})
    gathering = Gathering(to_bytes(model), delta=True, robust=None, spool=Spool(tmp_path))
    gathering.add("alpha", gathering.sound(to_bytes(model)), 1.0)
    with pytest.raises(ArraysRefused, match="float32"):
        gathering.aggregate()
    assert list(tmp_path.iterdir()) == []


MEASURED = """
import sys
from pathlib import Path
import numpy as np
from wardround.federation.gathering import Gathering
from wardround.federation.spool import Spool
from wardround.foundation.stored import Stored
from wardround.learning.arrays import header_of
from wardround.learning.wire import packed

folder, sites, size = Path(sys.argv[1]), int(sys.argv[2]), 20_000_000
def written(name, packing=False):
    with (folder / name).open("wb") as file:
        if packing:
            file.write(packed({"w": np.zeros(size // 4, np.float32)}, "lossless"))
        else:
            file.truncate(file.write(header_of({"w": (size // 4,)})) + size)
    return Stored.of(folder / name)
def held():
    return int(next(l.split()[1] for l in open("/proc/self/status") if l.startswith("VmRSS"))) * 1024
gathering = Gathering(written("model"), delta=True, robust=None, spool=Spool(folder))
updates = [written(str(site), site % 2 == 0) for site in range(sites)]
before = most = held()
for site, update in enumerate(updates):
    gathering.add(str(site), gathering.sound(update), 1.0)
    most = max(most, held())
for _ in gathering._blocks():
    most = max(most, held())
print((most - before) / size)
"""


def test_memory_grows_neither_with_the_model_nor_with_the_sites(tmp_path: Path) -> None:
    """Thirty sites with 20 MB each: what the process holds is for a few blocks, not for thirty models, nor for
    mapped pages of the round's own."""
    run = [sys.executable, "-c", MEASURED, str(tmp_path), "30"]
    took = float(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    assert took < 2
