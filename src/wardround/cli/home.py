"""Opening a home of either program, for commands that work on both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from wardround.ledger.note import Verifier


@contextmanager
def ledger_at(home: Path) -> Iterator[tuple[Session, Verifier]]:
    """A reading transaction on the ledger of a hub or a node, and the hub's verifier key as that home knows it.

    Raises:
        NotFound: the folder is neither a hub's nor a node's home.
    """
    from wardround.foundation.errors import NotFound

    if (home / "hub.toml").is_file():
        from wardround.hub.home import HubHome

        hub = HubHome(home)
        with hub.database.reading() as session:
            yield session, hub.ledger_signer.verifier
        hub.close()
    elif (home / "node.toml").is_file():
        from wardround.node.desk import Desk
        from wardround.node.home import NodeHome

        desk = Desk(NodeHome(home))
        with desk.home.database.reading() as session:
            yield session, desk.hub
        desk.close()
    else:
        raise NotFound(f"{home} is neither a hub's nor a node's home; name one with --home")
