"""Programs that were started are ended: in order, by force, with all that they started, and after a killed parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from wardround.foundation.processes import Program, stop_tree

PATIENCE = 30
# A family of three: each starts the next, the youngest in a session of its own, and writes its id.
FAMILY = """
import os, signal, subprocess, sys, threading
folder, depth, stubborn = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "stubborn"
if stubborn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if depth < 2:
    subprocess.Popen([sys.executable, __file__, folder, str(depth + 1), sys.argv[3]], start_new_session=depth == 1)
path = os.path.join(folder, f"pid{depth}")
with open(path + ".part", "w") as file:
    file.write(str(os.getpid()))
os.rename(path + ".part", path)
threading.Event().wait()
"""
PARENT = """
import sys, threading
from pathlib import Path
from wardround.foundation.processes import Program
folder = Path(sys.argv[1])
kept = [Program("a", [sys.executable, str(folder / "family.py"), str(folder), "0", sys.argv[2]], log=folder / "log")]
(folder / "started").touch()
threading.Event().wait()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "family.py").write_text(FAMILY)
    (tmp_path / "parent.py").write_text(PARENT)
    yield tmp_path
    for file in tmp_path.glob("pid?"):
        try:
            os.kill(int(file.read_text()), signal.SIGKILL)
        except ProcessLookupError:
            continue


def family(folder: Path) -> list[int]:
    """The ids of all three, once they are up."""
    files = [folder / f"pid{depth}" for depth in range(3)]
    for file in files:
        await_file(file)
    return [int(file.read_text()) for file in files]


def await_file(file: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not file.exists():
        assert time.monotonic() < deadline, f"{file.name} never came"
        time.sleep(0.02)


def alive(pids: list[int]) -> list[int]:
    """Those that still run; one that has ended and wasn't waited for doesn't."""
    found = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found


def await_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + PATIENCE
    while left := alive(pids):
        assert time.monotonic() < deadline, f"{left} are left"
        time.sleep(0.02)


def program(folder: Path, temper: str) -> Program:
    return Program("family", [sys.executable, str(folder / "family.py"), str(folder), "0", temper], log=folder / "log")


@pytest.mark.parametrize(("temper", "patience"), [("meek", 15.0), ("stubborn", 0.3)])
def test_nothing_is_left_of_a_stopped_program(folder: Path, temper: str, patience: float) -> None:
    started = program(folder, temper)
    pids = family(folder)
    assert started.pid == pids[0] and started.exit_code is None
    started.stop(patience=patience)
    await_gone(pids)
    assert started.exit_code == (-signal.SIGTERM if temper == "meek" else -signal.SIGKILL)
    started.stop()


@pytest.mark.parametrize("temper", ["meek", "stubborn"])
def test_a_tree_is_ended_to_its_last_branch(folder: Path, temper: str) -> None:
    root = subprocess.Popen([sys.executable, folder / "family.py", folder, "0", temper])
    pids = family(folder)
    stop_tree(root.pid, patience=0.3)
    root.wait(PATIENCE)
    await_gone(pids)
    stop_tree(root.pid)


def test_a_crash_takes_the_program_alone(folder: Path) -> None:
    started = program(folder, "meek")
    pids = family(folder)
    started.kill()
    assert started.exit_code == -signal.SIGKILL
    assert alive(pids) == pids[1:]


def test_a_program_ends_with_a_parent_that_is_killed(folder: Path) -> None:
    """The program is asked to stop as its parent would have asked, so that it ends its own children in order."""
    parent = subprocess.Popen([sys.executable, folder / "parent.py", folder, "meek"])
    pids = family(folder)
    await_file(folder / "started")  # the family may be up before its parent is done with starting it
    parent.kill()
    parent.wait(PATIENCE)
    await_gone(pids[:1])


def test_output_is_in_the_log(folder: Path) -> None:
    for _ in range(2):
        said = Program("say", [sys.executable, "-c", "print('here')"], log=folder / "new" / "log")
        said._process.wait(PATIENCE)
    assert said.log.read_text().splitlines() == ["here", "here"]
