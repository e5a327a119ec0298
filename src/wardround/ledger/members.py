"""Who may write to the ledger and who witnesses it: what the ledger's own `member` entries say."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from wardround.contracts.ledger_entry import HUB, Departure, Entry, Founding, Member, SignedEntry
from wardround.foundation.errors import WardroundError
from wardround.ledger.envelope import is_signed_by
from wardround.ledger.note import NoteRefused, SignatureType, Verifier
from wardround.ledger.quorum import is_quorum, quorum

SPEAK_OF_MEMBERS = ("founding", "member", "departure")
"""The kinds of entry from which it follows who may write and who witnesses."""

_OF_THE_HUB = frozenset({*SPEAK_OF_MEMBERS, "aggregate", "model"})


class EntryRefused(WardroundError):
    """An entry that the ledger doesn't take.

    Codes: ``too-large``, ``not-an-entry``, ``not-canonical``; ``unknown-origin``, ``wrong-origin``,
    ``bad-signature``, ``bad-member``; ``reference-missing``, ``reference-kind``, ``reference-mismatch``;
    ``other-history`` (it says that its origin saw another ledger than this one).
    """

    code = "not-an-entry"


@dataclass(frozen=True)
class Keys:
    """A site's public keys: 32 raw bytes for its entries, and its cosignature verifier."""

    entry: bytes
    witness: Verifier


class Members:
    """The sites announced so far, by the newest announcement of each, without those that were taken out since.

    Args:
        hub: the ledger's own verifier; the hub signs its entries with the same key.
    """

    def __init__(self, hub: Verifier) -> None:
        self._hub = hub
        self._keys: dict[str, Keys] = {}
        self.faults = 0
        """How many of the sites may cosign two trees without harm, as the ledger's founding says."""

    def copy(self) -> Members:
        """These members as they are now."""
        copied = Members(self._hub)
        copied._keys, copied.faults = dict(self._keys), self.faults
        return copied

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def witnesses(self) -> list[Verifier]:
        """The cosignature keys of all sites."""
        return [keys.witness for keys in self._keys.values()]

    def witness(self, site: str) -> Verifier | None:
        """The cosignature key of one site, if it is a member."""
        keys = self._keys.get(site)
        return None if keys is None else keys.witness

    @property
    def fewest(self) -> int:
        """No fewer cosignatures than this can be a quorum; more than there are members, where none can be one."""
        members = len(self._keys)
        return quorum(members, self.faults) if self.faults < members else members + 1

    def quorum_of(self, cosigned: Collection[str]) -> bool:
        """Whether the sites that cosigned are a quorum of those announced; strangers among them count for nothing."""
        return is_quorum(len(self._keys.keys() & set(cosigned)), len(self._keys), self.faults)

    def key_of(self, origin: str) -> bytes | None:
        """The raw public key by which the entries of that origin are signed now; None if it isn't known."""
        if origin == HUB:
            return self._hub.key
        keys = self._keys.get(origin)
        return None if keys is None else keys.entry

    def check(self, signed: SignedEntry, data: bytes | None = None, *, proven: bytes | None = None) -> None:
        """Check that the entry is signed by the key of the origin that it names, and of a kind for that origin.

        ``data`` are the bytes that it was read from, where they are at hand; ``proven`` is a key by which its
        signature was found to hold before.

        Raises:
            EntryRefused: ``unknown-origin``, ``wrong-origin`` or ``bad-signature``.
        """
        entry = signed.entry
        key = self.key_of(entry.origin)
        if key is None:
            raise EntryRefused(
                f"{entry.origin} isn't a member: the hub hasn't announced it, or has taken it out since",
                code="unknown-origin",
            )
        if (entry.kind in _OF_THE_HUB) != (entry.origin == HUB):
            raise EntryRefused(f"{entry.origin} can't record a {entry.kind}", code="wrong-origin")
        if proven != key and not is_signed_by(signed, key, self._hub.name, data):
            raise EntryRefused(
                f"the entry isn't signed by the key that {entry.origin} is known by", code="bad-signature"
            )

    def learn(self, entry: Entry) -> None:
        """Take a checked entry into account, if it says something about members.

        Raises:
            EntryRefused: as :meth:`enrol`; ``bad-member``, if a site is to leave that isn't here.
        """
        if isinstance(entry, Member):
            self.enrol(entry)
        elif isinstance(entry, Departure):
            if self._keys.pop(entry.site, None) is None:
                raise EntryRefused(f"{entry.site} isn't a member, so it can't leave", code="bad-member")
        elif isinstance(entry, Founding):
            self.faults = entry.faults

    def enrol(self, member: Member) -> None:
        """Take a checked announcement into account.

        Raises:
            EntryRefused: ``bad-member``, if its witness key isn't a cosignature key named as the site is.
        """
        try:
            witness = Verifier.parse(member.witness)
        except NoteRefused as error:
            raise EntryRefused(f"the witness key of {member.site} is unreadable: {error}", code="bad-member") from error
        if member.site == HUB or witness.name != member.site or witness.type is not SignatureType.COSIGNATURE:
            raise EntryRefused(
                f"the witness key of {member.site} isn't a cosignature key of that name", code="bad-member"
            )
        self._keys[member.site] = Keys(b64decode(member.entry_key), witness)
