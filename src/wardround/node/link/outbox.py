"""Messages that are to leave, on disk from the moment that what they tell is.

Any process of the node posts in the transaction of its own write; the link of the running node hands them in, in
order, and forgets an attachment when the hub has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from wardround.contracts.outbound import OUTBOUND, Message
from wardround.foundation.clock import now as present
from wardround.foundation.files import ObjectStore
from wardround.node.gateway.gateway import checked, message_kind
from wardround.node.home import NodeHome
from wardround.node.link.tables import OutboxMessage

BATCH = 20


@dataclass(frozen=True)
class Waiting:
    """A message that waits to be handed in."""

    id: int
    message: Message
    attachment: str | None


def post(
    session: Session, home: NodeHome, message: Message, attachment: bytes = b"", *, now: datetime | None = None
) -> int:
    """Put `message` into the outbox in the caller's transaction; gives its number there.

    Raises:
        MayNotLeave: it isn't on the closed list, or too large.
    """
    header = checked(message, len(attachment), home.settings.largest_attachment)
    row = OutboxMessage(
        kind=message_kind(message),
        message=header.decode(),
        attachment=ObjectStore(home.outbox).put(attachment) if attachment else None,
        created_at=now or present(),
    )
    session.add(row)
    session.flush()
    return row.id


def waiting(session: Session) -> Sequence[Waiting]:
    """The oldest messages that the hub hasn't answered, at most 20."""
    rows = session.execute(
        select(OutboxMessage.id, OutboxMessage.message, OutboxMessage.attachment)
        .where(OutboxMessage.sent_at.is_(None), OutboxMessage.refused.is_(None))
        .order_by(OutboxMessage.id)
        .limit(BATCH)
    )
    return [Waiting(number, OUTBOUND.validate_json(text), digest) for number, text, digest in rows]


def settle(session: Session, home: NodeHome, item: Waiting, *, refused: str | None, now: datetime) -> None:
    """Keep that the hub took the message, or refused it for good, and drop an attachment that nothing else needs."""
    change = {"refused": refused} if refused is not None else {"sent_at": now}
    session.execute(update(OutboxMessage).where(OutboxMessage.id == item.id).values(**change))
    if item.attachment is not None:
        others = session.execute(
            select(func.count()).where(
                OutboxMessage.attachment == item.attachment,
                OutboxMessage.sent_at.is_(None),
                OutboxMessage.refused.is_(None),
            )
        ).scalar_one()
        if others == 0:
            ObjectStore(home.outbox).remove(item.attachment)
