"""What this node knows of its membership."""

from __future__ import annotations

from sqlalchemy.orm import Session

from wardround.foundation.errors import NotFound
from wardround.node.membership.tables import Membership


def membership(session: Session) -> Membership:
    """This node's one row.

    Raises:
        NotFound: the node hasn't joined.
    """
    row = session.get(Membership, 1)
    if row is None:
        raise NotFound("this node hasn't joined a federation; join with `wardround node join TOKEN`")
    return row
