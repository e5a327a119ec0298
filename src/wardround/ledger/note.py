"""Signed notes and verifier keys (C2SP signed-note, https://c2sp.org/signed-note).

A note is text that ends in a newline, an empty line, and signature lines ``— name base64(key id || signature)``.
Only the two Ed25519 signature types that the ledger uses are known here: a log's (``0x01``) and a witness's
timestamped cosignature (``0x04``, see `cosignature`).
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from wardround.foundation.errors import WardroundError

LARGEST_NOTE = 64 * 1024
MOST_SIGNATURES = 100
_DASH = "\u2014 "


class NoteRefused(WardroundError):
    """A note, verifier key or signature line that can't be trusted.

    Codes: ``malformed``, ``unsigned``, ``bad-signature``, ``wrong-log``.
    """

    code = "malformed"


class SignatureType(IntEnum):
    """Identifier byte of a signature's algorithm and of what it is over."""

    NOTE = 0x01
    COSIGNATURE = 0x04


def key_name(name: str) -> str:
    """``name``, if a key may be called so.

    Raises:
        NoteRefused: it is empty or has spaces, plus signs or control characters.
    """
    if not name or "+" in name or any(mark.isspace() or ord(mark) < 0x20 for mark in name):
        raise NoteRefused("a key name is not empty and has no space, plus sign or control character")
    return name


def decode(text: str) -> bytes:
    """Standard base64 in its one spelling.

    Raises:
        NoteRefused: it is not.
    """
    try:
        raw = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteRefused("not standard base64") from error
    if b64encode(raw).decode() != text:
        raise NoteRefused("base64 with stray bits at its end")
    return raw


@dataclass(frozen=True)
class Verifier:
    """A public key by name. Its text form is the vkey ``name+hash+base64(type || key)``.

    Attributes:
        name: the key's name; the log's origin or the witness's site.
        type: what it signs.
        key: 32 raw bytes.
    """

    name: str
    type: SignatureType
    key: bytes

    @property
    def key_id(self) -> bytes:
        """First 4 bytes of SHA-256 over name, newline, type byte and key."""
        return sha256(self.name.encode() + b"\n" + bytes([self.type]) + self.key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{b64encode(bytes([self.type]) + self.key).decode()}"

    @classmethod
    def parse(cls, vkey: str) -> Verifier:
        """Read a vkey.

        Raises:
            NoteRefused: it is malformed, of an unknown type, or its hash doesn't fit its key.
        """
        parts = vkey.split("+", 2)
        if len(parts) != 3:
            raise NoteRefused("a verifier key has the form name+hash+base64")
        name, identifier, encoded = parts
        raw = decode(encoded)
        if len(raw) != 33 or raw[0] not in list(SignatureType):
            raise NoteRefused("the verifier key isn't Ed25519 of a known signature type")
        verifier = cls(key_name(name), SignatureType(raw[0]), raw[1:])
        if verifier.key_id.hex() != identifier:
            raise NoteRefused("the verifier key's hash doesn't fit its name and key")
        return verifier

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether ``signature`` (64 bytes) over ``message`` is by this key (RFC 8032)."""
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class Signer:
    """A private key by name, for one type of signature."""

    name: str
    type: SignatureType
    key: Ed25519PrivateKey

    @property
    def verifier(self) -> Verifier:
        return Verifier(key_name(self.name), self.type, self.key.public_key().public_bytes_raw())

    def line(self, blob: bytes) -> str:
        """The signature line that carries ``blob``, with its newline."""
        return f"{_DASH}{key_name(self.name)} {b64encode(self.verifier.key_id + blob).decode()}\n"


@dataclass(frozen=True)
class Signature:
    """One signature line, read but not yet checked: ``blob`` is what follows the 4 bytes of key id."""

    name: str
    key_id: bytes
    blob: bytes

    def is_from(self, verifier: Verifier) -> bool:
        """Whether it claims to be by that key: name and key id are both its own."""
        return self.name == verifier.name and self.key_id == verifier.key_id

    @classmethod
    def parse(cls, line: str) -> Signature:
        """Read a signature line, with or without its newline.

        Raises:
            NoteRefused: it is malformed.
        """
        body = line.removesuffix("\n")
        parts = body.removeprefix(_DASH).split(" ")
        if not body.startswith(_DASH) or len(parts) != 2 or "\n" in body:
            raise NoteRefused("a signature line has the form: em dash, name, base64")
        raw = decode(parts[1])
        if len(raw) <= 4:
            raise NoteRefused("a signature line without a signature")
        return cls(key_name(parts[0]), raw[:4], raw[4:])


@dataclass(frozen=True)
class Note:
    """A note that was read: its text with the final newline, and its signatures, unchecked."""

    text: str
    signatures: tuple[Signature, ...]

    @classmethod
    def parse(cls, note: str) -> Note:
        """Read a note.

        Raises:
            NoteRefused: it is malformed, over 64 KiB, or has more than 100 signatures.
        """
        try:
            size = len(note.encode())
        except UnicodeEncodeError as error:
            raise NoteRefused("the note isn't UTF-8") from error
        if size > LARGEST_NOTE:
            raise NoteRefused(f"the note is over {LARGEST_NOTE} bytes")
        if any(mark < " " and mark != "\n" for mark in note):
            raise NoteRefused("the note has control characters")
        head, gap, tail = note.rpartition("\n\n")
        if not gap or not head or not tail.endswith("\n"):
            raise NoteRefused("a note is text, an empty line and signature lines, each ended by a newline")
        lines = tail[:-1].split("\n")
        if len(lines) > MOST_SIGNATURES:
            raise NoteRefused(f"the note has more than {MOST_SIGNATURES} signatures")
        return cls(head + "\n", tuple(Signature.parse(line) for line in lines))


def sign_note(text: str, signer: Signer) -> str:
    """``text`` (ending in a newline) as a note with one signature of type ``NOTE``."""
    if signer.type is not SignatureType.NOTE:
        raise NoteRefused("a witness's key doesn't sign notes")
    note = text + "\n" + signer.line(signer.key.sign(text.encode()))
    if Note.parse(note).text != text:
        raise NoteRefused("the text can't be told from its signatures")
    return note


def open_note(note: str, verifiers: Sequence[Verifier]) -> Note:
    """Read a note and check it: signatures by other keys are passed over, at least one known key must have signed.

    Raises:
        NoteRefused: ``malformed``; ``bad-signature``, if a known key's signature doesn't verify; ``unsigned``,
            if no known key signed.
    """
    opened = Note.parse(note)
    signed = False
    for verifier in verifiers:
        for signature in opened.signatures:
            if not signature.is_from(verifier):
                continue
            if not verifier.verifies(opened.text.encode(), signature.blob):
                raise NoteRefused(f"the signature of {verifier.name} doesn't verify", code="bad-signature")
            signed = True
    if not signed:
        raise NoteRefused("no key that is trusted here signed the note", code="unsigned")
    return opened
