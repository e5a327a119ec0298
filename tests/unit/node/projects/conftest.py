"""A hospital with a hub beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.node.projects.node_lab import NodeLab, beside_a_hub


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[NodeLab]:
    with beside_a_hub(tmp_path, NodeLab) as made:
        yield made
