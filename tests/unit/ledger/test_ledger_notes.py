"""Signed notes, checkpoints and cosignatures: what is accepted, passed over and refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from wardround.ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from wardround.ledger.cosignature import check_cosignature, cosign, cosigners
from wardround.ledger.note import (
    Note,
    NoteRefused,
    Signature,
    SignatureType,
    Signer,
    Verifier,
    open_note,
    sign_note,
)
from wardround.ledger.tree import EMPTY_ROOT

KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
LOG = Signer("hub.example.org/ledger", SignatureType.NOTE, KEY)
WITNESS = Signer("north", SignatureType.COSIGNATURE, OTHER)
CHECKPOINT = Checkpoint(LOG.name, 7, bytes(range(32)))
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), min_size=1, max_size=200).map(
    lambda text: text + "\n"
)
names = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="+"), min_size=1, max_size=20)


@given(texts, names, st.binary(min_size=32, max_size=32))
def test_any_text_under_any_name_reads_back_as_it_was_signed(text: str, name: str, secret: bytes) -> None:
    signer = Signer(name, SignatureType.NOTE, Ed25519PrivateKey.from_private_bytes(secret))
    note = sign_note(text, signer)
    assert open_note(note, [Verifier.parse(str(signer.verifier))]).text == text


@given(st.data())
def test_a_changed_checkpoint_note_never_passes(draw: st.DataObject) -> None:
    note = bytearray(sign_checkpoint(CHECKPOINT, LOG).encode())
    at = draw.draw(st.integers(0, len(note) - 1))
    note[at] ^= 1 << draw.draw(st.integers(0, 7))
    try:
        text = note.decode()
    except UnicodeDecodeError:
        return
    with pytest.raises(NoteRefused):
        open_checkpoint(text, LOG.verifier)


def test_signatures_of_unknown_keys_are_passed_over() -> None:
    stranger = Signer(LOG.name, SignatureType.NOTE, OTHER)
    note = sign_checkpoint(CHECKPOINT, LOG) + stranger.line(b"whatever they like") + WITNESS.line(b"new kind")
    assert open_checkpoint(note, LOG.verifier) == CHECKPOINT


def test_a_note_that_only_unknown_keys_signed_is_refused() -> None:
    with pytest.raises(NoteRefused) as refused:
        open_checkpoint(sign_checkpoint(CHECKPOINT, LOG), Signer(LOG.name, SignatureType.NOTE, OTHER).verifier)
    assert refused.value.code == "unsigned"


def test_a_known_key_with_a_bad_signature_spoils_the_note_although_another_line_of_it_is_good() -> None:
    note = sign_checkpoint(CHECKPOINT, LOG) + LOG.line(b"\x00" * 64)
    with pytest.raises(NoteRefused) as refused:
        open_checkpoint(note, LOG.verifier)
    assert refused.value.code == "bad-signature"


LINE = LOG.line(b"\x00" * 64)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "text\n",
        "text\n\n",
        f"text\n{LINE}",
        f"text\n\n{LINE}"[:-1],
        f"\n\n{LINE}",
        f"tab\there\n\n{LINE}",
        f"carriage\r\n\n{LINE}",
        f"text\n\n{LINE.replace('—', '-')}",
        f"text\n\n{LINE.replace(' hub', '  hub')}",
        f"text\n\n{LINE.replace('hub.example.org/ledger', 'a+b')}",
        "text\n\n— name AAAAAA\n",
        "text\n\n— name AAAA\n",
        f"text\n\n{LINE}\n",
        f"text\n\n{LINE}trailing\n",
        f"text\n\n{LINE * 101}",
        "x" * 70_000 + f"\n\n{LINE}",
        f"lone \ud800\n\n{LINE}",
    ],
)
def test_malformed_notes_are_refused(note: str) -> None:
    with pytest.raises(NoteRefused) as refused:
        Note.parse(note)
    assert refused.value.code == "malformed"


@pytest.mark.parametrize(
    "text",
    [
        "o\n1\n",
        "o\n01\n{root}\n",
        "o\n-1\n{root}\n",
        "o\n+1\n{root}\n",
        "o\n1\n{root}\nextension\n",
        "o\n1\n{root}",
        "o\n9223372036854775808\n{root}\n",
        "o\n1\nAAAA\n",
        "o\n\u0661\n{root}\n",
        "\n1\n{root}\n",
    ],
)
def test_malformed_checkpoints_are_refused(text: str) -> None:
    root = CHECKPOINT.text.split("\n")[2]
    with pytest.raises(NoteRefused):
        Checkpoint.parse(text.replace("{root}", root))


@pytest.mark.parametrize("line", [2, 4])
def test_base64_with_stray_bits_is_refused_so_that_a_note_has_one_spelling(line: int) -> None:
    lines = sign_checkpoint(CHECKPOINT, LOG).split("\n")
    assert lines[line].endswith("=")
    lines[line] = lines[line][:-2] + chr(ord(lines[line][-2]) + 1) + "="
    with pytest.raises(NoteRefused, match="stray"):
        Checkpoint.parse(Note.parse("\n".join(lines)).text)


def test_an_empty_log_has_a_checkpoint() -> None:
    empty = Checkpoint(LOG.name, 0, EMPTY_ROOT)
    assert open_checkpoint(sign_checkpoint(empty, LOG), LOG.verifier) == empty


def test_a_checkpoint_of_another_log_is_refused_although_the_key_signed_it() -> None:
    other = Checkpoint("other.example.org/ledger", 7, CHECKPOINT.root)
    with pytest.raises(NoteRefused) as refused:
        open_checkpoint(sign_note(other.text, LOG), LOG.verifier)
    assert refused.value.code == "wrong-log"


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name",
        "name+00000000+",
        str(LOG.verifier).replace("+", "-"),
        "other" + str(LOG.verifier),
        str(LOG.verifier)[:-4],
        str(LOG.verifier) + "AAAA",
    ],
)
def test_malformed_verifier_keys_are_refused(vkey: str) -> None:
    with pytest.raises(NoteRefused):
        Verifier.parse(vkey)


def test_a_cosignature_tells_when_and_holds_for_this_tree_only() -> None:
    line = cosign(CHECKPOINT, WITNESS, NOON)
    assert check_cosignature(line, CHECKPOINT, WITNESS.verifier) == NOON
    for other in (
        Checkpoint(LOG.name, 8, CHECKPOINT.root),
        Checkpoint(LOG.name, 7, EMPTY_ROOT),
        Checkpoint("other.example.org", 7, CHECKPOINT.root),
    ):
        with pytest.raises(NoteRefused) as refused:
            check_cosignature(line, other, WITNESS.verifier)
        assert refused.value.code == "bad-signature"


def test_a_cosignature_with_another_time_than_was_signed_is_refused() -> None:
    blob = Signature.parse(cosign(CHECKPOINT, WITNESS, NOON)).blob
    later = WITNESS.line((int.from_bytes(blob[:8], "big") + 1).to_bytes(8, "big") + blob[8:])
    with pytest.raises(NoteRefused):
        check_cosignature(later, CHECKPOINT, WITNESS.verifier)


def test_only_good_cosignatures_of_known_witnesses_count() -> None:
    stranger = Signer("south", SignatureType.COSIGNATURE, KEY)
    good, strange = cosign(CHECKPOINT, WITNESS, NOON), cosign(CHECKPOINT, stranger, NOON)
    note = sign_checkpoint(CHECKPOINT, LOG) + WITNESS.line(b"\x00" * 72) + good + strange
    assert cosigners(note, CHECKPOINT, [WITNESS.verifier]) == {"north": good}


def test_a_log_key_is_no_witness_and_a_witness_key_no_log() -> None:
    with pytest.raises(NoteRefused):
        cosign(CHECKPOINT, LOG, NOON)
    with pytest.raises(NoteRefused):
        sign_note("text\n", WITNESS)
