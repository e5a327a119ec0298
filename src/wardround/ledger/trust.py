"""Whether a site may rest anything on the ledger that its hub shows it, and why not.

Two kinds of trouble. A *contradiction* is proven by what the hub itself signed or took: the mirror is stopped, over
restarts, until a person acts. A *silence* is an absence that lasted longer than a site's patience: no quorum for what
the hub shows, or no trace of an entry that it took. It may be a hub that shows others something else, or hospitals
that are switched off; nothing new is used meanwhile, and it ends by itself when the quorum or the entry comes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import func, select, update

from wardround.foundation.errors import NotAllowed, WardroundError
from wardround.ledger import tables
from wardround.ledger.store import Transaction

PATIENCE = timedelta(hours=1)
"""How long a quorum, or an entry of one's own, may be waited for."""

MENDS = {
    "two-roots": "keep this home and compare checkpoints with the other sites; the hub's own signatures are the proof",
    "history-changed": "keep this home and compare with the other sites; the hub rewrote entries that it had shown",
    "entries-differ": "keep this home and ask the hub's operator; the hub sent other entries than it signed for",
    "entry-forged": "keep this home and ask the site named whether the entry is its own; the hub let in a forgery",
    "entry-unfounded": "keep this home and tell all sites; the hub let in an entry that its own rules refuse",
    "views-differ": "compare checkpoints with the site named (`wardround ledger checkpoint`, `compare`); the hub "
    "showed you two different ledgers",
    "entry-dropped": "keep this home and ask the hub's operator; the hub took this site's entry and left it out",
    "distrusted": "when the reason is gone, `wardround ledger trust`",
    "quorum-missing": "ask the other sites whether they run; if they do, compare checkpoints with them",
    "entry-overdue": "ask the hub's operator; if other sites see newer checkpoints, the hub keeps them from this one",
    "restored": "nothing, if a backup was put back here: it catches up by itself; else find out who uses this key",
}
"""What a person does about each code."""


class MirrorRefused(WardroundError):
    """What the hub sent doesn't fit here yet, without contradicting anything: ask again.

    Codes: ``wrong-start`` (entries from another index than asked for), ``beyond-checkpoint`` (more entries than the
    checkpoint covers), ``stale`` (a larger checkpoint is known already), ``restored`` (this witness signed a larger
    one that it doesn't remember), ``withheld`` (the hub sends none of the entries that its checkpoint covers).
    """

    code = "stale"


class LedgerForked(WardroundError):
    """The hub contradicts itself, what this site has on disk, or what another site saw. The mirror is stopped until
    a person acts.

    Codes: ``two-roots`` (two checkpoints of one size), ``history-changed`` (a checkpoint whose root isn't that of
    the entries on disk), ``entries-differ`` (new entries don't make the root of their checkpoint),
    ``entry-forged`` (an entry not signed by its origin, or unreadable), ``entry-unfounded`` (an entry that names
    what isn't there), ``views-differ`` (an entry whose origin saw another tree), ``entry-dropped`` (this site's own
    entry isn't where the hub took it), ``distrusted`` (a person stopped it).

    Attributes:
        size: the size of the tree, or the index of the entry, at which it shows.
    """

    def __init__(self, message: str, *, code: str, size: int) -> None:
        super().__init__(message, code=code)
        self.size = size


class LedgerUntrusted(NotAllowed):
    """Nothing may rest on the ledger here at present; no data is used.

    Attributes:
        reason: a code of `MENDS`.
    """

    code = "ledger-untrusted"

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class MirrorState:
    """Where a mirror stands.

    Attributes:
        received: entries on disk; the index to ask the hub for next.
        verified: entries that make the root of a checkpoint that the hub signed.
        forked: why the mirror is stopped, or None.
        forked_size: where that shows.
        message: the same in words.
        restored: the size of a tree that this witness signed and doesn't remember, until it has caught up with it.
    """

    received: int
    verified: int
    forked: str | None = None
    forked_size: int | None = None
    message: str | None = field(default=None, compare=False)
    restored: int | None = field(default=None, compare=False)


def mirror_state(tx: Transaction) -> MirrorState:
    """Where the mirror in this database stands."""
    columns = tables.head.c
    row = tx.execute(
        select(
            columns.size,
            columns.verified,
            columns.forked_code,
            columns.forked_size,
            columns.forked_message,
            columns.restored_size,
        )
    ).one_or_none()
    return MirrorState(0, 0) if row is None else MirrorState(*row)


def check_not_stopped(tx: Transaction, size: int) -> MirrorState:
    """Where the mirror stands.

    Raises:
        LedgerForked: it is stopped; at ``size``, if it isn't known where.
    """
    state = mirror_state(tx)
    if state.forked is not None:
        raise LedgerForked(
            f"{state.message or 'the ledger forked'}; this site cosigns nothing until a person has looked into it",
            code=state.forked,
            size=size if state.forked_size is None else state.forked_size,
        )
    return state


def stop(tx: Transaction, code: str, size: int | None, message: str, note: str | None, at: datetime) -> None:
    """Stop the mirror, unless it is stopped; the first reason stays. The caller holds the lock."""
    tx.execute(
        update(tables.head)
        .where(tables.head.c.forked_code.is_(None))
        .values(forked_code=code, forked_size=size, forked_message=message, forked_note=note, forked_at=at)
    )


def untrusted(tx: Transaction, settled: int, at: datetime, patience: timedelta) -> tuple[str, str] | None:
    """Why nothing may rest on the ledger now: a code of `MENDS` and the same in words; None if it may."""
    state = mirror_state(tx)
    if state.forked is not None:
        return state.forked, state.message or "the hub's ledger contradicts itself"
    if state.restored is not None:
        return "restored", f"this witness signed a tree of {state.restored} entries, of which it has {state.verified}"
    checkpoints, promises = tables.checkpoints.c, tables.promises.c
    since = tx.execute(select(func.min(checkpoints.at)).where(checkpoints.size > settled)).scalar()
    if since is not None and at - since > patience:
        return "quorum-missing", f"no quorum has cosigned what the hub shows since {since:%Y-%m-%d %H:%M}Z"
    since = tx.execute(select(func.min(promises.at))).scalar()
    if since is not None and at - since > patience:
        return "entry-overdue", f"the hub took an entry of this site at {since:%Y-%m-%d %H:%M}Z and hasn't shown it yet"
    return None
