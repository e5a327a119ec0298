"""An entry's proof as one file that anyone can check offline (C2SP tlog-proof, ``.tlog-proof``).

The file holds the entry's index, its audit path and a checkpoint with cosignatures; the entry itself travels in the
file's ``extra`` line, which the format leaves to the application and which nothing vouches for but the check below.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wardround.ledger.checkpoint import Checkpoint, open_checkpoint
from wardround.ledger.cosignature import cosigners
from wardround.ledger.note import NoteRefused, Verifier, decode
from wardround.ledger.proof import ProofRefused, verify_inclusion
from wardround.ledger.tree import leaf_hash

_HEADER = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")
LARGEST_FILE = 256 * 1024


@dataclass(frozen=True)
class ProvenEntry:
    """What a proof file shows: this entry lies at this index of the tree that log and witnesses signed."""

    data: bytes
    index: int
    checkpoint: Checkpoint
    cosigned_by: frozenset[str]


def write_tlog_proof(data: bytes, index: int, path: Sequence[bytes], note: str) -> str:
    """The text of a proof file for the entry ``data``, with its audit path in the tree of the checkpoint note."""
    lines = [_HEADER, f"extra {b64encode(data).decode()}", f"index {index}"]
    lines += [b64encode(value).decode() for value in path]
    return "\n".join(lines) + "\n\n" + note


def check_tlog_proof(text: str, log: Verifier, witnesses: Iterable[Verifier]) -> ProvenEntry:
    """Check a proof file with the log's verifier and those of the witnesses that the reader knows.

    Whether the cosignatures suffice is the reader's to say (`quorum`).

    Raises:
        ProofRefused: ``malformed``, or the entry isn't in the tree (`proof.verify_inclusion`).
        NoteRefused: the checkpoint isn't one that the log signed.
    """
    if len(text) > LARGEST_FILE:
        raise ProofRefused(f"the proof is over {LARGEST_FILE} characters", code="malformed")
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    if len(lines) < 3 or lines[0] != _HEADER or not lines[1].startswith("extra "):
        raise ProofRefused(f"a proof begins with {_HEADER} and the entry as extra", code="malformed")
    found = _INDEX.fullmatch(lines[2])
    if found is None:
        raise ProofRefused("the third line names the index", code="malformed")
    try:
        data, path = decode(lines[1].removeprefix("extra ")), [decode(line) for line in lines[3:]]
    except NoteRefused as error:
        raise ProofRefused(f"the proof is unreadable: {error}", code="malformed") from error
    checkpoint, index = open_checkpoint(note, log), int(found[1])
    verify_inclusion(index, checkpoint.size, leaf_hash(data), checkpoint.root, path)
    return ProvenEntry(data, index, checkpoint, frozenset(cosigners(note, checkpoint, witnesses)))
