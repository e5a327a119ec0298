"""A hub's runs in one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.hub.runs.run_lab import RunLab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RunLab]:
    made = RunLab(tmp_path)
    yield made
    made.close()
