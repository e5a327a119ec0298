"""What earlier versions left of a hospital's own layers in clear is gone once a node has started, and on the audit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.node_home import node_home

from wardround.foundation.errors import NotFound
from wardround.node.app import build
from wardround.node.audit import Audit
from wardround.node.home import NodeHome
from wardround.node.training.unsealed import NotRemoved, remove_unsealed

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MODEL = "d" * 64


@pytest.fixture
def home(tmp_path: Path) -> Iterator[NodeHome]:
    with node_home(tmp_path) as made:
        yield made


def laid(home: NodeHome, *names: str) -> list[Path]:
    files = [home.path / name for name in names]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"layers")
    return files


def start(home: NodeHome) -> None:
    """As far as a node comes that never joined."""
    with pytest.raises(NotFound, match="hasn't joined"):
        build(home, clock=lambda: NOON)


def audited(home: NodeHome) -> list[tuple[str, str, str]]:
    with home.database.reading() as session:
        rows = session.scalars(select(Audit).where(Audit.verb == "remove-unsealed").order_by(Audit.id))
        return [(row.actor, row.subject, row.detail) for row in rows]


def test_a_node_that_starts_removes_them_and_nothing_else(home: NodeHome) -> None:
    clear = laid(
        home,
        f"models/{MODEL}.own.safetensors",
        f"models/.{MODEL}.own.safetensors.0a1b2c3d",
        "runs/glioma-1/own/0001.safetensors",
        f"runs/glioma-1/own/{MODEL}.safetensors",
    )
    kept = laid(
        home,
        f"models/{MODEL}/models/model.safetensors",
        f"runs/glioma-1/own/{MODEL}.sealed",
        "runs/glioma-2/learning/shared",
    )

    start(home)

    assert [file for file in clear if file.exists()] == []
    assert all(file.exists() for file in kept)
    assert audited(home) == [
        ("program", MODEL, "2 files of own layers"),
        ("program", "glioma-1", "2 files of own layers"),
    ]
    start(home)
    assert len(audited(home)) == 2, "where there is nothing, nothing is told"


def test_what_cant_be_removed_stops_the_node_and_is_told_again_at_the_next_start(
    home: NodeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    [file] = laid(home, f"models/{MODEL}.own.safetensors")

    def refuse(_path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(1, os.strerror(1))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        with pytest.raises(NotRemoved, match=r"own\.safetensors holds layers .* remove it by hand"):
            remove_unsealed(home.path / "models", home.runs, home.database, lambda: NOON)
    assert file.exists() and len(audited(home)) == 1
    remove_unsealed(home.path / "models", home.runs, home.database, lambda: NOON)
    assert not file.exists() and len(audited(home)) == 2
