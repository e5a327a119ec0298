"""Witness cosignatures on checkpoints (C2SP tlog-cosignature, Ed25519, ``cosignature/v1``).

A cosignature says: at this time, the largest consistent tree of this log that the witness has seen has this root.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from wardround.ledger.checkpoint import Checkpoint
from wardround.ledger.note import Note, NoteRefused, Signature, SignatureType, Signer, Verifier

_LATEST = 2**63 - 1


def _message(checkpoint: Checkpoint, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{checkpoint.text}".encode()


def cosign(checkpoint: Checkpoint, signer: Signer, at: datetime) -> str:
    """The witness's signature line on the checkpoint, at a moment with a time zone (kept to the second)."""
    if signer.type is not SignatureType.COSIGNATURE:
        raise NoteRefused("a log's key doesn't cosign")
    seconds = int(at.astimezone(UTC).timestamp())
    return signer.line(seconds.to_bytes(8, "big") + signer.key.sign(_message(checkpoint, seconds)))


def check_cosignature(line: str | Signature, checkpoint: Checkpoint, witness: Verifier) -> datetime:
    """When the witness cosigned the checkpoint.

    Raises:
        NoteRefused: ``malformed``; ``unsigned``, if it is another key's line; ``bad-signature``.
    """
    signature = Signature.parse(line) if isinstance(line, str) else line
    if witness.type is not SignatureType.COSIGNATURE or not signature.is_from(witness):
        raise NoteRefused(f"not a cosignature of {witness.name}", code="unsigned")
    seconds, raw = int.from_bytes(signature.blob[:8], "big"), signature.blob[8:]
    if len(raw) != 64 or seconds > _LATEST:
        raise NoteRefused("a cosignature is 8 bytes of time and 64 of signature")
    if not witness.verifies(_message(checkpoint, seconds), raw):
        raise NoteRefused(f"the cosignature of {witness.name} doesn't verify", code="bad-signature")
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise NoteRefused("a cosignature from beyond the calendar") from error


def cosigners(note: str, checkpoint: Checkpoint, witnesses: Iterable[Verifier]) -> dict[str, str]:
    """The valid cosignature lines in a note, by the witness's name.

    Lines of unknown keys, and lines of known ones that don't verify, count for nothing.

    Raises:
        NoteRefused: the note is malformed.
    """
    found: dict[str, str] = {}
    known = list(witnesses)
    signatures = Note.parse(note).signatures
    lines = note.rpartition("\n\n")[2][:-1].split("\n")
    for signature, line in zip(signatures, lines, strict=True):
        for witness in known:
            if not signature.is_from(witness):
                continue
            try:
                check_cosignature(signature, checkpoint, witness)
            except NoteRefused:
                continue
            found[witness.name] = line + "\n"
    return found
