"""A demonstration small enough for tests: two or three hospitals, few patients, coarse images, real processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from wardround.demo.federation import DemoFederation
from wardround.demo.identities import Canaries
from wardround.demo.journey import Journey
from wardround.demo.screen import SilentScreen
from wardround.demo.wishes import Wishes


def wishes(*, hospitals: int, rounds: int, patients: int = 6, canaries: Canaries | None = None) -> Wishes:
    return Wishes(
        seed=3,
        hospitals_wanted=hospitals,
        rounds=rounds,
        local_steps=4,
        patients=patients,
        slices=8,
        matrix=48,
        canaries=canaries,
    )


@contextmanager
def journey(home: Path, wanted: Wishes) -> Iterator[Journey]:
    """A journey that hasn't begun; all its processes are gone afterwards."""
    hospitals = list(wanted.hospitals())
    federation = DemoFederation(home, [hospital.code for hospital in hospitals])
    try:
        yield Journey(wanted, federation, hospitals, SilentScreen())
    finally:
        federation.stop()


def processes_below(home: Path) -> list[psutil.Process]:
    """Processes whose command line names something below `home`."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(home) in argument for argument in process.info["cmdline"] or ()):
            found.append(process)
    return found
