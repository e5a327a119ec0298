"""A site whose enclave holds two studies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.front_door import FrontDoor, studies


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FrontDoor]:
    made = FrontDoor(tmp_path)
    for study in studies():
        made.give_study(study)
    made.tick()
    yield made
    made.close()
