"""How soon the charts of a model in use notice a change, and how often they alarm for nothing.

Simulated years at one hospital, with the charts of `wardround.node.monitoring` as they are set by default; the peer is
the rule that most dashboards have: a fixed limit, three standard errors, on the last fifty studies, after each of them.

Two in five patients have a finding; the model sees nine of ten of those, and a reader says of each study that was read
what is there.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _bench import machine

from wardround.contracts.evidence import ShadowUse
from wardround.foundation.clock import now
from wardround.learning.statistics.discrepancy import NAMES
from wardround.learning.statistics.embedding import LENGTH
from wardround.node.clinic.states import ReadingState
from wardround.node.clinic.tables import WorklistLine
from wardround.node.monitoring.charts import Word, charts
from wardround.node.settings import ClinicSettings

YEAR = 7300
"""Studies: twenty a day."""
BEFORE, AFTER = 300, 1500
USUAL = {"failing": 0.05, "present": 0.4, "sensitivity": 0.9, "alarms": 1 / 15, "contrast": 0.5, "image": 0.0}
USUAL |= {"pattern": 0.0, "group": 0.0}
APART = 1.5
"""Deviations by which the images of a group of patients differ from the others', as on a scanner of their own."""
FLAGGED = USUAL["present"] * USUAL["sensitivity"] + (1 - USUAL["present"]) * USUAL["alarms"]
"""The share of those whom the model flags."""
CHANGES: dict[str, dict[str, float]] = {
    "twice the failures": {"failing": 0.1},
    "a scanner's contrast goes up by one deviation": {"contrast": 0.55},
    "each number on the images by half a deviation": {"image": 0.5},
    "each number on their patterns by half a deviation": {"pattern": 0.5},
    "sensitivity falls by ten points": {"sensitivity": 0.8},
    "sensitivity falls by twenty points": {"sensitivity": 0.7},
    "twice the share of findings": {"present": 0.8},
    "twice the share of a group whose images differ": {"group": 0.3},
}
BEFOREHAND: dict[str, dict[str, float]] = {"twice the share of a group whose images differ": {"group": 0.15}}
"""What is otherwise before a change too."""
WINDOW, DEVIATION = 50, 0.05
SHADOW = ShadowUse(
    model="a" * 64,
    pathway="brain",
    since=now(),
    until=now(),
    studies=400,
    read=400,
    flagged=160,
    failed={},
    out_of_scope=0,
    seconds_p50=None,
    seconds_p95=None,
    agreement=(144, 16, 16, 224),
)


@dataclass(frozen=True)
class Time:
    """Studies, and its reader's word on each that was read."""

    lines: list[WorklistLine]
    words: list[Word]


def studies(draws: np.random.Generator, parts: list[tuple[int, dict[str, float]]]) -> Time:
    """So many studies each, with the shares that the parts say."""
    found: list[WorklistLine] = []
    words: list[Word] = []
    for count, said in parts:
        shares = USUAL | said
        failing, present = draws.random(count) < shares["failing"], draws.random(count) < shares["present"]
        flagged = draws.random(count) < np.where(present, shares["sensitivity"], shares["alarms"])
        read = zip(flagged[~failing], present[~failing], strict=True)
        words += [Word(bool(flags), bool(flags != there)) for flags, there in read]
        contrasts = draws.normal(shares["contrast"], DEVIATION, count)
        statistics = draws.normal(shares["image"], 1.0, (count, len(NAMES)))
        images = np.hstack([statistics, draws.normal(shares["pattern"], 1.0, (count, LENGTH))])
        images += APART * (draws.random((count, 1)) < shares["group"])
        for fails, flags, contrast, image in zip(failing, flagged, contrasts, images, strict=True):
            state = ReadingState.FAILED if fails else ReadingState.DELIVERED
            seen = None if fails else float(contrast)
            flag = bool(flags) and not fails
            said_of = None if fails else [float(one) for one in image]
            found.append(WorklistLine(study="", version=1, state=state, flagged=flag, contrast=seen, image=said_of))
    return Time(found, words)


