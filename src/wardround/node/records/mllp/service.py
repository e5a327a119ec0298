"""The node's MLLP service: its listener, and the loop that loads what was kept."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from wardround.dicom.network import TlsRefused
from wardround.foundation.clock import Clock
from wardround.foundation.loop import Loop
from wardround.foundation.settings import SettingsRefused
from wardround.node.home import NodeHome
from wardround.node.records.errors import RecordsBusy
from wardround.node.records.hl7.conventions import Conventions, read_conventions
from wardround.node.records.hl7.reader import message_records
from wardround.node.records.mllp.acceptance import Acceptance
from wardround.node.records.mllp.listener import Bounds, MllpListener
from wardround.node.records.mllp.spool import Spool
from wardround.node.records.row import Reader, Rejected, Row
from wardround.node.settings import MllpSettings
from wardround.node.wire import tls_of

log = logging.getLogger(__name__)

LOADED_EVERY = 2.0
_MOST_AT_ONCE = 500

Load = Callable[[Reader, Path], object]
"""Loads what a reader gives of a path, for good when it returns; raises RecordsBusy where it can't just now."""


class Loading:
    """Moves messages from the spool into the records."""

    def __init__(self, spool: Spool, conventions: Conventions, load: Load) -> None:
        self._spool = spool
        self._conventions = conventions
        self._load = load

    def tick(self) -> None:
        """Load what waits, some messages at a time. What isn't loaded for good stays; loading it again is harmless."""
        while waiting := self._spool.waiting(_MOST_AT_ONCE):
            reader: Reader = partial(self._read, waiting)
            try:
                self._load(reader, waiting[0].parent)
            except RecordsBusy:
                log.info("the records are in use; %d messages and more wait", len(waiting))
                return
            self._spool.remove(waiting)

    def _read(self, files: list[Path], _path: Path) -> Iterator[Row | Rejected]:
        for number, file in enumerate(files, start=1):
            yield from message_records(file.read_bytes(), self._conventions, f"message {number}")


class Mllp:
    """See the module; one of the node's parts that run beside its link.

    Raises:
        SettingsRefused: the files of TLS can't be used.
        RecordsRefused: the mapping file can't be used.
    """

    def __init__(self, home: NodeHome, load: Load, clock: Clock) -> None:
        settings = home.settings.records.mllp
        conventions = conventions_of(home)
        spool = Spool(messages_folder(home))
        self.acceptance = Acceptance(spool, conventions, home.site, clock)
        self._listener = listener(settings, self.acceptance)
        self._loop = Loop("mllp-loading", [Loading(spool, conventions, load).tick], pause=LOADED_EVERY)

    @property
    def port(self) -> int:
        return self._listener.port

    def start(self) -> None:
        self._listener.start()
        self._loop.start()
        log.info("HL7 v2 is taken over MLLP on port %d", self.port)

    def stop(self) -> None:
        self._listener.stop()
        self._loop.stop()


def messages_folder(home: NodeHome) -> Path:
    """Where messages lie until they are loaded."""
    return home.path / "omop" / "hl7"


def conventions_of(home: NodeHome) -> Conventions:
    """How this hospital's messages are read; raises RecordsRefused for a mapping file of no use."""
    mapping = home.settings.records.mllp.mapping
    return read_conventions(home.path / mapping if mapping else None)


def listener(settings: MllpSettings, acceptance: Acceptance) -> MllpListener:
    """The listener that the settings ask for, not started yet; raises SettingsRefused for TLS files of no use."""
    return MllpListener(
        acceptance,
        host=settings.host,
        port=settings.port,
        senders=[str(sender) for sender in settings.senders],
        tls=_tls(settings),
        bounds=Bounds(
            settings.largest_kb * 1024, settings.connections, settings.idle_seconds, settings.message_seconds
        ),
    )


def _tls(settings: MllpSettings) -> ssl.SSLContext | None:
    files = tls_of(settings)
    try:
        return None if files is None else files.server()
    except TlsRefused as refused:
        raise SettingsRefused(f"[records.mllp]: {refused.text}") from None
