"""A hospital with a hub beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.hub.runs.run_lab import RunLab
from tests.unit.node.projects.node_lab import NodeLab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[NodeLab]:
    for folder in ("hub", "node"):
        (tmp_path / folder).mkdir()
    hub = RunLab(tmp_path / "hub")
    made = NodeLab(tmp_path / "node", hub)
    yield made
    made.close()
    hub.close()
