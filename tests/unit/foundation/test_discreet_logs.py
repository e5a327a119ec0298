"""No log line holds the words of an exception, wherever it came from."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from wardround.foundation.logs import log_to

CANARY = "Doe^Jane"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    root, hook = logging.getLogger(), threading.excepthook
    before, level = list(root.handlers), root.level
    for handler in before:
        root.removeHandler(handler)
    log_to(tmp_path, "node")
    yield tmp_path / "node.log"
    for handler in list(root.handlers):
        handler.close()
        root.removeHandler(handler)
    for handler in before:
        root.addHandler(handler)
    root.setLevel(level)
    threading.excepthook = hook


def _fail() -> None:
    try:
        raise KeyError(CANARY)
    except KeyError as error:
        raise ValueError(f"patient {CANARY} in /srv/quarantine") from error


def test_an_exception_is_told_by_type_and_place(log: Path) -> None:
    try:
        _fail()
    except ValueError:
        logging.getLogger("wardround.test").exception("a study was refused")
    text = log.read_text()
    assert CANARY not in text
    assert "/srv" not in text
    assert "a study was refused" in text
    assert "builtins.ValueError" in text
    assert "builtins.KeyError" in text
    assert "in _fail" in text


def test_a_thread_that_dies_is_told_the_same_way(log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    thread = threading.Thread(target=_fail)
    thread.start()
    thread.join()
    assert "builtins.ValueError" in log.read_text()
    assert CANARY not in log.read_text()
    assert CANARY not in "".join(capfd.readouterr())
