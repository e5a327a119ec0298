"""Published examples of C2SP signed notes (https://c2sp.org/signed-note, golang.org/x/mod/sumdb/note)."""

from __future__ import annotations

from base64 import b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wardround.ledger.note import SignatureType, Signer, Verifier, open_note, sign_note

NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN_SECRET = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
NEUMANN_TEXT = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
)
NEUMANN_LINE = (
    "— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


@pytest.mark.parametrize(
    ("vkey", "text", "line"),
    [
        (NEUMANN, NEUMANN_TEXT, NEUMANN_LINE),
        (
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "This is an example message.\n",
            "— example.com/foo "
            "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n",
        ),
    ],
)
def test_published_note_is_accepted(vkey: str, text: str, line: str) -> None:
    verifier = Verifier.parse(vkey)
    assert str(verifier) == vkey
    assert open_note(f"{text}\n{line}", [verifier]).text == text


def test_published_key_signs_the_published_note_to_the_byte() -> None:
    secret = Ed25519PrivateKey.from_private_bytes(b64decode(NEUMANN_SECRET)[1:])
    signer = Signer("PeterNeumann", SignatureType.NOTE, secret)
    assert str(signer.verifier) == NEUMANN
    assert sign_note(NEUMANN_TEXT, signer) == f"{NEUMANN_TEXT}\n{NEUMANN_LINE}"
