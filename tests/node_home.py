"""A node's home in a test's folder, joined to no hub that answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wardround.foundation.settings import write_toml
from wardround.node.home import NodeHome


@contextmanager
def node_home(folder: Path, *, api_port: int = 1, **settings: object) -> Iterator[NodeHome]:
    """Args:
    settings: of node.toml, beside those that each has to have.
    """
    hub = {"host": "127.0.0.1", "api_port": api_port}
    (folder / "node.toml").write_text(write_toml({"site": "north", "federation": "testing", **settings, "hub": hub}))
    home = NodeHome(folder)
    home.database.upgrade()
    try:
        yield home
    finally:
        home.close()
