"""A node's people, on each of the two databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.people.people_lab import PeopleLab


@pytest.fixture
def lab(tmp_path: Path, database_url: str) -> Iterator[PeopleLab]:
    made = PeopleLab(tmp_path, database_url)
    yield made
    made.close()