def ours(time: Time, settings: ClinicSettings) -> int | None:
    """The study, from 1, with which the first chart breaks; counted among all studies as nearly as the charts tell."""
    lines = time.lines
    found = charts(lines, SHADOW, settings.usual_failures, settings.alarm_every, time.words)
    read = [n for n, line in enumerate(lines, 1) if line.contrast is not None]
    with_finding = [n for n, word in zip(read, time.words, strict=True) if word.found]
    seen = {"failures": range(1, len(lines) + 1), "more-missed": with_finding}
    places = [seen.get(one.reason, read)[one.broken_at - 1] for one in found if one.broken_at is not None]
    return min(places, default=None)


def window(lines: list[WorklistLine]) -> int | None:
    """The same of the dashboard's rule, which asks no reader."""
    read = [(n, line) for n, line in enumerate(lines, 1) if line.contrast is not None]
    numbers = np.array([n for n, _ in read])
    told = [
        (np.arange(1, len(lines) + 1), np.array([line.contrast is None for line in lines], float), USUAL["failing"]),
        (numbers, np.array([line.flagged for _, line in read], float), FLAGGED),
    ]
    places = []
    for at, values, share in told:
        spread = (share * (1 - share) / WINDOW) ** 0.5
        places += _beyond(at, values, share, spread)
    contrasts = np.array([line.contrast for _, line in read])
    places += _beyond(numbers, contrasts, USUAL["contrast"], DEVIATION / WINDOW**0.5)
    return min(places, default=None)


def _beyond(at: np.ndarray, values: np.ndarray, usual: float, spread: float) -> list[int]:
    means = np.convolve(values, np.ones(WINDOW) / WINDOW, "valid")
    over = np.flatnonzero(np.abs(means - usual) > 3 * spread)
    return [int(at[over[0] + WINDOW - 1])] if len(over) else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20 simulations each, not 200")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    count, settings = (20 if given.quick else 200), ClinicSettings()
    print(machine())
    print(f"charts: an alarm for nothing once in {settings.alarm_every:g} studies; {count} simulations each\n")
    quiet = [studies(np.random.default_rng([1, n]), [(YEAR, {})]) for n in range(count)]
    stopped = sum(ours(year, settings) is not None for year in quiet) / count
    peer = sum(window(year.lines) is not None for year in quiet) / count
    stated = 1 - np.exp(-YEAR / settings.alarm_every)
    print(f"quiet years of {YEAR} studies in which the model was stopped for nothing: {stopped:.1%}")
    print(f"  (as set, up to {stated:.1%}); by the last fifty studies: {peer:.1%}\n")
    rows = [
        {
            "name": "quiet years stopped for nothing",
            "ours": stopped,
            "peers": {"last fifty studies": peer},
            "target": float(stated) + 2 * float((stated * (1 - stated) / count) ** 0.5),
            "met": bool(stopped <= stated + 2 * (stated * (1 - stated) / count) ** 0.5),
            "unit": "share",
        }
    ]
    print(f"{'what changes after ' + str(BEFORE) + ' studies':52}{'noticed':>9}{'after, median':>15}{'90 %':>7}")
    for name, change in CHANGES.items():
        delays = []
        for n in range(count):
            place = ours(
                studies(np.random.default_rng([2, n]), [(BEFORE, BEFOREHAND.get(name, {})), (AFTER, change)]), settings
            )
            delays.append(float("inf") if place is None or place <= BEFORE else place - BEFORE)
        seen = float(np.isfinite(delays).mean())
        median, late = np.sort(delays)[[count // 2, count * 9 // 10]]
        print(f"{name:52}{seen:>9.0%}{median:>15.0f}{late:>7.0f}")
        target = settings.alarm_every / 100
        rows.append(
            {
                "name": f"studies until it is noticed: {name}",
                "ours": float(median) if np.isfinite(median) else None,
                "peers": {},
                "target": target,
                "met": bool(median <= target),
                "unit": "studies",
            }
        )
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
