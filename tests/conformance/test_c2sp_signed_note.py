"""Published examples of C2SP signed notes (https://c2sp.org/signed-note, golang.org/x/mod/sumdb/note)."""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wardround.ledger.checkpoint import open_checkpoint
from wardround.ledger.cosignature import check_cosignature, cosigners
from wardround.ledger.note import SignatureType, Signer, Verifier, open_note, sign_note

NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN_SECRET = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
NEUMANN_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
NEUMANN_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
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


def test_a_public_logs_checkpoint_and_its_witnesss_cosignature_hold() -> None:
    """A checkpoint that the staging log arche2025h1 of ct.transparency.dev published in May 2026 with cosignatures:
    two signatures of the log (one of a type unknown here), one witness whose key is known, one unknown."""
    log = Verifier.parse(
        "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"
    )
    witness = Verifier.parse("remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2")
    note = (
        "arche2025h1.staging.ct.transparency.dev\n1432088532\nU7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n\n"
        "— arche2025h1.staging.ct.transparency.dev "
        "zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5"
        "zRNZ55lvGt0=\n"
        "— arche2025h1.staging.ct.transparency.dev "
        "ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=\n"
        "— witness.stagemole.eu "
        "Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==\n"
        "— remora.n621.de "
        "2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==\n"
    )
    checkpoint = open_checkpoint(note, log)
    assert checkpoint.size == 1432088532
    assert set(cosigners(note, checkpoint, [witness])) == {"remora.n621.de"}
    line = note.splitlines(keepends=True)[-1]
    assert check_cosignature(line, checkpoint, witness) == datetime(2026, 5, 23, 21, 50, 24, tzinfo=UTC)
