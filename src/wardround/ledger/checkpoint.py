"""Checkpoints: the size and root of a log, signed by the log (C2SP tlog-checkpoint)."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass

from wardround.ledger.note import NoteRefused, Signer, Verifier, decode, key_name, open_note, sign_note
from wardround.ledger.tree import HASH_BYTES, MAX_SIZE

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class Checkpoint:
    """A log at one size.

    Attributes:
        origin: the log's identity.
        size: number of leaves.
        root: RFC 6962 root over them, 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The note text: origin, size and root in base64, a line each."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read a note's text. Extension lines are refused: this ledger has none, and nobody could audit them.

        Raises:
            NoteRefused: the text is no checkpoint.
        """
        lines = text.split("\n")
        if len(lines) != 4 or lines[3]:
            raise NoteRefused("a checkpoint has three lines: origin, size, root")
        origin, size, root = lines[0], lines[1], decode(lines[2])
        if not _SIZE.fullmatch(size) or int(size) > MAX_SIZE:
            raise NoteRefused("a checkpoint's size is a decimal number without leading zeros")
        if len(root) != HASH_BYTES:
            raise NoteRefused(f"a checkpoint's root has {HASH_BYTES} bytes")
        return cls(key_name(origin), int(size), root)


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> str:
    """The checkpoint as a note signed by its log, whose key is named as the log is."""
    if signer.name != checkpoint.origin:
        raise NoteRefused("a log signs under its own origin", code="wrong-log")
    return sign_note(checkpoint.text, signer)


def open_checkpoint(note: str, log: Verifier) -> Checkpoint:
    """Read a checkpoint note and check the log's signature; other signatures are passed over.

    Raises:
        NoteRefused: as :func:`note.open_note`; ``wrong-log``, if it speaks of another log.
    """
    checkpoint = Checkpoint.parse(open_note(note, [log]).text)
    if checkpoint.origin != log.name:
        raise NoteRefused("the checkpoint is of another log", code="wrong-log")
    return checkpoint
