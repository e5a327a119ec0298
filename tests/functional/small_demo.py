"""A demonstration small enough for tests: two or three hospitals, few patients, coarse images, real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Served:
    """What `wardround demo --serve` printed for people: `pages` has the address of each program's pages."""

    pages: dict[str, str]
    password: str
    people: dict[str, list[str]]


@contextmanager
def served(scratch: Path, *arguments: str) -> Iterator[Served]:
    """A demonstration that stays up as the command leaves it; then it is ended as by Ctrl-C, and leaves nothing."""
    demo = demo_command(*arguments, "--serve", scratch=scratch)
    try:
        yield _as_printed(demo)
        demo.send_signal(signal.SIGTERM)
        told, _ = demo.communicate(timeout=120)
        assert (demo.returncode, "nothing is left running" in told) == (0, True), told
        assert processes_below(scratch) == [] and list(scratch.iterdir()) == []
    finally:
        if demo.poll() is None:
            demo.send_signal(signal.SIGTERM)
            demo.wait(timeout=120)


def demo_command(*arguments: str, scratch: Path) -> subprocess.Popen[str]:
    """`wardround demo`, with its temporary folders in `scratch`."""
    scratch.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "wardround", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
        start_new_session=True,
    )


def _as_printed(demo: subprocess.Popen[str]) -> Served:
    """Reads until everybody who may sign in is named."""
    assert demo.stdout is not None
    pages, people, password, told = {}, {}, "", []
    for line in demo.stdout:
        told.append(line)
        if found := re.match(r"  (hub|hospital \S+) +(http://\S+)/$", line):
            pages[found[1]] = found[2]
        elif found := re.match(r"Sign in with the password (\S+) and no code", line):
            password = found[1]
        elif found := re.match(r"  at (the hub|each hospital): (.+)$", line):
            people[found[1]] = found[2].split(", ")
            if found[1] == "each hospital":
                return Served(pages, password, people)
    raise AssertionError("".join(told))
