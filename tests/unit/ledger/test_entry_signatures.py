"""A signature of an entry is RFC 8032's: no second form of it counts, and no key that signs everything."""

from __future__ import annotations

from base64 import b64decode, b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from tests.unit.ledger.federation import NOON, ORIGIN, PROJECT

from wardround.contracts.ledger_entry import Approval, SignedEntry, read_signed_entry
from wardround.ledger.envelope import check_together, entry_key_id, is_signed_by, sign_entry

ENTRY = Approval(origin="north", at=NOON, project="glioma", project_digest=PROJECT)
ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of the group (RFC 8032, 5.1)."""
NEUTRAL = (1).to_bytes(32, "little")
"""The neutral element, encoded: as a public key and as R, with S of 0, it satisfies the equation for any message."""


def test_a_signature_holds_for_its_key_alone() -> None:
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    data = sign_entry(ENTRY, key, ORIGIN)
    signed = read_signed_entry(data)
    assert is_signed_by(signed, key.public_key().public_bytes_raw(), ORIGIN, data)
    assert is_signed_by(signed, key.public_key().public_bytes_raw(), ORIGIN)
    posing = signed.model_copy(update={"key": entry_key_id(other.public_key().public_bytes_raw())})
    assert not is_signed_by(posing, other.public_key().public_bytes_raw(), ORIGIN)


def test_a_signature_has_one_form() -> None:
    key = Ed25519PrivateKey.generate()
    signed = read_signed_entry(sign_entry(ENTRY, key, ORIGIN))
    raw = b64decode(signed.signature)
    other = raw[:32] + (int.from_bytes(raw[32:], "little") + ORDER).to_bytes(32, "little")
    twin = signed.model_copy(update={"signature": b64encode(other).decode()})
    assert not is_signed_by(twin, key.public_key().public_bytes_raw(), ORIGIN)


def test_a_key_of_small_order_signs_nothing() -> None:
    everything = b64encode(NEUTRAL + bytes(32)).decode()
    Ed25519PublicKey.from_public_bytes(NEUTRAL).verify(b64decode(everything), b"anything at all")
    signed = SignedEntry(entry=ENTRY, key=entry_key_id(NEUTRAL), signature=everything)
    assert not is_signed_by(signed, NEUTRAL, ORIGIN)


@pytest.mark.parametrize("count", [1, 63, 64, 151])
def test_many_are_checked_as_each_is(count: int) -> None:
    key = Ed25519PrivateKey.generate()
    public, stranger = key.public_key().public_bytes_raw(), Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    data = sign_entry(ENTRY, key, ORIGIN)
    signed = read_signed_entry(data)
    claims = [(signed, stranger if place % 3 == 2 else public, data) for place in range(count)]
    assert check_together(claims, ORIGIN) == [place % 3 != 2 for place in range(count)]
