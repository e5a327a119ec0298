"""`wardround demo` as a person meets it: it stops cleanly, leaves nothing, and names what is wrong with its input."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
from tests.functional.small_demo import demo_command, processes_below


def test_ctrl_c_stops_every_process_and_removes_the_temporary_home(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    demo = demo_command("--hospitals", "2", scratch=scratch)
    assert demo.stdout is not None
    try:
        for line in demo.stdout:
            if line.startswith("2/"):
                break
        assert processes_below(scratch), "hub and nodes are up by the second step"
        demo.send_signal(signal.SIGINT)
        rest = demo.stdout.read()
        assert demo.wait(timeout=60) == 130
    finally:
        if demo.poll() is None:
            psutil.Process(demo.pid).kill()
    assert "nothing is left running" in rest
    assert processes_below(scratch) == []
    assert list(scratch.iterdir()) == []


def test_a_home_that_holds_something_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    demo = demo_command("--home", str(tmp_path), scratch=tmp_path.parent / "scratch-refused")
    told, _ = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert "isn't an empty folder" in told
    assert (tmp_path / "mine.txt").read_text() == "keep me"


def test_a_data_folder_without_patients_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    demo = demo_command("--data", str(tmp_path / "data"), scratch=tmp_path / "scratch")
    told, _ = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert told.startswith("wardround: ") and len(told.strip().splitlines()) <= 3
    assert "Traceback" not in told
