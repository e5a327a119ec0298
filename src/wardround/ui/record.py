"""The page of the ledger: its newest entries, the checkpoint, who cosigned it, and for each entry its proof."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import select

from wardround.contracts.ledger_entry import Entry, read_signed_entry
from wardround.foundation.database import Database
from wardround.foundation.errors import NotFound, WardroundError
from wardround.ledger import store, tables
from wardround.ledger.note import Verifier
from wardround.ledger.proving import prove_entry
from wardround.ui import proving
from wardround.ui.page import Page, Shown, Visit
from wardround.ui.proving import number_of, told_of

SHOWN = 50
KINDS: Mapping[str, str] = {
    "founding": "the ledger was founded",
    "member": "a hospital joined, or has a new key",
    "departure": "a hospital left",
    "approval": "a data controller approved a project",
    "refusal": "a data controller refused a project",
    "withdrawal": "an approval was taken back",
    "manifest": "a cohort was frozen",
    "use": "data were used",
    "update": "an update left a hospital",
    "aggregate": "a round was put together",
    "model": "a model was registered",
    "evidence": "evidence was made",
    "deployment": "a model was taken into use",
    "promotion": "a model went to its next stage",
    "suspension": "a model was taken out of use",
    "re-identification": "somebody was told who is behind a pseudonym",
    "purge": "data were destroyed",
}


@dataclass(frozen=True, slots=True)
class Line:
    """An entry as it is shown. `told` is what it says beside when, who and what."""

    index: int
    entry: Entry
    means: str
    told: tuple[tuple[str, str], ...]


def pages(database: Database, hub: Callable[[], Verifier]) -> tuple[Page, ...]:
    """`hub` gives the key that checkpoints have to be signed with."""
    return (
        Page("GET", "/ledger", "see-ledger", partial(ledger, database, hub), place="Ledger"),
        Page("GET", "/ledger/check", "see-ledger", partial(proving.form, database, hub)),
        Page("POST", "/ledger/check", "see-ledger", proving.check, largest=proving.LARGEST),
        Page("GET", "/ledger/{index}/proof", "see-ledger", partial(proving.file, database, hub)),
        Page("GET", "/ledger/{index}", "see-ledger", partial(proof, database, hub)),
    )


def ledger(database: Database, hub: Callable[[], Verifier], visit: Visit) -> Shown:
    """The newest entries, or those before an index."""
    with database.reading() as session:
        size = store.size(session)
        end = min(number_of(visit.asked("before"), size), size)
        start = max(0, end - SHOWN)
        rows = [] if end <= start else store.entries(session, start, end - start)
        newest = store.newest_checkpoint(session)
        columns = tables.checkpoints.c
        at = None if newest is None else session.execute(select(columns.at).where(columns.size == newest)).scalar()
        cosigned = [] if newest is None else list(store.cosigned(session, newest))
        root = "" if newest is None else store.root(session, newest).hex()
        members = store.members(session, hub(), size)
        settled = int(session.execute(select(tables.head.c.settled)).scalar() or 0)
        stopped = session.execute(select(tables.head.c.forked_message, tables.head.c.resumed_at)).first()
    values = {
        "lines": [_line(start + place, data) for place, data in enumerate(rows)][::-1],
        "before": start if start else None,
        "size": size,
        "newest": newest,
        "at": at,
        "root": root,
        "cosigned": cosigned,
        "members": list(members),
        "fewest": members.fewest if size else None,
        "settled": settled,
        "stopped": stopped is not None and stopped.forked_message is not None and stopped.resumed_at is None,
    }
    return Shown("ledger.html", values)


def proof(database: Database, hub: Callable[[], Verifier], visit: Visit) -> Shown:
    """One entry, and its proof in the form of C2SP tlog-proof."""
    index = number_of(visit.path["index"], -1)
    with database.reading() as session:
        rows = store.entries(session, index, 1) if 0 <= index < store.size(session) else []
        if not rows:
            raise NotFound(f"the ledger has no entry {visit.path['index']}")
        try:
            text, fault = prove_entry(session, hub(), index), ""
        except WardroundError as error:
            text, fault = "", str(error)
    return Shown("entry.html", {"line": _line(index, rows[0]), "proof": text, "fault": fault})


def _line(index: int, data: bytes) -> Line:
    entry = read_signed_entry(data).entry
    return Line(index, entry, KINDS.get(entry.kind, ""), told_of(entry))
