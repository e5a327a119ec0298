"""Messages that wait to be loaded and are about people who are taken out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from wardround.foundation.files import flush_directory
from wardround.node.records.hl7.conventions import Conventions
from wardround.node.records.hl7.er7 import NotAMessage, parse
from wardround.node.records.hl7.patient import identified
from wardround.node.records.mllp.spool import messages_in
from wardround.node.records.row import PersonIdentity


@dataclass(frozen=True, slots=True)
class WaitingMessages:
    """The messages in a spool's folder, as an erasure sees them.

    Args:
        pseudonym: of whom an identity names.
    """

    folder: Path
    conventions: Conventions
    pseudonym: Callable[[PersonIdentity], str]

    def about(self, pseudonyms: Collection[str]) -> Iterator[Path]:
        """Those about these people."""
        for path in messages_in(self.folder):
            try:
                who = identified(parse(path.read_bytes()), self.conventions)
            except (FileNotFoundError, NotAMessage):  # it was loaded meanwhile, or says nothing of anybody
                continue
            if who is not None and self.pseudonym(who) in pseudonyms:
                yield path

    def forget(self, pseudonyms: Collection[str]) -> None:
        """Remove them, durably."""
        gone = list(self.about(pseudonyms))
        for path in gone:
            path.unlink(missing_ok=True)
        if gone:
            flush_directory(self.folder)
