"""Fixtures of the tests of several parts."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """A model that nobody trained, as the registry keeps it: its digest and its archive."""
    from tests.clinic_lab import untrained  # brings torch, which few of these tests need

    return untrained(tmp_path_factory.mktemp("model") / "bundle")
