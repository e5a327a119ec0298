"""The page that checks a proof, in the browser by a script of ours or, without scripts, here; and proofs as files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wardround.contracts.disclosure import Count
from wardround.contracts.ledger_entry import Entry, read_signed_entry
from wardround.foundation.database import Database
from wardround.foundation.errors import NotFound, WardroundError
from wardround.ledger import keys, store, tlog_proof
from wardround.ledger.keys import LedgerKeys, keys_at
from wardround.ledger.note import Verifier
from wardround.ledger.proving import prove_entry
from wardround.ui.forms import whole
from wardround.ui.page import Sent, Shown, Visit

LARGEST = 2 * (tlog_proof.LARGEST_FILE + keys.LARGEST_FILE)
"""Bytes of the form: a proof and keys at their largest, with what a form makes of base64."""


@dataclass(frozen=True, slots=True)
class Found:
    """What this program found of a proof: whether it holds, in words, and what the entry says."""

    proven: bool
    words: str
    told: tuple[tuple[str, str], ...] = ()


def form(database: Database, hub: Callable[[], Verifier], visit: Visit) -> Shown:
    """Empty, or with the proof of an entry that is asked for and the keys as they are known here."""
    index, proof, known = number_of(visit.asked("entry"), -1), "", ""
    if index >= 0:
        with database.reading() as session:
            proof = prove_entry(session, hub(), index)
            known = str(keys_at(session, hub(), store.settled(session, hub(), store.size(session))))
    return Shown("proof_check.html", {"proof": proof, "keys": known, "found": None})


def check(visit: Visit) -> Shown:
    """By the same functions as `wardround ledger proof-check`."""
    # A form sends lines as CR LF, whatever was pasted.
    proof, known = (visit.field(name).replace("\r\n", "\n") for name in ("proof", "keys"))
    try:
        found = _found(f"{proof}\n", known)
    except WardroundError as refused:
        found = Found(False, f"{refused}.")
    return Shown("proof_check.html", {"proof": proof, "keys": known, "found": found})


def file(database: Database, hub: Callable[[], Verifier], visit: Visit) -> Sent:
    """An entry's proof in the form of C2SP tlog-proof. Raises `NotFound`, `NotSettledYet`."""
    index = number_of(visit.path["index"], -1)
    if index < 0:
        raise NotFound(f"the ledger has no entry {visit.path['index']}")
    with database.reading() as session:
        return Sent(prove_entry(session, hub(), index).encode(), "text/plain; charset=utf-8")


def number_of(text: str, otherwise: int) -> int:
    number = whole(text, 15)
    return otherwise if number is None else number


def told_of(entry: Entry) -> tuple[tuple[str, str], ...]:
    """What an entry says beside when, who and what, as people read it."""
    told = entry.model_dump(mode="json", exclude={"origin", "at", "nonce", "kind", "seen"})
    return tuple((key.replace("_", " "), _plain(value)) for key, value in told.items() if value not in (None, [], {}))


def _found(proof: str, known: str) -> Found:
    trusted = LedgerKeys.parse(known)
    proven = tlog_proof.check_tlog_proof(proof, trusted.hub, trusted.witnesses)
    if not trusted.is_quorum(proven.cosigned_by):
        counted = f"{len(proven.cosigned_by)} of {len(trusted.witnesses)} witnesses cosigned it"
        return Found(False, f"{counted}, and {trusted.quorum} have to.")
    entry = read_signed_entry(proven.data).entry
    cosigned = ", ".join(sorted(proven.cosigned_by))
    words = (
        f"Entry {proven.index} of {trusted.hub.name}, {entry.kind} by {entry.origin}, is in the tree of "
        f"{proven.checkpoint.size} entries that the hub signed and {cosigned} cosigned; {trusted.quorum} have to."
    )
    return Found(True, words, told_of(entry))


def _plain(value: object) -> str:
    """As people read it: a number of people as it may be told, the rest as it stands."""
    if isinstance(value, dict):
        if value.keys() == {"about"}:
            return Count.model_validate(value).in_words()
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items() if inner not in (None, [], {}))
    if isinstance(value, list):
        return ", ".join(_plain(inner) for inner in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
